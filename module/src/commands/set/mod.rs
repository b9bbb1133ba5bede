//! The commands of the Set type.

mod algebra;
mod members;
mod random;

use super::row::{ALL, ONE, READ, READ_FAST, Row, TWO, WRITE, WRITE_ALWAYS_FAST, WRITE_FAST};
use crate::redis::NumberedKeys;
use store::value::ValueType;

/// One row a command: name, handler, arity, flags, keys.
pub(super) const ROWS: &[Row] = &[
    Row::command("sadd", members::sadd, -3, WRITE_FAST, ONE),
    Row::command("srem", members::srem, -3, WRITE_ALWAYS_FAST, ONE),
    Row::command("smove", members::smove, 4, WRITE_ALWAYS_FAST, TWO),
    Row::command("sismember", members::sismember, 3, READ_FAST, ONE).looks_up_in(ValueType::Set),
    Row::command("smismember", members::smismember, -3, READ_FAST, ONE).looks_up_in(ValueType::Set),
    Row::command("scard", members::scard, 2, READ_FAST, ONE),
    Row::command("smembers", members::smembers, 2, READ, ONE),
    Row::command("sscan", members::sscan, -3, READ, ONE).options("MATCH COUNT"),
    Row::command("spop", random::spop, -2, WRITE_ALWAYS_FAST, ONE),
    Row::command("srandmember", random::srandmember, -2, READ, ONE),
    Row::command("sinter", algebra::sinter, -2, READ, ALL),
    Row::command("sunion", algebra::sunion, -2, READ, ALL),
    Row::command("sdiff", algebra::sdiff, -2, READ, ALL),
    Row::numbered(
        "sintercard",
        algebra::sintercard,
        -3,
        READ,
        NumberedKeys::First,
    )
    .options("LIMIT"),
    Row::command("sinterstore", algebra::sinterstore, -3, WRITE, ALL),
    Row::command("sunionstore", algebra::sunionstore, -3, WRITE, ALL),
    Row::command("sdiffstore", algebra::sdiffstore, -3, WRITE, ALL),
];

const TY: ValueType = ValueType::Set;
