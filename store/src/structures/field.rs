//! A field of a hash.

/// The expire time of a field that does not expire: later than any time.
pub const NEVER: i64 = i64::MAX;

/// A field and its value.
pub type Pair<'p> = (&'p [u8], &'p [u8]);

/// A field, its value, and when it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Field<'p> {
    /// Its name.
    pub name: &'p [u8],
    /// Its value.
    pub value: &'p [u8],
    /// When it expires, in Unix milliseconds, or [`NEVER`].
    pub expire_at: i64,
}

impl<'p> From<Pair<'p>> for Field<'p> {
    fn from((name, value): Pair<'p>) -> Field<'p> {
        Field {
            name,
            value,
            expire_at: NEVER,
        }
    }
}
