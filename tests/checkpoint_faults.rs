//! `durability disk` on real servers whose checkpoints fail while the journal still takes records:
//! what was let through before is not acknowledged, and replicas end rather than to fall behind.

use std::fs;
use std::path::Path;
use std::time::Duration;
use testkit::client::Client;
use testkit::preload::failing_disk;
use testkit::replication::{assert_same, follow, info, wait_for, wait_in_sync};
use testkit::resp::Value;
use testkit::script::{ask, crash, disk_info, expect, pm_info, words};
use testkit::server::{Server, Setup};

/// Has checkpoints fail, and writes until that is seen: the journal is full then, or the disk
/// counts as broken.
fn fail_checkpoints(client: &mut Client, flag: &Path, errno: i32) {
    fs::write(flag, format!("c{errno}")).unwrap();
    let value = "x".repeat(20_000);
    let is_refused = |n: u32| {
        let name = format!("large:{}", n % 50);
        let told = client.try_call(&["PM.SET", &name, &value]);
        !matches!(told, Ok(Value::Simple(_)))
    };
    assert!((0..100_000).any(is_refused), "checkpoints go on");
}

/// What clients have queued for EXEC when checkpoints begin to fail. All but the last two have keys
/// of their own.
const QUEUED: [&str; 15] = [
    "RENAME renamed other",
    "DEL deleted",
    "UNLINK unlinked deleted:too",
    "PM.DEL gone",
    "PM.UNLINK gone:too",
    "PM.SET set other",
    "PM.RENAME renamed:too another",
    "SET overwritten native",
    "COPY copied copy",
    "EXPIRE expires 1000",
    "PERSIST persists",
    "MOVE moved 1",
    "EVAL redis.call('DEL',KEYS[1]) 1 scripted",
    "SWAPDB 0 1",
    "FLUSHALL",
];

/// What is in the first two databases.
fn contents(client: &mut Client) -> Vec<String> {
    let mut all = vec![ask(client, "DEBUG DIGEST")];
    for db in 0..2 {
        expect(client, &format!("SELECT {db}"), "OK");
        all.extend(["DBSIZE", "PM.DBSIZE"].map(|command| ask(client, command)));
    }
    expect(client, "SELECT 0", "OK");
    all
}

#[test]
fn what_was_queued_before_a_checkpoint_failed_is_not_acknowledged() {
    for (threads, errno) in [
        ("io-threads 1", libc::ENOSPC),
        ("io-threads 1", libc::EIO),
        ("io-threads 4", libc::ENOSPC),
        ("io-threads 4", libc::EIO),
    ] {
        let Some((mut server, flag)) = failing_disk(&[threads]) else {
            return;
        };
        let mut client = server.client();
        for command in QUEUED {
            let name = command.split(' ').find(|word| {
                let is_name = |byte: u8| byte.is_ascii_lowercase() || byte == b':';
                word.bytes().all(is_name)
            });
            if let Some(name) = name {
                expect(&mut client, &format!("PM.SET {name} precious"), "OK");
            }
        }
        expect(&mut client, "PM.SET persists precious EX 100000", "OK");
        let mut queued = QUEUED.map(|command| {
            let mut client = server.client();
            expect(&mut client, "MULTI", "OK");
            expect(&mut client, command, "QUEUED");
            (command, client)
        });
        fail_checkpoints(&mut client, &flag, errno);
        let mut client = server.client();
        let before = contents(&mut client);
        for (command, queued) in &mut queued {
            // The connection was closed, or nothing has happened.
            if let Ok(reply) = queued.try_call(&["EXEC"]) {
                let reply = words(&reply);
                assert!(reply.contains("MISCONF"), "{threads}: {command}: {reply}");
            }
        }
        let mut client = server.client();
        assert_eq!(contents(&mut client), before, "{threads}, error {errno}");
        for write in ["PM.SET renamed new", "DEL deleted", "PM.DEL gone"] {
            let reply = ask(&mut client, write);
            assert!(reply.contains("MISCONF"), "{write}: {reply}");
        }
        fs::remove_file(&flag).unwrap();
        if errno == libc::ENOSPC {
            wait_for("it serves again", || {
                ask(&mut server.client(), "PM.SET renamed precious") == "OK"
            });
        }
        let mut client = crash(&mut server);
        assert_eq!(contents(&mut client), before, "{threads}, error {errno}");
        expect(&mut client, "PM.SET renamed new", "OK");
    }
}

/// A master without faults.
fn master(size: &str) -> (Server, Client) {
    let setup = Setup::pmedis(size).directive("repl-diskless-sync-delay 0");
    let server = setup.start().unwrap();
    let client = server.client();
    (server, client)
}

/// Expects a replica to end, and not to acknowledge what its master's client has written last.
#[track_caller]
fn expect_end(client: &mut Client, replica: &mut Server, reason: &str) {
    wait_for("the replica ends", || {
        assert_eq!(ask(client, "WAIT 1 100"), "0", "it is acknowledged");
        replica.exited().is_some()
    });
    assert!(replica.log().contains(reason), "{}", replica.log());
}

/// Has checkpoints of a replica fail, and its master's client write until that is seen.
fn fail_checkpoints_of(replica: &Server, client: &mut Client, flag: &Path) {
    fs::write(flag, format!("c{}", libc::ENOSPC)).unwrap();
    let value = "x".repeat(20_000);
    // The replica may close the connection that asks.
    let is_seen = || {
        let told = replica.client().try_call(&["PM.INFO", "disk"]);
        told.is_ok_and(|told| words(&told).contains("durable:0"))
    };
    for n in 0.. {
        client.call(&["PM.SET", &format!("large:{}", n % 50), &value]);
        wait_for("it is replicated", || {
            is_seen() || ask(client, "WAIT 1 100") == "1"
        });
        if is_seen() {
            break;
        }
    }
}

#[test]
fn a_replica_whose_checkpoints_fail_ends_with_the_first_change_that_is_not_durable() {
    for (directive, write) in [
        ("replica-read-only yes", "RENAME precious renamed"),
        ("replica-read-only yes", "DEL precious"),
        ("replica-read-only yes", "RESTORE"),
        ("io-threads 4", "RENAME precious renamed"),
        ("replica-read-only no", "PM.SET precious other"),
        ("replica-read-only no", "RENAME precious renamed"),
    ] {
        let Some((mut replica, flag)) = failing_disk(&[directive]) else {
            return;
        };
        let (server, mut client) = master("64m");
        follow(&mut replica.client(), &server);
        expect(&mut client, "PM.SET precious v", "OK");
        wait_in_sync(&mut client, &mut replica.client());
        fail_checkpoints_of(&replica, &mut client, &flag);
        if directive == "replica-read-only no" {
            // Its own clients are refused, as on a master.
            let mut own = replica.client();
            for write in [
                "PM.SET own 1",
                "SET own 1",
                "DEL precious",
                "PM.DEL precious",
            ] {
                let reply = ask(&mut own, write);
                assert!(reply.contains("MISCONF"), "{write}: {reply}");
            }
            expect(&mut own, "PM.GET precious", "v");
        }
        if write == "RESTORE" {
            let payload = client.call(&["DUMP", "precious"]);
            let payload = payload.bytes().unwrap();
            let words: [&[u8]; 4] = [b"RESTORE", b"restored", b"0", payload];
            assert!(!client.call(&words).is_error());
        } else {
            let reply = ask(&mut client, write);
            assert!(!reply.contains("(error)"), "{write}: {reply}");
        }
        // The journal may have room for it.
        let mut acknowledged = false;
        wait_for("it is acknowledged, or the replica ends", || {
            acknowledged = ask(&mut client, "WAIT 1 100") == "1";
            acknowledged || replica.exited().is_some()
        });
        let ends = replica.log().contains("this replica cannot keep");
        assert!(acknowledged || ends, "{}", replica.log());
        fs::remove_file(&flag).unwrap();
        replica.kill9();
        replica.restart().unwrap();
        let mut other = replica.client();
        if !acknowledged {
            follow(&mut other, &server);
            wait_in_sync(&mut client, &mut other);
        }
        assert_same(&mut client, &mut other);
    }
}

#[test]
fn what_was_queued_before_a_server_was_a_replica_is_not_acknowledged_after() {
    let Some((mut replica, flag)) = failing_disk(&[]) else {
        return;
    };
    let (server, mut client) = master("64m");
    let mut queued = replica.client();
    expect(&mut queued, "MULTI", "OK");
    expect(&mut queued, "DEL precious", "QUEUED");
    follow(&mut replica.client(), &server);
    expect(&mut client, "PM.SET precious v", "OK");
    wait_in_sync(&mut client, &mut replica.client());
    fail_checkpoints_of(&replica, &mut client, &flag);
    // This connection, too, may be closed.
    let _ = replica.client().try_call(&["REPLICAOF", "NO", "ONE"]);
    wait_for("it is a master", || {
        info(&mut replica.client(), "role") == "master"
    });
    let before = contents(&mut replica.client());
    if let Ok(reply) = queued.try_call(&["EXEC"]) {
        panic!("it is acknowledged: {reply:?}");
    }
    assert_eq!(contents(&mut replica.client()), before);
    fs::remove_file(&flag).unwrap();
    assert_eq!(contents(&mut crash(&mut replica)), before);
}

#[test]
fn a_smaller_replica_ends_with_what_it_has_no_room_for() {
    for (directive, write) in [
        ("replica-read-only yes", "RENAME precious"),
        ("replica-read-only no", "PM.RPUSH list"),
    ] {
        let (server, mut client) = master("256m");
        let setup = Setup::pmedis("64m").directive(directive);
        let mut replica = setup.start().unwrap();
        let mut other = replica.client();
        follow(&mut other, &server);
        expect(&mut client, "PM.SET precious v", "OK");
        wait_in_sync(&mut client, &mut other);
        let value = "x".repeat(1_000_000);
        for n in 0.. {
            client.call(&["PM.SET", &format!("large:{n}"), &value]);
            wait_in_sync(&mut client, &mut other);
            if pm_info(&mut other, "pool", "free") < 2_500_000 {
                break;
            }
        }
        let huge = "n".repeat(8_000_000);
        if directive == "replica-read-only no" {
            // Its own clients are refused, and it goes on.
            for write in [["PM.SET", "own", &huge], ["PM.APPEND", "precious", &huge]] {
                let reply = words(&other.call(&write));
                assert!(reply.contains("OOM"), "{reply}");
            }
            let mut copies = (0..).map(|n| ask(&mut other, &format!("COPY large:0 own:{n}")));
            let refused = copies.find(|reply| reply != "1").unwrap();
            assert!(refused.contains("failed to copy"), "{refused}");
            expect(&mut other, "PM.GET precious", "v");
        }
        let words: Vec<&str> = write.split(' ').chain([huge.as_str()]).collect();
        assert!(!client.call(&words).is_error());
        expect_end(&mut client, &mut replica, "this replica cannot hold");
    }
}

#[test]
fn reads_that_would_tidy_up_go_on_while_nothing_is_durable() {
    let Some((mut server, flag)) = failing_disk(&[]) else {
        return;
    };
    let mut client = server.client();
    expect(&mut client, "DEBUG SET-ACTIVE-EXPIRE 0", "OK");
    let reads = [
        ("PM.HGET h f", "nil"),
        ("PM.HMGET h f g", "[nil w]"),
        ("PM.HEXISTS h f", "0"),
        ("PM.HSTRLEN h f", "0"),
        ("PM.HRANDFIELD h", "g"),
        ("PM.HRANDFIELD h 5 WITHVALUES", "[g w]"),
        ("PM.HKEYS h", "[g]"),
        ("PM.PFCOUNT p", "2"),
    ];
    expect(&mut client, "PM.HSET h f v g w", "2");
    expect(&mut client, "PM.PFADD p a b", "1");
    expect(&mut client, "PM.HPEXPIRE h 1 FIELDS 1 f", "[1]");
    for errno in [libc::ENOSPC, libc::EIO] {
        fs::write(&flag, errno.to_string()).unwrap();
        let unheard = client.try_call(&["PM.SET", "lost", &errno.to_string()]);
        assert!(unheard.is_err(), "error {errno}: {unheard:?}");
        client = server.client();
        wait_for("the field's time has come", || {
            ask(&mut client, "PM.HGETALL h") == "[g w]"
        });
        for (read, reply) in reads {
            expect(&mut client, read, reply);
        }
        assert_eq!(disk_info(&mut client, "durable"), 0);
        fs::remove_file(&flag).unwrap();
        if errno == libc::ENOSPC {
            wait_for("it serves again", || ask(&mut client, "PM.SET a 1") == "OK");
        }
    }
    let mut client = crash(&mut server);
    for (read, reply) in reads {
        expect(&mut client, read, reply);
    }
    expect(&mut client, "PM.HGETALL h", "[g w]");
}

/// What of PM.SET is acknowledged for a while: the value that the last one has set, if any.
fn set_for_a_while(server: &Server, key: &str) -> Option<String> {
    let mut last = None;
    for n in 0..30 {
        let value = format!("later:{n}");
        let told = server.client().try_call(&["PM.SET", key, &value]);
        if told.is_ok_and(|told| words(&told) == "OK") {
            last = Some(value);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    last
}

/// The kernel tells of pages that it could not write once, and the next sync succeeds: no success
/// is trusted from there on, until the next start.
#[test]
fn a_sync_that_failed_is_final_whatever_the_error() {
    for (threads, errno) in [
        ("io-threads 1", libc::ENOSPC),
        ("io-threads 1", libc::EDQUOT),
        ("io-threads 4", libc::ENOSPC),
    ] {
        let Some((mut server, flag)) = failing_disk(&[threads]) else {
            return;
        };
        let mut client = server.client();
        for failing in ["PM.POOL CHECKPOINT", "PM.SET other v"] {
            let case = format!("{threads}, {errno}, {failing}");
            // The one says that the file has everything, the other that it needs the journal.
            if failing == "PM.SET other v" {
                expect(&mut client, "PM.POOL CHECKPOINT", "OK");
            } else {
                expect(&mut client, "PM.SET k v", "OK");
            }
            fs::write(&flag, format!("m{errno}")).unwrap();
            let words: Vec<&str> = failing.split(' ').collect();
            let unheard = client.try_call(&words);
            assert!(!flag.exists(), "{case}: no sync has failed");
            assert!(unheard.is_err(), "{case}: {unheard:?}");
            let acknowledged = set_for_a_while(&server, "k");
            client = crash(&mut server);
            let expected = acknowledged.as_deref().unwrap_or("v");
            expect(&mut client, "PM.GET k", expected);
            assert_eq!(acknowledged, None, "{case}");
            assert!(!server.log().contains("another pool"), "{}", server.log());
            expect(&mut client, "PM.SET k v", "OK");
        }
    }
}

/// Pages that were replayed at the start are in the file alone: no checkpoint writes them again.
#[test]
fn replayed_pages_that_are_not_written_out_are_lost_for_good() {
    let Some((mut server, flag)) = failing_disk(&[]) else {
        return;
    };
    let mut client = server.client();
    expect(&mut client, "PM.SET k v", "OK");
    fs::write(&flag, format!("r{}", libc::ENOSPC)).unwrap();
    // Others are.
    let told = ask(&mut client, "PM.POOL CHECKPOINT");
    assert!(told.contains("No space"), "{told}");
    fs::remove_file(&flag).unwrap();
    wait_for("there is a checkpoint", || {
        ask(&mut client, "PM.POOL CHECKPOINT") == "OK"
    });
    expect(&mut client, "PM.SET k v", "OK");
    fs::write(&flag, format!("r{}", libc::ENOSPC)).unwrap();
    server.kill9();
    match server.restart() {
        Ok(()) => {
            wait_for("the first checkpoint fails", || {
                let told = server.client().try_call(&["PM.INFO", "disk"]);
                told.is_ok_and(|told| words(&told).contains("durable:0"))
            });
            fs::remove_file(&flag).unwrap();
            assert_eq!(set_for_a_while(&server, "k"), None);
        }
        // It had begun before the pool was open.
        Err(refusal) => {
            assert!(
                refusal.log.contains("No space left on device"),
                "{refusal:?}"
            );
            fs::remove_file(&flag).unwrap();
        }
    }
    expect(&mut crash(&mut server), "PM.GET k", "v");
}

#[test]
fn a_checkpoint_that_is_asked_for_and_fails_is_an_error_while_the_journal_has_room() {
    let Some((mut server, flag)) = failing_disk(&[]) else {
        return;
    };
    let (mut client, mut bystander) = (server.client(), server.client());
    expect(&mut bystander, "MULTI", "OK");
    expect(&mut bystander, "PM.SET queued v", "QUEUED");
    expect(&mut client, "PM.SET k v", "OK");
    fs::write(&flag, format!("c{}", libc::ENOSPC)).unwrap();
    // The second finds that none may begin yet.
    for _ in 0..2 {
        let told = ask(&mut client, "PM.POOL CHECKPOINT");
        assert!(told.starts_with("(error)"), "{told}");
        assert!(!told.contains("MISCONF"), "{told}");
    }
    expect(&mut client, "PM.SET k w", "OK");
    expect(&mut bystander, "EXEC", "[OK]");
    assert_eq!(disk_info(&mut client, "durable"), 1);
    fs::remove_file(&flag).unwrap();
    wait_for("there is a checkpoint", || {
        ask(&mut client, "PM.POOL CHECKPOINT") == "OK"
    });
    expect(&mut client, "PM.SET k x", "OK");
    fs::write(&flag, format!("c{}", libc::EIO)).unwrap();
    let told = client.try_call(&["PM.POOL", "CHECKPOINT"]);
    assert!(told.is_err(), "{told:?}");
    fs::remove_file(&flag).unwrap();
    let mut client = crash(&mut server);
    expect(&mut client, "PM.GET k", "x");
    expect(&mut client, "PM.GET queued", "v");
}
