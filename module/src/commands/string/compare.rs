//! Conditions on a string's value, DIGEST, and the deletions that have such a condition: DELEX,
//! DELIFEQ.

use super::{delete, read};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::limits::Deletion;
use crate::redis::{Arg, Args, Ctx};
use store::value::ValueType;
use xxhash_rust::xxh3::xxh3_64;

/// How many hexadecimal digits a digest has.
const DIGEST_DIGITS: usize = 16;

/// A condition on a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comparison<'a> {
    /// Which option it is.
    pub kind: Kind,
    /// What the value, or its digest, is compared with.
    with: Arg<'a>,
}

/// The conditions that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// IFEQ: the value is this.
    Equal,
    /// IFNE: it is not.
    Different,
    /// IFDEQ: its digest is this.
    DigestEqual,
    /// IFDNE: it is not.
    DigestDifferent,
}

impl Kind {
    /// The condition of this name.
    pub(super) fn of(option: Arg<'_>) -> Option<Kind> {
        const KINDS: [(&[u8], Kind); 4] = [
            (b"IFEQ", Kind::Equal),
            (b"IFNE", Kind::Different),
            (b"IFDEQ", Kind::DigestEqual),
            (b"IFDNE", Kind::DigestDifferent),
        ];
        let mut kinds = KINDS.into_iter();
        kinds
            .find(|(word, _)| option.is(word))
            .map(|(_, kind)| kind)
    }

    /// Whether the condition asks for a difference, which an absent value is.
    fn wants_difference(self) -> bool {
        matches!(self, Kind::Different | Kind::DigestDifferent)
    }
}

impl<'a> Comparison<'a> {
    /// The condition `kind` with its argument.
    pub(super) fn new(kind: Kind, with: Arg<'a>) -> Self {
        Self { kind, with }
    }

    /// Whether the condition holds for a key that was opened for any value. O(1) for an absent key,
    /// else O(n).
    ///
    /// # Errors
    /// `WrongType` if the key holds no string; for a digest that is none, if there is a value.
    pub(super) fn holds(&self, key: &PmKey<'_>) -> Result<bool, CmdError> {
        if key.occupied() && !key.exists() {
            return Err(CmdError::WrongType);
        }
        let equal = read(key, |value| {
            self.equals(value.text(&mut itoa::Buffer::new()))
        })?;
        Ok(match equal {
            Some(equal) => equal? != self.kind.wants_difference(),
            None => self.kind.wants_difference(),
        })
    }

    /// Whether the value is what it is compared with.
    fn equals(&self, text: &[u8]) -> Result<bool, CmdError> {
        let with = self.with.bytes();
        match self.kind {
            Kind::Equal | Kind::Different => Ok(text == with),
            _ if with.len() != DIGEST_DIGITS => Err(CmdError::text_only(
                "ERR must be exactly 16 hexadecimal characters",
            )),
            _ => Ok(digest_of(text).as_bytes().eq_ignore_ascii_case(with)),
        }
    }
}

/// The digest of a value: XXH3 of 64 bits, as hexadecimal digits. O(n).
fn digest_of(text: &[u8]) -> String {
    format!("{:016x}", xxh3_64(text))
}

/// `PM.DIGEST key`
pub(super) fn digest(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], ValueType::String)?;
    match read(&key, |value| {
        digest_of(value.text(&mut itoa::Buffer::new()))
    })? {
        Some(digest) => ctx.reply_bulk(digest.as_bytes()),
        None => ctx.reply_null(),
    }
    Ok(())
}

/// `PM.DELEX key [IFEQ value | IFNE value | IFDEQ digest | IFDNE digest]`
///
/// Without a condition the key may hold a value of any type.
pub(super) fn delex(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let condition = match args.from(2) {
        [] => None,
        [option, with] => Some((*option, *with)),
        _ => return Err(CmdError::WrongArity),
    };
    let proceeds = match condition {
        None => {
            let key = PmKey::open_any(ctx, args[1], ValueType::String);
            let is_ours = key.value_type().is_some();
            if ctx.is_plain() && key.occupied() && !is_ours {
                return Err(CmdError::Native);
            }
            is_ours
        }
        Some(condition) => may_delete(ctx, args[1], condition)?,
    };
    let mut key = PmKey::open_any(ctx, args[1], ValueType::String);
    if proceeds {
        delete(ctx, &mut key, Deletion::Asked);
    }
    ctx.reply_integer(proceeds.into());
    Ok(())
}

/// Whether DELEX's condition and its argument hold for a key, which counts as read.
fn may_delete(
    ctx: &Ctx,
    name: Arg<'_>,
    (option, with): (Arg<'_>, Arg<'_>),
) -> Result<bool, CmdError> {
    let key = PmKey::open_read(ctx, name, ValueType::String).map_err(|error| match error {
        CmdError::WrongType => {
            CmdError::WrongTypeFor("ERR Key should be of string type if conditions are specified")
        }
        other => other,
    })?;
    if !key.exists() {
        return Ok(false);
    }
    let kind = Kind::of(option).ok_or(CmdError::text_only(
        "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE",
    ))?;
    Comparison::new(kind, with).holds(&key)
}

/// `PM.DELIFEQ key value`
pub(super) fn delifeq(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let mut key = PmKey::open_write(ctx, args[1], ValueType::String)?;
    let equal = Comparison::new(Kind::Equal, args[2]).holds(&key)?;
    if equal {
        delete(ctx, &mut key, Deletion::Asked);
    }
    ctx.reply_integer(equal.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::digest_of;

    /// What Redis 8.6 answers to DIGEST.
    #[test]
    fn digests_are_those_of_redis() {
        for (text, digest) in [
            ("", "2d06800538d394c2"),
            ("v", "f7042be43fb80714"),
            ("v3", "f3575e7c52e0051e"),
            ("12345", "f34099ede96b5581"),
        ] {
            assert_eq!(digest_of(text.as_bytes()), digest, "{text}");
        }
    }
}
