//! How much of the room that is reported free can really be used, after keys were deleted in
//! several patterns and compaction has settled.
//!
//! So that values of twice the length find room where every second one was deleted, too.
//!
//! `PMEDIS_USABLE=512 cargo test --release --test usable_room -- --nocapture` does it with all
//! patterns in a pool of so many MiB; without the variable some of them are done in a small one.

use fastrand::Rng;
use std::time::{Duration, Instant};
use testkit::client::Client;
use testkit::env_number;
use testkit::resp::Value;
use testkit::script::ask;
use testkit::server::Setup;

/// Values that were set: number and length.
type Set = Vec<(usize, usize)>;

/// How the pool is filled, and what is deleted.
struct Pattern {
    name: &'static str,
    /// Lengths of the values, between those of one of these pairs.
    lens: &'static [(usize, usize)],
    /// Which of them go.
    goes: fn(&mut Rng, usize, usize, usize) -> bool,
}

/// What goes is decided by the number of the value, its length, and how many there are.
const PATTERNS: [Pattern; 6] = [
    Pattern {
        name: "19 of 20 small ones at random",
        lens: &[(90, 110)],
        goes: |random, _, _, _| random.u32(..20) > 0,
    },
    Pattern {
        name: "every second",
        lens: &[(900, 1100)],
        goes: |_, n, _, _| n % 2 == 0,
    },
    Pattern {
        name: "the older half",
        lens: &[(50, 500), (1000, 30_000), (30_000, 300_000)],
        goes: |_, n, _, count| n < count / 2,
    },
    Pattern {
        name: "those of some lengths",
        lens: &[(100, 101), (3000, 3100), (10_000, 12_000)],
        goes: |_, _, len, _| (3000..10_000).contains(&len),
    },
    Pattern {
        name: "half of large ones at random",
        lens: &[(60_000, 400_000)],
        goes: |random, _, _, _| random.bool(),
    },
    Pattern {
        name: "two of five of all sizes at random",
        lens: &[(10, 30_000), (30_000, 300_000), (300_000, 1_000_000)],
        goes: |random, _, _, _| random.u32(..5) < 2,
    },
];

/// Sets values until one does not fit.
fn fill(client: &mut Client, name: &str, mut len: impl FnMut() -> usize) -> Set {
    let (mut set, mut next) = (Set::new(), 0);
    loop {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < 1 << 20 && batch.len() < 500 {
            let len = len();
            (bytes, next) = (bytes + len, next + 1);
            batch.push((next, len));
        }
        let commands: Vec<Vec<Vec<u8>>> = batch
            .iter()
            .map(|&(n, len)| vec![b"PM.SET".to_vec(), key(name, n), vec![b'v'; len]])
            .collect();
        // What comes behind a refused command may fit again.
        let mut full = false;
        for (value, reply) in batch.into_iter().zip(client.pipeline(&commands).unwrap()) {
            match reply {
                Value::Simple(_) => set.push(value),
                Value::Error(text) if text.starts_with("OOM ") => full = true,
                other => panic!("{other:?}"),
            }
        }
        if full {
            return set;
        }
    }
}

fn key(name: &str, n: usize) -> Vec<u8> {
    format!("{name}:{n}").into_bytes()
}

fn delete(client: &mut Client, name: &str, set: &[(usize, usize)]) {
    for part in set.chunks(500) {
        let names = part.iter().map(|&(n, _)| key(name, n));
        let words: Vec<Vec<u8>> = std::iter::once(b"DEL".to_vec()).chain(names).collect();
        assert_eq!(client.call(&words), Value::Integer(part.len() as i64));
    }
}

/// A figure of PM.INFO.
fn figure(client: &mut Client, name: &str) -> u64 {
    let info = client.call(&["PM.INFO", "pool"]);
    let info = String::from_utf8_lossy(info.bytes().expect("a text"));
    let line = info.lines().find_map(|line| line.strip_prefix(name));
    let figure = line.and_then(|rest| rest.strip_prefix(':'));
    figure.and_then(|text| text.parse().ok()).expect("a figure")
}

/// Compacts until nothing is gained any more; how long that took.
fn settle(client: &mut Client) -> Duration {
    let start = Instant::now();
    let mut before = u64::MAX;
    loop {
        let status = client.call(&["PM.DEFRAG", "NOW", "10000"]);
        assert!(!status.is_error(), "{status:?}");
        let now = figure(client, "wasted") + figure(client, "scattered");
        if now >= before {
            return start.elapsed();
        }
        before = now;
    }
}

/// Lengths of values of which every second one gives way to others of twice the length.
const HALVED: [usize; 4] = [400, 1_500, 20_000, 150_000];

/// Fills nine tenths of a pool with values of one length, deletes every second one, and fills what
/// is free then with values of twice the length.
fn write_twice_the_size(mebibytes: u64) {
    for len in HALVED {
        let mut server = Setup::pmedis(&format!("{mebibytes}m")).start().unwrap();
        let mut client = server.client();
        let most = figure(&mut client, "free") / 10 * 9;
        let mut set = Set::new();
        while figure(&mut client, "used") < most {
            let batch: Set = (0..(1 << 20) / len).map(|n| (set.len() + n, len)).collect();
            let commands: Vec<Vec<Vec<u8>>> = batch
                .iter()
                .map(|&(n, len)| vec![b"PM.SET".to_vec(), key("set", n), vec![b'v'; len]])
                .collect();
            for reply in client.pipeline(&commands).unwrap() {
                assert_eq!(reply, Value::Simple("OK".into()));
            }
            set.extend(batch);
        }
        let gone: Set = set.into_iter().step_by(2).collect();
        delete(&mut client, "set", &gone);
        let settled = settle(&mut client);
        let (free, used) = (figure(&mut client, "free"), figure(&mut client, "used"));
        fill(&mut client, "twice", || 2 * len);
        let filled = figure(&mut client, "used") - used;
        println!(
            "| every second of {len} bytes | {free} | {:.1} s | {}: {:.1} % |",
            settled.as_secs_f64(),
            2 * len,
            filled as f64 * 100.0 / free as f64
        );
        assert!(
            filled + 2 * len as u64 >= free * 95 / 100,
            "{filled} of {free} with values of {}",
            2 * len
        );
        server.stop();
    }
}

fn main() {
    let mebibytes = env_number("PMEDIS_USABLE", 0);
    let (size, patterns, lens): (_, _, &[usize]) = match mebibytes {
        0 => (64, &PATTERNS[3..], &[400, 1 << 20]),
        _ => (
            mebibytes,
            &PATTERNS[..],
            &[400, 3000, 20_000, 200_000, 1 << 20],
        ),
    };
    println!("a pool of {size} MiB\n");
    println!(
        "| deleted | free before | free after, scattered, wasted | settled in | filled again with values of |"
    );
    for (pattern, seed) in patterns.iter().zip(1..) {
        let mut random = Rng::with_seed(seed);
        let mut server = Setup::pmedis(&format!("{size}m")).start().unwrap();
        let mut client = server.client();
        let set = fill(&mut client, "set", || {
            let &(from, to) = random.choice(pattern.lens).expect("not empty");
            random.usize(from..to)
        });
        let free_before = figure(&mut client, "free");
        let count = set.len();
        let goes = |&&(n, len): &&(usize, usize)| (pattern.goes)(&mut random, n, len, count);
        let gone: Set = set.iter().filter(goes).copied().collect();
        delete(&mut client, "set", &gone);
        let digest = ask(&mut client, "DEBUG DIGEST");
        let settled = settle(&mut client);
        assert_eq!(ask(&mut client, "DEBUG DIGEST"), digest, "{}", pattern.name);
        let (free, scattered) = (
            figure(&mut client, "free"),
            figure(&mut client, "scattered"),
        );
        let wasted = figure(&mut client, "wasted");
        print!(
            "| {} | {free_before} | {free}, {scattered}, {wasted} | {:.1} s |",
            pattern.name,
            settled.as_secs_f64()
        );
        for &len in lens {
            let (free, used) = (figure(&mut client, "free"), figure(&mut client, "used"));
            let again = fill(&mut client, "again", || len);
            let filled = figure(&mut client, "used") - used;
            let percent = filled as f64 * 100.0 / free as f64;
            print!(" {len}: {percent:.1} %,");
            assert!(
                // One value more or less counts in a small pool.
                mebibytes > 0 || filled + len as u64 >= free * 95 / 100,
                "{} of {free} with values of {len}: {filled}",
                pattern.name
            );
            delete(&mut client, "again", &again);
            settle(&mut client);
        }
        println!();
        assert_eq!(ask(&mut client, "DEBUG DIGEST"), digest, "{}", pattern.name);
        server.stop();
    }
    write_twice_the_size(size);
}
