//! A full pool: writes are refused as Redis refuses them for want of memory, and leave everything
//! as it was; reads and deletions go on.

use pmedis_testkit::client::Client;
use pmedis_testkit::resp::Value;
use pmedis_testkit::server::Setup;

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
