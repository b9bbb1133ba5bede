//! Native commands on PM keys: each does what it does to native keys, and what it has done is there
//! after kill -9.

use std::time::Duration;
use testkit::client::Client;
use testkit::packaged::Packaged;
use testkit::replication::wait_for;
use testkit::resp::Value;
use testkit::script::{ask, crash, expect, pm_keys, run, words};
use testkit::server::{Server, Setup};

const DBS: u32 = 4;

fn start() -> (Server, Client) {
    let server = Setup::pmedis("64m").start().unwrap();
    let client = server.client();
    (server, client)
}

/// Unix milliseconds so many seconds from now.
fn in_seconds(seconds: u64) -> u64 {
    let now = std::time::UNIX_EPOCH.elapsed().expect("a clock");
    now.as_millis() as u64 + seconds * 1000
}

/// What is there before each of [`COMMANDS`].
const KEYS: &str = "
    FLUSHALL -> OK
    PM.SET s string -> OK
    PM.SET n 42 -> OK
    PM.SET ttl v EX 1000 -> OK
    PM.RPUSH l a b c -> 3
    PM.HSET h f v g w -> 2
    PM.SADD set x y -> 2
    PM.ZADD z 1 a 2 b -> 2
    SET native nv -> OK
    SELECT 1 -> OK
    PM.SET s other -> OK
    SELECT 0 -> OK
";

/// A command of several lines, its replies, and what is to be seen then, before and after a crash.
const COMMANDS: &[(&str, &str)] = &[
    ("DEL s l h set z absent -> 5", "EXISTS s l h set z -> 0"),
    ("UNLINK s l h set z absent -> 5", "EXISTS s l h set z -> 0"),
    ("PM.DEL s native -> 1", "EXISTS s -> 0"),
    ("PM.UNLINK s native -> 1", "EXISTS s -> 0"),
    (
        "EXPIRE s 1000 -> 1\nPEXPIREAT n 33177117420000 -> 1",
        "PEXPIRETIME n -> 33177117420000",
    ),
    (
        "EXPIREAT h 33177117420 -> 1\nPEXPIRE z 10000000 -> 1",
        "EXPIRETIME h -> 33177117420",
    ),
    (
        "PEXPIREAT ttl 33177117420000 NX -> 0\nPEXPIREAT ttl 33177117420000 GT -> 1",
        "EXPIRETIME ttl -> 33177117420",
    ),
    (
        "PEXPIREAT s 33177117420000 XX -> 0\nPEXPIREAT s 33177117420000 LT -> 1",
        "EXPIRETIME s -> 33177117420",
    ),
    (
        "PM.PEXPIREAT s 33177117420000 NX -> 1",
        "PM.EXPIRETIME s -> 33177117420",
    ),
    ("EXPIREAT s 1 -> 1\nPEXPIRE l -1 -> 1", "EXISTS s l -> 0"),
    ("PERSIST ttl -> 1\nPERSIST s -> 0", "TTL ttl -> -1"),
    ("PM.PERSIST ttl -> 1", "PM.TTL ttl -> -1"),
    ("RENAME s t -> OK", "PM.GET t -> string\nEXISTS s -> 0"),
    ("RENAME ttl t -> OK", "PM.GET t -> v\nPERSIST t -> 1"),
    (
        "RENAME l s -> OK",
        "PM.LRANGE s 0 -1 -> [a b c]\nEXISTS l -> 0",
    ),
    (
        "RENAME s native -> OK",
        "PM.GET native -> string\nEXISTS s -> 0",
    ),
    ("RENAME native s -> OK", "PM.EXISTS s -> 0"),
    (
        "RENAMENX z s -> 0\nRENAMENX z t -> 1",
        "PM.ZRANGE t 0 -1 -> [a b]\nEXISTS z -> 0",
    ),
    (
        "PM.RENAME h a-much-longer-name-than-the-one-before -> OK",
        "PM.HGET a-much-longer-name-than-the-one-before f -> v",
    ),
    (
        "PM.RENAMENX s native -> 0\nPM.RENAMENX s t -> 1",
        "PM.GET t -> string",
    ),
    (
        "COPY l t -> 1\nCOPY l s -> 0\nCOPY l s REPLACE -> 1",
        "PM.LRANGE s 0 -1 -> [a b c]\nPM.LRANGE t 0 -1 -> [a b c]\nPM.LRANGE l 0 -1 -> [a b c]",
    ),
    (
        "COPY h s DB 1 -> 0\nCOPY h s DB 1 REPLACE -> 1",
        "SELECT 1 -> OK\nPM.HGET s g -> w\nSELECT 0 -> OK\nPM.GET s -> string",
    ),
    (
        "COPY ttl t -> 1\nCOPY set u DB 2 -> 1\nCOPY z v -> 1",
        "PERSIST t -> 1\nPM.ZSCORE v b -> 2\nSELECT 2 -> OK\nPM.SCARD u -> 2\nSELECT 0 -> OK",
    ),
    ("PM.COPY s native REPLACE -> 1", "PM.GET native -> string"),
    (
        "MOVE s 1 -> 0\nMOVE n 1 -> 1\nMOVE z 3 -> 1",
        "EXISTS n z -> 0\nSELECT 1 -> OK\nPM.GET n -> 42\nSELECT 3 -> OK\nPM.ZCARD z -> 2\nSELECT 0 -> OK",
    ),
    (
        "SELECT 1 -> OK\nFLUSHDB -> OK\nSELECT 0 -> OK\nMOVE s 1 -> 1",
        "SELECT 1 -> OK\nPM.GET s -> string\nSELECT 0 -> OK",
    ),
    (
        "SWAPDB 0 1 -> OK",
        "PM.GET s -> other\nSELECT 1 -> OK\nPM.GET s -> string\nPM.GET n -> 42\nSELECT 0 -> OK",
    ),
    (
        "SWAPDB 0 3 -> OK\nPM.SET new 1 -> OK\nSWAPDB 3 1 -> OK\nFLUSHDB -> OK",
        "DBSIZE -> 0\nSELECT 1 -> OK\nPM.GET s -> string\nSELECT 3 -> OK\nPM.GET s -> other\nSELECT 0 -> OK",
    ),
    (
        "FLUSHDB -> OK",
        "DBSIZE -> 0\nSELECT 1 -> OK\nPM.GET s -> other\nSELECT 0 -> OK",
    ),
    (
        "FLUSHDB ASYNC -> OK\nPM.SET s again -> OK",
        "PM.GET s -> again\nPM.DBSIZE -> 1",
    ),
    (
        "FLUSHALL -> OK",
        "DBSIZE -> 0\nSELECT 1 -> OK\nDBSIZE -> 0\nSELECT 0 -> OK",
    ),
    (
        "FLUSHALL ASYNC -> OK\nPM.SET s again -> OK\nPM.RPUSH l 1 -> 1",
        "PM.GET s -> again\nPM.LLEN l -> 1\nPM.DBSIZE -> 2",
    ),
    (
        "PM.FLUSHDB -> OK",
        "PM.DBSIZE -> 0\nSELECT 1 -> OK\nPM.GET s -> other\nSELECT 0 -> OK",
    ),
    (
        "PM.FLUSHALL -> OK\nPM.FLUSHALL -> OK\nPM.SET s again -> OK\nPM.SET t v -> OK\nDEL s -> 1",
        "PM.DBSIZE -> 1\nEXISTS s -> 0",
    ),
    (
        "PM.FLUSHALL ASYNC -> OK\nPM.SET s again -> OK",
        "PM.DBSIZE -> 1\nPM.GET s -> again",
    ),
    (
        "SET s native -> OK\nMSET l 1 h 2 -> OK\nLPUSH new 1 -> 1",
        "PM.EXISTS s l h -> 0",
    ),
    (
        "SUNIONSTORE s new -> 0\nSADD new a -> 1\nSUNIONSTORE l new -> 1",
        "PM.EXISTS s l -> 0",
    ),
    (
        "PM.SET native pm -> OK\nPM.MSET native2 1 l 2 -> OK",
        "PM.GET native -> pm\nPM.GET l -> 2",
    ),
    (
        "MULTI -> OK\nDEL s -> QUEUED\nRENAME l s -> QUEUED\nPM.INCR n -> QUEUED\nSET x 1 -> QUEUED\nEXEC -> [1 OK 43 OK]",
        "PM.LLEN s -> 3\nPM.GET n -> 43\nEXISTS l -> 0",
    ),
];

#[test]
fn each_command_is_durable() {
    let (mut server, mut client) = start();
    for (commands, then) in COMMANDS {
        println!("{}", commands.replace('\n', "; "));
        run(&mut client, KEYS);
        run(&mut client, commands);
        let before = pm_keys(&mut client, DBS);
        let mut again = crash(&mut server);
        assert_eq!(pm_keys(&mut again, DBS), before, "{commands}");
        run(&mut again, then);
        client = again;
    }
}

#[test]
fn reads_are_as_of_native_keys() {
    let (_server, mut client) = start();
    run(&mut client, KEYS);
    run(
        &mut client,
        "
        EXISTS s l s absent -> 3
        TOUCH s l absent -> 2
        TYPE s -> pm-string
        TYPE l -> pm-list--
        PM.TYPE s -> string
        PM.TYPE l -> list
        PM.TYPE h -> hash
        PM.TYPE set -> set
        PM.TYPE z -> zset
        PM.TYPE native -> none
        PM.TYPE absent -> none
        TTL s -> -1
        TTL absent -> -2
        PM.TTL native -> -2
        PM.PTTL native -> -2
        PM.EXPIRE native 10 -> 0
        PM.PERSIST native -> 0
        PM.RENAME native x -> (error) ERR no such key
        PM.RENAME absent x -> (error) ERR no such key
        PM.COPY native x -> 0
        PM.EXISTS s native s -> 2
        PM.TOUCH native -> 0
        PM.EXPIRE s x -> (error) ERR value is not an integer or out of range
        PM.EXPIRE s 10 NX XX -> (error) ERR NX and XX, GT or LT options at the same time are not compatible
        DBSIZE -> 8
        PM.DBSIZE -> 7
        OBJECT REFCOUNT s -> 1
        PM.OBJECT REFCOUNT s -> 1
        PM.OBJECT REFCOUNT native -> nil
        PM.OBJECT ENCODING n -> int
        PM.OBJECT ENCODING s -> embstr
        PM.OBJECT ENCODING h -> listpack
        PM.OBJECT ENCODING z -> listpack
        PM.OBJECT ENCODING native -> nil
        PM.OBJECT ENCODING absent -> nil
        PM.OBJECT FREQ s -> (error) ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.
        PM.OBJECT NOSUCH s -> (error) ERR unknown subcommand 'NOSUCH'. Try PM.OBJECT HELP.
        PM.OBJECT -> (error) ERR wrong number of arguments for 'pm.object' command
        PM.OBJECT ENCODING -> (error) ERR wrong number of arguments for 'pm.object|encoding' command
        SORT s -> (error) WRONGTYPE Operation against a key holding the wrong kind of value
        GET s -> (error) WRONGTYPE Operation against a key holding the wrong kind of value
        PM.SADD ints 1 2 3 -> 3
        PM.OBJECT ENCODING ints -> intset
        COMMAND GETKEYS PM.DEL a b -> [a b]
        COMMAND GETKEYS PM.RENAME a b -> [a b]
        COMMAND GETKEYS PM.OBJECT ENCODING k -> [k]
        COMMAND GETKEYS PM.COPY a b DB 3 -> [a b]
        ",
    );
    // From 7.2 on, small lists and sets are packed, too.
    let (list, set) = if Packaged::current().is_redis_7_0() {
        ("quicklist", "hashtable")
    } else {
        ("listpack", "listpack")
    };
    expect(&mut client, "PM.OBJECT ENCODING l", list);
    expect(&mut client, "PM.OBJECT ENCODING set", set);
    // Longer than what any server keeps in one piece with the key.
    let long = "x".repeat(128);
    run(
        &mut client,
        &format!("PM.SET raw {long}\nPM.OBJECT ENCODING raw -> raw"),
    );
    let help = ask(&mut client, "PM.OBJECT HELP");
    let native = ask(&mut client, "OBJECT HELP");
    assert_eq!(help, native.replacen('[', "[PM.", 1));
    let usage = client.call(&["MEMORY", "USAGE", "raw"]);
    assert!(usage.integer().is_some_and(|n| n > 45), "{usage:?}");
    // What names the keys, names them all.
    for (pm, native) in [("PM.KEYS *", 9), ("KEYS *", 10)] {
        let keys = client.call(&pm.split(' ').collect::<Vec<_>>());
        assert_eq!(
            keys.elements().map(<[Value]>::len),
            Some(native),
            "{keys:?}"
        );
    }
    let scanned = |client: &mut Client, options: &str| {
        let (mut cursor, mut all) = ("0".to_owned(), Vec::new());
        loop {
            let reply = client.call(&format!("{cursor}{options}").split(' ').fold(
                vec!["PM.SCAN".to_owned()],
                |mut words, word| {
                    words.push(word.to_owned());
                    words
                },
            ));
            let [next, keys] = reply.elements().expect("a step") else {
                panic!("{reply:?}")
            };
            all.extend(keys.elements().expect("keys").iter().map(words));
            cursor = words(next);
            if cursor == "0" {
                all.sort();
                return all;
            }
        }
    };
    assert_eq!(scanned(&mut client, "").len(), 9);
    assert_eq!(scanned(&mut client, " COUNT 1 TYPE hash"), ["h"]);
    assert_eq!(scanned(&mut client, " TYPE string MATCH [sn]"), ["n", "s"]);
    run(
        &mut client,
        "
        PM.SCAN x -> (error) ERR invalid cursor
        PM.SCAN 0 COUNT 0 -> (error) ERR syntax error
        PM.SCAN 0 TYPE -> (error) ERR syntax error
        ",
    );
    for _ in 0..100 {
        let drawn = ask(&mut client, "PM.RANDOMKEY");
        assert!(drawn != "nil" && drawn != "native", "{drawn}");
    }
    // One among many native keys is found, too.
    run(
        &mut client,
        "PM.FLUSHALL -> OK\nPM.RANDOMKEY -> nil\nDEBUG POPULATE 5000 -> OK\nPM.SET only 1",
    );
    expect(&mut client, "PM.RANDOMKEY", "only");
    run(
        &mut client,
        "PM.FLUSHDB ASYNC -> OK\nDBSIZE -> 5001\nPM.DBSIZE -> 0",
    );
    run(&mut client, "PM.FLUSHDB NOW -> (error) ERR syntax error");
}

#[test]
fn the_last_times_of_all_are_rounded_as_natively() {
    let (_server, mut client) = start();
    for last in ["499", "500", "806"] {
        let [native, pm] = ["", "PM."].map(|prefix| {
            let key = format!("{prefix}k");
            let line = format!("{prefix}SET {key} v PXAT 9223372036854775{last}");
            expect(&mut client, &line, "OK");
            ["EXPIRETIME", "PEXPIRETIME"]
                .map(|command| ask(&mut client, &format!("{prefix}{command} {key}")))
        });
        assert_eq!(pm, native, "{last}");
    }
}

#[test]
fn there_are_as_many_databases_as_configured() {
    let server = Setup::pmedis("64m").directive("databases 100").start();
    let mut server = server.unwrap();
    let mut client = server.client();
    for db in [0, 15, 16, 63, 99] {
        run(
            &mut client,
            &format!("SELECT {db} -> OK\nPM.SET here {db} -> OK"),
        );
    }
    expect(
        &mut client,
        "SELECT 100",
        "(error) ERR DB index is out of range",
    );
    run(
        &mut client,
        "SWAPDB 99 16 -> OK\nSELECT 16 -> OK\nMOVE here 40 -> 1",
    );
    let mut client = crash(&mut server);
    for (db, value) in [
        (0, "0"),
        (15, "15"),
        (16, "nil"),
        (40, "99"),
        (63, "63"),
        (99, "16"),
    ] {
        run(
            &mut client,
            &format!("SELECT {db} -> OK\nPM.GET here -> {value}"),
        );
        let size = u64::from(value != "nil");
        run(
            &mut client,
            &format!("PM.DBSIZE -> {size}\nDBSIZE -> {size}"),
        );
    }
}

#[test]
fn expired_keys_stay_gone() {
    let (mut server, mut client) = start();
    // Lazily: nobody but the reader notices.
    run(
        &mut client,
        "DEBUG SET-ACTIVE-EXPIRE 0 -> OK\nPM.SET lazy v PX 20 -> OK\nPM.SET stays v -> OK",
    );
    wait_for("expired", || ask(&mut client, "PM.GET lazy") == "nil");
    expect(&mut client, "DBSIZE", "1");
    // Actively: nobody reads.
    run(&mut client, "DEBUG SET-ACTIVE-EXPIRE 1 -> OK");
    for n in 0..100 {
        run(
            &mut client,
            &format!("PM.SET active:{n} v PX 20 -> OK\nPM.RPUSH list:{n} v\nPEXPIRE list:{n} 20"),
        );
    }
    wait_for("expired", || ask(&mut client, "DBSIZE") == "1");
    expect(&mut client, "PM.DBSIZE", "1");
    let mut client = crash(&mut server);
    run(&mut client, "DBSIZE -> 1\nPM.GET stays -> v");
    // While the server is down.
    run(&mut client, "PM.SET down v PX 50 -> OK");
    server.kill9();
    std::thread::sleep(Duration::from_millis(60));
    let mut client = crash(&mut server);
    run(&mut client, "PM.GET down -> nil\nPM.DBSIZE -> 1");
}

#[test]
fn evicted_keys_stay_gone() {
    const KEYS: usize = 8000;
    let mut server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    for policy in [
        "allkeys-random",
        "allkeys-lru",
        "allkeys-lfu",
        "volatile-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-ttl",
    ] {
        run(
            &mut client,
            &format!("FLUSHALL -> OK\nCONFIG SET maxmemory-policy {policy} -> OK"),
        );
        run(&mut client, "PM.SET lasts v -> OK");
        for n in 0..KEYS {
            client.queue(
                &format!("PM.SET key:{n} v EX 100000")
                    .split(' ')
                    .collect::<Vec<_>>(),
            );
        }
        client.send().unwrap();
        for _ in 0..KEYS {
            assert_eq!(words(&client.receive().unwrap()), "OK");
        }
        let used = ask(&mut client, "INFO memory");
        let used = used.split("used_memory:").nth(1).expect("a figure");
        let used: u64 = used.split('\\').next().unwrap().parse().expect("a number");
        run(
            &mut client,
            &format!("CONFIG SET maxmemory {} -> OK", used - 300_000),
        );
        wait_for("evicted", || {
            expect(&mut client, "PM.SET again v EX 100000", "OK");
            client.call(&["DBSIZE"]).integer().unwrap() < KEYS as i64 - 1000
        });
        run(&mut client, "CONFIG SET maxmemory 0 -> OK");
        if policy.starts_with("volatile") {
            expect(&mut client, "PM.GET lasts", "v");
        }
        let state = |client: &mut Client| [ask(client, "PM.DBSIZE"), ask(client, "DEBUG DIGEST")];
        let before = state(&mut client);
        expect(&mut client, "DBSIZE", &before[0]);
        client = crash(&mut server);
        assert_eq!(state(&mut client), before, "{policy}");
    }
}

#[test]
fn values_go_through_dump_and_restore() {
    let (mut server, mut client) = start();
    run(&mut client, KEYS);
    let at = in_seconds(1000).to_string();
    for key in ["s", "n", "l", "h", "set", "z"] {
        let dump = client.call(&["DUMP", key]);
        let payload = dump.bytes().expect("a payload");
        let copy = format!("{key}:copy");
        let restore = |client: &mut Client, ttl: &str, options: &[&str]| {
            let mut command = vec![&b"RESTORE"[..], copy.as_bytes(), ttl.as_bytes(), payload];
            command.extend(options.iter().map(|option| option.as_bytes()));
            words(&client.call(&command))
        };
        assert_eq!(restore(&mut client, "0", &[]), "OK");
        assert_eq!(
            restore(&mut client, "0", &[]),
            "(error) BUSYKEY Target key name already exists."
        );
        assert_eq!(
            restore(&mut client, &at, &["REPLACE", "ABSTTL", "IDLETIME", "100"]),
            "OK"
        );
        let idle = client.call(&["OBJECT", "IDLETIME", &copy]).integer();
        assert!(
            idle.is_some_and(|idle| (100..200).contains(&idle)),
            "{idle:?}"
        );
        assert_eq!(ask(&mut client, &format!("PEXPIRETIME {copy}")), at);
        assert_eq!(client.call(&["DUMP", &copy]), dump);
        // One bit, and the payload is refused without a trace.
        let mut bent = payload.to_vec();
        bent[payload.len() / 2] ^= 1;
        let refused = client.call(&[b"RESTORE", &b"bent"[..], b"0", &bent]);
        assert!(refused.is_error(), "{refused:?}");
    }
    expect(&mut client, "PM.DBSIZE", "13");
    let before = pm_keys(&mut client, DBS);
    let mut client = crash(&mut server);
    assert_eq!(pm_keys(&mut client, DBS), before);
    // A restored key that has expired is none.
    let dump = client.call(&["DUMP", "s"]);
    let past = client.call(&[
        b"RESTORE",
        &b"past"[..],
        b"1000",
        dump.bytes().unwrap(),
        b"ABSTTL",
    ]);
    assert_eq!(words(&past), "OK");
    run(&mut client, "EXISTS past -> 0\nPM.DBSIZE -> 13");
}
