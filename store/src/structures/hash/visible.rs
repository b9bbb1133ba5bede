//! The fields of a hash that a reader sees, where others have expired.

use super::{Field, fields, len, random};
use crate::structures::Root;
use pobj::{Pool, Result};

/// Fields to choose from.
pub enum Visible<'p> {
    /// All that are there.
    All(&'p Pool, Root),
    /// These.
    Some(Vec<Field<'p>>),
}

impl<'p> Visible<'p> {
    /// Those that expire at `from` or later. O(fields).
    ///
    /// # Errors
    /// [`Damaged`](crate::structures#errors).
    pub fn from(pool: &'p Pool, root: Root, from: i64) -> Result<Visible<'p>> {
        let is_seen = |field: &Result<Field<'_>>| match field {
            Ok(field) => field.expire_at >= from,
            Err(_) => true,
        };
        let fields = fields(pool, root)?.filter(is_seen);
        Ok(Visible::Some(fields.collect::<Result<_>>()?))
    }

    /// How many there are. O(1).
    pub fn len(&self) -> u64 {
        match self {
            Visible::All(_, root) => len(*root),
            Visible::Some(fields) => fields.len() as u64,
        }
    }

    /// Whether there are none. O(1).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them, each with the same probability; there must be one.
    ///
    /// # Errors
    /// `Damaged` if there is none, though the hash counts some.
    pub fn random(&self) -> Result<Field<'p>> {
        match self {
            Visible::All(pool, root) => random(pool, *root),
            Visible::Some(fields) => Ok(fields[fastrand::usize(..fields.len())]),
        }
    }

    /// All of them, each once. O(fields).
    ///
    /// # Errors
    /// `Damaged` if the hash is not what it must be.
    pub fn all(&self) -> Result<Box<dyn Iterator<Item = Result<Field<'p>>> + '_>> {
        Ok(match self {
            Visible::All(pool, root) => Box::new(fields(pool, *root)?),
            Visible::Some(fields) => Box::new(fields.iter().copied().map(Ok)),
        })
    }
}
