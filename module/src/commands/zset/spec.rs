//! Ranges as commands give them: of ranks, scores or names.

use super::integer;
use crate::double;
use crate::error::CmdError;
use crate::redis::{Arg, Ctx};
use store::structures::zset::{NameEnd, ScoreEnd, Span};

/// What a range is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Ranks, negative ones from the end.
    Rank,
    /// Scores.
    Score,
    /// Names.
    Name,
}

fn score_end(ctx: &Ctx, arg: Arg<'_>) -> Option<ScoreEnd> {
    let (text, exclusive) = match arg.bytes() {
        [b'(', rest @ ..] => (rest, true),
        text => (text, false),
    };
    double::parse_end(ctx, text).map(|at| ScoreEnd { at, exclusive })
}

fn name_end<'a>(arg: Arg<'a>) -> Option<NameEnd<'a>> {
    match arg.bytes() {
        // As Redis compares C strings here, a zero byte may follow.
        [b'+'] | [b'+', 0, ..] => Some(NameEnd::Max),
        [b'-'] | [b'-', 0, ..] => Some(NameEnd::Min),
        [b'(', name @ ..] => Some(NameEnd::Excluding(name)),
        [b'[', name @ ..] => Some(NameEnd::Including(name)),
        _ => None,
    }
}

/// Parses the two ends of a range, the lower first.
///
/// # Errors
/// The server's own text for what is no end of such a range.
pub(super) fn parse<'a>(
    ctx: &Ctx,
    by: By,
    min: Arg<'a>,
    max: Arg<'a>,
) -> Result<Span<'a>, CmdError> {
    match by {
        By::Rank => Ok(Span::Ranks(integer(min)?, integer(max)?)),
        By::Score => match (score_end(ctx, min), score_end(ctx, max)) {
            (Some(min), Some(max)) => Ok(Span::Scores(min, max)),
            _ => Err(CmdError::text_only("ERR min or max is not a float")),
        },
        By::Name => match (name_end(min), name_end(max)) {
            (Some(min), Some(max)) => Ok(Span::Names(min, max)),
            _ => Err(CmdError::text_only(
                "ERR min or max not valid string range item",
            )),
        },
    }
}
