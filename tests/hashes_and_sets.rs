//! What the differential tests do not see of hashes and sets: scans page by page, native sets as
//! sources, what is there after a restart, what replicas are sent.

use std::collections::{BTreeMap, BTreeSet};
use testkit::client::Client;
use testkit::packaged::Packaged;
use testkit::resp::Value;
use testkit::server::{Server, Setup};

fn start() -> (Server, Client) {
    let server = Setup::pmedis("256m").start().unwrap();
    let client = server.client();
    (server, client)
}

fn call(client: &mut Client, command: &str) -> Value {
    let words: Vec<&str> = command.split(' ').collect();
    client.call(&words)
}

#[track_caller]
fn expect(client: &mut Client, command: &str, expected: i64) {
    assert_eq!(call(client, command), Value::Integer(expected), "{command}");
}

fn texts(reply: &Value) -> Vec<Vec<u8>> {
    let elements = reply.elements().expect("an array");
    let text = |element: &Value| element.bytes().expect("a bulk string").to_vec();
    elements.iter().map(text).collect()
}

fn sorted(reply: &Value) -> Vec<Vec<u8>> {
    let mut texts = texts(reply);
    texts.sort();
    texts
}

/// Adds `count` elements, a hundred a command: members to a set, or fields with values to a hash.
fn fill(client: &mut Client, command: &str, key: &str, count: usize) {
    for from in (0..count).step_by(100) {
        let mut words = vec![command.to_owned(), key.to_owned()];
        for n in from..count.min(from + 100) {
            words.push(format!("element {n}"));
            if command.ends_with("HSET") {
                words.push(format!("value {n}"));
            }
        }
        assert!(!client.call(&words).is_error());
    }
}

/// A whole scan, page by page.
fn scan(client: &mut Client, command: &str, key: &str, options: &str) -> Vec<Vec<u8>> {
    let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
    loop {
        let reply = call(client, &format!("{command} {key} {cursor}{options}"));
        let [next, page] = reply.elements().expect("a page") else {
            panic!("{reply:?}")
        };
        found.extend(texts(page));
        cursor = String::from_utf8(next.bytes().unwrap().to_vec()).unwrap();
        if cursor == "0" {
            return found;
        }
    }
}

#[test]
fn scans_return_every_element_with_its_value() {
    let (_server, mut client) = start();
    for count in [1, 100, 200, 20_000] {
        let key = count.to_string();
        fill(&mut client, "PM.HSET", &format!("h{key}"), count);
        fill(&mut client, "PM.SADD", &format!("s{key}"), count);
        for options in ["", " COUNT 1", " COUNT 1000"] {
            let found = scan(&mut client, "PM.HSCAN", &format!("h{key}"), options);
            let pairs: BTreeMap<_, _> = found.chunks(2).map(|p| (&p[0], &p[1])).collect();
            assert_eq!((found.len(), pairs.len()), (2 * count, count));
            for (field, value) in pairs {
                let number = field.strip_prefix(b"element ").unwrap();
                assert_eq!(value.strip_prefix(b"value ").unwrap(), number);
            }
            let found = scan(&mut client, "PM.SSCAN", &format!("s{key}"), options);
            let different: BTreeSet<_> = found.iter().collect();
            assert_eq!((found.len(), different.len()), (count, count));
        }
        let found = scan(
            &mut client,
            "PM.SSCAN",
            &format!("s{key}"),
            " MATCH *9 COUNT 50",
        );
        assert_eq!(found.len(), count / 10);
    }
}

#[test]
fn native_sets_are_sources() {
    let (_server, mut client) = start();
    fill(&mut client, "SADD", "large", 500);
    for command in [
        "SADD words a b c 1",
        "SADD numbers 1 2 3",
        "PM.SADD ours 1 2 a element",
        "PM.SADD big 1",
        "SADD ours-natively 1 2 a element",
        "SADD big-natively 1",
    ] {
        assert!(!call(&mut client, command).is_error());
    }
    fill(&mut client, "PM.SADD", "big", 1000);
    fill(&mut client, "SADD", "big-natively", 1000);
    for sources in [
        "ours words",
        "words ours",
        "ours numbers",
        "numbers ours",
        "large big",
        "big large ours",
        "numbers words",
        "ours absent words",
        "ours words ours",
    ] {
        let natively = sources
            .replace("ours", "ours-natively")
            .replace("big", "big-natively");
        for command in ["SINTER", "SUNION", "SDIFF"] {
            let native = call(&mut client, &format!("{command} {natively}"));
            let pm = call(&mut client, &format!("PM.{command} {sources}"));
            assert_eq!(sorted(&native), sorted(&pm), "{command} {sources}");
            // The destination may be native as well, and goes if the result is empty.
            call(&mut client, "SET destination native");
            let len = sorted(&native).len() as i64;
            expect(
                &mut client,
                &format!("PM.{command}STORE destination {sources}"),
                len,
            );
            let stored = call(&mut client, "PM.SMEMBERS destination");
            assert_eq!(sorted(&stored), sorted(&native), "{command}STORE {sources}");
            expect(&mut client, "EXISTS destination", i64::from(len > 0));
        }
        let keys = sources.split(' ').count();
        let native = call(&mut client, &format!("SINTERCARD {keys} {natively}"));
        let pm = call(&mut client, &format!("PM.SINTERCARD {keys} {sources}"));
        assert_eq!(native, pm, "SINTERCARD {sources}");
    }
    call(&mut client, "SET string value");
    call(&mut client, "PM.RPUSH list value");
    for source in ["string", "list"] {
        let reply = call(&mut client, &format!("PM.SUNION ours {source}"));
        assert!(format!("{reply:?}").contains("WRONGTYPE"), "{reply:?}");
    }
}

#[test]
fn values_survive_crashes_copies_and_dumps() {
    let (mut server, mut client) = start();
    let read = |client: &mut Client| {
        let fields = call(client, "PM.HGETALL h");
        let fields: BTreeMap<_, _> = texts(&fields)
            .chunks(2)
            .map(|p| (p[0].clone(), p[1].clone()))
            .collect();
        (fields, sorted(&call(client, "PM.SMEMBERS s")))
    };
    for count in [3, 129, 512, 513, 5000] {
        fill(&mut client, "PM.HSET", "h", count);
        fill(&mut client, "PM.SADD", "s", count);
        let before = read(&mut client);
        assert_eq!((before.0.len(), before.1.len()), (count, count));
        server.kill9();
        server.restart().unwrap();
        client = server.client();
        assert_eq!(read(&mut client), before);
        for key in ["h", "s"] {
            let dump = call(&mut client, &format!("DUMP {key}"));
            let digest = call(&mut client, &format!("DEBUG DIGEST-VALUE {key}"));
            expect(&mut client, &format!("COPY {key} {key}-copy REPLACE"), 1);
            expect(&mut client, &format!("DEL {key}"), 1);
            let payload = dump.bytes().expect("a payload");
            let words: [&[u8]; 4] = [b"RESTORE", key.as_bytes(), b"0", payload];
            assert_eq!(client.call(&words), Value::Simple("OK".into()));
            for copy in [key.to_owned(), format!("{key}-copy")] {
                assert_eq!(
                    call(&mut client, &format!("DEBUG DIGEST-VALUE {copy}")),
                    digest
                );
            }
        }
        assert_eq!(read(&mut client), before);
    }
}

#[test]
fn a_group_that_did_not_end_leaves_no_trace() {
    let (mut server, mut client) = start();
    fill(&mut client, "PM.HSET", "h", 300);
    for words in [
        "MULTI",
        "PM.HSET h a 1 b 2",
        "PM.SADD s 1 2 3",
        "PM.SMOVE s t 1",
    ] {
        assert!(!call(&mut client, words).is_error());
    }
    server.kill9();
    server.restart().unwrap();
    client = server.client();
    expect(&mut client, "PM.HLEN h", 300);
    expect(&mut client, "EXISTS s t", 0);
}

/// The commands that a replica gets, until `END` comes by.
fn stream(mut replica: Client) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let command = replica.receive().unwrap();
        let words = texts(&command);
        let words: Vec<_> = words
            .iter()
            .map(|word| String::from_utf8_lossy(word))
            .collect();
        match words[0].to_uppercase().as_str() {
            "PING" | "SELECT" | "MULTI" | "EXEC" => {}
            "PUBLISH" => return seen,
            _ => seen.push(words.join(" ")),
        }
    }
}

#[test]
fn replicas_are_sent_results_not_chances() {
    let (server, mut client) = start();
    let mut replica = server.client();
    replica.queue(&["SYNC"]);
    replica.send().unwrap();
    replica.receive_snapshot().unwrap();
    let mut expected = Vec::new();
    call(&mut client, "PM.SADD s 1 2 3 4 5 6");
    expected.push("PM.SADD s 1 2 3 4 5 6".to_owned());
    let popped = call(&mut client, "PM.SPOP s");
    expected.push(format!(
        "PM.SREM s {}",
        String::from_utf8_lossy(popped.bytes().unwrap())
    ));
    let popped = texts(&call(&mut client, "PM.SPOP s 2"));
    let popped: Vec<_> = popped
        .iter()
        .map(|member| String::from_utf8_lossy(member))
        .collect();
    expected.push(format!("PM.SREM s {}", popped.join(" ")));
    call(&mut client, "PM.SPOP s 10");
    // A set that is emptied goes as the server's configuration says, from Redis 7.2 on.
    let lazily = texts(&call(&mut client, "CONFIG GET lazyfree-lazy-server-del"));
    let unlinks = lazily[1] == b"yes" && !Packaged::current().is_redis_7_0();
    expected.push(if unlinks { "UNLINK s" } else { "DEL s" }.to_owned());
    for (command, sent) in [
        ("PM.HINCRBYFLOAT h f 0.5", Some("PM.HSET h f 0.5")),
        ("PM.HINCRBYFLOAT h f 0.25", Some("PM.HSET h f 0.75")),
        ("PM.HINCRBY h g 3", Some("PM.HINCRBY h g 3")),
        ("PM.HSETNX h f 1", None),
        ("PM.HDEL h nothing", None),
        ("PM.SADD s", None),
        ("PM.SREM s 1", None),
        ("PM.SINTERSTORE d absent", None),
        ("PM.SUNIONSTORE d absent", None),
        ("PM.HDEL h f g", Some("PM.HDEL h f g")),
    ] {
        call(&mut client, command);
        expected.extend(sent.map(str::to_owned));
    }
    call(&mut client, "PUBLISH end end");
    assert_eq!(stream(replica), expected);
}

#[test]
fn random_replies_are_spread_evenly() {
    let (_server, mut client) = start();
    fill(&mut client, "PM.SADD", "s", 200);
    fill(&mut client, "PM.HSET", "h", 200);
    for (command, draws) in [
        ("PM.SRANDMEMBER s -20000", 20_000),
        ("PM.HRANDFIELD h -20000", 20_000),
        ("PM.SRANDMEMBER s 20", 20),
        ("PM.HRANDFIELD h 150", 150),
    ] {
        let mut hits: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        for _ in 0..20_000 / draws {
            for member in texts(&call(&mut client, command)) {
                *hits.entry(member).or_default() += 1;
            }
        }
        assert_eq!(hits.len(), 200, "{command}");
        // About 100 each: six standard deviations are 60.
        assert!(
            hits.values().all(|hits| (40..160).contains(hits)),
            "{command}: {hits:?}"
        );
    }
}

#[test]
fn memory_usage_counts_the_elements() {
    let (_server, mut client) = start();
    fill(&mut client, "PM.HSET", "h", 2000);
    fill(&mut client, "PM.SADD", "s", 2000);
    for (key, payload) in [("h", 2000 * 22), ("s", 2000 * 12)] {
        let usage = call(&mut client, &format!("MEMORY USAGE {key}"));
        let usage = usage.integer().expect("a number");
        let plausible = payload..5 * payload;
        assert!(plausible.contains(&usage), "{key}: {usage} for {payload}");
    }
}

/// More elements than fit any memory may be asked for: natively, the command ends when the client
/// is to be closed, as too much waits for it. Without that, these would not end.
#[test]
fn random_elements_end_with_their_client() {
    let setup = Setup::pmedis("64m").directive("client-output-buffer-limit normal 1mb 0 0");
    let server = setup.start().unwrap();
    let mut control = server.client();
    let mut fill = |command: &str, count: usize, of: fn(usize) -> Vec<String>| {
        for n in 0..count {
            let words = command.split(' ').map(str::to_owned).chain(of(n));
            let words: Vec<String> = words.collect();
            assert!(!control.call(&words).is_error());
        }
    };
    for count in [3, 600] {
        fill(&format!("PM.SADD s{count}"), count, |n| {
            vec![format!("m{n}")]
        });
        fill(&format!("PM.HSET h{count}"), count, |n| {
            vec![format!("f{n}"), "v".into()]
        });
        fill(&format!("PM.ZADD z{count}"), count, |n| {
            vec![n.to_string(), format!("m{n}")]
        });
    }
    for count in [3, 600] {
        for command in [
            format!("PM.SRANDMEMBER s{count} -36028797018963968"),
            format!("PM.HRANDFIELD h{count} -36028797018963968"),
            format!("PM.HRANDFIELD h{count} -36028797018963968 WITHVALUES"),
            format!("PM.ZRANDMEMBER z{count} -36028797018963968"),
            format!("PM.ZRANDMEMBER z{count} -36028797018963968 WITHSCORES"),
        ] {
            let mut greedy = server.client();
            greedy.queue(&command.split(' ').collect::<Vec<_>>());
            greedy.send().unwrap();
            assert!(greedy.receive().is_err(), "{command}");
            assert!(!control.call(&["PING"]).is_error(), "{command}");
        }
    }
}
