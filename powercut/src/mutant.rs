//! Recordings with one mistake each, as a program makes it that forgets a flush or mixes up an
//! order.
//!
//! An exploration that passes a mutant shows that what was changed is not needed, or not checked.

use std::fmt;
use std::ops::Range;

use crate::recording::Step;
use crate::trace::{self, Event};
use crate::{LineNumber, Recording};

/// What is wrong with a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A flush of this line is left out.
    FlushLeftOut(LineNumber),
    /// A fence is left out.
    FenceLeftOut,
    /// A store to this line, with its flush, comes before the fence that was before it.
    StoreAheadOfFence(LineNumber),
    /// A store to this line, with its flush, is left out.
    StoreLeftOut(LineNumber),
    /// Two lines, the last one stored to before a fence and the first one behind it, change places.
    StoresSwapped(LineNumber, LineNumber),
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mutation::FlushLeftOut(line) => write!(f, "flush of line {line:#x} left out"),
            Mutation::FenceLeftOut => write!(f, "fence left out"),
            Mutation::StoreAheadOfFence(line) => {
                write!(f, "store to line {line:#x} ahead of a fence")
            }
            Mutation::StoreLeftOut(line) => write!(f, "store to line {line:#x} left out"),
            Mutation::StoresSwapped(a, b) => write!(f, "stores to lines {a:#x} and {b:#x} swapped"),
        }
    }
}

/// A step with one mistake.
pub struct Mutant {
    /// The mistake.
    pub mutation: Mutation,
    /// The number of the first event of the step that differs.
    pub event: usize,
    /// The number of the event that it is about.
    at: usize,
    step: usize,
    /// The fences where it can show, for [`crate::Config::fences`].
    pub fences: Range<usize>,
}

/// Steps after a mistake in which it can still show: what one leaves to the next is little.
const STEPS_AFTER: usize = 2;

impl Recording {
    /// All mutants of the step `step`.
    ///
    /// # Panics
    /// If there is no such step.
    pub fn mutants(&self, step: usize) -> Vec<Mutant> {
        let (events, fences) = (self.events(step), self.fences_after(step));
        let all =
            (0..events.len()).flat_map(|at| mutations(&events, at).map(move |found| (at, found)));
        let mutants = all.map(|(at, (mutation, event))| Mutant {
            mutation,
            event,
            at,
            step,
            fences: fences.clone(),
        });
        mutants.collect()
    }

    /// What happens in the step `step`.
    ///
    /// # Panics
    /// If there is no such step.
    pub fn events(&self, step: usize) -> Vec<Event> {
        let Step {
            begun,
            acknowledged,
        } = self.steps[step];
        let events = trace::events(&self.trace[begun as usize..acknowledged as usize]);
        events.map(|(_, event)| event).collect()
    }

    /// The fences, for [`crate::Config::fences`], where a mistake in the step `step` can show: its
    /// own and those of the next.
    ///
    /// # Panics
    /// If there is no such step.
    pub fn fences_after(&self, step: usize) -> Range<usize> {
        let begun = self.steps[step].begun as usize;
        let last = (step + STEPS_AFTER).min(self.steps.len() - 1);
        let fences = |bytes: &[u8]| {
            let events = trace::events(bytes);
            events.filter(|(_, event)| *event == Event::Fence).count()
        };
        let first_fence = fences(&self.trace[..begun]);
        let until = self.steps[last].acknowledged as usize;
        first_fence..first_fence + fences(&self.trace[begun..until]) + 1
    }

    /// The recording with a mutant in place of its step.
    pub fn with(&self, mutant: &Mutant) -> Recording {
        let events = mutated(&self.events(mutant.step), mutant);
        self.with_events(mutant.step, &events)
    }

    /// The recording with these events in place of the step `step`.
    ///
    /// # Panics
    /// If there is no such step.
    pub fn with_events(&self, step: usize, events: &[Event]) -> Recording {
        let Step {
            begun,
            acknowledged,
        } = self.steps[step];
        let mut trace = self.trace[..begun as usize].to_vec();
        events.iter().for_each(|event| event.write(&mut trace));
        let (end_before, end) = (acknowledged, trace.len() as u64);
        trace.extend(&self.trace[acknowledged as usize..]);
        let moved = |at: u64| {
            if at >= end_before {
                at - end_before + end
            } else {
                at
            }
        };
        let steps = self.steps.iter().enumerate().map(|(nth, it)| Step {
            begun: if nth <= step {
                it.begun
            } else {
                moved(it.begun)
            },
            acknowledged: moved(it.acknowledged),
        });
        Recording {
            base: self.base.clone(),
            parts: self.parts.clone(),
            steps: steps.collect(),
            trace,
        }
    }
}

/// The mutations of the event at `at`: each with the number of the first event that differs.
fn mutations(events: &[Event], at: usize) -> impl Iterator<Item = (Mutation, usize)> + use<> {
    let [first, second] = match events[at] {
        // Another flush of the line before the fence does what this one does.
        Event::Flush(line) if is_flushed_again(&events[at + 1..], line) => [None, None],
        Event::Flush(line) => [Some((Mutation::FlushLeftOut(line), at)), None],
        Event::Fence => {
            let swapped = around(events, at)
                .map(|((first, a), (_, b))| (Mutation::StoresSwapped(a, b), first));
            [Some((Mutation::FenceLeftOut, at)), swapped]
        }
        Event::Store(line, _) => {
            let ahead = fence_before(events, at, line)
                .map(|fence| (Mutation::StoreAheadOfFence(line), fence));
            [Some((Mutation::StoreLeftOut(line), at)), ahead]
        }
        Event::Sent(..) | Event::Grown(_) => [None, None],
    };
    first.into_iter().chain(second)
}

/// The events of a step with the mutation of a mutant of it.
fn mutated(events: &[Event], mutant: &Mutant) -> Vec<Event> {
    let (mut rest, at) = (events.to_vec(), mutant.at);
    match mutant.mutation {
        Mutation::FlushLeftOut(_) | Mutation::FenceLeftOut => {
            rest.remove(at);
        }
        Mutation::StoreLeftOut(line) => {
            take_store(&mut rest, at, line);
        }
        Mutation::StoreAheadOfFence(line) => {
            let moved = take_store(&mut rest, at, line);
            rest.splice(mutant.event..mutant.event, moved);
        }
        Mutation::StoresSwapped(..) => {
            if let Some(((first, a), (second, b))) = around(events, at) {
                // The later one first, so that positions before it stay what they are.
                let later = take_store(&mut rest, second, b);
                let earlier = take_store(&mut rest, first, a);
                let second = second - earlier.len();
                rest.splice(second..second, earlier);
                rest.splice(first..first, later);
            }
        }
    }
    rest
}

/// The last fence before the store to `line` at `at`, if no other store to it is in between: the
/// store in front of it makes a difference.
fn fence_before(events: &[Event], at: usize, line: LineNumber) -> Option<usize> {
    let fence = events[..at]
        .iter()
        .rposition(|event| *event == Event::Fence)?;
    let mut between = events[fence..at].iter();
    (!between.any(|event| is_store_to(event, line))).then_some(fence)
}

/// The last line stored before the fence at `fence` and the first one behind it, with the places of
/// the stores.
fn around(events: &[Event], fence: usize) -> Option<((usize, LineNumber), (usize, LineNumber))> {
    let line_of = |at: usize| match events[at] {
        Event::Store(line, _) => Some((at, line)),
        _ => None,
    };
    let before = (0..fence).rev().find_map(line_of)?;
    let behind = (fence..events.len()).find_map(line_of)?;
    let is_one = before.1 == behind.1 || events[before.0..fence].contains(&Event::Fence);
    (!is_one).then_some((before, behind))
}

fn is_flushed_again(events: &[Event], line: LineNumber) -> bool {
    let ends = |event: &&Event| **event == Event::Fence || **event == Event::Flush(line);
    events.iter().find(ends) == Some(&Event::Flush(line))
}

fn is_store_to(event: &Event, line: LineNumber) -> bool {
    matches!(event, Event::Store(stored, _) if *stored == line)
}

/// Takes out the store at `at` and the next flush of its line, unless a fence comes first.
fn take_store(events: &mut Vec<Event>, at: usize, line: LineNumber) -> Vec<Event> {
    let mut taken = vec![events.remove(at)];
    let ends = |event: &Event| *event == Event::Fence || *event == Event::Flush(line);
    if let Some(next) = events[at..].iter().position(ends)
        && events[at + next] == Event::Flush(line)
    {
        taken.push(events.remove(at + next));
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use Event::*;

    const A: Event = Store(1, [1; 64]);
    const B: Event = Store(2, [2; 64]);

    /// One step: A, then B, each durable before the next.
    fn recording() -> Recording {
        let mut trace = Vec::new();
        for event in [A, Flush(1), Fence, B, Flush(2), Fence, Fence] {
            event.write(&mut trace);
        }
        let len = trace.len() as u64;
        let step = |begun, acknowledged| Step {
            begun,
            acknowledged,
        };
        Recording {
            base: vec![0; 4096],
            parts: None,
            steps: vec![step(0, len - 1), step(len - 1, len)],
            trace,
        }
    }

    fn mutant(mutation: Mutation) -> Vec<Event> {
        let mutants = recording().mutants(0);
        let mutant = mutants.iter().find(|it| it.mutation == mutation);
        let recording = recording().with(mutant.expect("it is one of them"));
        assert_eq!(recording.steps[0].acknowledged, recording.steps[1].begun);
        assert_eq!(
            recording.steps[1].acknowledged,
            recording.trace.len() as u64
        );
        trace::events(&recording.trace)
            .map(|(_, event)| event)
            .collect()
    }

    #[test]
    fn a_step_has_a_mutant_for_each_flush_fence_and_order() {
        let mutants = recording().mutants(0);
        assert_eq!(mutants.len(), 2 + 2 + 2 + 1 + 1);
        assert!(mutants.iter().all(|mutant| mutant.fences == (0..4)));
    }

    #[test]
    fn what_is_left_out_is_gone() {
        let events = mutant(Mutation::FlushLeftOut(2));
        assert_eq!(events, [A, Flush(1), Fence, B, Fence, Fence]);
        let events = mutant(Mutation::StoreLeftOut(2));
        assert_eq!(events, [A, Flush(1), Fence, Fence, Fence]);
        let events = mutant(Mutation::FenceLeftOut);
        assert_eq!(events, [A, Flush(1), B, Flush(2), Fence, Fence]);
    }

    #[test]
    fn a_store_comes_ahead_of_the_fence_with_its_flush() {
        let events = mutant(Mutation::StoreAheadOfFence(2));
        assert_eq!(events, [A, Flush(1), B, Flush(2), Fence, Fence, Fence]);
    }

    #[test]
    fn swapped_stores_change_places() {
        let events = mutant(Mutation::StoresSwapped(1, 2));
        assert_eq!(events, [B, Flush(2), Fence, A, Flush(1), Fence, Fence]);
    }
}
