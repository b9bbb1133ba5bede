//! Values as commands: how Valkey sends the keys of a hash slot to their new owner.
//!
//! Each command is small, so that neither end holds up others for long over a large value; the new
//! owner shows the key to nobody before it has the slot. The server itself sends the expire time
//! after them.

use crate::redis::{AofWriter, OwnedString};
use pobj::{Pool, Result};
use std::ffi::CString;
use store::expiry::FIELD_NEVER;
use store::inline::Inline;
use store::number::double_to_text;
use store::structures::{self, Element, Root, hash};
use store::value::ValueType;

/// Words of a command behind its key, at most.
const WORDS: usize = 128;
/// Bytes of these words after which a command is sent.
const BYTES: usize = 64 << 10;

/// A command under construction.
struct Piece<'io, 'a> {
    io: &'io mut AofWriter<'a>,
    command: CString,
    /// A copy: the server's own name of the key is on its stack, and commands keep their words.
    key: OwnedString,
    words: Vec<OwnedString>,
    bytes: usize,
}

impl Piece<'_, '_> {
    /// Adds words that belong together.
    fn add<const N: usize>(&mut self, words: [&[u8]; N]) {
        self.bytes += words.iter().map(|word| word.len()).sum::<usize>();
        self.words.extend(words.map(OwnedString::new));
        if self.words.len() >= WORDS || self.bytes >= BYTES {
            self.send();
        }
    }

    /// Sends what there is.
    fn send(&mut self) {
        if self.words.is_empty() {
            return;
        }
        let words = self.words.iter().map(OwnedString::arg);
        let args: Vec<_> = std::iter::once(self.key.arg()).chain(words).collect();
        self.io.emit(&self.command, &args);
        self.words.clear();
        self.bytes = 0;
    }
}

/// Writes a value as commands that make it. O(n).
///
/// # Errors
/// `Damaged` if the value is; a part of it may have been written then.
pub(super) fn rewrite(
    io: &mut AofWriter<'_>,
    key: &[u8],
    pool: &Pool,
    ty: ValueType,
    root: Root,
    inline: Inline,
) -> Result<()> {
    let mut piece = Piece {
        command: CString::new(format!("PM.{}", ty.adds())).unwrap_or_default(),
        io,
        key: OwnedString::new(key),
        words: Vec::new(),
        bytes: 0,
    };
    structures::of(ty).each(pool, root, inline, &mut |element| {
        match element {
            Element::Bytes(bytes) => piece.add([bytes]),
            Element::Scored(name, score) => piece.add([double_to_text(score).as_bytes(), name]),
            Element::Field(field) => piece.add([field.name, field.value]),
        }
        Ok(!piece.io.failed())
    })?;
    piece.send();
    if structures::may_expire(ty, root) {
        expire_fields(piece.io, &piece.key, pool, root)
    } else {
        Ok(())
    }
}

/// Writes when the fields of a hash expire, those that do.
fn expire_fields(io: &mut AofWriter<'_>, key: &OwnedString, pool: &Pool, root: Root) -> Result<()> {
    let (fields, one) = (OwnedString::new(b"FIELDS"), OwnedString::new(b"1"));
    for field in hash::fields(pool, root)? {
        let field = field?;
        if field.expire_at == FIELD_NEVER {
            continue;
        }
        let mut digits = itoa::Buffer::new();
        let at = OwnedString::new(digits.format(field.expire_at).as_bytes());
        let name = OwnedString::new(field.name);
        let args = [key.arg(), at.arg(), fields.arg(), one.arg(), name.arg()];
        io.emit(c"PM.HPEXPIREAT", &args);
    }
    Ok(())
}
