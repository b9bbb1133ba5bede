//! A small sorted set: one object.
//!
//! ```text
//! 0          2 * slots  order    offsets of the entries, ascending by (score, name), 16 bits each;
//!                                as many as there are elements count
//! 2 * slots             entries  score f64, length u8, name; in the order of their arrival
//! ```
//!
//! The root's 56 bits say how to read it: elements (8 bits), slots (8), end of the last entry (16),
//! bytes of the entries that count (16). So a new element costs its own bytes, which are filled,
//! and a few bytes of order, logged; removal costs order only, and leaves a hole. When an entry or
//! its slot finds no room, the object is written again without holes.
//!
//! Like Redis's listpack, this form does not know minus zero.

use super::node::{Bound, compare};
use crate::damaged::damaged;
use crate::layout::DATA;
use crate::structures::Root;
use crate::structures::limits::{ZSET_COUNT_MAX as COUNT_MAX, ZSET_NAME_MAX as NAME_MAX};
use pobj::{PPtr, Pool, Result, Tx};
use std::ops::Range;

/// The encoding's number.
pub(super) const ENCODING: u8 = 1;

/// Bytes of an entry besides the name.
const HEAD: usize = 9;
const SLOTS_MIN: usize = 4;

/// A small sorted set, as a transaction's reads show it.
#[derive(Clone, Copy)]
pub(super) struct Small<'p> {
    base: PPtr<u8>,
    bytes: &'p [u8],
    /// The words of order, those in use first.
    slots: &'p [Slot],
    count: usize,
    live: usize,
}

/// A word of order: the offset of an entry.
pub(super) type Slot = [u8; 2];

/// The score as this form keeps it.
pub(super) fn plain(score: f64) -> f64 {
    if score == 0.0 { 0.0 } else { score }
}

fn offset(slot: Slot) -> usize {
    usize::from(u16::from_le_bytes(slot))
}

fn root(base: PPtr<u8>, count: usize, slots: usize, end: usize, live: usize) -> Root {
    let rest = count | slots << 8 | end << 16 | live << 32;
    Root::new(ENCODING, rest as u64, base.offset())
}

/// Number of elements. O(1).
#[inline]
pub(super) fn len(root: Root) -> u64 {
    root.rest() & 0xff
}

impl<'p> Small<'p> {
    /// The sorted set behind a root of this encoding. O(1).
    #[inline]
    pub(super) fn open(pool: &'p Pool, root: Root) -> Result<Small<'p>> {
        let field = |shift: u32, bits: u32| (root.rest() >> shift) as usize & ((1 << bits) - 1);
        let (count, slots, end, live) = (field(0, 8), field(8, 8), field(16, 16), field(32, 16));
        let base = PPtr::new(root.value).ok_or_else(|| damaged("a sorted set: a null pointer"))?;
        if count == 0 || count > slots || 2 * slots > end || live > end - 2 * slots {
            return Err(damaged("a sorted set: a packed object's sizes"));
        }
        let bytes = pool.bytes(base, end as u64)?;
        let (slots, _) = bytes[..2 * slots].as_chunks();
        Ok(Small {
            base,
            bytes,
            slots,
            count,
            live,
        })
    }

    /// Number of elements.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.count
    }

    fn offset(&self, i: usize) -> Result<usize> {
        match self.slots.get(i) {
            Some(&slot) => Ok(offset(slot)),
            None => Err(damaged("a sorted set: an index")),
        }
    }

    /// The words of order of these elements, which there are.
    #[inline]
    pub(super) fn slots(&self, range: Range<usize>) -> &'p [Slot] {
        &self.slots[..self.count][range]
    }

    /// The `i`-th element. O(1).
    #[inline]
    pub(super) fn element(&self, i: usize) -> Result<(&'p [u8], f64)> {
        match self.slots.get(i).and_then(|&slot| self.entry(slot)) {
            Some(entry) => Ok(entry),
            None => Err(damaged("a sorted set: a packed entry")),
        }
    }

    /// The element that a word of order tells of. O(1).
    #[inline]
    pub(super) fn element_of(&self, slot: Slot) -> Result<(&'p [u8], f64)> {
        match self.entry(slot) {
            Some(entry) => Ok(entry),
            None => Err(damaged("a sorted set: a packed entry")),
        }
    }

    #[inline]
    fn entry(&self, slot: Slot) -> Option<(&'p [u8], f64)> {
        let bytes = self.bytes.get(offset(slot)..)?;
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let (score, &[len]) = head.split_first_chunk()? else {
            return None;
        };
        let name = rest.get(..usize::from(len))?;
        Some((name, f64::from_le_bytes(*score)))
    }

    /// The index of the element of this name, and its score. O(n).
    pub(super) fn find(&self, name: &[u8]) -> Result<Option<(usize, f64)>> {
        for i in 0..self.count {
            let (found, score) = self.element(i)?;
            if found == name {
                return Ok(Some((i, score)));
            }
        }
        Ok(None)
    }

    /// How many elements lie before the bound. O(log n).
    pub(super) fn rank(&self, bound: &Bound<'_>) -> Result<usize> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = (low + high) / 2;
            let (name, score) = self.element(middle)?;
            match bound.search(1, |_| score, |_| Ok(name))? {
                0 => high = middle,
                _ => low = middle + 1,
            }
        }
        Ok(low)
    }

    /// Bytes of order of these elements, which there are.
    fn order(&self, range: Range<usize>) -> &'p [u8] {
        self.slots(range).as_flattened()
    }

    /// All elements, ascending.
    pub(super) fn elements(&self) -> Result<Vec<(&'p [u8], f64)>> {
        (0..self.count).map(|i| self.element(i)).collect()
    }
}

/// Writes elements, ascending, at least one and all fitting, as a new object with room for more.
pub(super) fn build(tx: &mut Tx<'_>, elements: &[(&[u8], f64)]) -> Result<Root> {
    let count = elements.len();
    let live: usize = elements.iter().map(|(name, _)| HEAD + name.len()).sum();
    // A quarter more of both; a lone element is often the only one.
    let slots = (count + count.div_ceil(4))
        .clamp(SLOTS_MIN, COUNT_MAX)
        .max(count);
    let room = if count == 1 { live } else { live + live / 4 };
    let base = tx.alloc((2 * slots + room) as u64, DATA)?;
    let mut bytes = vec![0; 2 * slots];
    for (i, &(name, score)) in elements.iter().enumerate() {
        let at = bytes.len() as u16;
        bytes[2 * i..2 * i + 2].copy_from_slice(&at.to_le_bytes());
        push_entry(&mut bytes, name, score);
    }
    tx.fill(base, &bytes)?;
    Ok(root(base.ptr(), count, slots, bytes.len(), live))
}

fn push_entry(bytes: &mut Vec<u8>, name: &[u8], score: f64) {
    bytes.extend_from_slice(&plain(score).to_le_bytes());
    bytes.push(name.len() as u8);
    bytes.extend_from_slice(name);
}

/// Inserts an element which fits and is not there. O(n) in DRAM.
pub(super) fn insert(tx: &mut Tx<'_>, root: &mut Root, name: &[u8], score: f64) -> Result<()> {
    if *root == Root::EMPTY {
        *root = build(tx, &[(name, score)])?;
        return Ok(());
    }
    let score = plain(score);
    let small = Small::open(tx, *root)?;
    let Small {
        base, count, live, ..
    } = small;
    let at = small.rank(&Bound::Before(score, name))?;
    let (slots, end) = (small.slots.len(), small.bytes.len());
    let len = HEAD + name.len();
    if count == slots || (end + len) as u64 > tx.capacity(base)? {
        let mut elements = small.elements()?;
        elements.insert(at, (name, score));
        // The elements are borrowed from the pool, which building writes to.
        let copies: Vec<(Vec<u8>, f64)> = elements
            .into_iter()
            .map(|(name, score)| (name.to_vec(), score))
            .collect();
        let elements: Vec<(&[u8], f64)> = copies.iter().map(|(n, s)| (n.as_slice(), *s)).collect();
        let new = build(tx, &elements)?;
        tx.free(base)?;
        *root = new;
        return Ok(());
    }
    let mut order = [0; 2 * COUNT_MAX];
    let order = &mut order[..2 * (count - at + 1)];
    order[..2].copy_from_slice(&(end as u16).to_le_bytes());
    order[2..].copy_from_slice(small.order(at..count));
    let mut entry = [0; HEAD + NAME_MAX];
    entry[..8].copy_from_slice(&score.to_le_bytes());
    entry[8] = name.len() as u8;
    entry[HEAD..len].copy_from_slice(name);
    // The end never comes back: what is behind it was never used.
    tx.fill_unused(base.at(end as u64), &entry[..len])?;
    tx.write(base.at(2 * at as u64), order)?;
    *root = self::root(base, count + 1, slots, end + len, live + len);
    Ok(())
}

/// Gives element `i` another score. O(n) in DRAM.
pub(super) fn update(tx: &mut Tx<'_>, root: Root, i: usize, score: f64) -> Result<()> {
    let score = plain(score);
    let small = Small::open(tx, root)?;
    let (name, old) = small.element(i)?;
    let (base, offset) = (small.base, small.offset(i)?);
    let mut to = small.rank(&Bound::Before(score, name))?;
    if compare((score, name), (old, name)).is_gt() {
        // The element itself was counted.
        to -= 1;
    }
    let (from, until) = (i.min(to), i.max(to) + 1);
    let mut order = [0; 2 * COUNT_MAX];
    let order = &mut order[..2 * (until - from)];
    order.copy_from_slice(small.order(from..until));
    if to < i {
        order.rotate_right(2);
    } else {
        order.rotate_left(2);
    }
    tx.write(base.at(offset as u64), &score.to_le_bytes())?;
    if to != i {
        tx.write(base.at(2 * from as u64), order)?;
    }
    Ok(())
}

/// Removes the elements `from..until`. O(n) in DRAM.
pub(super) fn remove(tx: &mut Tx<'_>, root: &mut Root, from: usize, until: usize) -> Result<()> {
    let small = Small::open(tx, *root)?;
    let Small {
        base, count, live, ..
    } = small;
    if from == 0 && until == count {
        *root = Root::EMPTY;
        return tx.free(base);
    }
    let mut freed = 0;
    for i in from..until {
        freed += HEAD + small.element(i)?.0.len();
    }
    let mut order = [0; 2 * COUNT_MAX];
    let order = &mut order[..2 * (count - until)];
    order.copy_from_slice(small.order(until..count));
    let (slots, end) = (small.slots.len(), small.bytes.len());
    let left = count - (until - from);
    if !order.is_empty() {
        tx.write(base.at(2 * from as u64), order)?;
    }
    *root = self::root(base, left, slots, end, live.saturating_sub(freed));
    Ok(())
}

/// Frees the object.
pub(super) fn destroy(tx: &mut Tx<'_>, root: Root) -> Result<()> {
    tx.free(Small::open(tx, root)?.base)
}
