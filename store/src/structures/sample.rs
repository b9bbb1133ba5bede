//! Random elements of a collection: how many are wanted, and choosing them.

use super::{room_at_first, whole};
use crate::damaged::damaged;
use pobj::Result;
use std::collections::HashSet;
use std::hash::Hash;
use std::ops::ControlFlow;

/// A collection of less than this many times the wanted elements is better shuffled than drawn
/// from.
const SHUFFLE_BELOW: u64 = 3;

/// The kind of choice that a count asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// So many, each from all elements.
    Repeated(u64),
    /// Each element once.
    All,
    /// So many different ones, fewer than there are.
    Some(u64),
}

impl Choice {
    /// The choice of `count` from `len` elements.
    pub fn of(count: i64, len: u64) -> Choice {
        let wanted = count.unsigned_abs();
        match len {
            0 => Choice::All,
            _ if count < 0 => Choice::Repeated(wanted),
            _ if wanted >= len => Choice::All,
            _ => Choice::Some(wanted),
        }
    }
}

/// The elements that were chosen, each of which could be read.
pub enum Chosen<T> {
    /// These.
    These(Vec<T>),
    /// So many, each one of these.
    Repeated(usize, Vec<T>),
}

impl<T: Copy> Chosen<T> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Chosen::These(elements) => elements.len(),
            Chosen::Repeated(count, _) => *count,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shows them to `show`, until it breaks off.
    pub fn each(self, mut show: impl FnMut(T) -> ControlFlow<()>) -> ControlFlow<()> {
        match self {
            Chosen::These(elements) => elements.into_iter().try_for_each(show),
            Chosen::Repeated(count, elements) => {
                (0..count).try_for_each(|_| show(elements[fastrand::usize(..elements.len())]))
            }
        }
    }
}

/// Chooses from `len` elements, which `all` walks over and `one` draws from.
///
/// # Errors
/// `Damaged` if there are not as many; what `all` and `one` fail with.
pub fn choose<T: Copy + Eq + Hash, I: Iterator<Item = Result<T>>>(
    choice: Choice,
    len: u64,
    all: impl FnOnce() -> Result<I>,
    one: impl Fn() -> Result<T>,
) -> Result<Chosen<T>> {
    Ok(match choice {
        Choice::All => Chosen::These(whole(len, all()?)?),
        Choice::Some(count) => Chosen::These(distinct(count, len, all, one)?),
        // More draws than elements: having all is less than having all draws, of which a client may
        // want 2^62.
        Choice::Repeated(count) if count >= len => {
            Chosen::Repeated(count as usize, whole(len, all()?)?)
        }
        Choice::Repeated(count) => Chosen::These((0..count).map(|_| one()).collect::<Result<_>>()?),
    })
}

/// `count` different elements of `len`, each such choice with the same probability: out of `all`,
/// or drawn `one` by one.
///
/// # Errors
/// Those of `all` and `one`; `Damaged` if there are fewer elements than `len`.
pub fn distinct<T: Copy + Eq + Hash, I: Iterator<Item = Result<T>>>(
    count: u64,
    len: u64,
    all: impl FnOnce() -> Result<I>,
    one: impl Fn() -> Result<T>,
) -> Result<Vec<T>> {
    if count.saturating_mul(SHUFFLE_BELOW) > len {
        let mut elements = whole(len, all()?)?;
        fastrand::Rng::new().shuffle(&mut elements);
        elements.truncate(count as usize);
        return Ok(elements);
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut seen = HashSet::with_capacity(room_at_first(count));
    let mut chosen = Vec::with_capacity(room_at_first(count));
    // At most a third is taken, so that two of three draws are new: this many are not, only if
    // there are fewer elements than `len`.
    for _ in 0..count.saturating_mul(10).saturating_add(1000) {
        let element = one()?;
        if seen.insert(element) {
            chosen.push(element);
            if chosen.len() as u64 == count {
                return Ok(chosen);
            }
        }
    }
    Err(damaged("fewer elements than counted"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn every_choice_is_equally_likely() {
        // Drawn one by one, and shuffled.
        for (count, len) in [(0u64, 6u64), (1, 6), (2, 6), (3, 6), (5, 6)] {
            let all = || Ok((0..len).map(Ok));
            let mut hits: HashMap<Vec<u64>, u32> = HashMap::new();
            for _ in 0..6000 {
                let mut chosen = distinct(count, len, all, || Ok(fastrand::u64(..len))).unwrap();
                chosen.sort_unstable();
                chosen.dedup();
                assert_eq!(chosen.len() as u64, count);
                *hits.entry(chosen).or_default() += 1;
            }
            let choices = [1, 6, 15, 20, 15, 6][count as usize];
            assert_eq!(hits.len(), choices);
            let expected = 6000.0 / choices as f64;
            for (chosen, hits) in hits {
                let off = (f64::from(hits) - expected).abs() / expected.sqrt();
                assert!(off < 6.0, "{chosen:?}: {hits} of {expected}");
            }
        }
    }

    #[test]
    fn showing_ends_when_told() {
        for chosen in [
            Chosen::These((0..10).collect()),
            Chosen::Repeated(usize::MAX, vec![1, 2]),
        ] {
            let mut shown = 0;
            let ended = chosen.each(|_: u64| {
                shown += 1;
                if shown == 5 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            assert_eq!((shown, ended), (5, ControlFlow::Break(())));
        }
    }

    #[test]
    fn a_collection_that_lacks_elements_is_no_endless_loop() {
        let all = || Ok(std::iter::empty());
        assert!(distinct(2, 100, all, || Ok(1)).is_err());
    }
}
