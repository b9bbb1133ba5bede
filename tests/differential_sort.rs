//! SORT and SORT_RO against Redis's own, command by command.
//!
//! `PMEDIS_SEED=n` replays one sequence, `PMEDIS_SEQUENCES=n` runs so many of them.

use testkit::differential::campaign::agrees;
use testkit::differential::tables;

/// Some seconds' worth.
const SEQUENCES: u64 = 500;

#[test]
fn sorting_replies_as_redis_does() {
    agrees(&tables::SORT, SEQUENCES);
}
