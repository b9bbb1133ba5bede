//! Masters and replicas: attaching, waiting, comparing.

use crate::client::Client;
use crate::resp::Value;
use crate::script::{ask, expect, words as words_of};
use crate::server::Server;
use std::thread;
use std::time::{Duration, Instant};

/// How long servers may take to agree: far longer than they do on a busy machine.
const DEADLINE: Duration = Duration::from_secs(300);

/// Asks again and again until `done`.
///
/// # Panics
/// If that takes too long.
#[track_caller]
pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < DEADLINE, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A field of INFO; empty if there is no such field.
///
/// # Panics
/// If the connection breaks.
pub fn info(client: &mut Client, field: &str) -> String {
    let text = client.call(&["INFO", "everything"]);
    let text = String::from_utf8_lossy(text.bytes().expect("INFO's text")).into_owned();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.unwrap_or_default().to_owned()
}

/// Makes the server of `replica` follow `master`.
///
/// # Panics
/// If it does not want to.
#[track_caller]
pub fn follow(replica: &mut Client, master: &Server) {
    let port = master.address().port();
    expect(replica, &format!("REPLICAOF 127.0.0.1 {port}"), "OK");
}

/// Makes an RDB, once no child makes one any more.
///
/// # Panics
/// If it is not made.
#[track_caller]
pub fn save(client: &mut Client) {
    wait_for("no child saves", || {
        info(client, "rdb_bgsave_in_progress") == "0"
    });
    expect(client, "SAVE", "OK");
}

/// Waits until `replica` has all that `master` had when this began, and is still linked to it.
///
/// # Panics
/// If that takes too long.
#[track_caller]
pub fn wait_in_sync(master: &mut Client, replica: &mut Client) {
    // The id tells that the replica's offset is one of this master's.
    wait_for("the replica is in sync", || {
        let told = ["master_replid", "master_repl_offset"].map(|field| info(master, field));
        let mut seen = ["master_replid", "master_repl_offset"].map(|field| info(replica, field));
        let up = info(replica, "master_link_status") == "up";
        let offset = |seen: &[String; 2]| seen[1].parse::<u64>().unwrap_or(0);
        let reached = offset(&seen) >= offset(&told);
        seen[1].clone_from(&told[1]);
        up && reached && seen == told
    });
}

/// The digest of everything a server has, PM keys and native ones.
///
/// # Panics
/// If the connection breaks.
pub fn digest(client: &mut Client) -> String {
    ask(client, "DEBUG DIGEST")
}

/// Expects two servers to have the same keys with the same contents and expirations.
///
/// # Panics
/// If they do not; the message names keys that differ.
#[track_caller]
pub fn assert_same(one: &mut Client, other: &mut Client) {
    if digest(one) == digest(other) {
        return;
    }
    let (here, there) = (key_digests(one, "KEYS"), key_digests(other, "KEYS"));
    let differ = |a: &[String], b: &[String]| {
        let only: Vec<_> = a.iter().filter(|key| !b.contains(key)).take(5).collect();
        format!("{only:#?}")
    };
    panic!(
        "{} and {} keys; only here {}; only there {}",
        here.len(),
        there.len(),
        differ(&here, &there),
        differ(&there, &here)
    );
}

/// The PM keys of the first databases with their expire times and the digests of their values,
/// which are the same in every pool.
///
/// # Panics
/// If the connection breaks.
pub fn pm_digests(client: &mut Client) -> Vec<String> {
    key_digests(client, "PM.KEYS")
}

/// The same of the keys that a command lists.
fn key_digests(client: &mut Client, list: &str) -> Vec<String> {
    let mut keys = Vec::new();
    for db in 0..8 {
        if ask(client, &format!("SELECT {db}")) != "OK" {
            break;
        }
        let names = client.call(&[list, "*"]);
        for name in names.elements().unwrap_or_default() {
            let Value::Bulk(name) = name else { continue };
            let mut about = |words: &[&[u8]]| words_of(&client.call(&[words, &[name]].concat()));
            let value = about(&[b"DEBUG", b"DIGEST-VALUE"]);
            let expires = about(&[b"PEXPIRETIME"]);
            keys.push(format!("{db} {} {value} {expires}", name.escape_ascii()));
        }
    }
    expect(client, "SELECT 0", "OK");
    keys.sort();
    keys
}

/// Keys of all types, in several encodings and sizes, some native, made and changed by commands
/// that do not replicate as they are. `round` makes another set of changes of the same keys.
///
/// # Panics
/// If a command fails.
#[track_caller]
pub fn write_some(client: &mut Client, round: u64) {
    let big = "x".repeat(100_000);
    let r = round.to_string();
    let lines = [
        "PM.INCR n",
        "PM.INCRBYFLOAT f 0.1",
        "PM.APPEND grows abcdefgh",
        "PM.SETEX soon 1000 v",
        "PM.SET later v PX 100000000",
        "PM.RPUSH l a b c d e f",
        "PM.LPOP l 2",
        "PM.LMOVE l l LEFT RIGHT",
        "PM.HINCRBY h n 3",
        "PM.HINCRBYFLOAT h f 0.25",
        "PM.SADD s a b c d e f g h",
        "PM.SPOP s 2",
        "PM.SPOP s",
        "PM.ZINCRBY z 1.5 a",
        "PM.ZADD z 1 b 2 c 3 d",
        "PM.ZPOPMIN z",
        "PM.ZUNIONSTORE zz 2 z s",
        "PM.BITFIELD bits INCRBY u8 #3 7 OVERFLOW FAIL SET i5 1000 3",
        "PM.SETBIT bits 77 1",
        "PM.BITOP NOT flipped bits",
        "PM.PFADD hll a b c d",
        "PM.PFCOUNT hll",
        "PM.PFMERGE merged hll absent",
        "PM.GEOADD map CH 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
        "PM.GEORADIUS map 15 37 100 km STORE near",
        "PM.GEOSEARCHSTORE distances map FROMLONLAT 15 37 BYBOX 400 400 km STOREDIST",
        "INCR native",
        "RPUSH nativelist x",
        "MULTI",
        "PM.INCR n",
        "PM.RPUSH l in multi",
        "INCR native",
        "EXEC",
        "COPY l copy REPLACE",
        "RENAME copy renamed",
        "PM.EXPIRE grows 100000",
        "SELECT 3",
        "PM.INCR n",
        "PM.HSET h a b",
        "SELECT 0",
        "PM.DEL gone absent",
        "PM.SADD gone x",
    ];
    for line in lines {
        let reply = ask(client, line);
        assert!(!reply.starts_with("(error)"), "{line}: {reply}");
    }
    let script = "redis.call('PM.INCR', KEYS[1]) redis.call('PM.LPUSH', KEYS[2], ARGV[1]) return 1";
    let mut calls = vec![
        vec!["EVAL", script, "2", "n", "l", &r],
        vec!["PM.SET", "big", &big],
    ];
    calls.push(vec!["PM.HSET", "h", &r, &big]);
    let numbers: Vec<String> = (0..700).map(|i| format!("{}", i * 7 + round)).collect();
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    for command in [&["PM.SADD", "many"][..], &["PM.RPUSH", "long"]] {
        calls.push([command, &numbers].concat());
    }
    let pairs: Vec<&str> = numbers.iter().flat_map(|n| [*n, *n]).collect();
    for command in [&["PM.ZADD", "ranked"][..], &["PM.HSET", "wide"]] {
        calls.push([command, &pairs].concat());
    }
    for call in calls {
        let reply = client.call(&call);
        assert!(!reply.is_error(), "{} {}: {reply:?}", call[0], call[1]);
    }
}
