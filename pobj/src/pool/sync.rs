//! What a pool does at the end of a commit, of an event-loop cycle, and now and then, if it has a
//! journal.

use super::Pool;
use crate::disk::DiskStats;
use crate::durability::CommitMode;
use crate::error::Result;
use crate::ptr::PPtr;
use std::path::Path;

impl Pool {
    /// Makes durable what was committed outside of the open group: by the fence that the last
    /// commit has deferred or, with `durability disk`, by one record of the journal. Next to
    /// nothing if it is durable already.
    ///
    /// # Errors
    /// `NotDurable`. What was committed is in memory, and nobody may be told of it. From there on
    /// commits fail, until a later call succeeds; none does after a failure that leaves it open
    /// what the disk has.
    #[inline]
    pub fn sync(&mut self) -> Result<()> {
        self.medium.complete_commit();
        if self.disk.is_some() && self.medium.has_changed() {
            self.write_record()
        } else {
            Ok(())
        }
    }

    #[cold]
    fn write_record(&mut self) -> Result<()> {
        self.ring.barrier(&mut self.medium)?;
        match &mut self.disk {
            Some(disk) => disk.append_record(&mut self.medium),
            None => Ok(()),
        }
    }

    /// [`Pool::sync`], and some of what is to be done in the background: for now and then.
    ///
    /// # Errors
    /// As for [`Pool::sync`].
    pub fn tend(&mut self) -> Result<()> {
        self.sync()?;
        if let Some(disk) = &mut self.disk {
            disk.tend_idle(&mut self.medium);
        }
        Ok(())
    }

    /// Makes durable what was committed and, with `durability disk`, has the pool's file alone hold
    /// the whole pool, until the next change. O(changes since the last checkpoint).
    ///
    /// # Errors
    /// `NotDurable`; or `State` if all is durable, and what comes next will be, but the file cannot
    /// be written now. The pool still is the file and the journal together then.
    pub fn checkpoint(&mut self) -> Result<()> {
        self.sync()?;
        match &mut self.disk {
            Some(disk) => disk.complete_checkpoint(&mut self.medium),
            None => Ok(()),
        }
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
            disk.set_memory_limit(bytes);
        }
    }

    /// Begins to read `len` bytes at `ptr` from the pool's file, which will be asked for soon, if
    /// reads have waited for the disk of late, as [`Pool::tend`] has seen.
    #[inline]
    pub fn will_need<T>(&self, ptr: PPtr<T>, len: u64) {
        if let Some(disk) = &self.disk
            && disk.reads_wait()
        {
            self.medium.read_ahead(ptr.offset(), len);
        }
    }

    /// Where the journal of another pool was put, or of another file of this one, that lay where
    /// this one has its own, if there was one. That pool needs it, and takes it back when it is
    /// opened at this place again.
    pub fn journal_set_aside(&self) -> Option<&Path> {
        self.disk.as_ref()?.set_aside()
    }

    /// Why the kernel does not take pages back that are more than the memory limit, if that is so.
    pub fn not_given_back(&self) -> Option<&str> {
        self.disk.as_ref()?.not_given_back()
    }

    /// Why nothing can be made durable, if that is so.
    pub fn failure(&self) -> Option<&str> {
        self.disk.as_ref()?.failure()
    }

    /// Fails if nothing can be made durable.
    #[inline]
    pub(super) fn require_durable(&self) -> Result<()> {
        match &self.disk {
            Some(disk) => disk.require_durable(),
            None => Ok(()),
        }
    }

    /// The end of what is to be durable on return: it is, unless commits are deferred. Of these, so
    /// many are durable that the next record fits into the journal's ring.
    ///
    /// What was committed is in memory, so a failure is no failure of the commit: whoever made it
    /// has to go on from there. The pool remembers it, and [`Pool::sync`] tells.
    #[inline]
    pub(super) fn sync_unless_deferred(&mut self) {
        let Some(disk) = &self.disk else {
            return;
        };
        if self.commit_mode == CommitMode::Immediate
            || !disk.has_room_for(self.medium.pages_changed())
        {
            let _ = self.sync();
        }
    }

    /// libpmemobj has changed something.
    pub(super) fn note_foreign_changes(&mut self) -> Result<()> {
        match &mut self.disk {
            Some(disk) => disk.find_foreign(&mut self.medium),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::log_record::Writes;
    use crate::{Advice, Durability, Layout, Pool, PoolOptions};
    use std::mem::ManuallyDrop;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    static LAYOUT: Layout = Layout {
        name: c"sync",
        magic: u64::from_le_bytes(*b"SYNC\0\0\0\0"),
        kinds: 1,
        mark: c"user.sync.mark",
        advice: Advice {
            newer_format: "",
            not_persistent: "",
            not_one_file: "",
            fixed_size: "",
            fixed_parts: "",
        },
    };

    /// Dropping the writes and going on would leave memory behind the log, and nobody told.
    #[test]
    fn after_a_committed_write_that_cannot_be_placed_the_pool_is_not_read() {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let options = PoolOptions::new(place.path().join("pool"), &LAYOUT);
        let options = options.durability(Durability::Process).size(16 << 20);
        // Closing it would end in the same panic.
        let mut pool = ManuallyDrop::new(Pool::open(&options).unwrap());
        let mut writes = Writes::default();
        writes.push(1 << 40, &[1; 8]);
        pool.medium.defer_commit(&mut writes);
        for _ in 0..2 {
            let loaded = catch_unwind(AssertUnwindSafe(|| pool.medium.bytes(0, 8).map(|_| ())));
            assert!(loaded.is_err(), "{loaded:?}");
        }
    }
}
