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

use super::row::{ONE, READ, READ_FAST, Row, WRITE_ALWAYS_FAST, WRITE_FAST};
use crate::keyspace::PmKey;
use crate::redis::{Class, Ctx};
use std::ffi::CStr;
use store::value::ValueType;

/// One row a command: name, handler, arity, flags, keys.
pub(super) const ROWS: &[Row] = &[
    Row::native("hset", write::hset, -4, WRITE_FAST, ONE),
    Row::native("hmset", write::hmset, -4, WRITE_FAST, ONE),
    Row::native("hsetnx", write::hsetnx, 4, WRITE_FAST, ONE),
    Row::native("hdel", write::hdel, -3, WRITE_ALWAYS_FAST, ONE),
    Row::native("hincrby", incr::hincrby, 4, WRITE_FAST, ONE),
    Row::native("hincrbyfloat", incr::hincrbyfloat, 4, WRITE_FAST, ONE),
    Row::native("hget", read::hget, 3, READ_FAST, ONE).looks_up_in(ValueType::Hash),
    Row::native("hmget", read::hmget, -3, READ_FAST, ONE),
    Row::native("hgetall", read::hgetall, 2, READ, ONE),
    Row::native("hkeys", read::hkeys, 2, READ, ONE),
    Row::native("hvals", read::hvals, 2, READ, ONE),
    Row::native("hlen", read::hlen, 2, READ_FAST, ONE),
    Row::native("hstrlen", read::hstrlen, 3, READ_FAST, ONE),
    Row::native("hexists", read::hexists, 3, READ_FAST, ONE).looks_up_in(ValueType::Hash),
    Row::native("hscan", read::hscan, -3, READ, ONE),
    Row::native("hrandfield", random::hrandfield, -2, READ, ONE),
    Row::native("hexpire", expire::hexpire, -6, WRITE_ALWAYS_FAST, ONE),
    Row::native("hpexpire", expire::hpexpire, -6, WRITE_ALWAYS_FAST, ONE),
    Row::native("hexpireat", expire::hexpireat, -6, WRITE_ALWAYS_FAST, ONE),
    Row::native("hpexpireat", expire::hpexpireat, -6, WRITE_ALWAYS_FAST, ONE),
    Row::native("hpersist", expire::hpersist, -5, WRITE_ALWAYS_FAST, ONE),
    Row::native("httl", ttl::httl, -5, READ_FAST, ONE),
    Row::native("hpttl", ttl::hpttl, -5, READ_FAST, ONE),
    Row::native("hexpiretime", ttl::hexpiretime, -5, READ_FAST, ONE),
    Row::native("hpexpiretime", ttl::hpexpiretime, -5, READ_FAST, ONE),
    Row::native("hgetex", getex::hgetex, -5, WRITE_ALWAYS_FAST, ONE),
    Row::native("hgetdel", getex::hgetdel, -5, WRITE_ALWAYS_FAST, ONE),
    Row::native("hsetex", setex::hsetex, -6, WRITE_FAST, ONE),
];

const TY: ValueType = ValueType::Hash;

/// What every change of a hash tells the rest of the server.
fn announce(ctx: &Ctx, key: &PmKey<'_>, event: &CStr) {
    super::announce::announce(ctx, key, Class::HASH, event);
}
