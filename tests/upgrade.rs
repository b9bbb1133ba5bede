//! A pool that a module of format 1 has made opens in this one, with all that it holds, and is of
//! format 2 from then on.
//!
//! `data/format-1.pool.gz` is such a pool: the last module of format 1 (of the commit 8171432) ran
//! [`commands`] in it, on Redis 7.0, and was killed (SIGKILL) right after the last reply. The test
//! that is ignored makes it anew, with `PMEDIS_MODULE` naming such a module.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use testkit::client::Client;
use testkit::contents::{assert_equal, contents};
use testkit::full::settle;
use testkit::script::{ask, crash, expect, run};
use testkit::server::{Server, Setup};

/// The pool in the repository.
fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/format-1.pool.gz")
}

/// Runs gzip from a file to another.
fn gzip(option: &str, from: &Path, to: &Path) {
    let status = Command::new("gzip")
        .arg(option)
        .stdin(Stdio::from(File::open(from).unwrap()))
        .stdout(Stdio::from(File::create(to).unwrap()))
        .status()
        .unwrap();
    assert!(status.success(), "gzip {option}: {status}");
}

/// Values of every type, packed and large, that expire and do not, in two databases, and room that
/// deletions have left.
fn commands() -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut add = |line: &str| all.push(line.split(' ').map(str::to_owned).collect());
    for line in [
        "SELECT 0",
        "PM.SET string value",
        "PM.SET number 42",
        "PM.SET expires soon PXAT 4102444800000",
        "PM.RPUSH list a b c",
        "PM.HSET hash f v g 17",
        "PM.SADD words x y",
        "PM.SADD numbers 1 2 70000",
        "PM.ZADD zset 1 a -2.5 b inf c",
        "PM.PFADD hll a b c",
        "PM.SETBIT bits 1000 1",
        "PEXPIREAT hash 4102444800001",
        "SELECT 5",
        "PM.SET string other",
        "RENAME string renamed",
        "COPY renamed copied",
    ] {
        add(line);
    }
    add(&format!(
        "PM.SET large {}",
        "0123456789abcdef".repeat(20_000)
    ));
    for from in (0..1200).step_by(400) {
        let numbers = from..from + 400;
        let words = |form: &dyn Fn(usize) -> String| {
            let words: Vec<String> = numbers.clone().map(form).collect();
            words.join(" ")
        };
        let pair = |n| format!("field:{n} {n}");
        add(&format!("PM.RPUSH biglist {}", words(&|n| n.to_string())));
        add(&format!("PM.HSET bighash {}", words(&pair)));
        add(&format!("PM.SADD bigset {}", words(&|n| format!("m{n}"))));
        add(&format!(
            "PM.ZADD bigzset {}",
            words(&|n| format!("{n} m{n}"))
        ));
        add(&format!("PM.MSET {}", words(&|n| format!("gone:{n} {n}"))));
    }
    for n in (0..1200).filter(|n| n % 10 != 0) {
        add(&format!("DEL gone:{n}"));
    }
    add("PM.LTRIM biglist 100 -100");
    add("PM.ZREMRANGEBYSCORE bigzset 10 200");
    add("PM.INCRBY gone:0 1000");
    all
}

/// Starts a server on a pool.
fn start(setup: &Setup) -> (Server, Client) {
    let server = setup
        .start()
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let client = server.client();
    (server, client)
}

fn run_all(client: &mut Client) {
    for reply in client.pipeline(&commands()).unwrap() {
        assert!(!reply.is_error(), "{reply:?}");
    }
    expect(client, "SELECT 0", "OK");
}

#[test]
#[ignore = "makes the pool anew, with a module of format 1"]
fn make() {
    let (mut server, mut client) = start(&Setup::pmedis("8m"));
    let info = ask(&mut client, "PM.INFO pool");
    assert!(!info.contains("format:"), "no module of format 1: {info}");
    run_all(&mut client);
    server.kill9();
    gzip("-9nc", &server.setup().pool(), &kept());
}

#[test]
fn a_pool_of_format_1_is_taken_over_with_all_that_it_holds() {
    taken_over(&[]);
}

#[test]
fn a_pool_of_format_1_gets_a_journal() {
    taken_over(&["durability", "disk"]);
}

fn taken_over(arguments: &[&str]) {
    let setup = Setup::pmedis_with("8m", arguments);
    let pool = setup.pool();
    gzip("-dc", &kept(), &pool);
    let (mut server, mut client) = start(&setup);
    let log = server.log();
    assert!(
        log.contains("the pool had on-media format 1, and has 2 now"),
        "{log}"
    );
    assert!(ask(&mut client, "PM.INFO pool").contains("format:2"));
    run(&mut client, "PM.CHECK -> [sound 137 damaged 0 names []]");
    let (_fresh, mut expected) = start(&Setup::pmedis("16m"));
    run_all(&mut expected);
    assert_equal(&mut expected, &mut client);

    // It goes on being used, and what is done to it lasts.
    for client in [&mut client, &mut expected] {
        run(
            client,
            "PM.SET string changed -> OK
             PM.SET new v -> OK
             DEL number words -> 2
             SELECT 5 -> OK
             DEL large -> 1
             PM.HSET bighash field:7 changed field:9999 new -> 1
             PM.ZADD bigzset 5 m999 -> 0
             PM.SREM bigset m1 m2 -> 2
             PM.LPUSH biglist first -> 1002
             SELECT 0 -> OK",
        );
    }
    let mut client = crash(&mut server);
    assert_equal(&mut expected, &mut client);

    // All of its room serves whatever comes.
    expect(&mut client, "FLUSHALL", "OK");
    settle(&mut client);
    let value = "v".repeat(10_000);
    let fill = |client: &mut Client| {
        let mut count = 0;
        while !client
            .call(&["PM.SET", &format!("key:{count}"), &value])
            .is_error()
        {
            count += 1;
        }
        count
    };
    let count = fill(&mut client);
    println!("{count} values of 10,000 bytes");
    assert!(count > 220, "{count}");
    assert_eq!(contents(&mut client).len(), count);
    assert!(server.stop().success());
    let checked = Command::new("pmempool")
        .args(["check", "-v"])
        .arg(&pool)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
}
