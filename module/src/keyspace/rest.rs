//! What rests while writes are paused, by CLIENT PAUSE or a failover.
//!
//! Whoever pauses writes and has the pool's file completed (`PM.POOL CHECKPOINT`) copies the file
//! until the pause ends: nothing may change in it meanwhile, or the copy has some objects twice and
//! others not at all; and with a journal, the file would not be complete any more. So all that
//! changes the pool without a command of a client rests: memory is not reclaimed, nor are empty
//! pages given back (`room.rs`), nothing is moved (`compact.rs`), fields do not expire and keys are
//! not evicted, as natively, nor adopted, and the pool does not grow. What the server does with its
//! files is noted in the pool afterwards. All of it goes on by itself when the pause is over.

use super::Engine;
use crate::redis::spares_replicas;
use pobj::Result;
use std::path::Path;
use store::lifetime::file_look;

/// What is to be noted in the pool when the pause is over.
#[derive(Default)]
pub(super) struct UnwrittenNotes {
    /// The last fork: its LSN, or that its child has left nothing that is not noted.
    fork: Option<Fork>,
    /// What the RDB looks like that was made last.
    rdb: Option<u64>,
}

/// What is to be noted of a fork.
#[derive(Clone, Copy)]
enum Fork {
    At(u64),
    Over,
}

impl UnwrittenNotes {
    fn is_empty(&self) -> bool {
        self.fork.is_none() && self.rdb.is_none()
    }
}

/// Whether nothing may change in the pool now but by commands of clients. A few instructions.
#[inline]
pub(super) fn writes_are_paused() -> bool {
    spares_replicas()
}

impl Engine {
    /// True if something is to be noted in the pool when writes are not paused any more.
    #[inline]
    pub(super) fn has_unwritten_notes(&self) -> bool {
        !self.unwritten_notes.is_empty()
    }

    /// A child was forked, which may make an RDB of what the pool holds now.
    pub(super) fn note_fork(&mut self) -> Result<()> {
        self.unwritten_notes.fork = Some(Fork::At(self.store.pool.lsn()));
        self.write_notes()
    }

    /// The child is gone, and what it has left is noted.
    pub(super) fn forget_fork(&mut self) -> Result<()> {
        self.unwritten_notes.fork = Some(Fork::Over);
        self.write_notes()
    }

    /// The RDB at this path belongs to this pool.
    pub(super) fn note_rdb(&mut self, path: &Path) -> Result<()> {
        self.unwritten_notes.rdb = Some(file_look(path));
        self.write_notes()
    }

    /// Notes in the pool what has waited for the end of the pause, if that is over.
    ///
    /// Until then nothing has changed in the pool: an RDB of the pause is known by its LSN, that of
    /// the pool.
    pub(super) fn write_notes(&mut self) -> Result<()> {
        if self.unwritten_notes.is_empty() || writes_are_paused() {
            return Ok(());
        }
        self.note_all()
    }

    fn note_all(&mut self) -> Result<()> {
        // What is not noted now is noted the next time. The RDB comes first: until it is noted, it
        // is known by the fork.
        if let Some(look) = self.unwritten_notes.rdb {
            self.store.note_rdb(look)?;
            self.unwritten_notes.rdb = None;
        }
        match self.unwritten_notes.fork {
            Some(Fork::At(lsn)) => self.store.note_fork(lsn)?,
            Some(Fork::Over) => self.store.forget_fork()?,
            None => {}
        }
        self.unwritten_notes.fork = None;
        Ok(())
    }

    /// The server leaves the pool, paused or not: who copies it has it complete.
    pub(super) fn leave_pool(&mut self) -> Result<()> {
        let noted = self.note_all();
        self.store.close()?;
        noted
    }

    /// Keeps the pool's reserve, and gives empty pages back, unless that has to rest.
    #[inline]
    pub(super) fn keep_reserve(&mut self) -> Result<()> {
        if writes_are_paused() {
            Ok(())
        } else {
            self.store.pool.keep_reserve()
        }
    }
}
