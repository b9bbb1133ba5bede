//! Sorted sets against Redis's own, command by command.
//!
//! `PMEDIS_SEED=n` replays one sequence, `PMEDIS_SEQUENCES=n` runs so many of them.

use pmedis_testkit::differential::campaign::Campaign;
use pmedis_testkit::differential::grammar::Table;
use pmedis_testkit::differential::{Dialect, tables};
use pmedis_testkit::env_number;
use pmedis_testkit::server::Setup;
use std::env;

/// About half a minute's worth, for each table.
const SEQUENCES: u64 = 1000;

fn agrees(table: &'static Table) {
    let replayed = env::var_os("PMEDIS_SEED").is_some();
    let campaign = Campaign {
        table,
        dialect: Dialect::PM,
        first_seed: env_number("PMEDIS_SEED", 1),
        sequences: if replayed {
            1
        } else {
            env_number("PMEDIS_SEQUENCES", SEQUENCES)
        },
        restarts: true,
    };
    let coverage = campaign
        .run(Setup::pmedis("512m"))
        .unwrap_or_else(|report| panic!("{report}"));
    if campaign.sequences >= SEQUENCES {
        assert_eq!(coverage.gaps(table), [""; 0], "{coverage:?}");
    }
}

#[test]
fn small_and_large_sorted_sets_reply_as_redis_does() {
    agrees(&tables::ZSET);
}

#[test]
fn ranges_of_names_reply_as_redis_does() {
    agrees(&tables::ZSET_LEX);
}

#[test]
fn small_sorted_sets_of_any_scores_reply_as_redis_does() {
    agrees(&tables::ZSET_SMALL);
}
