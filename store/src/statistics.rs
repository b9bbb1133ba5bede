//! What can be told of a pool: how full it is, and what was done to it.

use crate::Store;
use pobj::{DiskStats, Durability, Traffic, Usage};

/// What can be told of a pool at a moment.
#[derive(Debug)]
pub struct Statistics {
    /// What a commit survives.
    pub durability: Durability,
    /// How full the pool is.
    pub usage: Usage,
    /// Flushes and fences since the pool was opened.
    pub traffic: Traffic,
    /// How far the pool's history has come.
    pub lsn: u64,
    /// How far it had come when the pool was opened.
    pub found_lsn: u64,
    /// The opening has made the pool.
    pub is_new: bool,
    /// How many parts of the pool cannot be used, as their bytes contradict themselves; records
    /// whose keys are not shown for that are among them.
    pub damages: u64,
    /// A fork child reads the pool as it was at the fork.
    pub has_snapshot: bool,
    /// Of the journal and of checkpoints; `None` without `durability disk`.
    pub disk: Option<DiskStats>,
}

impl Store {
    /// What can be told of the pool. O(1).
    pub fn statistics(&self) -> Statistics {
        let pool = &self.pool;
        Statistics {
            durability: pool.durability(),
            usage: pool.usage(),
            traffic: pool.traffic(),
            lsn: pool.lsn(),
            found_lsn: pool.found_lsn(),
            is_new: pool.is_new(),
            damages: pool.damages().len() as u64 + self.left_out,
            has_snapshot: pool.has_snapshot(),
            disk: pool.disk_stats(),
        }
    }

    /// Bytes that are free in pieces that a mebibyte does not fill. O(free runs).
    pub fn wasted(&self) -> u64 {
        self.pool.wasted()
    }
}
