//! A pool with keys in it, and what is kept of them in DRAM.

use crate::compact::Compaction;
use crate::dbs::{Dbs, Origin};
use crate::expiring::Expiring;
use crate::lsn::RunLsn;
use crate::reclaim::Garbage;
use crate::record::{Record, RecordPtr};
use crate::slots::Slots;
use crate::unshown::Unshown;
use pobj::{Durability, Pool, PoolOptions, Result};

/// The keys of a pool.
pub struct Store {
    /// The pool.
    pub pool: Pool,
    /// Databases and clock.
    pub dbs: Dbs,
    /// Hash slots that were given up.
    pub slots: Slots,
    /// Hashes of which fields may expire.
    pub expiring: Expiring,
    pub(crate) garbage: Garbage,
    pub(crate) compaction: Compaction,
    /// Keys that nobody shows yet, once the pool was surveyed; `None` when all are shown.
    pub(crate) unshown: Option<Unshown>,
    /// Records that were left out since the survey, as they are damaged.
    pub(crate) left_out: u64,
    /// A group was made durable in parts, as the undo log had no room for all of it.
    pub(crate) parted: bool,
    /// What the open group has done cannot be taken back any more.
    pub(crate) group_stays: bool,
    /// The LSN at which the pool was found.
    pub found: RunLsn,
    /// The number of this run of the pool.
    pub run: u64,
}

/// The format of the pools that this code writes.
pub const FORMAT: u64 = pobj::FORMAT_VERSION as u64;

impl Store {
    /// Opens a pool, if `admits` does not fail for it, the LSN at which it was found, and the run
    /// that begins. Durable on return.
    ///
    /// # Errors
    /// Those of the pool, and of `admits`; `Damaged` if its tables are not what this code writes.
    pub fn open(
        options: &PoolOptions,
        admits: impl FnOnce(&mut Pool, RunLsn, u64) -> Result<()>,
    ) -> Result<Store> {
        let mut pool = Pool::open(options)?;
        let dbs = Dbs::open(&pool)?;
        let slots = Slots::open(&pool)?;
        let (found, run) = (RunLsn::found(&pool)?, RunLsn::new_run());
        admits(&mut pool, found, run)?;
        RunLsn::begin_run(&mut pool, run)?;
        Ok(Store {
            pool,
            dbs,
            slots,
            expiring: Expiring::default(),
            garbage: Garbage::default(),
            compaction: Compaction::default(),
            unshown: None,
            left_out: 0,
            parted: false,
            group_stays: false,
            found,
            run,
        })
    }

    /// Drops what the pool has of keys that it began to take over from elsewhere, if it was not
    /// told that these were all: whose they are. Durable on return.
    ///
    /// # Errors
    /// `Damaged` if the pool has no word of it; those of [`Tx::commit`](pobj::Tx::commit). Nothing
    /// is dropped then.
    pub fn undo_take_over(&mut self) -> Result<Option<Origin>> {
        let origin = Dbs::taking_over(&self.pool)?;
        if origin.is_some() {
            self.dbs.flush(&mut self.pool, None)?;
            self.start_sweep();
        }
        Ok(origin)
    }

    /// The record at an address; `None` if there can be none.
    #[inline]
    pub fn record_at(&self, addr: usize) -> Option<RecordPtr> {
        self.pool.pointer_at::<Record>(addr)
    }

    /// Whether the pool is on persistent memory, truly, and its commits rely on that.
    pub fn is_on_pmem(&self) -> bool {
        let relies = self.pool.durability() == Durability::Pmem;
        relies && !pobj::is_forced() && self.pool.is_pmem()
    }

    /// Whether a group was made durable in parts since the last question.
    pub fn was_parted(&mut self) -> bool {
        std::mem::take(&mut self.parted)
    }
}
