//! The commit log: a redo ring for single batches and an undo log for groups of steps.
//!
//! How many fences a change costs is decided here. A batch costs one: its record and the fresh
//! bytes it vouches for are flushed together. A group of `k` steps costs `k + 2`.

pub(crate) mod ring;
pub(crate) mod undo;
