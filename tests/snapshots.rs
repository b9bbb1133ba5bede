//! Snapshots under load: what a fork child writes is what there was at the fork, to the byte.

use std::fs;
use testkit::client::Client;
use testkit::env_number;
use testkit::load::Load;
use testkit::replication::{digest, info, wait_for};
use testkit::resp::Value;
use testkit::script::{ask, crash, expect};
use testkit::server::{Server, Setup};

const POOL: &str = "512m";
/// Microseconds for which a child waits after each key.
const PAUSE: u32 = 4000;

fn start() -> (Server, Client) {
    // The child takes its time, so that much is written meanwhile.
    let setup = Setup::pmedis_with(POOL, &["rdb", "full"])
        .directive(&format!("rdb-key-save-delay {PAUSE}"));
    let server = setup.start().unwrap();
    let client = server.client();
    (server, client)
}

/// Bytes of the server's shared anonymous mappings that are in memory: what is kept for a child.
fn kept(server: &Server) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{}/smaps", server.pid())).unwrap();
    let mut is_shared = false;
    let mut kilobytes = 0;
    for line in maps.lines() {
        if line.contains('-') && line.split_whitespace().count() >= 5 && !line.contains("kB") {
            is_shared = line.contains("/dev/zero (deleted)");
        } else if let Some(rss) = line.strip_prefix("Rss:").filter(|_| is_shared) {
            kilobytes += rss.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
        }
    }
    kilobytes << 10
}

/// Begins a BGSAVE, and gives the digest of that moment: nobody else's command comes between.
fn bgsave(client: &mut Client) -> String {
    let commands = ["DEBUG DIGEST", "BGSAVE"]
        .map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let replies = client.pipeline(&commands).unwrap();
    assert_eq!(
        replies[1],
        Value::Simple("Background saving started".into())
    );
    String::from_utf8(replies[0].bytes().unwrap().to_vec()).unwrap()
}

fn saves(client: &mut Client) -> bool {
    info(client, "rdb_bgsave_in_progress") == "1"
}

/// What a server with an empty pool makes of the RDB.
fn digest_of_rdb(server: &Server) -> String {
    let fresh = Setup::pmedis(POOL);
    fs::copy(
        server.setup().dir().join("dump.rdb"),
        fresh.dir().join("dump.rdb"),
    )
    .unwrap();
    let fresh = fresh.start().unwrap();
    digest(&mut fresh.client())
}

#[test]
fn an_rdb_is_the_state_at_the_fork_whatever_is_written_meanwhile() {
    let rounds = env_number("PMEDIS_SNAPSHOT_ROUNDS", 3);
    let (server, mut client) = start();
    let load = Load::start(server.address(), 3, env_number("PMEDIS_SEED", 5));
    let (mut round, mut pause) = (0, PAUSE);
    while round < rounds {
        let begun = load.commands();
        wait_for("there is something to save", || {
            load.commands() > begun + 5000
        });
        let at_fork = bgsave(&mut client);
        let before = load.commands();
        wait_for("much is written while the child saves", || {
            load.commands() > before + 3000 || !saves(&mut client)
        });
        let kept_for_child = kept(&server);
        if !saves(&mut client) {
            // On a busy machine a child has to take longer.
            pause *= 4;
            assert!(pause < 64 * PAUSE, "the child was too fast");
            let slower = format!("CONFIG SET rdb-key-save-delay {pause}");
            expect(&mut client, &slower, "OK");
            continue;
        }
        assert!(kept_for_child > 0, "nothing was kept for the child");
        wait_for("the child is done", || !saves(&mut client));
        assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
        assert_eq!(digest_of_rdb(&server), at_fork, "round {round}");
        assert_eq!(kept(&server), 0, "bytes kept for no child");
        round += 1;
    }
    load.stop();
}

#[test]
fn the_command_right_before_the_fork_is_seen() {
    let (server, mut client) = start();
    expect(&mut client, "PM.SET n 1", "OK");
    for last in ["PM.INCR n", "PM.RPUSH l a b", "PM.HSET h f v"] {
        let pipeline =
            [last, "BGSAVE"].map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let replies = client.pipeline(&pipeline).unwrap();
        assert_eq!(
            replies[1],
            Value::Simple("Background saving started".into())
        );
        wait_for("the child is done", || !saves(&mut client));
        assert_eq!(digest_of_rdb(&server), digest(&mut client));
    }
}

#[test]
fn what_is_freed_while_a_child_lives_is_free_after_a_crash_too() {
    let (mut server, mut client) = start();
    let used = |client: &mut Client| {
        let info = ask(client, "PM.INFO pool");
        info.split("used:")
            .nth(1)
            .unwrap()
            .split('\\')
            .next()
            .unwrap()
            .to_owned()
    };
    let fill = |client: &mut Client| {
        for n in 0..300 {
            let key = format!("{n}");
            let value = "x".repeat(5000 * (n % 60));
            client.call(&["PM.SET", &format!("s{key}"), &value]);
            client.call(&["PM.RPUSH", &format!("l{key}"), &value, "a", "b"]);
            client.call(&["PM.HSET", &format!("h{key}"), "f", &value]);
        }
    };
    fill(&mut client);
    let full = digest(&mut client);
    for n in 0..300 {
        expect(&mut client, &format!("DEL s{n} l{n} h{n}"), "3");
    }
    wait_for("all is reclaimed", || {
        ask(&mut client, "PM.INFO reclaim").contains("values:0")
    });
    let empty = used(&mut client);
    fill(&mut client);
    // This child ends with the server.
    expect(&mut client, "CONFIG SET rdb-key-save-delay 40000", "OK");
    let at_fork = bgsave(&mut client);
    assert_eq!(at_fork, full);
    for n in 0..300 {
        expect(&mut client, &format!("DEL s{n} l{n} h{n}"), "3");
    }
    client.call(&["PM.SET", "other", "v"]);
    let last = digest(&mut client);
    assert!(saves(&mut client), "the child was too fast");
    let mut client = crash(&mut server);
    assert_eq!(digest(&mut client), last);
    expect(&mut client, "PM.DEL other", "1");
    wait_for("all is reclaimed", || {
        ask(&mut client, "PM.INFO reclaim").contains("values:0")
    });
    assert_eq!(used(&mut client), empty);
    fill(&mut client);
    assert_eq!(digest(&mut client), full);
}

#[test]
fn the_digest_of_a_value_does_not_tell_its_encoding() {
    let (_server, mut client) = start();
    // Large, and small again; and small from the beginning.
    let count = 2000;
    let words: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    for (add, remove, few) in [
        ("PM.SADD", "PM.SREM", vec!["1", "2", "3"]),
        ("PM.ZADD", "PM.ZREM", vec!["5", "a", "7.25", "b"]),
        ("PM.HSET", "PM.HDEL", vec!["f", "1", "g", "v"]),
        ("PM.RPUSH", "", vec!["1", "two", "-3"]),
    ] {
        let named = |key: &str, command: &str, words: &[String]| {
            [vec![command.to_owned(), key.to_owned()], words.to_vec()].concat()
        };
        let few: Vec<String> = few.into_iter().map(str::to_owned).collect();
        assert!(!client.call(&named("small", add, &few)).is_error());
        let all = match add {
            "PM.ZADD" | "PM.HSET" => words
                .iter()
                .flat_map(|n| [n.clone(), format!("{n}0")])
                .collect(),
            _ => words.clone(),
        };
        assert!(!client.call(&named("was-large", add, &all)).is_error());
        assert!(!client.call(&named("was-large", add, &few)).is_error());
        let gone: Vec<String> = match add {
            "PM.HSET" => words.clone(),
            "PM.ZADD" => words.iter().map(|n| format!("{n}0")).collect(),
            _ => words
                .iter()
                .filter(|word| !few.contains(word))
                .cloned()
                .collect(),
        };
        if remove.is_empty() {
            expect(&mut client, "PM.LTRIM was-large -3 -1", "OK");
        } else {
            assert!(!client.call(&named("was-large", remove, &gone)).is_error());
        }
        let pair = digests(&mut client);
        assert_eq!(pair[0], pair[1], "{add}");
        expect(&mut client, "DEL small was-large", "2");
    }
    // A number, and the same digits as text.
    expect(&mut client, "PM.SET small 12345", "OK");
    expect(&mut client, "PM.SET was-large 1234", "OK");
    expect(&mut client, "PM.APPEND was-large 5", "5");
    let pair = digests(&mut client);
    assert_eq!(pair[0], pair[1]);
}

fn digests(client: &mut Client) -> Vec<Value> {
    let digests = client.call(&["DEBUG", "DIGEST-VALUE", "small", "was-large"]);
    digests.elements().expect("two digests").to_vec()
}
