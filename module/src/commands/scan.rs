//! What HSCAN, SSCAN and ZSCAN share: their arguments, and how far one call goes.

use super::integer;
use crate::behaviour::Behaviour;
use crate::error::CmdError;
use crate::glob;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Ctx};
use store::number::parse_i64;
use store::value::ValueType;

/// A call, whose key is there.
pub(super) struct Scan<'a> {
    /// The key.
    pub key: PmKey<'a>,
    /// Its options.
    pub options: Options<'a>,
    cursor: u64,
}

/// The options of a call.
pub(super) struct Options<'a> {
    /// About how many elements to visit.
    count: u64,
    /// NOVALUES or NOSCORES: names alone are shown.
    pub names_only: bool,
    pattern: Option<&'a [u8]>,
}

/// What is scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// A hash, which may show its fields alone.
    Hash,
    /// A set.
    Set,
    /// A sorted set, which may show its members alone.
    ZSet,
}

/// Parses a cursor as this server does it.
///
/// # Errors
/// If it is none.
fn cursor(arg: Arg<'_>) -> Result<u64, CmdError> {
    let text = arg.bytes().split(|&byte| byte == 0).next().unwrap_or(&[]);
    let cursor = if Behaviour::CursorIsDigits.here() {
        digits(text)
    } else if text.is_empty() {
        Some(0)
    } else {
        strtoul(text)
    };
    cursor.ok_or(CmdError::text_only("ERR invalid cursor"))
}

/// A number from zero on; what only looks like a number is taken as `strtoull` takes it, after
/// space.
fn digits(text: &[u8]) -> Option<u64> {
    match parse_i64(text) {
        Some(number) => u64::try_from(number).ok(),
        None => {
            let space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
            let start = text.iter().take_while(|byte| space(byte)).count();
            strtoul(&text[start..])
        }
    }
}

/// What `strtoul` makes of a whole text: a sign is taken, and a negative number wraps around.
fn strtoul(text: &[u8]) -> Option<u64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let cursor = digits.iter().try_fold(0u64, |cursor, digit| {
        cursor.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })?;
    Some(if negative {
        cursor.wrapping_neg()
    } else {
        cursor
    })
}

/// Begins a reply: the next cursor, and an array of `len` replies, which follow.
pub(super) fn reply_head(ctx: &Ctx, cursor: u64, len: usize) {
    ctx.reply_array(2);
    ctx.reply_bulk(itoa::Buffer::new().format(cursor as i64).as_bytes());
    ctx.reply_array(len);
}

impl<'a> Scan<'a> {
    /// Parses `key cursor [option ...]`; replies with nothing, and is none, if the key is not
    /// there.
    ///
    /// # Errors
    /// Those of [`cursor`] and of [`Options::parse`]; `WrongType`.
    pub(super) fn begin(
        ctx: &'a Ctx,
        args: Args<'a>,
        ty: ValueType,
        scanned: Scanned,
    ) -> Result<Option<Scan<'a>>, CmdError> {
        let cursor = cursor(args[2])?;
        let key = PmKey::open_read(ctx, args[1], ty)?;
        if !key.exists() {
            reply_head(ctx, 0, 0);
            return Ok(None);
        }
        let options = Options::parse(args.from(3), scanned)?;
        Ok(Some(Scan {
            key,
            options,
            cursor,
        }))
    }

    /// Goes on until enough elements were visited: the next cursor, and those that `admits` lets
    /// pass. `step` shows a few from a cursor on, and gives the next one.
    pub(super) fn run<E>(
        &self,
        mut step: impl FnMut(u64, &mut dyn FnMut(E)) -> store::Result<u64>,
        mut admits: impl FnMut(&E) -> bool,
    ) -> store::Result<(u64, Vec<E>)> {
        let (mut cursor, mut found) = (self.cursor, Vec::new());
        let (mut visited, mut steps, count) = (0, 0, self.options.count);
        loop {
            cursor = step(cursor, &mut |element| {
                visited += 1;
                if admits(&element) {
                    found.push(element);
                }
            })?;
            steps += 1;
            if cursor == 0 || visited >= count || steps >= count.saturating_mul(10) {
                return Ok((cursor, found));
            }
        }
    }
}

impl<'a> Options<'a> {
    /// Parses `[MATCH pattern] [COUNT count] [NOVALUES | NOSCORES]`.
    ///
    /// # Errors
    /// `Syntax`, `NotAnInteger`; the server's own text for an option that is another type's.
    fn parse(mut args: &[Arg<'a>], scanned: Scanned) -> Result<Options<'a>, CmdError> {
        let mut options = Options {
            count: 10,
            names_only: false,
            pattern: None,
        };
        while let Some((option, rest)) = args.split_first() {
            args = match rest.split_first() {
                Some((value, rest)) if option.is(b"COUNT") => {
                    let count = integer(*value)?;
                    options.count = u64::try_from(count).map_err(|_| CmdError::Syntax)?;
                    if count == 0 {
                        return Err(CmdError::Syntax);
                    }
                    rest
                }
                Some((value, rest)) if option.is(b"MATCH") => {
                    options.pattern = Some(value.bytes());
                    rest
                }
                _ => {
                    names_only(*option, scanned)?;
                    options.names_only = true;
                    rest
                }
            };
        }
        Ok(options)
    }

    /// Whether an element of this name is to be shown.
    #[inline]
    pub(super) fn admits(&self, name: &[u8]) -> bool {
        self.pattern
            .is_none_or(|pattern| glob::matches(pattern, name))
    }
}

/// Judges an option that shows names alone.
fn names_only(option: Arg<'_>, scanned: Scanned) -> Result<(), CmdError> {
    const NOVALUES: CmdError = CmdError::text_only("ERR NOVALUES option can only be used in HSCAN");
    const NOSCORES: CmdError = CmdError::text_only("ERR NOSCORES option can only be used in ZSCAN");
    match scanned {
        Scanned::Hash if option.is(b"NOVALUES") => Ok(()),
        Scanned::ZSet if option.is(b"NOSCORES") => Ok(()),
        _ if option.is(b"NOVALUES") && Behaviour::ScanKnowsNovalues.here() => Err(NOVALUES),
        _ if option.is(b"NOSCORES") && Behaviour::ScanKnowsNoscores.here() => Err(NOSCORES),
        _ => Err(CmdError::Syntax),
    }
}

#[cfg(test)]
mod tests {
    use super::{digits, strtoul};

    #[test]
    fn cursors_are_read_as_the_server_does() {
        for (text, old, new) in [
            ("0", Some(0), Some(0)),
            ("007", Some(7), Some(7)),
            ("+5", Some(5), Some(5)),
            ("-1", Some(u64::MAX), None),
            ("-0", Some(0), Some(0)),
            ("-05", Some(5u64.wrapping_neg()), Some(5u64.wrapping_neg())),
            ("18446744073709551615", Some(u64::MAX), Some(u64::MAX)),
            ("18446744073709551616", None, None),
            (" 5", None, Some(5)),
            ("5 ", None, None),
            ("", None, None),
            ("-", None, None),
            (" ", None, None),
            ("x", None, None),
        ] {
            assert_eq!(strtoul(text.as_bytes()), old, "{text:?}");
            assert_eq!(digits(text.as_bytes()), new, "{text:?}");
        }
    }
}
