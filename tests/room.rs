//! Deleting needs no room, and freed room is anyone's: in pools that are full to the last value.

use testkit::client::Client;
use testkit::full::{
    TABLE, assert_durable, assert_durable_and_flushed, figure, fill, fill_up, key, many, pipeline,
    settle, start, words,
};
use testkit::resp::Value;
use testkit::script::{ask, crash, expect};

#[test]
fn what_is_deleted_in_a_full_pool_stays_deleted() {
    let (mut server, mut client) = start("64m");
    expect(&mut client, "PM.SET counter 5", "OK");
    let count = fill(&mut client, "large", &[200_000]);
    assert!(
        count > 280,
        "only {count} values of 200,000 bytes fit into 64 MiB"
    );
    fill_up(&mut client);
    let used = figure(&mut client, "used");

    // Many large values in one command.
    assert_eq!(
        client.call(&many("DEL", "large", 0..100)),
        Value::Integer(100)
    );
    // In a transaction, with a change of another key.
    client.call(&["MULTI"]);
    client.call(&["PM.INCRBY", "counter", "10"]);
    for n in 100..160 {
        client.call(&[b"DEL".to_vec(), key("large", n)]);
    }
    let replies = client.call(&["EXEC"]);
    assert_eq!(replies.elements().expect("replies")[0], Value::Integer(15));
    expect(&mut client, "PM.GET counter", "15");
    // In a script, by another name of the command.
    let script = "for n = 160, 219 do redis.call('PM.DEL', 'large:' .. n) end return 1";
    assert_eq!(client.call(&["EVAL", script, "0"]), Value::Integer(1));
    assert_durable(&server);
    let digest = ask(&mut client, "DEBUG DIGEST");
    let mut client = crash(&mut server);
    expect(&mut client, "PM.GET counter", "15");
    assert_eq!(
        client.call(&many("EXISTS", "large", 0..220)),
        Value::Integer(0)
    );
    assert_eq!(ask(&mut client, "DEBUG DIGEST"), digest);
    settle(&mut client);
    assert!(used - figure(&mut client, "used") >= 220 * 200_000);

    // What is free now serves small values; and then, once more, large ones.
    let small = fill(&mut client, "small", &[1_000]);
    assert!(small > 38_000, "{small}");
    expect(&mut client, "FLUSHALL", "OK");
    settle(&mut client);
    assert_eq!(figure(&mut client, "used"), TABLE);
    // The table of databases may lie elsewhere now, in the midst of what was one piece.
    assert!(ask(&mut client, "PM.DEFRAG NOW 10000").contains("state idle"));
    let again = fill(&mut client, "large", &[200_000]);
    assert!(again + 1 >= count, "{again} of {count}");
    assert_durable(&server);
}

#[test]
fn elements_are_removed_in_a_full_pool() {
    const COUNT: usize = 20_000;
    let (mut server, mut client) = start("64m");
    let element = |n: usize| format!("element:{n}").into_bytes();
    let add = |word: &'static str, name: &'static str, extra: &'static [&'static str]| {
        (0..COUNT).map(move |n| {
            let mut command = vec![word.as_bytes().to_vec(), name.as_bytes().to_vec()];
            command.extend(extra.iter().take(1).map(|word| word.as_bytes().to_vec()));
            command.push(element(n));
            command.extend(extra.iter().skip(1).map(|word| word.as_bytes().to_vec()));
            command
        })
    };
    pipeline(&mut client, add("PM.RPUSH", "l", &[]));
    pipeline(&mut client, add("PM.RPUSH", "removed", &[]));
    pipeline(&mut client, add("PM.SADD", "s", &[]));
    pipeline(&mut client, add("PM.SADD", "popped", &[]));
    pipeline(&mut client, add("PM.ZADD", "z", &["1"]));
    let set_fields = (0..COUNT).map(|n| {
        let field = element(n);
        vec![b"PM.HSET".to_vec(), b"h".to_vec(), field, b"value".to_vec()]
    });
    pipeline(&mut client, set_fields);
    // Values with elements that lie in objects of their own.
    let long = "x".repeat(200_000);
    for n in 0..40 {
        let n = n.to_string();
        client.call(&["PM.RPUSH", "ll", &long]);
        client.call(&["PM.HSET", "lh", &n, &long]);
    }
    fill_up(&mut client);

    let count = |reply: &Value| reply.elements().map_or(0, <[Value]>::len);
    assert_eq!(count(&client.call(&["PM.RPOP", "l", "1000"])), 1000);
    expect(&mut client, "PM.LTRIM l 100 15000", "OK");
    expect(&mut client, "PM.LLEN l", "14901");
    assert_eq!(count(&client.call(&["PM.LPOP", "ll", "10"])), 10);
    expect(&mut client, "PM.LTRIM ll 5 -5", "OK");
    expect(&mut client, "PM.LLEN ll", "21");
    assert_eq!(count(&client.call(&["PM.SPOP", "popped", "5000"])), 5000);
    let remove = |word: &'static str, name: &'static str| {
        (0..COUNT).map(move |n| {
            vec![
                word.as_bytes().to_vec(),
                name.as_bytes().to_vec(),
                element(n),
            ]
        })
    };
    for (word, name) in [("PM.SREM", "s"), ("PM.HDEL", "h"), ("PM.ZREM", "z")] {
        let replies = pipeline(&mut client, remove(word, name));
        let refused = replies.iter().position(|reply| *reply != Value::Integer(1));
        assert_eq!(refused, None, "{word}: {:?}", refused.map(|n| &replies[n]));
        // Nothing may take what one has freed before the next one needs it.
        fill(&mut client, &format!("after:{name}"), &[1_000]);
        fill(&mut client, &format!("after:{name}:small"), &[10]);
    }
    let removals = (0..COUNT).step_by(7).map(|n| {
        let mut command = words("PM.LREM removed 1");
        command.push(element(n));
        command
    });
    for reply in pipeline(&mut client, removals) {
        assert_eq!(reply, Value::Integer(1));
    }
    let removals = (0..40).map(|n| words(&format!("PM.HDEL lh {n}")));
    for reply in pipeline(&mut client, removals) {
        assert_eq!(reply, Value::Integer(1));
    }
    assert_durable_and_flushed(&mut server, client);
}

#[test]
fn what_a_group_drops_it_takes_again() {
    let (mut server, mut client) = start("64m");
    let value = vec![b'x'; 50_000];
    client.call(&["MULTI"]);
    for _ in 0..1_500 {
        client.queue(&[&b"PM.SET"[..], b"k", &value]);
    }
    client.send().unwrap();
    for _ in 0..1_500 {
        assert_eq!(client.receive().unwrap(), Value::Simple("QUEUED".into()));
    }
    let replies = client.call(&["EXEC"]);
    let replies = replies.elements().expect("replies");
    let refused = replies
        .iter()
        .position(|reply| *reply != Value::Simple("OK".into()));
    assert_eq!((replies.len(), refused), (1_500, None));

    // Elements that come and go: LTRIM leaves what it cuts off to be reclaimed.
    let script = "local v = string.rep('y', 10000) \
                  for n = 1, 10000 do redis.call('PM.RPUSH', 'l', v) \
                  if n % 100 == 0 then redis.call('PM.LTRIM', 'l', -10, -1) end end \
                  return redis.call('PM.LLEN', 'l')";
    assert_eq!(client.call(&["EVAL", script, "0"]), Value::Integer(10));
    let digest = ask(&mut client, "DEBUG DIGEST");
    let mut client = crash(&mut server);
    assert_eq!(ask(&mut client, "DEBUG DIGEST"), digest);
    expect(&mut client, "PM.STRLEN k", "50000");
    expect(&mut client, "FLUSHALL", "OK");
    settle(&mut client);
    assert_eq!(figure(&mut client, "used"), TABLE);
}

#[test]
fn room_that_one_type_has_freed_serves_the_others() {
    let (mut server, mut client) = start("32m");
    let long = "x".repeat(100);
    let pushes = |key: String| {
        let command = std::iter::once("PM.RPUSH")
            .chain([&*key])
            .chain([&*long; 50]);
        command
            .map(|word| word.as_bytes().to_vec())
            .collect::<Vec<_>>()
    };
    let fill_lists = |client: &mut Client| {
        for n in 0.. {
            match client.call(&pushes(format!("l:{}", n % 100))) {
                Value::Integer(_) => {}
                reply => {
                    assert!(matches!(&reply, Value::Error(text) if text.starts_with("OOM")));
                    return n;
                }
            }
        }
        unreachable!("a pool is not infinite")
    };
    let lists = fill_lists(&mut client);
    expect(&mut client, "FLUSHALL", "OK");
    settle(&mut client);
    assert_eq!(figure(&mut client, "used"), TABLE);
    let free = figure(&mut client, "free");
    for len in [65, 100, 200, 300] {
        let value = "y".repeat(len);
        assert_eq!(
            client.call(&["PM.HSET", &format!("h{len}"), "f", &value]),
            Value::Integer(1)
        );
        assert_eq!(
            client.call(&["PM.SADD", &format!("s{len}"), &value]),
            Value::Integer(1)
        );
    }
    // Blobs beside strings, most of the pool full of them, twice with other sizes.
    for lens in [
        &[20_000, 1_000, 100_000, 1_000, 300_000][..],
        &[33_000, 70_000, 500],
    ] {
        let count = fill(&mut client, "blob", lens);
        let bytes: usize = (0..count).map(|n| lens[n % lens.len()]).sum();
        assert!(
            bytes as u64 > free / 100 * 85,
            "{bytes} of {free} with {lens:?}"
        );
        expect(&mut client, "FLUSHALL", "OK");
        settle(&mut client);
        assert_eq!(figure(&mut client, "used"), TABLE);
    }
    let mut client = crash(&mut server);
    assert_eq!(figure(&mut client, "used"), TABLE);
    let again = fill_lists(&mut client);
    assert!(again >= lists - lists / 50, "{again} of {lists}");
}

#[test]
fn elements_move_in_a_full_pool() {
    const COUNT: usize = 2_000;
    let (mut server, mut client) = start("64m");
    let element = |n: usize| format!("element:{n}").into_bytes();
    let adding = |word: &'static str, name: &'static str| {
        (0..COUNT).map(move |n| {
            vec![
                word.as_bytes().to_vec(),
                name.as_bytes().to_vec(),
                element(n),
            ]
        })
    };
    pipeline(&mut client, adding("PM.RPUSH", "l"));
    pipeline(&mut client, adding("PM.SADD", "s"));
    let long = "x".repeat(100_000);
    for n in 0..20 {
        client.call(&["PM.RPUSH", "ll", &format!("{n}{long}")]);
    }
    fill_up(&mut client);

    // To a key that is not there yet, back, and round.
    let routes = [
        "PM.LMOVE l m LEFT RIGHT",
        "PM.RPOPLPUSH m l",
        "PM.LMOVE l m RIGHT LEFT",
        "PM.LMOVE m m LEFT RIGHT",
        "PM.BLMOVE m l RIGHT LEFT 0",
    ];
    for route in routes {
        let moves = (0..COUNT).map(|_| words(route));
        for (n, reply) in pipeline(&mut client, moves).iter().enumerate() {
            assert!(matches!(reply, Value::Bulk(_)), "{n} × {route}: {reply:?}");
        }
    }
    let list = client.call(&["PM.LRANGE", "l", "0", "-1"]);
    let expected = (0..COUNT).map(|n| Value::Bulk(element(n)));
    assert_eq!(list.elements(), Some(&*expected.collect::<Vec<_>>()));
    for (from, to) in [("s", "t"), ("t", "s")] {
        let moves = (0..COUNT).map(|n| {
            let mut command = words(&format!("PM.SMOVE {from} {to}"));
            command.push(element(n));
            command
        });
        for (n, reply) in pipeline(&mut client, moves).iter().enumerate() {
            assert_eq!(*reply, Value::Integer(1), "{n} from {from} to {to}");
        }
    }
    for (from, to) in [("ll", "mm"), ("mm", "ll")] {
        for n in 0..20 {
            let moved = client.call(&["PM.LMOVE", from, to, "LEFT", "RIGHT"]);
            let expected = format!("{n}{long}").into_bytes();
            assert!(moved == Value::Bulk(expected), "{n} from {from} to {to}");
        }
    }
    assert_durable_and_flushed(&mut server, client);
}

#[test]
fn a_group_that_needs_little_goes_on_in_a_full_pool() {
    let (mut server, mut client) = start("64m");
    fill_up(&mut client);
    let reserved = figure(&mut client, "reserved");
    let value = "y".repeat(1_000);
    let script =
        "for n = 1, tonumber(ARGV[1]) do redis.call('PM.SET', KEYS[1] .. n, ARGV[2]) end return 1";
    client.call(&["MULTI"]);
    for n in 0..100 {
        client.call(&["PM.SET", &format!("exec:{n}"), &value]);
    }
    let replies = client.call(&["EXEC"]);
    let replies = replies.elements().expect("replies");
    assert_eq!(replies, vec![Value::Simple("OK".into()); 100]);
    // What is left of the reserve is for removals, until it is whole again.
    assert!(figure(&mut client, "reserved") >= reserved / 2);
    assert!(figure(&mut client, "reserved") < reserved);
    // What is freed fills it first.
    assert_eq!(
        client.call(&many("DEL", "fill200000", 0..5)),
        Value::Integer(5)
    );
    for len in [1_000, 100, 1] {
        fill(&mut client, &format!("again{len}"), &[len]);
    }
    assert_eq!(figure(&mut client, "reserved"), reserved);
    assert_eq!(
        client.call(&["EVAL", script, "1", "script:", "100", &value]),
        Value::Integer(1)
    );
    assert_durable(&server);
    let digest = ask(&mut client, "DEBUG DIGEST");
    let mut client = crash(&mut server);
    assert_eq!(ask(&mut client, "DEBUG DIGEST"), digest);
    assert_eq!(
        client.call(&many("EXISTS", "script", 1..101)),
        Value::Integer(100)
    );
}
