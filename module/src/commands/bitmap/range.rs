//! BITCOUNT and BITPOS.

use super::TY;
use super::string::{integer, read};
use crate::bits;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Ctx};
use std::ops::Range;

/// `PM.BITCOUNT key [start end [BYTE|BIT]]`
pub fn bitcount(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    // As in Redis, what follows the name of an absent key is not looked at.
    let count = read(&key, |value| -> Result<u64, CmdError> {
        let mut digits = itoa::Buffer::new();
        let text = value.text(&mut digits);
        let range = match args.from(2) {
            [] => 0..text.len() as u64 * 8,
            [start, end, unit @ ..] if unit.len() < 2 => {
                let (start, end) = (integer(*start)?, integer(*end)?);
                if start < 0 && end < 0 && start > end {
                    return Ok(0);
                }
                bits_between(text, start, end, Unit::of_last(unit)?)
            }
            _ => return Err(CmdError::Syntax),
        };
        Ok(bits::count(text, range))
    })?;
    ctx.reply_integer(count.unwrap_or(Ok(0))? as i64);
    Ok(())
}

/// `PM.BITPOS key bit [start [end [BYTE|BIT]]]`
pub fn bitpos(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let wanted = match integer(args[2])? {
        0 => false,
        1 => true,
        _ => {
            return Err(CmdError::text_only("ERR The bit argument must be 1 or 0."));
        }
    };
    let key = PmKey::open_read(ctx, args[1], TY)?;
    let found = read(&key, |value| {
        let mut digits = itoa::Buffer::new();
        find(value.text(&mut digits), wanted, args.from(3))
    })?;
    // An absent key is zeros without end.
    let found = found.unwrap_or(Ok((!wanted).then_some(0)))?;
    ctx.reply_integer(found.map_or(-1, |at| at as i64));
    Ok(())
}

/// The first bit that is `wanted` in a text, or in what the arguments name of it.
fn find(text: &[u8], wanted: bool, args: &[Arg<'_>]) -> Result<Option<u64>, CmdError> {
    let (range, open_ended) = match args {
        [] => (0..text.len() as u64 * 8, true),
        [start] => (bits_between(text, integer(*start)?, -1, Unit::Byte), true),
        [start, end, unit @ ..] if unit.len() < 2 => {
            let start = integer(*start)?;
            let unit = Unit::of_last(unit)?;
            (bits_between(text, start, integer(*end)?, unit), false)
        }
        _ => return Err(CmdError::Syntax),
    };
    if range.is_empty() {
        return Ok(None);
    }
    let end = range.end;
    Ok(match bits::find(text, wanted, range) {
        // Without an end, the text is followed by zeros.
        None if open_ended && !wanted => Some(end),
        found => found,
    })
}

/// What positions in a text count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Byte,
    Bit,
}

impl Unit {
    /// Bytes, if nothing else is said.
    fn of_last(args: &[Arg<'_>]) -> Result<Unit, CmdError> {
        match args {
            [] => Ok(Unit::Byte),
            [unit] if unit.is(b"BIT") => Ok(Unit::Bit),
            [unit] if unit.is(b"BYTE") => Ok(Unit::Byte),
            _ => Err(CmdError::Syntax),
        }
    }
}

/// The bits of a text from `start` to `end`, both included, where negative ones count from the end.
fn bits_between(text: &[u8], start: i64, end: i64, unit: Unit) -> Range<u64> {
    let width = if unit == Unit::Bit { 1 } else { 8 };
    let len = (text.len() * 8 / width) as i64;
    let from_start = |at: i64| if at < 0 { (len + at).max(0) } else { at };
    let (start, end) = (from_start(start), from_start(end).min(len - 1));
    if start > end {
        return 0..0;
    }
    start as u64 * width as u64..(end as u64 + 1) * width as u64
}

#[cfg(test)]
mod tests {
    use super::{Unit, bits_between};

    #[test]
    fn ranges_include_their_end_and_count_from_either_side() {
        for (start, end, unit, expected) in [
            (0, -1, Unit::Byte, 0..24),
            (1, 1, Unit::Byte, 8..16),
            (-1, 99, Unit::Byte, 16..24),
            (0, -1, Unit::Bit, 0..24),
            (-8, -8, Unit::Bit, 16..17),
            (5, 4, Unit::Bit, 0..0),
            (3, 9, Unit::Byte, 0..0),
            (i64::MIN, i64::MAX, Unit::Bit, 0..24),
        ] {
            assert_eq!(bits_between(b"abc", start, end, unit), expected);
        }
        assert_eq!(bits_between(b"", 0, -1, Unit::Byte), 0..0);
    }
}
