//! A fixed-seed share of what `ci/explore` does with the structures: every change survives every
//! cut.

use explore::campaign::{self, Subject};
use powercut::Config;

/// The whole of each workload, with few outcomes a cut.
fn thinly(seed: u64) -> Config {
    Config {
        outcomes_per_cut: 4,
        outcomes_per_recovery_cut: 2,
        recoveries_one_in: 64,
        ..campaign::config(seed)
    }
}

fn main() {
    explore::prepare_process();
    let (mut states, mut recovery_states) = (0, 0);
    for subject in Subject::MODULE {
        let report = campaign::run(subject, 1, 100, thinly);
        assert!(report.violations.is_empty(), "{}: {report}", subject.name());
        assert!(report.states >= 100, "{}: {report}", subject.name());
        states += report.states;
        recovery_states += report.recovery_states;
    }
    println!("{states} states, {recovery_states} of cut recoveries");
    assert!(recovery_states > 0, "no recovery was cut");
}
