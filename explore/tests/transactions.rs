//! A fixed-seed share of what `ci/explore` does: correct transactions survive every cut, and mistakes in
//! using `pobj`, or in its own flushes and fences, are found.

use pmedis_explore::campaign::{self, Subject};
use pmedis_explore::transactions::{Check, Flavour, MISTAKES, Transactions};
use powercut::explore;
use powercut::trace::Event;
use std::panic::catch_unwind;
use std::path::Path;

/// Seeds after which a mistake that was not found counts as missed.
const SEEDS: u64 = 12;

fn correct_use_passes(subject: Subject, states: u64) {
    let report = campaign::run(subject, 1, states, campaign::config);
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
            // Some mistakes show without any cut: the workload compares the pool with its own model.
            catch_unwind(|| campaign::explore_transactions(&workload, &campaign::config(seed)))
                .map_or(true, |report| !report.violations.is_empty())
        });
        assert!(found, "{mistake:?} is not found");
        println!("{mistake:?} is found");
    }
}

/// Leaves out one flush, then one fence, of commits with one redo record each. Most are needed: the share
/// that is noticed must be large, whichever ones a workload happens to have.
fn left_out_events_are_found() {
    const TRIED: usize = 12;
    let workload = Transactions {
        seed: 3,
        steps: 6,
        flavour: Flavour::Small,
        mistake: None,
    };
    let (recording, states) = campaign::record(&workload);
    let check = Check::new(states);
    let noticed = |which: fn(&Event) -> bool| {
        let outcomes = (0..TRIED).filter_map(|nth| recording.without(nth, which));
        outcomes
            .filter(|left_out| {
                let directory = Path::new(pmedis_explore::DIRECTORY);
                !explore(left_out, &check, directory, &campaign::config(1))
                    .violations
                    .is_empty()
            })
            .count()
    };
    let fences = noticed(|event| matches!(event, Event::Fence));
    let flushes = noticed(|event| matches!(event, Event::Flush { .. }));
    println!("{fences} of {TRIED} fences and {flushes} of {TRIED} flushes left out are noticed");
    assert!(fences > 0, "no fence that is left out is noticed");
    assert!(flushes > 0, "no flush that is left out is noticed");
}

fn main() {
    pmedis_explore::prepare_process();
    correct_use_passes(Subject::Transactions, 1_800);
    correct_use_passes(Subject::Creation, 300);
    mistakes_are_found();
    left_out_events_are_found();
}
