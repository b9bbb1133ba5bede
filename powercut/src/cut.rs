//! What a power cut can leave: chosen contents for the lines that are not durable.
//!
//! If the combinations of whole and torn contents of all pending lines are few, all are taken. Else
//! the telling ones come first, where a mistake shows most clearly:
//! * nothing or everything survives;
//! * everything but one line, which finds a flush that was left out;
//! * one line alone, which finds a line that is published before what it refers to;
//! * everything that was stored up to a moment, as if there were no cache;
//!
//! and then random ones, with many or few survivors, some of them torn.

use std::collections::HashSet;

use fastrand::Rng;

use crate::model::{Memory, Pending, Survivors};
use crate::{Line, LineNumber};

const WORD_BYTES: usize = 8;

/// At most `count` different outcomes of a cut now, the first always the one where nothing
/// survives.
///
/// The second of the result is whether these are all outcomes that the model allows.
pub fn outcomes(memory: &Memory, count: usize, rng: &mut Rng) -> (Vec<Survivors>, bool) {
    match every_outcome(memory, count) {
        Some(outcomes) => (outcomes, true),
        None => (chosen_outcomes(memory, count, rng), false),
    }
}

/// All outcomes, unless there are more than `count`.
fn every_outcome(memory: &Memory, count: usize) -> Option<Vec<Survivors>> {
    let mut outcomes: Vec<Survivors> = vec![vec![]];
    for (&line, pending) in memory.pending() {
        let options = line_outcomes(memory.durable_line(line), pending, count)?;
        if outcomes.len() * (options.len() + 1) > count {
            return None;
        }
        let without = outcomes.clone();
        for contents in options {
            outcomes.extend(without.iter().map(|others| {
                let mut survivors = others.clone();
                survivors.push((line, contents));
                survivors
            }));
        }
    }
    Some(outcomes)
}

/// All contents, other than the durable ones, that a cut can leave in a line, unless there are more
/// than `count`.
fn line_outcomes(durable: &Line, pending: &Pending, count: usize) -> Option<Vec<Line>> {
    let mut outcomes = Vec::new();
    let mut before = durable;
    for version in pending.versions() {
        let changed = changed_words(before, &version.contents);
        if changed.len() >= usize::BITS as usize - 1 || 1 << changed.len() > count {
            return None;
        }
        for subset in 1..1_usize << changed.len() {
            let chosen = changed
                .iter()
                .enumerate()
                .filter(|(bit, _)| subset >> bit & 1 == 1);
            let torn = mixed(before, &version.contents, chosen.map(|(_, word)| *word));
            if torn != *durable && !outcomes.contains(&torn) {
                outcomes.push(torn);
            }
        }
        before = &version.contents;
    }
    Some(outcomes)
}

/// `count` different outcomes, the telling ones first; fewer if it is hard to find more.
fn chosen_outcomes(memory: &Memory, count: usize, rng: &mut Rng) -> Vec<Survivors> {
    let mut found = Distinct::default();
    found.add(vec![]);
    found.add(survivors(memory, |_, pending| last(pending)));

    let mut telling: Vec<Telling> = telling(memory).collect();
    rng.shuffle(&mut telling);
    // A third is left to chance, so that long sequences see torn and mixed lines as well.
    telling.truncate((count * 2 / 3).saturating_sub(found.outcomes.len()));
    for one in telling {
        found.add(one.outcome(memory));
    }

    let tries_max = 4 * count;
    for _ in 0..tries_max {
        if found.outcomes.len() >= count {
            break;
        }
        let survival = *rng.choice(&[0.1, 0.5, 0.9]).expect("not empty");
        found.add(survivors(memory, |line, pending| {
            (rng.f64() < survival)
                .then(|| random_contents(memory, line, pending, rng))
                .flatten()
        }));
    }
    found.outcomes.truncate(count);
    found.outcomes
}

/// An outcome in which a mistake shows clearly. There may be tens of thousands of them, each as
/// long.
enum Telling {
    /// Everything survives but this line.
    AllBut(LineNumber),
    /// This line survives alone.
    Only(LineNumber),
    /// Everything that was stored up to this moment survives.
    Until(u64),
}

fn telling(memory: &Memory) -> impl Iterator<Item = Telling> {
    let lines = memory.pending().keys();
    let versions = memory.pending().values().flat_map(Pending::versions);
    lines
        .flat_map(|&line| [Telling::AllBut(line), Telling::Only(line)])
        .chain(versions.map(|version| Telling::Until(version.stored)))
}

impl Telling {
    fn outcome(&self, memory: &Memory) -> Survivors {
        survivors(memory, |line, pending| match *self {
            Telling::AllBut(one) => (line != one).then(|| last(pending)).flatten(),
            Telling::Only(one) => (line == one).then(|| last(pending)).flatten(),
            Telling::Until(moment) => {
                let versions = pending.versions().iter();
                let stored = versions.take_while(|version| version.stored <= moment);
                stored.last().map(|version| version.contents)
            }
        })
    }
}

/// The outcome in which each line has the contents that `choose` gives, or the durable ones.
fn survivors(
    memory: &Memory,
    mut choose: impl FnMut(LineNumber, &Pending) -> Option<Line>,
) -> Survivors {
    let pending = memory.pending().iter();
    pending
        .filter_map(|(&line, it)| Some((line, choose(line, it)?)))
        .collect()
}

fn last(pending: &Pending) -> Option<Line> {
    pending.versions().last().map(|version| version.contents)
}

/// One version, or a mix of it and the one before; `None` for the durable contents.
fn random_contents(
    memory: &Memory,
    line: LineNumber,
    pending: &Pending,
    rng: &mut Rng,
) -> Option<Line> {
    let versions = pending.versions();
    let chosen = rng.usize(..versions.len());
    let contents = &versions[chosen].contents;
    let is_torn = rng.u8(..4) == 0;
    if !is_torn {
        return Some(*contents);
    }
    let durable = memory.durable_line(line);
    let before = if chosen == 0 {
        durable
    } else {
        &versions[chosen - 1].contents
    };
    let words = changed_words(before, contents)
        .into_iter()
        .filter(|_| rng.bool());
    let torn = mixed(before, contents, words);
    (torn != *durable).then_some(torn)
}

/// Which words of a line differ.
fn changed_words(before: &Line, after: &Line) -> Vec<usize> {
    let words = before
        .chunks(WORD_BYTES)
        .zip(after.chunks(WORD_BYTES))
        .enumerate();
    words
        .filter(|(_, (before, after))| before != after)
        .map(|(word, _)| word)
        .collect()
}

/// `before`, with the given words from `after`.
fn mixed(before: &Line, after: &Line, words: impl Iterator<Item = usize>) -> Line {
    let mut line = *before;
    for word in words {
        let bytes = word * WORD_BYTES..(word + 1) * WORD_BYTES;
        line[bytes.clone()].copy_from_slice(&after[bytes]);
    }
    line
}

/// Outcomes without repetition, in the order of their finding.
#[derive(Default)]
struct Distinct {
    outcomes: Vec<Survivors>,
    seen: HashSet<Survivors>,
}

impl Distinct {
    fn add(&mut self, outcome: Survivors) {
        if self.seen.insert(outcome.clone()) {
            self.outcomes.push(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LINE_BYTES;
    use crate::trace::Event::{self, *};

    const LINES: usize = 32;

    fn line(words: &[(usize, u8)]) -> Line {
        let mut line = [0; LINE_BYTES];
        words
            .iter()
            .for_each(|&(word, value)| line[word * WORD_BYTES] = value);
        line
    }

    fn memory_after(events: &[Event]) -> Memory {
        let mut memory = Memory::new(vec![0; LINES * LINE_BYTES]);
        events.iter().for_each(|event| memory.apply(event));
        memory
    }

    fn sorted(mut outcomes: Vec<Survivors>) -> Vec<Survivors> {
        outcomes.sort();
        outcomes
    }

    #[test]
    fn nothing_pending_leaves_one_outcome() {
        let memory = memory_after(&[Store(1, line(&[(0, 1)])), Flush(1), Fence]);
        let mut rng = Rng::with_seed(1);
        assert_eq!(outcomes(&memory, 100, &mut rng), (vec![vec![]], true));
    }

    #[test]
    fn two_lines_survive_independently() {
        let (a, b) = (line(&[(0, 1)]), line(&[(7, 2)]));
        // The first is flushed but not fenced, the second may have been evicted.
        let memory = memory_after(&[Store(1, a), Flush(1), Store(2, b)]);
        let (found, all) = outcomes(&memory, 100, &mut Rng::with_seed(1));
        assert!(all);
        assert_eq!(
            sorted(found),
            [vec![], vec![(1, a)], vec![(1, a), (2, b)], vec![(2, b)]]
        );
    }

    #[test]
    fn a_line_is_torn_between_words_and_never_within() {
        let both = line(&[(2, 1), (5, 9)]);
        let memory = memory_after(&[Store(1, both)]);
        let (found, all) = outcomes(&memory, 100, &mut Rng::with_seed(1));
        assert!(all);
        let torn = [line(&[(5, 9)]), line(&[(2, 1)])];
        let expected = [
            vec![],
            vec![(1, torn[0])],
            vec![(1, torn[1])],
            vec![(1, both)],
        ];
        assert_eq!(sorted(found), sorted(expected.to_vec()));
    }

    #[test]
    fn versions_of_a_line_keep_their_order() {
        let (first, second) = (line(&[(0, 1)]), line(&[(0, 1), (1, 1)]));
        let memory = memory_after(&[Store(1, first), Store(1, second)]);
        let (found, all) = outcomes(&memory, 100, &mut Rng::with_seed(1));
        assert!(all);
        // Word 1 alone is impossible: it was stored after word 0 had been seen.
        assert_eq!(sorted(found), [vec![], vec![(1, first)], vec![(1, second)]]);
    }

    #[test]
    fn many_lines_give_the_telling_outcomes_and_random_ones() {
        let stores: Vec<_> = (0..20)
            .map(|n| Store(n, [n as u8 + 1; LINE_BYTES]))
            .collect();
        let memory = memory_after(&stores);
        let (found, all) = outcomes(&memory, 200, &mut Rng::with_seed(7));
        assert!(!all);
        assert_eq!(found.len(), 200);
        assert_eq!(
            found.iter().collect::<HashSet<_>>().len(),
            200,
            "no repetition"
        );
        for telling in telling(&memory) {
            assert!(found.contains(&telling.outcome(&memory)));
        }
        let is_torn = |(_, contents): &(_, Line)| contents.iter().any(|it| *it != contents[0]);
        assert!(found.iter().flatten().any(is_torn));
    }

    #[test]
    fn a_seed_gives_the_same_outcomes_again() {
        let stores: Vec<_> = (0..20)
            .map(|n| Store(n, [n as u8 + 1; LINE_BYTES]))
            .collect();
        let memory = memory_after(&stores);
        let of_seed = |seed| outcomes(&memory, 50, &mut Rng::with_seed(seed)).0;
        assert_eq!(of_seed(3), of_seed(3));
        assert_ne!(of_seed(3), of_seed(4));
    }
}
