//! Expire times, of keys and of fields of hashes: Unix milliseconds.

/// What a change makes of an expire time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// It stays, if there is one.
    Keep,
    /// It goes.
    Never,
    /// It is this.
    At(i64),
}

impl Expiry {
    /// The new expire time of a field that had this one.
    pub(crate) fn field_after(self, old: i64) -> i64 {
        match self {
            Expiry::Keep => old,
            Expiry::Never => FIELD_NEVER,
            Expiry::At(time) => time,
        }
    }
}

/// The expire time of a key that does not expire, as records on media have it.
pub const KEY_NEVER: i64 = -1;

/// The expire time of a field that does not expire, as hashes on media have it: later than any
/// time, so that the earliest of several needs no exception.
pub const FIELD_NEVER: i64 = i64::MAX;
