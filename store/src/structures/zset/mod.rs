//! Sorted sets: elements with a name and a score, ordered by score and, where scores are equal, by
//! the bytes of the name.
//!
//! | encoding | what | see |
//! |---|---|---|
//! | 1 | up to 128 elements with names of up to 64 bytes: one packed object | `small.rs` |
//! | 2 | a counted B+tree by order, and a hash table by name | `large.rs`, `node.rs`, `tree.rs`, `single.rs`, `edit.rs`, `bulk.rs` |
//! | 3 | the same, with members that are still to be freed | `garbage.rs` |
//!
//! The limits are those of Redis's listpack encoding, and like there a sorted set that was large
//! once stays large. Scores are doubles, NaN excepted; a packed one turns minus zero into zero, as
//! Redis does.
//!
//! A change of one element is one batch, and one fence in general. Changes of many are steps of one
//! atomic transaction, [`large::BATCH`] elements each.

mod algebra;
mod bulk;
mod change;
mod check;
mod dismantle;
mod edit;
mod garbage;
mod head;
mod large;
mod node;
mod range;
mod relocate;
mod single;
mod small;
mod structure;
mod tree;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tree_tests;

use super::limits::ZSetLimits;
use super::{Root, room_at_first};
use crate::damaged::damaged;
use crate::value::ValueType;
pub use algebra::{Aggregate, Elements, Source, count_common, evaluate};
pub use change::{Added, Rule, add, add_all, build, pop, remove, remove_range};
pub use garbage::{has_garbage, is_over};
use large::Large;
pub use large::table_to_prefetch;
pub use node::Bound;
use node::compare;
use pobj::{Pool, Result, Tx};
pub use range::{ScoreEnd, Skip, Span, at_rank, from_end, select};
use small::Small;
use std::collections::HashSet;
use std::ops::Range;
pub use structure::Type;

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
            head::PLAIN | head::WITH_GARBAGE => Ok(View::Large(Large::open(pool, root)?)),
            _ => Err(root.unknown(ValueType::ZSet)),
        }
    }
}

/// Number of elements. O(1).
#[inline]
pub fn len(root: Root) -> u64 {
    match root.encoding() {
        small::ENCODING => small::len(root),
        head::PLAIN | head::WITH_GARBAGE => large::len(root),
        _ => 0,
    }
}

/// The score of an element. O(1).
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
#[inline]
pub fn score(pool: &Pool, root: Root, name: &[u8]) -> Result<Option<f64>> {
    Ok(match View::open(pool, root)? {
        View::Empty => None,
        View::Small(small) => small.find(name)?.map(|(_, score)| score),
        View::Large(large) => large.find(pool, name)?.map(|(_, score)| score),
    })
}

/// The rank of an element: how many are before it. O(log n).
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
pub fn rank(pool: &Pool, root: Root, name: &[u8]) -> Result<Option<u64>> {
    match View::open(pool, root)? {
        View::Empty => Ok(None),
        View::Small(small) => Ok(small.find(name)?.map(|(rank, _)| rank as u64)),
        View::Large(large) => large.rank(pool, name),
    }
}

/// How many elements lie before the bound. O(log n).
pub(crate) fn rank_of(pool: &Pool, root: Root, bound: &Bound<'_>) -> Result<u64> {
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

/// The ranks of the elements whose names are in a range, without the first `skip` of them, which
/// are the last ones if `reverse`. O(log n).
///
/// All scores are supposed to be equal. Where they are not, nothing is in a range that the last
/// element is below, or the first one beyond, as in Redis; else the range is what Redis finds in a
/// listpack: seen from the side where it begins, all elements from the first in the range, and
/// after those that are skipped, up to the next that is beyond it. In a large sorted set the answer
/// is then any range, as in Redis: it depends on the tree's shape ([`Span::is_told_by_content`]).
pub(crate) fn name_range(
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
            if is_void(min, max) || !large_reaches(pool, tree, min, max)? {
                return Ok(0..0);
            }
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
pub(crate) fn narrow(range: Range<u64>, skip: u64, reverse: bool) -> Range<u64> {
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

/// Whether the last element of a tree is not below a range, nor the first one beyond it. O(log n).
fn large_reaches(
    pool: &Pool,
    tree: tree::Tree,
    min: NameEnd<'_>,
    max: NameEnd<'_>,
) -> Result<bool> {
    let name_at_end = |last| {
        let place = tree.end(pool, last)?;
        let element = pool.get(place.path.leaf)?.element(place.at)?;
        node::name_of(pool, element.member)
    };
    Ok((min == NameEnd::Min || min.admits_from(name_at_end(true)?))
        && (max == NameEnd::Max || max.admits_to(name_at_end(false)?)))
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
    /// The words of order of what is to come, and whether from their end.
    Small(Small<'p>, &'p [small::Slot], bool),
    Large(tree::Walk<'p>),
    Over,
}

/// A walk that begins at the element of this rank, up or, if `reverse`, down. O(log n), then O(1)
/// each.
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
pub fn walk(pool: &Pool, root: Root, rank: u64, reverse: bool) -> Result<Walk<'_>> {
    Ok(Walk(match View::open(pool, root)? {
        View::Small(small) if rank < small.len() as u64 => {
            let rank = rank as usize;
            let to_come = if reverse {
                0..rank + 1
            } else {
                rank..small.len()
            };
            Way::Small(small, small.slots(to_come), reverse)
        }
        View::Large(large) => Way::Large(large.tree.walk(pool, rank, reverse)?),
        _ => Way::Over,
    }))
}

impl<'p> Walk<'p> {
    /// The next element's name and score; `None` at the end.
    ///
    /// # Errors
    /// [`Damaged`](crate::structures#errors).
    #[inline]
    pub fn step(&mut self) -> Result<Option<(&'p [u8], f64)>> {
        match &mut self.0 {
            Way::Large(walk) => walk.next_member(),
            Way::Small(small, slots, reverse) => {
                let slot = if *reverse {
                    slots.split_off_last()
                } else {
                    slots.split_off_first()
                };
                match slot {
                    Some(&slot) => Ok(Some(small.element_of(slot)?)),
                    None => Ok(None),
                }
            }
            Way::Over => Ok(None),
        }
    }

    /// The names and scores of the next `count` elements. O(count).
    ///
    /// # Errors
    /// `Damaged` if there are fewer.
    pub fn some(&mut self, count: u64) -> Result<Vec<(&'p [u8], f64)>> {
        let mut elements = Vec::with_capacity(room_at_first(count));
        self.each(count, |name, score| elements.push((name, score)))?;
        Ok(elements)
    }

    /// Shows `visit` the names and scores of the next `count` elements. O(count); cheaper than
    /// steps.
    ///
    /// # Errors
    /// `Damaged` if there are fewer.
    #[inline]
    pub fn each(&mut self, count: u64, mut visit: impl FnMut(&'p [u8], f64)) -> Result<()> {
        if let Way::Large(walk) = &mut self.0 {
            return walk.each(count, visit);
        }
        for _ in 0..count {
            let element = self.step()?;
            let (name, score) =
                element.ok_or_else(|| damaged("a sorted set: a walk beyond its end"))?;
            visit(name, score);
        }
        Ok(())
    }
}

/// Visits the elements at a cursor and gives the next cursor; 0 is the start, and the end. Every
/// element that is there throughout is visited, whatever else changes; some may be visited twice.
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
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

/// Puts elements in the order of sorted sets. O(n log n).
pub fn sort<N: AsRef<[u8]>>(elements: &mut [(N, f64)]) {
    elements.sort_unstable_by(|a, b| compare((a.1, a.0.as_ref()), (b.1, b.0.as_ref())));
}

/// Frees everything the sorted set owns. O(n).
fn destroy(tx: &mut Tx<'_>, root: Root) -> Result<()> {
    match root.encoding() {
        _ if root == Root::EMPTY => Ok(()),
        small::ENCODING => small::destroy(tx, root),
        head::PLAIN | head::WITH_GARBAGE => dismantle::destroy(tx, root),
        _ => Err(root.unknown(ValueType::ZSet)),
    }
}

/// Frees a part in about `budget` frees; true, and the root empty, when nothing is left.
fn dismantle_part(tx: &mut Tx<'_>, root: &mut Root, budget: usize) -> Result<bool> {
    if large::is_large(*root) {
        return dismantle::dismantle(tx, root, budget);
    }
    destroy(tx, *root)?;
    *root = Root::EMPTY;
    Ok(true)
}

/// Gives elements, in this order, the scores that they would have if they had been added one after
/// the other to a sorted set that is packed as long as it can be: minus zero is lost until then.
pub fn plain_while_packed(limits: ZSetLimits, elements: &mut [(Vec<u8>, f64)]) {
    for (count, (name, score)) in elements.iter_mut().enumerate() {
        if !limits.admit(count as u64, name.len()) {
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
///
/// # Errors
/// [`Damaged`, `Full`](crate::structures#errors).
pub fn copy(tx: &mut Tx<'_>, root: Root) -> Result<Root> {
    let mut elements: Vec<(Vec<u8>, f64)> = Vec::new();
    let mut walk = walk(tx, root, 0, false)?;
    while let Some((name, score)) = walk.step()? {
        elements.push((name.to_vec(), score));
    }
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
