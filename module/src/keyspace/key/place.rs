//! Where a key's value is kept: in a record that is there, or in one that is born with it.

use super::{PmKey, lift};
use crate::error::CmdError;
use crate::keyspace::Engine;
use crate::keyspace::record::{self, Fields, Inline, NEVER, RecordPtr};
use crate::redis::Arg;
use crate::structures::{self, Root};
use crate::value::ValueType;
use pobj::{Pool, Result, Tx};

/// The circumstances of a key's birth.
#[derive(Clone, Copy)]
pub(super) struct Born {
    pub(super) space: u16,
    pub(super) birth: u64,
    pub(super) expire_at: i64,
}

impl Born {
    /// For a key that may come to be in `db`.
    pub(super) fn now(engine: &mut Engine, db: i32) -> Result<Born, CmdError> {
        Ok(Born {
            space: lift(engine.dbs.space(&mut engine.pool, db))?,
            birth: lift(engine.dbs.tick(&mut engine.pool))?,
            expire_at: NEVER,
        })
    }
}

/// What became of a key's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is there as before, or still absent.
    Nothing,
    /// It is new, in this key space, and has this address.
    Created(u16, usize),
    /// It is freed, or dead; it had this address.
    Emptied(usize),
}

impl Outcome {
    /// The address whose `free` callback is to be ignored.
    pub(super) fn gone(self) -> Option<usize> {
        match self {
            Outcome::Emptied(addr) => Some(addr),
            _ => None,
        }
    }
}

/// Makes a record with a value built by `f`.
pub(super) fn put_record(
    tx: &mut Tx<'_>,
    key: &[u8],
    ty: ValueType,
    born: Born,
    inline: u64,
    f: impl FnOnce(&mut Tx<'_>, Inline) -> Result<Root>,
) -> Result<Outcome> {
    let fields = Fields {
        ty,
        space: born.space,
        birth: born.birth,
        expire_at: born.expire_at,
        root: Root::EMPTY,
    };
    Ok(match record::make(tx, key, inline, fields, f)? {
        Some(record) => Outcome::Created(born.space, tx.address_of(record)),
        None => Outcome::Nothing,
    })
}

/// Where a value's root is kept, or will be.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) record: Option<RecordPtr>,
    pub(super) ty: ValueType,
    /// Without a record: that of the key that may come to be.
    unborn: Option<(Arg<'a>, Born)>,
}

impl<'a> Place<'a> {
    #[inline]
    pub(super) fn of(key: &PmKey<'a>, engine: &mut Engine) -> Result<Place<'a>, CmdError> {
        match key.record(engine)? {
            None => Place::unborn(key, engine),
            record => Ok(Place {
                record,
                ty: key.ty,
                unborn: None,
            }),
        }
    }

    #[inline(never)]
    fn unborn(key: &PmKey<'a>, engine: &mut Engine) -> Result<Place<'a>, CmdError> {
        let born = Born::now(engine, key.ctx.db())?;
        Ok(Place {
            record: None,
            ty: key.ty,
            unborn: Some((key.name(), born)),
        })
    }

    #[inline]
    pub(super) fn root(&self, pool: &Pool) -> Result<Root> {
        match self.record {
            Some(record) => Ok(record::get(pool, record)?.root),
            None => Ok(Root::EMPTY),
        }
    }

    /// Writes a changed root back: into the record, into a new record, or frees the record.
    #[inline]
    pub(super) fn write(&self, tx: &mut Tx<'_>, old: Root, new: Root) -> Result<Outcome> {
        match self.record {
            Some(record) if new != Root::EMPTY && !structures::is_over(self.ty, new) => {
                record::set_root(tx, record, old, new)?;
                Ok(Outcome::Nothing)
            }
            Some(record) => self.empty(tx, record, old, new),
            None => self.bear(tx, new),
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
    fn bear(&self, tx: &mut Tx<'_>, root: Root) -> Result<Outcome> {
        match self.unborn {
            Some((name, born)) if root != Root::EMPTY => {
                put_record(tx, name.bytes(), self.ty, born, 0, |_, _| Ok(root))
            }
            _ => Ok(Outcome::Nothing),
        }
    }
}
