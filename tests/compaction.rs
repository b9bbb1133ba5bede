//! Compaction: room that deletions leave scattered serves values of any other size, and nobody sees
//! it move.

use fastrand::Rng;
use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};
use testkit::client::Client;
use testkit::resp::Value;
use testkit::script::{ask, expect, run};
use testkit::server::Setup;

/// Longest wait for compaction to have done its work.
const PATIENCE: Duration = Duration::from_secs(300);
/// Commands in one pipeline.
const PIPELINE: usize = 500;

fn is_refused(reply: &Value) -> bool {
    match reply {
        Value::Error(text) => {
            assert!(text.starts_with("OOM "), "{text}");
            true
        }
        _ => false,
    }
}

/// Sets keys of this name to values of `len` bytes until one does not fit; how many did.
fn fill(client: &mut Client, name: &str, len: usize) -> usize {
    let mut done = 0;
    loop {
        let batch: Vec<Vec<String>> = (done..done + PIPELINE)
            .map(|n| vec!["PM.SET".into(), format!("{name}:{n}"), value(n, len)])
            .collect();
        for reply in client.pipeline(&batch).unwrap() {
            if is_refused(&reply) {
                return done;
            }
            assert_eq!(reply, Value::Simple("OK".into()));
            done += 1;
        }
    }
}

fn value(n: usize, len: usize) -> String {
    let mut text = format!("{n}:");
    text.extend(std::iter::repeat_n('v', len.saturating_sub(text.len())));
    text
}

/// Deletes keys of this name.
fn delete(client: &mut Client, name: &str, numbers: &[usize]) {
    for numbers in numbers.chunks(PIPELINE) {
        let names = numbers.iter().map(|n| format!("{name}:{n}"));
        let words: Vec<String> = std::iter::once("DEL".into()).chain(names).collect();
        assert_eq!(client.call(&words), Value::Integer(numbers.len() as i64));
    }
}

/// What PM.DEFRAG says.
fn status(client: &mut Client, words: &[&str]) -> HashMap<String, String> {
    let words = [&["PM.DEFRAG"], words].concat();
    let reply = client.call(&words);
    let elements = reply.elements().unwrap_or_else(|| panic!("{reply:?}"));
    let text = |value: &Value| match value {
        Value::Integer(n) => n.to_string(),
        other => String::from_utf8_lossy(other.bytes().expect("text")).into_owned(),
    };
    let pairs = elements.chunks(2);
    pairs.map(|p| (text(&p[0]), text(&p[1]))).collect()
}

fn figure(status: &HashMap<String, String>, name: &str) -> u64 {
    status[name].parse().expect("a number")
}

/// Waits until compaction has nothing to do that pays.
fn settle(client: &mut Client) -> HashMap<String, String> {
    let start = Instant::now();
    loop {
        let status = status(client, &["NOW"]);
        if status["state"] == "idle" {
            return status;
        }
        assert!(start.elapsed() < PATIENCE, "{status:?}");
    }
}

fn digest(client: &mut Client) -> String {
    ask(client, "DEBUG DIGEST")
}

/// All but one in twenty of `count` numbers, at random, and the others.
fn most(count: usize, random: &mut Rng) -> (Vec<usize>, Vec<usize>) {
    let mut numbers: Vec<usize> = (0..count).collect();
    random.shuffle(&mut numbers);
    let kept = numbers.split_off(count - count / 20);
    (numbers, kept)
}

#[test]
fn what_is_left_of_small_values_makes_room_for_all_types() {
    let mut server = Setup::pmedis("24m").start().unwrap();
    let mut client = server.client();
    let count = fill(&mut client, "small", 100);
    assert!(count > 80_000, "{count} small values");
    let (gone, kept) = most(count, &mut Rng::with_seed(1));
    delete(&mut client, "small", &gone);
    let long = "x".repeat(400);
    // A command that finds no room has some made, for which it waits a little; here that may not be
    // enough.
    for words in [
        ["PM.SET", "k", &long].as_slice(),
        &["PM.HSET", "h", "f", &long],
        &["PM.RPUSH", "l", &long],
        &["PM.ZADD", "z", "1", &long],
        &["PM.SADD", "s", &long],
    ] {
        let start = Instant::now();
        while is_refused(&client.call(words)) {
            assert!(start.elapsed() < PATIENCE, "{words:?}");
        }
    }
    let before = digest(&mut client);
    let status = settle(&mut client);
    assert_eq!(digest(&mut client), before);
    assert!(figure(&status, "records-moved") > 0, "{status:?}");
    assert!(figure(&status, "regainable") < 1 << 20, "{status:?}");
    // Rounds that undo each other's gain would be thousands.
    assert!(figure(&status, "rounds") < 1000, "{status:?}");
    for &n in &kept {
        let held = client.call(&["PM.GET".to_owned(), format!("small:{n}")]);
        assert_eq!(held, Value::Bulk(value(n, 100).into()));
    }
    let large = fill(&mut client, "large", 20_000);
    assert!(large * 20_000 > 14 << 20, "{large} large values");
    let before = digest(&mut client);
    server.kill9();
    server.restart().unwrap();
    assert_eq!(digest(&mut server.client()), before);
}

/// A key of each type and encoding, small and large, in two databases.
fn populate(client: &mut Client, random: &mut Rng) {
    let word = |random: &mut Rng| {
        let len = match random.u32(..10) {
            0 => random.usize(600..3000),
            1..4 => random.usize(70..300),
            _ => random.usize(1..20),
        };
        format!("{}{}", random.u32(..1_000_000), "w".repeat(len))
    };
    let mut batch: Vec<Vec<String>> = Vec::new();
    for n in 0..200 {
        if n == 150 {
            batch.push(vec!["SELECT".into(), "3".into()]);
        }
        let count = [3, 20, 400][n % 3];
        let words: Vec<String> = (0..count).map(|_| word(random)).collect();
        let mut command = |name: &str, key: &str, words: Vec<String>| {
            let mut all = vec![name.to_owned(), format!("{key}:{n}")];
            all.extend(words);
            batch.push(all);
        };
        command("PM.SET", "string", vec![words[0].clone()]);
        command("PM.RPUSH", "list", words.clone());
        command("PM.SADD", "set", words.clone());
        let pairs = words.iter().flat_map(|word| [word.clone(), word.clone()]);
        command("PM.HSET", "hash", pairs.collect());
        let scored = words.iter().enumerate();
        let scored = scored.flat_map(|(at, word)| [(at % 7).to_string(), word.clone()]);
        command("PM.ZADD", "zset", scored.collect());
        command(
            "PM.SADD",
            "integers",
            (0..count).map(|i| i.to_string()).collect(),
        );
        for junk in 0..20 {
            command("PM.SET", &format!("junk{junk}"), vec![word(random)]);
        }
        if n % 5 == 0 {
            command("EXPIRE", "string", vec!["100000".into()]);
        }
    }
    batch.push(vec!["SELECT".into(), "0".into()]);
    for reply in client.pipeline(&batch).unwrap() {
        assert!(!reply.is_error(), "{reply:?}");
    }
}

/// Deletes most keys of the litter.
fn sweep(client: &mut Client) {
    for db in ["0", "3"] {
        client.call(&["SELECT", db]);
        for junk in (0..20).filter(|junk| junk % 7 != 0) {
            let names = (0..200).map(|n| format!("junk{junk}:{n}"));
            let words: Vec<String> = std::iter::once("UNLINK".into()).chain(names).collect();
            client.call(&words);
        }
    }
    client.call(&["SELECT", "0"]);
}

#[test]
fn nobody_sees_keys_move() {
    let mut server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    client.call(&["CONFIG", "SET", "notify-keyspace-events", "KEA"]);
    client.call(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lfu"]);
    // Frequencies change by use alone, not with the minute.
    client.call(&["CONFIG", "SET", "lfu-decay-time", "0"]);
    populate(&mut client, &mut Rng::with_seed(2));
    sweep(&mut client);
    let ttl = client.call(&["PEXPIRETIME", "string:0"]);
    let frequencies: Vec<Value> = (0..100)
        .map(|n| client.call(&["OBJECT".to_owned(), "FREQ".into(), format!("hash:{n}")]))
        .collect();
    let before = digest(&mut client);

    let mut watcher = server.client();
    let keys: Vec<String> = (0..100).map(|n| format!("zset:{n}")).collect();
    let words: Vec<String> = std::iter::once("WATCH".into()).chain(keys).collect();
    watcher.call(&words);
    let mut listener = server.client();
    listener.call(&["PSUBSCRIBE", "*"]);
    let counters = |client: &mut Client| {
        let stats = ask(client, "INFO stats");
        let wanted = [
            "keyspace_hits",
            "keyspace_misses",
            "expired_keys",
            "evicted_keys",
        ];
        let lines = stats
            .lines()
            .filter(|line| wanted.iter().any(|w| line.starts_with(w)));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let counted = counters(&mut client);

    let done = settle(&mut client);
    assert!(figure(&done, "records-moved") > 50, "{done:?}");
    assert!(figure(&done, "bytes-moved") > 100_000, "{done:?}");
    assert!(figure(&done, "bytes-regained") > 200_000, "{done:?}");

    assert_eq!(counters(&mut client), counted);
    assert_eq!(client.call(&["PEXPIRETIME", "string:0"]), ttl);
    let after: Vec<Value> = (0..100)
        .map(|n| client.call(&["OBJECT".to_owned(), "FREQ".into(), format!("hash:{n}")]))
        .collect();
    assert_eq!(after, frequencies);
    assert_eq!(digest(&mut client), before);
    run(&mut watcher, "MULTI -> OK\nPING -> QUEUED\nEXEC -> [PONG]");
    assert_eq!(
        listener
            .discard_arrivals(Duration::from_millis(50))
            .unwrap(),
        0
    );
    server.kill9();
    server.restart().unwrap();
    let mut client = server.client();
    assert_eq!(digest(&mut client), before);
    assert_eq!(client.call(&["PEXPIRETIME", "string:0"]), ttl);
}

#[test]
fn it_works_by_itself_while_clients_do() {
    /// Rounds of writes, of which some 500 bytes each stay.
    const WRITES_MAX: usize = 20_000;
    let mut server = Setup::pmedis("128m").start().unwrap();
    let mut client = server.client();
    populate(&mut client, &mut Rng::with_seed(3));
    let count = 60_000;
    for from in (0..count).step_by(PIPELINE) {
        let batch: Vec<Vec<String>> = (from..from + PIPELINE)
            .map(|n| vec!["PM.SET".into(), format!("more:{n}"), value(n, 200)])
            .collect();
        client.pipeline(&batch).unwrap();
    }
    let (gone, kept) = most(count, &mut Rng::with_seed(4));
    delete(&mut client, "more", &gone);
    sweep(&mut client);
    let (start, mut n) = (Instant::now(), 0);
    loop {
        let now = status(&mut client, &[]);
        if now["state"] == "idle" && figure(&now, "bytes-regained") > 4 << 20 {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{now:?}");
        // What comes is compaction's reason to go on, and must not fill the pool.
        if n == WRITES_MAX {
            thread::sleep(Duration::from_millis(20));
            continue;
        }
        for _ in 0..200 {
            n += 1;
            let key = format!("live:{}", n % 50);
            let at = kept[n % kept.len()];
            let batch = [
                vec!["PM.RPUSH".to_owned(), key.clone(), n.to_string()],
                vec!["PM.GET".to_owned(), format!("more:{at}")],
                vec![
                    "PM.HSET".to_owned(),
                    format!("h{key}"),
                    n.to_string(),
                    value(n, n % 700),
                ],
                vec![
                    "PM.ZADD".to_owned(),
                    format!("z{key}"),
                    n.to_string(),
                    n.to_string(),
                ],
                vec!["PM.SET".to_owned(), format!("s{key}"), value(n, n % 2000)],
            ];
            let replies = client.pipeline(&batch).unwrap();
            assert_eq!(replies[1], Value::Bulk(value(at, 200).into()));
            assert!(
                replies.iter().all(|reply| !reply.is_error()),
                "{replies:?} {}",
                String::from_utf8_lossy(client.call(&["PM.INFO", "pool"]).bytes().expect("a text"))
            );
        }
    }
    let before = digest(&mut client);
    server.kill9();
    server.restart().unwrap();
    let mut client = server.client();
    assert_eq!(digest(&mut client), before);
    let tail = client.call(&["PM.LLEN", "live:1"]);
    assert_eq!(tail, Value::Integer((n as i64 + 49) / 50), "{n} pushes");
}

#[test]
fn a_kill_in_the_midst_loses_nothing() {
    let mut random = Rng::with_seed(5);
    let mut server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    populate(&mut client, &mut random);
    sweep(&mut client);
    let expected = digest(&mut client);
    for round in 0..8 {
        // The server dies with its reply on the way, somewhere in a second of compaction.
        client.queue(&["PM.DEFRAG", "NOW"]);
        client.send().unwrap();
        std::thread::sleep(Duration::from_micros(random.u64(100..40_000)));
        server.kill9();
        server.restart().unwrap();
        client = server.client();
        assert_eq!(digest(&mut client), expected, "round {round}");
    }
    settle(&mut client);
    assert_eq!(digest(&mut client), expected);
    assert!(!server.log().contains("damaged"), "{}", server.log());
}

#[test]
fn nothing_moves_in_a_transaction_or_a_script() {
    let server = Setup::pmedis("16m").start().unwrap();
    let mut client = server.client();
    run(
        &mut client,
        "MULTI -> OK\nPM.SET a 1 -> QUEUED\nPM.DEFRAG NOW -> QUEUED",
    );
    let replies = client.call(&["EXEC"]);
    let replies = replies.elements().unwrap();
    assert!(
        matches!(&replies[1], Value::Error(text) if text.starts_with("ERR nothing can be moved")),
        "{replies:?}"
    );
    expect(&mut client, "PM.GET a", "1");
    for wrong in ["NOW 0", "NOW x", "NOW 1 2", "STATUS 1", "LATER"] {
        let refused = ask(&mut client, &format!("PM.DEFRAG {wrong}"));
        assert!(refused.starts_with("(error) ERR "), "{wrong}: {refused}");
    }
    // A new pool has next to nothing to gather.
    let now = settle(&mut client);
    assert_eq!(figure(&now, "regainable"), 0, "{now:?}");
    expect(&mut client, "PM.GET a", "1");
}
