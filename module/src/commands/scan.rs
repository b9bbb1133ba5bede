//! What HSCAN, SSCAN and ZSCAN share: their arguments, and how far one call goes.

use crate::error::CmdError;
use crate::glob;
use crate::number::parse_i64;
use crate::redis::{Arg, Ctx};

/// The options of a call.
pub struct Options<'a> {
    /// About how many elements to visit.
    pub count: u64,
    pattern: Option<&'a [u8]>,
}

/// Parses a cursor, as `strtoul` does it: a sign is taken, and digits may be missing.
pub fn cursor(arg: Arg<'_>) -> Result<u64, CmdError> {
    let text = arg.bytes().split(|&byte| byte == 0).next().unwrap_or(&[]);
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let all_digits = digits.iter().all(u8::is_ascii_digit);
    let cursor = digits.iter().try_fold(0u64, |cursor, digit| {
        cursor
            .checked_mul(10)?
            .checked_add(u64::from(digit.wrapping_sub(b'0')))
    });
    match cursor {
        // A sign alone is left over by strtoul.
        Some(cursor) if all_digits && (text.is_empty() || !digits.is_empty()) => Ok(if negative {
            cursor.wrapping_neg()
        } else {
            cursor
        }),
        _ => Err(CmdError::text_only("ERR invalid cursor")),
    }
}

/// Begins a reply: the next cursor, and an array of `len` replies, which follow.
pub fn reply_head(ctx: &Ctx, cursor: u64, len: usize) {
    ctx.reply_array(2);
    ctx.reply_bulk(itoa::Buffer::new().format(cursor as i64).as_bytes());
    ctx.reply_array(len);
}

impl<'a> Options<'a> {
    /// Parses `[MATCH pattern] [COUNT count]`.
    pub fn parse(mut args: &[Arg<'a>]) -> Result<Options<'a>, CmdError> {
        let mut options = Options {
            count: 10,
            pattern: None,
        };
        while let Some((option, rest)) = args.split_first() {
            let Some((value, rest)) = rest.split_first() else {
                return Err(CmdError::Syntax);
            };
            if option.is(b"COUNT") {
                let count = parse_i64(value.bytes()).ok_or(CmdError::NotAnInteger)?;
                options.count = u64::try_from(count).map_err(|_| CmdError::Syntax)?;
                if count == 0 {
                    return Err(CmdError::Syntax);
                }
            } else if option.is(b"MATCH") {
                options.pattern = Some(value.bytes());
            } else {
                return Err(CmdError::Syntax);
            }
            args = rest;
        }
        Ok(options)
    }

    /// Whether an element of this name is to be shown.
    #[inline]
    pub fn admits(&self, name: &[u8]) -> bool {
        self.pattern
            .is_none_or(|pattern| glob::matches(pattern, name))
    }

    /// Repeats `step`, which visits a few elements from a cursor on and gives the next cursor and how
    /// many it visited, until the cursor is 0 or enough was visited; gives the cursor.
    pub fn run(
        &self,
        mut cursor: u64,
        mut step: impl FnMut(u64) -> pobj::Result<(u64, u64)>,
    ) -> pobj::Result<u64> {
        let (mut visited, mut steps) = (0, 0);
        loop {
            let (next, more) = step(cursor)?;
            (cursor, visited, steps) = (next, visited + more, steps + 1);
            if cursor == 0 || visited >= self.count || steps >= self.count.saturating_mul(10) {
                return Ok(cursor);
            }
        }
    }
}
