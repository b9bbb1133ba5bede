//! Looking at values as a whole: whether their structures hold what they promise.

use crate::Store;
use crate::layout::RECORD;
use crate::record::{self, Record, RecordPtr};
use crate::structures;
use pobj::{Cursor, Result};

/// What a look at all keys of the pool has found.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckedKeys {
    /// Keys whose record and value are sound.
    pub sound: u64,
    /// Keys whose record or value is damaged.
    pub damaged: u64,
}

/// A look at all keys that is under way.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    /// What it has found so far.
    pub found: CheckedKeys,
    cursor: Cursor,
    /// The tables of the pool were looked at.
    knows_tables: bool,
    /// The tick at which it began.
    begun: u64,
}

impl Store {
    /// Looks at the value of a record, to its last element. O(n).
    ///
    /// # Errors
    /// `Damaged`, with what is wrong.
    pub fn check_value(&self, record: RecordPtr) -> Result<()> {
        record::verify(&self.pool, record)?;
        let head = record::get(&self.pool, record)?;
        let inline = record::inline(&self.pool, record)?;
        let mut lost = None;
        let mut owns = |object| {
            if let Err(error) = self.pool.capacity(object) {
                lost.get_or_insert(error);
            }
        };
        structures::of(head.value_type()?).check(&self.pool, head.root, inline, &mut owns)?;
        lost.map_or(Ok(()), Err)
    }

    /// Looks at every key of the pool, and shows `tell` those that are damaged, by their names
    /// where these can be read; and, without a name, a table of the pool's that is. O(pool).
    pub fn check_all(&self, tell: impl FnMut(&[u8], &pobj::Error)) -> CheckedKeys {
        let mut walk = self.begin_check();
        self.check_some(&mut walk, || false, tell);
        walk.found
    }

    /// Begins a look at every key that there is now, in parts ([`Store::check_some`]).
    pub fn begin_check(&self) -> Walk {
        Walk {
            found: CheckedKeys::default(),
            cursor: Cursor::default(),
            knows_tables: false,
            begun: self.dbs.now(),
        }
    }

    /// Goes on with a look at every key, until `is_enough` says so after one of them; true if it
    /// was the last. What `tell` is shown: see [`Store::check_all`].
    ///
    /// Keys that have come since it began are left out, and of those that went it may have counted
    /// some. While it is under way, no record may move ([`Store::move_records`]).
    pub fn check_some(
        &self,
        walk: &mut Walk,
        mut is_enough: impl FnMut() -> bool,
        mut tell: impl FnMut(&[u8], &pobj::Error),
    ) -> bool {
        let found = &mut walk.found;
        if !std::mem::replace(&mut walk.knows_tables, true) {
            let tables = [self.dbs.check(&self.pool), self.slots.check(&self.pool)];
            for error in tables.into_iter().filter_map(Result::err) {
                found.damaged += 1;
                tell(b"", &error);
            }
        }
        while let Some((object, after)) = self.pool.next_object(RECORD, walk.cursor) {
            walk.cursor = after;
            let record: RecordPtr = object.cast();
            // A record that is no key any more is for the reclaimer. One from a tick that has not
            // been is no new key: it is damaged.
            let is_new =
                |head: &Record| head.created > walk.begun && head.created <= self.dbs.now();
            let is_other = |head: &Record| !self.dbs.is_live(head) || is_new(head);
            if record::get(&self.pool, record).is_ok_and(is_other) {
                if is_enough() {
                    return false;
                }
                continue;
            }
            match self.check_value(record) {
                Ok(()) => found.sound += 1,
                Err(error) => {
                    found.damaged += 1;
                    let name = record::verify(&self.pool, record)
                        .and_then(|()| record::key(&self.pool, record));
                    tell(name.unwrap_or_default(), &error);
                }
            }
            if is_enough() {
                return false;
            }
        }
        true
    }
}
