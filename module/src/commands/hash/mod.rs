//! The commands of the Hash type.

mod expire;
mod getex;
mod incr;
pub(super) mod lapse;
mod random;
mod read;
mod setex;
mod syntax;
mod ttl;
mod write;

use super::Table;
use crate::keyspace::PmKey;
use crate::redis::{Class, Ctx};
use std::ffi::CStr;
use store::value::ValueType;

/// One row a command: name, handler, arity, flags, keys (first, last, step).
pub fn rows(table: &mut Table<'_>) -> Result<(), String> {
    const ONE: (i32, i32, i32) = (1, 1, 1);
    const READ: &str = "readonly";
    const READ_FAST: &str = "readonly fast";
    const WRITE_FAST: &str = "write deny-oom fast";
    const WRITE_ALWAYS: &str = "write fast";

    table.native("hset", write::hset, -4, WRITE_FAST, ONE)?;
    table.native("hmset", write::hmset, -4, WRITE_FAST, ONE)?;
    table.native("hsetnx", write::hsetnx, 4, WRITE_FAST, ONE)?;
    table.native("hdel", write::hdel, -3, WRITE_ALWAYS, ONE)?;
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
    table.native("hrandfield", random::hrandfield, -2, READ, ONE)?;

    table.native("hexpire", expire::hexpire, -6, WRITE_ALWAYS, ONE)?;
    table.native("hpexpire", expire::hpexpire, -6, WRITE_ALWAYS, ONE)?;
    table.native("hexpireat", expire::hexpireat, -6, WRITE_ALWAYS, ONE)?;
    table.native("hpexpireat", expire::hpexpireat, -6, WRITE_ALWAYS, ONE)?;
    table.native("hpersist", expire::hpersist, -5, WRITE_ALWAYS, ONE)?;
    table.native("httl", ttl::httl, -5, READ_FAST, ONE)?;
    table.native("hpttl", ttl::hpttl, -5, READ_FAST, ONE)?;
    table.native("hexpiretime", ttl::hexpiretime, -5, READ_FAST, ONE)?;
    table.native("hpexpiretime", ttl::hpexpiretime, -5, READ_FAST, ONE)?;
    table.native("hgetex", getex::hgetex, -5, WRITE_ALWAYS, ONE)?;
    table.native("hgetdel", getex::hgetdel, -5, WRITE_ALWAYS, ONE)?;
    table.native("hsetex", setex::hsetex, -6, WRITE_FAST, ONE)
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
