//! A fixed-seed share of what `ci/explore` does with a real server; and a server that replies too
//! early, or leaves out a flush or a fence, is found.

use explore::campaign;
use explore::server::{self, Sent, Session, Shape, Way};
use powercut::trace::{self, Event};
use powercut::{Config, Recording, Report};
use testkit::packaged::Packaged;

/// Few outcomes a cut, a few real starts.
fn thinly(seed: u64) -> Config {
    Config {
        outcomes_per_cut: 4,
        outcomes_per_recovery_cut: 1,
        recoveries_one_in: 80,
        ..campaign::config(seed)
    }
}

/// The same without real starts.
fn without_starts() -> Config {
    Config {
        recoveries_one_in: 0,
        ..thinly(1)
    }
}

fn everything_acknowledged_is_there() {
    let mut total = Report::default();
    for seed in [1, 3] {
        let session = Session::record(seed, 8, &[]);
        let report = server::explore_recording(&session, &session.recording, &thinly(seed));
        println!("{report}");
        assert!(report.violations.is_empty(), "{report}");
        total.add(report);
    }
    assert!(total.states >= 150, "{total}");
    assert!(total.recoveries > 0, "no server was started: {total}");
    assert!(total.recovery_states > 0, "no start-up was cut: {total}");
}

/// Where the fences are.
fn fences(recording: &Recording) -> Vec<u64> {
    trace::events(&recording.trace)
        .filter(|(_, event)| *event == Event::Fence)
        .map(|(position, _)| position as u64)
        .collect()
}

/// For each reply that waited for fences, the number of the last of them.
fn last_fences(recording: &Recording) -> Vec<usize> {
    let fences = fences(recording);
    let before = |position: u64| fences.partition_point(|fence| *fence < position);
    let steps = recording.steps.iter();
    steps
        .filter(|step| before(step.begun) < before(step.acknowledged))
        .map(|step| before(step.acknowledged) - 1)
        .collect()
}

/// The same session with every reply sent before the last fence that it waited for.
fn hastily(recording: &Recording) -> Recording {
    let fences = fences(recording);
    let mut steps = recording.steps.clone();
    for step in &mut steps {
        let before = fences.partition_point(|fence| *fence < step.acknowledged);
        let last = before.checked_sub(1).map_or(0, |nth| fences[nth]);
        step.acknowledged = last.max(step.begun);
    }
    Recording {
        base: recording.base.clone(),
        parts: recording.parts.clone(),
        trace: recording.trace.clone(),
        steps,
    }
}

fn mistakes_are_found() {
    const FLUSHES: usize = 4;
    let session = Session::record(3, 5, &[]);
    let right = &session.recording;
    let is_found = |recording: &Recording| {
        let report = server::explore_recording(&session, recording, &without_starts());
        !report.violations.is_empty()
    };
    assert!(!is_found(right), "without a mistake");
    assert!(is_found(&hastily(right)), "a reply that is too early");
    let count = |variants: &mut dyn Iterator<Item = Recording>| variants.filter(is_found).count();

    let waited_for = last_fences(right);
    let is_fence = |event: &Event| *event == Event::Fence;
    let fences = count(
        &mut waited_for
            .iter()
            .filter_map(|&nth| right.without(nth, is_fence)),
    );
    // Those of the commands, not those of the server's start.
    let is_flush = |event: &Event| matches!(event, Event::Flush(_));
    let start = &right.trace[..right.steps[0].begun as usize];
    let first = trace::events(start).filter(|(_, event)| is_flush(event));
    let first = first.count();
    let flushes =
        count(&mut (first..first + FLUSHES).filter_map(|nth| right.without(nth, is_flush)));
    println!(
        "{fences} of {} fences and {flushes} of {FLUSHES} flushes left out are noticed",
        waited_for.len()
    );
    // Some steps have changed nothing, and some flushes are of what recovery redoes.
    assert!(fences * 3 >= waited_for.len(), "fences that are left out");
    assert!(flushes > 0, "no flush that is left out is noticed");
}

/// With threads for I/O, a script or a transaction that CLIENT PAUSE held back is no group on Redis
/// 7.0: the module cannot see in time that its reply is sent. So a cut leaves a part of it; without
/// such threads, none does, nor on newer servers. The steps are given: of random ones, a seed need
/// not have any with two writes that change something, and without these there is no part.
fn a_part_of_a_group_is_found() {
    let word = |word: &str| word.as_bytes().to_vec();
    let words = |line: &&str| line.split(' ').map(word).collect();
    let writes = |lines: &[&str]| lines.iter().map(words).collect();
    for shape in [Shape::Script, Shape::Transaction] {
        let steps: [Sent; 2] = [
            (Way::Plain, Shape::One, writes(&["PM.SET first 1"])),
            (
                Way::Paused,
                shape,
                writes(&["PM.SET second 2", "PM.SETRANGE third 138348 end"]),
            ),
        ];
        let explored = |lines: &[&str]| {
            let session = Session::record_steps(&steps, lines);
            server::explore_recording(&session, &session.recording, &without_starts())
        };
        let whole = explored(&[]);
        assert!(whole.violations.is_empty(), "{shape:?}: {whole}");
        let report = explored(&["io-threads 2"]);
        if !Packaged::current().is_redis_7_0() {
            assert!(report.violations.is_empty(), "{shape:?}: {report}");
            continue;
        }
        let [violation] = &report.violations[..] else {
            panic!("nothing is found: {report}");
        };
        let step = format!("Paused {shape:?}");
        assert!(violation.message.contains(&step), "{report}");
    }
}

fn main() {
    explore::prepare_process();
    everything_acknowledged_is_there();
    mistakes_are_found();
    a_part_of_a_group_is_found();
}
