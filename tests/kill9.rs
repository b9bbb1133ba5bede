//! kill -9 at any moment: every acknowledged write is there after a restart, every other one
//! wholly or not at all, and the pool is consistent.
//!
//! `PMEDIS_KILL_ROUNDS=n` runs so many rounds, `PMEDIS_SEED=n` other ones. `ci/stress-kill9` runs
//! many.

use testkit::crash::rounds::Rounds;
use testkit::env_number;
use testkit::resp::Value;
use testkit::server::Setup;

#[test]
fn acknowledged_writes_survive() {
    let rounds = env_number("PMEDIS_KILL_ROUNDS", 12);
    let seed = env_number("PMEDIS_SEED", 1);
    let tally = Rounds::new(&Setup::pmedis("256m"), "PM.", seed)
        .run(rounds)
        .unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
    assert!(
        tally.acknowledged > 100 * rounds && tally.in_flight > rounds,
        "idle clients: {tally:?}"
    );
}

#[test]
fn a_million_keys_come_back() {
    const KEYS: usize = 1_000_000;
    const BATCH: usize = 10_000;
    let key = |n: usize| format!("key:{n}").into_bytes();
    let value = |n: usize| format!("{n:0128}").into_bytes();
    let mut server = Setup::pmedis("1g").start().unwrap();
    let mut client = server.client();
    for start in (0..KEYS).step_by(BATCH) {
        let commands: Vec<_> = (start..start + BATCH)
            .map(|n| vec![b"PM.SET".to_vec(), key(n), value(n)])
            .collect();
        let replies = client.pipeline(&commands).expect("replies to PM.SET");
        assert!(
            replies
                .iter()
                .all(|reply| *reply == Value::Simple("OK".into())),
            "{:?}",
            replies[0]
        );
    }
    server.kill9();
    server.restart().unwrap();
    let mut client = server.client();
    assert_eq!(client.call(&["DBSIZE"]), Value::Integer(KEYS as i64));
    for start in (0..KEYS).step_by(BATCH) {
        let commands: Vec<_> = (start..start + BATCH)
            .map(|n| vec![b"PM.GET".to_vec(), key(n)])
            .collect();
        let replies = client.pipeline(&commands).expect("replies to PM.GET");
        for (n, reply) in (start..).zip(replies) {
            assert_eq!(reply, Value::Bulk(value(n)), "key:{n}");
        }
    }
}
