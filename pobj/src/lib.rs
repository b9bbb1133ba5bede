//! A safe layer over libpmemobj: pools, typed persistent pointers, allocation and transactions.
//!
//! ```no_run
//! use pobj::{Kind, Pool, PoolOptions};
//!
//! let mut pool = Pool::open(&PoolOptions::new("/mnt/pmem0/example.pool").size(64 << 20))?;
//! let mut tx = pool.begin();
//! let greeting = tx.alloc(5, Kind::Data)?;
//! tx.fill(greeting, b"hello")?;
//! tx.set(tx.user_word(0), greeting.offset())?;
//! tx.commit()?; // durable here; dropped without commit, nothing has happened
//! assert_eq!(pool.bytes(greeting, 5)?, b"hello");
//! # Ok::<(), pobj::Error>(())
//! ```
//!
//! * Reads borrow the pool, a transaction borrows it mutably: no reference into the pool outlives a
//!   change, and there is no `&mut` into the pool at all.
//! * A transaction collects a batch of fresh bytes, logged writes, allocations and frees. `commit`
//!   makes it durable with one fence (see `log`). Reads do not see the batch before that; between
//!   [`Tx::step`]s they do.
//! * Nothing read from the pool is trusted: every access is checked against the pool's bounds,
//!   every write and free against what is allocated.
//!
//! From the top down: [`Tx`] → `log` and `alloc` → `heap` (libpmemobj's allocator, which gives
//! extents) and `medium` (loads, stores, flushes, fences). `docs/format.md` and
//! `docs/crash-consistency.md` tell the rest.

mod alloc;
mod check;
mod disk;
mod durability;
mod error;
mod file;
mod file_system;
mod growth;
mod handle;
mod heap;
mod huge_pages;
mod layout;
mod lines;
mod log;
pub mod mark;
mod medium;
mod pool;
mod ptr;
mod recovery;
mod set;
mod size;
mod snapshot;
mod space;
mod survey;
mod tx;

pub use alloc::evacuation::Scatter;
pub use alloc::walk::Cursor;
pub use disk::{DiskStats, Replayed};
pub use durability::{Durability, is_forced};
pub use error::{Error, Result};
pub use file_system::is_volatile;
pub use growth::GrowthEvent;
pub use layout::{FORMAT_VERSION, LAYOUT, USER_WORDS};
pub use medium::{Reader, Traffic};
pub use pool::{Pool, PoolOptions};
pub use ptr::{PPtr, Persistent, project};
pub use size::parse_size;
pub use space::Usage;
pub use tx::Tx;

/// What an allocation holds; objects of one kind can be enumerated with [`Pool::next_object`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Anything reachable from a record.
    Data = 0,
    /// A record: the starting point of a key's data, found by enumeration.
    Record = 1,
}

impl Kind {
    /// Number of kinds.
    pub(crate) const COUNT: usize = 2;

    pub(crate) fn from_byte(byte: u8) -> Option<Kind> {
        [Kind::Data, Kind::Record]
            .into_iter()
            .find(|&kind| kind as u8 == byte)
    }
}
