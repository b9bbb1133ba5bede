//! What the tests of this crate share.

#![allow(dead_code, reason = "no test needs all of it")]

pub(crate) mod no_room;

use pobj::{Advice, Durability, Kind, Layout, Pool, PoolOptions};
use std::path::PathBuf;
use tempfile::TempDir;

/// A kind of objects.
pub(crate) const DATA: Kind = Kind::new(0);
/// Another kind.
pub(crate) const RECORD: Kind = Kind::new(1);

/// The layout of the pools.
pub(crate) static LAYOUT: Layout = Layout {
    name: c"pobj test",
    magic: u64::from_le_bytes(*b"POBJTEST"),
    kinds: 2,
    mark: c"user.pobj-test.mark",
    advice: Advice {
        newer_format: "use a newer program",
        not_persistent: "use another file system",
        not_one_file: "use one file",
        fixed_size: "open it with another size",
        fixed_parts: "copy it",
    },
};

/// A directory on tmpfs with room for a pool.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        let directory = tempfile::Builder::new()
            .prefix("pobj-")
            .tempdir_in("/dev/shm");
        Place {
            directory: directory.expect("a directory on tmpfs"),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("test.pool")
    }

    pub(crate) fn options(&self) -> PoolOptions {
        PoolOptions::new(self.path(), &LAYOUT).durability(Durability::Process)
    }

    /// Creates the pool, or opens it.
    pub(crate) fn open(&self, size: u64) -> Pool {
        Pool::open(&self.options().size(size)).expect("the pool opens")
    }
}
