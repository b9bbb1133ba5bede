//! A full sync of much data while it changes, and a backup of it.
//!
//! `PMEDIS_SYNC_MB=n` sets how much (`ci/stress-replication` takes 2048).

use std::fs;
use std::process::Command;
use testkit::client::Client;
use testkit::env_number;
use testkit::load::Load;
use testkit::packaged::Packaged;
use testkit::replication::{digest, follow, info, wait_for, wait_in_sync};
use testkit::resp::Value;
use testkit::server::{Server, Setup};

/// Bytes that one round of [`fill`] makes.
const ROUND: u64 = 64 << 10;

fn start(megabytes: u64, diskless: &str) -> (Server, Client) {
    let setup = Setup::pmedis(&format!("{}m", megabytes * 3 / 2 + 256))
        .directive("repl-diskless-sync-delay 0")
        .directive(&format!("repl-diskless-sync {diskless}"))
        .directive("repl-diskless-load on-empty-db")
        .directive("rdbcompression no")
        .directive("client-output-buffer-limit replica 0 0 0")
        .directive("repl-backlog-size 64mb");
    let server = setup.start().unwrap();
    let client = server.client();
    (server, client)
}

/// Makes about so many megabytes: strings, a hash, a set, a list and a sorted set in each round.
fn fill(client: &mut Client, megabytes: u64) {
    let long = "0123456789abcdef".repeat(64);
    for round in 0..(megabytes << 20) / ROUND {
        let mut commands: Vec<Vec<String>> = (0..12)
            .map(|n| {
                vec![
                    "PM.SET".into(),
                    format!("fill:{round}:{n}"),
                    format!("{n}{long}"),
                ]
            })
            .collect();
        for command in ["HSET", "SADD", "RPUSH", "ZADD"] {
            let mut words = vec![format!("PM.{command}"), format!("fill:{command}:{round}")];
            for n in 0..12 {
                match command {
                    "HSET" => words.extend([format!("field {n}"), format!("{n}{long}")]),
                    "ZADD" => words.extend([n.to_string(), format!("{n}{long}")]),
                    _ => words.push(format!("{n}{long}")),
                }
            }
            commands.push(words);
        }
        for reply in client.pipeline(&commands).unwrap() {
            assert!(!reply.is_error(), "{reply:?}");
        }
    }
}

#[test]
fn much_is_synced_while_it_changes_and_restored_from_a_backup() {
    let megabytes = env_number("PMEDIS_SYNC_MB", 24);
    let (master, mut of_master) = start(megabytes, "yes");
    fill(&mut of_master, megabytes);
    let load = Load::start(master.address(), 2, 7);
    let (replica, mut of_replica) = start(megabytes, "no");
    follow(&mut of_replica, &master);
    wait_for("the sync begins", || {
        info(&mut of_master, "slave0").contains("wait_bgsave")
            || info(&mut of_master, "slave0").contains("online")
    });
    let before = load.commands();
    wait_for("the replica is online", || {
        info(&mut of_master, "slave0").contains("state=online")
    });
    wait_for("something is written", || load.commands() > before + 500);
    let commands = load.stop();
    wait_in_sync(&mut of_master, &mut of_replica);
    let expected = digest(&mut of_master);
    assert_eq!(digest(&mut of_replica), expected);
    assert_eq!(info(&mut of_master, "sync_full"), "1");

    // A backup from the replica, into an empty pool.
    let restored = Setup::pmedis(&format!("{}m", megabytes * 3 / 2 + 256));
    let file = restored.dir().join("dump.rdb");
    let port = replica.address().port().to_string();
    let backup = Command::new(Packaged::current().program("cli"))
        .args(["-p", &port, "--rdb", &file.to_string_lossy()])
        .output()
        .expect("redis-cli can be started");
    assert!(backup.status.success(), "{backup:?}");
    let len = fs::metadata(&file).unwrap().len() >> 20;
    assert!(len >= megabytes * 3 / 4, "{len} MB");
    let keys = of_master.call(&["PM.DBSIZE"]);
    // Their pools are memory.
    drop((master, replica));
    let restored = restored.start().unwrap();
    let mut of_restored = restored.client();
    assert_eq!(digest(&mut of_restored), expected);
    assert_eq!(of_restored.call(&["DBSIZE"]), keys);
    let Value::Integer(keys) = keys else {
        panic!("{keys:?}");
    };
    println!("{keys} keys, {len} MB in the RDB, {commands} commands meanwhile");
}
