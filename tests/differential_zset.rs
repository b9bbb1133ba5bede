//! Sorted sets against Redis's own, command by command.
//!
//! `PMEDIS_SEED=n` replays one sequence, `PMEDIS_SEQUENCES=n` runs so many of them.

use testkit::differential::campaign::agrees;
use testkit::differential::tables;

/// About half a minute's worth, for each table.
const SEQUENCES: u64 = 1000;

#[test]
fn small_and_large_sorted_sets_reply_as_redis_does() {
    agrees(&tables::ZSET, SEQUENCES);
}

#[test]
fn ranges_of_names_reply_as_redis_does() {
    agrees(&tables::ZSET_LEX, SEQUENCES);
}

#[test]
fn small_sorted_sets_of_any_scores_reply_as_redis_does() {
    agrees(&tables::ZSET_SMALL, SEQUENCES);
}
