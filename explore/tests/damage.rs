//! A fixed-seed share of what `ci/damage` does: no damaged pool may kill, stop or confuse the
//! process; most are opened all the same, and give the keys that are not damaged.

use explore::damage;

const SEED: u64 = 1;
const POOLS: u64 = 300;

fn main() {
    explore::prepare_process();
    let tally = damage::run(SEED, 0, POOLS, None);
    println!("{tally}");
    assert!(tally.failures.is_empty(), "{tally}");
    // Neither may everything be refused, nor nothing be noticed.
    assert!(tally.refused > POOLS / 20, "{tally}");
    assert!(tally.refused < POOLS / 2, "{tally}");
    assert!(tally.damaged > 0, "{tally}");
    assert!(tally.read > 20 * POOLS, "{tally}");
}
