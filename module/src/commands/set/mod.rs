//! The commands of the Set type.

mod algebra;
mod members;
mod random;

use super::row::{ALL, ONE, READ, READ_FAST, Row, TWO, WRITE, WRITE_ALWAYS_FAST, WRITE_FAST};
use crate::keyspace::PmKey;
use crate::redis::{Class, Ctx, NumberedKeys};
use std::ffi::CStr;
use store::value::ValueType;

/// One row a command: name, handler, arity, flags, keys.
pub(super) const ROWS: &[Row] = &[
    Row::native("sadd", members::sadd, -3, WRITE_FAST, ONE),
    Row::native("srem", members::srem, -3, WRITE_ALWAYS_FAST, ONE),
    Row::native("smove", members::smove, 4, WRITE_ALWAYS_FAST, TWO),
    Row::native("sismember", members::sismember, 3, READ_FAST, ONE).looks_up_in(ValueType::Set),
    Row::native("smismember", members::smismember, -3, READ_FAST, ONE).looks_up_in(ValueType::Set),
    Row::native("scard", members::scard, 2, READ_FAST, ONE),
    Row::native("smembers", members::smembers, 2, READ, ONE),
    Row::native("sscan", members::sscan, -3, READ, ONE),
    Row::native("spop", random::spop, -2, WRITE_ALWAYS_FAST, ONE),
    Row::native("srandmember", random::srandmember, -2, READ, ONE),
    Row::native("sinter", algebra::sinter, -2, READ, ALL),
    Row::native("sunion", algebra::sunion, -2, READ, ALL),
    Row::native("sdiff", algebra::sdiff, -2, READ, ALL),
    Row::numbered(
        "sintercard",
        algebra::sintercard,
        -3,
        READ,
        NumberedKeys::First,
    ),
    Row::native("sinterstore", algebra::sinterstore, -3, WRITE, ALL),
    Row::native("sunionstore", algebra::sunionstore, -3, WRITE, ALL),
    Row::native("sdiffstore", algebra::sdiffstore, -3, WRITE, ALL),
];

const TY: ValueType = ValueType::Set;

/// What every change of a set tells the rest of the server.
fn announce(ctx: &Ctx, key: &PmKey<'_>, event: &CStr) {
    super::announce::announce(ctx, key, Class::SET, event);
}
