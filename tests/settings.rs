//! Settings: load arguments and the server's configuration mean the same, what can change at run
//! time does, and what is wrong is named.

use std::fs;
use testkit::client::Client;
use testkit::script::{ask, expect, run};
use testkit::server::{Server, Setup, module_path};

/// A server whose module gets no arguments, and lines of its configuration.
fn configured(lines: &[&str]) -> Setup {
    let setup = Setup::native().force_pmem().module(&[]);
    lines
        .iter()
        .fold(setup, |setup, line| setup.directive(line))
}

fn start(setup: &Setup) -> (Server, Client) {
    let server = setup.start().unwrap();
    let client = server.client();
    (server, client)
}

/// The value that CONFIG GET tells.
fn get(client: &mut Client, name: &str) -> String {
    let pair = ask(client, &format!("CONFIG GET pmedis.{name}"));
    let value = pair
        .strip_prefix(&format!("[pmedis.{name} "))
        .and_then(|rest| rest.strip_suffix(']'));
    value.unwrap_or_else(|| panic!("{name}: {pair}")).to_owned()
}

#[test]
fn the_configuration_does_what_arguments_do() {
    let setup = configured(&[
        "pmedis.path a-pool",
        "pmedis.size 12.5mb",
        "pmedis.rdb FULL",
        "pmedis.alarms 50 70",
    ]);
    let (_server, mut client) = start(&setup);
    // It is looked for where the server is, and shown as an absolute path.
    let path = setup.dir().join("a-pool");
    assert_eq!(get(&mut client, "path"), path.to_str().unwrap());
    assert_eq!(fs::metadata(path).unwrap().len(), 13_107_200);
    assert_eq!(get(&mut client, "size"), "13107200");
    assert_eq!(get(&mut client, "rdb"), "full");
    assert_eq!(get(&mut client, "alarms"), "50 70");
}

#[test]
fn the_configuration_has_the_last_word() {
    let setup = Setup::pmedis_with("16m", &["rdb", "full", "orphans", "drop"])
        .directive("pmedis.rdb markers")
        .directive("pmedis.alarms 50");
    let (_server, mut client) = start(&setup);
    for (name, value) in [
        ("path", setup.pool().to_str().unwrap()),
        ("size", "16777216"),
        ("max-size", ""),
        ("durability", "auto"),
        ("memory-limit", ""),
        ("rdb", "markers"),
        ("orphans", "drop"),
        ("beside", "refuse"),
        ("copy", "refuse"),
        ("unprefixed", "no"),
        ("adopt", "no"),
        ("output-hook", "yes"),
        ("alarms", "50"),
        ("fill", ""),
    ] {
        assert_eq!(get(&mut client, name), value, "{name}");
    }
    assert!(ask(&mut client, "PM.INFO pool").contains("size:16777216"));
}

#[test]
fn what_can_change_at_run_time_does() {
    let (server, mut client) = start(&Setup::pmedis("16m"));
    let value = "x".repeat(100_000);
    client.call(&["PM.SET", "k", &value]);
    let saved = |client: &mut Client| {
        expect(client, "SAVE", "OK");
        fs::metadata(server.setup().dir().join("dump.rdb"))
            .unwrap()
            .len()
    };
    // Values that are all alike are compressed.
    run(&mut client, "CONFIG SET rdbcompression no");
    assert!(saved(&mut client) < 10_000);
    run(
        &mut client,
        "CONFIG SET pmedis.rdb Full pmedis.orphans drop",
    );
    assert!(saved(&mut client) > 100_000);
    assert_eq!(get(&mut client, "rdb"), "full");
    // The whole of a CONFIG SET, or nothing of it.
    let failed = ask(
        &mut client,
        "CONFIG SET pmedis.orphans refuse pmedis.rdb half",
    );
    assert!(
        failed.contains("pmedis.rdb") && failed.contains("expected markers, full or native"),
        "{failed}"
    );
    assert_eq!(get(&mut client, "orphans"), "drop");
    assert_eq!(get(&mut client, "rdb"), "full");
    for line in ["path /x", "size 32m", "durability process", "copy accept"] {
        let refused = ask(&mut client, &format!("CONFIG SET pmedis.{line}"));
        assert!(refused.contains("immutable"), "{line}: {refused}");
    }
    let failed = ask(&mut client, "CONFIG SET pmedis.alarms 90,80");
    assert!(failed.contains("in ascending order"), "{failed}");
}

#[test]
fn alarms_are_what_was_set() {
    let (server, mut client) = start(&Setup::pmedis("16m"));
    run(&mut client, "CONFIG SET pmedis.alarms 1,20");
    let value = "x".repeat(1_000_000);
    for i in 0..5 {
        client.call(&["PM.SET", &format!("k{i}"), &value]);
    }
    let told = |level: &str| server.log().contains(&format!("(warning level {level})"));
    testkit::replication::wait_for("the log tells", || told("20"));
    assert!(!told("80"));
}

#[test]
fn rewrite_keeps_what_was_changed() {
    let setup = Setup::pmedis_with("16m", &["orphans", "drop"]);
    let (mut server, mut client) = start(&setup);
    run(
        &mut client,
        "CONFIG SET pmedis.rdb full pmedis.alarms 60,61 pmedis.orphans refuse\nCONFIG REWRITE -> OK",
    );
    let file = fs::read_to_string(setup.dir().join("redis.conf")).unwrap();
    let lines: Vec<&str> = file
        .lines()
        .filter(|line| line.starts_with("pmedis."))
        .collect();
    assert_eq!(
        lines.len(),
        3,
        "what the arguments say needs no line: {lines:?}"
    );
    server.configure(&lines.join("\n"));
    drop(client);
    server.restart().unwrap();
    let mut client = server.client();
    assert_eq!(get(&mut client, "rdb"), "full");
    assert_eq!(get(&mut client, "alarms"), "60 61");
    assert_eq!(get(&mut client, "orphans"), "refuse");
}

#[test]
fn wrong_settings_of_the_configuration_are_named() {
    for (line, named) in [
        ("pmedis.rdb half", "expected markers, full or native"),
        (
            "pmedis.size much",
            "expected bytes, or a number with k, m, g or t, as in 64m",
        ),
        // The servers' own words, which differ.
        ("pmedis.colour blue", "onfiguration"),
    ] {
        let refusal = configured(&["pmedis.path pool", "pmedis.size 16m", line]).refusal();
        assert!(refusal.log.contains(named), "{line}: {refusal:?}");
    }
    let refusal = configured(&[]).refusal();
    assert!(
        refusal
            .warnings()
            .iter()
            .any(|line| line.contains("no pool named")),
        "{refusal:?}"
    );
}

#[test]
fn a_module_that_is_loaded_later_has_settings_too() {
    let setup = Setup::native()
        .force_pmem()
        .directive("enable-module-command local");
    let (_server, mut client) = start(&setup);
    let module = module_path();
    let module = module.to_str().unwrap();
    let refused = ask(
        &mut client,
        &format!("MODULE LOADEX {module} CONFIG pmedis.rdb half ARGS path pool size 16m"),
    );
    assert!(refused.starts_with("(error)"), "{refused}");
    let loaded = format!("MODULE LOADEX {module} CONFIG pmedis.rdb full ARGS path pool size 16m");
    expect(&mut client, &loaded, "OK");
    assert_eq!(get(&mut client, "rdb"), "full");
    expect(&mut client, "PM.SET a 1", "OK");
}

#[test]
fn command_lines_of_pmedis_work() {
    let arguments = [
        "pmem_path",
        "pmedis",
        "max_write_threads",
        "8",
        "pmem_file_size",
        "2 << 23",
        "populate_pmem_space",
        "1",
        "pmem_block_size",
        "64",
        "pmem_segment_blocks",
        "2 << 20",
        "hash_bucket_num",
        "1 << 27",
        "num_buckets_per_slot",
        "1",
    ];
    let (server, mut client) = start(&Setup::native().force_pmem().module(&arguments));
    expect(&mut client, "PM.SET pmedis success", "OK");
    assert_eq!(get(&mut client, "size"), (2 << 23).to_string());
    let log = server.log();
    for told in [
        "'pmem_path' is PMedis's name of 'path'",
        "'hash_bucket_num' is of PMedis's engine",
    ] {
        assert!(log.contains(told), "{told}: {log}");
    }
    // The server writes the words without their quotes.
    expect(&mut client, "CONFIG REWRITE", "OK");
    let file = fs::read_to_string(server.setup().dir().join("redis.conf")).unwrap();
    let line = file.lines().find(|line| line.starts_with("loadmodule"));
    let again = Setup::native()
        .force_pmem()
        .directive(line.expect("a module"));
    let (_again, mut client) = start(&again);
    assert_eq!(get(&mut client, "size"), (2 << 23).to_string());
}

#[test]
fn databases_that_the_server_does_not_have_are_told_of() {
    let setup = configured(&[
        "pmedis.path pool",
        "pmedis.size 16m",
        "pmedis.unprefixed db=15 db=16",
    ]);
    let (server, _client) = start(&setup);
    let log = server.log();
    assert!(log.contains("unprefixed db=16 means nothing"), "{log}");
    assert!(!log.contains("db=15 means"), "{log}");
}
