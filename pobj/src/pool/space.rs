//! The room of a pool: what is found at the open, what is free, what is kept back, what is given
//! back.

use super::Pool;
use super::survey::with_pages_mapped;
use crate::Kind;
use crate::alloc::extent::Extent;
use crate::alloc::page::{PAGE_GRANULES, PAGE_LEN, PageHeader, page_len};
use crate::alloc::run::GRANULE;
use crate::error::{Error, Result, damaged};
use crate::layout::type_num;
use crate::log::ring::Extras;
use crate::log_record::{RecordKind, Writes};

/// Words of runs that one record changes when pages are given back.
const WORDS_MAX: usize = 256;

/// So many empty pages may wait for slots of their size to be wanted again.
const EMPTY_MAX: usize = 16;

/// How full a pool is, in bytes. What is not in `used`, `scattered`, `free` or `reserved` is
/// metadata, or unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The whole pool, libpmemobj's own metadata included.
    pub size: u64,
    /// What that can grow to while the pool is open.
    pub size_max: u64,
    /// What all objects together can take at most: the granules that can hold runs.
    pub capacity: u64,
    /// In objects: slots and large objects, rounding included.
    pub used: u64,
    /// Slab pages, each 64 KiB, that hold the slots.
    pub pages: u64,
    /// In slots that are not allocated, on pages that have others.
    pub scattered: u64,
    /// Granules, empty pages included, that any object can take.
    pub free: u64,
    /// The longest run of free granules: the largest object that fits.
    pub largest_free: u64,
    /// Granules kept back for the undo log and for removing things.
    pub reserved: u64,
}

impl Usage {
    /// Bytes that hold nothing: what any object can take, and what those of their size can.
    pub fn unused(&self) -> u64 {
        self.free + self.scattered
    }
}

/// An object of libpmemobj's, from a pool of format 1, that is to be given back to it.
pub(super) struct OldObject {
    offset: u64,
    len: u64,
}

impl Pool {
    /// Finds what the recovered pool holds, and takes all the room that libpmemobj has left. Gives
    /// what contradicts itself.
    pub(super) fn find_all(&mut self, log: u64, log_len: u64) -> Result<Vec<String>> {
        let mut damages = Vec::new();
        let mut extents = Vec::new();
        let mut has_log = false;
        let Pool {
            heap,
            slab,
            medium,
            old,
            ..
        } = self;
        heap.walk(|type_num, offset, len| {
            match type_num {
                type_num::EXTENT => extents.push((offset, len)),
                type_num::LOG => has_log |= offset == log && len >= log_len,
                type_num::PAGE => note(slab.add_page(medium, offset), &mut damages)?,
                // No segment is in use once the pool is recovered.
                type_num::UNDO | type_num::FREED => old.push(OldObject { offset, len }),
                large => match large
                    .checked_sub(type_num::LARGE)
                    .and_then(|kind| Kind::from_byte(u8::try_from(kind).ok()?))
                    .filter(|&kind| slab.knows(kind))
                {
                    Some(kind) => slab.add_object(offset, len, kind),
                    None => damages.push(format!(
                        "an object of unknown type {large} at offset {offset:#x}"
                    )),
                },
            }
            Ok(())
        })?;
        if !has_log {
            return Err(damaged("there is no log object", log));
        }
        for (offset, len) in extents {
            // Without its head an extent, mostly the whole pool, would be passed over: that is
            // refused.
            let extent = Extent::within(offset, len);
            let extent = extent.ok_or_else(|| damaged("an extent without room", offset))?;
            self.enter(extent, &mut damages)?;
        }
        self.give_back_old()?;
        self.take_extents()?;
        self.room.tidy();
        Ok(damages)
    }

    /// Enters what an extent holds.
    fn enter(&mut self, extent: Extent, damages: &mut Vec<String>) -> Result<()> {
        extent.verify(&self.medium, self.room.seed())?;
        let contents = extent.contents(&self.medium, self.room.seed())?;
        damages.extend(contents.damages);
        let mut used = 0;
        let Pool { slab, medium, .. } = self;
        let pages = contents.runs.iter();
        let pages = pages.filter(|run| run.kind.object().is_none());
        let pages: Vec<u64> = pages.map(|run| run.offset).collect();
        with_pages_mapped(medium.reader(), &pages, || {
            for run in contents.runs {
                used += run.granules;
                match run.kind.object() {
                    Some(kind) if slab.knows(kind) => slab.add_run(run, kind),
                    Some(_) => {
                        damages.push(damaged("an object of unknown kind", run.offset).to_string());
                    }
                    None if run.granules == PAGE_GRANULES => {
                        note(slab.add_page(medium, run.offset), damages)?;
                    }
                    None => {
                        damages.push(damaged("a page of another length", run.offset).to_string())
                    }
                }
            }
            Ok::<(), Error>(())
        })?;
        self.room.add(extent, &contents.free, used);
        Ok(())
    }

    /// Takes all the room that libpmemobj has, as extents. No record that was written before may be
    /// about it.
    pub(super) fn take_extents(&mut self) -> Result<()> {
        while let Some((reserved, len)) = self
            .heap
            .reserve_largest(type_num::EXTENT, self.medium.len())
        {
            let Some(extent) = Extent::within(reserved.offset(), len) else {
                self.heap.cancel(reserved);
                return Ok(());
            };
            extent.format(&mut self.medium, self.room.seed())?;
            self.heap.publish(reserved, None)?;
            let first = extent.start + extent.table() * GRANULE;
            let free = [(first, extent.granules - extent.table())];
            self.room.add(extent, &free, 0);
        }
        Ok(())
    }

    /// Notes large objects of libpmemobj's that are freed, durably.
    pub(super) fn note_freed_objects(&mut self, offsets: &[u64]) {
        for &offset in offsets {
            if let Some(len) = self.slab.size_at(offset) {
                self.old.push(OldObject { offset, len });
            }
            self.slab.remove_large(offset);
        }
    }

    /// Gives back to libpmemobj what is free of a pool of format 1, and takes the room as extents;
    /// returns how many objects it were. One at a time, as that needs no room for libpmemobj's log.
    fn give_back_old(&mut self) -> Result<usize> {
        let is_old = |offset: u64| !offset.is_multiple_of(GRANULE);
        let pages = self.slab.take_empty_pages(usize::MAX, is_old);
        let pages = pages.into_iter().map(|(offset, header)| OldObject {
            offset,
            len: page_len(offset, header.class),
        });
        self.old.extend(pages);
        let count = self.old.len();
        if count == 0 {
            return Ok(0);
        }
        self.ring.barrier(&mut self.medium)?;
        while let Some(object) = self.old.pop() {
            // libpmemobj may write its own metadata where it was.
            self.medium.snapshots.preserve(object.offset, object.len);
            self.heap.free(object.offset)?;
        }
        self.take_extents()?;
        self.note_foreign_changes()?;
        Ok(count)
    }

    /// Takes empty pages that are runs and not of the running batch out.
    pub(super) fn take_empty_pages(&mut self, limit: usize) -> Vec<(u64, PageHeader)> {
        let fresh = self.batch.pages();
        let may_go = |offset: u64| offset.is_multiple_of(GRANULE) && !fresh.contains(&offset);
        self.slab.take_empty_pages(limit, may_go)
    }

    /// Gives the memory of empty slab pages back, at most `limit` of them, so that anything can
    /// take it; returns how many. What needs room does it by itself. Not inside a group. One fence
    /// for 256 pages.
    pub fn trim(&mut self, limit: usize) -> Result<usize> {
        if self.group.is_some() {
            return Ok(0);
        }
        let pages = self.take_empty_pages(limit);
        for chunk in pages.chunks(WORDS_MAX) {
            let mut writes = Writes::default();
            for &(offset, _) in chunk {
                if let Some(word) = self.room.word_at(offset) {
                    writes.push(word, &[0; 8]);
                }
            }
            let none = Extras::default();
            self.ring
                .append(&mut self.medium, RecordKind::Redo, &none, &mut writes)?;
            self.medium.defer_commit(&mut writes);
            self.medium.complete_commit();
            self.medium.flush_dirty();
        }
        for &(offset, _) in &pages {
            self.room.give(offset, PAGE_GRANULES, false);
        }
        Ok(pages.len() + self.give_back_old()?)
    }

    /// How full the pool is. O(1).
    pub fn usage(&self) -> Usage {
        let (free, longest, reserved) = self.room.free_bytes();
        let empty = self.slab.empty_pages() as u64 * PAGE_LEN;
        let old: u64 = self.old.iter().map(|object| object.len).sum();
        let free = free + empty + old;
        Usage {
            size: self.medium.len(),
            size_max: self.size_max(),
            capacity: self.room.capacity(),
            used: self.slab.used(),
            pages: self.slab.page_count() as u64,
            scattered: self.slab.scattered(),
            free,
            largest_free: longest.max(if empty > 0 { PAGE_LEN } else { 0 }),
            reserved,
        }
    }

    /// The size of the object that has found no room last; 0 if none has since this was asked.
    pub fn take_lacked(&mut self) -> u64 {
        std::mem::take(&mut self.lacked)
    }

    /// Lets everybody have the room that is kept back, until [`Pool::keep_reserve`]. For what must
    /// not fail: retry it after this.
    pub fn lend_reserve(&mut self) {
        self.reserve_access.lent = true;
    }

    /// Lets the open group have half of the room that is kept back, if all of it was there when the
    /// group began. False if it was not, or if the group has it already.
    pub fn lend_to_group(&mut self) -> bool {
        let lends = self.in_group && std::mem::take(&mut self.reserve_access.admitted);
        self.reserve_access.group |= lends;
        lends
    }

    /// Keeps room back again, after it was lent or taken, if there is enough, and gives the memory
    /// of empty pages back if there are many: so that objects of other sizes are not placed between
    /// them. O(1), and next to nothing if nothing has changed.
    ///
    /// # Errors
    /// `Damaged` if the pool's metadata contradicts itself.
    pub fn keep_reserve(&mut self) -> Result<()> {
        self.reserve_access.lent = false;
        if self.group.is_some() {
            return Ok(());
        }
        if self.slab.empty_pages() > EMPTY_MAX {
            self.trim(WORDS_MAX)?;
        }
        self.room.tidy();
        Ok(())
    }

    /// True if as much room is kept back as should be.
    pub fn has_reserve(&self) -> bool {
        !self.reserve_access.lent && self.room.is_kept()
    }
}

/// Notes damage, and goes on.
fn note(result: Result<()>, damages: &mut Vec<String>) -> Result<()> {
    match result {
        Err(Error::Damaged(what)) => damages.push(what),
        other => other?,
    }
    Ok(())
}
