//! A safe layer over libpmemobj: pools, typed persistent pointers, allocation and transactions.
//!
//! ```no_run
//! use pobj::{Advice, Kind, Layout, Pool, PoolOptions};
//!
//! static EXAMPLE: Layout = Layout {
//!     name: c"example",
//!     magic: u64::from_le_bytes(*b"EXAMPLE\0"),
//!     kinds: 1,
//!     mark: c"user.example.mark",
//!     advice: Advice {
//!         newer_format: "use a newer program",
//!         not_persistent: "use another file system",
//!         not_one_file: "use one file",
//!         fixed_size: "open it with another size",
//!         fixed_parts: "copy it",
//!     },
//! };
//! const GREETING: Kind = Kind::new(0);
//!
//! let mut pool = Pool::open(&PoolOptions::new("/mnt/pmem0/example.pool", &EXAMPLE).size(64 << 20))?;
//! let mut tx = pool.begin();
//! let greeting = tx.alloc(5, GREETING)?;
//! tx.fill(greeting, b"hello")?;
//! tx.set(tx.user_word(0), greeting.offset())?;
//! tx.commit()?; // durable here; dropped without commit, nothing has happened
//! assert_eq!(pool.bytes(greeting.ptr(), 5)?, b"hello");
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
mod attribute;
mod check;
mod disk;
mod durability;
mod error;
mod file;
mod file_system;
mod found;
mod growth;
mod handle;
mod heap;
mod huge_pages;
mod identity;
mod images;
mod layout;
mod lines;
mod log;
mod log_record;
mod made;
pub mod mark;
mod medium;
mod parts;
mod pool;
mod privacy;
mod ptr;
mod recovery;
mod replicas;
mod set;
mod size;
mod snapshot;
mod zeros;

pub use alloc::slab::evacuation::Scatter;
pub use alloc::slab::walk::Cursor;
pub use disk::{DiskStats, JOURNAL_MAX, Replayed};
pub use durability::{CommitMode, Durability, is_forced};
pub use error::{Error, Result};
pub use file_system::is_volatile;
pub use growth::GrowthEvent;
pub use identity::{Advice, Kind, Layout};
pub use layout::FORMAT_VERSION;
pub use medium::{Reader, Traffic};
pub use pool::{Pool, PoolOptions, Tx, Usage};
pub use privacy::{Exposed, files_of, make_private};
pub use ptr::{Fresh, PPtr, Persistent, project};
pub use size::parse_size;
