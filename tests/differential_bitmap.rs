//! Bitmaps against Redis's own, command by command.
//!
//! `PMEDIS_SEED=n` replays one sequence, `PMEDIS_SEQUENCES=n` runs so many of them.

use testkit::differential::campaign::agrees;
use testkit::differential::tables;

/// About fifteen seconds' worth.
const SEQUENCES: u64 = 400;

#[test]
fn bitmaps_reply_as_redis_does() {
    agrees(&tables::BITMAP, SEQUENCES);
}
