//! Chunks: objects in which entries lie side by side, with room at either end.
//!
//! ```text
//! 0        start            end        capacity
//! |  room  | entry … entry  |   room   |
//! ```
//!
//! A chunk has no header. Its [`Span`], one word, is kept by whoever points to it, so that a push
//! is a fill of unused bytes and one logged word, and a pop is one logged word.

use super::Side;
use super::child::{Child, Span};
use super::entry::{ENTRY_MAX, Entries, Entry, Packed};
use crate::damaged::damaged;
use crate::layout::DATA;
use pobj::{PPtr, Pool, Result, Tx};
use static_assertions::const_assert;

/// Bytes of a full-grown chunk: a size of which slab pages hold many with little left over, and
/// small enough to shift a part of it in one log record.
pub(crate) const CHUNK_MAX: usize = 3584;
/// Bytes of the smallest chunk.
const CHUNK_MIN: usize = 64;
const_assert!(ENTRY_MAX * 4 < CHUNK_MAX && CHUNK_MAX <= u16::MAX as usize);

/// A chunk and its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub at: PPtr<u8>,
    pub span: Span,
}

/// Where a new chunk has its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    At(Side),
    Even,
}

/// A part of a chunk's entries: bytes from its start, and the number of entries before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub byte: usize,
    pub index: usize,
}

impl Chunk {
    /// The chunk a pointer and a span word stand for.
    #[inline]
    pub(super) fn of(child: Child) -> Result<Chunk> {
        let (at, span) = (PPtr::new(child.at), Span::of(child.word));
        let used = span.end.checked_sub(span.start);
        match (at, used) {
            // An entry has two bytes at least.
            (Some(at), Some(used))
                if span.count > 0
                    && used / 2 >= span.count
                    && usize::from(span.end) <= CHUNK_MAX =>
            {
                Ok(Chunk { at, span })
            }
            _ => Err(damaged("list: a chunk's span contradicts itself")),
        }
    }

    /// The pointer and the span as they are kept on media.
    pub(super) fn child(self) -> Child {
        Child {
            at: self.at.offset(),
            word: self.span.word(),
        }
    }

    /// Number of entries.
    pub(super) fn count(self) -> u64 {
        u64::from(self.span.count)
    }

    /// Bytes in entries.
    pub(super) fn used(self) -> usize {
        usize::from(self.span.end - self.span.start)
    }

    /// The bytes of all entries.
    #[inline]
    pub(super) fn bytes(self, pool: &Pool) -> Result<&[u8]> {
        pool.bytes(self.at.at(self.span.start.into()), self.used() as u64)
    }

    /// All entries.
    #[inline]
    pub(super) fn entries(self, pool: &Pool) -> Result<Entries<'_>> {
        Ok(Entries(self.bytes(pool)?))
    }

    /// The entry at one end.
    #[inline]
    pub(crate) fn end_entry(self, pool: &Pool, side: Side) -> Result<Entry<'_>> {
        let bytes = self.bytes(pool)?;
        match side {
            Side::Left => Entry::first(bytes),
            Side::Right => Entry::last(bytes),
        }
    }

    /// Where entry `index` begins, reading from the nearer end.
    pub(super) fn cut(self, pool: &Pool, index: usize) -> Result<Cut> {
        let bytes = self.bytes(pool)?;
        let mut entries = Entries(bytes);
        let count = usize::from(self.span.count);
        let missing = || damaged("list: a chunk has fewer entries than it says");
        if index <= count / 2 {
            for _ in 0..index {
                entries.next().ok_or_else(missing)??;
            }
            Ok(Cut {
                byte: bytes.len() - entries.0.len(),
                index,
            })
        } else {
            for _ in index..count {
                entries.next_back().ok_or_else(missing)??;
            }
            Ok(Cut {
                byte: entries.0.len(),
                index,
            })
        }
    }

    /// The object's size, at least where the span ends.
    pub(super) fn capacity(self, pool: &Pool) -> Result<usize> {
        let capacity = pool.capacity(self.at)? as usize;
        if usize::from(self.span.end) > capacity {
            return Err(damaged("list: a chunk's span is larger than the chunk"));
        }
        Ok(capacity.min(CHUNK_MAX))
    }

    /// Bytes of room at one end.
    #[inline]
    pub(super) fn room(self, pool: &Pool, side: Side) -> Result<usize> {
        match side {
            Side::Left => Ok(self.span.start.into()),
            Side::Right => Ok(self.capacity(pool)?.saturating_sub(self.span.end.into())),
        }
    }

    /// Copies the entry at one end; its length, by which the chunk is to be
    /// [`shrunk`](Chunk::shrunk).
    #[inline]
    pub(crate) fn copy_end(self, pool: &Pool, side: Side, packed: &mut Packed) -> Result<usize> {
        let entry = self.end_entry(pool, side)?;
        packed.copy(&entry);
        Ok(entry.raw.len())
    }

    /// Adds `count` entries, which must fit the room there.
    #[inline]
    pub(super) fn append(
        &mut self,
        tx: &mut Tx<'_>,
        side: Side,
        run: &[u8],
        count: usize,
    ) -> Result<()> {
        let at;
        (*self, at) = self.grown(side, run.len(), count);
        tx.fill_spare(at, run)
    }

    /// The chunk with `count` more entries of `len` bytes, which must fit the room there, and where
    /// they are to be filled in.
    #[inline]
    pub(super) fn grown(self, side: Side, len: usize, count: usize) -> (Chunk, PPtr<u8>) {
        let (len, mut span) = (len as u16, self.span);
        span.count += count as u16;
        let start = match side {
            Side::Left => {
                span.start -= len;
                span.start
            }
            Side::Right => {
                span.end += len;
                self.span.end
            }
        };
        (Chunk { span, ..self }, self.at.at(start.into()))
    }

    /// The chunk without the last entry at one end, whose length is `len`.
    #[inline]
    pub(super) fn shrunk(self, side: Side, len: usize) -> Chunk {
        let (len, mut span) = (len as u16, self.span);
        match side {
            Side::Left => span.start += len,
            Side::Right => span.end -= len,
        }
        span.count -= 1;
        Chunk { span, ..self }
    }

    /// Drops `n` entries at one end, and frees their objects; how many there were.
    pub(crate) fn drop_entries(&mut self, tx: &mut Tx<'_>, side: Side, n: usize) -> Result<usize> {
        let mut frees = 0;
        for _ in 0..n {
            let entry = self.end_entry(tx, side)?;
            let (len, object) = (entry.raw.len(), entry.object());
            if let Some(object) = object {
                tx.free(object)?;
                frees += 1;
            }
            *self = self.shrunk(side, len);
        }
        Ok(frees)
    }

    /// A new chunk with these entries and at least `capacity` bytes.
    pub(super) fn build(
        tx: &mut Tx<'_>,
        run: &[u8],
        count: usize,
        capacity: usize,
        room: Room,
    ) -> Result<Chunk> {
        let at = tx.alloc(capacity.max(run.len()) as u64, DATA)?;
        let spare = (tx.capacity(at.ptr())? as usize)
            .min(CHUNK_MAX)
            .saturating_sub(run.len());
        let start = match room {
            Room::At(Side::Right) => 0,
            Room::At(Side::Left) => spare,
            Room::Even => spare / 2,
        };
        tx.fill(at.at(start as u64), run)?;
        let span = Span {
            start: start as u16,
            end: (start + run.len()) as u16,
            count: count as u16,
        };
        Ok(Chunk { at: at.ptr(), span })
    }

    /// The same entries and more at one end in a new chunk; the old one is freed.
    pub(crate) fn rebuild(
        self,
        tx: &mut Tx<'_>,
        side: Side,
        run: &[u8],
        count: usize,
        capacity: usize,
    ) -> Result<Chunk> {
        // Whoever has room only at the other end is pushed to from both.
        let room = match self.room(tx, side.other())? {
            0 => Room::At(side),
            _ => Room::Even,
        };
        let own = self.bytes(tx)?;
        let all = match side {
            Side::Left => [run, own].concat(),
            Side::Right => [own, run].concat(),
        };
        let chunk = Chunk::build(
            tx,
            &all,
            usize::from(self.span.count) + count,
            capacity,
            room,
        )?;
        tx.free(self.at)?;
        Ok(chunk)
    }

    /// Replaces `old` bytes (none, or one entry) at `cut` by the entry `new`. Shifts the shorter
    /// side if there is room, else moves to a larger chunk, else splits: the half with the new
    /// entry is a new chunk, the other half stays.
    pub(super) fn splice(
        self,
        tx: &mut Tx<'_>,
        cut: Cut,
        old: usize,
        new: &[u8],
    ) -> Result<Vec<Chunk>> {
        let capacity = self.capacity(tx)?;
        let (start, end) = (usize::from(self.span.start), usize::from(self.span.end));
        let count = usize::from(self.span.count) + usize::from(old == 0);
        let bytes = self.bytes(tx)?;
        let (left, right) = (&bytes[..cut.byte], &bytes[cut.byte + old..]);
        let used = left.len() + new.len() + right.len();
        let growth = new.len() as isize - old as isize;

        let fits_right = end as isize + growth <= capacity as isize;
        let fits_left = start as isize >= growth;
        if fits_right || fits_left || growth == 0 {
            let shift_right =
                fits_right && (right.len() <= left.len() || !fits_left) || growth == 0;
            let (at, bytes, start, end) = if shift_right {
                let right = if growth == 0 { &[][..] } else { right };
                let end = end.wrapping_add_signed(growth);
                (start + cut.byte, [new, right].concat(), start, end)
            } else {
                let start = start.wrapping_add_signed(-growth);
                (start, [left, new].concat(), start, end)
            };
            tx.write(self.at.at(at as u64), &bytes)?;
            let span = Span {
                start: start as u16,
                end: end as u16,
                count: count as u16,
            };
            return Ok(vec![Chunk { span, ..self }]);
        }

        let all = [left, new, right].concat();
        if used <= CHUNK_MAX {
            let chunk = Chunk::build(tx, &all, count, grown(used), Room::Even)?;
            tx.free(self.at)?;
            return Ok(vec![chunk]);
        }
        let middle = middle(&all)?;
        if middle.index >= count {
            return Err(damaged("list: a chunk has more entries than it counts"));
        }
        let keep = |start: usize, end: usize, count: usize| {
            let span = Span {
                start: start as u16,
                end: end as u16,
                count: count as u16,
            };
            Chunk { span, ..self }
        };
        if middle.byte <= cut.byte {
            let rest = Chunk::build(
                tx,
                &all[middle.byte..],
                count - middle.index,
                CHUNK_MAX,
                Room::At(Side::Right),
            )?;
            Ok(vec![keep(start, start + middle.byte, middle.index), rest])
        } else {
            let rest = Chunk::build(
                tx,
                &all[..middle.byte],
                middle.index,
                CHUNK_MAX,
                Room::At(Side::Right),
            )?;
            let kept = all.len() - middle.byte;
            Ok(vec![rest, keep(end - kept, end, count - middle.index)])
        }
    }

    /// Frees the chunk and the objects of its entries; how many frees that took.
    pub(super) fn destroy(mut self, tx: &mut Tx<'_>) -> Result<usize> {
        let objects = self.drop_entries(tx, Side::Right, self.span.count.into())?;
        tx.free(self.at)?;
        Ok(objects + 1)
    }
}

/// The boundary of entries nearest to the middle, from which at least one entry is on either side.
fn middle(bytes: &[u8]) -> Result<Cut> {
    let (mut byte, mut index) = (0, 0);
    for entry in Entries(bytes) {
        let next = byte + entry?.raw.len();
        if index > 0
            && (next >= bytes.len()
                || next.abs_diff(bytes.len() / 2) > byte.abs_diff(bytes.len() / 2))
        {
            break;
        }
        (byte, index) = (next, index + 1);
    }
    Ok(Cut { byte, index })
}

/// The size of a chunk that has to hold `used` bytes and will probably grow.
pub(super) fn grown(used: usize) -> usize {
    (used + used / 2).clamp(CHUNK_MIN, CHUNK_MAX)
}
