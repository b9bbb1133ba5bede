//! What a journal records of a pool: images of the lines that have changed.
//!
//! | file | what |
//! |---|---|
//! | `changes.rs` | which lines have changed, which pages the pool's file does not have |
//! | `record.rs` | the form of a record of images |
//! | `buffer.rs` | bytes at an address that direct writes accept |
//!
//! `medium` notes changes and makes images of them, `disk` writes these to a journal.

pub(crate) mod buffer;
pub(crate) mod changes;
pub(crate) mod record;

/// The unit in which memory and file are compared and written.
pub(crate) const PAGE: u64 = 4096;
/// The unit in which the journal is written: no disk writes less without reading first.
pub(crate) const BLOCK: u64 = 4096;
