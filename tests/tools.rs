//! redis-cli's own modes: on a server with PM keys only they do what they do on one with native keys.

use pmedis_testkit::client::Client;
use pmedis_testkit::script::{expect, run, words};
use pmedis_testkit::server::{Server, Setup};
use std::process::Command;

const KEYS: &str = "
    PM.SET string:1 v
    PM.SET string:2 a-much-longer-value-than-that-of-the-other-string-in-this-database
    PM.RPUSH list a b c
    PM.HSET hash f v
    PM.SADD set a b
    PM.ZADD zset 1 a
";

fn start() -> (Server, Client) {
    let server = Setup::pmedis("64m")
        .directive("maxmemory-policy allkeys-lfu")
        .start();
    let server = server.unwrap();
    let mut client = server.client();
    run(&mut client, KEYS);
    (server, client)
}

/// What redis-cli writes; it must end well.
#[track_caller]
fn redis_cli(server: &Server, mode: &[&str]) -> String {
    let port = server.address().port().to_string();
    let mut command = Command::new("redis-cli");
    let output = command.args(["-p", &port]).args(mode).output();
    let output = output.expect("redis-cli can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && errors.is_empty(),
        "{mode:?}: {text}{errors}"
    );
    assert!(!text.contains("rror"), "{mode:?}: {text}");
    text
}

#[test]
fn scan_lists_every_key() {
    let (server, _) = start();
    let text = redis_cli(&server, &["--scan"]);
    let mut keys: Vec<&str> = text.lines().collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        ["hash", "list", "set", "string:1", "string:2", "zset"]
    );
    let strings = redis_cli(&server, &["--scan", "--pattern", "string:*"]);
    assert_eq!(strings.lines().count(), 2, "{strings}");
}

#[test]
fn bigkeys_counts_keys_of_each_type() {
    let (server, _) = start();
    let text = redis_cli(&server, &["--bigkeys"]);
    assert!(text.contains("Sampled 6 keys in the keyspace!"), "{text}");
    for line in [
        "2 pm-strings",
        "1 pm-list--s",
        "1 pm-hash--s",
        "1 pm-set---s",
        "1 pm-zset--s",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[test]
fn memkeys_finds_the_largest_of_each_type() {
    let (server, _) = start();
    let text = redis_cli(&server, &["--memkeys"]);
    assert!(
        text.contains("Biggest pm-string found '\"string:2\"' has"),
        "{text}"
    );
    for ty in ["pm-list--", "pm-hash--", "pm-set---", "pm-zset--"] {
        assert!(
            text.contains(&format!("Biggest {ty} found ")),
            "{ty} is not in {text}"
        );
    }
}

#[test]
fn hotkeys_finds_what_is_read_most() {
    let (server, mut client) = start();
    for _ in 0..2000 {
        expect(&mut client, "PM.GET string:1", "v");
    }
    let text = redis_cli(&server, &["--hotkeys"]);
    let hottest = text
        .lines()
        .find(|line| line.starts_with("hot key found with counter"));
    assert!(
        hottest.is_some_and(|line| line.ends_with("keyname: \"string:1\"")),
        "{text}"
    );
}

#[test]
fn monitor_slowlog_and_statistics_name_pm_commands() {
    let (server, mut client) = start();
    let mut monitor = server.client();
    expect(&mut monitor, "MONITOR", "OK");
    run(
        &mut client,
        "CONFIG SET slowlog-log-slower-than 0 -> OK\nPM.SET seen v -> OK\nPM.DEL seen -> 1",
    );
    run(&mut client, "CONFIG SET slowlog-log-slower-than -1 -> OK");
    run(&mut client, "PING the-end");
    let mut told = String::new();
    while !told.contains("the-end") {
        told.push_str(&words(&monitor.receive().unwrap()));
    }
    for command in [r#""PM.SET" "seen" "v""#, r#""PM.DEL" "seen""#] {
        assert!(told.contains(command), "{command} is not in {told}");
    }
    let slow = words(&client.call(&["SLOWLOG", "GET"]));
    assert!(
        slow.contains("[PM.SET seen v]") && slow.contains("[PM.DEL seen]"),
        "{slow}"
    );
    let stats = words(&client.call(&["INFO", "commandstats"]));
    assert!(
        stats.contains("cmdstat_pm.set:calls=3") && stats.contains("cmdstat_pm.del:calls=1"),
        "{stats}"
    );
    run(&mut client, "LATENCY RESET");
    let histogram = words(&client.call(&["LATENCY", "HISTOGRAM", "pm.set"]));
    assert!(histogram.contains("pm.set"), "{histogram}");
}

#[test]
fn acl_rules_apply() {
    let (server, mut client) = start();
    run(
        &mut client,
        "
        ACL SETUSER reader on >secret ~string:* +pm.get +pm.type +pm.rename +auth
        ",
    );
    let mut reader = server.client();
    run(
        &mut reader,
        "AUTH reader secret -> OK\nPM.GET string:1 -> v\nPM.TYPE string:2 -> string",
    );
    for (command, code) in [
        ("PM.GET list", "NOPERM"),
        ("PM.SET string:1 v", "NOPERM"),
        ("PM.RENAME string:1 other", "NOPERM"),
        ("PM.DEL string:1", "NOPERM"),
    ] {
        let refused = words(&reader.call(&command.split(' ').collect::<Vec<_>>()));
        assert!(refused.contains(code), "{command}: {refused}");
    }
    expect(&mut reader, "PM.RENAME string:1 string:3", "OK");
}
