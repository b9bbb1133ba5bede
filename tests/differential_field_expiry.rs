//! Fields that expire against the server's own, command by command, where it has them: Redis 7.4
//! and Valkey
//! 9. (`tests/field_expiry_replies.rs` compares with recorded replies elsewhere.)
//!
//! `PMEDIS_SEED=n` replays one sequence, `PMEDIS_SEQUENCES=n` runs so many of them.

use testkit::differential::campaign::agrees;
use testkit::differential::tables;
use testkit::packaged::Packaged;

/// About a minute's worth.
const SEQUENCES: u64 = 1500;

#[test]
fn fields_expire_as_the_servers_own_do() {
    if Packaged::current().has(Some((7, 4)), Some((9, 0))) {
        agrees(&tables::FIELD_EXPIRY, SEQUENCES);
    } else {
        eprintln!("skipped: fields of this server have no expire times");
    }
}
