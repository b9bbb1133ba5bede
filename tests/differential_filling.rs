//! Native and PM commands, command by command, while the keyspace is being filled after a restart: the command filter asks the
//! server for the keys of each command, well-formed or not, and nobody can tell.
//!
//! `PMEDIS_OTHER_KEYS=n` takes so many keys to fill it with, `PMEDIS_FILL=n` so many of them a second (none by themselves without),
//! `PMEDIS_SEQUENCES=n` runs so many sequences a type, from `PMEDIS_SEED=n` on; `ci/stress-restart` takes two million.

use pmedis_testkit::differential::Dialect;
use pmedis_testkit::differential::campaign::Campaign;
use pmedis_testkit::differential::tables;
use pmedis_testkit::env_number;
use pmedis_testkit::server::Setup;

const SEQUENCES: u64 = 60;

#[test]
fn all_types_agree_while_the_keyspace_is_filled() {
    let of_types = [
        &tables::STRING,
        &tables::LIST,
        &tables::HASH,
        &tables::SET,
        &tables::ZSET,
        &tables::SORT,
        &tables::GEO,
    ];
    for table in of_types {
        let campaign = Campaign {
            table,
            dialect: Dialect::PM,
            first_seed: env_number("PMEDIS_SEED", 1),
            sequences: env_number("PMEDIS_SEQUENCES", SEQUENCES),
            restarts: true,
            while_filling: true,
        };
        let pace = env_number("PMEDIS_FILL", 0).to_string();
        let setup = Setup::pmedis_with("512m", &["fill", &pace]);
        let coverage = campaign.run(setup);
        coverage.unwrap_or_else(|report| panic!("{report}"));
    }
}
