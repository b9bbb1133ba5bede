//! Ranges as commands give them: of ranks, scores or names.

use super::integer;
use crate::double;
use crate::error::CmdError;
use crate::redis::Arg;
use pobj::Pool;
use std::ops::Range;
use store::structures::Root;
use store::structures::zset::{self, Bound, NameEnd};

/// What a range is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Ranks, negative ones from the end.
    Rank,
    /// Scores.
    Score,
    /// Names.
    Name,
}

/// A range of elements.
#[derive(Clone, Copy, Debug)]
pub enum Spec<'a> {
    /// From one rank to another, both included.
    Ranks(i64, i64),
    /// Between scores.
    Scores(Score, Score),
    /// Between names.
    Names(NameEnd<'a>, NameEnd<'a>),
}

/// An end of a range of scores.
#[derive(Clone, Copy, Debug)]
pub struct Score {
    at: f64,
    exclusive: bool,
}

impl Score {
    fn parse(arg: Arg<'_>) -> Option<Score> {
        let (text, exclusive) = match arg.bytes() {
            [b'(', rest @ ..] => (rest, true),
            text => (text, false),
        };
        double::parse_end(text).map(|at| Score { at, exclusive })
    }
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

impl<'a> Spec<'a> {
    /// Parses the two ends, the lower first.
    pub fn parse(by: By, min: Arg<'a>, max: Arg<'a>) -> Result<Spec<'a>, CmdError> {
        match by {
            By::Rank => Ok(Spec::Ranks(integer(min)?, integer(max)?)),
            By::Score => match (Score::parse(min), Score::parse(max)) {
                (Some(min), Some(max)) => Ok(Spec::Scores(min, max)),
                _ => Err(CmdError::text_only("ERR min or max is not a float")),
            },
            By::Name => match (name_end(min), name_end(max)) {
                (Some(min), Some(max)) => Ok(Spec::Names(min, max)),
                _ => Err(CmdError::text_only(
                    "ERR min or max not valid string range item",
                )),
            },
        }
    }

    /// The ranks of the elements in the range, counted from the lowest, without the first `skip` of
    /// them; seen from the end if `reverse`. O(log n).
    pub fn resolve(
        &self,
        pool: &Pool,
        root: Root,
        skip: u64,
        reverse: bool,
    ) -> pobj::Result<Range<u64>> {
        let len = zset::len(root);
        let range = match *self {
            Spec::Ranks(start, end) if reverse => {
                let range = ranks(start, end, len);
                len - range.end..len - range.start
            }
            Spec::Ranks(start, end) => ranks(start, end, len),
            Spec::Scores(min, max) => {
                let from = match min.exclusive {
                    true => Bound::AfterScore(min.at),
                    false => Bound::BeforeScore(min.at),
                };
                let to = match max.exclusive {
                    true => Bound::BeforeScore(max.at),
                    false => Bound::AfterScore(max.at),
                };
                zset::rank_of(pool, root, &from)?..zset::rank_of(pool, root, &to)?
            }
            Spec::Names(min, max) => {
                return zset::name_range(pool, root, min, max, skip, reverse);
            }
        };
        Ok(zset::narrow(range, skip, reverse))
    }
}

/// The ranks from `start` to `end`, both included, negative ones counting from the end.
fn ranks(start: i64, end: i64, len: u64) -> Range<u64> {
    let from_end = |at: i64| {
        if at < 0 {
            at.saturating_add_unsigned(len)
        } else {
            at
        }
    };
    let (start, end) = (from_end(start).max(0) as u64, from_end(end));
    match u64::try_from(end) {
        Ok(end) if start <= end && start < len => start..end.saturating_add(1).min(len),
        _ => 0..0,
    }
}
