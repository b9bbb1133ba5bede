//! What [`pobj`] has to know of the pools of this crate: their layout, the kinds of their objects,
//! and the advice that messages give.

use pobj::{Advice, Kind, Layout, PoolOptions};
use std::path::PathBuf;

/// Anything reachable from a record.
pub const DATA: Kind = Kind::new(0);
/// A record: the starting point of a key's data, found by enumeration.
pub const RECORD: Kind = Kind::new(1);

/// The layout of the pools.
pub static LAYOUT: Layout = Layout {
    name: c"pmedis",
    magic: u64::from_le_bytes(*b"PMEDIS\x01\0"),
    kinds: 2,
    mark: c"user.pmedis.mark",
    advice: Advice {
        newer_format: "use a newer module",
        not_persistent: "use a DAX file system, or choose 'durability disk' (survives power loss, by a journal) or \
                         'durability process' (survives a crash of the server only)",
        not_one_file: "'durability disk' is for pools in one file. Use one, or choose 'durability process', which \
                       survives a crash of the server only",
        fixed_size: "it lies in a plain file, which grows at a start, with a larger 'size'",
        fixed_parts: "it lies in files of a poolset, or on a device, whose sizes are given; 'pmedis copy' makes a larger \
                      pool of it, without a server",
    },
};

/// How to open a pool of keys at `path`; see [`PoolOptions::new`].
pub fn pool_at(path: impl Into<PathBuf>) -> PoolOptions {
    PoolOptions::new(path, &LAYOUT)
}
