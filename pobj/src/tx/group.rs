//! Groups: steps that are applied under the undo log, and become durable together.

use super::batch::Batch;
use crate::alloc::slab::Slot;
use crate::error::Result;
use crate::heap::Reserved;
use crate::log::record::{RecordKind, Writes};
use crate::log::ring::Extras;
use crate::pool::Pool;

/// Steps that are applied but can still be undone.
pub(crate) struct Group {
    seq: u64,
    allocs: Vec<Slot>,
    frees: Vec<Slot>,
    large_allocs: Vec<Reserved>,
    pub(super) large_frees: Vec<u64>,
}

/// How far a group had come when a transaction began.
#[derive(Clone, Copy, Default)]
pub(super) struct Savepoint {
    undo: usize,
    allocs: usize,
    frees: usize,
    large_allocs: usize,
    large_frees: usize,
}

impl Pool {
    pub(super) fn savepoint(&self) -> Option<Savepoint> {
        self.group.as_ref().map(|group| Savepoint {
            undo: self.undo.savepoint(),
            allocs: group.allocs.len(),
            frees: group.frees.len(),
            large_allocs: group.large_allocs.len(),
            large_frees: group.large_frees.len(),
        })
    }

    /// Applies the batch as a step of a group, beginning one if need be.
    pub(super) fn apply_step(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let Batch {
            writes: batch_writes,
            allocs,
            frees,
            ..
        } = &mut self.batch;
        if !allocs.is_empty() || !frees.is_empty() {
            self.slab
                .bitmap_writes(&self.medium, allocs, frees, batch_writes)?;
        }
        self.apply_encoded()
    }

    /// [`Pool::apply_step`] after the bitmap words were added.
    pub(super) fn apply_encoded(&mut self) -> Result<()> {
        let group = match self.group.as_ref() {
            Some(group) => group.seq,
            None => {
                let seq = self.ring.append(
                    &mut self.medium,
                    RecordKind::GroupBegin,
                    &Extras::default(),
                    &mut Writes::default(),
                )?;
                self.group = Some(Group {
                    seq,
                    allocs: Vec::new(),
                    frees: Vec::new(),
                    large_allocs: Vec::new(),
                    large_frees: Vec::new(),
                });
                seq
            }
        };
        self.undo.save(
            &mut self.medium,
            &mut self.heap,
            group,
            self.batch.writes.encoded(),
        )?;
        self.flush_fills()?;
        self.medium.fence();
        self.medium.apply(self.batch.writes.encoded())?;
        self.medium.write_back();
        let open = self.group.as_mut().expect("begun above");
        open.allocs.append(&mut self.batch.allocs);
        open.frees.append(&mut self.batch.frees);
        open.large_allocs.append(&mut self.batch.large_allocs);
        open.large_frees.append(&mut self.batch.large_frees);
        self.batch.clear();
        Ok(())
    }

    /// Makes the open group durable, if there is one.
    pub(crate) fn end_group(&mut self) -> Result<()> {
        if self.group.is_none() {
            return Ok(());
        }
        self.medium.fence();
        let group = self.group.as_mut().expect("checked above");
        let (mut allocs, mut frees) = (
            std::mem::take(&mut group.large_allocs),
            std::mem::take(&mut group.large_frees),
        );
        // An object the group both allocated and freed was never there.
        let (passing, allocated): (Vec<_>, Vec<_>) = allocs
            .drain(..)
            .partition(|reserved| frees.contains(&reserved.offset()));
        frees.retain(|offset| passing.iter().all(|reserved| reserved.offset() != *offset));
        for reserved in &passing {
            self.slab.remove_large(reserved.offset());
        }
        self.heap.cancel(passing);

        let publishes = !allocated.is_empty() || !frees.is_empty();
        let extras = Extras {
            publishes,
            ..Extras::default()
        };
        let seq = self.ring.append(
            &mut self.medium,
            RecordKind::GroupEnd,
            &extras,
            &mut Writes::default(),
        )?;
        if publishes {
            let offsets: Vec<u64> = allocated.iter().map(Reserved::offset).collect();
            let word = Some((self.areas.published(), seq));
            self.preserve_large(&frees);
            if let Err(error) = self.heap.publish(allocated, &frees, word) {
                offsets
                    .iter()
                    .for_each(|&offset| self.slab.remove_large(offset));
                self.ring.unwind(&mut self.medium);
                self.roll_back(Savepoint::default());
                return Err(error);
            }
            self.account_published(&offsets);
            frees
                .iter()
                .for_each(|&offset| self.slab.remove_large(offset));
        } else {
            self.medium.fence();
        }
        let group = self.group.take().expect("checked above");
        for slot in group.frees {
            self.slab.release(slot);
        }
        self.undo.clear(&mut self.heap)
    }

    /// Takes back the steps after `start`; the group ends if it began there and nobody holds it.
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
        for slot in group.allocs.drain(start.allocs..) {
            self.slab.release(slot);
        }
        group.frees.truncate(start.frees);
        let large: Vec<Reserved> = group.large_allocs.drain(start.large_allocs..).collect();
        large
            .iter()
            .for_each(|reserved| self.slab.remove_large(reserved.offset()));
        group.large_frees.truncate(start.large_frees);
        if !large.is_empty() {
            self.heap.cancel(large);
        }
        if start.undo == 0 && !self.held {
            self.group = None;
            let end = self.ring.append(
                &mut self.medium,
                RecordKind::GroupEnd,
                &Extras::default(),
                &mut Writes::default(),
            );
            self.medium.fence();
            // Without the end record the next open rolls back once more, to the same state.
            if end.is_ok() && self.undo.clear(&mut self.heap).is_err() {
                self.undo.abandon_segments();
            }
        }
    }
}
