//! How many PM keys there are, and how many of them Redis's keyspace shows.

use super::{ENGINE, with_engine};
use crate::error::CmdError;
use store::value::ValueType;

/// PM keys of a database. O(1).
pub fn keys_of(db: i32) -> Result<u64, CmdError> {
    with_engine(|engine| Ok(engine.store.dbs.keys(db)))
}

/// PM keys of a database that Redis's keyspace shows. O(1).
pub fn shown_keys_of(db: i32) -> Result<u64, CmdError> {
    with_engine(|engine| {
        Ok(engine
            .store
            .dbs
            .keys(db)
            .saturating_sub(engine.store.unshown(db)))
    })
}

/// The databases that have PM keys, and how many each has.
pub fn dbs_with_keys() -> Result<Vec<(i32, u64)>, CmdError> {
    with_engine(|engine| {
        let dbs = (0..engine.store.dbs.count()).map(|db| (db, engine.store.dbs.keys(db)));
        Ok(dbs.filter(|&(_, keys)| keys > 0).collect())
    })
}

/// Counts a key that has just come into Redis's keyspace with its record, which is not looked at:
/// that would wait for the commit.
#[inline]
pub(super) fn count_new(space: u16, ty: ValueType, name: &[u8]) {
    let counted = ENGINE.with(|engine| engine.store.count_new_key(space, ty, name));
    debug_assert!(
        counted.is_ok(),
        "no command runs while the engine is in use"
    );
}
