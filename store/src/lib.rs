//! Everything about keys that needs a pool and no server: records, databases, and the structures of
//! values.
//!
//! | what | where |
//! |---|---|
//! | the keys of a pool | [`Store`] |
//! | a key's record, databases and flushes, how many keys there are, LSNs of its runs | [`record`], [`dbs`], [`key_counts`], [`lsn`] |
//! | how the last user has left the pool, and in which file | [`lifetime`] |
//! | changes of values, of whole keys; what must not fail | [`edit`], [`place`], [`keys`], [`mod@must`] |
//! | a group of commands, which is one step | [`group`] |
//! | expire times; fields that have some | [`expiry`], [`expiring`] |
//! | how full the pool is, and what was done to it | [`statistics`] |
//! | memory of what is gone; scattered room; looking at all | [`reclaim`], [`compact`], [`check`] |
//! | a start: what is in the pool, and not shown yet | [`unshown`] |
//! | strings, lists, hashes, sets, sorted sets, and what they are made of | [`structures`] |
//! | values in the form that servers without the module have, and files of them | [`rdb`] |
//! | values outside of any pool, on their way into one | [`content`] |
//! | what bytes and numbers mean: integers, bits, places on Earth, HyperLogLogs | [`number`], [`bits`], [`bitfield`], [`geo`], [`hyperloglog`] |
//! | hash slots of a cluster, and those that were given up | [`slot`], [`slots`] |
//!
//! The layer below is [`pobj`]; the one above, the module, brings Redis's keys to these records.

#![forbid(unsafe_code)]
#![warn(clippy::missing_errors_doc)]

pub mod bitfield;
pub mod bits;
pub mod check;
pub mod compact;
pub mod content;
mod damaged;
pub mod dbs;
pub mod edit;
pub mod expiring;
pub mod expiry;
pub mod geo;
pub mod group;
pub mod hyperloglog;
pub mod inline;
pub mod key_counts;
pub mod keys;
pub mod layout;
pub mod lifetime;
pub mod lsn;
pub mod must;
pub mod number;
pub mod place;
pub mod rdb;
pub mod reclaim;
pub mod record;
pub mod slot;
pub mod slots;
pub mod statistics;
mod store;
pub mod structures;
#[cfg(test)]
mod testing;
pub mod unshown;
pub mod value;

pub use pobj::Result;
pub use store::{FORMAT, Store};
