//! The nodes of a large sorted set's tree, and its members.
//!
//! ```text
//! member, an entry of the table: 12 bytes and the name
//!  0  4  len       of the name, bytes
//!  4  8  score     f64
//! 12     name
//!
//! leaf, 512 bytes: up to 30 slots, in no order
//!  0 30  order     slot numbers: those of the elements, ascending by (score, name), then the free ones
//! 30  2  reserved  zero
//! 32     30 times: score f64, member pointer
//!
//! inner node, 2024 bytes: up to 63 children, ascending
//!   0  8  n         children
//!   8     63 times  score of the first element below the child
//! 512     63 times  pointer to that element's member
//! 1016    63 times  number of elements below the child
//! 1520    63 times  pointer to the child
//! ```
//!
//! How many elements a leaf has is said by its parent (by the value's root, if there is no parent).
//! So one more element costs a leaf its slot and a few bytes of order, and each node above one
//! word.
//!
//! The first element below a node's first child is not kept up to date there: the separator that
//! counts is in the nearest ancestor where the path goes through another child than the first.

use crate::damaged::damaged;
use crate::layout::DATA;
use bytemuck::{Pod, Zeroable};
use pobj::{Error, PPtr, Pool, Result, Tx};
use static_assertions::const_assert_eq;
use std::cmp::Ordering;
use std::hint::black_box;
use std::mem::{offset_of, size_of};
use std::ops::Range;

/// Most elements of a leaf.
pub(crate) const LEAF_MAX: usize = 30;
/// Below so many elements a leaf is joined with a neighbour, or takes some from it.
pub(crate) const LEAF_MIN: usize = 10;
/// Most children of an inner node.
pub(crate) const INNER_MAX: usize = 63;
/// Below so many children an inner node is joined with a neighbour, or takes some from it.
pub(crate) const INNER_MIN: usize = 20;

/// The fixed part of a member.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Member {
    len: u32,
    /// Low and high half of the score's bits; so the whole needs no padding.
    score: [u32; 2],
}
const_assert_eq!(size_of::<Member>(), 12);
const_assert_eq!(offset_of!(Member, len), 0);

/// A pointer to a member.
pub(super) type MemberPtr = PPtr<Member>;

/// Where a member's name begins.
pub(crate) const NAME_AT: u64 = size_of::<Member>() as u64;

impl Member {
    /// The score.
    #[inline]
    pub(super) fn score(&self) -> f64 {
        f64::from_bits(u64::from(self.score[0]) | u64::from(self.score[1]) << 32)
    }

    /// Makes a member in the running transaction.
    pub(super) fn create(tx: &mut Tx<'_>, name: &[u8], score: f64) -> Result<MemberPtr> {
        /// Up to so many bytes are filled in at once.
        const AT_ONCE: usize = 128;
        let len = u32::try_from(name.len()).map_err(|_| Error::TooLarge(name.len() as u64))?;
        let ptr = tx.alloc(NAME_AT + u64::from(len), DATA)?;
        let bits = score.to_bits();
        let head = Member {
            len,
            score: [bits as u32, (bits >> 32) as u32],
        };
        let (mut bytes, at) = ([0u8; AT_ONCE], size_of::<Member>());
        match bytes.get_mut(..at + name.len()) {
            Some(bytes) => {
                bytes[..at].copy_from_slice(bytemuck::bytes_of(&head));
                bytes[at..].copy_from_slice(name);
                tx.fill(ptr, bytes)?;
            }
            None => {
                tx.fill_value(ptr.cast(), &head)?;
                tx.fill(ptr.at(NAME_AT), name)?;
            }
        }
        Ok(ptr.ptr().cast())
    }

    /// Changes the score. Logged.
    pub(crate) fn set_score(tx: &mut Tx<'_>, ptr: MemberPtr, score: f64) -> Result<()> {
        tx.write(
            ptr.at(offset_of!(Member, score) as u64),
            &score.to_le_bytes(),
        )
    }
}

/// The name and score of a member.
#[inline]
pub(super) fn member(pool: &Pool, ptr: MemberPtr) -> Result<(&[u8], f64)> {
    let head = pool.get(ptr)?;
    let name = pool.bytes(ptr.at(NAME_AT), u64::from(head.len))?;
    Ok((name, head.score()))
}

/// The name of the member that a node's word points to.
#[inline]
pub(crate) fn name_of(pool: &Pool, member: Option<MemberPtr>) -> Result<&[u8]> {
    let len: PPtr<u32> = there(member)?.cast();
    pool.bytes(len.at(NAME_AT), u64::from(*pool.get(len)?))
}

/// The pointer that a word on media holds, where it must hold one.
#[inline]
pub(super) fn there<T>(word: Option<PPtr<T>>) -> Result<PPtr<T>> {
    word.ok_or_else(|| damaged("a sorted set: a null pointer"))
}

/// A leaf or an inner node: the height tells which.
#[derive(Debug)]
pub(super) enum Node {}

/// A pointer to a node.
pub(super) type NodePtr = PPtr<Node>;

/// An element as leaves and separators hold it.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Element {
    /// The score, a copy of the member's.
    pub score: f64,
    /// The member, `None` only in a pool that is damaged.
    pub member: Option<MemberPtr>,
}

/// A place between elements, for searches.
#[derive(Clone, Copy, Debug)]
pub enum Bound<'a> {
    /// Before the elements of this score.
    BeforeScore(f64),
    /// After the elements of this score.
    AfterScore(f64),
    /// Before this name (all scores being equal).
    BeforeName(&'a [u8]),
    /// After this name (all scores being equal).
    AfterName(&'a [u8]),
    /// Just before this element.
    Before(f64, &'a [u8]),
    /// Just after this element.
    After(f64, &'a [u8]),
}

impl Bound<'_> {
    /// How many of `n` ascending elements lie before the place; `name` is asked for only where it
    /// decides.
    ///
    /// # Errors
    /// Those of `name`; `Damaged` if a place is not there.
    #[inline]
    pub fn search<'p>(
        &self,
        n: usize,
        score: impl Fn(usize) -> f64,
        name: impl Fn(usize) -> Result<&'p [u8]>,
    ) -> Result<usize> {
        let (at, bound, last) = match *self {
            Bound::BeforeScore(at) => return Ok(partition(n, |i| score(i) < at)),
            Bound::AfterScore(at) => return Ok(partition(n, |i| score(i) <= at)),
            Bound::BeforeName(bound) => {
                return try_partition(0..n, n.div_ceil(2), |i| Ok(name(i)? < bound));
            }
            Bound::AfterName(bound) => {
                return try_partition(0..n, n.div_ceil(2), |i| Ok(name(i)? <= bound));
            }
            Bound::Before(at, bound) => (at, bound, Ordering::Less),
            Bound::After(at, bound) => (at, bound, Ordering::Equal),
        };
        let first = partition(n, |i| score(i) < at);
        if first == n || score(first) != at {
            return Ok(first);
        }
        // Names decide among elements of this score, of which there is seldom more than one.
        try_partition(first..n, 1, |i| {
            Ok(score(i) == at && name(i)?.cmp(bound) <= last)
        })
    }
}

/// The first index below `n` for which `is_before`, true up to there, is false; else `n`. Without
/// branches on what it says: a processor cannot foretell how scores compare.
#[inline]
fn partition(n: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut left) = (0, n);
    while left > 1 {
        let half = left / 2;
        low = if is_before(low + half) {
            low + half
        } else {
            low
        };
        left -= half;
    }
    match left {
        0 => 0,
        _ => low + usize::from(is_before(low)),
    }
}

/// The first index of the range for which `is_before`, true up to there, is false; else its end. It
/// is looked for in steps of growing length, the first of `step`, of the range's length in half at
/// most.
fn try_partition(
    range: Range<usize>,
    mut step: usize,
    is_before: impl Fn(usize) -> Result<bool>,
) -> Result<usize> {
    let Range { mut start, mut end } = range;
    while start < end {
        let next = start + step - 1;
        if is_before(next)? {
            (start, step) = (next + 1, 2 * step)
        } else {
            end = next
        }
        step = step.min((end - start).div_ceil(2));
    }
    Ok(start)
}

/// The order of elements: by score, then by the names' bytes. Minus zero equals zero.
#[inline]
pub(super) fn compare(a: (f64, &[u8]), b: (f64, &[u8])) -> Ordering {
    a.0.partial_cmp(&b.0)
        .unwrap_or(Ordering::Equal)
        .then_with(|| a.1.cmp(b.1))
}

/// A leaf. See the byte map above.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Leaf {
    order: Order,
    reserved: [u8; 2],
    slots: [Element; LEAF_MAX],
}
const_assert_eq!(size_of::<Leaf>(), 512);

impl Leaf {
    /// A leaf of these elements, at most `LEAF_MAX`.
    pub(super) fn new(elements: &[Element]) -> Leaf {
        let mut leaf = Leaf::zeroed();
        leaf.order = std::array::from_fn(|i| i as u8);
        leaf.slots[..elements.len()].copy_from_slice(elements);
        leaf
    }

    /// The `i`-th element.
    #[inline]
    pub(super) fn element(&self, i: usize) -> Result<Element> {
        self.element_in(&self.order, i)
    }

    /// The `i`-th element in another order.
    #[inline]
    pub(crate) fn element_in(&self, order: &Order, i: usize) -> Result<Element> {
        let slot = *order
            .get(i)
            .ok_or_else(|| damaged("a sorted set: an index"))?;
        let element = self.slots.get(usize::from(slot));
        element
            .copied()
            .ok_or_else(|| damaged("a sorted set: a leaf's order"))
    }

    /// The numbers of the slots of these elements.
    #[inline]
    pub(super) fn order_of(&self, indices: Range<usize>) -> Result<&[u8]> {
        let slots = self.order.get(indices);
        slots.ok_or_else(|| damaged("a sorted set: an index"))
    }

    /// The slots, by their numbers.
    #[inline]
    pub(super) fn slots(&self) -> &[Element] {
        &self.slots
    }

    /// The score of the `i`-th element, which is to be below `LEAF_MAX`; any score if the order is
    /// damaged.
    #[inline]
    pub(super) fn score(&self, i: usize) -> f64 {
        let last = LEAF_MAX - 1;
        self.slots[usize::from(self.order[i.min(last)]).min(last)].score
    }

    /// The numbers of the slots: of those in use, ascending, and of the free ones.
    pub(super) fn order(&self) -> &Order {
        &self.order
    }

    /// How many of the `n` elements lie before the bound.
    #[inline]
    pub(super) fn search(&self, pool: &Pool, n: usize, bound: &Bound<'_>) -> Result<usize> {
        self.load();
        let name = |i| name_of(pool, self.element(i)?.member);
        bound.search(n, |i| self.score(i), name)
    }

    /// The index of an element among the `n` of the leaf.
    #[inline]
    pub(crate) fn index_of(&self, n: usize, element: Element) -> Option<usize> {
        self.load();
        let score = element.score;
        let first = partition(n, |i| self.score(i) < score);
        let is_it = |&i: &usize| {
            self.element(i)
                .is_ok_and(|found| found.member == element.member)
        };
        (first..n)
            .take_while(|&i| self.score(i) == score)
            .find(is_it)
    }

    /// Loads all lines of the leaf at once: a search alone would wait for one after the other.
    #[inline]
    fn load(&self) {
        const LINE_SLOTS: usize = 64 / size_of::<Element>();
        let lines = self.slots.iter().step_by(LINE_SLOTS);
        let word = |slot: &Element| slot.member.map_or(0, MemberPtr::offset);
        black_box(lines.fold(0, |sum, slot| sum ^ word(slot)));
    }

    /// Begins to load a leaf.
    #[inline]
    pub(super) fn prefetch(pool: &Pool, leaf: PPtr<Leaf>) {
        const LINE: usize = 64;
        (0..size_of::<Leaf>() as u64)
            .step_by(LINE)
            .for_each(|at| pool.prefetch(leaf.at::<u8>(at)));
    }

    /// The slot of this number of a leaf.
    #[inline]
    pub(super) fn slot(leaf: PPtr<Leaf>, slot: u8) -> Result<PPtr<Element>> {
        let slot = usize::from(slot);
        if slot >= LEAF_MAX {
            return Err(damaged("a sorted set: a leaf's order"));
        }
        Ok(leaf.at((offset_of!(Leaf, slots) + size_of::<Element>() * slot) as u64))
    }

    /// Puts an element at index `i` of `n`, which is below `LEAF_MAX`.
    pub(super) fn insert(&mut self, i: usize, n: usize, element: Element) -> Result<()> {
        let (slot, order) = order_with(&self.order, i, n)?;
        *self
            .slots
            .get_mut(usize::from(slot))
            .ok_or_else(|| damaged("a sorted set: a leaf's order"))? = element;
        self.order = order;
        Ok(())
    }

    /// Takes the element at index `i` of `n` out.
    pub(super) fn remove(&mut self, i: usize, n: usize) -> Result<Element> {
        let element = self.element(i)?;
        self.order = self.order_moved(i, n - 1)?;
        Ok(element)
    }

    /// Takes the first `count` elements of a full leaf out.
    pub(super) fn remove_first(&mut self, count: usize) {
        self.order.rotate_left(count);
    }

    /// The order if the slot at index `from` stood at index `to`.
    #[inline]
    pub(crate) fn order_moved(&self, from: usize, to: usize) -> Result<Order> {
        if from.max(to) >= LEAF_MAX {
            return Err(damaged("a sorted set: an index"));
        }
        let mut order = self.order;
        let slot = order[from];
        if from < to {
            order.copy_within(from + 1..to + 1, from)
        } else {
            order.copy_within(to..from, to + 1)
        }
        order[to] = slot;
        Ok(order)
    }
}

/// The numbers of a leaf's slots.
pub(super) type Order = [u8; LEAF_MAX];

/// The free slot that an element at index `i` of `n`, which is below `LEAF_MAX`, would get; and the
/// order then.
#[inline]
pub(crate) fn order_with(order: &Order, i: usize, n: usize) -> Result<(u8, Order)> {
    if i > n || n >= LEAF_MAX {
        return Err(damaged("a sorted set: a full leaf"));
    }
    let mut order = *order;
    let slot = order[n];
    order.copy_within(i..n, i + 1);
    order[i] = slot;
    Ok((slot, order))
}

/// An inner node. See the byte map above.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Inner {
    n: u64,
    scores: [f64; INNER_MAX],
    firsts: [Option<MemberPtr>; INNER_MAX],
    counts: [u64; INNER_MAX],
    children: [Option<NodePtr>; INNER_MAX],
}
const_assert_eq!(size_of::<Inner>(), 2024);

/// What an inner node says of a child.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    /// The first element below.
    pub first: Element,
    /// Number of elements below.
    pub count: u64,
    /// The node, `None` only in a pool that is damaged.
    pub node: Option<NodePtr>,
}

impl Inner {
    /// A node of these children, at most `INNER_MAX`.
    pub(super) fn new(children: &[Child]) -> Inner {
        let mut inner = Inner::zeroed();
        for (i, &child) in children.iter().enumerate() {
            inner.put(i, child);
        }
        inner.n = children.len() as u64;
        inner
    }

    /// The count of child `i` of a node.
    pub(crate) fn count(node: PPtr<Inner>, i: usize) -> PPtr<u64> {
        node.at(offset_of!(Inner, counts) as u64 + 8 * i as u64)
    }

    /// The pointer to child `i` of a node.
    pub(crate) fn link(node: PPtr<Inner>, i: usize) -> PPtr<Option<NodePtr>> {
        node.at(offset_of!(Inner, children) as u64 + 8 * i as u64)
    }

    /// The score and the member of the first element of child `i` of a node.
    pub(crate) fn first(node: PPtr<Inner>, i: usize) -> (PPtr<f64>, PPtr<Option<MemberPtr>>) {
        let at = 8 * i as u64;
        (
            node.at(offset_of!(Inner, scores) as u64 + at),
            node.at(offset_of!(Inner, firsts) as u64 + at),
        )
    }

    /// Number of children.
    #[inline]
    pub(super) fn len(&self) -> Result<usize> {
        match self.n {
            1..=63 => Ok(self.n as usize),
            _ => Err(damaged("a sorted set: an inner node's length")),
        }
    }

    /// What the node says of child `i`.
    #[inline]
    pub(super) fn child(&self, i: usize) -> Child {
        let first = Element {
            score: self.scores[i],
            member: self.firsts[i],
        };
        Child {
            first,
            count: self.counts[i],
            node: self.children[i],
        }
    }

    /// The numbers of elements below the children.
    #[inline]
    pub(super) fn counts(&self) -> Result<&[u64]> {
        Ok(&self.counts[..self.len()?])
    }

    fn put(&mut self, i: usize, child: Child) {
        self.scores[i] = child.first.score;
        self.firsts[i] = child.first.member;
        self.counts[i] = child.count;
        self.children[i] = child.node;
    }

    /// The child that a search for the bound goes to: the last one that begins before it.
    #[inline]
    pub(super) fn search(&self, pool: &Pool, bound: &Bound<'_>) -> Result<usize> {
        self.load();
        // The first child begins before everything.
        let n = self.len()?;
        let (scores, firsts) = (&self.scores[1..n], &self.firsts[1..n]);
        bound.search(n - 1, |i| scores[i], |i| name_of(pool, firsts[i]))
    }

    /// Loads all lines of the scores at once: a search alone would wait for one after the other.
    #[inline]
    fn load(&self) {
        let lines = self.scores.iter().step_by(64 / size_of::<f64>());
        black_box(lines.fold(0, |sum, score| sum ^ score.to_bits()));
    }

    /// Says of child `i` how many elements are below it.
    pub(crate) fn set_count(&mut self, i: usize, count: u64) {
        self.counts[i] = count;
    }

    /// Says of child `i` which element is its first.
    pub(crate) fn set_first(&mut self, i: usize, first: Element) {
        self.scores[i] = first.score;
        self.firsts[i] = first.member;
    }

    /// Puts a child at index `i`. There must be room.
    pub(super) fn insert(&mut self, i: usize, child: Child) -> Result<()> {
        let n = self.n as usize;
        if n >= INNER_MAX || i > n {
            return Err(damaged("a sorted set: a full inner node"));
        }
        self.scores.copy_within(i..n, i + 1);
        self.firsts.copy_within(i..n, i + 1);
        self.counts.copy_within(i..n, i + 1);
        self.children.copy_within(i..n, i + 1);
        self.put(i, child);
        self.n += 1;
        Ok(())
    }

    /// Takes child `i` out; the node may be left without any.
    pub(super) fn remove(&mut self, i: usize) -> Result<Child> {
        let n = self.len()?;
        if i >= n {
            return Err(damaged("a sorted set: a child's index"));
        }
        let child = self.child(i);
        self.scores.copy_within(i + 1..n, i);
        self.firsts.copy_within(i + 1..n, i);
        self.counts.copy_within(i + 1..n, i);
        self.children.copy_within(i + 1..n, i);
        self.n -= 1;
        Ok(child)
    }

    /// True if [`Inner::remove`] has taken the last child out.
    pub(super) fn is_empty(&self) -> bool {
        self.n == 0
    }
}
