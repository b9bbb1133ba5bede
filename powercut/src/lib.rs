//! Cuts the power anywhere.
//!
//! The crate stands between libpmemobj and libpmem, keeps apart the bytes that are durable from
//! those that are only in the cache, and shows what a real power cut could leave behind. A cut is
//! explored in three steps:
//!
//! 1. **Record.** [`interpose`] takes the place of libpmem's flush, drain, persist, memcpy and
//!    memset functions in a process that works on a pool; a [`recorder`] turns the calls into a
//!    [`trace`] of stores, flushes and fences of 64-byte lines. The process is a forked child with
//!    a workload of ours ([`Recording::of`]), or a server with `libpowercut.so` preloaded
//!    ([`program::ProgramRecorder`]).
//! 2. **Cut.** [`model`] replays the trace; at each fence it knows which lines are durable and
//!    which contents each other line may have, and [`cut`] chooses from them: all combinations if
//!    they are few, otherwise the telling ones and a seeded random share of the rest.
//! 3. **Check.** [`explore()`] writes each choice to an image file and has a worker process open it
//!    with the normal recovery path and judge it. The recovery is recorded too, and cut in turn.
//!
//! A pool that lies in a directory of parts may grow meanwhile. A part is made, and durable with
//! zeros, before libpmemobj hears of it: so a cut finds it or does not, and what is in it is cut
//! like all else.
//!
//! # What is assumed of the memory
//!
//! * A line that is flushed and then fenced is durable with what it held when it was flushed.
//! * Any other line may be evicted from the cache at any moment, so it holds anything that it has
//!   held since then, independently of other lines.
//! * An aligned 8-byte store is atomic.
//!
//! # What is approximated
//!
//! The calls of libpmem are seen, not each store. A line's contents are looked at when it is
//! flushed and at each fence. Between two looks, *any* subset of the line's changed words is taken
//! as possible, so the model allows more than hardware, which keeps the order of stores within a
//! line: code that relies on that order is reported. Values that a word takes and loses again
//! between two looks are not seen. A fence is taken to order the flushes of all threads, which is
//! too kind to a program that flushes in one thread and fences in another.

pub mod cut;
pub mod disk;
pub mod explore;
mod extents;
mod files;
mod image;
pub mod interpose;
mod lanes;
pub mod model;
pub mod mutant;
pub mod preload;
mod process;
pub mod program;
pub mod recorder;
mod recording;
mod sockets;
pub mod trace;
mod worker;

pub use explore::{Config, Report, Violation, explore};
pub use files::Parts;
pub use lanes::limit_lanes;
pub use process::{Child, fork};
pub use recording::{Progress, Recording, Steps, Workload};
pub use worker::{Recovery, Worker};

/// Bytes in a cache line, the unit of flushing.
pub const LINE_BYTES: usize = 64;

/// The contents of a cache line.
pub type Line = [u8; LINE_BYTES];

/// The number of a cache line in the pool: its offset divided by [`LINE_BYTES`].
pub type LineNumber = u32;
