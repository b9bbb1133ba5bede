//! Explorations one after the other, each of another seed, until enough states have been seen.

use std::path::Path;

use powercut::explore::LIBPMEMOBJ_VOLATILE;
use powercut::{Config, Recording, Report, explore};

use crate::DIRECTORY;
use crate::creation::Creation;
use crate::states::States;
use crate::transactions::{Check, FLAVOURS, Transactions};

/// What can be explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Random transactions of `pobj`.
    Transactions,
    /// The creation of a pool.
    Creation,
}

impl Subject {
    /// All subjects.
    pub const ALL: [Subject; 2] = [Subject::Transactions, Subject::Creation];

    /// The subject's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Transactions => "transactions",
            Subject::Creation => "creation",
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
                explore(&recording, &Creation, Path::new(DIRECTORY), config)
            }
        }
    }
}

/// Records a workload of transactions; the states are those it passed through.
pub fn record(workload: &Transactions) -> (Recording, States) {
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
pub fn run(subject: Subject, seed: u64, states: u64, config: impl Fn(u64) -> Config) -> Report {
    let mut total = Report::default();
    for seed in seed.. {
        let report = subject.explore(&config(seed));
        println!("{}: {report}", subject.name());
        total.add(report);
        if total.states >= states || !total.violations.is_empty() {
            break;
        }
    }
    total
}
