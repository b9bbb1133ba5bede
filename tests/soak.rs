//! A pool that stays between nearly full and full, under changes of all types and sizes, with a
//! replica, while the server is killed again and again.
//!
//! `PMEDIS_SOAK_LIVES=n` kills so many times, `PMEDIS_SOAK_LIFE=s` after so many seconds each,
//! `PMEDIS_SEED=n` takes other random numbers. `ci/soak` runs half an hour.

use std::time::Duration;
use testkit::env_number;
use testkit::soak::{Plan, run};

#[test]
fn nothing_acknowledged_is_lost_in_a_full_pool() {
    let plan = Plan {
        size: "32m",
        replica_size: "128m",
        lives: env_number("PMEDIS_SOAK_LIVES", 4) as u32,
        life: Duration::from_secs(env_number("PMEDIS_SOAK_LIFE", 3)),
        seed: env_number("PMEDIS_SEED", 1),
    };
    let tally = run(plan).unwrap_or_else(|finding| panic!("{finding}"));
    println!("{tally:?}");
    assert!(
        tally.refused > 0 && tally.acknowledged > tally.refused,
        "the pool never was full: {tally:?}"
    );
}
