//! Groups: steps that are applied under the undo log, and become durable together.
//!
//! What a group frees cannot be reused before its end, as undoing the group needs its bytes. Memory
//! that the group itself has allocated can: when the group is undone that memory is free, whatever
//! its bytes are. A single transaction can be rolled back, though, and then the objects of earlier
//! ones that it has freed have to be intact: such memory is *passing* until the transaction is
//! over.

use super::allocate::release_run;
use super::batch::Batch;
use crate::Kind;
use crate::alloc::page::{PAGE_GRANULES, bitmap_word};
use crate::alloc::run::{GRANULE, Run, RunKind};
use crate::alloc::slab::Slot;
use crate::error::{Error, Result, damaged};
use crate::log::ring::Extras;
use crate::log_record::{RecordKind, Writes};
use crate::pool::Pool;
use crate::ptr::PPtr;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Something that a group has allocated.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Made {
    Slot(Slot),
    Run(Run),
}

/// What a group did to slab pages, by their offsets.
enum PageChange {
    /// It was made.
    Made(u64),
    /// It was empty, and its memory was given up.
    GivenUp(u64),
}

/// Steps that are applied but can still be undone.
pub(crate) struct Group {
    seq: u64,
    /// What was allocated, in order; `None` where it is given up again.
    made: Vec<Option<Made>>,
    /// Where in `made` things are, of the first `indexed`.
    places: HashMap<Made, usize>,
    indexed: usize,
    /// Places of what was made by earlier transactions, and given up by the running one.
    passing: Vec<usize>,
    /// What is given up and is older than the group.
    frees: Vec<Slot>,
    run_frees: Vec<Run>,
    object_frees: Vec<u64>,
    pages: Vec<PageChange>,
}

/// How far a group had come when a transaction began.
#[derive(Clone, Copy, Default)]
pub(super) struct Savepoint {
    undo: usize,
    made: usize,
    frees: usize,
    run_frees: usize,
    object_frees: usize,
    pages: usize,
}

impl Group {
    fn new(seq: u64) -> Group {
        Group {
            seq,
            made: Vec::new(),
            places: HashMap::new(),
            indexed: 0,
            passing: Vec::new(),
            frees: Vec::new(),
            run_frees: Vec::new(),
            object_frees: Vec::new(),
            pages: Vec::new(),
        }
    }

    /// Where in `made` something is, if this group has made it. Groups that free nothing never
    /// look.
    fn place(&mut self, made: Made) -> Option<usize> {
        for (place, made) in self.made.iter().enumerate().skip(self.indexed) {
            if let Some(made) = made {
                self.places.insert(*made, place);
            }
        }
        self.indexed = self.made.len();
        self.places.get(&made).copied()
    }

    /// Takes what is at a place of `made` out.
    fn forget(&mut self, place: usize) -> Option<Made> {
        let made = self.made[place].take()?;
        self.places.remove(&made);
        Some(made)
    }

    /// Notes that something is freed by a transaction that began at `start`. True if its memory is
    /// free at once.
    fn give_up(&mut self, freed: Made, start: Savepoint) -> bool {
        match (self.place(freed), freed) {
            (Some(place), _) if place >= start.made => {
                self.forget(place);
                true
            }
            (Some(place), _) => {
                self.passing.push(place);
                false
            }
            (None, Made::Slot(slot)) => {
                self.frees.push(slot);
                false
            }
            (None, Made::Run(run)) => {
                self.run_frees.push(run);
                false
            }
        }
    }

    /// True if a large object of libpmemobj's is freed already.
    pub(super) fn frees_object(&self, offset: u64) -> bool {
        self.object_frees.contains(&offset)
    }
}

impl Pool {
    pub(super) fn savepoint(&self) -> Option<Savepoint> {
        self.group.as_ref().map(|group| Savepoint {
            undo: self.undo.savepoint(),
            made: group.made.len(),
            frees: group.frees.len(),
            run_frees: group.run_frees.len(),
            object_frees: group.object_frees.len(),
            pages: group.pages.len(),
        })
    }

    /// Applies the batch, of a transaction that began at `start`, as a step of a group, beginning
    /// one if need be.
    pub(super) fn apply_step(&mut self, start: Savepoint) -> Result<()> {
        self.batch.settle_fills();
        if self.batch.is_empty() {
            return Ok(());
        }
        if self.refused {
            return Err(self.lack(0));
        }
        self.encode_allocations()?;
        self.apply_encoded(start)
    }

    /// [`Pool::apply_step`] after the words that tell of allocations were added.
    pub(super) fn apply_encoded(&mut self, start: Savepoint) -> Result<()> {
        let seq = self.log_group_begin()?;
        let save = |pool: &mut Pool| {
            let encoded = pool.batch.writes.encoded();
            (pool.undo).save(&mut pool.medium, &mut pool.room, seq, encoded)
        };
        let saved = match save(self) {
            Err(Error::Full(bytes)) if self.grow_for(bytes.div_ceil(GRANULE)) => save(self),
            saved => saved,
        };
        saved.map_err(|error| match error {
            Error::Full(bytes) => self.lack(bytes),
            other => other,
        })?;
        self.flush_fills()?;
        self.medium.fence();
        self.medium.apply(self.batch.writes.encoded())?;
        self.medium.flush_dirty();
        self.enter_step(start);
        self.batch.clear();
        Ok(())
    }

    /// The number of the group whose begin is in the log; logged now if there is none.
    fn log_group_begin(&mut self) -> Result<u64> {
        if let Some(group) = &self.group {
            return Ok(group.seq);
        }
        self.ring.append(
            &mut self.medium,
            RecordKind::GroupBegin,
            &Extras::default(),
            &mut Writes::default(),
        )?;
        let seq = self.ring.lsn();
        self.group = Some(Group::new(seq));
        Ok(seq)
    }

    /// Notes what an applied batch has allocated and freed.
    fn enter_step(&mut self, start: Savepoint) {
        let group = self.group.as_mut().expect("the step has a group");
        let Batch {
            allocs,
            frees,
            runs,
            run_frees,
            pages,
            object_frees,
            ..
        } = &mut self.batch;
        for slot in frees.drain(..) {
            if group.give_up(Made::Slot(slot), start) {
                self.slab.release(slot);
            }
        }
        for run in run_frees.drain(..) {
            if group.give_up(Made::Run(run), start) {
                release_run(&mut self.slab, &mut self.room, &run, true);
            }
        }
        group
            .made
            .extend(allocs.drain().map(|slot| Some(Made::Slot(slot))));
        group
            .made
            .extend(runs.drain().map(|run| Some(Made::Run(run))));
        group.pages.extend(pages.drain(..).map(PageChange::Made));
        group.object_frees.append(object_frees);
    }

    /// A transaction of the open group is over, and will not be taken back alone: what it gave up
    /// of the group's own is free.
    pub(super) fn end_transaction(&mut self) {
        let Some(group) = self.group.as_mut() else {
            return;
        };
        for place in std::mem::take(&mut group.passing) {
            match group.forget(place) {
                Some(Made::Slot(slot)) => self.slab.release(slot),
                Some(Made::Run(run)) => release_run(&mut self.slab, &mut self.room, &run, true),
                None => {}
            }
        }
    }

    /// Gives the memory of empty pages up within a group, at most `limit` of them; returns how
    /// many. Undoing the group puts their headers and bitmaps back, and the words of their runs: so
    /// the memory can be used at once.
    pub(super) fn trim_in_group(&mut self, limit: usize) -> Result<usize> {
        let Some(seq) = self.group.as_ref().map(|group| group.seq) else {
            return Ok(0);
        };
        let pages = self.take_empty_pages(limit);
        if pages.is_empty() {
            return Ok(0);
        }
        let mut writes = Writes::default();
        let zeros = vec![0; bitmap_word(0, 64) as usize];
        for (offset, header) in &pages {
            writes.push(*offset, &zeros[..header.head_len() as usize]);
            if let Some(word) = self.room.word_at(*offset) {
                writes.push(word, &[0; 8]);
            }
        }
        let encoded = writes.encoded();
        let saved = self
            .undo
            .save(&mut self.medium, &mut self.room, seq, encoded);
        if saved.is_err() {
            pages
                .iter()
                .for_each(|&(offset, header)| self.slab.add_fresh_page(offset, header));
            return Ok(0);
        }
        self.medium.fence();
        self.medium.apply(encoded)?;
        self.medium.flush_dirty();
        let group = self.group.as_mut().expect("found above");
        for &(offset, _) in &pages {
            group.pages.push(PageChange::GivenUp(offset));
            self.room.give(offset, PAGE_GRANULES, true);
        }
        Ok(pages.len())
    }

    /// Makes the steps since [`Pool::log_group_begin`] durable, if there are any: logs their end.
    pub(crate) fn log_group_end(&mut self) -> Result<()> {
        if self.group.is_none() {
            return Ok(());
        }
        self.medium.fence();
        self.ring.append(
            &mut self.medium,
            RecordKind::GroupEnd,
            &Extras::default(),
            &mut Writes::default(),
        )?;
        self.medium.fence();
        self.end_transaction();
        if let Some(group) = self.group.take() {
            for slot in group.frees {
                self.slab.release(slot);
            }
            for run in group.run_frees {
                release_run(&mut self.slab, &mut self.room, &run, false);
            }
            self.note_freed_objects(&group.object_frees);
        }
        self.clear_undo()
    }

    /// The group is over, durably: gives the undo log's segments back, and what the group gave up.
    fn clear_undo(&mut self) -> Result<()> {
        let segments = self.undo.clear(&mut self.medium)?;
        for (offset, len) in segments {
            self.room.give(offset, len / GRANULE, false);
        }
        self.room.free_loose();
        Ok(())
    }

    /// The objects of `kind` that the open group has made, changed or freed, each once, and whether
    /// each is there now. O(what the group has done).
    ///
    /// # Errors
    /// `Damaged` if the undo log contradicts itself.
    pub fn changed_in_group(&self, kind: Kind) -> Result<Vec<(PPtr<u8>, bool)>> {
        let Some(group) = &self.group else {
            return Ok(Vec::new());
        };
        let freed = group.frees.iter().map(|&slot| self.slab.slot_offset(slot));
        let freed = freed.chain(group.run_frees.iter().map(|run| run.offset));
        let freed: HashSet<u64> = freed.chain(group.object_frees.iter().copied()).collect();
        let made = group.made.iter().flatten().map(|made| match made {
            Made::Slot(slot) => self.slab.slot_offset(*slot),
            Made::Run(run) => run.offset,
        });
        let written = self.undo.saved(&self.medium)?;
        let written = written.iter().map(|&(offset, _)| offset);
        let offsets = made.chain(freed.iter().copied()).chain(written);
        let objects = offsets.filter_map(|offset| self.slab.object_around(offset));
        let objects: BTreeSet<u64> = objects
            .filter_map(|(start, found)| (found == kind).then_some(start))
            .collect();
        let objects = objects.into_iter().filter_map(|start| {
            let is_there = !freed.contains(&start) && self.slab.size_at(start).is_some();
            Some((PPtr::new(start)?, is_there))
        });
        Ok(objects.collect())
    }

    /// Rolls back all that the open group has done, durably; what it then commits is refused, as if
    /// there was no room, until [`Pool::end_group`]. O(what the group has done).
    ///
    /// # Errors
    /// `Damaged` if the undo log contradicts itself: the group is as it was.
    pub fn roll_back_group(&mut self) -> Result<()> {
        let in_group = std::mem::replace(&mut self.in_group, false);
        self.roll_back(Savepoint::default());
        self.in_group = in_group;
        if self.group.is_some() {
            return Err(damaged("the undo log of a group", self.areas.undo));
        }
        self.refuse_group();
        Ok(())
    }

    /// Refuses what the group commits from here on, as if there was no room, until
    /// [`Pool::end_group`].
    pub fn refuse_group(&mut self) {
        self.refused = self.in_group;
    }

    /// Whether what the group commits is refused.
    pub fn refuses_group(&self) -> bool {
        self.refused
    }

    /// Takes back the steps after `start`. If they are all, and no [`Pool::begin_group`] is open,
    /// their end is logged.
    pub(super) fn roll_back(&mut self, start: Savepoint) {
        let Some(group) = self.group.as_mut() else {
            return;
        };
        // The undo entries were written by this process and lie inside the pool, so putting them
        // back fails only if the pool's memory itself contradicts itself; then the group stays
        // open, and the recovery at the next open decides.
        if self.undo.roll_back(&mut self.medium, start.undo).is_err() {
            return;
        }
        group.passing.clear();
        for place in start.made..group.made.len() {
            match group.forget(place) {
                Some(Made::Slot(slot)) => self.slab.release(slot),
                Some(Made::Run(run)) => release_run(&mut self.slab, &mut self.room, &run, true),
                None => {}
            }
        }
        group.made.truncate(start.made);
        group.indexed = group.indexed.min(start.made);
        group.frees.truncate(start.frees);
        group.run_frees.truncate(start.run_frees);
        group.object_frees.truncate(start.object_frees);
        for change in group.pages.drain(start.pages..).rev() {
            match change {
                PageChange::Made(offset) => {
                    if self.slab.take_page(offset) {
                        self.room.give(offset, PAGE_GRANULES, true);
                    }
                }
                PageChange::GivenUp(offset) => {
                    let run = Run {
                        offset,
                        granules: PAGE_GRANULES,
                        kind: RunKind::Page,
                    };
                    let is_back = self.room.take_back(&run);
                    debug_assert!(is_back, "what was made there since is taken back");
                    if is_back && self.slab.add_page(&self.medium, offset).is_err() {
                        debug_assert!(false, "the page's header was put back");
                    }
                }
            }
        }
        if start.undo == 0 && !self.in_group {
            self.group = None;
            let end = self.ring.append(
                &mut self.medium,
                RecordKind::GroupEnd,
                &Extras::default(),
                &mut Writes::default(),
            );
            self.medium.fence();
            // Without the end record the next open rolls back once more, to the same state: so the
            // undo log stays as it is then.
            if end.is_ok() {
                let cleared = self.clear_undo();
                debug_assert!(cleared.is_ok(), "the log's first word is in the pool");
            }
        }
    }
}
