//! The List type against Redis's own, command by command.
//!
//! `PMEDIS_SEED=n` replays one sequence, `PMEDIS_SEQUENCES=n` runs so many of them.

use testkit::differential::campaign::agrees;
use testkit::differential::tables;

/// About a minute's worth.
const SEQUENCES: u64 = 2000;

#[test]
fn lists_reply_as_redis_does() {
    agrees(&tables::LIST, SEQUENCES);
}
