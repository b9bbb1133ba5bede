//! Where a key's value is kept: in a record that is there, or in one that is created with it.

use crate::Store;
use crate::inline::Inline;
use crate::record::{self, Creation, RecordPtr};
use crate::structures::{self, Root};
use crate::value::ValueType;
use pobj::{Pool, Result, Tx};

impl Store {
    /// The creation of a key that may be created in `db` now, and expires at `expire_at`, in Unix
    /// milliseconds or [`KEY_NEVER`](crate::expiry::KEY_NEVER).
    ///
    /// # Errors
    /// `Full` if the pool has no room for the database.
    pub fn creation(&mut self, db: i32, expire_at: i64) -> Result<Creation> {
        Ok(Creation {
            space: self.dbs.space(&mut self.pool, db)?,
            tick: self.dbs.tick(&mut self.pool)?,
            expire_at,
        })
    }
}

/// What became of a key's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is there as before, or still absent.
    Nothing,
    /// It is new, in this key space, and has this address.
    Created(u16, usize),
    /// It is freed, or dead; it had this address.
    Emptied(usize),
}

impl Outcome {
    /// The address whose `free` callback is to be ignored.
    pub fn gone(self) -> Option<usize> {
        match self {
            Outcome::Emptied(addr) => Some(addr),
            _ => None,
        }
    }
}

/// Makes a record with a value built by `f`.
pub(crate) fn put_record(
    tx: &mut Tx<'_>,
    key: (&[u8], ValueType, Creation),
    inline: u64,
    f: impl FnOnce(&mut Tx<'_>, Inline) -> Result<Root>,
) -> Result<Outcome> {
    Ok(match record::create_unless_empty(tx, key, inline, f)? {
        Some(record) => Outcome::Created(key.2.space, tx.address_of(record)),
        None => Outcome::Nothing,
    })
}

/// Where a value's root is kept, or will be.
#[derive(Clone, Copy)]
pub struct Place<'k> {
    pub(crate) record: Option<RecordPtr>,
    pub(crate) ty: ValueType,
    /// Without a record: that of the key that may come to be.
    absent: Option<(&'k [u8], Creation)>,
}

impl<'k> Place<'k> {
    /// In the record of a key that exists.
    #[inline]
    pub fn at(record: RecordPtr, ty: ValueType) -> Place<'k> {
        Place {
            record: Some(record),
            ty,
            absent: None,
        }
    }

    /// In that of a key that may come to be.
    pub fn absent(key: &'k [u8], ty: ValueType, creation: Creation) -> Place<'k> {
        Place {
            record: None,
            ty,
            absent: Some((key, creation)),
        }
    }

    #[inline]
    pub(crate) fn root(&self, pool: &Pool) -> Result<Root> {
        match self.record {
            Some(record) => Ok(record::get(pool, record)?.root),
            None => Ok(Root::EMPTY),
        }
    }

    /// Writes a changed root back: into the record, into a new record, or frees the record.
    #[inline]
    pub(crate) fn write(&self, tx: &mut Tx<'_>, old: Root, new: Root) -> Result<Outcome> {
        match self.record {
            Some(record) if new != Root::EMPTY && !structures::is_over(self.ty, new) => {
                record::set_root(tx, record, old, new)?;
                Ok(Outcome::Nothing)
            }
            Some(record) => self.empty(tx, record, old, new),
            None => self.create(tx, new),
        }
    }

    /// Frees the record of a key that goes, or marks it as dead.
    #[inline(never)]
    fn empty(&self, tx: &mut Tx<'_>, record: RecordPtr, old: Root, new: Root) -> Result<Outcome> {
        match new {
            Root::EMPTY => tx.free(record)?,
            _ => {
                record::kill(tx, record)?;
                record::set_root(tx, record, old, new)?;
            }
        }
        Ok(Outcome::Emptied(tx.address_of(record)))
    }

    /// Makes the record of a key that comes to be, if it does.
    #[inline(never)]
    fn create(&self, tx: &mut Tx<'_>, root: Root) -> Result<Outcome> {
        match self.absent {
            Some((key, created)) if root != Root::EMPTY => {
                put_record(tx, (key, self.ty, created), 0, |_, _| Ok(root))
            }
            _ => Ok(Outcome::Nothing),
        }
    }
}
