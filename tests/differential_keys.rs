//! The commands that any key understands, command by command: native ones on PM keys, and `PM.DEL`
//! and its like, against Redis's own on native keys.
//!
//! `PMEDIS_SEED=n` replays one sequence, `PMEDIS_SEQUENCES=n` runs so many of them.

use testkit::differential::campaign::agrees;
use testkit::differential::tables;

const SEQUENCES: u64 = 400;

#[test]
fn native_commands_do_to_pm_keys_what_they_do_to_native_ones() {
    agrees(&tables::KEYS, SEQUENCES);
}

#[test]
fn prefixed_commands_do_what_native_ones_do() {
    agrees(&tables::PREFIXED_KEYS, SEQUENCES);
}
