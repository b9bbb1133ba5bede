//! A fixed-seed share of what `ci/explore` does: correct transactions survive every cut, and
//! mistakes in using `pobj` are found.

use explore::campaign::{self, Subject};
use explore::transactions::{Flavour, MISTAKES, Transactions};
use powercut::Config;
use std::panic::catch_unwind;

/// Seeds after which a mistake that was not found counts as missed.
const SEEDS: u64 = 12;

fn correct_use_passes(subject: Subject, states: u64, config: impl Fn(u64) -> Config) {
    let report = campaign::run(subject, 1, states, config);
    assert!(report.violations.is_empty(), "{}: {report}", subject.name());
    assert!(report.states >= states, "{report}");
}

fn mistakes_are_found() {
    for mistake in MISTAKES {
        let found = (1..=SEEDS).any(|seed| {
            let workload = Transactions {
                seed,
                steps: 24,
                flavour: Flavour::Mixed,
                mistake: Some(mistake),
            };
            // Some mistakes show without any cut: the workload compares the pool with its own
            // model.
            catch_unwind(|| campaign::explore_transactions(&workload, &campaign::config(seed)))
                .map_or(true, |report| !report.violations.is_empty())
        });
        assert!(found, "{mistake:?} is not found");
        println!("{mistake:?} is found");
    }
}

fn main() {
    explore::prepare_process();
    correct_use_passes(Subject::Transactions, 1_800, campaign::config);
    correct_use_passes(Subject::Creation, 100, |seed| Config {
        outcomes_per_cut: 4,
        recoveries_one_in: 64,
        ..campaign::config(seed)
    });
    mistakes_are_found();
}
