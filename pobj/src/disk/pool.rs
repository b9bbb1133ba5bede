//! What a pool does at the end of a commit, of an event-loop cycle, and now and then, if it has a
//! journal.

use super::{Disk, DiskStats, resident};
use crate::error::Result;
use crate::pool::Pool;
use crate::ptr::PPtr;

impl Pool {
    /// Makes durable what was committed, with `durability disk` by one record of the journal;
    /// without it, and if nothing has changed, next to nothing.
    ///
    /// # Errors
    /// `NotDurable`. What was committed is in memory, and nobody may be told of it. From there on
    /// commits fail, until a later call succeeds; none does after a failure that leaves it open
    /// what the disk has.
    #[inline]
    pub fn sync(&mut self) -> Result<()> {
        self.medium.complete_commit();
        match self.disk.is_some() && self.medium.has_changed() {
            true => self.write_record(),
            false => Ok(()),
        }
    }

    #[cold]
    fn write_record(&mut self) -> Result<()> {
        self.ring.barrier(&mut self.medium)?;
        let Some(disk) = self.disk.as_mut() else {
            return Ok(());
        };
        if disk.process != std::process::id() {
            return Ok(());
        }
        if let Some(failure) = disk.failure.as_ref().filter(|failure| failure.is_final) {
            return Err(failure.error());
        }
        let written = disk.write(&mut self.medium);
        disk.note(written)?;
        disk.failure = None;
        let tended = disk.tend(&mut self.medium, false);
        // What is in the journal is durable: only what comes next may not be.
        disk.note_checkpoint(tended);
        Ok(())
    }

    /// [`Pool::sync`], and some of what is to be done in the background: for now and then.
    ///
    /// # Errors
    /// As for [`Pool::sync`].
    pub fn tend(&mut self) -> Result<()> {
        self.sync()?;
        if let Some(disk) = &mut self.disk
            && disk.process == std::process::id()
            && !disk
                .failure
                .as_ref()
                .is_some_and(|failure| failure.is_final)
        {
            disk.cold.look();
            let tended = disk.tend(&mut self.medium, true);
            disk.note_checkpoint(tended);
        }
        Ok(())
    }

    /// Makes durable what was committed and, with `durability disk`, has the pool's file alone hold
    /// the whole pool, until the next change. O(changes since the last checkpoint).
    ///
    /// # Errors
    /// `NotDurable`; then the pool still is the file and the journal together.
    pub fn checkpoint(&mut self) -> Result<()> {
        self.sync()?;
        let Some(disk) = &mut self.disk else {
            return Ok(());
        };
        if let Some(failure) = disk.failure.as_ref().filter(|failure| failure.is_final) {
            return Err(failure.error());
        }
        let outcome = disk.checkpoint(&mut self.medium);
        disk.note(outcome)
    }

    /// What is known of the journal and of checkpoints; `None` without `durability disk`.
    pub fn disk_stats(&self) -> Option<DiskStats> {
        Some(self.disk.as_ref()?.stats())
    }

    /// Bytes that pages may take from here on which the kernel cannot take back by itself, as
    /// [`PoolOptions::memory_limit`](crate::PoolOptions::memory_limit) says at the opening; half of
    /// the machine's memory without a number. What is more is given back with the next records, and
    /// by [`Pool::tend`]. Does nothing without `durability disk`.
    pub fn set_memory_limit(&mut self, bytes: Option<u64>) {
        if let Some(disk) = &mut self.disk {
            let bytes = bytes.unwrap_or_else(resident::usual_limit);
            disk.resident.set_limit(bytes);
        }
    }

    /// Begins to read `len` bytes at `ptr` from the pool's file, which will be asked for soon, if
    /// reads have waited for the disk of late, as [`Pool::tend`] has seen.
    #[inline]
    pub fn will_need<T>(&self, ptr: PPtr<T>, len: u64) {
        if let Some(disk) = &self.disk
            && disk.cold.waits()
        {
            self.medium.read_ahead(ptr.offset(), len);
        }
    }

    /// Why the kernel does not take pages back that are more than the memory limit, if that is so.
    pub fn not_given_back(&self) -> Option<&str> {
        self.disk.as_ref()?.resident.refused()
    }

    /// Why nothing can be made durable, if that is so.
    pub fn failure(&self) -> Option<&str> {
        let failure = self.disk.as_ref()?.failure.as_ref()?;
        Some(&failure.what)
    }

    /// Fails if nothing can be made durable.
    #[inline]
    pub(crate) fn require_durable(&self) -> Result<()> {
        match &self.disk {
            Some(disk) => disk.require_durable(),
            None => Ok(()),
        }
    }

    /// The end of what is to be durable on return: it is, unless commits are lazy. Of these, so
    /// many are durable that the next record fits into the journal's ring.
    #[inline]
    pub(crate) fn sync_unless_lazy(&mut self) -> Result<()> {
        let Some(disk) = &self.disk else {
            return Ok(());
        };
        match self.lazy && self.medium.pages_changed() <= disk.pages_of_a_record {
            true => Ok(()),
            false => self.sync(),
        }
    }

    /// libpmemobj has changed something.
    pub(crate) fn note_foreign_changes(&mut self) -> Result<()> {
        match &mut self.disk {
            Some(disk) => disk.find_foreign(&mut self.medium),
            None => Ok(()),
        }
    }
}

impl Disk {
    #[cold]
    fn require_durable(&self) -> Result<()> {
        match &self.failure {
            Some(failure) => Err(failure.error()),
            None => Ok(()),
        }
    }
}
