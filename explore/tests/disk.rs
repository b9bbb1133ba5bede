//! A fixed-seed share of what `ci/explore disk` does, and what it must notice.

use explore::campaign;
use explore::disk::explore;
use powercut::Config;
use powercut::disk::Fault;

fn config(seed: u64, states_max: u64) -> Config {
    Config {
        states_max,
        ..campaign::config(seed)
    }
}

// One test, as one recording can be under way in a process.
#[test]
fn keys_of_all_types_survive_cuts_and_are_in_copies_and_lies_of_the_disk_are_noticed() {
    for seed in [1, 2] {
        let report = explore(&config(seed, 120), Fault::None);
        assert!(report.violations.is_empty(), "{report}");
        assert!(
            report.states >= 120 && report.recovery_states > 0,
            "{report}"
        );
    }
    for fault in [Fault::LateWrites(".journal"), Fault::LostSyncs("pool")] {
        let noticed = (1..6).any(|seed| {
            let report = explore(&config(seed, 400), fault);
            !report.violations.is_empty()
        });
        assert!(noticed, "{fault:?} is not noticed");
    }
}
