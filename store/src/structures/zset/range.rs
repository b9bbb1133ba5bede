//! Parts of a sorted set: by ranks, scores or names.

use super::{Bound, NameEnd, Walk, is_packed, len, name_range, narrow, rank_of, walk};
use crate::damaged::damaged;
use crate::structures::Root;
use pobj::{Pool, Result};
use std::ops::Range;

/// A range of elements.
#[derive(Clone, Copy, Debug)]
pub enum Span<'a> {
    /// From one rank to another, both included, negative ones counting from the end.
    Ranks(i64, i64),
    /// Between scores.
    Scores(ScoreEnd, ScoreEnd),
    /// Between names.
    Names(NameEnd<'a>, NameEnd<'a>),
}

/// An end of a range of scores.
#[derive(Clone, Copy, Debug)]
pub struct ScoreEnd {
    /// The score.
    pub at: f64,
    /// Whether the range ends before it.
    pub exclusive: bool,
}

/// How much of the start of a range is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// So many elements.
    First(u64),
    /// All but so many at the end; all if there are not so many, or of a packed sorted set.
    AllBut(u64),
}

impl Span<'_> {
    /// Whether the elements in the range follow from what the sorted set holds, however it is
    /// kept. Those between names do only if all scores are equal: a copy of the sorted set, whose
    /// tree has another shape, may find others. O(log n).
    ///
    /// # Errors
    /// [`Damaged`](crate::structures#errors).
    pub fn is_told_by_content(self, pool: &Pool, root: Root) -> Result<bool> {
        match (self, len(root)) {
            (Span::Ranks(..) | Span::Scores(..), _) | (_, 0) => Ok(true),
            (Span::Names(..), len) => {
                Ok(at_rank(pool, root, 0)?.1 == at_rank(pool, root, len - 1)?.1)
            }
        }
    }

    /// The ranks of the elements in the range, counted from the lowest, without the first `skip` of
    /// them; seen from the end if `reverse`. O(log n).
    ///
    /// # Errors
    /// [`Damaged`](crate::structures#errors).
    pub fn resolve(self, pool: &Pool, root: Root, skip: u64, reverse: bool) -> Result<Range<u64>> {
        let len = len(root);
        let range = match self {
            Span::Ranks(start, end) if reverse => {
                let range = ranks(start, end, len);
                len - range.end..len - range.start
            }
            Span::Ranks(start, end) => ranks(start, end, len),
            Span::Scores(min, max) => {
                let from = if min.exclusive {
                    Bound::AfterScore(min.at)
                } else {
                    Bound::BeforeScore(min.at)
                };
                let to = if max.exclusive {
                    Bound::BeforeScore(max.at)
                } else {
                    Bound::AfterScore(max.at)
                };
                rank_of(pool, root, &from)?..rank_of(pool, root, &to)?
            }
            Span::Names(min, max) => {
                return name_range(pool, root, min, max, skip, reverse);
            }
        };
        Ok(narrow(range, skip, reverse))
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

/// A walk over the elements of a range without the skipped ones, down if `reverse`, and their
/// ranks. O(log n).
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
pub fn select<'p>(
    pool: &'p Pool,
    root: Root,
    span: Span<'_>,
    skip: Skip,
    reverse: bool,
) -> Result<(Walk<'p>, Range<u64>)> {
    let skip = match skip {
        Skip::First(count) => count,
        Skip::AllBut(_) if is_packed(root) => u64::MAX,
        Skip::AllBut(count) => {
            let all = span.resolve(pool, root, 0, reverse)?;
            (all.end - all.start).checked_sub(count).unwrap_or(u64::MAX)
        }
    };
    let range = span.resolve(pool, root, skip, reverse)?;
    let first = if reverse {
        range.end.saturating_sub(1)
    } else {
        range.start
    };
    Ok((walk(pool, root, first, reverse)?, range))
}

/// The first `count` elements, seen from the end if `reverse`; all, if there are fewer. O(count +
/// log n).
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
pub fn from_end(pool: &Pool, root: Root, count: u64, reverse: bool) -> Result<Vec<(Vec<u8>, f64)>> {
    let len = len(root);
    let first = if reverse { len.saturating_sub(1) } else { 0 };
    let taken = walk(pool, root, first, reverse)?.some(count.min(len))?;
    Ok((taken.into_iter())
        .map(|(name, score)| (name.to_vec(), score))
        .collect())
}

/// The element of a rank that there is. O(log n).
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
pub fn at_rank(pool: &Pool, root: Root, rank: u64) -> Result<(&[u8], f64)> {
    let found = walk(pool, root, rank, false)?.step()?;
    found.ok_or_else(|| damaged("a sorted set has fewer elements than it says"))
}
