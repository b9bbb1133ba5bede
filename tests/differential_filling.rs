//! Native and PM commands, command by command, while the keyspace is being filled after a restart: the command filter asks the
//! server for the keys of each command, well-formed or not, and nobody can tell.

use pmedis_testkit::differential::Dialect;
use pmedis_testkit::differential::campaign::Campaign;
use pmedis_testkit::differential::tables;
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
            first_seed: 1,
            sequences: SEQUENCES,
            restarts: true,
            while_filling: true,
        };
        let setup = Setup::pmedis_with("512m", &["fill", "0"]);
        let coverage = campaign.run(setup);
        coverage.unwrap_or_else(|report| panic!("{report}"));
    }
}
