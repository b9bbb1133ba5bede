//! From a long failing sequence to the few commands that matter (delta debugging).

use super::{Sequence, Word};

/// How many runs a failure is worth.
const RUNS_MAX: usize = 3000;

/// Makes `sequence` as small as it gets while `fails` still says that it fails.
pub fn shrink(sequence: Sequence, mut fails: impl FnMut(&Sequence) -> bool) -> Sequence {
    let mut runs = 0;
    let mut smallest = sequence;
    let mut attempt = |smallest: &mut Sequence, smaller: Sequence| {
        runs += 1;
        let better = runs <= RUNS_MAX && fails(&smaller);
        if better {
            *smallest = smaller;
        }
        better
    };
    loop {
        let mut changed = drop_steps(&mut smallest, &mut attempt);
        changed |= drop_words(&mut smallest, &mut attempt);
        changed |= simplify_words(&mut smallest, &mut attempt);
        if !changed {
            return smallest;
        }
    }
}

/// Leaves out halves, quarters, ... single steps.
fn drop_steps(
    smallest: &mut Sequence,
    attempt: &mut impl FnMut(&mut Sequence, Sequence) -> bool,
) -> bool {
    let mut changed = false;
    let mut chunk = smallest.steps.len().div_ceil(2);
    while chunk > 0 {
        let mut end = smallest.steps.len();
        // From the end: a step needs those before it rather than those after it.
        while end > 0 {
            let start = end.saturating_sub(chunk);
            let mut smaller = smallest.clone();
            smaller.steps.drain(start..end);
            changed |= attempt(smallest, smaller);
            end = start;
        }
        chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
    }
    changed
}

/// Leaves out single arguments.
fn drop_words(
    smallest: &mut Sequence,
    attempt: &mut impl FnMut(&mut Sequence, Sequence) -> bool,
) -> bool {
    let mut changed = false;
    for step in 0..smallest.steps.len() {
        for word in (0..smallest.steps[step].words.len()).rev() {
            let mut smaller = smallest.clone();
            smaller.steps[step].words.remove(word);
            changed |= attempt(smallest, smaller);
        }
    }
    changed
}

/// Replaces data by shorter and plainer data.
fn simplify_words(
    smallest: &mut Sequence,
    attempt: &mut impl FnMut(&mut Sequence, Sequence) -> bool,
) -> bool {
    let mut changed = false;
    for step in 0..smallest.steps.len() {
        for word in 0..smallest.steps[step].words.len() {
            let Word::Data(mut bytes) = smallest.steps[step].words[word].clone() else {
                continue;
            };
            while let Some(plainer) = simpler(&bytes).into_iter().find(|plainer| {
                let mut smaller = smallest.clone();
                smaller.steps[step].words[word] = Word::Data(plainer.clone());
                attempt(smallest, smaller)
            }) {
                bytes = plainer;
                changed = true;
            }
        }
    }
    changed
}

/// Candidates for a replacement of `bytes`, each of them strictly simpler, the simplest first.
fn simpler(bytes: &[u8]) -> Vec<Vec<u8>> {
    let rank = |bytes: &[u8]| (bytes.len(), bytes.iter().filter(|&&b| b != b'0').count());
    let half = bytes.len() / 2;
    let shorter = bytes.len().saturating_sub(1);
    let candidates = [
        Vec::new(),
        b"0".to_vec(),
        b"1".to_vec(),
        b"a".to_vec(),
        bytes[..half].to_vec(),
        bytes[half..].to_vec(),
        bytes[..shorter].to_vec(),
    ];
    candidates
        .into_iter()
        .filter(|candidate| rank(candidate) < rank(bytes))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::generate::sequence;
    use crate::differential::tables::STRING;

    #[test]
    fn what_does_not_matter_goes_away() {
        let is_large_append = |step: &crate::differential::Step| {
            let large = |word: &Word| matches!(word, Word::Data(bytes) if bytes.len() > 5);
            step.spec.name == "APPEND" && step.words.iter().any(large)
        };
        let fails = |sequence: &Sequence| {
            let names: Vec<_> = sequence.steps.iter().map(|step| step.spec.name).collect();
            let get = names.iter().position(|name| *name == "GET");
            get.is_some_and(|at| sequence.steps[at..].iter().any(is_large_append))
        };
        let found = (0..1000)
            .map(|seed| sequence(&STRING, seed))
            .find(|s| fails(s));
        let shrunk = shrink(
            found.expect("some sequence has a GET before an APPEND"),
            fails,
        );
        let names: Vec<_> = shrunk.steps.iter().map(|step| step.spec.name).collect();
        assert_eq!(names, ["GET", "APPEND"]);
        assert!(shrunk.steps[0].words.is_empty());
        assert!(matches!(&shrunk.steps[1].words[..], [Word::Data(bytes)] if bytes.len() == 6));
    }
}
