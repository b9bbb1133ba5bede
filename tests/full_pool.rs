//! A full pool: writes are refused as Redis refuses them for want of memory, and leave everything
//! as it was; reads and deletions go on.

use testkit::client::Client;
use testkit::resp::Value;
use testkit::script::{ask, crash, expect, run};
use testkit::server::Setup;

/// Fills the pool with values of `len` bytes until one does not fit; returns how many did.
fn fill(client: &mut Client, name: &str, len: usize) -> usize {
    for n in 0.. {
        match client.call(&[b"PM.SET".to_vec(), key(name, n), value(n, len)]) {
            Value::Simple(ok) => assert_eq!(ok, "OK"),
            Value::Error(text) => {
                assert!(text.starts_with("OOM "), "{text}");
                return n;
            }
            other => panic!("{other:?}"),
        }
    }
    unreachable!("a pool is not infinite")
}

fn key(name: &str, n: usize) -> Vec<u8> {
    format!("{name}:{n}").into_bytes()
}

fn value(n: usize, len: usize) -> Vec<u8> {
    (n..n + len).map(|i| (i % 253) as u8).collect()
}

#[track_caller]
fn holds(client: &mut Client, name: &str, numbers: std::ops::Range<usize>, len: usize) {
    for n in numbers {
        let held = client.call(&[b"PM.GET".to_vec(), key(name, n)]);
        assert_eq!(held, Value::Bulk(value(n, len)), "{name}:{n}");
    }
}

#[track_caller]
fn is_out_of_memory(reply: &Value) {
    assert!(
        matches!(reply, Value::Error(text) if text.starts_with("OOM ")),
        "{reply:?}"
    );
}

#[test]
fn a_full_pool_refuses_writes_and_nothing_else() {
    const LARGE: usize = 100_000;
    const SMALL: usize = 100;
    let mut server = Setup::pmedis("16m").start().unwrap();
    let mut client = server.client();
    let large = fill(&mut client, "large", LARGE);
    let small = fill(&mut client, "small", SMALL);
    assert!(
        large * LARGE > 4 << 20,
        "only {large} large values fit into 16 MiB"
    );

    // What does not fit leaves no trace.
    let size = client.call(&["DBSIZE"]);
    assert_eq!(size, Value::Integer((large + small) as i64));
    is_out_of_memory(&client.call(&[b"PM.SET".to_vec(), key("large", 0), value(1, 2 * LARGE)]));
    is_out_of_memory(&client.call(&[b"PM.APPEND".to_vec(), key("large", 0), value(1, LARGE)]));
    is_out_of_memory(&client.call(&["PM.SETRANGE", "large:0", "5000000", "x"]));
    let pairs = [
        "PM.MSET",
        "large:0",
        "short",
        "new:1",
        &"x".repeat(200),
        "new:2",
        &"x".repeat(LARGE),
    ];
    is_out_of_memory(&client.call(&pairs));
    assert_eq!(client.call(&["PM.GET", "new:1"]), Value::NullBulk);
    assert_eq!(client.call(&["DBSIZE"]), size);

    // Reads go on, also after a restart.
    holds(&mut client, "large", 0..large, LARGE);
    holds(&mut client, "small", 0..small, SMALL);
    server.kill9();
    server.restart().unwrap();
    let mut client = server.client();
    assert_eq!(client.call(&["DBSIZE"]), size);
    holds(&mut client, "large", 0..large, LARGE);
    holds(&mut client, "small", 0..small, SMALL);

    // Deletions go on, and make room.
    for n in 0..large / 2 {
        assert_eq!(
            client.call(&[b"DEL".to_vec(), key("large", n)]),
            Value::Integer(1)
        );
    }
    let again = fill(&mut client, "again", LARGE);
    assert!(
        again + 1 >= large / 2,
        "{} were deleted, {again} fit again",
        large / 2
    );
    holds(&mut client, "again", 0..again, LARGE);
    for (name, count) in [("large", large), ("small", small), ("again", again)] {
        for n in 0..count {
            client.call(&[b"UNLINK".to_vec(), key(name, n)]);
        }
    }
    assert_eq!(client.call(&["DBSIZE"]), Value::Integer(0));
    assert_eq!(
        fill(&mut client, "large", LARGE),
        large,
        "an emptied pool takes what a new one takes"
    );
}

/// Native commands on the keys of a pool without room: Redis has done its part when the pool hears
/// of it, so what needs no more than a record finds room, and what needs more changes nothing.
#[test]
fn keys_are_neither_changed_nor_lost_for_want_of_room() {
    const MANY: usize = 15_000;
    // What a pool keeps for this is less in small ones.
    for size in ["16m", "64m"] {
        let mut server = Setup::pmedis(size).start().unwrap();
        let mut client = server.client();
        run(
            &mut client,
            "PM.RPUSH l a b -> 2\nPM.HSET h f v -> 1\nPM.SET ttl v PXAT 33177117420000 -> OK
            PM.MSET one 1 two 2 three 3 -> OK",
        );
        for n in 0..MANY {
            client.queue(&["PM.SET".to_owned(), format!("many:{n}"), "v".to_owned()]);
        }
        client.send().unwrap();
        for _ in 0..MANY {
            assert_eq!(client.receive().unwrap(), Value::Simple("OK".into()));
        }
        for (name, len) in [("large", 100_000), ("small", 1000), ("tiny", 1)] {
            fill(&mut client, name, len);
        }
        // Compaction may find a little more, now and then, until it has nothing to gather.
        let mut refused =
            |name| ask(&mut client, &format!("PM.SET {name} x")).starts_with("(error) OOM");
        let is_full = (0..MANY).any(|n| {
            ["last", "new"]
                .iter()
                .all(|name| refused(format!("{name}:{n}")))
        });
        assert!(is_full, "the pool is not full");

        // What needs a second value.
        let before = ask(&mut client, "DEBUG DIGEST");
        let payload = client.call(&["DUMP", "large:0"]);
        let payload = payload.bytes().expect("a payload");
        for target in ["new", "l"] {
            expect(
                &mut client,
                &format!("COPY large:0 {target} REPLACE"),
                "(error) ERR module key failed to copy",
            );
            is_out_of_memory(&client.call(&["PM.COPY", "large:0", target, "REPLACE"]));
            let restore = [b"RESTORE", target.as_bytes(), b"0", payload, b"REPLACE"];
            let refused = client.call(&restore);
            assert_eq!(refused, Value::Error("ERR Bad data format".into()));
        }
        expect(&mut client, "COPY large:0 l", "0");
        assert!(
            ask(&mut client, "DEBUG DIGEST") == before,
            "something has changed"
        );

        // What needs a record, or nothing.
        let long = "x".repeat(300);
        run(
            &mut client,
            &format!(
                "
                RENAME large:0 {long} -> OK
                RENAME l large:1 -> OK
                RENAMENX h {long}h -> 1
                PM.RENAME one {long}one -> OK
                MOVE ttl 3 -> 1
                PEXPIREAT large:2 33177117420001 -> 1
                PM.EXPIREAT two 33177117420 -> 1
                MULTI -> OK
                RENAME two {long}two -> QUEUED
                EXPIRE three 100000 -> QUEUED
                MOVE large:3 2 -> QUEUED
                EXEC -> [OK 1 1]
                "
            ),
        );
        let before = ask(&mut client, "DEBUG DIGEST");
        assert!(!server.log().contains("not durable"), "{}", server.log());
        let mut client = crash(&mut server);
        assert!(
            ask(&mut client, "DEBUG DIGEST") == before,
            "something is lost"
        );

        // What frees more than the undo log has room for.
        let all = (0..MANY).map(|n| format!("many:{n}"));
        let del: Vec<String> = std::iter::once("DEL".to_owned()).chain(all).collect();
        assert_eq!(client.call(&del), Value::Integer(MANY as i64));
        let before = ask(&mut client, "DEBUG DIGEST");
        let mut client = crash(&mut server);
        assert!(
            ask(&mut client, "DEBUG DIGEST") == before,
            "deleted keys are back"
        );
    }
}
