//! The commands of the Sorted Set type.

mod add;
mod algebra;
mod blocking;
mod pop;
mod range;
mod read;
mod remove;
mod scan;
mod spec;

pub(super) use add::{add_many, add_one};
pub(super) use range::store;

use super::integer;
use super::row::{
    BLOCKING_ANYWHERE, BLOCKING_FAST, ONE, READ, READ_FAST, Row, TWO, WRITE, WRITE_ALWAYS,
    WRITE_ALWAYS_FAST, WRITE_FAST,
};
use crate::redis::{Ctx, NumberedKeys};
use store::value::ValueType;

/// One row a command: name, handler, arity, flags, keys.
pub(super) const ROWS: &[Row] = &[
    Row::command("zadd", add::zadd, -4, WRITE_FAST, ONE).options("NX XX GT LT CH INCR"),
    Row::command("zincrby", add::zincrby, 4, WRITE_FAST, ONE),
    Row::command("zrem", remove::zrem, -3, WRITE_ALWAYS_FAST, ONE),
    Row::command(
        "zremrangebyrank",
        remove::zremrangebyrank,
        4,
        WRITE_ALWAYS,
        ONE,
    ),
    Row::command(
        "zremrangebyscore",
        remove::zremrangebyscore,
        4,
        WRITE_ALWAYS,
        ONE,
    ),
    Row::command(
        "zremrangebylex",
        remove::zremrangebylex,
        4,
        WRITE_ALWAYS,
        ONE,
    ),
    Row::command("zcard", read::zcard, 2, READ_FAST, ONE),
    Row::command("zscore", read::zscore, 3, READ_FAST, ONE).looks_up_in(ValueType::ZSet),
    Row::command("zmscore", read::zmscore, -3, READ_FAST, ONE),
    Row::command("zrank", read::zrank, -3, READ_FAST, ONE).options("WITHSCORE"),
    Row::command("zrevrank", read::zrevrank, -3, READ_FAST, ONE).options("WITHSCORE"),
    Row::command("zcount", read::zcount, 4, READ_FAST, ONE),
    Row::command("zlexcount", read::zlexcount, 4, READ_FAST, ONE),
    Row::command("zrandmember", read::zrandmember, -2, READ, ONE).options("WITHSCORES"),
    Row::command("zscan", scan::zscan, -3, READ, ONE).options("MATCH COUNT NOSCORES"),
    Row::command("zrange", range::zrange, -4, READ, ONE)
        .options("BYSCORE BYLEX REV LIMIT WITHSCORES"),
    Row::command("zrevrange", range::zrevrange, -4, READ, ONE).options("WITHSCORES"),
    Row::command("zrangebyscore", range::zrangebyscore, -4, READ, ONE).options("WITHSCORES LIMIT"),
    Row::command("zrevrangebyscore", range::zrevrangebyscore, -4, READ, ONE)
        .options("WITHSCORES LIMIT"),
    Row::command("zrangebylex", range::zrangebylex, -4, READ, ONE).options("LIMIT"),
    Row::command("zrevrangebylex", range::zrevrangebylex, -4, READ, ONE).options("LIMIT"),
    Row::command("zrangestore", range::zrangestore, -5, WRITE, TWO)
        .options("BYSCORE BYLEX REV LIMIT"),
    Row::command("zpopmin", pop::zpopmin, -2, WRITE_ALWAYS_FAST, ONE),
    Row::command("zpopmax", pop::zpopmax, -2, WRITE_ALWAYS_FAST, ONE),
    Row::command(
        "bzpopmin",
        blocking::bzpopmin,
        -3,
        BLOCKING_FAST,
        (1, -2, 1),
    )
    .first_key_only(),
    Row::command(
        "bzpopmax",
        blocking::bzpopmax,
        -3,
        BLOCKING_FAST,
        (1, -2, 1),
    )
    .first_key_only(),
    Row::numbered(
        "bzmpop",
        blocking::bzmpop,
        -5,
        BLOCKING_ANYWHERE,
        NumberedKeys::AfterTimeout,
    )
    .options("MIN MAX COUNT")
    .first_key_only(),
    Row::numbered("zmpop", pop::zmpop, -4, WRITE_ALWAYS, NumberedKeys::First)
        .options("MIN MAX COUNT")
        .first_key_only(),
    Row::numbered("zunion", algebra::zunion, -3, READ, NumberedKeys::First)
        .options("WEIGHTS AGGREGATE SUM MIN MAX WITHSCORES")
        .takes_too(ValueType::Set),
    Row::numbered("zinter", algebra::zinter, -3, READ, NumberedKeys::First)
        .options("WEIGHTS AGGREGATE SUM MIN MAX WITHSCORES")
        .takes_too(ValueType::Set),
    Row::numbered("zdiff", algebra::zdiff, -3, READ, NumberedKeys::First)
        .options("WITHSCORES")
        .takes_too(ValueType::Set),
    Row::numbered(
        "zintercard",
        algebra::zintercard,
        -3,
        READ,
        NumberedKeys::First,
    )
    .options("LIMIT")
    .takes_too(ValueType::Set),
    Row::numbered(
        "zunionstore",
        algebra::zunionstore,
        -4,
        WRITE,
        NumberedKeys::AfterDestination,
    )
    .options("WEIGHTS AGGREGATE SUM MIN MAX")
    .takes_too(ValueType::Set),
    Row::numbered(
        "zinterstore",
        algebra::zinterstore,
        -4,
        WRITE,
        NumberedKeys::AfterDestination,
    )
    .options("WEIGHTS AGGREGATE SUM MIN MAX")
    .takes_too(ValueType::Set),
    Row::numbered(
        "zdiffstore",
        algebra::zdiffstore,
        -4,
        WRITE,
        NumberedKeys::AfterDestination,
    )
    .takes_too(ValueType::Set),
];

const TY: ValueType = ValueType::ZSet;

/// How elements are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Names.
    Names,
    /// Names and scores alternately.
    Flat,
    /// Pairs of a name and a score.
    Pairs,
}

impl Shape {
    /// With scores, as the client's protocol has it: RESP3 nests.
    fn with_scores(ctx: &Ctx, with_scores: bool) -> Shape {
        if !with_scores {
            Shape::Names
        } else if ctx.flags().resp3() {
            Shape::Pairs
        } else {
            Shape::Flat
        }
    }

    /// Begins an array of `len` elements.
    fn begin(self, ctx: &Ctx, len: usize) {
        ctx.reply_array(if self == Shape::Flat { 2 * len } else { len });
    }

    fn element(self, ctx: &Ctx, name: &[u8], score: f64) {
        if self == Shape::Pairs {
            ctx.reply_array(2);
        }
        ctx.reply_bulk(name);
        if self != Shape::Names {
            ctx.reply_double(score);
        }
    }
}
