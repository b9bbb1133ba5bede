//! Pools that servers leave, and the tool on them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use testkit::client::Client;
use testkit::script::run;
use testkit::server::{Server, Setup};

/// A server with a pool.
pub(crate) fn start() -> (Server, Client) {
    let server = Setup::pmedis("64m").start().unwrap();
    let client = server.client();
    (server, client)
}

/// Runs the tool, and shows that the pool keeps its bytes.
pub(crate) fn pmedis(words: &[&str], pool: &Path) -> Output {
    let before = fs::read(pool).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_pmedis"))
        .args(&words[..1])
        .arg(pool)
        .args(&words[1..])
        .output()
        .expect("the tool runs");
    assert!(
        fs::read(pool).unwrap() == before,
        "{words:?} has changed the pool"
    );
    output
}

/// What a program has written.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Keys of all types, small and large, in two databases, some of which expire.
pub(crate) fn fill(client: &mut Client) {
    run(
        client,
        "PM.SET small v
        PM.SET number 12345
        PM.SET expires v PXAT 99999999999999
        PM.RPUSH list a b 3 -7
        PM.HSET hash f v g 12
        PM.HSET times f v g w h x
        PM.HPEXPIREAT times 4102444800000 FIELDS 1 g
        PM.SADD numbers 1 2 3
        PM.SADD words a b 3
        PM.ZADD zset 1.5 a -inf b 1e300 c
        SELECT 3
        PM.SET small other
        PM.SET native:looking v
        SELECT 0",
    );
    let large = vec![b'\0'; 300_000];
    client.call(&[b"PM.SET".as_slice(), b"large", &large]);
    for i in 0..2000 {
        let n = i.to_string();
        client.queue(&["PM.RPUSH", "long list", &n]);
        client.queue(&["PM.HSET", "long hash", &n, "v"]);
        client.queue(&["PM.SADD", "long set", &format!("m{n}")]);
        client.queue(&["PM.ZADD", "long zset", &n, &n]);
    }
    client.send().unwrap();
    for _ in 0..8000 {
        let reply = client.receive().unwrap();
        assert!(!reply.is_error(), "{reply:?}");
    }
}
