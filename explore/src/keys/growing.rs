//! The same in a full pool that can grow: it does in the midst of a step that finds no room.

use fastrand::Rng;
use pobj::{PoolOptions, Result};
use std::path::Path;
use store::layout::pool_at;

use super::keyspace::Keyspace;
use crate::{LANES, POOL_BYTES, POOL_SEED};

/// What the pool can grow to: one part more.
const MOST: u64 = POOL_BYTES + (16 << 20);
/// A value that does not fit into what a full pool has left.
const TOO_LONG: usize = 2 << 20;

/// Creates a pool with few lanes in a directory of parts, and leaves it closed.
///
/// # Panics
/// If it cannot be created.
pub(super) fn create(path: &Path) {
    let options = pool_at(path)
        .size(POOL_BYTES)
        .max_size(MOST)
        .seed(POOL_SEED);
    drop(pobj::Pool::open(&options).expect("the pool can be created"));
    let mut first = path.as_os_str().to_owned();
    first.push(".parts/000000.pmem");
    powercut::limit_lanes(Path::new(&first), LANES).expect("it is a pool");
}

/// How to open it so that it keeps the size that it has.
pub(crate) fn as_it_is(path: &Path) -> PoolOptions {
    pool_at(path).max_size(POOL_BYTES)
}

impl Keyspace {
    /// Does one step that the pool has to grow for, if it has not grown yet: alone or in a group.
    pub fn outgrow(&mut self, rng: &mut Rng) -> Result<()> {
        if rng.bool() {
            self.add_filler(rng, TOO_LONG)
        } else {
            self.store.begin_group();
            self.change_key(rng)?;
            self.add_filler(rng, TOO_LONG)?;
            self.change_key(rng)?;
            self.store.end_group()
        }
    }

    /// Makes the pool larger, as PM.POOL GROW does.
    pub fn grow(&mut self) -> Result<()> {
        self.store.pool.grow(None).map(drop)
    }

    /// Bytes of the pool.
    pub fn size(&self) -> u64 {
        self.store.pool.usage().size
    }
}
