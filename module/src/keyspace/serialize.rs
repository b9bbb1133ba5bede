//! Values in RDB files: RDB, DUMP, RESTORE, MIGRATE, full sync.
//!
//! The form is the module's own, versioned by [`VERSION`], and independent of the pool's layout:
//!
//! ```text
//! string   the bytes
//! list     the number of elements, each element's bytes
//! ```
//!
//! What is read is not trusted: a value is built in one transaction, which a malformed payload ends
//! without a trace.

use super::record::Inline;
use crate::redis::{Digest, RdbBytes, RdbReader, RdbWriter};
use crate::structures::list::{self, Side};
use crate::structures::{Root, string};
use crate::value::ValueType;
use pobj::{Pool, Result};

/// The version written with each value.
pub const VERSION: i32 = 1;

/// A value as read from a file, before it is built in the pool.
pub enum Loaded {
    /// A string's bytes.
    String(RdbBytes),
    /// A list's elements; there are some.
    List(Vec<RdbBytes>),
}

/// Writes a value.
pub fn save(
    io: &mut RdbWriter<'_>,
    pool: &Pool,
    ty: ValueType,
    root: Root,
    inline: Inline,
) -> Result<()> {
    match ty {
        ValueType::String => {
            let mut digits = itoa::Buffer::new();
            io.save_bytes(text(pool, root, inline, &mut digits)?);
            Ok(())
        }
        ValueType::List => {
            io.save_unsigned(list::len(pool, root)?);
            list::each(pool, root, Side::Left, 0, |value| {
                io.save_bytes(value.bytes(pool)?);
                Ok(!io.failed())
            })
        }
        _ => Err(unsupported(ty)),
    }
}

/// Reads a value; `None` if the payload is malformed or newer than [`VERSION`].
pub fn load(io: &mut RdbReader<'_>, ty: ValueType, version: i32) -> Option<Loaded> {
    if version > VERSION {
        return None;
    }
    match ty {
        ValueType::String => io.load_bytes().ok().map(Loaded::String),
        ValueType::List => {
            let len = io.load_unsigned().ok().filter(|&len| len > 0)?;
            let elements = (0..len).map(|_| io.load_bytes());
            elements.collect::<Result<_, _>>().ok().map(Loaded::List)
        }
        _ => None,
    }
}

/// Adds a value's content to a digest, the same for every encoding.
pub fn digest(
    digest: &mut Digest<'_>,
    pool: &Pool,
    ty: ValueType,
    root: Root,
    inline: Inline,
) -> Result<()> {
    match ty {
        ValueType::String => {
            let mut digits = itoa::Buffer::new();
            digest.add_bytes(text(pool, root, inline, &mut digits)?);
            digest.end_sequence();
            Ok(())
        }
        ValueType::List => {
            list::each(pool, root, Side::Left, 0, |value| {
                digest.add_bytes(value.bytes(pool)?);
                Ok(true)
            })?;
            digest.end_sequence();
            Ok(())
        }
        _ => Err(unsupported(ty)),
    }
}

fn unsupported(ty: ValueType) -> pobj::Error {
    pobj::Error::Damaged(format!("a value of type {ty:?}"))
}

/// A string's bytes.
fn text<'a>(
    pool: &'a Pool,
    root: Root,
    inline: Inline,
    digits: &'a mut itoa::Buffer,
) -> Result<&'a [u8]> {
    Ok(string::read(pool, root, inline)?.map_or(b"".as_slice(), |value| value.text(digits)))
}
