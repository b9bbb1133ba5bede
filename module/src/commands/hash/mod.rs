//! The commands of the Hash type.

mod expire;
pub(super) mod expired_fields;
mod getex;
mod incr;
mod random;
mod read;
mod setex;
mod syntax;
mod ttl;
mod write;

use super::row::{ONE, READ, READ_FAST, Row, WRITE_ALWAYS_FAST, WRITE_FAST};
use crate::keyspace::plain_stream::Stream;
use store::value::ValueType;

/// One row a command: name, handler, arity, flags, keys.
pub(super) const ROWS: &[Row] = &[
    Row::command("hset", write::hset, -4, WRITE_FAST, ONE),
    Row::command("hmset", write::hmset, -4, WRITE_FAST, ONE),
    Row::command("hsetnx", write::hsetnx, 4, WRITE_FAST, ONE),
    Row::command("hdel", write::hdel, -3, WRITE_ALWAYS_FAST, ONE),
    Row::command("hincrby", incr::hincrby, 4, WRITE_FAST, ONE),
    Row::command("hincrbyfloat", incr::hincrbyfloat, 4, WRITE_FAST, ONE),
    Row::command("hget", read::hget, 3, READ_FAST, ONE).looks_up_in(ValueType::Hash),
    Row::command("hmget", read::hmget, -3, READ_FAST, ONE),
    Row::command("hgetall", read::hgetall, 2, READ, ONE),
    Row::command("hkeys", read::hkeys, 2, READ, ONE),
    Row::command("hvals", read::hvals, 2, READ, ONE),
    Row::command("hlen", read::hlen, 2, READ_FAST, ONE),
    Row::command("hstrlen", read::hstrlen, 3, READ_FAST, ONE),
    Row::command("hexists", read::hexists, 3, READ_FAST, ONE).looks_up_in(ValueType::Hash),
    Row::command("hscan", read::hscan, -3, READ, ONE).options("MATCH COUNT NOVALUES"),
    Row::command("hrandfield", random::hrandfield, -2, READ, ONE).options("WITHVALUES"),
    Row::command("hexpire", expire::hexpire, -6, WRITE_ALWAYS_FAST, ONE)
        .options("NX XX GT LT FIELDS"),
    Row::command("hpexpire", expire::hpexpire, -6, WRITE_ALWAYS_FAST, ONE)
        .options("NX XX GT LT FIELDS"),
    Row::command("hexpireat", expire::hexpireat, -6, WRITE_ALWAYS_FAST, ONE)
        .options("NX XX GT LT FIELDS"),
    Row::command("hpexpireat", expire::hpexpireat, -6, WRITE_ALWAYS_FAST, ONE)
        .options("NX XX GT LT FIELDS")
        .stream(Stream::OnlyIfFieldsExpire),
    Row::command("hpersist", expire::hpersist, -5, WRITE_ALWAYS_FAST, ONE)
        .options("FIELDS")
        .stream(Stream::OnlyIfFieldsExpire),
    Row::command("httl", ttl::httl, -5, READ_FAST, ONE).options("FIELDS"),
    Row::command("hpttl", ttl::hpttl, -5, READ_FAST, ONE).options("FIELDS"),
    Row::command("hexpiretime", ttl::hexpiretime, -5, READ_FAST, ONE).options("FIELDS"),
    Row::command("hpexpiretime", ttl::hpexpiretime, -5, READ_FAST, ONE).options("FIELDS"),
    Row::command("hgetex", getex::hgetex, -5, WRITE_ALWAYS_FAST, ONE)
        .options("EX PX EXAT PXAT PERSIST FIELDS"),
    Row::command("hgetdel", getex::hgetdel, -5, WRITE_ALWAYS_FAST, ONE).options("FIELDS"),
    Row::command("hsetex", setex::hsetex, -6, WRITE_FAST, ONE)
        .options("NX XX FNX FXX EX PX EXAT PXAT KEEPTTL FIELDS")
        .stream(Stream::WithoutHsetex),
];

const TY: ValueType = ValueType::Hash;
