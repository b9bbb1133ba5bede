//! The commands of the Set type.

mod algebra;
mod members;
mod random;

use super::Table;
use crate::keyspace::PmKey;
use crate::redis::{Class, Ctx, NumberedKeys};
use std::ffi::CStr;
use store::value::ValueType;

/// One row a command: name, handler, arity, flags, keys (first, last, step).
pub fn rows(table: &mut Table<'_>) -> Result<(), String> {
    const ONE: (i32, i32, i32) = (1, 1, 1);
    const ALL: (i32, i32, i32) = (1, -1, 1);
    const READ: &str = "readonly";
    const READ_FAST: &str = "readonly fast";
    const WRITE: &str = "write deny-oom";

    table.native("sadd", members::sadd, -3, "write deny-oom fast", ONE)?;
    table.native("srem", members::srem, -3, "write fast", ONE)?;
    table.native("smove", members::smove, 4, "write fast", (1, 2, 1))?;
    table.native("sismember", members::sismember, 3, READ_FAST, ONE)?;
    table.native("smismember", members::smismember, -3, READ_FAST, ONE)?;
    table.native("scard", members::scard, 2, READ_FAST, ONE)?;
    table.native("smembers", members::smembers, 2, READ, ONE)?;
    table.native("sscan", members::sscan, -3, READ, ONE)?;
    table.native("spop", random::spop, -2, "write fast", ONE)?;
    table.native("srandmember", random::srandmember, -2, READ, ONE)?;
    table.native("sinter", algebra::sinter, -2, READ, ALL)?;
    table.native("sunion", algebra::sunion, -2, READ, ALL)?;
    table.native("sdiff", algebra::sdiff, -2, READ, ALL)?;
    table.numbered(
        "sintercard",
        algebra::sintercard,
        -3,
        READ,
        NumberedKeys::First,
    )?;
    table.native("sinterstore", algebra::sinterstore, -3, WRITE, ALL)?;
    table.native("sunionstore", algebra::sunionstore, -3, WRITE, ALL)?;
    table.native("sdiffstore", algebra::sdiffstore, -3, WRITE, ALL)
}

const TY: ValueType = ValueType::Set;

/// What every change of a set tells the rest of the server.
fn announce(ctx: &Ctx, key: &PmKey<'_>, event: &CStr) {
    key.signal();
    ctx.notify(Class::SET, event, key.name());
    if !key.exists() {
        ctx.notify(Class::GENERIC, c"del", key.name());
    }
}
