//! What pools lost once that ran full, emptied, and filled again: each input as it was found.

use testkit::client::Client;
use testkit::full::{
    TABLE, assert_durable, assert_durable_and_flushed, figure, fill, fill_up, is_refused, key,
    many, pipeline, settle, start, words,
};
use testkit::replication::{assert_same, follow, wait_for, wait_in_sync};
use testkit::resp::Value;
use testkit::script::{ask, crash, expect};
use testkit::server::Setup;

const LARGE: usize = 200_000;

fn large(n: usize) -> Vec<u8> {
    format!("{n}:{}", "x".repeat(LARGE)).into_bytes()
}

/// Ways of deleting many large values: by each command that does, within others, by time, by new
/// values.
const WAYS: &[&str] = &[
    "DEL",
    "UNLINK",
    "PM.DEL",
    "PM.UNLINK",
    "EXEC",
    "EVAL",
    "EXPIRE",
    "PM.SET",
    "SET",
    "PM.GETDEL",
];

/// Has 28 of the values `large:…` go, all that this way is for.
fn delete(client: &mut Client, way: &str, numbers: std::ops::Range<usize>) {
    let count = numbers.len() as i64;
    let each = |command: &'static str, rest: &'static [&'static str]| {
        numbers.clone().map(move |n| {
            let rest = rest.iter().map(|word| word.as_bytes().to_vec());
            [command.as_bytes().to_vec(), key("large", n)]
                .into_iter()
                .chain(rest)
                .collect()
        })
    };
    let all_are = |replies: Vec<Value>, expected: &Value| {
        assert!(
            replies.iter().all(|reply| reply == expected),
            "{way}: {replies:?}"
        );
    };
    let ok = Value::Simple("OK".into());
    match way {
        "EXEC" => {
            client.call(&["MULTI"]);
            all_are(
                pipeline(client, each("DEL", &[])),
                &Value::Simple("QUEUED".into()),
            );
            let replies = client.call(&["EXEC"]);
            let replies = replies.elements().expect("replies").to_vec();
            assert_eq!(replies.len() as i64, count);
            all_are(replies, &Value::Integer(1));
        }
        "EVAL" => {
            let (first, last) = (numbers.start, numbers.end - 1);
            let script =
                format!("for n = {first}, {last} do redis.call('DEL', 'large:' .. n) end return 1");
            assert_eq!(client.call(&["EVAL", &script, "0"]), Value::Integer(1));
        }
        "EXPIRE" => {
            let keys = client.call(&["DBSIZE"]);
            let Value::Integer(keys) = keys else {
                panic!("{keys:?}")
            };
            all_are(
                pipeline(client, each("PEXPIRE", &["20"])),
                &Value::Integer(1),
            );
            wait_for("the keys have expired", || {
                client.call(&["DBSIZE"]) == Value::Integer(keys - count)
            });
        }
        "PM.SET" => all_are(pipeline(client, each("PM.SET", &["short"])), &ok),
        "SET" => all_are(pipeline(client, each("SET", &["native"])), &ok),
        "PM.GETDEL" => {
            for command in each("PM.GETDEL", &[]) {
                let reply = client.call::<Vec<u8>>(&command);
                assert_eq!(reply.bytes().map(<[u8]>::len), Some(LARGE), "{way}");
            }
        }
        _ => assert_eq!(
            client.call(&many(way, "large", numbers)),
            Value::Integer(count),
            "{way}"
        ),
    }
}

#[test]
fn deletions_of_every_kind_hold_in_a_full_pool() {
    const EACH: usize = 28;
    for orderly in [false, true] {
        let (mut server, mut client) = start("64m");
        let count = fill(&mut client, "large", &[LARGE]);
        assert!(count > WAYS.len() * EACH, "{count}");
        fill_up(&mut client);
        for (nth, way) in WAYS.iter().enumerate() {
            let used = figure(&mut client, "used");
            let numbers = nth * EACH..(nth + 1) * EACH;
            delete(&mut client, way, numbers.clone());
            assert_durable(&server);
            settle(&mut client);
            let freed = used - figure(&mut client, "used");
            assert!(
                freed >= ((EACH - 1) * LARGE) as u64,
                "{way} frees {freed} bytes"
            );
            // Native keys are kept by the server alone, which has no file here.
            if *way == "SET" {
                client.call(&many("DEL", "large", numbers.clone()));
            }
            let digest = ask(&mut client, "DEBUG DIGEST");
            client = if orderly {
                server.stop();
                server.restart().unwrap_or_else(|why| panic!("{why:?}"));
                server.client()
            } else {
                crash(&mut server)
            };
            assert!(
                ask(&mut client, "DEBUG DIGEST") == digest,
                "{way} is undone"
            );
            // What it has freed is full again before the next one.
            fill(&mut client, &format!("after:{way}"), &[LARGE]);
            fill(&mut client, &format!("small:{way}"), &[1_000]);
            fill(&mut client, &format!("tiny:{way}"), &[1]);
        }
        assert_durable_and_flushed(&mut server, client);
    }
}

#[test]
fn a_transaction_that_deletes_is_the_same_at_the_replica() {
    let (mut master, mut client) = start("64m");
    expect(&mut client, "PM.SET counter 5", "OK");
    fill(&mut client, "large", &[LARGE]);
    fill_up(&mut client);
    let replica = Setup::pmedis("128m").start().unwrap();
    let mut follower = replica.client();
    follow(&mut follower, &master);
    wait_in_sync(&mut client, &mut follower);
    client.call(&["MULTI"]);
    client.call(&["PM.INCRBY", "counter", "10"]);
    for n in 0..60 {
        client.call(&[b"DEL".to_vec(), key("large", n)]);
    }
    let replies = client.call(&["EXEC"]);
    let replies = replies.elements().expect("replies");
    assert_eq!(replies[0], Value::Integer(15));
    assert!(
        replies[1..].iter().all(|reply| *reply == Value::Integer(1)),
        "{replies:?}"
    );
    expect(&mut client, "WAIT 1 0", "1");
    for client in [&mut client, &mut follower] {
        expect(client, "PM.GET counter", "15");
        expect(client, "EXISTS large:0 large:59", "0");
    }
    assert_same(&mut client, &mut follower);
    assert_durable(&master);
    let digest = ask(&mut client, "DEBUG DIGEST");
    let mut client = crash(&mut master);
    assert_eq!(ask(&mut client, "DEBUG DIGEST"), digest);
}

/// Adds large elements to one key until none fits; how many did.
fn fill_key(client: &mut Client, ty: &str) -> usize {
    for n in 0.. {
        let (number, element) = (n.to_string().into_bytes(), large(n));
        let command = match ty {
            "hash" => [&b"PM.HSET"[..], b"k", &number, &element].to_vec(),
            "list" => [&b"PM.RPUSH"[..], b"k", &element].to_vec(),
            "set" => [&b"PM.SADD"[..], b"k", &element].to_vec(),
            _ => [&b"PM.ZADD"[..], b"k", &number, &element].to_vec(),
        };
        if is_refused(&client.call(&command)) {
            return n;
        }
    }
    unreachable!("a pool is not infinite")
}

#[test]
fn a_value_of_large_elements_leaves_nothing_behind() {
    let (mut server, mut client) = start("64m");
    for ty in ["hash", "list", "set", "zset"] {
        for way in ["DEL k", "PEXPIRE k 1", "PM.SET k short", "FLUSHDB"] {
            let elements = fill_key(&mut client, ty);
            assert!(elements > 290, "{elements} elements of a {ty}");
            assert!(!ask(&mut client, way).starts_with("(error)"), "{way}");
            wait_for("the value is gone", || {
                !["hash", "list", "set", "zset"].contains(&&*ask(&mut client, "PM.TYPE k"))
            });
            ask(&mut client, "DEL k");
            settle(&mut client);
            assert_eq!(figure(&mut client, "used"), TABLE, "{way} of a {ty}");
        }
    }
    assert_durable(&server);
    let mut client = crash(&mut server);
    assert_eq!(figure(&mut client, "used"), TABLE);
    // Blobs between small values.
    let lens: Vec<usize> = (0..40)
        .map(|n| {
            if n % 2 == 0 {
                1_000
            } else {
                20_000 + 7_000 * n
            }
        })
        .collect();
    fill(&mut client, "blob", &lens);
    expect(&mut client, "FLUSHALL", "OK");
    settle(&mut client);
    assert_eq!(figure(&mut client, "used"), TABLE);
}

#[test]
fn large_elements_are_removed_in_a_full_pool() {
    let (mut server, mut client) = start("64m");
    for n in 0..40 {
        let (number, element) = (n.to_string().into_bytes(), large(n));
        client.call(&[&b"PM.RPUSH"[..], b"l", &element]);
        client.call(&[&b"PM.HSET"[..], b"h", &number, &element]);
        client.call(&[&b"PM.SADD"[..], b"s", &element]);
        client.call(&[&b"PM.ZADD"[..], b"z", &number, &element]);
        client.call(&[&b"PM.SET"[..], &key("m", n), &element]);
    }
    fill_up(&mut client);
    let count = |reply: &Value| reply.elements().map_or(0, <[Value]>::len);
    // Each is alone in a full pool.
    let full_again = |client: &mut Client, after: &str| {
        for len in [LARGE, 30_000, 1_000, 10] {
            fill(client, &format!("{after}:{len}"), &[len]);
        }
    };
    assert_eq!(count(&client.call(&["PM.LPOP", "l", "10"])), 10);
    full_again(&mut client, "lpop");
    expect(&mut client, "PM.LTRIM l 5 -6", "OK");
    expect(&mut client, "PM.LLEN l", "20");
    full_again(&mut client, "ltrim");
    let element = large(20);
    assert_eq!(
        client.call(&[&b"PM.LREM"[..], b"l", b"0", &element]),
        Value::Integer(1)
    );
    full_again(&mut client, "lrem");
    expect(&mut client, "PM.HDEL h 1 2 3 4 5 6 7 8 9 10", "10");
    full_again(&mut client, "hdel");
    assert_eq!(count(&client.call(&["PM.SPOP", "s", "10"])), 10);
    full_again(&mut client, "spop");
    expect(&mut client, "PM.ZREMRANGEBYRANK z 0 9", "10");
    full_again(&mut client, "zrem");
    // New values that are shorter, longer, and as long: there is room for them or there is not, and
    // that is said.
    for len in [10, 1_000_000, LARGE] {
        let value = vec![b'y'; len];
        let mut command = vec![b"PM.MSET".to_vec()];
        for n in 0..40 {
            command.extend([key("m", n), value.clone()]);
        }
        let refused = is_refused(&client.call(&command));
        assert!(!refused || len > 10, "what is short fits");
        expect(
            &mut client,
            "PM.STRLEN m:0",
            &(if refused { 10 } else { len }).to_string(),
        );
    }
    assert_durable_and_flushed(&mut server, client);
}

#[test]
fn an_emptied_pool_takes_what_a_new_one_takes() {
    let hashes = |client: &mut Client| {
        let value = "v".repeat(100);
        let mut count = 0;
        loop {
            let batch = (count..count + 500).map(|n| {
                let name = format!("h:{n}");
                words(&format!("PM.HSET {name} field {value}"))
            });
            for reply in pipeline(client, batch) {
                if is_refused(&reply) {
                    return count;
                }
                count += 1;
            }
        }
    };
    let (mut server, mut client) = start("32m");
    let free = figure(&mut client, "free");
    let in_a_new_one = hashes(&mut client);
    let empty = |client: &mut Client, server: &mut _| {
        expect(client, "FLUSHALL", "OK");
        settle(client);
        assert_eq!(figure(client, "used"), TABLE);
        assert!(figure(client, "free") >= free - (64 << 10));
        assert_durable(server);
    };
    empty(&mut client, &mut server);

    // Lists to four fifths, deleted; then hashes of one field.
    let element = "e".repeat(100);
    let mut list = 0;
    while figure(&mut client, "used") < free / 5 * 4 {
        list += 1;
        let push = (0..500).map(|_| words(&format!("PM.RPUSH l:{list} {element}")));
        pipeline(&mut client, push);
    }
    for n in 1..=list {
        expect(&mut client, &format!("DEL l:{n}"), "1");
    }
    settle(&mut client);
    let again = hashes(&mut client);
    assert!(
        again >= in_a_new_one / 100 * 98,
        "{again} of {in_a_new_one}"
    );
    empty(&mut client, &mut server);

    // One string that grows until it cannot. What is free then is everybody else's.
    let part = vec![b'a'; 100_000];
    while !is_refused(&client.call(&[&b"PM.APPEND"[..], b"k", &part])) {}
    let before = figure(&mut client, "free");
    assert!(figure(&mut client, "largest_free") <= before);
    let used = figure(&mut client, "used");
    fill(&mut client, "other", &[20_000]);
    let others = figure(&mut client, "used") - used;
    assert!(others >= before / 100 * 95, "{others} of {before}");
    empty(&mut client, &mut server);
    let again = hashes(&mut client);
    assert!(
        again >= in_a_new_one / 100 * 98,
        "{again} of {in_a_new_one}"
    );
    let mut client = crash(&mut server);
    empty(&mut client, &mut server);
}

#[test]
fn values_larger_than_a_chunk_waste_little() {
    let (_server, mut client) = start("64m");
    let free = figure(&mut client, "free");
    for len in [131_000, LARGE, 262_000, 300_000] {
        let count = fill(&mut client, "large", &[len]);
        assert!(
            (count + 1) as u64 * len as u64 >= free / 100 * 97,
            "{count} values of {len} bytes in {free}"
        );
        assert!(figure(&mut client, "free") < len as u64 + 8192);
        expect(&mut client, "FLUSHALL", "OK");
        settle(&mut client);
    }
}

/// It needs room for all 60,000 elements at once before it trims, which the pool does not have:
/// nothing of it is done. If it trims as it goes, it takes again what it has dropped.
#[test]
fn a_script_of_more_than_the_pool_is_done_wholly_or_not_at_all() {
    let (mut server, mut client) = start("64m");
    expect(&mut client, "PM.RPUSH l before", "1");
    expect(&mut client, "PM.SET k before", "OK");
    let digest = ask(&mut client, "DEBUG DIGEST");
    let used = figure(&mut client, "used");
    let value = "x".repeat(1_000);
    let at_the_end = "redis.call('PM.SET', 'k', 'after') \
         for n = 1, 60000 do redis.call('PM.RPUSH', 'l', ARGV[1]) end \
         redis.call('PM.LTRIM', 'l', -10, -1) return redis.call('PM.LLEN', 'l')";
    match client.call(&["EVAL", at_the_end, "0", &value]) {
        Value::Error(text) => {
            assert!(text.contains("nothing of it is done"), "{text}");
            assert_eq!(ask(&mut client, "DEBUG DIGEST"), digest);
            settle(&mut client);
            assert_eq!(figure(&mut client, "used"), used);
        }
        reply => {
            assert_eq!(reply, Value::Integer(10));
            expect(&mut client, "PM.GET k", "after");
            expect(&mut client, "PM.LLEN l", "10");
        }
    }
    let mut client = crash(&mut server);
    let as_it_goes = "redis.call('PM.SET', 'k', 'after') \
         for n = 1, 60000 do redis.call('PM.RPUSH', 'l', ARGV[1]) \
         if n % 10000 == 0 then redis.call('PM.LTRIM', 'l', -10, -1) end end \
         return redis.call('PM.LLEN', 'l')";
    assert_eq!(
        client.call(&["EVAL", as_it_goes, "0", &value]),
        Value::Integer(10)
    );
    expect(&mut client, "PM.GET k", "after");
    let digest = ask(&mut client, "DEBUG DIGEST");
    assert_durable(&server);
    let mut client = crash(&mut server);
    assert_eq!(ask(&mut client, "DEBUG DIGEST"), digest);
    expect(&mut client, "PM.LLEN l", "10");
    assert_durable_and_flushed(&mut server, client);
}
