//! Values in the form that servers without the module have: entries of an RDB file, and payloads of
//! DUMP.
//!
//! | file | what |
//! |---|---|
//! | `number.rs` | lengths and strings |
//! | `value.rs` | a value of the pool, as a native value |
//! | `file.rs` | a whole file, a payload |
//! | `read.rs` | a native value of a file, as its elements |
//! | `copy.rs` | a file, copied entry by entry |
//!
//! Of the forms that servers know, the plain ones are written, which all servers since Redis 7.0
//! read and turn into their own encodings: a string, a list, a set, a hash as strings one after the
//! other; a sorted set with binary scores. Hashes of which fields expire have a form of Redis
//! (since 7.4) and one of Valkey (since 9.0), which no other server reads: see [`Dialect`].
//!
//! Nothing is held in memory: a value is written element by element, as the pool has it.

pub mod copy;
mod file;
mod number;
mod read;
mod value;

use crc::{CRC_64_REDIS, Crc, Table};

pub use file::{FileWriter, Key, payload};
pub use number::{number, push_number};
pub use read::{content, expire_at, string};
pub use value::{Plan, Value, WriteError};

/// The checksum of files and payloads.
pub static CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// What the reader knows, where servers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// What every server since Redis 7.0 reads. It has no expire times of fields: fields whose time
    /// has come are left out, the others lose their times.
    Plain,
    /// Redis since 7.4.
    Redis,
    /// Valkey since 9.0.
    Valkey,
}

impl Dialect {
    /// The dialect of a file that begins with these nine bytes; `None` if it is no RDB file.
    pub(crate) fn of_magic(magic: &[u8; 9]) -> Option<Dialect> {
        let version = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<u32>().ok();
        match magic.strip_prefix(b"REDIS") {
            Some(digits) => Some(match version(digits)? {
                // Numbers up to 11 are of all servers; from 12 on, of Redis.
                ..12 => Dialect::Plain,
                _ => Dialect::Redis,
            }),
            None => {
                version(magic.strip_prefix(b"VALKEY")?)?;
                Some(Dialect::Valkey)
            }
        }
    }

    /// The version of the lowest server that reads it.
    fn version(self) -> u16 {
        match self {
            Dialect::Plain => 10,
            Dialect::Redis => 12,
            Dialect::Valkey => 80,
        }
    }

    /// The first bytes of a file.
    fn magic(self) -> &'static [u8; 9] {
        match self {
            Dialect::Plain => b"REDIS0010",
            Dialect::Redis => b"REDIS0012",
            Dialect::Valkey => b"VALKEY080",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialects_are_known_by_the_beginning_of_a_file() {
        for dialect in [Dialect::Plain, Dialect::Redis, Dialect::Valkey] {
            assert_eq!(Dialect::of_magic(dialect.magic()), Some(dialect));
        }
        assert_eq!(Dialect::of_magic(b"REDIS0011"), Some(Dialect::Plain));
        assert_eq!(Dialect::of_magic(b"REDIS0013"), Some(Dialect::Redis));
        for other in [b"REDIS001x", b"PMEMOBJ\0\0", b"VALKEY0x0"] {
            assert_eq!(Dialect::of_magic(other), None);
        }
    }
}
