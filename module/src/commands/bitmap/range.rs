//! BITCOUNT and BITPOS.

use super::TY;
use super::string::read;
use crate::behaviour::Behaviour;
use crate::commands::integer;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Ctx};
use std::ops::Range;
use store::bits;

/// `PM.BITCOUNT key [start [end [BYTE|BIT]]]`
pub(super) fn bitcount(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let order = if Behaviour::BitcountUnitComesFirst.here() {
        Order::UnitFirst
    } else {
        Order::EndFirst
    };
    let lacks_end = args.len() == 3 && !Behaviour::BitcountTakesStart.here();
    let span = || {
        if lacks_end {
            Err(CmdError::Syntax)
        } else {
            Span::parse(args.from(2), order)
        }
    };
    let count = look_up(ctx, args[1], &span, |text, span| {
        let bits = if span.is_backwards() {
            0..0
        } else {
            span.bits(text)
        };
        bits::count(text, bits) as i64
    })?;
    ctx.reply_integer(count.unwrap_or(0));
    Ok(())
}

/// `PM.BITPOS key bit [start [end [BYTE|BIT]]]`
pub(super) fn bitpos(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let wanted = match integer(args[2])? {
        0 => false,
        1 => true,
        _ => {
            return Err(CmdError::text_only("ERR The bit argument must be 1 or 0."));
        }
    };
    let span = || Span::parse(args.from(3), Order::UnitFirst);
    let found = look_up(ctx, args[1], &span, |text, span| {
        find(text, wanted, &span).map_or(-1, |at| at as i64)
    })?;
    // An absent key is zeros without end.
    let absent = if wanted { -1 } else { 0 };
    ctx.reply_integer(found.unwrap_or(absent));
    Ok(())
}

/// What `f` makes of a key's value and the command's span; `None` if the key is absent.
///
/// The span is judged first where the server does so; elsewhere what follows the name of an absent
/// key is not looked at.
fn look_up(
    ctx: &Ctx,
    name: Arg<'_>,
    span: &dyn Fn() -> Result<Span, CmdError>,
    f: impl FnOnce(&[u8], Span) -> i64,
) -> Result<Option<i64>, CmdError> {
    let early = if Behaviour::BitRangeComesFirst.here() {
        Some(span()?)
    } else {
        None
    };
    let key = PmKey::open_read(ctx, name, TY)?;
    let found = read(&key, |value| {
        let span = match early {
            Some(span) => span,
            None => span()?,
        };
        Ok(f(value.text(&mut itoa::Buffer::new()), span))
    })?;
    found.transpose()
}

/// The part of a string that a command asks for.
#[derive(Clone, Copy)]
struct Span {
    start: Option<i64>,
    end: Option<i64>,
    unit: Unit,
}

/// Which argument is judged first, where both may be wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    EndFirst,
    UnitFirst,
}

impl Span {
    /// Parses `[start [end [BYTE|BIT]]]`.
    fn parse(args: &[Arg<'_>], order: Order) -> Result<Span, CmdError> {
        let whole = Span {
            start: None,
            end: None,
            unit: Unit::Byte,
        };
        match args {
            [] => Ok(whole),
            [start] => {
                let start = match (integer(*start), order) {
                    // Servers whose BITCOUNT takes no start alone say so.
                    (Err(_), Order::EndFirst) => return Err(CmdError::Syntax),
                    (start, _) => Some(start?),
                };
                Ok(Span { start, ..whole })
            }
            [start, end, unit @ ..] if unit.len() < 2 => {
                let start = Some(integer(*start)?);
                if order == Order::UnitFirst {
                    let unit = Unit::of_last(unit)?;
                    let end = Some(integer(*end)?);
                    return Ok(Span { start, end, unit });
                }
                let end = Some(integer(*end)?);
                let span = Span {
                    start,
                    end,
                    ..whole
                };
                // Where the key comes first, nothing is looked at any more once the span is empty.
                if span.is_backwards() && !Behaviour::BitRangeComesFirst.here() {
                    return Ok(span);
                }
                let unit = Unit::of_last(unit)?;
                Ok(Span { unit, ..span })
            }
            _ => Err(CmdError::Syntax),
        }
    }

    /// Whether both ends count from the string's end, and the second comes first.
    fn is_backwards(&self) -> bool {
        match (self.start, self.end) {
            (Some(start), Some(end)) => start < 0 && end < 0 && start > end,
            _ => false,
        }
    }

    /// The bits of a text that are meant.
    fn bits(&self, text: &[u8]) -> Range<u64> {
        let (start, end) = (self.start.unwrap_or(0), self.end.unwrap_or(-1));
        bits_between(text, start, end, self.unit)
    }
}

/// The first bit that is `wanted` in the span of a text.
fn find(text: &[u8], wanted: bool, span: &Span) -> Option<u64> {
    let range = span.bits(text);
    if range.is_empty() {
        return None;
    }
    let end = range.end;
    match bits::find(text, wanted, range) {
        // Without an end, the text is followed by zeros.
        None if span.end.is_none() && !wanted => Some(end),
        found => found,
    }
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
