//! Native and PM commands, command by command, while the keyspace is being filled after a restart:
//! the command filter asks the server for the keys of each command, well-formed or not, and nobody
//! can tell.
//!
//! `PMEDIS_OTHER_KEYS=n` takes so many keys to fill it with, `PMEDIS_FILL=n` so many of them a
//! second (none by themselves without), `PMEDIS_SEQUENCES=n` runs so many sequences a type, from
//! `PMEDIS_SEED=n` on; `ci/stress-restart` takes two million.

use testkit::differential::Dialect;
use testkit::differential::campaign::{Campaign, Coverage};
use testkit::differential::grammar::Table;
use testkit::differential::tables;
use testkit::env_number;
use testkit::packaged::Packaged;
use testkit::server::Setup;

const SEQUENCES: u64 = 60;
/// Of commands that are about all keys: nearly each sequence has one, which ends the filling, and
/// costs a restart.
const OF_ALL_KEYS: u64 = 25;

fn run(table: &'static Table, sequences: u64) -> Coverage {
    let campaign = Campaign {
        table,
        dialect: Dialect::PM,
        first_seed: env_number("PMEDIS_SEED", 1),
        sequences: env_number("PMEDIS_SEQUENCES", sequences),
        restarts: true,
        while_filling: true,
    };
    let pace = env_number("PMEDIS_FILL", 0).to_string();
    let setup = Setup::pmedis_with("512m", &["fill", &pace]);
    let coverage = campaign.run(setup);
    coverage.unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn all_types_agree_while_the_keyspace_is_filled() {
    let of_types = [
        &tables::STRING,
        &tables::BITMAP,
        &tables::HYPERLOGLOG,
        &tables::LIST,
        &tables::HASH,
        &tables::SET,
        &tables::ZSET,
        &tables::ZSET_LEX,
        &tables::ZSET_SMALL,
        &tables::SORT,
        &tables::GEO,
    ];
    for table in of_types {
        let coverage = run(table, SEQUENCES);
        assert_eq!(
            coverage.fillings_ended, 0,
            "{}: all keys came into the keyspace",
            table.name
        );
    }
    // The server has fields that expire itself from then on.
    if Packaged::current().has(Some((7, 4)), Some((9, 0))) {
        let coverage = run(&tables::FIELD_EXPIRY, SEQUENCES);
        assert_eq!(coverage.fillings_ended, 0);
    }
}

#[test]
fn commands_about_all_keys_agree_while_the_keyspace_is_filled() {
    for table in [&tables::KEYS, &tables::PREFIXED_KEYS] {
        let coverage = run(table, OF_ALL_KEYS);
        assert!(
            coverage.fillings_ended > 0,
            "{}: nothing was about all keys",
            table.name
        );
    }
}
