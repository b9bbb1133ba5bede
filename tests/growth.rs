//! A pool grows: by itself when nothing else has room, by PM.POOL GROW, and, in a plain file, at a
//! start.

use std::fs;
use std::process::Command;
use std::time::Duration;
use testkit::client::Client;
use testkit::disk::SmallDisk;
use testkit::env_number;
use testkit::replication::{digest, info, wait_for};
use testkit::resp::Value;
use testkit::script::{ask, crash, expect, run};
use testkit::server::{Server, Setup};

const MEBI: u64 = 1 << 20;

fn start(setup: &Setup) -> (Server, Client) {
    let server = setup.start().unwrap();
    let client = server.client();
    (server, client)
}

/// A server on a pool of 16 MiB that may grow to so many.
fn growing(most: &str) -> Setup {
    Setup::pmedis_with("16m", &["max-size", most])
}

/// A figure of PM.INFO.
fn figure(client: &mut Client, name: &str) -> u64 {
    let text = ask(client, "PM.INFO pool");
    let line = text
        .split("\\r\\n")
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("no {name} in {text}"))
}

fn set(client: &mut Client, name: &str, n: usize, len: usize) -> Value {
    let value = format!("{n:08}").repeat(len / 8 + 1);
    client.call(&["PM.SET".to_owned(), format!("{name}:{n}"), value])
}

/// Sets keys until one is refused, or there are so many; how many there are.
fn fill(client: &mut Client, name: &str, len: usize, most: usize) -> usize {
    for n in 0..most {
        match set(client, name, n, len) {
            Value::Simple(_) => {}
            Value::Error(text) => {
                assert!(text.starts_with("OOM "), "{text}");
                return n;
            }
            other => panic!("{other:?}"),
        }
    }
    most
}

#[test]
fn a_pool_grows_by_itself_until_it_has_its_largest_size() {
    let (mut server, mut client) = start(&growing("100m"));
    assert_eq!(figure(&mut client, "size"), 16 * MEBI);
    assert_eq!(figure(&mut client, "max_size"), 100 * MEBI);
    let room = figure(&mut client, "capacity");
    let count = fill(&mut client, "k", 10_000, usize::MAX);
    assert!(count > 8_500, "only {count} values of 10 kB fit");
    assert_eq!(figure(&mut client, "size"), 100 * MEBI);
    assert!(figure(&mut client, "capacity") > 5 * room);
    assert!(figure(&mut client, "free") < 3 * MEBI);
    let log = server.log();
    assert!(
        log.contains("the pool has grown from 16777216 bytes to"),
        "{log}"
    );
    // The levels are those of what it can grow to.
    wait_for("the log tells how full it is", || {
        server.log().contains("percent full (warning level 95)")
    });
    let (half, _) = log.split_once("bytes to 67108864").expect("a step");
    assert!(!half.contains("percent full"), "{log}");

    let before = digest(&mut client);
    let mut client = crash(&mut server);
    assert_eq!(digest(&mut client), before);
    assert_eq!(figure(&mut client, "size"), 100 * MEBI);
    expect(&mut client, "DEL k:17 k:18", "2");
    expect(&mut client, "PM.SET small v", "OK");
    server.stop();
    let check = Command::new("pmempool")
        .arg("check")
        .arg(server.setup().pool())
        .output()
        .expect("pmempool is installed");
    assert!(check.status.success(), "{check:?}");
}

#[test]
fn a_set_of_a_directory_made_by_hand_grows() {
    let setup = Setup::native().force_pmem();
    let (set_path, directory) = (setup.dir().join("my.set"), setup.dir().join("parts"));
    fs::create_dir(&directory).unwrap();
    let text = format!(
        "PMEMPOOLSET\nOPTION SINGLEHDR\n1G {}\n",
        directory.display()
    );
    fs::write(&set_path, text).unwrap();
    let made = Command::new("pmempool")
        .args(["create", "--layout", "pmedis", "obj"])
        .arg(&set_path)
        .output()
        .expect("pmempool is installed");
    assert!(made.status.success(), "{made:?}");
    let setup = setup.module(&["path", set_path.to_str().unwrap(), "max-size", "64m"]);
    let (mut server, mut client) = start(&setup);
    let count = fill(&mut client, "k", 10_000, 5_000);
    assert_eq!(count, 5_000);
    assert!(figure(&mut client, "size") > 50 * MEBI);
    let before = digest(&mut client);
    let mut client = crash(&mut server);
    assert_eq!(digest(&mut client), before);
    let count = fill(&mut client, "more", 10_000, usize::MAX);
    assert!(count > 500, "{count}");
    assert_eq!(figure(&mut client, "size"), 64 * MEBI);
}

#[test]
fn pool_grow_says_what_it_does() {
    let (mut server, mut client) = start(&growing("64m"));
    let ask_size = |client: &mut Client| figure(client, "size");
    run(
        &mut client,
        "PM.POOL GROW 4m -> 20971520
         PM.POOL GROW 0 -> (error) ERR value is out of range
         PM.POOL GROW x -> (error) ERR value is out of range
         PM.POOL GROW 1m 2m -> (error) ERR syntax error
         PM.POOL SHRINK -> (error) ERR syntax error
         PM.POOL GROW 1g -> (error) ERR the pool has 20971520 bytes and cannot become larger than 67108864
         MULTI -> OK
         PM.SET a 1 -> QUEUED
         PM.POOL GROW 2m -> QUEUED
         PM.SET b 2 -> QUEUED
         EXEC -> [OK 23068672 OK]",
    );
    assert_eq!(ask_size(&mut client), 22 * MEBI);
    let mut client = crash(&mut server);
    assert_eq!(ask_size(&mut client), 22 * MEBI);
    run(&mut client, "PM.MGET a b -> [1 2]");
    // Without a number, as much as there is at last.
    while ask_size(&mut client) < 64 * MEBI {
        let size: u64 = ask(&mut client, "PM.POOL GROW").parse().expect("a size");
        assert_eq!(ask_size(&mut client), size);
    }
    let refused = ask(&mut client, "PM.POOL GROW");
    assert!(refused.contains("cannot become larger"), "{refused}");

    let (_server, mut client) = start(&Setup::pmedis("16m"));
    let refused = ask(&mut client, "PM.POOL GROW 4m");
    assert!(refused.contains("plain file"), "{refused}");
}

#[test]
fn a_full_file_system_refuses_growth_and_all_is_as_before() {
    let home = Setup::native();
    let Some(disk) = SmallDisk::mount(home.dir().join("disk"), 60) else {
        eprintln!("skipped: nothing can be mounted here");
        return;
    };
    let pool = disk.path().join("pmedis.pool");
    let setup = Setup::native().force_pmem().module(&[
        "path",
        pool.to_str().unwrap(),
        "size",
        "16m",
        "max-size",
        "1g",
    ]);
    let (mut server, mut client) = start(&setup);
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![1u8; 25 << 20]).unwrap();
    let refused = ask(&mut client, "PM.POOL GROW 100m");
    assert!(refused.contains("no room for 104857600 bytes"), "{refused}");
    assert_eq!(figure(&mut client, "size"), 16 * MEBI);
    // It takes what there is, in smaller steps.
    let count = fill(&mut client, "k", 10_000, usize::MAX);
    let size = figure(&mut client, "size");
    assert!((30 * MEBI..36 * MEBI).contains(&size), "{size}");
    assert!(count as u64 * 10_000 > size * 7 / 10, "{count} in {size}");
    let log = server.log();
    let told = log
        .matches("the pool cannot grow, and is as before")
        .count();
    assert_eq!(told, 1, "{log}");
    let before = digest(&mut client);
    let mut client = crash(&mut server);
    assert_eq!(digest(&mut client), before);
    expect(&mut client, "DEL k:1", "1");
    expect(&mut client, "PM.SET small v", "OK");
    // With room again, it grows again.
    fs::remove_file(&filler).unwrap();
    let more = fill(&mut client, "more", 10_000, usize::MAX);
    assert!(more > 1_500, "{more}");
}

#[test]
fn a_child_saves_the_moment_of_its_fork_while_the_pool_grows() {
    // On a busy machine the child has to take longer.
    let is_seen = [2000, 8000, 32_000, 128_000]
        .into_iter()
        .any(child_saves_while_the_pool_grows);
    assert!(is_seen, "the child was too fast");
}

/// Whether the child, which waits for so many microseconds after each key, was still at work when
/// the pool had grown.
fn child_saves_while_the_pool_grows(pause: u32) -> bool {
    let setup = Setup::pmedis_with("16m", &["max-size", "256m", "rdb", "full"])
        .directive(&format!("rdb-key-save-delay {pause}"));
    let (server, mut client) = start(&setup);
    fill(&mut client, "k", 10_000, 1_000);
    let at_fork = digest(&mut client);
    expect(&mut client, "BGSAVE", "Background saving started");
    let before = figure(&mut client, "size");
    fill(&mut client, "k", 20_000, 1_000);
    fill(&mut client, "more", 10_000, 5_000);
    assert!(figure(&mut client, "size") > before);
    let is_seen = info(&mut client, "rdb_bgsave_in_progress") == "1";
    wait_for("the child is done", || {
        info(&mut client, "rdb_bgsave_in_progress") == "0"
    });
    assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
    let fresh = Setup::pmedis("64m");
    let rdb = server.setup().dir().join("dump.rdb");
    fs::copy(rdb, fresh.dir().join("dump.rdb")).unwrap();
    let (_fresh, mut client) = start(&fresh);
    assert_eq!(digest(&mut client), at_fork);
    is_seen
}

#[test]
fn kills_while_the_pool_grows_lose_nothing() {
    let rounds = env_number("PMEDIS_GROWTH_ROUNDS", 12);
    let mut rng = fastrand_from(env_number("PMEDIS_SEED", 3));
    let (mut server, mut client) = start(&growing("4g"));
    let mut acknowledged = 0;
    let mut sizes = vec![figure(&mut client, "size")];
    for round in 0..rounds {
        // Growth and writes in turn, sent at once; the kill comes in their midst.
        let mut sent = acknowledged;
        for _ in 0..40 {
            for _ in 0..20 {
                let value = format!("{sent:08}").repeat(500);
                client.queue(&["PM.SET".to_owned(), format!("k:{sent}"), value]);
                sent += 1;
            }
            client.queue(&["PM.POOL", "GROW", "2m"]);
        }
        client.send().unwrap();
        let after = rng.u64(1..200);
        for _ in 0..after {
            match client.receive().unwrap() {
                Value::Simple(_) => acknowledged += 1,
                Value::Integer(_) => {}
                other => panic!("{other:?}"),
            }
        }
        std::thread::sleep(Duration::from_micros(rng.u64(0..20_000)));
        client = crash(&mut server);
        sizes.push(figure(&mut client, "size"));
        let there: usize = ask(&mut client, "PM.DBSIZE").parse().unwrap();
        assert!(
            there >= acknowledged,
            "round {round}: {there} of {acknowledged}"
        );
        for n in (0..there).rev().take(900) {
            let value = client.call(&["PM.GET".to_owned(), format!("k:{n}")]);
            assert_eq!(
                value.bytes(),
                Some(format!("{n:08}").repeat(500).as_bytes()),
                "round {round}"
            );
        }
        acknowledged = there;
        let parts = fs::read_dir(server.setup().dir().join("pmedis.pool.parts")).unwrap();
        let files: u64 = parts
            .map(|part| part.unwrap().metadata().unwrap().len())
            .sum();
        assert_eq!(
            files,
            *sizes.last().unwrap(),
            "a part that is not the pool's"
        );
    }
    assert!(
        sizes.is_sorted() && sizes[0] < sizes[sizes.len() - 1],
        "{sizes:?}"
    );
}

fn fastrand_from(seed: u64) -> fastrand::Rng {
    println!("PMEDIS_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// The way to a larger pool for those in a plain file: docs/replication.md names it.
#[test]
fn a_plain_file_grows_at_a_start_with_a_larger_size() {
    let setup = Setup::pmedis("16m");
    let pool = setup.pool().to_string_lossy().into_owned();
    let (mut server, mut client) = start(&setup);
    let count = fill(&mut client, "k", 10_000, usize::MAX);
    assert!(count < 1_700, "{count}");
    let before = digest(&mut client);
    server.stop();
    let larger = |size: &str| {
        let line = format!("path {pool} size {size}");
        let words: Vec<&str> = line.split(' ').collect();
        Setup::native().force_pmem().module(&words)
    };
    let (mut server, mut client) = start(&larger("64m"));
    assert!(
        server
            .log()
            .contains("the pool has grown from 16777216 bytes to 67108864")
    );
    assert_eq!(digest(&mut client), before);
    let more = fill(&mut client, "more", 10_000, usize::MAX);
    assert!(more > 4_500, "{more}");
    let before = digest(&mut client);
    server.kill9();
    // By hand as well; and a smaller size changes nothing.
    let file = fs::OpenOptions::new().write(true).open(&pool).unwrap();
    file.set_len(96 << 20).unwrap();
    let (server, mut client) = start(&larger("16m"));
    assert!(server.log().contains("size 16777216 is not applied"));
    assert_eq!(figure(&mut client, "size"), 96 * MEBI);
    assert_eq!(digest(&mut client), before);
    assert!(fill(&mut client, "even more", 10_000, usize::MAX) > 2_500);
}

#[test]
fn a_plain_file_that_cannot_grow_at_a_start_says_when_it_tries_again() {
    let home = Setup::native();
    let Some(disk) = SmallDisk::mount(home.dir().join("disk"), 24) else {
        eprintln!("skipped: nothing can be mounted here");
        return;
    };
    let path = disk.path().join("pool").to_string_lossy().into_owned();
    let with = |size: &str| {
        Setup::native()
            .force_pmem()
            .module(&["path", &path, "size", size])
    };
    start(&with("16m")).0.stop();
    let (mut server, _client) = start(&with("64m"));
    let mut log = String::new();
    wait_for("the log tells", || {
        log = server.log();
        log.contains("the pool cannot grow, and is as before")
    });
    assert!(log.contains("it tries again at the next start"), "{log}");
    server.stop();
}
