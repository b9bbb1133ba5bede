//! Changes: elements added, moved and removed, in the form that the sorted set has or needs.

use super::node::compare;
use super::{View, destroy, dismantle, garbage, large, small};
use crate::structures::Root;
use crate::structures::limits::ZSetLimits;
use pobj::{Pool, Result, Tx};
use std::ops::Range;

/// Under which conditions [`add`] changes something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Only elements that are not there (NX).
    pub only_new: bool,
    /// Only elements that are there (XX).
    pub only_old: bool,
    /// Elements that are there, only if the score rises (GT).
    pub only_up: bool,
    /// Elements that are there, only if the score falls (LT).
    pub only_down: bool,
    /// The score is added to the one that is there.
    pub increment: bool,
    /// How many elements come together, if a packed sorted set that has no room for so many is to
    /// become large with the first new one; else with the one it has no room for.
    pub expected: u64,
}

/// What [`add`] did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Added {
    /// The element is new, with this score.
    New(f64),
    /// The element has this score now.
    Changed(f64),
    /// The element had this score already.
    Same(f64),
    /// The rule forbids the change.
    Refused,
    /// The sum is not a number; nothing is changed.
    NotANumber,
}

impl Rule {
    /// What becomes of an element whose score was `old`.
    pub fn apply(self, given: f64, old: Option<f64>) -> Added {
        let Some(old) = old else {
            return if self.only_old {
                Added::Refused
            } else {
                Added::New(given)
            };
        };
        if self.only_new {
            return Added::Refused;
        }
        let score = if self.increment { old + given } else { given };
        match () {
            _ if score.is_nan() => Added::NotANumber,
            _ if self.only_up && score <= old || self.only_down && score >= old => Added::Refused,
            _ if score == old => Added::Same(score),
            _ => Added::Changed(score),
        }
    }
}

/// Adds an element, or changes its score. O(log n).
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors).
pub fn add(
    tx: &mut Tx<'_>,
    root: &mut Root,
    limits: ZSetLimits,
    name: &[u8],
    score: f64,
    rule: Rule,
) -> Result<Added> {
    let mut added = Added::Refused;
    let mut decide = |old| {
        added = rule.apply(score, old);
        match added {
            Added::New(score) | Added::Changed(score) => Some(score),
            _ => None,
        }
    };
    if large::is_large(*root) {
        let guess = (!rule.increment).then_some(score);
        large::add(tx, root, name, guess, decide)?;
        return Ok(added);
    }
    let (count, place) = match View::open(tx, *root)? {
        View::Small(small) => (small.len() as u64, small.find(name)?),
        _ => (0, None),
    };
    match (decide(place.map(|(_, old)| old)), place) {
        (None, _) => {}
        (Some(score), Some((at, _))) => small::update(tx, *root, at, score)?,
        (Some(score), None) if limits.admit(count, name.len()) => {
            small::insert(tx, root, name, score)?
        }
        (Some(score), None) => Draft::of(tx, *root)?.enlarge(tx, root, name, score)?,
    }
    Ok(added)
}

/// A small sorted set in DRAM, while several changes are made to it.
struct Draft {
    /// Ascending.
    elements: Vec<(Vec<u8>, f64)>,
}

impl Draft {
    fn of(pool: &Pool, root: Root) -> Result<Draft> {
        let elements = match View::open(pool, root)? {
            View::Small(small) => small.elements()?,
            _ => Vec::new(),
        };
        let own = |(name, score): (&[u8], f64)| (name.to_vec(), score);
        Ok(Draft {
            elements: elements.into_iter().map(own).collect(),
        })
    }

    fn find(&self, name: &[u8]) -> Option<usize> {
        self.elements.iter().position(|(found, _)| found == name)
    }

    fn insert(&mut self, name: Vec<u8>, score: f64) {
        let before = |(n, s): &(Vec<u8>, f64)| compare((*s, n), (score, &name)).is_lt();
        let at = self.elements.partition_point(before);
        self.elements.insert(at, (name, score));
    }

    fn borrowed(&self) -> impl ExactSizeIterator<Item = (&[u8], f64)> {
        self.elements
            .iter()
            .map(|(name, score)| (name.as_slice(), *score))
    }

    /// Writes the draft in place of a small (or no) sorted set.
    fn write(&self, tx: &mut Tx<'_>, root: &mut Root) -> Result<()> {
        let elements: Vec<_> = self.borrowed().collect();
        let new = small::build(tx, &elements)?;
        destroy(tx, *root)?;
        *root = new;
        Ok(())
    }

    /// Writes the draft and one element more as a large sorted set, in place of a small (or no)
    /// one. Takes steps.
    fn enlarge(&mut self, tx: &mut Tx<'_>, root: &mut Root, name: &[u8], score: f64) -> Result<()> {
        self.insert(name.to_vec(), score);
        let new = large::build(tx, self.borrowed())?;
        destroy(tx, *root)?;
        *root = new;
        Ok(())
    }
}

/// Adds elements, or changes their scores, in this order, and tells `outcome` of each. O(log n)
/// each; takes steps in general. Ends at the first `NotANumber`.
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors).
pub fn add_all<'e>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    limits: ZSetLimits,
    elements: impl Iterator<Item = (&'e [u8], f64)>,
    rule: Rule,
    mut outcome: impl FnMut(Added),
) -> Result<()> {
    let mut elements = elements.peekable();
    if !matches!(View::open(tx, *root)?, View::Large(_)) {
        let mut draft = Draft::of(tx, *root)?;
        let mut changed = false;
        loop {
            let Some((name, given)) = elements.next() else {
                return if changed {
                    draft.write(tx, root)
                } else {
                    Ok(())
                };
            };
            let at = draft.find(name);
            let added = rule.apply(given, at.map(|at| draft.elements[at].1));
            outcome(added);
            match (added, at) {
                (Added::New(score), _) => {
                    let coming = (draft.elements.len() as u64).max(rule.expected.saturating_sub(1));
                    if !limits.admit(coming, name.len()) {
                        draft.enlarge(tx, root, name, score)?;
                        tx.step()?;
                        break;
                    }
                    draft.insert(name.to_vec(), small::plain(score));
                    changed = true;
                }
                (Added::Changed(score), Some(at)) => {
                    let (name, _) = draft.elements.remove(at);
                    draft.insert(name, small::plain(score));
                    changed = true;
                }
                _ => {}
            }
        }
    }
    let mut batch: Vec<(&[u8], f64)> = Vec::with_capacity(large::BATCH);
    while elements.peek().is_some() {
        batch.clear();
        while batch.len() < large::BATCH
            && let Some(element) =
                elements.next_if(|(name, _)| batch.iter().all(|(other, _)| other != name))
        {
            batch.push(element);
        }
        large::add_batch(tx, root, &batch, |given, old| {
            let added = rule.apply(given, old);
            outcome(added);
            match added {
                Added::New(score) | Added::Changed(score) => Some(score),
                _ => None,
            }
        })?;
        if elements.peek().is_some() {
            tx.step()?;
        }
    }
    Ok(())
}

/// Removes the elements of these names; says how many there were. O(log n) each; takes steps in
/// general if there are several names.
///
/// # Errors
/// [`Damaged`, `Full`](crate::structures#errors).
pub fn remove<'e>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    names: impl ExactSizeIterator<Item = &'e [u8]>,
) -> Result<u64> {
    tx.removes();
    if names.len() > 1 && root.encoding() == small::ENCODING {
        return remove_from_small(tx, root, names);
    }
    let mut removed = 0;
    for name in names {
        if removed > 0 && *root != Root::EMPTY {
            tx.step()?;
        }
        match View::open(tx, *root)? {
            View::Empty => break,
            View::Small(small) => {
                if let Some((at, _)) = small.find(name)? {
                    small::remove(tx, root, at, at + 1)?;
                    removed += 1;
                }
            }
            View::Large(_) => removed += u64::from(large::remove(tx, root, name)?),
        }
    }
    Ok(removed)
}

/// Removes several elements of a small sorted set, as one batch.
fn remove_from_small<'e>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    names: impl Iterator<Item = &'e [u8]>,
) -> Result<u64> {
    let mut draft = Draft::of(tx, *root)?;
    let before = draft.elements.len();
    for name in names {
        if let Some(at) = draft.find(name) {
            draft.elements.remove(at);
        }
    }
    let removed = before - draft.elements.len();
    if draft.elements.is_empty() {
        destroy(tx, *root)?;
        *root = Root::EMPTY;
    } else if removed > 0 {
        draft.write(tx, root)?;
    }
    Ok(removed as u64)
}

/// Takes the first element, or the last one, and gives its name and score; `None` if there is none.
/// O(log n).
///
/// # Errors
/// [`Damaged`, `Full`](crate::structures#errors).
pub fn pop(tx: &mut Tx<'_>, root: &mut Root, last: bool) -> Result<Option<(Vec<u8>, f64)>> {
    tx.removes();
    if large::is_large(*root) {
        return large::pop(tx, root, last).map(Some);
    }
    let View::Small(small) = View::open(tx, *root)? else {
        return Ok(None);
    };
    let at = if last { small.len() - 1 } else { 0 };
    let (name, score) = small.element(at)?;
    let name = name.to_vec();
    small::remove(tx, root, at, at + 1)?;
    Ok(Some((name, score)))
}

/// How many elements a range removal frees at once; those of a longer range are garbage until
/// [`Structure::clean`](crate::structures::Structure::clean) has freed them. Few in tests, so that
/// these meet garbage often.
const FREED_MAX: u64 = if cfg!(test) { 20 } else { 256 };

/// Removes the elements of these ranks, which must be below the length. O(log n), and O(log n) for
/// each element of a short range. A sorted set of which nothing is left but garbage is over; see
/// [`is_over`](super::is_over).
///
/// # Errors
/// [`Damaged`, `Full`](crate::structures#errors).
pub fn remove_range(tx: &mut Tx<'_>, root: &mut Root, ranks: Range<u64>) -> Result<()> {
    tx.removes();
    let count = ranks.end.saturating_sub(ranks.start);
    match View::open(tx, *root)? {
        _ if count == 0 => Ok(()),
        View::Empty => Ok(()),
        View::Small(_) => small::remove(tx, root, ranks.start as usize, ranks.end as usize),
        View::Large(_) if count > FREED_MAX => garbage::remove_range(tx, root, ranks),
        View::Large(large) if count == large.tree.len && !garbage::has_garbage(*root) => {
            dismantle::destroy(tx, *root)?;
            *root = Root::EMPTY;
            Ok(())
        }
        View::Large(large) if count == 1 && (ranks.start == 0 || ranks.end == large.tree.len) => {
            large::pop(tx, root, ranks.start > 0).map(drop)
        }
        View::Large(_) => {
            let mut left = count;
            while left > 0 {
                let batch = left.min(large::BATCH as u64);
                large::remove_batch(tx, root, ranks.start, batch as usize)?;
                left -= batch;
                if left > 0 {
                    tx.step()?;
                }
            }
            Ok(())
        }
    }
}

/// Builds a sorted set of elements of different names, in ascending order. O(n); takes steps if it
/// is large.
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors).
pub fn build(tx: &mut Tx<'_>, limits: ZSetLimits, elements: &[(&[u8], f64)]) -> Result<Root> {
    if elements.is_empty() {
        return Ok(Root::EMPTY);
    }
    debug_assert!(elements.is_sorted_by(|a, b| compare((a.1, a.0), (b.1, b.0)).is_lt()));
    let others = elements.len() as u64 - 1;
    if elements
        .iter()
        .all(|(name, _)| limits.admit(others, name.len()))
    {
        small::build(tx, elements)
    } else {
        large::build(tx, elements.iter().copied())
    }
}
