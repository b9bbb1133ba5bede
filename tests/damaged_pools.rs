//! A real server on damaged pools: it says why it does not serve, or it serves what is left. It
//! never dies.
//!
//! `PMEDIS_DAMAGED_POOLS` is the number of pools, `PMEDIS_SEED` the seed.

use std::env;
use std::fs;

use explore::damage;
use testkit::client::Client;
use testkit::resp::Value;
use testkit::server::Setup;

const POOLS: u64 = 16;
const SEED: u64 = 1;
const DBS: [&str; 3] = ["0", "1", "2"];

fn variable(name: &str, default: u64) -> u64 {
    let text = env::var(name).ok();
    text.map_or(default, |text| text.parse().expect("a number"))
}

/// Reads, changes and deletes every key that the server shows; how many replies were values.
fn use_all(client: &mut Client) -> u64 {
    let mut values = 0;
    for db in DBS {
        client.call(&["SELECT", db]);
        let Value::Array(keys) = client.call(&["KEYS", "*"]) else {
            panic!("KEYS gives an array");
        };
        let keys = keys.into_iter().filter_map(|key| match key {
            Value::Bulk(name) => Some(name),
            _ => None,
        });
        for key in keys {
            let commands: [&[&[u8]]; 12] = [
                &[b"PM.GET", &key],
                &[b"PM.LRANGE", &key, b"0", b"-1"],
                &[b"PM.HGETALL", &key],
                &[b"PM.SMEMBERS", &key],
                &[b"PM.ZRANGE", &key, b"0", b"-1", b"WITHSCORES"],
                &[b"DUMP", &key],
                &[b"PM.APPEND", &key, b"more"],
                &[b"PM.RPUSH", &key, b"element"],
                &[b"PM.HSET", &key, b"field", b"value"],
                &[b"PM.SADD", &key, b"member"],
                &[b"PM.ZADD", &key, b"1", b"member"],
                &[b"DEL", &key],
            ];
            for command in commands {
                let reply = client.try_call(command);
                let reply = reply.unwrap_or_else(|error| panic!("{command:?}: {error}"));
                values += u64::from(!matches!(reply, Value::Error(_)));
            }
        }
    }
    client.call(&["FLUSHALL"]);
    values
}

fn main() {
    explore::force_pmem();
    let (seed, pools) = (
        variable("PMEDIS_SEED", SEED),
        variable("PMEDIS_DAMAGED_POOLS", POOLS),
    );
    let setup = Setup::pmedis("24m");
    let mut base = Vec::new();
    let (mut refused, mut served, mut values) = (0, 0, 0);
    for number in 0..pools {
        if base.is_empty() || number % damage::POOLS_PER_BASE == 0 {
            base = damage::base(seed, number, &setup.dir().join("base"));
        }
        let (pool, harms) = damage::harmed(seed, number, &base);
        fs::write(setup.pool(), pool).expect("the directory is writable");
        let which = format!("seed {seed}, pool {number}, {harms:x?}");
        match setup.start() {
            Err(refusal) => {
                refused += 1;
                assert!(refusal.status.code().is_some(), "{which}: {refusal:?}");
                assert!(!refusal.warnings().is_empty(), "{which}: {refusal:?}");
            }
            Ok(mut server) => {
                served += 1;
                values += use_all(&mut server.client());
                assert_eq!(server.exited(), None, "{which}: {}", server.log());
                let status = server.stop();
                assert!(status.success(), "{which}: {status}, {}", server.log());
            }
        }
    }
    println!(
        "seed {seed}: {pools} damaged pools, {refused} refused, {served} served, {values} values"
    );
    assert!(
        refused > 0 && served > 0 && values > 0,
        "the harm is telling"
    );
}
