//! The commands of the Hash type.

mod incr;
mod random;
mod read;
mod write;

use super::Table;
use crate::keyspace::PmKey;
use crate::redis::{Class, Ctx};
use crate::value::ValueType;
use std::ffi::CStr;

/// One row a command: name, handler, arity, flags, keys (first, last, step).
pub fn rows(table: &mut Table<'_>) -> Result<(), String> {
    const ONE: (i32, i32, i32) = (1, 1, 1);
    const READ: &str = "readonly";
    const READ_FAST: &str = "readonly fast";
    const WRITE_FAST: &str = "write deny-oom fast";

    table.native("hset", write::hset, -4, WRITE_FAST, ONE)?;
    table.native("hmset", write::hmset, -4, WRITE_FAST, ONE)?;
    table.native("hsetnx", write::hsetnx, 4, WRITE_FAST, ONE)?;
    table.native("hdel", write::hdel, -3, "write fast", ONE)?;
    table.native("hincrby", incr::hincrby, 4, WRITE_FAST, ONE)?;
    table.native("hincrbyfloat", incr::hincrbyfloat, 4, WRITE_FAST, ONE)?;
    table.native("hget", read::hget, 3, READ_FAST, ONE)?;
    table.native("hmget", read::hmget, -3, READ_FAST, ONE)?;
    table.native("hgetall", read::hgetall, 2, READ, ONE)?;
    table.native("hkeys", read::hkeys, 2, READ, ONE)?;
    table.native("hvals", read::hvals, 2, READ, ONE)?;
    table.native("hlen", read::hlen, 2, READ_FAST, ONE)?;
    table.native("hstrlen", read::hstrlen, 3, READ_FAST, ONE)?;
    table.native("hexists", read::hexists, 3, READ_FAST, ONE)?;
    table.native("hscan", read::hscan, -3, READ, ONE)?;
    table.native("hrandfield", random::hrandfield, -2, READ, ONE)
}

const TY: ValueType = ValueType::Hash;

/// What every change of a hash tells the rest of the server.
fn announce(ctx: &Ctx, key: &PmKey<'_>, event: &CStr) {
    key.signal();
    ctx.notify(Class::HASH, event, key.name());
    if !key.exists() {
        ctx.notify(Class::GENERIC, c"del", key.name());
    }
}
