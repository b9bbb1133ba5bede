//! Pools that are full: filling them, asking them how full they are, and waiting until what was
//! deleted is free.

use crate::client::Client;
use crate::resp::Value;
use crate::script::{ask, crash, expect};
use crate::server::{Server, Setup};
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

/// How long the background may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
/// Commands sent at a time.
const PIPELINE: usize = 500;
/// Bytes that a pool has in use without a key: the table of databases.
pub const TABLE: u64 = 256;

/// A server with an empty pool of this size.
///
/// # Panics
/// If it does not start.
pub fn start(size: &str) -> (Server, Client) {
    let server = Setup::pmedis(size).start().unwrap();
    let client = server.client();
    (server, client)
}

/// The key `name:n`.
pub fn key(name: &str, n: usize) -> Vec<u8> {
    format!("{name}:{n}").into_bytes()
}

/// A command whose words are separated by single spaces.
pub fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ')
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

/// A command with many keys.
pub fn many(word: &str, name: &str, numbers: Range<usize>) -> Vec<Vec<u8>> {
    let keys = numbers.map(|n| key(name, n));
    std::iter::once(word.as_bytes().to_vec())
        .chain(keys)
        .collect()
}

/// Sends commands at once, and gives the replies.
///
/// # Panics
/// If the connection breaks.
pub fn pipeline(client: &mut Client, commands: impl Iterator<Item = Vec<Vec<u8>>>) -> Vec<Value> {
    let commands: Vec<_> = commands.collect();
    let parts = commands.chunks(PIPELINE);
    let replies = parts.flat_map(|part| client.pipeline(part).expect("replies"));
    replies.collect()
}

/// True if a command has found no room.
///
/// # Panics
/// If it has failed for another reason.
#[track_caller]
pub fn is_refused(reply: &Value) -> bool {
    match reply {
        Value::Error(text) => {
            assert!(text.starts_with("OOM "), "{text}");
            true
        }
        _ => false,
    }
}

/// Sets `name:0`, `name:1`, … to values of these lengths in turn, until one does not fit; how many
/// did.
///
/// # Panics
/// If a command fails for another reason than that there is no room.
pub fn fill(client: &mut Client, name: &str, lens: &[usize]) -> usize {
    let mut n = 0;
    loop {
        let value = vec![b'v'; lens[n % lens.len()]];
        if is_refused(&client.call(&[b"PM.SET".to_vec(), key(name, n), value])) {
            return n;
        }
        n += 1;
    }
}

/// Fills the pool with values of all sizes, down to the smallest.
///
/// # Panics
/// As for [`fill`].
pub fn fill_up(client: &mut Client) {
    for len in [200_000, 30_000, 1_000, 100, 1] {
        fill(client, &format!("fill{len}"), &[len]);
    }
}

/// A figure of PM.INFO.
///
/// # Panics
/// If there is none of this name.
#[track_caller]
pub fn figure(client: &mut Client, name: &str) -> u64 {
    let (Value::Verbatim(_, text) | Value::Bulk(text)) = client.call(&["PM.INFO"]) else {
        panic!("no text");
    };
    let text = String::from_utf8(text).expect("text");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// Waits until all memory of deleted keys has been given back.
///
/// # Panics
/// If that does not end.
#[track_caller]
pub fn settle(client: &mut Client) {
    let start = Instant::now();
    while figure(client, "reclaim_values") + figure(client, "reclaim_sweeping") > 0 {
        assert!(start.elapsed() < PATIENCE, "reclaiming does not end");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Expects all changes to have been durable, each as one step.
///
/// # Panics
/// If the log says otherwise.
#[track_caller]
pub fn assert_durable(server: &Server) {
    let log = server.log();
    assert!(
        !log.contains("not durable") && !log.contains("in parts"),
        "{log}"
    );
}

/// Expects all to be there after a crash, and a flush to leave an empty pool.
///
/// # Panics
/// If it is not so.
#[track_caller]
pub fn assert_durable_and_flushed(server: &mut Server, mut client: Client) {
    assert_durable(server);
    let digest = ask(&mut client, "DEBUG DIGEST");
    let mut client = crash(server);
    assert_eq!(ask(&mut client, "DEBUG DIGEST"), digest);
    expect(&mut client, "FLUSHALL", "OK");
    settle(&mut client);
    assert_eq!(figure(&mut client, "used"), TABLE);
}
