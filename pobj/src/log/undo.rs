//! The undo log: old bytes of everything a group of steps changes.
//!
//! ```text
//! segment   0  8  next     the following segment, 0 for none
//!           8  8  len      bytes of the segment (further segments only)
//!          16  8  checksum XXH3-64 of len, seeded with the pool's seed and the segment's offset (these only)
//!          64     entries
//! entry     0  8  group    number of the group's begin record
//!           8  8  checksum XXH3-64 (seeded by the pool and the group) of the entry without this word
//!          16  8  offset   what was overwritten
//!          24  8  len      how many bytes
//!          32     the old bytes, padded to 8
//! ```
//!
//! Invariants
//! * An entry is durable (flushed and fenced) before the bytes it saves change.
//! * Entries are undone newest first, so that the oldest bytes of a range win. Entries of steps
//!   that are taken back while the group goes on are wiped, once what they saved is back in place:
//!   new entries overwrite the oldest of them first, and the others would follow as if they were
//!   newer. Those of the last segment are wiped first: what is left at any moment is the oldest
//!   entries, and undoing these alone gives the oldest bytes of every range that they have. The
//!   checksum is wiped, as the word that a torn new entry in its place cannot bring back.
//! * Entries of a step that finds no room for all of them are wiped, durably, before anything else
//!   is done. They say what is there at that moment; once older steps are taken back, that is no
//!   longer so, and recovery would find them at the head of a segment of their own.
//! * The first segment lies in the log object; more lie in granules that were free when the group
//!   began. No run table lists them: what `next` leads to is in use, until the first `next` is zero
//!   again, durably, after the group's end. So they cost no room for a log, and recovery gives them
//!   back by one word.

use crate::alloc::room::Room;
use crate::alloc::run::GRANULE;
use crate::error::{Error, Result, damaged};
use crate::layout::{Areas, LINE, OLD_LOG_LEN, RING_LEN};
use crate::log_record::{WRITE_MAX, writes};
use crate::medium::Medium;
use bytemuck::{Pod, Zeroable};
use static_assertions::const_assert;
use std::mem::{offset_of, size_of};

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Entry {
    group: u64,
    checksum: u64,
    offset: u64,
    len: u64,
}
const ENTRY_LEN: u64 = size_of::<Entry>() as u64;
const SEGMENT_HEAD: u64 = 64;
/// Granules of a further segment: as many as there are, between these.
const GRANULES_MAX: u64 = (1 << 20) / GRANULE;
const GRANULES_MIN: u64 = (32 << 10) / GRANULE;
/// Least bytes of a segment.
const SEGMENT_MIN: u64 = OLD_LOG_LEN - LINE - RING_LEN;
const_assert!(GRANULES_MIN * GRANULE >= SEGMENT_MIN);
const_assert!(SEGMENT_MIN > SEGMENT_HEAD + ENTRY_LEN + WRITE_MAX as u64);

/// The undo log of an open pool.
pub(crate) struct Undo {
    seed: u64,
    /// Segments in order: offset and length.
    segments: Vec<(u64, u64)>,
    /// Where the next entry goes: segment and position in it.
    at: (usize, u64),
    /// Offsets of the entries of the open group, oldest first.
    entries: Vec<u64>,
    scratch: Vec<u8>,
}

impl Undo {
    /// The undo log of the pool whose root object has these areas, as found on media. In an `old`
    /// pool, of format 1, further segments have no checksum.
    pub(crate) fn open(medium: &Medium, areas: &Areas, seed: u64, old: bool) -> Result<Undo> {
        let mut segments = vec![(areas.undo, areas.undo_len)];
        let mut next = medium.word(areas.undo)?;
        while next != 0 {
            let len = medium.word(next.saturating_add(8))?;
            medium.bytes(next, len)?;
            let is_sound = old || medium.word(next + 16)? == head_checksum(next, len, seed);
            let too_many = segments.len() as u64 > medium.len() / SEGMENT_MIN;
            if len < SEGMENT_MIN || !is_sound || too_many {
                return Err(damaged("the undo log's segments do not chain", next));
            }
            segments.push((next, len));
            next = medium.word(next)?;
        }
        Ok(Undo {
            seed,
            segments,
            at: (0, SEGMENT_HEAD),
            entries: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// Entries saved so far: a savepoint for [`Undo::roll_back`].
    pub(crate) fn savepoint(&self) -> usize {
        self.entries.len()
    }

    /// Saves and flushes the old bytes of everything in `encoded`. Durable after the next fence.
    ///
    /// # Errors
    /// `Full` if the log cannot grow. Then nothing was saved: entries that were begun are wiped,
    /// durably.
    pub(crate) fn save(
        &mut self,
        medium: &mut Medium,
        room: &mut Room,
        group: u64,
        encoded: &[u8],
    ) -> Result<()> {
        let before = (self.entries.len(), self.at);
        let saved = self.save_all(medium, room, group, encoded);
        if saved.is_err() {
            // A cut on the way finds any of them, and undoes them first: until then, they say what
            // is there.
            self.wipe(medium, before.0)?;
            self.at = before.1;
        }
        saved
    }

    fn save_all(
        &mut self,
        medium: &mut Medium,
        room: &mut Room,
        group: u64,
        encoded: &[u8],
    ) -> Result<()> {
        for write in writes(encoded) {
            let (offset, new) = write?;
            let len = new.len() as u64;
            let size = ENTRY_LEN + len.next_multiple_of(8);
            let at = self.place(medium, room, size)?;
            let entry = Entry {
                group,
                checksum: 0,
                offset,
                len,
            };
            self.scratch.clear();
            self.scratch.extend_from_slice(bytemuck::bytes_of(&entry));
            self.scratch.extend_from_slice(medium.bytes(offset, len)?);
            self.scratch.resize(size as usize, 0);
            let sum = checksum(&self.scratch, self.seed, group);
            self.scratch[8..16].copy_from_slice(&sum.to_le_bytes());
            medium.store(at, &self.scratch)?;
            medium.flush(at, size)?;
            self.entries.push(at);
            self.at.1 += size;
        }
        Ok(())
    }

    /// Offset of `size` free bytes at the log's end.
    fn place(&mut self, medium: &mut Medium, room: &mut Room, size: u64) -> Result<u64> {
        if self.at.1 + size > self.segments[self.at.0].1 {
            if self.at.0 + 1 == self.segments.len() {
                self.grow(medium, room)?;
            }
            self.at = (self.at.0 + 1, SEGMENT_HEAD);
        }
        Ok(self.segments[self.at.0].0 + self.at.1)
    }

    fn grow(&mut self, medium: &mut Medium, room: &mut Room) -> Result<()> {
        let taken = room.take_for_undo(GRANULES_MIN, GRANULES_MAX);
        let (offset, granules) = taken.ok_or(Error::Full(GRANULES_MIN * GRANULE))?;
        let len = granules * GRANULE;
        let words = [0, len, head_checksum(offset, len, self.seed)];
        medium.store(offset, bytemuck::cast_slice(&words))?;
        medium.flush(offset, SEGMENT_HEAD)?;
        medium.fence();
        // Durable with the entries behind it, before any byte that they save changes.
        let link = self.segments[self.segments.len() - 1].0;
        medium.store(link, &offset.to_le_bytes())?;
        medium.flush(link, 8)?;
        self.segments.push((offset, len));
        Ok(())
    }

    /// Puts back what the entries after `savepoint` saved, newest first, and wipes them; durably.
    pub(crate) fn roll_back(&mut self, medium: &mut Medium, savepoint: usize) -> Result<()> {
        for &at in self.entries[savepoint..].iter().rev() {
            let entry: Entry = *medium.get(at)?;
            self.scratch.clear();
            self.scratch
                .extend_from_slice(medium.bytes(at + ENTRY_LEN, entry.len)?);
            medium.store(entry.offset, &self.scratch)?;
            medium.flush(entry.offset, entry.len)?;
        }
        medium.fence();
        let first = self.entries.get(savepoint).copied();
        self.wipe(medium, savepoint)?;
        if let Some(first) = first {
            self.at = self.locate(first);
        }
        Ok(())
    }

    /// Wipes the entries after `savepoint`, durably.
    fn wipe(&mut self, medium: &mut Medium, savepoint: usize) -> Result<()> {
        // Recovery reads each segment up to the first entry that is wiped. So those of later
        // segments go first, durably: they must not be put back without the older ones of a segment
        // before.
        for entries in self.entries[savepoint..]
            .chunk_by(|&a, &b| self.locate(a).0 == self.locate(b).0)
            .rev()
        {
            for &at in entries {
                let checksum = at + offset_of!(Entry, checksum) as u64;
                medium.store(checksum, &[0; 8])?;
                medium.flush(checksum, 8)?;
            }
            medium.fence();
        }
        self.entries.truncate(savepoint);
        Ok(())
    }

    /// The ranges whose old bytes are saved, oldest first: offset and length.
    ///
    /// # Errors
    /// `Damaged` if an entry leaves the pool.
    pub(crate) fn saved(&self, medium: &Medium) -> Result<Vec<(u64, u64)>> {
        let saved = self.entries.iter().map(|&at| {
            let entry: &Entry = medium.get(at)?;
            Ok((entry.offset, entry.len))
        });
        saved.collect()
    }

    fn locate(&self, offset: u64) -> (usize, u64) {
        let index = self
            .segments
            .iter()
            .position(|&(start, len)| offset >= start && offset - start < len);
        let index = index.expect("an entry lies in one of the segments");
        (index, offset - self.segments[index].0)
    }

    /// Finds the entries of `group` that a crash left behind, for [`Undo::roll_back`].
    pub(crate) fn recover(&mut self, medium: &Medium, group: u64) -> Result<()> {
        for index in 0..self.segments.len() {
            let (start, len) = self.segments[index];
            let mut position = SEGMENT_HEAD;
            while let Some(size) =
                self.valid_entry(medium, start + position, len - position, group)?
            {
                self.entries.push(start + position);
                position += size;
            }
        }
        Ok(())
    }

    /// Size of the entry at `at`, if there is a whole one of this group within `room` bytes.
    fn valid_entry(&self, medium: &Medium, at: u64, room: u64, group: u64) -> Result<Option<u64>> {
        if room < ENTRY_LEN {
            return Ok(None);
        }
        let entry: Entry = *medium.get(at)?;
        if entry.group != group || entry.len > WRITE_MAX as u64 {
            return Ok(None);
        }
        let size = ENTRY_LEN + entry.len.next_multiple_of(8);
        if size > room || checksum(medium.bytes(at, size)?, self.seed, group) != entry.checksum {
            return Ok(None);
        }
        Ok(Some(size))
    }

    /// Forgets the group's entries and gives up further segments; their offsets and lengths. Call
    /// only when the end of the group is durable. One fence if there are some.
    pub(crate) fn clear(&mut self, medium: &mut Medium) -> Result<Vec<(u64, u64)>> {
        self.entries.clear();
        self.at = (0, SEGMENT_HEAD);
        if self.segments.len() == 1 {
            return Ok(Vec::new());
        }
        let first = self.segments[0].0;
        medium.store(first, &[0; 8])?;
        medium.flush(first, 8)?;
        medium.fence();
        Ok(self.segments.split_off(1))
    }
}

/// The checksum in the head of a further segment.
fn head_checksum(offset: u64, len: u64, seed: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(&len.to_le_bytes(), seed ^ offset)
}

fn checksum(entry: &[u8], seed: u64, group: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(&entry[16..], seed ^ group.rotate_left(32))
}
