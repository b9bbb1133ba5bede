//! How to open a pool.

use crate::disk::Limits;
use crate::durability::Durability;
use crate::identity::Layout;
use std::path::PathBuf;

/// How to open a pool.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    pub(super) path: PathBuf,
    pub(super) layout: &'static Layout,
    pub(super) size: Option<u64>,
    pub(super) max_size: Option<u64>,
    pub(super) seed: Option<[u64; 2]>,
    pub(super) durability: Durability,
    pub(super) limits: Limits,
    pub(super) without_journal: bool,
    pub(super) as_it_is: bool,
    pub(super) accepts_copy: bool,
}

impl PoolOptions {
    /// A pool at `path`: a file, a poolset description made with `pmempool create`, or a device-DAX
    /// device.
    pub fn new(path: impl Into<PathBuf>, layout: &'static Layout) -> PoolOptions {
        PoolOptions {
            path: path.into(),
            layout,
            size: None,
            max_size: None,
            seed: None,
            durability: Durability::default(),
            limits: Limits::default(),
            without_journal: false,
            as_it_is: false,
            accepts_copy: false,
        }
    }

    /// The size in bytes to create the pool with if it is absent, or to grow to if it has less and
    /// can.
    pub fn size(mut self, bytes: u64) -> PoolOptions {
        self.size = Some(bytes);
        self
    }

    /// The size in bytes up to which the pool may grow while it is open. If it is absent it is made
    /// in a directory, so that it can.
    pub fn max_size(mut self, bytes: u64) -> PoolOptions {
        self.max_size = Some(bytes);
        self
    }

    /// What to create the pool with as [`crate::Pool::seed`] if it is absent, in place of random
    /// bytes: for copies, which are to be the same pool to a server, and for tests that are to be
    /// repeated exactly.
    pub fn seed(mut self, seed: [u64; 2]) -> PoolOptions {
        self.seed = Some(seed);
        self
    }

    /// Bytes of the journal of a pool with [`Durability::Disk`]; without it, a new journal has a
    /// quarter of the pool's, and 256 MiB at most. More than [`JOURNAL_MAX`](crate::JOURNAL_MAX)
    /// counts as that.
    pub fn journal(mut self, bytes: u64) -> PoolOptions {
        self.limits.journal = Some(bytes);
        self
    }

    /// Bytes that pages of a pool with [`Durability::Disk`] may take that the kernel cannot take
    /// back by itself, as they were changed; half of the machine's memory without it. A pool may be
    /// larger.
    pub fn memory_limit(mut self, bytes: u64) -> PoolOptions {
        self.limits.memory = Some(bytes);
        self
    }

    /// Opens a pool whose journal is needed and cannot be used, too, as far as it goes without:
    /// [`crate::Pool::lost_journal`] says why then. The file is of several moments, and is not
    /// changed: what is done to the pool stays in this process, as with all pools that it opens
    /// from then on. Not with [`Durability::Disk`].
    pub fn without_journal(mut self) -> PoolOptions {
        self.without_journal = true;
        self
    }

    /// Opens a pool as its files are: what a file is longer by is not taken, holes stay, and so do
    /// parts that a growth has left of which the pool does not know. The pool does not grow. For a
    /// process that has its pools mapped privately and is to change no file. What a journal is
    /// needed for is done all the same.
    pub fn as_it_is(mut self) -> PoolOptions {
        self.as_it_is = true;
        self
    }

    /// Opens a pool whose journal ends before what it is known to have come to, too, as both may
    /// have been written over the files by somebody who puts a copy of them back.
    pub fn accept_copy(mut self) -> PoolOptions {
        self.accepts_copy = true;
        self
    }

    /// What commits must survive.
    pub fn durability(mut self, durability: Durability) -> PoolOptions {
        self.durability = durability;
        self
    }
}
