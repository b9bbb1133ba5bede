//! `durability disk` on real servers whose disk fails, or is slow: what is not durable is not
//! acknowledged, and what is told of the journal and of checkpoints.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use testkit::client::Client;
use testkit::preload::failing_disk;
use testkit::replication::{assert_same, wait_for, wait_in_sync};
use testkit::script::{ask, crash, disk_info as info, disk_info_after, expect, pm_info, words};
use testkit::server::{Server, Setup};

/// A server whose disk fails, and the file that tells how: see [`failing_disk`].
fn faulty() -> Option<(Server, PathBuf)> {
    failing_disk(&[])
}

/// [`faulty`], with this line in its configuration.
fn faulty_with(directive: &str) -> Option<(Server, PathBuf)> {
    failing_disk(&[directive])
}

#[test]
fn what_is_not_durable_is_not_acknowledged_and_reads_go_on() {
    let Some((mut server, flag)) = faulty() else {
        return;
    };
    let mut client = server.client();
    let mut reader = server.client();
    assert_eq!(ask(&mut client, "PM.SET a 1"), "OK");
    assert_eq!(ask(&mut reader, "PM.GET a"), "1");

    // The disk is full for some time.
    fs::write(&flag, libc::ENOSPC.to_string()).unwrap();
    let unheard = client.try_call(&["PM.SET", "b", "1"]);
    assert!(unheard.is_err(), "it is acknowledged: {unheard:?}");
    let mut client = server.client();
    assert_eq!(ask(&mut client, "PM.GET a"), "1");
    for write in ["PM.SET a 2", "DEL a", "PM.INCR c", "RENAME a z"] {
        let refused = ask(&mut client, write);
        assert!(refused.contains("MISCONF"), "{write}: {refused}");
    }
    assert_eq!(info(&mut client, "durable"), 0);
    fs::remove_file(&flag).unwrap();
    wait_for("it serves again", || ask(&mut client, "PM.SET a 3") == "OK");
    assert_eq!(info(&mut client, "durable"), 1);
    let mut client = crash(&mut server);
    assert_eq!(ask(&mut client, "PM.GET a"), "3");

    // The disk fails: until the next start, what it says later does not count.
    fs::write(&flag, libc::EIO.to_string()).unwrap();
    assert!(client.try_call(&["PM.SET", "a", "4"]).is_err());
    fs::remove_file(&flag).unwrap();
    let mut client = server.client();
    for _ in 0..20 {
        let refused = ask(&mut client, "PM.SET a 5");
        assert!(refused.contains("MISCONF"), "{refused}");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(ask(&mut client, "PING"), "PONG");
    let mut client = crash(&mut server);
    assert_eq!(ask(&mut client, "PM.GET a"), "3");
    assert_eq!(ask(&mut client, "PM.SET a 6"), "OK");
}

/// What is in the databases: digests of their keys, and how many there are.
fn contents(client: &mut Client) -> Vec<String> {
    let mut all = vec![ask(client, "DEBUG DIGEST")];
    for db in 0..2 {
        assert_eq!(ask(client, &format!("SELECT {db}")), "OK");
        all.extend(["DBSIZE", "PM.DBSIZE"].map(|command| ask(client, command)));
    }
    ask(client, "SELECT 0");
    all
}

#[test]
fn what_a_commit_could_not_make_durable_is_the_same_in_the_pool_and_for_clients() {
    // Larger than the journal, so its commit does not wait for others; and what natively changes
    // keys, with replies that leave at once.
    let large = "x".repeat(8_000_000);
    let changes: [&[&str]; 12] = [
        &["PM.SET", "hash", &large],
        &["PM.SET", "new", &large],
        &["PM.SET", "string", "other"],
        &["PM.HSET", "new", "field", "value"],
        &["SWAPDB", "0", "1"],
        &["RENAME", "string", "renamed"],
        &["MOVE", "string", "1"],
        &["COPY", "hash", "copied"],
        &["DEL", "hash"],
        &["UNLINK", "string", "list"],
        &["EXPIRE", "hash", "1000"],
        &["FLUSHDB"],
    ];
    for threads in ["io-threads 1", "io-threads 4"] {
        let Some((mut server, flag)) = faulty_with(threads) else {
            return;
        };
        for change in changes {
            let mut client = server.client();
            assert_eq!(ask(&mut client, "FLUSHALL"), "OK");
            for line in [
                "PM.SET string a",
                "PM.HSET hash f v g w",
                "PM.RPUSH list a b",
            ] {
                assert!(!client.call(&line.split(' ').collect::<Vec<_>>()).is_error());
            }
            ask(&mut client, "SELECT 1");
            assert_eq!(ask(&mut client, "PM.SET there b"), "OK");
            ask(&mut client, "SELECT 0");
            fs::write(&flag, libc::ENOSPC.to_string()).unwrap();
            let name = change[..change.len().min(2)].join(" ");
            let unheard = client.try_call(change);
            assert!(
                unheard.is_err(),
                "{threads}: {name} is acknowledged: {unheard:?}"
            );
            fs::remove_file(&flag).unwrap();
            let mut client = server.client();
            wait_for("it serves again", || {
                ask(&mut client, "PM.SET later 1") == "OK"
            });
            let seen = contents(&mut client);
            let mut client = crash(&mut server);
            assert_eq!(contents(&mut client), seen, "{threads}: {name}");
            // All that is seen can be changed.
            assert_eq!(ask(&mut client, "FLUSHALL"), "OK");
            assert_eq!(ask(&mut client, "PM.DBSIZE"), "0", "{threads}: {name}");
        }
        assert!(!server.log().contains("damaged"), "{}", server.log());
    }
}

#[test]
fn a_replica_that_cannot_keep_what_its_master_sends_ends() {
    let Some((mut replica, flag)) = faulty() else {
        return;
    };
    let master = Setup::pmedis("64m")
        .directive("repl-diskless-sync-delay 0")
        .start()
        .unwrap();
    let mut client = master.client();
    let mut other = replica.client();
    let line = format!("REPLICAOF 127.0.0.1 {}", master.address().port());
    assert_eq!(ask(&mut other, &line), "OK");
    assert_eq!(ask(&mut client, "PM.SET a 1"), "OK");
    wait_in_sync(&mut client, &mut other);
    fs::write(&flag, libc::ENOSPC.to_string()).unwrap();
    for write in ["PM.SET a 2", "PM.SET b 2", "DEL a", "PM.SET c 3"] {
        assert!(!ask(&mut client, write).contains("ERR"), "{write}");
    }
    replica.wait_for_end();
    assert!(
        replica
            .log()
            .contains("this replica cannot keep what its master sends")
    );
    fs::remove_file(&flag).unwrap();
    replica.restart().unwrap();
    let mut other = replica.client();
    assert_eq!(ask(&mut other, &line), "OK");
    wait_in_sync(&mut client, &mut other);
    assert_same(&mut client, &mut other);
}

#[test]
fn what_the_server_removes_by_itself_while_the_disk_fails_is_gone() {
    let Some((mut server, flag)) = faulty_with("maxmemory-policy allkeys-lru") else {
        return;
    };
    let mut client = server.client();
    for n in 0..500 {
        let word = if n < 50 { "PX 100" } else { "PX 100000000" };
        let line = format!("PM.SET key:{n} {} {word}", "v".repeat(1000));
        assert_eq!(ask(&mut client, &line), "OK");
    }
    fs::write(&flag, libc::ENOSPC.to_string()).unwrap();
    assert!(client.try_call(&["PM.SET", "lost", "1"]).is_err());
    let mut client = server.client();
    wait_for("keys have expired", || ask(&mut client, "DBSIZE") == "451");
    assert_eq!(ask(&mut client, "CONFIG SET maxmemory 1"), "OK");
    wait_for("keys are evicted", || {
        // The server evicts for whoever comes.
        ask(&mut client, "PM.GET key:400");
        ask(&mut client, "DBSIZE").parse::<u64>().unwrap() < 400
    });
    assert_eq!(ask(&mut client, "CONFIG SET maxmemory 0"), "OK");
    fs::remove_file(&flag).unwrap();
    wait_for("it serves again", || {
        ask(&mut client, "PM.SET later 1") == "OK"
    });
    assert_eq!(ask(&mut client, "PM.DBSIZE"), ask(&mut client, "DBSIZE"));
    let seen = contents(&mut client);
    let mut client = crash(&mut server);
    assert_eq!(contents(&mut client), seen);
}

/// Sets a key to other bytes.
fn write(client: &mut Client, number: u64) {
    let value = format!("{number}:{}", "x".repeat(100));
    assert_eq!(ask(client, &format!("PM.SET k {value}")), "OK");
}

#[test]
fn each_field_tells_what_the_journal_and_checkpoints_do() {
    let Some((server, flag)) = faulty() else {
        return;
    };
    let mut client = server.client();
    write(&mut client, 1);
    let fields = |client: &mut Client, names| disk_info_after::<4>(client, "PING", names);
    let journal = ["journal_size", "journal_used", "lsn", "syncs"];
    let [size, used, lsn, syncs] = fields(&mut client, journal);
    assert_eq!((info(&mut client, "journal"), size), (1, 2 << 20));
    write(&mut client, 2);
    let [_, more, later, after] = fields(&mut client, journal);
    // What the cron does in the background may have records of its own.
    assert!(after > syncs && later >= lsn + 4096 && more >= used + 4096);
    assert!(later - lsn >= (after - syncs) * 4096);

    let checkpoint = ["checkpoints", "checkpoint_bytes", "checkpoint_age", "dirty"];
    let [count, written, age, dirty] = fields(&mut client, checkpoint);
    assert_eq!((count, written, age), (0, 0, 0));
    assert!(dirty >= 4096, "{dirty} bytes");
    // What the cron does makes pages dirty, too.
    let [count, written, _, clean] = disk_info_after(&mut client, "PM.POOL CHECKPOINT", checkpoint);
    assert_eq!((count, clean), (1, 0));
    assert!(written >= dirty, "{written} bytes, {dirty} were dirty");
    wait_for("it gets older", || info(&mut client, "checkpoint_age") > 0);

    let [slow, longest] = ["slow_syncs", "longest_sync_us"].map(|name| info(&mut client, name));
    assert_eq!(
        ask(&mut client, "CONFIG SET latency-monitor-threshold 20"),
        "OK"
    );
    fs::write(&flag, "w30").unwrap();
    write(&mut client, 3);
    fs::remove_file(&flag).unwrap();
    assert!(info(&mut client, "slow_syncs") > slow);
    let longer = info(&mut client, "longest_sync_us");
    assert!(
        longer >= 30_000 && longer >= longest,
        "{longer} after {longest}"
    );
    let latest = ask(&mut client, "LATENCY LATEST");
    assert!(latest.contains("pm-sync"), "{latest}");
    let history = ask(&mut client, "LATENCY HISTORY pm-sync");
    assert!(history.starts_with("[["), "{history}");

    // A checkpoint waits for the disk, and in the end writers for it.
    let [stalls, stalled] = ["stalls", "stalled_ms"].map(|name| info(&mut client, name));
    fs::write(&flag, "s300").unwrap();
    let mut number = 4;
    let mut is_seen = false;
    while info(&mut client, "stalls") == stalls || !is_seen {
        write(&mut client, number);
        number += 1;
        is_seen |= info(&mut client, "checkpointing") == 1;
        assert!(number < 100_000, "nobody is held up");
    }
    fs::remove_file(&flag).unwrap();
    wait_for("writers are held up no more", || {
        write(&mut client, number);
        info(&mut client, "checkpointing") == 0
    });
    assert!(info(&mut client, "stalled_ms") > stalled);
    assert_eq!(info(&mut client, "durable"), 1);
}

#[test]
fn what_is_to_be_reclaimed_waits_for_the_disk() {
    let Some((mut server, flag)) = faulty() else {
        return;
    };
    let mut client = server.client();
    let used = |client: &mut Client| pm_info(client, "pool", "used");
    expect(&mut client, "PM.SET a 1", "OK");
    let before = used(&mut client);
    let value = "v".repeat(40);
    for way in ["UNLINK", "FLUSHALL"] {
        let mut commands: Vec<Vec<String>> = Vec::new();
        for batch in 0..600 {
            let key = ["PM.HSET".to_owned(), format!("large:{}", batch % 3)];
            let pairs = (0..100).flat_map(|n| [format!("{batch}:{n}"), value.clone()]);
            commands.push(key.into_iter().chain(pairs).collect());
        }
        for n in 0..20_000 {
            commands.push(vec!["PM.SET".into(), format!("small:{n}"), value.clone()]);
            commands.push(vec![
                "PM.ZADD".into(),
                "range".into(),
                n.to_string(),
                format!("{n}:{value}"),
            ]);
        }
        for commands in commands.chunks(500) {
            for reply in client.pipeline(commands).unwrap() {
                assert!(!reply.is_error(), "{reply:?}");
            }
        }
        let full = used(&mut client);
        assert!(full > before + (4 << 20), "{full} after {before}");
        // Within one cycle of the event loop: little of it can be reclaimed before the disk fails.
        let end: &[&str] = match way {
            "UNLINK" => &[
                "UNLINK large:0 large:1 large:2",
                "PM.ZREMRANGEBYRANK range 1 -2",
            ],
            _ => &["FLUSHALL"],
        };
        let end: Vec<Vec<&str>> = end.iter().map(|line| line.split(' ').collect()).collect();
        for reply in client.pipeline(&end).unwrap() {
            assert!(!reply.is_error(), "{}", words(&reply));
        }
        fs::write(&flag, libc::ENOSPC.to_string()).unwrap();
        let _ = client.try_call(&["PM.SET", "b", "1"]);
        client = server.client();
        wait_for("the disk is seen to fail", || {
            let refused = ask(&mut client, "PM.SET a 2");
            refused.contains("MISCONF")
        });
        for _ in 0..200 {
            expect(&mut client, "PING", "PONG");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(info(&mut client, "durable"), 0);
        let values = pm_info(&mut client, "reclaim", "reclaim_values");
        let sweeps = pm_info(&mut client, "reclaim", "reclaim_sweeping");
        assert!(values + sweeps > 0, "{way}: all is reclaimed, or forgotten");
        fs::remove_file(&flag).unwrap();
        wait_for("it serves again", || ask(&mut client, "PM.SET a 3") == "OK");
        wait_for("everything is reclaimed", || {
            pm_info(&mut client, "reclaim", "reclaim_values")
                + pm_info(&mut client, "reclaim", "reclaim_sweeping")
                == 0
        });
        if way == "UNLINK" {
            for n in 0..20_000 {
                client.queue(&["DEL".to_owned(), format!("small:{n}")]);
            }
            client.send().unwrap();
            for _ in 0..20_000 {
                client.receive().unwrap();
            }
        }
        let after = used(&mut client);
        assert!(
            after < before + (1 << 20),
            "{way}: {before} bytes, then {full}, and {after} at last"
        );
    }
    let log = server.log();
    assert!(!log.contains("is lost"), "{log}");
    expect(&mut crash(&mut server), "PM.GET a", "3");
}

#[test]
fn a_large_record_that_finds_no_room_leaves_none_of_it_taken() {
    let Some((server, flag)) = faulty() else {
        return;
    };
    let mut client = server.client();
    fs::write(&flag, libc::ENOSPC.to_string()).unwrap();
    assert!(
        client
            .try_call(&["PM.SET", "large", &"x".repeat(1 << 20)])
            .is_err()
    );
    let records = || {
        let files = fs::read_dir(server.setup().dir()).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.contains(".journal."))
            .collect::<Vec<_>>()
    };
    // Each time that it is tried again, the file is there for a moment.
    let is_gone = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(2));
        records().is_empty()
    });
    assert!(is_gone, "{:?}", records());
    fs::remove_file(&flag).unwrap();
    let mut client = server.client();
    wait_for("it serves again", || ask(&mut client, "PM.SET a 1") == "OK");
    assert_eq!(records().len(), 1);
    assert_eq!(ask(&mut client, "PM.STRLEN large"), "1048576");
}
