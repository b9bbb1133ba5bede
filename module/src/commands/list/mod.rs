//! The commands of the List type.

mod blocking;
mod edit;
mod moves;
mod pop;
mod push;
mod read;

use super::row::{
    BLOCKING, BLOCKING_ANYWHERE, BLOCKING_GROWING, ONE, READ, READ_FAST, Row, TWO, WRITE,
    WRITE_ALWAYS, WRITE_ALWAYS_FAST, WRITE_FAST,
};
use super::sample;
use super::{at_least, integer};
use crate::behaviour::Behaviour;
use crate::error::CmdError;
use crate::redis::{Arg, NumberedKeys};
use std::ffi::CStr;
use store::structures::list::Side;

/// One row a command: name, handler, arity, flags, keys.
pub(super) const ROWS: &[Row] = &[
    Row::command("lpush", push::lpush, -3, WRITE_FAST, ONE),
    Row::command("rpush", push::rpush, -3, WRITE_FAST, ONE),
    Row::command("lpushx", push::lpushx, -3, WRITE_FAST, ONE),
    Row::command("rpushx", push::rpushx, -3, WRITE_FAST, ONE),
    Row::command("lpop", pop::lpop, -2, WRITE_ALWAYS_FAST, ONE),
    Row::command("rpop", pop::rpop, -2, WRITE_ALWAYS_FAST, ONE),
    Row::numbered("lmpop", pop::lmpop, -4, WRITE_ALWAYS, NumberedKeys::First)
        .options("LEFT RIGHT COUNT")
        .first_key_only(),
    Row::command("llen", read::llen, 2, READ_FAST, ONE),
    Row::command("lindex", read::lindex, 3, READ, ONE),
    Row::command("lrange", read::lrange, 4, READ, ONE),
    Row::command("lpos", read::lpos, -3, READ, ONE).options("RANK COUNT MAXLEN"),
    Row::command("lset", edit::lset, 4, WRITE, ONE),
    Row::command("linsert", edit::linsert, 5, WRITE, ONE).options("BEFORE AFTER"),
    Row::command("lrem", edit::lrem, 4, WRITE_ALWAYS, ONE),
    Row::command("ltrim", edit::ltrim, 4, WRITE_ALWAYS, ONE),
    Row::command("lmove", moves::lmove, 5, WRITE, TWO).options("LEFT RIGHT"),
    Row::command("rpoplpush", moves::rpoplpush, 3, WRITE, TWO),
    Row::command("blpop", blocking::blpop, -3, BLOCKING, (1, -2, 1)).first_key_only(),
    Row::command("brpop", blocking::brpop, -3, BLOCKING, (1, -2, 1)).first_key_only(),
    Row::numbered(
        "blmpop",
        blocking::blmpop,
        -5,
        BLOCKING_ANYWHERE,
        NumberedKeys::AfterTimeout,
    )
    .options("LEFT RIGHT COUNT")
    .first_key_only(),
    Row::command("blmove", blocking::blmove, 6, BLOCKING_GROWING, TWO).options("LEFT RIGHT"),
    Row::command("brpoplpush", blocking::brpoplpush, 4, BLOCKING_GROWING, TWO),
];

/// A number of elements, counted from the end if it is negative.
///
/// # Errors
/// `NotAnInteger`; the server's own text for the least integer, if the server refuses that.
fn count_from_either_end(arg: Arg<'_>) -> Result<i64, CmdError> {
    match integer(arg)? {
        i64::MIN if Behaviour::LeastCountIsOutOfRange.here() => Err(sample::LEAST_COUNT),
        count => Ok(count),
    }
}

/// `PM.LEFT` or `PM.RIGHT`.
fn side(arg: Arg<'_>) -> Result<Side, CmdError> {
    if arg.is(b"right") {
        Ok(Side::Right)
    } else if arg.is(b"left") {
        Ok(Side::Left)
    } else {
        Err(CmdError::Syntax)
    }
}

/// What a negative index counts from the end; below zero if it is before the start.
fn from_start(index: i64, len: u64) -> i64 {
    if index < 0 {
        index.saturating_add(len as i64)
    } else {
        index
    }
}

/// The elements from `start` to `stop`, both included and negative if counted from the end, of a
/// list of this length: the first one and how many.
fn range(start: i64, stop: i64, len: u64) -> (u64, u64) {
    let start = from_start(start, len).max(0) as u64;
    let stop = from_start(stop, len);
    if stop < 0 || start > stop as u64 || start >= len {
        return (0, 0);
    }
    (start, (stop as u64).min(len - 1) - start + 1)
}

/// The event of a push.
fn pushed(side: Side) -> &'static CStr {
    match side {
        Side::Left => c"lpush",
        Side::Right => c"rpush",
    }
}

/// The event of a pop.
fn popped(side: Side) -> &'static CStr {
    match side {
        Side::Left => c"lpop",
        Side::Right => c"rpop",
    }
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_are_clamped_as_redis_does() {
        assert_eq!(range(0, -1, 5), (0, 5));
        assert_eq!(range(-100, 100, 5), (0, 5));
        assert_eq!(range(-2, -1, 5), (3, 2));
        assert_eq!(range(3, 1, 5), (0, 0));
        assert_eq!(range(5, 9, 5), (0, 0));
        assert_eq!(range(0, -6, 5), (0, 0));
        assert_eq!(range(i64::MIN, i64::MAX, 5), (0, 5));
        assert_eq!(range(i64::MAX, i64::MIN, 5), (0, 0));
    }
}
