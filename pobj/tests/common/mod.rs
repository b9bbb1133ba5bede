//! What the tests of this crate share.

use pobj::{Durability, Pool, PoolOptions};
use std::path::PathBuf;
use tempfile::TempDir;

/// A directory on tmpfs with room for a pool.
pub struct Place {
    directory: TempDir,
}

impl Place {
    pub fn new() -> Place {
        let directory = tempfile::Builder::new()
            .prefix("pobj-")
            .tempdir_in("/dev/shm");
        Place {
            directory: directory.expect("a directory on tmpfs"),
        }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("test.pool")
    }

    pub fn options(&self) -> PoolOptions {
        PoolOptions::new(self.path()).durability(Durability::Process)
    }

    /// Creates the pool, or opens it.
    pub fn open(&self, size: u64) -> Pool {
        Pool::open(&self.options().size(size)).expect("the pool opens")
    }
}
