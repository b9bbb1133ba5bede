//! Sorted sets: elements with a name and a score, ordered by score and, where scores are equal, by the
//! bytes of the name.
//!
//! | encoding | what | see |
//! |---|---|---|
//! | 1 | up to 128 elements with names of up to 64 bytes: one packed object | `small.rs` |
//! | 2 | a counted B+tree by order, and a hash table by name | `large.rs`, `node.rs`, `tree.rs`, `edit.rs` |
//!
//! The limits are those of Redis's listpack encoding, and like there a sorted set that was large once
//! stays large. Scores are doubles, NaN excepted; a packed one turns minus zero into zero, as Redis does.
//!
//! A change of one element is one batch, and one fence in general. Changes of many are steps of one
//! atomic transaction, [`large::BATCH`] elements each.

mod bulk;
mod edit;
mod large;
mod node;
mod small;
mod tree;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tree_tests;

use super::Root;
use large::Large;
pub use node::Bound;
use node::{compare, damaged};
use pobj::{Pool, Result, Tx};
pub use small::COUNT_MAX as PACKED_MAX;
use small::Small;
use std::collections::HashSet;
use std::ops::Range;

/// An opened sorted set.
enum View<'p> {
    Empty,
    Small(Small<'p>),
    Large(Large),
}

impl<'p> View<'p> {
    #[inline]
    fn open(pool: &'p Pool, root: Root) -> Result<View<'p>> {
        match root.encoding() {
            _ if root == Root::EMPTY => Ok(View::Empty),
            small::ENCODING => Ok(View::Small(Small::open(pool, root)?)),
            large::ENCODING => Ok(View::Large(Large::open(pool, root)?)),
            _ => Err(damaged("an unknown encoding")),
        }
    }
}

/// Number of elements. O(1).
#[inline]
pub fn len(root: Root) -> u64 {
    match root.encoding() {
        small::ENCODING => small::len(root),
        large::ENCODING => large::len(root),
        _ => 0,
    }
}

/// The score of an element. O(1).
#[inline]
pub fn score(pool: &Pool, root: Root, name: &[u8]) -> Result<Option<f64>> {
    Ok(match View::open(pool, root)? {
        View::Empty => None,
        View::Small(small) => small.find(name)?.map(|(_, score)| score),
        View::Large(large) => large.find(pool, name)?.map(|(_, score)| score),
    })
}

/// The rank of an element: how many are before it. O(log n).
pub fn rank(pool: &Pool, root: Root, name: &[u8]) -> Result<Option<u64>> {
    match View::open(pool, root)? {
        View::Empty => Ok(None),
        View::Small(small) => Ok(small.find(name)?.map(|(rank, _)| rank as u64)),
        View::Large(large) => large.rank(pool, name),
    }
}

/// How many elements lie before the bound. O(log n).
pub fn rank_of(pool: &Pool, root: Root, bound: &Bound<'_>) -> Result<u64> {
    match View::open(pool, root)? {
        View::Empty => Ok(0),
        View::Small(small) => Ok(small.rank(bound)? as u64),
        View::Large(large) => large.tree.rank(pool, bound),
    }
}

/// An end of a range of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameEnd<'a> {
    /// Before all names.
    Min,
    /// After all names.
    Max,
    /// At this name, itself in the range.
    Including(&'a [u8]),
    /// At this name, itself not in the range.
    Excluding(&'a [u8]),
}

impl NameEnd<'_> {
    /// Whether a name is not below the range that begins here.
    fn admits_from(&self, name: &[u8]) -> bool {
        match *self {
            NameEnd::Min => true,
            NameEnd::Max => false,
            NameEnd::Including(end) => name >= end,
            NameEnd::Excluding(end) => name > end,
        }
    }

    /// Whether a name is not above the range that ends here.
    fn admits_to(&self, name: &[u8]) -> bool {
        match *self {
            NameEnd::Min => false,
            NameEnd::Max => true,
            NameEnd::Including(end) => name <= end,
            NameEnd::Excluding(end) => name < end,
        }
    }
}

/// The ranks of the elements whose names are in a range, without the first `skip` of them, which are the
/// last ones if `reverse`. O(log n).
///
/// All scores are supposed to be equal. Where they are not, the range is what Redis finds in a listpack:
/// seen from the side where it begins, all elements from the first in the range, and after those that
/// are skipped, up to the next that is beyond it. In a large sorted set the answer is then any range, as
/// in Redis.
pub fn name_range(
    pool: &Pool,
    root: Root,
    min: NameEnd<'_>,
    max: NameEnd<'_>,
    skip: u64,
    reverse: bool,
) -> Result<Range<u64>> {
    match View::open(pool, root)? {
        View::Empty => Ok(0..0),
        View::Small(small) => {
            let skip = usize::try_from(skip).unwrap_or(usize::MAX);
            let range = small_name_range(&small, min, max, skip, reverse)?;
            Ok(range.start as u64..range.end as u64)
        }
        View::Large(large) => {
            let tree = large.tree;
            let from = match min {
                NameEnd::Min => 0,
                NameEnd::Max => tree.len,
                NameEnd::Including(name) => tree.rank(pool, &Bound::BeforeName(name))?,
                NameEnd::Excluding(name) => tree.rank(pool, &Bound::AfterName(name))?,
            };
            let to = match max {
                NameEnd::Min => 0,
                NameEnd::Max => tree.len,
                NameEnd::Including(name) => tree.rank(pool, &Bound::AfterName(name))?,
                NameEnd::Excluding(name) => tree.rank(pool, &Bound::BeforeName(name))?,
            };
            Ok(narrow(from..to, skip, reverse))
        }
    }
}

/// A range without its first `skip` ranks, or its last ones if `reverse`.
pub fn narrow(range: Range<u64>, skip: u64, reverse: bool) -> Range<u64> {
    let len = range.end.saturating_sub(range.start);
    match len.checked_sub(skip) {
        None | Some(0) => 0..0,
        Some(left) if reverse => range.start..range.start + left,
        Some(left) => range.end - left..range.end,
    }
}

fn small_name_range(
    small: &Small<'_>,
    min: NameEnd<'_>,
    max: NameEnd<'_>,
    skip: usize,
    reverse: bool,
) -> Result<Range<usize>> {
    let n = small.len();
    let from = |i: usize| Ok::<_, pobj::Error>(min.admits_from(small.element(i)?.0));
    let to = |i: usize| Ok::<_, pobj::Error>(max.admits_to(small.element(i)?.0));
    if is_void(min, max) || !from(n - 1)? || !to(0)? {
        return Ok(0..0);
    }
    if reverse {
        let mut end = n;
        while end > 0 && !to(end - 1)? {
            end -= 1;
        }
        if end == 0 || !from(end - 1)? {
            return Ok(0..0);
        }
        end = end.saturating_sub(skip);
        let mut start = end;
        while start > 0 && from(start - 1)? {
            start -= 1;
        }
        return Ok(start..end);
    }
    let mut start = 0;
    while start < n && !from(start)? {
        start += 1;
    }
    if start == n || !to(start)? {
        return Ok(0..0);
    }
    start = start.saturating_add(skip).min(n);
    let mut end = start;
    while end < n && to(end)? {
        end += 1;
    }
    Ok(start..end)
}

/// Whether no name can be in the range.
fn is_void(min: NameEnd<'_>, max: NameEnd<'_>) -> bool {
    use NameEnd::{Excluding, Including, Max, Min};
    match (min, max) {
        (Max, _) | (_, Min) => true,
        (Including(a), Including(b)) => a > b,
        (Including(a) | Excluding(a), Including(b) | Excluding(b)) => a >= b,
        _ => false,
    }
}

/// A walk over elements, from [`walk`].
pub struct Walk<'p>(Way<'p>);

#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack")]
enum Way<'p> {
    /// The next index, and how many elements are left.
    Small(Small<'p>, usize, u64, bool),
    Large(tree::Walk<'p>),
    Over,
}

/// A walk that begins at the element of this rank, up or, if `reverse`, down. O(log n), then O(1) each.
pub fn walk(pool: &Pool, root: Root, rank: u64, reverse: bool) -> Result<Walk<'_>> {
    Ok(Walk(match View::open(pool, root)? {
        View::Small(small) if rank < small.len() as u64 => {
            let left = if reverse {
                rank + 1
            } else {
                small.len() as u64 - rank
            };
            Way::Small(small, rank as usize, left, reverse)
        }
        View::Large(large) => Way::Large(large.tree.walk(pool, rank, reverse)?),
        _ => Way::Over,
    }))
}

impl<'p> Walk<'p> {
    /// The next element's name and score; `None` at the end.
    #[inline]
    pub fn step(&mut self) -> Result<Option<(&'p [u8], f64)>> {
        match &mut self.0 {
            Way::Large(walk) => walk.next_member(),
            Way::Small(_, _, 0, _) | Way::Over => Ok(None),
            Way::Small(small, at, left, reverse) => {
                let element = small.element(*at)?;
                *at = if *reverse {
                    at.wrapping_sub(1)
                } else {
                    *at + 1
                };
                *left -= 1;
                Ok(Some(element))
            }
        }
    }
}

/// Visits the elements at a cursor and gives the next cursor; 0 is the start, and the end. Every element
/// that is there throughout is visited, whatever else changes; some may be visited twice.
pub fn scan<'p>(
    pool: &'p Pool,
    root: Root,
    cursor: u64,
    mut visit: impl FnMut(&'p [u8], f64),
) -> Result<u64> {
    match View::open(pool, root)? {
        View::Empty => Ok(0),
        View::Small(small) => {
            for (name, score) in small.elements()? {
                visit(name, score);
            }
            Ok(0)
        }
        View::Large(large) => large.scan(pool, cursor, visit),
    }
}

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
pub fn add(tx: &mut Tx<'_>, root: &mut Root, name: &[u8], score: f64, rule: Rule) -> Result<Added> {
    let view = View::open(tx, *root)?;
    let (old, place) = match &view {
        View::Empty => (None, None),
        View::Small(small) => match small.find(name)? {
            Some((at, score)) => (Some(score), Some(Ok(at))),
            None => (None, None),
        },
        View::Large(large) => match large.find(tx, name)? {
            Some((ptr, score)) => (Some(score), Some(Err(ptr))),
            None => (None, None),
        },
    };
    let count = match &view {
        View::Empty => Some(0),
        View::Small(small) => Some(small.len() as u64),
        View::Large(_) => None,
    };
    let added = rule.apply(score, old);
    match (added, place) {
        (Added::New(score), _) => match count {
            Some(count) if small::fits(count, name) => small::insert(tx, root, name, score)?,
            Some(_) => {
                let mut draft = Draft::of(tx, *root)?;
                draft.enlarge(tx, root, name, score)?;
            }
            None => large::insert(tx, root, name, score)?,
        },
        (Added::Changed(score), Some(Ok(at))) => small::update(tx, *root, at, score)?,
        (Added::Changed(score), Some(Err(ptr))) => {
            large::update(tx, root, ptr, name, old.unwrap_or(score), score)?;
        }
        _ => {}
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

    /// Writes the draft and one element more as a large sorted set, in place of a small (or no) one.
    /// Takes steps.
    fn enlarge(&mut self, tx: &mut Tx<'_>, root: &mut Root, name: &[u8], score: f64) -> Result<()> {
        self.insert(name.to_vec(), score);
        let new = large::build(tx, self.borrowed())?;
        destroy(tx, *root)?;
        *root = new;
        Ok(())
    }
}

/// Adds elements, or changes their scores, in this order, and tells `outcome` of each. O(log n) each;
/// takes steps in general. Ends at the first `NotANumber`.
pub fn add_all<'e>(
    tx: &mut Tx<'_>,
    root: &mut Root,
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
                    if !small::fits(draft.elements.len() as u64, name) {
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
pub fn remove<'e>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    names: impl ExactSizeIterator<Item = &'e [u8]>,
) -> Result<u64> {
    let mut removed = 0;
    for name in names {
        if removed > 0 {
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

/// Removes the elements of these ranks, which must be below the length. O(k log n) for k elements;
/// takes steps in general if they are many.
pub fn remove_range(tx: &mut Tx<'_>, root: &mut Root, ranks: Range<u64>) -> Result<()> {
    if ranks.is_empty() {
        return Ok(());
    }
    match View::open(tx, *root)? {
        View::Empty => Ok(()),
        View::Small(_) => small::remove(tx, root, ranks.start as usize, ranks.end as usize),
        View::Large(large) if ranks == (0..large.tree.len) => {
            large::destroy(tx, *root)?;
            *root = Root::EMPTY;
            Ok(())
        }
        View::Large(_) => {
            let mut left = ranks.end - ranks.start;
            while left > 0 {
                let count = left.min(large::BATCH as u64);
                large::remove_batch(tx, root, ranks.start, count as usize)?;
                left -= count;
                if left > 0 {
                    tx.step()?;
                }
            }
            Ok(())
        }
    }
}

/// Builds a sorted set of elements of different names, in ascending order. O(n); takes steps if it is
/// large.
pub fn build(tx: &mut Tx<'_>, elements: &[(&[u8], f64)]) -> Result<Root> {
    if elements.is_empty() {
        return Ok(Root::EMPTY);
    }
    debug_assert!(elements.is_sorted_by(|a, b| compare((a.1, a.0), (b.1, b.0)).is_lt()));
    let few = elements.len() <= small::COUNT_MAX;
    if few
        && elements
            .iter()
            .all(|(name, _)| name.len() <= small::NAME_MAX)
    {
        small::build(tx, elements)
    } else {
        large::build(tx, elements.iter().copied())
    }
}

/// Puts elements in the order of sorted sets. O(n log n).
pub fn sort<N: AsRef<[u8]>>(elements: &mut [(N, f64)]) {
    elements.sort_unstable_by(|a, b| compare((a.1, a.0.as_ref()), (b.1, b.0.as_ref())));
}

/// Whether freeing takes few steps.
pub fn is_small(root: Root) -> bool {
    const FEW: u64 = 64;
    root.encoding() != large::ENCODING || len(root) <= FEW
}

/// Frees everything the sorted set owns. O(n).
pub fn destroy(tx: &mut Tx<'_>, root: Root) -> Result<()> {
    match root.encoding() {
        _ if root == Root::EMPTY => Ok(()),
        small::ENCODING => small::destroy(tx, root),
        large::ENCODING => large::destroy(tx, root),
        _ => Err(damaged("an unknown encoding")),
    }
}

/// Frees a part in about `budget` frees; true, and the root empty, when nothing is left.
pub fn dismantle(tx: &mut Tx<'_>, root: &mut Root, budget: usize) -> Result<bool> {
    if root.encoding() == large::ENCODING {
        return large::dismantle(tx, root, budget);
    }
    destroy(tx, *root)?;
    *root = Root::EMPTY;
    Ok(true)
}

/// Bytes of the pool that the sorted set takes.
pub fn memory(pool: &Pool, root: Root) -> Result<u64> {
    match root.encoding() {
        small::ENCODING => pool.capacity(node::pointer::<u8>(root.value)?),
        large::ENCODING => large::memory(pool, root),
        _ => Ok(0),
    }
}

/// Gives elements, in this order, the scores that they would have if they had been added one after the
/// other to a sorted set that is packed as long as it can be: minus zero is lost until then.
pub fn settle(elements: &mut [(Vec<u8>, f64)]) {
    for (count, (name, score)) in elements.iter_mut().enumerate() {
        if !small::fits(count as u64, name) {
            break;
        }
        *score = small::plain(*score);
    }
}

/// Whether the sorted set is one packed object. O(1).
pub fn is_packed(root: Root) -> bool {
    root.encoding() == small::ENCODING
}

/// Makes a copy. O(n); takes steps if it is large.
pub fn copy(tx: &mut Tx<'_>, root: Root) -> Result<Root> {
    copy_without(tx, root, 0..0)
}

/// Makes a copy without the elements of these ranks. O(n) for n elements copied; takes steps if it is
/// large.
pub fn copy_without(tx: &mut Tx<'_>, root: Root, ranks: Range<u64>) -> Result<Root> {
    let mut elements: Vec<(Vec<u8>, f64)> = Vec::new();
    let mut take = |from: u64, count: u64| -> Result<()> {
        let mut walk = walk(tx, root, from, false)?;
        for _ in 0..count {
            let Some((name, score)) = walk.step()? else {
                break;
            };
            elements.push((name.to_vec(), score));
        }
        Ok(())
    };
    take(0, ranks.start)?;
    take(ranks.end, len(root).saturating_sub(ranks.end))?;
    let borrowed = elements
        .iter()
        .map(|(name, score)| (name.as_slice(), *score));
    match root.encoding() {
        _ if elements.is_empty() => Ok(Root::EMPTY),
        small::ENCODING => small::build(tx, &borrowed.collect::<Vec<_>>()),
        _ => large::build(tx, borrowed),
    }
}

/// Whether elements can be a sorted set: scores are numbers, the order is ascending, names differ.
pub fn is_sound<'e>(elements: impl Iterator<Item = (&'e [u8], f64)> + Clone) -> bool {
    let mut names = HashSet::new();
    elements
        .clone()
        .all(|(name, score)| !score.is_nan() && names.insert(name))
        && elements.is_sorted_by(|a, b| compare((a.1, a.0), (b.1, b.0)).is_lt())
}
