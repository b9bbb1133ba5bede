//! Lists: chunks of packed entries, reached directly at the two ends and through a counted tree in
//! between.
//!
//! ```text
//! root     form: 1 SINGLE | span of the chunk     value: the one chunk
//!          form: 2 DEEP   | 0                     value: the header
//!
//! header   0 16  head    first chunk: pointer, span
//!         16 16  tail    last chunk: pointer, span
//!         32 24  tree    chunks between: root node, count of elements, levels
//!         56  8  reserved, zero
//! ```
//!
//! See `entry.rs` for an element's bytes, `chunk.rs` for spans, `tree.rs` for nodes; `handle.rs`
//! keeps the parts together, `end.rs` is the fast path to the chunk at an end, `remove.rs` and
//! `release.rs` have what takes more than one step.
//!
//! Invariants
//! * A chunk holds at least one entry, and has at most `CHUNK_MAX` bytes; only that of a SINGLE
//!   list may be smaller than that. Head and tail of a DEEP list are different chunks.
//! * The count of a list is head + tree + tail; nothing else keeps it, so that a push or a pop in
//!   the middle of an end chunk changes one word: the chunk's span in the header (or in the root).
//! * An element that is an object of its own has exactly one entry that points to it.
//!
//! Commit point: the record of the transaction. Everything new (entries in unused bytes, chunks,
//! nodes, the header, objects) is filled, everything old is changed by logged writes. A push or a
//! pop at an end is one fence; so is a change in the middle that fits its chunk (an insertion
//! shifts at most half of it). A new chunk with more than 1 KiB of entries costs a second fence.
//! Operations that walk over several chunks (a long push, LREM, LTRIM across chunks) take a step
//! for each.
//!
//! Costs: both ends O(1); an index, an insertion or a removal at an index O(log n).

mod check;
mod child;
mod chunk;
mod end;
mod entry;
mod handle;
mod listpack;
mod release;
mod relocate;
mod remove;
mod structure;
#[cfg(test)]
mod tests;
mod tree;

use crate::damaged::damaged;
pub use entry::Value;
pub use release::drop_end;
pub use remove::remove;
pub use structure::Type;

use super::{Root, room_at_first};
use chunk::{CHUNK_MAX, Chunk};
use end::End;
use entry::{Entries, Entry, Packed};
use handle::{Form, Header, List};
use pobj::{PPtr, Pool, Result, Tx};
use std::ops::Deref;

/// One end of a list, as Redis names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The head.
    Left,
    /// The tail.
    Right,
}

impl Side {
    /// The opposite one.
    pub fn other(self) -> Side {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }
}

/// An element that was taken out of a list; empty before that.
#[derive(Default)]
pub struct Element {
    packed: Packed,
    /// The bytes, if they are not in the entry.
    bytes: Option<Vec<u8>>,
}

impl Element {
    /// Copies the bytes that are not in the entry; the object that they are in.
    #[inline]
    fn fetch(&mut self, pool: &Pool) -> Result<Option<PPtr<u8>>> {
        let object = self.packed.object()?;
        self.bytes = match object {
            Some(object) => Some(object.bytes(pool)?.to_vec()),
            None => None,
        };
        Ok(object.and_then(Value::object))
    }
}

impl Deref for Element {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Some(bytes) => bytes,
            None => self.packed.inline(),
        }
    }
}

/// Number of elements. O(1).
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
#[inline]
pub fn len(pool: &Pool, root: Root) -> Result<u64> {
    Ok(List::open(pool, root)?.len())
}

/// Adds elements at one end, one after the other; the new length. O(number of elements).
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors).
#[inline]
pub fn push<'v>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    side: Side,
    mut values: impl ExactSizeIterator<Item = &'v [u8]>,
) -> Result<u64> {
    if values.len() == 1
        && let Some(value) = values.next()
    {
        let mut packed = Packed::default();
        packed.pack(tx, value)?;
        return put(tx, root, side, packed.bytes());
    }
    push_many(tx, root, side, values)
}

fn push_many<'v>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    side: Side,
    values: impl Iterator<Item = &'v [u8]>,
) -> Result<u64> {
    let mut list = List::open(tx, *root)?;
    let mut run = Run::new(side);
    let mut packed = Packed::default();
    for value in values {
        packed.pack(tx, value)?;
        if !run.takes(packed.bytes()) {
            run.push_onto(tx, &mut list)?;
            run.limit = match list.room(tx, side)? {
                room if room >= packed.bytes().len() => room,
                _ => CHUNK_MAX,
            };
        }
        run.add(packed.bytes());
    }
    run.push_onto(tx, &mut list)?;
    let len = list.len();
    list.close(tx, root)?;
    Ok(len)
}

/// Adds an entry at one end; the new length.
fn put(tx: &mut Tx<'_>, root: &mut Root, side: Side, entry: &[u8]) -> Result<u64> {
    if let Some(end) = End::open(tx, *root, side)?
        && entry.len() <= end.chunk.room(tx, side)?
    {
        let (chunk, at) = end.chunk.grown(side, entry.len(), 1);
        tx.fill_spare(at, entry)?;
        return end.close(tx, root, chunk);
    }
    let mut list = List::open(tx, *root)?;
    list.push_run(tx, side, entry, 1)?;
    let len = list.len();
    list.close(tx, root)?;
    Ok(len)
}

/// Takes the entry at one end out, with its object if it has one; false if the list is empty.
fn take(tx: &mut Tx<'_>, root: &mut Root, side: Side, packed: &mut Packed) -> Result<bool> {
    if let Some(end) = End::open(tx, *root, side)?
        && end.chunk.count() > 1
    {
        let len = end.chunk.copy_end(tx, side, packed)?;
        let chunk = end.chunk.shrunk(side, len);
        end.close(tx, root, chunk)?;
        return Ok(true);
    }
    let mut list = List::open(tx, *root)?;
    let taken = list.take(tx, side, packed)?;
    if taken {
        list.close(tx, root)?;
    }
    Ok(taken)
}

/// Entries collected for one chunk.
struct Run {
    side: Side,
    /// In the order of the pushes; turned around for the left side when they are written.
    entries: Vec<u8>,
    count: usize,
    limit: usize,
}

impl Run {
    fn new(side: Side) -> Run {
        Run {
            side,
            entries: Vec::new(),
            count: 0,
            limit: 0,
        }
    }

    fn takes(&self, entry: &[u8]) -> bool {
        self.entries.len() + entry.len() <= self.limit
    }

    fn add(&mut self, entry: &[u8]) {
        self.entries.extend_from_slice(entry);
        self.count += 1;
    }

    fn push_onto(&mut self, tx: &mut Tx<'_>, list: &mut List) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let reversed: Vec<u8>;
        let run = match self.side {
            Side::Right => &self.entries,
            Side::Left => {
                let entries = Entries(&self.entries).rev().collect::<Result<Vec<_>>>()?;
                reversed = entries
                    .iter()
                    .flat_map(|entry| entry.raw.iter().copied())
                    .collect();
                &reversed
            }
        };
        list.push_run(tx, self.side, run, self.count)?;
        self.entries.clear();
        self.count = 0;
        Ok(())
    }
}

/// Takes the element at one end out, into `element`; false if the list is empty. O(1), and the
/// element's length.
///
/// # Errors
/// [`Damaged`, `Full`](crate::structures#errors).
pub fn pop(tx: &mut Tx<'_>, root: &mut Root, side: Side, element: &mut Element) -> Result<bool> {
    tx.removes();
    let taken = take(tx, root, side, &mut element.packed)?;
    if taken && let Some(object) = element.fetch(tx)? {
        tx.free(object)?;
    }
    Ok(taken)
}

/// Moves the element at one end of a list to an end of another one, and copies it into `element`;
/// false if the source is empty. O(1), and the element's length.
///
/// # Errors
/// [`Damaged`, `Full`](crate::structures#errors).
pub fn transfer(
    tx: &mut Tx<'_>,
    source: &mut Root,
    from: Side,
    target: &mut Root,
    to: Side,
    element: &mut Element,
) -> Result<bool> {
    let taken = take(tx, source, from, &mut element.packed)?;
    if taken {
        put(tx, target, to, element.packed.bytes())?;
        element.fetch(tx)?;
    }
    Ok(taken)
}

/// Moves the element at one end of a list to the same or the other end of it, and copies it into
/// `element`; false if the list is empty. It [moves](Tx::moves).
///
/// # Errors
/// [`Damaged`, `Full`](crate::structures#errors).
pub fn rotate(
    tx: &mut Tx<'_>,
    root: &mut Root,
    from: Side,
    to: Side,
    element: &mut Element,
) -> Result<bool> {
    tx.moves();
    let mut list = List::open(tx, *root)?;
    let len = list.len();
    if !list.take(tx, from, &mut element.packed)? {
        return Ok(false);
    }
    if from != to && len > 1 {
        // Settled first, so that the element does not land in a chunk that is about to go.
        list.normalize_ends(tx)?;
        list.push_run(tx, to, element.packed.bytes(), 1)?;
        list.close(tx, root)?;
    }
    element.fetch(tx)?;
    Ok(true)
}

/// The element at `index`; `None` beyond the end. O(log n).
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
pub fn get(pool: &Pool, root: Root, index: u64) -> Result<Option<&[u8]>> {
    let list = List::open(pool, root)?;
    if index >= list.len() {
        return Ok(None);
    }
    let found = list.find(pool, index)?;
    let cut = found.chunk.cut(pool, found.number)?;
    let entry = Entry::first(&found.chunk.bytes(pool)?[cut.byte..])?;
    entry.value.bytes(pool).map(Some)
}

/// Shows elements to `f`, from number `skip` on as counted from `side`, until there are no more or
/// `f` says false. O(log n + elements shown).
///
/// # Errors
/// [`Damaged`](crate::structures#errors). Those of `f`, too.
pub fn each<'p>(
    pool: &'p Pool,
    root: Root,
    side: Side,
    skip: u64,
    mut f: impl FnMut(Value<'p>) -> Result<bool>,
) -> Result<()> {
    let list = List::open(pool, root)?;
    if skip >= list.len() {
        return Ok(());
    }
    list.walk(pool, side, skip, |chunk, inside| {
        each_in(pool, chunk, side, inside, &mut f)
    })
}

/// `count` elements, from number `skip` on as counted from `side`. O(log n + count).
///
/// # Errors
/// `Damaged` if there are fewer.
pub fn some(pool: &Pool, root: Root, side: Side, skip: u64, count: u64) -> Result<Vec<&[u8]>> {
    let mut elements = Vec::with_capacity(room_at_first(count));
    if count > 0 {
        each(pool, root, side, skip, |value| {
            elements.push(value.bytes(pool)?);
            Ok((elements.len() as u64) < count)
        })?;
    }
    if elements.len() as u64 == count {
        Ok(elements)
    } else {
        Err(damaged("list: a list has fewer elements than it says"))
    }
}

fn each_in<'p>(
    pool: &'p Pool,
    chunk: Chunk,
    side: Side,
    skip: usize,
    f: &mut impl FnMut(Value<'p>) -> Result<bool>,
) -> Result<bool> {
    let mut entries = chunk.entries(pool)?;
    let left = usize::from(chunk.span.count) - skip;
    if skip > 0 {
        entries.0 = match side {
            Side::Left => &entries.0[chunk.cut(pool, skip)?.byte..],
            Side::Right => &entries.0[..chunk.cut(pool, left)?.byte],
        };
    }
    for _ in 0..left {
        let entry = match side {
            Side::Left => entries.next(),
            Side::Right => entries.next_back(),
        };
        let entry =
            entry.ok_or_else(|| damaged("list: a chunk has fewer entries than it says"))??;
        if !f(entry.value)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Puts `value` before element `index`, or at the end if there is none; the new length. O(log n).
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors).
pub fn insert(tx: &mut Tx<'_>, root: &mut Root, index: u64, value: &[u8]) -> Result<u64> {
    let mut list = List::open(tx, *root)?;
    let len = list.len();
    let packed = Packed::new(tx, value)?;
    if index == 0 || index >= len {
        let side = if index == 0 { Side::Left } else { Side::Right };
        list.push_run(tx, side, packed.bytes(), 1)?;
    } else {
        let found = list.find(tx, index)?;
        let cut = found.chunk.cut(tx, found.number)?;
        let chunks = found.chunk.splice(tx, cut, 0, packed.bytes())?;
        list.put(tx, found.place, &chunks)?;
    }
    list.close(tx, root)?;
    Ok(len + 1)
}

/// Puts `value` in the place of element `index`, which must be there. O(log n).
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors).
pub fn set(tx: &mut Tx<'_>, root: &mut Root, index: u64, value: &[u8]) -> Result<()> {
    let mut list = List::open(tx, *root)?;
    let found = list.find(tx, index)?;
    let cut = found.chunk.cut(tx, found.number)?;
    let entry = Entry::first(&found.chunk.bytes(tx)?[cut.byte..])?;
    let (old, object) = (entry.raw.len(), entry.object());
    let packed = Packed::new(tx, value)?;
    let chunks = found.chunk.splice(tx, cut, old, packed.bytes())?;
    if let Some(object) = object {
        tx.free(object)?;
    }
    list.put(tx, found.place, &chunks)?;
    list.close(tx, root)
}

/// Copies a list. O(n).
///
/// # Errors
/// [`Damaged`, `Full`](crate::structures#errors).
pub fn copy(tx: &mut Tx<'_>, source: Root) -> Result<Root> {
    let mut root = Root::EMPTY;
    let len = len(tx, source)?;
    let mut done = 0;
    while done < len {
        // A few chunks at a time, so that the copy in DRAM stays small.
        let (mut values, mut bytes) = (Vec::new(), 0);
        each(tx, source, Side::Left, done, |value| {
            let value = value.bytes(tx)?;
            bytes += value.len();
            values.push(value.to_vec());
            Ok(bytes < 16 * CHUNK_MAX)
        })?;
        done += values.len() as u64;
        push(tx, &mut root, Side::Right, values.iter().map(Vec::as_slice))?;
        if done < len {
            tx.step()?;
        }
    }
    Ok(root)
}

fn chunk_memory(pool: &Pool, chunk: Chunk) -> Result<u64> {
    let mut bytes = pool.capacity(chunk.at)?;
    for entry in chunk.entries(pool)? {
        if let Some(object) = entry?.object() {
            bytes += pool.capacity(object)?;
        }
    }
    Ok(bytes)
}

/// Cuts off all but the `kept` elements from `first` on: how many are dropped, and the parts that
/// they are. O(log n).
///
/// # Errors
/// [`Damaged`, `Full`](crate::structures#errors).
pub fn trim(tx: &mut Tx<'_>, root: &mut Root, first: u64, kept: u64) -> Result<(u64, [Root; 2])> {
    let len = len(tx, *root)?;
    let mut rest = [Root::EMPTY; 2];
    let ends = [(Side::Right, len - first - kept), (Side::Left, first)];
    for (rest, (side, n)) in rest.iter_mut().zip(ends) {
        let before = *root;
        *rest = drop_end(tx, root, side, n)?;
        // The header of a long list is written, and read again for the other end.
        if side == Side::Right && n > 0 && first > 0 && before != Root::EMPTY {
            tx.step()?;
        }
    }
    Ok((len - kept, rest))
}

/// Bytes in the pool that the list takes. O(n).
fn memory(pool: &Pool, root: Root) -> Result<u64> {
    let list = List::open(pool, root)?;
    Ok(match list.form {
        Form::Empty => 0,
        Form::Single(chunk) => chunk_memory(pool, chunk)?,
        Form::Deep { head, tree, tail } => {
            let mut bytes = size_of::<Header>() as u64 + tree.memory(pool)?;
            for chunk in [head, tail].into_iter().flatten() {
                bytes += chunk_memory(pool, chunk)?;
            }
            bytes
        }
    })
}
