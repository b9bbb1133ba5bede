//! The pool, the RDB and the AOF: whichever of them are there, absent or older, nothing is lost
//! that the pool has, and nothing comes twice.

use std::fs;
use std::path::PathBuf;
use testkit::client::Client;
use testkit::rdb::sealed;
use testkit::replication::{digest, info, pm_digests, wait_for, write_some};
use testkit::script::{ask, crash, expect, run, words as words_of};
use testkit::server::{Server, Setup};

/// A server with these arguments of the module beside the pool's.
fn setup(arguments: &[&str]) -> Setup {
    Setup::pmedis_with("64m", arguments)
}

fn start(setup: &Setup) -> (Server, Client) {
    let server = setup.start().unwrap();
    let client = server.client();
    (server, client)
}

fn rdb(server: &Server) -> PathBuf {
    server.setup().dir().join("dump.rdb")
}

fn rdb_len(server: &Server) -> u64 {
    fs::metadata(rdb(server)).unwrap().len()
}

fn wait_for_children(client: &mut Client) {
    wait_for("no child saves any more", || {
        info(client, "rdb_bgsave_in_progress") == "0"
            && info(client, "aof_rewrite_in_progress") == "0"
            && info(client, "aof_rewrite_scheduled") == "0"
    });
}

const LOST: &str = "whose values are in the pool of the server that made it; this pool is new";

#[test]
fn the_pool_wins_over_older_files_and_is_restored_from_full_ones_only() {
    for content in ["markers", "full"] {
        for aof in ["no", "yes"] {
            let setup = setup(&["rdb", content])
                .directive(&format!("appendonly {aof}"))
                .directive("appendfsync always");
            let (mut server, mut client) = start(&setup);
            write_some(&mut client, 1);
            if aof == "yes" {
                expect(
                    &mut client,
                    "BGREWRITEAOF",
                    "Background append only file rewriting started",
                );
                wait_for_children(&mut client);
            }
            expect(&mut client, "SAVE", "OK");
            let saved = pm_digests(&mut client);
            server.stop();
            fs::copy(setup.pool(), setup.dir().join("older.pool")).unwrap();
            server.restart().unwrap();
            let mut client = server.client();
            write_some(&mut client, 2);
            run(&mut client, "PM.DEL f\nPM.SET new v\nRENAME l m");
            let last = pm_digests(&mut client);

            let what = format!("rdb {content}, appendonly {aof}");
            let mut client = crash(&mut server);
            assert_eq!(pm_digests(&mut client), last, "{what}: all there");
            server.kill9();
            let hidden = setup.dir().join("hidden.rdb");
            fs::rename(rdb(&server), &hidden).unwrap();
            server.restart().unwrap();
            assert_eq!(pm_digests(&mut server.client()), last, "{what}: no RDB");
            server.kill9();
            fs::rename(&hidden, rdb(&server)).unwrap();

            fs::copy(setup.dir().join("older.pool"), setup.pool()).unwrap();
            server.restart().unwrap();
            let mut client = server.client();
            assert_eq!(pm_digests(&mut client), saved, "{what}: older pool");
            server.kill9();

            fs::remove_file(setup.pool()).unwrap();
            if content == "full" && aof == "no" {
                server.restart().unwrap();
                let mut client = server.client();
                assert_eq!(pm_digests(&mut client), saved, "{what}: RDB only");
                let mut client = crash(&mut server);
                assert_eq!(pm_digests(&mut client), saved, "{what}: taken over");
                continue;
            }
            let refusal = server.restart().expect_err("markers only");
            assert!(refusal.log.contains(LOST), "{what}: {}", refusal.log);
            drop(server);
            let drops = setup.clone();
            let pool = drops.pool().to_string_lossy().into_owned();
            assert!(!drops.pool().exists(), "{what}: the new pool stays");
            let lenient = lenient_on(&drops, &pool, aof);
            let (lenient, mut client) = start(&lenient);
            assert_eq!(pm_digests(&mut client), Vec::<String>::new(), "{what}");
            expect(
                &mut client,
                "GET native",
                if aof == "yes" { "4" } else { "2" },
            );
            assert!(lenient.log().contains("PM keys are lost"), "{what}");
        }
    }
}

/// A server like `setup`, on the same files, that starts without the keys it cannot have.
fn lenient_on(setup: &Setup, pool: &str, aof: &str) -> Setup {
    let lenient = Setup::native().force_pmem();
    for name in ["dump.rdb", "appendonlydir"] {
        let from = setup.dir().join(name);
        if from.exists() {
            fs::rename(from, lenient.dir().join(name)).unwrap();
        }
    }
    lenient
        .module(&["path", pool, "size", "64m", "orphans", "drop"])
        .directive(&format!("appendonly {aof}"))
        .directive("appendfsync always")
}

#[test]
fn without_pool_and_files_there_is_nothing() {
    let (mut server, mut client) = start(&setup(&[]));
    write_some(&mut client, 1);
    server.stop();
    fs::remove_file(server.setup().pool()).unwrap();
    server.restart().unwrap();
    expect(&mut server.client(), "DBSIZE", "0");
}

#[test]
fn a_reload_leaves_pm_keys_as_the_pool_has_them() {
    for content in ["markers", "full"] {
        let setup = setup(&["rdb", content])
            .directive("appendonly yes")
            .directive("appendfsync always");
        let (mut server, mut client) = start(&setup);
        write_some(&mut client, 1);
        expect(&mut client, "SAVE", "OK");
        write_some(&mut client, 2);
        run(
            &mut client,
            "PM.DEL f\nPM.SET new v\nPM.SET native-no-more v",
        );
        let before = pm_digests(&mut client);
        let counts = ask(&mut client, "PM.DBSIZE");
        for reload in [
            "DEBUG RELOAD NOSAVE",
            "DEBUG RELOAD",
            "DEBUG RELOAD NOFLUSH MERGE",
            "DEBUG LOADAOF",
        ] {
            // What follows in the same packet finds the keys already.
            let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
            let replies = client
                .pipeline(&[words(reload), words("PM.GET new")])
                .unwrap();
            assert_eq!(words_of(&replies[0]), "OK", "{reload}: {}", server.log());
            assert_eq!(replies[1].bytes(), Some(b"v".as_slice()), "{reload}");
            assert_eq!(pm_digests(&mut client), before, "{content}: {reload}");
            expect(&mut client, "PM.DBSIZE", &counts);
        }
        run(&mut client, "PM.SET after v");
        let before = pm_digests(&mut client);
        let mut client = crash(&mut server);
        assert_eq!(pm_digests(&mut client), before, "{content}");
        // A reload that does not come to loading anything.
        fs::remove_file(rdb(&server)).unwrap();
        let failed = ask(&mut client, "DEBUG RELOAD NOSAVE");
        assert!(failed.starts_with("(error)"), "{failed}");
        assert_eq!(pm_digests(&mut client), before, "{content}");
        // In a transaction, it is told of before it runs.
        run(&mut client, "MULTI\nDEBUG RELOAD -> QUEUED\nPM.GET after");
        expect(&mut client, "EXEC", "[OK v]");
        assert_eq!(pm_digests(&mut client), before, "{content}");
        let mut client = crash(&mut server);
        assert_eq!(pm_digests(&mut client), before, "{content}");
    }
}

#[test]
fn a_reload_finds_once_what_is_to_be_reclaimed() {
    let (server, mut client) = start(&setup(&[]));
    let large: Vec<String> = (0..6).map(|n| format!("large:{n}")).collect();
    for key in &large {
        for from in (0..20_000).step_by(1000) {
            let mut words = vec!["PM.ZADD".to_owned(), key.clone()];
            words.extend((from..from + 1000).flat_map(|n| [n.to_string(), format!("member:{n}")]));
            client.call(&words);
        }
    }
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut commands = vec![words("PM.ZREMRANGEBYRANK large:0 10 -10")];
    let mut deletion = words("PM.DEL");
    deletion.extend_from_slice(&large[1..]);
    // All in one event-loop cycle: nothing is reclaimed before the reload.
    commands.extend([deletion, words("DEBUG RELOAD")]);
    let replies = client.pipeline(&commands).unwrap();
    let replies: Vec<String> = replies.iter().map(words_of).collect();
    assert_eq!(replies, ["19981", "5", "OK"]);
    let values = info(&mut client, "pmedis_reclaim_values")
        .parse::<usize>()
        .unwrap();
    assert!(values <= large.len(), "{values}");
    // What takes the places of what is reclaimed stays.
    for n in 0..1000 {
        expect(&mut client, &format!("PM.SET key:{n} {n}"), "OK");
    }
    wait_for("all is reclaimed", || {
        info(&mut client, "pmedis_reclaim_values") == "0"
    });
    for n in 0..1000 {
        expect(&mut client, &format!("PM.GET key:{n}"), &n.to_string());
    }
    expect(&mut client, "PM.ZCARD large:0", "19");
    assert!(!server.log().contains("is lost"), "{}", server.log());
}

#[test]
fn only_full_files_take_the_space_of_the_values() {
    const VALUES: usize = 50;
    const LEN: usize = 100_000;
    for (content, is_full) in [("markers", false), ("full", true)] {
        let setup = setup(&["rdb", content])
            .directive("appendonly yes")
            .directive("appendfsync always")
            .directive("rdbcompression no");
        let (mut server, mut client) = start(&setup);
        for n in 0..VALUES {
            let value: String = (0..LEN)
                .map(|i| ((i * n) as u8 % 26 + b'a') as char)
                .collect();
            client.call(&["PM.SET", &format!("key:{n}"), &value]);
        }
        let total = (VALUES * LEN) as u64;
        let small = 100 * VALUES as u64;
        let holds = |len: u64| if is_full { len > total } else { len < small };
        expect(&mut client, "SAVE", "OK");
        assert!(holds(rdb_len(&server)), "SAVE: {}", rdb_len(&server));
        fs::remove_file(rdb(&server)).unwrap();
        expect(&mut client, "BGSAVE", "Background saving started");
        wait_for_children(&mut client);
        assert!(holds(rdb_len(&server)), "BGSAVE: {}", rdb_len(&server));
        fs::remove_file(rdb(&server)).unwrap();

        run(&mut client, "BGREWRITEAOF");
        wait_for_children(&mut client);
        let aof: u64 = fs::read_dir(setup.dir().join("appendonlydir"))
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        assert!(aof < small, "the AOF has {aof} bytes");

        let before = digest(&mut client);
        // What a replica gets, and redis-cli --rdb, is full.
        let mut replica = server.client();
        replica.queue(&["SYNC"]);
        replica.send().unwrap();
        let file = replica.receive_snapshot().unwrap();
        assert!(file.len() as u64 > total, "{} bytes", file.len());
        drop(replica);
        assert!(ask(&mut client, "DUMP key:1").len() > LEN);

        let call = client.call(&["CONFIG", "SET", "save", "3600 1", "appendonly", "no"]);
        assert_eq!(call.bytes(), Some(b"OK".as_slice()));
        fs::remove_file(rdb(&server)).ok();
        server.stop();
        assert!(holds(rdb_len(&server)), "SHUTDOWN: {}", rdb_len(&server));

        // A backup, put into a server with an empty pool.
        let (empty, _) = start(&Setup::pmedis("64m"));
        let restored = empty.setup().clone();
        drop(empty);
        fs::remove_file(restored.pool()).unwrap();
        fs::write(restored.dir().join("dump.rdb"), &file).unwrap();
        let (mut restored, mut client) = start(&restored);
        assert_eq!(digest(&mut client), before);
        let mut client = crash(&mut restored);
        assert_eq!(digest(&mut client), before);
    }
}

#[test]
fn files_are_not_restored_by_hand() {
    // A marker, and a value with a moment, are for files: in RESTORE they are malformed.
    let (_server, mut client) = start(&setup(&["rdb", "full"]));
    run(&mut client, "PM.SET s v");
    let dump = client.call(&["DUMP", "s"]);
    let dump = dump.bytes().unwrap();
    // Type byte, 9 bytes of module id and version, then the head: an opcode and the number.
    let head = dump.windows(2).position(|pair| pair == [2, 0]).unwrap() + 1;
    for (value, fits) in [(0, true), (1, false), (2, false), (3, false), (4, false)] {
        let mut payload = dump.to_vec();
        payload[head] = value;
        let payload = sealed(payload);
        let args: [&[u8]; 5] = [b"RESTORE", b"r", b"0", &payload, b"REPLACE"];
        let reply = client.call(&args);
        assert_eq!(reply.is_error(), !fits, "{value}: {reply:?}");
    }
    expect(&mut client, "PM.GET r", "v");
}

/// As where the file system with the pool is not mounted.
#[test]
fn a_start_that_is_refused_leaves_no_pool_behind() {
    let (mut server, mut client) = start(&setup(&[]));
    write_some(&mut client, 1);
    expect(&mut client, "SAVE", "OK");
    server.stop();
    for arguments in [
        ["durability", "process"].as_slice(),
        &["durability", "disk"],
        &["durability", "process", "max-size", "64m"],
    ] {
        let other = Setup::native();
        fs::copy(rdb(&server), other.dir().join("dump.rdb")).unwrap();
        let mount = other.dir().join("mount");
        fs::create_dir(&mount).unwrap();
        let path = mount.join("pool").to_string_lossy().into_owned();
        let arguments = [&["path", &path, "size", "16m"], arguments].concat();
        let other = other.module(&arguments);
        let refusal = other.refusal();
        assert!(refusal.log.contains(LOST), "{arguments:?}: {refusal:?}");
        let left: Vec<_> = fs::read_dir(&mount).unwrap().collect();
        assert!(left.is_empty(), "{arguments:?}: {left:?}");
    }
}
