//! The commands of the String type.

mod compare;
mod get;
mod incr;
mod lcs;
mod many;
mod options;
mod range;
mod set;

pub(super) use range::write_range;

use super::row::{ALL, NONE, ONE, READ, READ_FAST, Row, TWO, WRITE, WRITE_ALWAYS_FAST, WRITE_FAST};
use super::{announce, integer};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::keyspace::plain_stream::Stream;
use crate::limits::{self, Deletion, deleting_command};
use crate::redis::Ctx;
use store::expiry::Expiry;
use store::structures::string::{self, Value};

/// One row a command: name, handler, arity, flags, keys.
pub(super) const ROWS: &[Row] = &[
    // These flags are those of its key if it does not read. With GET, the handler asks for the
    // permission ([`Ctx::may_read`]).
    Row::command("set", set::set, -3, WRITE, ONE)
        .options("NX XX IFEQ IFNE IFDEQ IFDNE GET EX PX EXAT PXAT KEEPTTL")
        .key_flags("OW update"),
    Row::command("setnx", set::setnx, 3, WRITE_FAST, ONE),
    Row::command("setex", set::setex, 4, WRITE, ONE),
    Row::command("psetex", set::psetex, 4, WRITE, ONE),
    Row::command("getset", set::getset, 3, WRITE_FAST, ONE),
    Row::command("get", get::get, 2, READ_FAST, ONE),
    Row::command("getdel", get::getdel, 2, WRITE_ALWAYS_FAST, ONE),
    Row::command("getex", get::getex, -2, WRITE_ALWAYS_FAST, ONE)
        .options("EX PX EXAT PXAT PERSIST"),
    Row::command("strlen", get::strlen, 2, READ_FAST, ONE),
    Row::command("mget", many::mget, -2, READ_FAST, ALL),
    Row::command("mset", many::mset, -3, WRITE, (1, -1, 2)),
    Row::command("msetnx", many::msetnx, -3, WRITE, (1, -1, 2)),
    Row::command("msetex", many::msetex, -4, WRITE, NONE)
        .options("NX XX EX PX EXAT PXAT KEEPTTL")
        .stream(Stream::SetOfEach)
        .telling_keys(),
    Row::command("digest", compare::digest, 2, READ_FAST, ONE),
    Row::command("delex", compare::delex, -2, WRITE_ALWAYS_FAST, ONE)
        .options("IFEQ IFNE IFDEQ IFDNE"),
    Row::command("delifeq", compare::delifeq, 3, WRITE_ALWAYS_FAST, ONE),
    Row::command("append", range::append, 3, WRITE_FAST, ONE),
    Row::command("setrange", range::setrange, 4, WRITE, ONE),
    Row::command("getrange", range::getrange, 4, READ, ONE),
    Row::command("substr", range::getrange, 4, READ, ONE),
    Row::command("incr", incr::incr, 2, WRITE_FAST, ONE),
    Row::command("decr", incr::decr, 2, WRITE_FAST, ONE),
    Row::command("incrby", incr::incrby, 3, WRITE_FAST, ONE),
    Row::command("decrby", incr::decrby, 3, WRITE_FAST, ONE),
    Row::command("incrbyfloat", incr::incrbyfloat, 3, WRITE_FAST, ONE),
    Row::command("lcs", lcs::lcs, -3, READ, TWO).options("LEN IDX MINMATCHLEN WITHMATCHLEN"),
];

/// Deletes a key, and tells of it and the replicas.
fn delete(ctx: &Ctx, key: &mut PmKey<'_>, deletion: Deletion) {
    announce::delete(ctx, key);
    ctx.replicate(deleting_command(deletion), &[key.name()]);
}

/// Hands the key's value to `f`; `None` if there is none.
pub(super) fn read<R>(
    key: &PmKey<'_>,
    f: impl FnOnce(Value<'_>) -> R,
) -> Result<Option<R>, CmdError> {
    let result =
        key.read_inline(|pool, root, inline| Ok(string::read(pool, root, inline)?.map(f)))?;
    Ok(result.flatten())
}

/// Makes the key hold `value`, whatever it held, until `expiry`. Like every change, it is
/// durable before the reply leaves, not on return: see `keyspace::acknowledge`.
pub(super) fn store(key: &mut PmKey<'_>, value: Value<'_>, expiry: Expiry) -> Result<(), CmdError> {
    key.upsert(value.inline_len(), expiry, |tx, root, inline| {
        string::set(tx, root, inline, value)
    })
}

/// [`store()`] for commands whose native ones put another value in the place of the one that is
/// there.
pub(super) fn replace(
    key: &mut PmKey<'_>,
    value: Value<'_>,
    expiry: Expiry,
) -> Result<(), CmdError> {
    let is_changed = key.exists();
    store(key, value, expiry)?;
    if is_changed {
        key.announce_replaced();
    }
    Ok(())
}

fn reply_value(ctx: &Ctx, value: Value<'_>) {
    ctx.reply_bulk(value.text(&mut itoa::Buffer::new()));
}

/// Refuses a string of `len` bytes and `more` if that is longer than the server allows, unless the
/// command comes from a server that has allowed it.
fn check_length(ctx: &Ctx, len: u64, more: u64) -> Result<(), CmdError> {
    let fits = len
        .checked_add(more)
        .is_some_and(|total| total <= limits::string_max());
    if fits || ctx.must_obey() {
        Ok(())
    } else {
        Err(CmdError::StringTooLong)
    }
}
