//! What a workload did to a pool, and when each of its steps was acknowledged.

use std::fs;
use std::path::Path;

use crate::files::{self, Parts};
use crate::interpose;
use crate::process;
use crate::recorder::Recorder;
use crate::trace::{self, Event};

/// Operations on a pool, to be recorded.
pub trait Workload {
    /// Makes the pool file, and leaves it closed. Not recorded: cuts begin after it.
    fn prepare(&self, pool: &Path);

    /// Opens the pool and works on it, each operation within [`Steps::step`].
    fn run(&self, pool: &Path, steps: &mut Steps);
}

/// The steps of a workload, as they happen.
#[derive(Default)]
pub struct Steps(Vec<Step>);

/// When a step took place, as positions in the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where the trace ended before the step began.
    pub begun: u64,
    /// Where the trace ended when the step was acknowledged.
    pub acknowledged: u64,
}

impl Steps {
    /// Does an operation; when `operation` returns, it is acknowledged: a later cut must not undo
    /// it.
    pub fn step<T>(&mut self, operation: impl FnOnce() -> T) -> T {
        let begun = interpose::position();
        let result = operation();
        self.0.push(Step {
            begun,
            acknowledged: interpose::position(),
        });
        result
    }
}

/// How far a workload had come when the power was cut. Steps are one after the other, so at most
/// one has begun without being acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Progress {
    /// Steps acknowledged: their effects must be there.
    pub acknowledged: usize,
    /// Steps begun: the effects of one that is not acknowledged are wholly there or wholly absent.
    pub begun: usize,
}

/// A workload's life on a pool.
pub struct Recording {
    /// The pool's bytes at the beginning.
    pub base: Vec<u8>,
    /// The parts they lie in, unless that is a plain file.
    pub parts: Option<Parts>,
    /// What happened to them (see [`crate::trace`]).
    pub trace: Vec<u8>,
    /// When the steps took place, in order.
    pub steps: Vec<Step>,
}

impl Recording {
    /// Runs a workload in a child process, with files in `directory`, which should be on tmpfs.
    ///
    /// # Panics
    /// If the workload panics or dies, or if this process has more than one thread.
    pub fn of(workload: &impl Workload, directory: &Path) -> Recording {
        let pool = directory.join("recorded.pool");
        let (trace, steps) = (
            directory.join("recorded.trace"),
            directory.join("recorded.steps"),
        );
        let preparation = process::fork(|| workload.prepare(&pool));
        preparation.wait().expect("the pool can be prepared");
        let base = files::read(&pool).expect("the pool was made");
        let parts = Parts::of(&pool).expect("the pool was made");

        let run = process::fork(|| {
            let recorder = Recorder::new(&pool, &trace).expect("the pool can be recorded");
            interpose::observe(Some(Box::new(recorder)));
            let mut done = Steps::default();
            workload.run(&pool, &mut done);
            drop(interpose::observe(None));
            fs::write(&steps, encode(&done.0)).expect("the steps can be written");
        });
        run.wait().expect("the workload can be run");
        let recording = Recording {
            base,
            parts,
            trace: fs::read(&trace).expect("the trace was written"),
            steps: decode(&fs::read(&steps).expect("the steps were written")),
        };
        for file in [trace, steps] {
            fs::remove_file(file).expect("the recording's files are there");
        }
        files::remove(&pool).expect("the pool is there");
        recording
    }

    /// The recording of a program with the `n`th event (from 0) that `which` picks left out; `None`
    /// if there are not that many. A flush or fence that can be left out unnoticed is not needed,
    /// or not checked.
    pub fn without(&self, n: usize, which: impl Fn(&Event) -> bool) -> Option<Recording> {
        let (trace, removed) = trace::without(&self.trace, n, which)?;
        let len = removed.len() as u64;
        let moved = |at: u64| {
            if at >= removed.end as u64 {
                at - len
            } else {
                at
            }
        };
        let steps = self.steps.iter().map(|step| Step {
            begun: moved(step.begun),
            acknowledged: moved(step.acknowledged),
        });
        Some(Recording {
            base: self.base.clone(),
            parts: self.parts.clone(),
            trace,
            steps: steps.collect(),
        })
    }

    /// How far the workload had come at a position of the trace.
    pub fn progress(&self, position: u64) -> Progress {
        Progress {
            acknowledged: self
                .steps
                .partition_point(|step| step.acknowledged <= position),
            begun: self.steps.partition_point(|step| step.begun <= position),
        }
    }
}

fn encode(steps: &[Step]) -> Vec<u8> {
    let words = steps
        .iter()
        .flat_map(|step| [step.begun, step.acknowledged]);
    words.flat_map(u64::to_le_bytes).collect()
}

fn decode(bytes: &[u8]) -> Vec<Step> {
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
    bytes
        .chunks_exact(2 * size_of::<u64>())
        .map(|step| Step {
            begun: word(&step[..8]),
            acknowledged: word(&step[8..]),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 2] = [
        Step {
            begun: 0,
            acknowledged: 10,
        },
        Step {
            begun: 10,
            acknowledged: 30,
        },
    ];

    #[test]
    fn steps_survive_the_way_through_a_file() {
        assert_eq!(decode(&encode(&STEPS)), STEPS);
    }

    #[test]
    fn a_step_is_in_flight_from_its_beginning_to_its_acknowledgement() {
        let recording = Recording {
            base: vec![],
            parts: None,
            trace: vec![],
            steps: STEPS.to_vec(),
        };
        let at = |position| {
            let progress = recording.progress(position);
            (progress.acknowledged, progress.begun)
        };
        assert_eq!(
            [at(0), at(9), at(10), at(29), at(30)],
            [(0, 1), (0, 1), (1, 2), (1, 2), (2, 2)]
        );
    }
}
