//! `durability disk` on real servers. The pool is mapped privately, so that a kill loses whatever
//! is not in the journal: nothing that was acknowledged.

use std::fs;
use std::process::Command;
use testkit::client::Client;
use testkit::crash::rounds::Rounds;
use testkit::disk::SmallDisk;
use testkit::env_number;
use testkit::packaged::Packaged;
use testkit::replication::wait_for;
use testkit::resp::Value;
use testkit::script::{ask, crash, disk_info as info, disk_info_after};
use testkit::server::{Server, Setup};

const DISK: [&str; 4] = ["durability", "disk", "journal", "2m"];

fn setup() -> Setup {
    Setup::pmedis_with("64m", &DISK)
}

#[test]
fn acknowledged_writes_survive_kills() {
    let rounds = env_number("PMEDIS_KILL_ROUNDS", 10);
    let seed = env_number("PMEDIS_SEED", 1);
    let setup = Setup::pmedis_with("256m", &DISK);
    let tally = Rounds::new(&setup, "PM.", seed)
        .run(rounds)
        .unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
    assert!(
        tally.acknowledged > 20 * rounds && tally.in_flight > rounds,
        "idle clients: {tally:?}"
    );
}

/// Sets `count` keys to values of `len` bytes, in pipelines.
fn fill(client: &mut Client, count: usize, len: usize, mark: &str) {
    for from in (0..count).step_by(100) {
        let commands: Vec<Vec<String>> = (from..count.min(from + 100))
            .map(|n| {
                vec![
                    "PM.SET".to_owned(),
                    format!("key:{n}"),
                    format!("{mark}:{n}:{}", "x".repeat(len)),
                ]
            })
            .collect();
        for reply in client.pipeline(&commands).expect("replies") {
            assert_eq!(reply, Value::Simple("OK".into()));
        }
    }
}

#[test]
fn checkpoints_go_on_while_children_save_and_the_file_alone_is_the_pool_at_the_end() {
    let mut server = setup().directive("save 3600 1").start().unwrap();
    let mut client = server.client();
    for mark in ["a", "b", "c", "d"] {
        ask(&mut client, "BGSAVE");
        fill(&mut client, 3000, 500, mark);
    }
    assert!(
        info(&mut client, "checkpoints") > 0,
        "the journal went round"
    );
    let last = format!("d:2999:{}", "x".repeat(500));
    let mut client = crash(&mut server);
    assert_eq!(
        client.call(&["PM.GET", "key:2999"]).bytes(),
        Some(last.as_bytes())
    );
    fill(&mut client, 3000, 300, "e");
    // What the cron does is in the journal, too.
    let left = ["journal_used", "dirty"];
    let left = disk_info_after(&mut client, "PM.POOL CHECKPOINT", left);
    assert_eq!(left, [0, 0]);
    fill(&mut client, 10, 10, "f");
    assert!(info(&mut client, "journal_used") > 0);
    assert!(server.stop().success());
    let setup = server.setup();
    fs::remove_file(setup.pool().with_extension("pool.journal")).unwrap();
    let checked = Command::new("pmempool")
        .arg("check")
        .arg(setup.pool())
        .status();
    assert!(checked.expect("pmempool runs").success());
    server.restart().unwrap();
    let mut client = server.client();
    assert_eq!(ask(&mut client, "PM.GET key:9"), "f:9:xxxxxxxxxx");
    let e = format!("e:10:{}", "x".repeat(300));
    assert_eq!(
        client.call(&["PM.GET", "key:10"]).bytes(),
        Some(e.as_bytes())
    );
}

/// Bytes of the pool's mapping that no file stands behind, as the kernel counts them.
fn anonymous_bytes(server: &Server) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{}/smaps", server.pid())).unwrap();
    let pool = server.setup().pool().to_string_lossy().into_owned();
    let (mut is_pool, mut kilobytes) = (false, 0);
    for line in maps.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        if !first.ends_with(':') {
            is_pool = line.ends_with(&pool);
        } else if let Some(count) = line.strip_prefix("Anonymous:").filter(|_| is_pool) {
            let count = count.trim().trim_end_matches(" kB");
            kilobytes += count.parse::<u64>().expect("a number of kilobytes");
        }
    }
    kilobytes << 10
}

#[test]
fn a_pool_of_four_times_the_memory_limit_serves_within_it() {
    const LIMIT: u64 = 8 << 20;
    let arguments = [&DISK[..2], &["journal", "4m", "memory-limit", "8m"]].concat();
    let mut server = Setup::pmedis_with("64m", &arguments).start().unwrap();
    let mut client = server.client();
    fill(&mut client, 32_000, 1000, "a");
    assert_eq!(info(&mut client, "memory_limit"), LIMIT);
    let mut rng = fastrand::Rng::with_seed(1);
    for round in 0..20 {
        let commands: Vec<Vec<String>> = (0..100)
            .map(|_| {
                let key = format!("key:{}", rng.usize(..32_000));
                vec!["PM.APPEND".to_owned(), key, format!("+{round}")]
            })
            .collect();
        client.pipeline(&commands).expect("replies");
        // One batch of changes may come on top.
        let resident = info(&mut client, "resident");
        assert!(resident < LIMIT + (2 << 20), "{resident} bytes");
    }
    assert!(info(&mut client, "given_back") > 16 << 20);
    // The kernel sees it so, too. What is resident may change while it is asked.
    let before = info(&mut client, "resident");
    let anonymous = anonymous_bytes(&server);
    let resident = info(&mut client, "resident").max(before);
    assert!(
        anonymous <= resident + (1 << 20) && anonymous > LIMIT / 2,
        "{anonymous}, not {resident} bytes"
    );
    let digest = ask(&mut client, "DEBUG DIGEST");
    let mut client = crash(&mut server);
    assert_eq!(ask(&mut client, "DEBUG DIGEST"), digest);
    assert_eq!(
        ask(&mut client, "PM.CHECK"),
        "[sound 32000 damaged 0 names []]"
    );
}

#[test]
fn a_memory_limit_is_kept_from_the_moment_it_is_set() {
    let arguments = [&DISK[..2], &["journal", "4m"]].concat();
    let server = Setup::pmedis_with("64m", &arguments).start().unwrap();
    let mut client = server.client();
    fill(&mut client, 20_000, 1000, "a");
    assert_eq!(ask(&mut client, "PM.POOL CHECKPOINT"), "OK");
    assert_eq!(info(&mut client, "given_back"), 0);
    let before = info(&mut client, "resident");
    assert!(before > 16 << 20, "{before} bytes");
    assert_eq!(ask(&mut client, "CONFIG SET pmedis.memory-limit 4m"), "OK");
    assert_eq!(info(&mut client, "memory_limit"), 4 << 20);
    wait_for("pages are given back", || {
        info(&mut client, "resident") <= 4 << 20
    });
    assert_eq!(info(&mut client, "gives_back"), 1);
    let anonymous = anonymous_bytes(&server);
    assert!(anonymous <= 5 << 20, "{anonymous} bytes");
    assert_eq!(
        ask(&mut client, "PM.CHECK"),
        "[sound 20000 damaged 0 names []]"
    );
    let none = ["CONFIG", "SET", "pmedis.memory-limit", ""];
    assert_eq!(client.call(&none), Value::Simple("OK".into()));
    assert!(info(&mut client, "memory_limit") > 64 << 20);
}

#[test]
fn a_full_file_system_refuses_what_needs_room_until_there_is_some() {
    let home = Setup::native();
    let Some(disk) = SmallDisk::mount(home.dir().join("disk"), 24) else {
        eprintln!("skipped: nothing can be mounted here");
        return;
    };
    let pool = disk.path().join("pool");
    let path = pool.to_str().unwrap();
    let with = |size: &str| {
        let arguments = ["path", path, "size", size, "durability", "disk"];
        Setup::native().module(&[&arguments[..], &["journal", "1m"]].concat())
    };
    let refusal = format!("{:?}", with("64m").refusal());
    assert!(refusal.contains("no space for a pool"), "{refusal}");
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);

    // Nor does a journal leave anything that is too large, or the pool that was made for it.
    let arguments = ["path", path, "size", "16m", "durability", "disk"];
    let setup = Setup::native().module(&[&arguments[..], &["journal", "100m"]].concat());
    let refusal = format!("{:?}", setup.refusal());
    assert!(refusal.contains("no space for a journal"), "{refusal}");
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);

    let mut server = with("16m").start().unwrap();
    let mut client = server.client();
    assert_eq!(ask(&mut client, "PM.SET a 1"), "OK");
    let filler = disk.path().join("filler");
    // As much as there is.
    let filled = fs::write(&filler, vec![1u8; 24 << 20]);
    assert_eq!(filled.unwrap_err().raw_os_error(), Some(libc::ENOSPC));
    // The journal has its room; only a record that does not fit into it needs a file.
    assert_eq!(ask(&mut client, "PM.SET a 2"), "OK");
    let large = "x".repeat(1 << 20);
    let unheard = client.try_call(&["PM.SET", "large", &large]);
    assert!(unheard.is_err(), "it is acknowledged: {unheard:?}");
    let mut client = server.client();
    assert_eq!(ask(&mut client, "PM.GET a"), "2");
    let refused = ask(&mut client, "PM.SET a 3");
    assert!(refused.contains("MISCONF"), "{refused}");
    fs::remove_file(&filler).unwrap();
    wait_for("it serves again", || ask(&mut client, "PM.SET a 3") == "OK");
    assert_eq!(ask(&mut client, &format!("PM.SET large {large}")), "OK");
    let mut client = crash(&mut server);
    assert_eq!(ask(&mut client, "PM.GET a"), "3");
    assert_eq!(ask(&mut client, "PM.STRLEN large"), "1048576");
}

#[test]
fn a_copy_made_after_a_checkpoint_is_a_backup() {
    let server = setup().start().unwrap();
    let mut client = server.client();
    fill(&mut client, 3000, 500, "a");
    assert_eq!(ask(&mut client, "CLIENT PAUSE 60000 WRITE"), "OK");
    assert_eq!(ask(&mut client, "PM.POOL CHECKPOINT"), "OK");
    let backup = Setup::native();
    fs::copy(server.setup().pool(), backup.pool()).unwrap();
    assert_eq!(ask(&mut client, "CLIENT UNPAUSE"), "OK");
    fill(&mut client, 3000, 10, "later");
    // The original goes on; its copy alone is the pool as it was.
    let path = backup.pool().to_string_lossy().into_owned();
    let restored = backup.module(&["path", &path, "copy", "accept"]);
    let restored = restored.start().unwrap();
    let mut other = restored.client();
    assert_eq!(ask(&mut other, "DBSIZE"), "3000");
    let value = format!("a:2999:{}", "x".repeat(500));
    assert_eq!(
        other.call(&["PM.GET", "key:2999"]).bytes(),
        Some(value.as_bytes())
    );
    assert!(restored.log().contains("0 keys of the pool are damaged"));
    assert_eq!(ask(&mut client, "PM.GET key:2999"), "later:2999:xxxxxxxxxx");
}

#[test]
fn a_pool_grows_at_a_start_and_keeps_what_is_in_its_new_room() {
    let mut server = Setup::pmedis_with("16m", &DISK).start().unwrap();
    let mut client = server.client();
    fill(&mut client, 2000, 1000, "a");
    server.kill9();
    let pool = server.setup().pool().to_string_lossy().into_owned();
    let mut larger = Setup::native()
        .module(&["path", &pool, "size", "64m", "durability", "disk"])
        .start()
        .unwrap();
    let mut client = larger.client();
    fill(&mut client, 30_000, 1000, "b");
    let mut client = crash(&mut larger);
    assert_eq!(ask(&mut client, "DBSIZE"), "30000");
    for n in [0, 1999, 29_999] {
        let value = format!("b:{n}:{}", "x".repeat(1000));
        let found = client.call(&["PM.GET", &format!("key:{n}")]);
        assert_eq!(found.bytes(), Some(value.as_bytes()));
    }
}

#[test]
fn another_durability_does_not_skip_the_journal() {
    let mut server = setup().start().unwrap();
    let mut client = server.client();
    fill(&mut client, 50, 10, "a");
    server.kill9();
    let journal = server.setup().pool().with_extension("pool.journal");
    let kept = fs::read(&journal).unwrap();
    let pool = server.setup().pool().to_string_lossy().into_owned();
    let process = Setup::native().force_pmem().module(&["path", &pool]);
    fs::remove_file(&journal).unwrap();
    let refusal = format!("{:?}", process.refusal());
    assert!(refusal.contains("the journal is not there"), "{refusal}");
    fs::write(&journal, kept).unwrap();
    let other = process.start().unwrap();
    assert_eq!(ask(&mut other.client(), "PM.GET key:49"), "a:49:xxxxxxxxxx");
    assert!(
        other.log().contains("records of its journal"),
        "{}",
        other.log()
    );
}

/// Records that a pipeline of so many commands, which the server reads at once, takes.
fn records_of_a_pipeline(server: &mut Server, commands: u64) -> u64 {
    let mut control = server.client();
    let mut client = server.client();
    assert_eq!(ask(&mut client, "PING"), "PONG");
    let before = info(&mut control, "syncs");
    server.frozen(|| {
        for n in 0..commands {
            client.queue(&["PM.SET", &format!("k{n}"), "v"]);
        }
        client.send().unwrap();
    });
    for _ in 0..commands {
        assert_eq!(client.receive().unwrap(), Value::Simple("OK".into()));
    }
    info(&mut control, "syncs") - before
}

#[test]
fn the_commands_of_a_cycle_share_a_record_unless_threads_send() {
    const COMMANDS: u64 = 100;
    let shared = |server: &mut Server| {
        assert_eq!(info(&mut server.client(), "group_commit"), 1);
        let records = records_of_a_pipeline(server, COMMANDS);
        // What the cron does in the background may have some.
        assert!(records < COMMANDS / 2, "{records} records");
    };
    let alone = |server: &mut Server| {
        assert_eq!(info(&mut server.client(), "group_commit"), 0);
        let records = records_of_a_pipeline(server, COMMANDS);
        assert!(records >= COMMANDS, "{records} records");
    };
    let mut server = setup().start().unwrap();
    shared(&mut server);
    if Packaged::current().has(None, Some((9, 0))) {
        let mut client = server.client();
        assert_eq!(ask(&mut client, "CONFIG SET io-threads 3"), "OK");
        alone(&mut server);
        assert_eq!(ask(&mut client, "CONFIG SET io-threads 1"), "OK");
        shared(&mut server);
    }
    alone(&mut setup().directive("io-threads 3").start().unwrap());
    let arguments = [&DISK[..], &["output-hook", "no"]].concat();
    let unhooked = Setup::pmedis_with("64m", &arguments);
    alone(&mut unhooked.start().unwrap());
}

#[test]
fn a_pool_that_is_moved_away_after_a_crash_comes_back_whole() {
    let setup = setup();
    let mut server = setup.start().unwrap();
    let mut client = server.client();
    assert_eq!(ask(&mut client, "PM.SET acknowledged first"), "OK");
    server.kill9();
    let away = setup.dir().join("away.pool");
    fs::rename(setup.pool(), &away).unwrap();
    server.restart().expect("a new pool in its place");
    let log = server.log();
    assert!(log.contains("pmedis.pool.journal.of-"), "{log}");
    let mut client = server.client();
    assert_eq!(ask(&mut client, "PM.DBSIZE"), "0");
    assert_eq!(ask(&mut client, "PM.SET acknowledged second"), "OK");
    server.kill9();
    let new = setup.dir().join("new.pool");
    for (from, value) in [(&away, "first"), (&new, "second"), (&away, "first")] {
        let to = if from == &away { &new } else { &away };
        fs::rename(setup.pool(), to).unwrap();
        fs::rename(from, setup.pool()).unwrap();
        server.restart().expect("it has its journal");
        assert_eq!(ask(&mut server.client(), "PM.GET acknowledged"), value);
        server.kill9();
    }
}
