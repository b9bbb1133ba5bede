//! What native commands do to PM keys in a group that has failed already (see `undo`).
//!
//! The server takes nothing back, and in EXEC it goes on with what is queued. But the pool is not
//! told of what is done to its keys from there on: they stay what they are in it, and are in
//! Redis's keyspace again when the group is over, before anybody else looks there and before
//! anything is sent; expire times are so at once. A replica that was told of the failure does the
//! same.

use super::undo::{bring_back, retract, take_away};
use crate::keyspace::{ENGINE, Engine, apply, follow_flush};
use crate::redis::{Ctx, server_flags};
use crate::report;
use std::collections::BTreeSet;
use store::record::RecordPtr;

/// What a group that has failed leaves to be done at its end.
#[derive(Default)]
pub(crate) struct Afterwards {
    /// Clients and replicas were told that the group has failed.
    pub(in crate::keyspace) is_told: bool,
    /// Addresses of the records whose keys were deleted, overwritten, renamed or moved.
    records: BTreeSet<usize>,
    /// Where some of these are now: database, name, address.
    strays: Vec<(i32, Vec<u8>, usize)>,
}

impl Engine {
    /// Whether what Redis has done to the key of `record` is no change, as its group has failed
    /// already.
    pub(in crate::keyspace) fn is_afterwards(&mut self, record: RecordPtr) -> bool {
        let is_refused = self.store.pool.refuses_group();
        if is_refused {
            let addr = self.store.pool.address_of(record);
            self.afterwards.records.insert(addr);
        }
        is_refused
    }

    /// The same, where the key has got another name or database.
    pub(in crate::keyspace) fn strays_afterwards(
        &mut self,
        record: RecordPtr,
        db: i32,
        name: &[u8],
    ) -> bool {
        let strays = self.is_afterwards(record);
        if strays {
            let addr = self.store.pool.address_of(record);
            self.afterwards.strays.push((db, name.to_vec(), addr));
        }
        strays
    }
}

impl Afterwards {
    /// Two databases have changed places.
    pub(in crate::keyspace) fn swap(&mut self, a: i32, b: i32) {
        for (db, ..) in &mut self.strays {
            *db = match *db {
                db if db == a => b,
                db if db == b => a,
                db => db,
            };
        }
    }
}

/// A native command has done something that is no change: whoever may have been told of it must not
/// take it for done.
#[cold]
pub(in crate::keyspace) fn tell() {
    let was_told = ENGINE.with(|engine| std::mem::replace(&mut engine.afterwards.is_told, true));
    if was_told == Ok(false) {
        Ctx::with_own(0, |ctx| retract(ctx, server_flags().in_multi()));
    }
}

/// A group may be over: if it has failed, Redis's keyspace is brought to where the pool is.
pub(in crate::keyspace) fn restore_keys() {
    let is_needed = |engine: &mut Engine| !engine.afterwards.records.is_empty();
    if ENGINE.with(is_needed) == Ok(true) {
        restore_all_keys();
    }
}

#[cold]
fn restore_all_keys() {
    let (mut keys, mut strays) = (Vec::new(), Vec::new());
    apply("what follows a failed transaction", |engine| {
        let afterwards = std::mem::take(&mut engine.afterwards);
        strays = afterwards.strays;
        for addr in afterwards.records {
            let Some(record) = engine.record_at(addr) else {
                continue;
            };
            match engine.store.key_at(record) {
                Ok(key) => keys.extend(key),
                // One that is damaged must not keep the others away.
                Err(error) => {
                    report::failure("a key is not shown after a failed transaction", error);
                }
            }
        }
    });
    Ctx::with_own(0, |ctx| {
        follow_flush(|| {
            for (db, name, addr) in &strays {
                take_away(ctx, *db, name, *addr);
            }
            for key in &keys {
                bring_back(ctx, key);
            }
        });
    });
}
