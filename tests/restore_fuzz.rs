//! Hostile RESTORE payloads: an error or a sound value, never a crash, a hang, or memory beyond
//! reason.
//!
//! `PMEDIS_FUZZ_PAYLOADS=n` sets how many are tried for each type (`ci/fuzz-restore`),
//! `PMEDIS_SEED=n` the seed.

use fastrand::Rng;
use std::fs;
use testkit::client::Client;
use testkit::env_number;
use testkit::rdb::sealed;
use testkit::replication::{info, wait_for};
use testkit::resp::Value;
use testkit::script::{ask, expect};
use testkit::server::{Server, Setup};

/// Payloads sent at once.
const BATCH: usize = 250;
/// What the server may take of real memory for it all.
const MEMORY_MAX: u64 = 300 << 20;

/// Numbers that lengths and counts are made of.
const EDGES: [u64; 12] = [
    0,
    1,
    63,
    64,
    16383,
    16384,
    0xff,
    0xffff_ffff,
    1 << 32,
    1 << 40,
    i64::MAX as u64,
    u64::MAX,
];

/// The bytes in front of a payload's value: its RDB type, and the module's id and version.
const PREFIX: usize = 10;
/// The bytes after it: the RDB version and the checksum.
const SUFFIX: usize = 10;

fn long(word: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{word}{n}")).collect()
}

/// Makes a few values of a type, and gives their payloads.
fn payloads(client: &mut Client, ty: &str) -> Vec<Vec<u8>> {
    let pairs = |count| long("f", count).into_iter().zip(long("v", count));
    let flat = |count| pairs(count).flat_map(|(f, v)| [f, v]).collect::<Vec<_>>();
    let ranks = |count: usize| {
        let ranked = long("m", count).into_iter().enumerate();
        ranked
            .flat_map(|(n, m)| [format!("{}.5", n % 7), m])
            .collect::<Vec<_>>()
    };
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|word| word.to_string())
            .collect::<Vec<_>>()
    };
    let values: Vec<(&str, Vec<String>)> = match ty {
        "string" => vec![
            ("PM.SET", words(&["12345"])),
            ("PM.SET", words(&[""])),
            ("PM.SET", words(&["some bytes"])),
            ("PM.SET", vec!["long ".repeat(500)]),
        ],
        "list" => vec![
            ("PM.RPUSH", words(&["a", "-1", "65536", ""])),
            ("PM.RPUSH", vec!["x".repeat(300), "y".to_owned()]),
            ("PM.RPUSH", long("element ", 400)),
        ],
        "hash" => vec![
            ("PM.HSET", words(&["f", "v", "g", "12", "", ""])),
            ("PM.HSET", flat(300)),
        ],
        "set" => vec![
            ("PM.SADD", words(&["1", "2", "-70000"])),
            ("PM.SADD", words(&["a", "1", "b"])),
            ("PM.SADD", long("member ", 300)),
        ],
        _ => vec![
            ("PM.ZADD", words(&["1", "a", "-inf", "b", "1e300", "c"])),
            ("PM.ZADD", ranks(300)),
        ],
    };
    let dumped = values.into_iter().map(|(command, args)| {
        expect(client, "DEL made", "0");
        let command = [words(&[command, "made"]), args].concat();
        assert!(!client.call(&command).is_error(), "{command:?}");
        let dump = client.call(&["DUMP", "made"]);
        expect(client, "DEL made", "1");
        dump.bytes().expect("a payload").to_vec()
    });
    dumped.collect()
}

/// Changes a payload in one to four places, all of it, the module's id and version included.
fn mutate(payload: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.usize(1..=4) {
        // Mostly near the head, where lengths and counts are.
        let body = payload.len().saturating_sub(SUFFIX);
        let near = if rng.bool() { 40 } else { usize::MAX };
        let from = if rng.u8(..20) == 0 { 0 } else { PREFIX };
        if from >= body {
            return;
        }
        let at = rng.usize(from..body.min(from.saturating_add(near)));
        match rng.u8(..8) {
            0 => payload[at] ^= 1 << rng.u8(..8),
            1 => payload[at] = rng.u8(..),
            2 => payload[at] = payload[at].wrapping_add([1, 255][rng.usize(..2)]),
            3 => {
                payload.drain(at..(at + rng.usize(1..20)).min(body));
            }
            4 => {
                let end = (at + rng.usize(1..40)).min(body);
                let part = payload[at..end].to_vec();
                payload.splice(at..at, part);
            }
            5 => {
                payload.drain(at..body);
            }
            // A number in each of the forms that RDB files have for lengths, and the compressed
            // one.
            6 => {
                let number = EDGES[rng.usize(..EDGES.len())];
                let form: Vec<u8> = match rng.u8(..5) {
                    0 => vec![number as u8 & 63],
                    1 => vec![64 | (number >> 8) as u8 & 63, number as u8],
                    2 => [&[0x80][..], &(number as u32).to_be_bytes()].concat(),
                    3 => [&[0x81][..], &number.to_be_bytes()].concat(),
                    _ => [&[0xc3, 0x81][..], &number.to_be_bytes()].concat(),
                };
                let end = if rng.bool() {
                    at
                } else {
                    (at + form.len()).min(body)
                };
                payload.splice(at..end, form);
            }
            _ => {
                let other = rng.usize(from..body);
                payload.swap(at, other);
            }
        }
    }
}

/// Real memory of the server at its peak, in bytes.
fn peak_memory(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    kilobytes.expect("a peak").parse::<u64>().unwrap() << 10
}

fn used(client: &mut Client) -> String {
    let info = ask(client, "PM.INFO pool");
    let used = info.split("used:").nth(1).expect("how much is in use");
    used.split('\\').next().unwrap_or_default().to_owned()
}

/// Tries mutated payloads of a type; how many were taken for a value.
fn fuzz(server: &Server, client: &mut Client, ty: &str, payload_count: u64, rng: &mut Rng) -> u64 {
    let corpus = payloads(client, ty);
    let mut taken = 0;
    for _ in 0..payload_count.div_ceil(BATCH as u64) {
        let batch: Vec<Vec<u8>> = (0..BATCH)
            .map(|_| {
                let mut payload = corpus[rng.usize(..corpus.len())].clone();
                mutate(&mut payload, rng);
                sealed(payload)
            })
            .collect();
        for payload in &batch {
            client.queue(&[b"RESTORE", b"r".as_slice(), b"0", payload, b"REPLACE"]);
            // If it was taken, it can be read, and what is read can be restored.
            for command in [&["DUMP", "r"][..], &["COPY", "r", "c"], &["DEL", "r", "c"]] {
                client.queue(command);
            }
        }
        client.send().unwrap();
        for payload in &batch {
            let mut reply = || {
                client.receive().unwrap_or_else(|error| {
                    panic!("{ty}: {error} after one of {batch:02x?}\n{}", server.log())
                })
            };
            let (restored, dump, copied, gone) = (reply(), reply(), reply(), reply());
            let is_value = !restored.is_error();
            taken += u64::from(is_value);
            let (copies, keys) = if is_value { (1, 2) } else { (0, 0) };
            assert_eq!(copied, Value::Integer(copies), "{payload:02x?}");
            assert_eq!(gone, Value::Integer(keys), "{payload:02x?}");
            assert_eq!(dump.bytes().is_some(), is_value, "{payload:02x?}");
        }
        assert!(
            peak_memory(server) < MEMORY_MAX,
            "{ty}: one of these takes too much memory: {batch:02x?}"
        );
    }
    taken
}

#[test]
fn mutated_payloads_are_refused_or_sound() {
    let count = env_number("PMEDIS_FUZZ_PAYLOADS", 2000);
    let seed = env_number("PMEDIS_SEED", 8);
    let server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    // The first key brings the table of databases, which stays.
    expect(&mut client, "PM.SET first v", "OK");
    expect(&mut client, "DEL first", "1");
    let empty = used(&mut client);
    for ty in ["string", "list", "hash", "set", "zset"] {
        let mut rng = Rng::with_seed(seed);
        let taken = fuzz(&server, &mut client, ty, count, &mut rng);
        println!("seed {seed}: {count} payloads of a {ty}, {taken} of them values");
        assert!(taken > 0 && taken < count, "{taken} of {count} are values");
    }
    wait_for("all is reclaimed", || {
        let about = ask(&mut client, "PM.INFO reclaim");
        about.contains("values:0") && about.contains("sweeping:0")
    });
    assert_eq!(used(&mut client), empty, "bytes in use of an empty pool");
    expect(&mut client, "DBSIZE", "0");
    assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
}
