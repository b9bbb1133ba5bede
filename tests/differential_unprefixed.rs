//! Native names that mean PM keys, against native keys, command by command: one server, of which
//! the setting `unprefixed` concerns some databases only. Names are the same on both sides, so
//! every word of every reply must be.
//!
//! `PMEDIS_SEED=n` begins with another sequence, `PMEDIS_SEQUENCES=n` runs so many of each table.

use testkit::differential::campaign::Campaign;
use testkit::differential::grammar::Table;
use testkit::differential::{Dialect, Side, tables};
use testkit::env_number;
use testkit::server::Setup;

fn agrees(table: &'static Table, sequences: u64) {
    let dbs = [0, 1].map(|n| format!("db={}", Side::Pm.db(n)));
    let setup = Setup::pmedis_with("512m", &["unprefixed", &dbs[0], "unprefixed", &dbs[1]]);
    let campaign = Campaign {
        table,
        dialect: Dialect::UNPREFIXED,
        first_seed: env_number("PMEDIS_SEED", 1),
        sequences: env_number("PMEDIS_SEQUENCES", sequences),
        restarts: true,
        while_filling: false,
    };
    let coverage = campaign
        .run(setup)
        .unwrap_or_else(|report| panic!("{report}"));
    assert!(coverage.commands.len() > 4, "{coverage:?}");
}

#[test]
fn strings_bitmaps_and_hyperloglogs_agree() {
    agrees(&tables::STRING, 150);
    agrees(&tables::BITMAP, 60);
    agrees(&tables::HYPERLOGLOG, 40);
}

#[test]
fn lists_and_hashes_agree() {
    agrees(&tables::LIST, 150);
    agrees(&tables::HASH, 150);
}

#[test]
fn sets_and_sorted_sets_agree() {
    agrees(&tables::SET, 100);
    agrees(&tables::ZSET, 100);
    agrees(&tables::ZSET_SMALL, 50);
}

#[test]
fn sorting_and_places_agree() {
    agrees(&tables::SORT, 80);
    agrees(&tables::GEO, 60);
}

#[test]
fn commands_that_any_key_understands_agree() {
    agrees(&tables::KEYS, 150);
}
