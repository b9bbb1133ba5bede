//! Looking at values as a whole: whether their structures hold what they promise.

use crate::Store;
use crate::record::{self, RecordPtr};
use crate::structures;
use pobj::{Cursor, Kind, Result};

/// What a look at all keys of the pool has found.
#[derive(Default)]
pub struct Found {
    /// Keys whose record and value are sound.
    pub sound: u64,
    /// Keys whose record or value is damaged.
    pub damaged: u64,
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
        structures::check(&self.pool, head.value_type()?, head.root, inline, &mut owns)?;
        lost.map_or(Ok(()), Err)
    }

    /// Looks at every key of the pool, and shows `tell` those that are damaged, by their names where these can be
    /// read. O(pool).
    pub fn check_all(&self, mut tell: impl FnMut(&[u8], &pobj::Error)) -> Found {
        let (mut found, mut cursor) = (Found::default(), Cursor::default());
        while let Some((object, after)) = self.pool.next_object(Kind::Record, cursor) {
            cursor = after;
            let record: RecordPtr = object.cast();
            // A record that is no key any more is for the reclaimer.
            if record::get(&self.pool, record).is_ok_and(|head| !self.dbs.is_live(head)) {
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
        }
        found
    }
}
