//! The Set type against Redis's own, command by command.
//!
//! `PMEDIS_SEED=n` replays one sequence, `PMEDIS_SEQUENCES=n` runs so many of them.

use pmedis_testkit::differential::campaign::Campaign;
use pmedis_testkit::differential::{Dialect, tables};
use pmedis_testkit::env_number;
use pmedis_testkit::server::Setup;
use std::env;

/// About a minute's worth.
const SEQUENCES: u64 = 2000;

#[test]
fn sets_reply_as_redis_does() {
    let replayed = env::var_os("PMEDIS_SEED").is_some();
    let campaign = Campaign {
        table: &tables::SET,
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
        assert_eq!(coverage.gaps(&tables::SET), [""; 0], "{coverage:?}");
    }
}
