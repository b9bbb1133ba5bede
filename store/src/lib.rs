//! Everything about keys that needs a pool and no server: records, databases, and the structures that values are.
//!
//! | what | where |
//! |---|---|
//! | a key's record, databases and flushes, moments of the pool's life | [`record`], [`dbs`], [`moment`] |
//! | strings, lists, hashes, sets, sorted sets, and what they are made of | [`structures`] |
//! | what bytes and numbers mean: integers, bits, places on Earth, HyperLogLogs | [`number`], [`bits`], [`bitfield`], [`geo`], [`hyperloglog`] |
//! | hash slots of a cluster | [`slot`] |
//!
//! The layer below is [`pobj`]; the one above, the module, brings Redis's keys to these records.

#![forbid(unsafe_code)]

pub mod bitfield;
pub mod bits;
pub mod dbs;
pub mod geo;
pub mod hyperloglog;
pub mod moment;
pub mod number;
pub mod record;
pub mod slot;
pub mod structures;
pub mod value;
