//! Explorations one after the other, each of another seed, until enough states have been seen.

use std::path::Path;

use powercut::disk::Fault;
use powercut::explore::LIBPMEMOBJ_VOLATILE;
use powercut::{Config, Recording, Report, Workload, explore};

use crate::DIRECTORY;
use crate::creation::Creation;
use crate::disk;
use crate::keys::{self, Keys, Room};
use crate::server;
use crate::states::States;
use crate::structures::{self, Hashes, Lists, Mistake, Sets, Strings, Structure, Values, ZSets};
use crate::transactions::{Check, FLAVOURS, Transactions};

/// Steps of a workload of values.
const VALUE_STEPS: usize = 16;
/// Steps of one in which a pool grows: the images are large.
const GROWTH_STEPS: usize = 4;

/// What can be explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Random transactions of `pobj`.
    Transactions,
    /// The creation of a pool.
    Creation,
    /// Random changes of strings.
    Strings,
    /// Random changes of lists.
    Lists,
    /// Random changes of hashes.
    Hashes,
    /// Random changes of sets.
    Sets,
    /// Random changes of sorted sets.
    ZSets,
    /// Random changes of keys.
    Keys,
    /// The same in a pool that is full, or nearly so.
    Full,
    /// The same in a pool with a journal, on a disk.
    Disk,
    /// The same in a full pool that grows.
    Growth,
    /// Random commands, sent to a real server.
    Server,
}

impl Subject {
    /// All subjects.
    pub const ALL: [Subject; 12] = [
        Subject::Transactions,
        Subject::Creation,
        Subject::Strings,
        Subject::Lists,
        Subject::Hashes,
        Subject::Sets,
        Subject::ZSets,
        Subject::Keys,
        Subject::Full,
        Subject::Disk,
        Subject::Growth,
        Subject::Server,
    ];

    /// Those of the module, without a server.
    pub const MODULE: [Subject; 8] = [
        Subject::Strings,
        Subject::Lists,
        Subject::Hashes,
        Subject::Sets,
        Subject::ZSets,
        Subject::Keys,
        Subject::Full,
        Subject::Growth,
    ];

    /// The subject's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Transactions => "transactions",
            Subject::Creation => "creation",
            Subject::Strings => "strings",
            Subject::Lists => "lists",
            Subject::Hashes => "hashes",
            Subject::Sets => "sets",
            Subject::ZSets => "zsets",
            Subject::Keys => "keys",
            Subject::Full => "full",
            Subject::Disk => "disk",
            Subject::Growth => "growth",
            Subject::Server => "server",
        }
    }

    /// The subject of this name.
    pub fn from_name(name: &str) -> Option<Subject> {
        Subject::ALL
            .into_iter()
            .find(|subject| subject.name() == name)
    }

    /// Explores one workload.
    pub fn explore(self, config: &Config) -> Report {
        match self {
            Subject::Transactions => {
                let nth = config.seed as usize % FLAVOURS.len();
                explore_transactions(
                    &Transactions {
                        seed: config.seed,
                        steps: 24,
                        flavour: FLAVOURS[nth],
                        mistake: None,
                    },
                    config,
                )
            }
            Subject::Creation => {
                let directory = tempfile::tempdir_in(DIRECTORY).expect("tmpfs is mounted");
                let recording = Recording::of(&Creation, directory.path());
                // There is one creation only, whatever the seed, so it is looked at twice as
                // closely.
                let config = Config {
                    outcomes_per_cut: 2 * config.outcomes_per_cut,
                    ..config.clone()
                };
                explore(&recording, &Creation, Path::new(DIRECTORY), &config)
            }
            Subject::Strings => explore_values::<Strings>(None, config),
            Subject::Lists => explore_values::<Lists>(None, config),
            Subject::Hashes => explore_values::<Hashes>(None, config),
            Subject::Sets => explore_values::<Sets>(None, config),
            Subject::ZSets => explore_values::<ZSets>(None, config),
            Subject::Keys | Subject::Full | Subject::Growth => {
                let (room, steps) = match self {
                    Subject::Full => (Room::Full, VALUE_STEPS),
                    Subject::Growth => (Room::Growing, GROWTH_STEPS),
                    _ => (Room::Ample, VALUE_STEPS),
                };
                let (recording, states) = record(&Keys {
                    seed: config.seed,
                    steps,
                    room,
                });
                let check = keys::Check::new(states);
                explore(&recording, &check, Path::new(DIRECTORY), config)
            }
            Subject::Disk => disk::explore(config, Fault::None),
            Subject::Server => server::explore(config),
        }
    }
}

/// Records a workload that writes its states; these are those it passed through.
pub fn record(workload: &impl Workload) -> (Recording, States) {
    let directory = tempfile::tempdir_in(DIRECTORY).expect("tmpfs is mounted");
    let recording = Recording::of(workload, directory.path());
    let path = States::path_for(&directory.path().join("pool"));
    (
        recording,
        States::read(&path).expect("the workload wrote its states"),
    )
}

/// Explores a workload of transactions.
pub fn explore_transactions(workload: &Transactions, config: &Config) -> Report {
    let (recording, states) = record(workload);
    explore(
        &recording,
        &Check::new(states),
        Path::new(DIRECTORY),
        config,
    )
}

/// Explores a workload of values of one type.
pub fn explore_values<S: Structure>(mistake: Option<Mistake>, config: &Config) -> Report {
    let mut workload = Values::<S>::new(config.seed, VALUE_STEPS);
    workload.mistake = mistake;
    let (recording, states) = record(&workload);
    let check = structures::Check::<S>::new(states);
    explore(&recording, &check, Path::new(DIRECTORY), config)
}

/// The configuration of a workload with this seed.
pub fn config(seed: u64) -> Config {
    Config {
        seed,
        volatile: LIBPMEMOBJ_VOLATILE,
        outcomes_per_cut: 16,
        ..Config::default()
    }
}

/// Explores workloads of the seeds from `seed` on until there were `states` states, or a violation.
/// Creation is explored once: with another seed the states would be the same again.
pub fn run(subject: Subject, seed: u64, states: u64, config: impl Fn(u64) -> Config) -> Report {
    let mut total = Report::default();
    for seed in seed.. {
        let report = subject.explore(&config(seed));
        println!("{}: {report}", subject.name());
        total.add(report);
        let is_enough = total.states >= states || subject == Subject::Creation;
        if is_enough || !total.violations.is_empty() {
            break;
        }
    }
    total
}
