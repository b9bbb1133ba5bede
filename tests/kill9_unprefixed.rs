//! kill -9 while plain names are at work: while writes make native keys PM keys, and while keys
//! give way in a full pool. What was acknowledged is there, what is there is whole.
//!
//! `PMEDIS_KILL_ROUNDS` and `PMEDIS_SEED` as in the other tests of kills.

use std::thread;
use testkit::client::Client;
use testkit::env_number;
use testkit::resp::Value;
use testkit::script::{ask, expect, run, words};
use testkit::server::{Server, Setup};

/// Native keys of each type.
const KEYS: usize = 300;
/// Commands that are sent at once.
const BATCH: usize = 20;

fn started(setup: &Setup) -> Server {
    setup
        .start()
        .unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

/// Sends commands one batch after the other until the server is gone, and kills it after so many
/// replies. Gives the replies that came.
fn until_killed(server: &mut Server, commands: Vec<Vec<String>>, after: usize) -> Vec<Value> {
    let mut client = server.client();
    let (sender, replies) = std::sync::mpsc::channel();
    let writer = thread::spawn(move || {
        for batch in commands.chunks(BATCH) {
            for command in batch {
                client.queue(command);
            }
            if client.send().is_err() {
                return;
            }
            for _ in batch {
                match client.receive() {
                    Ok(reply) => sender.send(reply).expect("the test listens"),
                    Err(_) => return,
                }
            }
        }
    });
    let mut seen: Vec<Value> = replies.iter().take(after).collect();
    server.kill9();
    seen.extend(replies);
    writer.join().expect("a writer");
    seen
}

/// What a key of the `n`-th is changed by, and what tells of it: the question, and the answers
/// before and after.
fn changes(n: usize) -> [(String, String, String, String); 4] {
    [
        (
            format!("APPEND s:{n} b"),
            format!("GET s:{n}"),
            "a".into(),
            "ab".into(),
        ),
        (
            format!("RPUSH l:{n} b"),
            format!("LRANGE l:{n} 0 -1"),
            "[a]".into(),
            "[a b]".into(),
        ),
        (
            format!("HSET h:{n} f b"),
            format!("HGET h:{n} f"),
            "a".into(),
            "b".into(),
        ),
        (
            format!("ZADD z:{n} 2 a"),
            format!("ZSCORE z:{n} a"),
            "1".into(),
            "2".into(),
        ),
    ]
}

fn words_of(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[test]
fn writes_that_adopt_are_whole_or_not_at_all() {
    let rounds = env_number("PMEDIS_KILL_ROUNDS", 3);
    let mut random = fastrand::Rng::with_seed(env_number("PMEDIS_SEED", 1));
    // A server without the module leaves native keys in an RDB, which each start loads.
    let setup = Setup::native();
    let mut plain = started(&setup);
    let mut client = plain.client();
    let script = "for n=0,ARGV[1]-1 do redis.call('SET','s:'..n,'a') redis.call('RPUSH','l:'..n,'a') \
                  redis.call('HSET','h:'..n,'f','a') redis.call('ZADD','z:'..n,1,'a') end";
    client.call(&["EVAL", script, "0", &KEYS.to_string()]);
    expect(&mut client, "SAVE", "OK");
    drop(client);
    plain.stop();
    let pool = setup.pool().to_string_lossy().into_owned();
    let arguments = ["path", &pool, "size", "64m", "unprefixed", "yes"];
    let mut server = started(&setup.clone().force_pmem().module(&arguments));

    let all: Vec<_> = (0..KEYS).flat_map(changes).collect();
    let (mut acknowledged, mut from) = (vec![false; all.len()], 0);
    for round in 0..rounds {
        let left = &all[from..];
        if left.len() < 8 * BATCH {
            break;
        }
        let after = random.usize(1..left.len() / 4);
        // The writer goes on while the kill is on its way: some must be left that nobody sends.
        let sent = left.iter().take(after + 4 * BATCH);
        let commands = sent.map(|(command, ..)| words_of(command)).collect();
        let replies = until_killed(&mut server, commands, after);
        for (reply, is_done) in replies.iter().zip(&mut acknowledged[from..]) {
            assert!(!reply.is_error(), "{reply:?}");
            *is_done = true;
        }
        // What was sent, and not answered, may have been done.
        from = all.len().min(from + replies.len() + BATCH);
        server
            .restart()
            .unwrap_or_else(|refusal| panic!("{refusal:?}"));
        let mut client = server.client();
        for ((_, question, before, later), &is_done) in all.iter().zip(&acknowledged) {
            let answer = ask(&mut client, question);
            let is_whole = answer == *later || (!is_done && answer == *before);
            assert!(
                is_whole,
                "round {round}: {question} is {answer}, acknowledged: {is_done}"
            );
        }
        run(&mut client, &format!("DBSIZE -> {}\nPM.CHECK", 4 * KEYS));
    }
    let adopted: usize = ask(&mut server.client(), "PM.DBSIZE")
        .parse()
        .expect("a number");
    let done = acknowledged.iter().filter(|is_done| **is_done).count();
    assert!(
        (done..4 * KEYS).contains(&adopted),
        "{adopted} adopted, {done} acknowledged"
    );
}

#[test]
fn keys_that_give_way_go_wholly() {
    const LENGTH: usize = 8000;
    let value = |name: &str| name.repeat(LENGTH / name.len() + 1)[..LENGTH].to_owned();
    let rounds = env_number("PMEDIS_KILL_ROUNDS", 3);
    let mut random = fastrand::Rng::with_seed(env_number("PMEDIS_SEED", 1));
    let setup = Setup::pmedis_with("16m", &["unprefixed", "yes"]);
    let mut server = started(&setup.directive("maxmemory-policy allkeys-lru"));
    let check = |client: &mut Client, acknowledged: &[String]| {
        // Nothing gives way while it is looked at.
        run(client, "CONFIG SET maxmemory-policy noeviction -> OK");
        let names = client.call(&["KEYS", "*"]);
        let names: Vec<String> = names
            .elements()
            .expect("a list")
            .iter()
            .map(words)
            .collect();
        for name in &names {
            assert_eq!(ask(client, &format!("GET {name}")), value(name), "{name}");
        }
        let left = acknowledged
            .iter()
            .rev()
            .take(100)
            .filter(|name| names.contains(name));
        assert!(left.count() >= 80, "of the last hundred keys many are gone");
        run(client, "PM.CHECK");
        expect(client, "PM.DBSIZE", &names.len().to_string());
        run(client, "CONFIG SET maxmemory-policy allkeys-lru -> OK");
    };
    let mut from = 0;
    for _ in 0..rounds {
        let names: Vec<String> = (from..from + 4000).map(|n| format!("key:{n}:")).collect();
        let command = |name: &String| vec!["SET".into(), name.clone(), value(name)];
        let commands = names.iter().map(command).collect();
        let replies = until_killed(&mut server, commands, random.usize(2000..3900));
        assert!(
            replies
                .iter()
                .all(|reply| *reply == Value::Simple("OK".into()))
        );
        server
            .restart()
            .unwrap_or_else(|refusal| panic!("{refusal:?}"));
        check(&mut server.client(), &names[..replies.len()]);
        from += 4000;
    }
    let mut client = server.client();
    for n in 0..2500 {
        let name = format!("later:{n}:");
        expect(&mut client, &format!("SET {name} {}", value(&name)), "OK");
    }
    let left: usize = ask(&mut client, "PM.DBSIZE").parse().expect("a number");
    assert!(left < 2500, "nothing gave way");
    let names: Vec<String> = (0..2500).map(|n| format!("later:{n}:")).collect();
    check(&mut client, &names);
}
