//! Settings: load arguments and the server's configuration mean the same, what can change at run
//! time does, and what is wrong is named.

use std::fs;
use testkit::client::Client;
use testkit::replication::{info, wait_for};
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
    assert_server_goes_on(&mut client);
    let loaded = format!("MODULE LOADEX {module} CONFIG pmedis.rdb full ARGS path pool size 16m");
    expect(&mut client, &loaded, "OK");
    assert_eq!(get(&mut client, "rdb"), "full");
    expect(&mut client, "PM.SET a 1", "OK");
}

/// The server forks, and becomes a replica and a master again: nothing calls a module that was
/// refused.
fn assert_server_goes_on(client: &mut Client) {
    wait_for("no child saves", || {
        info(client, "rdb_bgsave_in_progress") == "0"
    });
    expect(client, "BGSAVE", "Background saving started");
    expect(client, "REPLICAOF 127.0.0.1 1", "OK");
    expect(client, "REPLICAOF NO ONE", "OK");
    expect(client, "SET native 1", "OK");
}

/// Redis 7.0 left the module loaded all the same; other servers ended.
#[test]
fn an_unknown_setting_refuses_a_module_that_is_loaded_later() {
    let setup = Setup::native()
        .force_pmem()
        .directive("enable-module-command local");
    let (server, mut client) = start(&setup);
    let module = module_path();
    let module = module.to_str().unwrap();
    let others = ask(&mut client, "MODULE LIST");
    for settings in [
        "CONFIG pmedis.colour blue CONFIG pmedis.rdb full ARGS path pool size 16m",
        "CONFIG pmedis.path pool CONFIG pmedis.size 16m CONFIG rdb full",
        "CONFIG pmedis.path pool CONFIG colour.pmedis blue ARGS size 16m",
    ] {
        let refused = ask(&mut client, &format!("MODULE LOADEX {module} {settings}"));
        assert!(refused.starts_with("(error)"), "{settings}: {refused}");
        assert_eq!(ask(&mut client, "MODULE LIST"), others, "{settings}");
        assert!(!setup.dir().join("pool").exists(), "{settings}");
        assert_server_goes_on(&mut client);
    }
    let log = server.log();
    let told = "a setting behind CONFIG is not known; after 'pmedis.', there are path, size, ";
    assert_eq!(log.matches(told).count(), 3, "{log}");
    let load = "CONFIG pmedis.path pool CONFIG pmedis.rdb full ARGS size 16m";
    expect(&mut client, &format!("MODULE LOADEX {module} {load}"), "OK");
    assert_eq!(get(&mut client, "rdb"), "full");
    expect(&mut client, "PM.SET a 1", "OK");
    expect(&mut client, "PM.GET a", "1");
    // Nothing takes it away, and nothing is left of what tried the settings.
    for name in ["pmedis", "pmedis-probe"] {
        let kept = ask(&mut client, &format!("MODULE UNLOAD {name}"));
        assert!(kept.starts_with("(error)"), "{name}: {kept}");
    }
    expect(&mut client, "PM.GET a", "1");
}

/// At a start, settings are known of modules that are loaded later: they are none of this one's.
#[test]
fn a_setting_that_another_module_could_have_is_left_to_the_server() {
    let refusal =
        configured(&["pmedis.path pool", "pmedis.size 16m", "other.colour blue"]).refusal();
    assert!(refusal.log.contains("onfiguration"), "{refusal:?}");
    assert!(!refusal.log.contains("is not known"), "{refusal:?}");
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
