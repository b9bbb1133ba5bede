//! What is free after a load of all types and sizes on a full pool can be used, however little that
//! is beside the objects between which it lies.

use fastrand::Rng;
use testkit::client::Client;
use testkit::full::{assert_durable, figure, fill, is_refused, key, settle, start};
use testkit::script::ask;

/// Names of keys that the load changes.
const NAMES: usize = 600;
/// Commands of one load.
const COMMANDS: usize = 10_000;
/// The longest element or value.
const LONGEST: usize = 1_000_000;
/// Lengths of the values that fill what is free afterwards.
const LENS: [usize; 4] = [LONGEST, 200_000, 20_000, 400];
/// Mebibytes that are free of 64 then, at least.
const FREE: [u64; 3] = [3, 6, 16];

/// A length up to [`LONGEST`], as often below its square root as above.
fn length(random: &mut Rng) -> usize {
    (LONGEST as f64).powf(random.f64()) as usize
}

/// A command that changes one of the keys, of the type that belongs to its number.
fn change(random: &mut Rng) -> Vec<Vec<u8>> {
    let n = random.usize(..NAMES);
    let name = key("load", n);
    let value = vec![b'v'; length(random)];
    let element = format!("element{}", random.u32(..8)).into_bytes();
    let word = |word: &str| word.as_bytes().to_vec();
    match (n % 6, random.u32(..8)) {
        (_, 0) => vec![word("DEL"), name],
        (0 | 1, 1) => vec![word("PM.APPEND"), name, value],
        (0 | 1, _) => vec![word("PM.SET"), name, value],
        (2, 1 | 2) => vec![word("PM.HDEL"), name, element],
        (2, _) => vec![word("PM.HSET"), name, element, value],
        (3, 1 | 2) => vec![word("PM.RPOP"), name],
        (3, _) => vec![word("PM.LPUSH"), name, value],
        (4, 1 | 2) => vec![word("PM.SPOP"), name],
        (4, _) => vec![word("PM.SADD"), name, [element, value].concat()],
        (_, 1 | 2) => vec![word("PM.ZPOPMIN"), name],
        (_, _) => vec![
            word("PM.ZADD"),
            name,
            random.u32(..100).to_string().into(),
            value,
        ],
    }
}

/// Keeps the pool full: what finds no room makes some by deleting another key.
fn load(client: &mut Client, random: &mut Rng) {
    let mut refused = 0;
    for _ in 0..COMMANDS {
        if is_refused(&client.call(&change(random))) {
            refused += 1;
            client.call(&[b"DEL".to_vec(), key("load", random.usize(..NAMES))]);
        }
    }
    assert!(
        refused > COMMANDS / 50,
        "the pool was full {refused} times only"
    );
}

/// Compacts until nothing is gained any more.
fn compact(client: &mut Client) {
    settle(client);
    let mut before = u64::MAX;
    loop {
        ask(client, "PM.DEFRAG NOW 10000");
        let now = figure(client, "wasted") + figure(client, "scattered");
        if now >= before {
            return;
        }
        before = now;
    }
}

#[test]
fn what_a_load_leaves_free_serves_values_of_any_size() {
    for (seed, mebibytes) in (1..).zip(FREE) {
        let mut random = Rng::with_seed(seed);
        let (server, mut client) = start("64m");
        load(&mut client, &mut random);
        // Some room for what follows.
        let mut n = 0;
        while figure(&mut client, "free") < mebibytes << 20 {
            client.call(&[b"DEL".to_vec(), key("load", n)]);
            settle(&mut client);
            n += 1;
        }
        compact(&mut client);
        let digest = ask(&mut client, "DEBUG DIGEST");
        for len in LENS {
            let (free, used) = (figure(&mut client, "free"), figure(&mut client, "used"));
            let count = fill(&mut client, "again", &[len]);
            let filled = figure(&mut client, "used") - used;
            println!("seed {seed}: {filled} of {free} with values of {len}");
            assert!(
                // One value more or less counts.
                filled + len as u64 >= free * 95 / 100,
                "seed {seed}: {filled} of {free} with values of {len}"
            );
            for n in 0..count {
                client.call(&[b"DEL".to_vec(), key("again", n)]);
            }
            compact(&mut client);
        }
        assert_eq!(ask(&mut client, "DEBUG DIGEST"), digest, "seed {seed}");
        assert_durable(&server);
    }
}
