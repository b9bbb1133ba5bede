//! A field of a hash.

use crate::expiry::FIELD_NEVER;

/// A field and its value.
pub type Pair<'p> = (&'p [u8], &'p [u8]);

/// A field, its value, and when it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Field<'p> {
    /// Its name.
    pub name: &'p [u8],
    /// Its value.
    pub value: &'p [u8],
    /// When it expires, in Unix milliseconds, or [`FIELD_NEVER`].
    pub expire_at: i64,
}

impl<'p> From<Pair<'p>> for Field<'p> {
    fn from((name, value): Pair<'p>) -> Field<'p> {
        Field {
            name,
            value,
            expire_at: FIELD_NEVER,
        }
    }
}
