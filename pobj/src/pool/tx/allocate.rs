//! What allocation does when no slot is at hand: pages and objects that are runs of granules, and
//! where the room for them comes from.

use crate::Kind;
use crate::alloc::classes;
use crate::alloc::page::{PAGE_GRANULES, PageHeader};
use crate::alloc::room::{Access, Room};
use crate::alloc::run::{GRANULE, Run, RunKind};
use crate::alloc::slab::{Slab, Slot};
use crate::error::{Error, Result, damaged};
use crate::layout::type_num;
use crate::log_record::Fill;
use crate::pool::Pool;
use std::collections::HashSet;

/// Largest object: what fits into one extent, which is one object of libpmemobj's.
pub(crate) const OBJECT_MAX: u64 = (16 << 30) - (16 << 20);
/// Empty pages that a group gives up at a time.
const TRIM_IN_GROUP: usize = 64;

/// Who may take what is kept back.
#[derive(Default)]
pub(crate) struct ReserveAccess {
    /// Everybody, until it is kept back again.
    pub lent: bool,
    /// The running transaction, as it removes things.
    pub removes: bool,
    /// Half of it the running transaction, as it puts elsewhere what it removes.
    pub moves: bool,
    /// All of it was there when the open group began.
    pub admitted: bool,
    /// Half of it the open group.
    pub group: bool,
}

impl ReserveAccess {
    /// What the running transaction may take.
    fn access(&self) -> Access {
        if self.lent || self.removes && !self.moves {
            Access::Whole
        } else if self.moves || self.group {
            Access::Half
        } else {
            Access::Ordinary
        }
    }

    /// The open group is over.
    pub(crate) fn end_group(&mut self) {
        (self.admitted, self.group) = (false, false);
    }

    #[inline]
    pub(crate) fn end_transaction(&mut self) {
        (self.removes, self.moves) = (false, false);
    }
}

impl Pool {
    /// Makes a slab page and reserves a slot in it, or in a larger one if there is no room.
    #[cold]
    pub(super) fn reserve_in_new_page(&mut self, class: u8, kind: Kind) -> Result<(Slot, u64)> {
        let size = u64::from(classes::SIZES[class as usize]);
        let offset = match self.find(PAGE_GRANULES)? {
            Some(offset) => offset,
            None => {
                // An evacuation may have ended, whose pages have free slots.
                if let Some(found) = self.slab.reserve(class, kind) {
                    return Ok(found);
                }
                // What moves has the room that it needs, and would grow with each move.
                if self.moving {
                    return Err(Error::Full(size));
                }
                if let Some(found) = self.slab.reserve_larger(class, kind, 2 * size) {
                    return Ok(found);
                }
                if let Some(found) = self.slab.reserve_evacuating(class, kind, 2 * size) {
                    return Ok(found);
                }
                match self.find_kept(PAGE_GRANULES) {
                    Some(offset) => offset,
                    None => return self.reserve_any_larger(class, kind),
                }
            }
        };
        let header = PageHeader::new(offset, class, kind);
        let mut head = vec![0; header.head_len() as usize];
        let bytes = bytemuck::bytes_of(&header);
        head[..bytes.len()].copy_from_slice(bytes);
        self.medium.stream(offset, &head)?;
        // The bitmap's words change again with the batch's own writes: a hash of them would not
        // hold. What is streamed is durable before the record instead.
        self.batch.streamed.push(Fill {
            offset,
            len: head.len() as u64,
        });
        self.batch.make_page(offset);
        self.slab.add_fresh_page(offset, header);
        self.slab.reserve(class, kind).ok_or(Error::Full(size))
    }

    /// A slot of any larger class, for who must not fail.
    fn reserve_any_larger(&mut self, class: u8, kind: Kind) -> Result<(Slot, u64)> {
        let found = match self.reserve_access.access() {
            Access::Ordinary => None,
            Access::Half | Access::Whole => self.slab.reserve_larger(class, kind, u64::MAX),
        };
        found.ok_or_else(|| self.lack(u64::from(classes::SIZES[class as usize])))
    }

    /// Notes that an object of `size` bytes finds no room: the error.
    #[cold]
    pub(super) fn lack(&mut self, size: u64) -> Error {
        self.lacked = size;
        Error::Full(size)
    }

    /// Reserves an object that is a run of granules.
    #[cold]
    pub(super) fn reserve_run(&mut self, size: u64, kind: Kind) -> Result<u64> {
        if size > OBJECT_MAX {
            return Err(Error::TooLarge(size));
        }
        let granules = size.div_ceil(GRANULE);
        let found = self.find(granules)?;
        let offset = found.or_else(|| self.find_kept(granules));
        let run = Run {
            offset: offset.ok_or_else(|| self.lack(size))?,
            granules,
            kind: RunKind::Object(kind),
        };
        self.slab.add_fresh_run(run, kind);
        self.batch.allocate_run(run);
        Ok(run.offset)
    }

    /// Takes granules that are free, or become free by giving empty pages back.
    #[inline(always)]
    fn find(&mut self, granules: u64) -> Result<Option<u64>> {
        if self.moving {
            return Ok(self.room.take_packed(granules));
        }
        match self.room.take(granules, Access::Ordinary) {
            Some(offset) => Ok(Some(offset)),
            None => self.find_with_more_room(granules),
        }
    }

    /// [`Pool::find`] where no run that is free has so many granules.
    #[cold]
    fn find_with_more_room(&mut self, granules: u64) -> Result<Option<u64>> {
        let given_back = match self.group {
            Some(_) => self.trim_in_group(TRIM_IN_GROUP)?,
            None => self.trim(usize::MAX)?,
        };
        let mut found = match given_back {
            0 => None,
            _ => self.room.take(granules, Access::Ordinary),
        };
        // Whom an evacuation does not help leaves it as it is: a writer that is refused and tries
        // again would else end each before it has gathered anything.
        if found.is_none() {
            found = self.find_with_held(granules, Access::Ordinary);
        }
        if found.is_none() && self.grow_for(granules) {
            found = self.room.take(granules, Access::Ordinary);
        }
        Ok(found)
    }

    /// Takes granules that are kept back, if the running transaction may.
    fn find_kept(&mut self, granules: u64) -> Option<u64> {
        let access = self.reserve_access.access();
        let found = self.room.take(granules, access);
        if found.is_some() || access == Access::Ordinary {
            return found;
        }
        // Some of what is kept back may lie where the pool is being emptied.
        self.find_with_held(granules, access)
    }

    /// Takes granules, those that an evacuation holds included; it ends if that finds some.
    fn find_with_held(&mut self, granules: u64, access: Access) -> Option<u64> {
        let found = self.room.take_with_held(granules, access);
        if found.is_some() {
            self.end_evacuation();
        }
        found
    }

    /// Frees an object that is no slot, with the batch.
    #[inline(never)]
    pub(super) fn free_alone(&mut self, offset: u64) -> Result<()> {
        match self.slab.run_at(offset) {
            Some(run) => self.free_run(run),
            None if self.slab.size_at(offset).is_some() => self.free_object(offset),
            None => Err(damaged("a pointer to nothing allocated", offset)),
        }
    }

    /// Frees an object that is a run, with the batch, which gets the change of its word.
    #[inline]
    fn free_run(&mut self, run: Run) -> Result<()> {
        self.batch.forget_fills(run.offset, run.len());
        if let Some(at) = self.batch.runs.place(run.offset) {
            self.batch.runs.remove(at);
            release_run(&mut self.slab, &mut self.room, &run, self.group.is_some());
            return Ok(());
        }
        let at = word_at(&self.room, run.offset)?;
        if !run.is_said_by(self.medium.word(at)?) {
            return Err(damaged("an object that is freed twice", run.offset));
        }
        self.batch.writes.push(at, &[0; 8]);
        self.batch.free_run(run);
        Ok(())
    }

    /// Frees a large object of libpmemobj's, with the batch.
    fn free_object(&mut self, offset: u64) -> Result<()> {
        let group = self.group.as_ref();
        if group.is_some_and(|group| group.frees_object(offset))
            || self.batch.object_frees.contains(&offset)
        {
            return Err(damaged("an object that is freed twice", offset));
        }
        self.batch.free_object(offset);
        Ok(())
    }

    /// Adds the words of the runs that the batch allocates; it has those of the runs that it frees.
    #[inline]
    pub(super) fn encode_runs(&mut self) -> Result<()> {
        if self.batch.run_frees.len() > 1 {
            all_differ(&self.batch.run_frees)?;
        }
        if self.batch.makes_runs() {
            self.encode_made_runs()?;
        }
        Ok(())
    }

    #[inline(never)]
    fn encode_made_runs(&mut self) -> Result<()> {
        let (seed, batch) = (self.room.seed(), &mut self.batch);
        for run in batch.runs.iter() {
            let word = run.word(seed).to_le_bytes();
            batch.writes.push(word_at(&self.room, run.offset)?, &word);
        }
        for &offset in &batch.pages {
            let run = Run {
                offset,
                granules: PAGE_GRANULES,
                kind: RunKind::Page,
            };
            let word = run.word(seed).to_le_bytes();
            batch.writes.push(word_at(&self.room, offset)?, &word);
        }
        for &offset in &batch.object_frees {
            let word = type_num::FREED.to_le_bytes();
            batch.writes.push(type_num::word_of(offset), &word);
        }
        Ok(())
    }

    /// Gives back what a committed batch has freed, which is cleared then.
    #[inline(never)]
    pub(super) fn release_runs(&mut self) {
        for run in &self.batch.run_frees {
            self.slab.remove_large(run.offset);
            self.room.give(run.offset, run.granules, false);
        }
        if !self.batch.object_frees.is_empty() {
            let freed = std::mem::take(&mut self.batch.object_frees);
            self.note_freed_objects(&freed);
        }
    }

    /// Gives back what a dropped batch has allocated.
    pub(super) fn drop_runs(&mut self) {
        let in_group = self.group.is_some();
        for run in self.batch.runs.take() {
            release_run(&mut self.slab, &mut self.room, &run, in_group);
        }
        for offset in std::mem::take(&mut self.batch.pages) {
            if self.slab.take_page(offset) {
                self.room.give(offset, PAGE_GRANULES, in_group);
            }
        }
    }
}

/// Gives the granules of a run back, loose while a group is open.
#[inline(never)]
pub(super) fn release_run(slab: &mut Slab, room: &mut Room, run: &Run, in_group: bool) {
    slab.remove_large(run.offset);
    room.give(run.offset, run.granules, in_group);
}

/// Where the word stands that tells of a run.
#[inline]
fn word_at(room: &Room, offset: u64) -> Result<u64> {
    let word = room.word_at(offset);
    word.ok_or_else(|| damaged("a run outside of all extents", offset))
}

/// An error if a run is among these twice.
#[cold]
fn all_differ(runs: &[Run]) -> Result<()> {
    let mut seen = HashSet::new();
    let twice = runs.iter().find(|run| !seen.insert(run.offset));
    match twice {
        Some(run) => Err(damaged("an object that is freed twice", run.offset)),
        None => Ok(()),
    }
}
