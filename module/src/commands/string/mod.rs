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

use super::integer;
use super::row::{ALL, NONE, ONE, READ, READ_FAST, Row, TWO, WRITE, WRITE_ALWAYS_FAST, WRITE_FAST};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::limits::{self, Deletion, deleting_command};
use crate::redis::{Class, Ctx};
use store::expiry::Expiry;
use store::structures::string::{self, Value};

/// One row a command: name, handler, arity, flags, keys.
pub(super) const ROWS: &[Row] = &[
    Row::native("set", set::set, -3, WRITE, ONE),
    Row::native("setnx", set::setnx, 3, WRITE_FAST, ONE),
    Row::native("setex", set::setex, 4, WRITE, ONE),
    Row::native("psetex", set::psetex, 4, WRITE, ONE),
    Row::native("getset", set::getset, 3, WRITE_FAST, ONE),
    Row::native("get", get::get, 2, READ_FAST, ONE),
    Row::native("getdel", get::getdel, 2, WRITE_ALWAYS_FAST, ONE),
    Row::native("getex", get::getex, -2, WRITE_ALWAYS_FAST, ONE),
    Row::native("strlen", get::strlen, 2, READ_FAST, ONE),
    Row::native("mget", many::mget, -2, READ_FAST, ALL),
    Row::native("mset", many::mset, -3, WRITE, (1, -1, 2)),
    Row::native("msetnx", many::msetnx, -3, WRITE, (1, -1, 2)),
    Row::native("msetex", many::msetex, -4, WRITE, NONE).telling_keys(),
    Row::native("digest", compare::digest, 2, READ_FAST, ONE),
    Row::native("delex", compare::delex, -2, WRITE_ALWAYS_FAST, ONE),
    Row::native("delifeq", compare::delifeq, 3, WRITE_ALWAYS_FAST, ONE),
    Row::native("append", range::append, 3, WRITE_FAST, ONE),
    Row::native("setrange", range::setrange, 4, WRITE, ONE),
    Row::native("getrange", range::getrange, 4, READ, ONE),
    Row::native("substr", range::getrange, 4, READ, ONE),
    Row::native("incr", incr::incr, 2, WRITE_FAST, ONE),
    Row::native("decr", incr::decr, 2, WRITE_FAST, ONE),
    Row::native("incrby", incr::incrby, 3, WRITE_FAST, ONE),
    Row::native("decrby", incr::decrby, 3, WRITE_FAST, ONE),
    Row::native("incrbyfloat", incr::incrbyfloat, 3, WRITE_FAST, ONE),
    Row::native("lcs", lcs::lcs, -3, READ, TWO),
];

/// Deletes a key and tells of it.
fn delete(ctx: &Ctx, key: &mut PmKey<'_>, deletion: Deletion) {
    key.delete();
    key.signal();
    ctx.notify(Class::GENERIC, c"del", key.name());
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

/// Makes the key hold `value`, whatever it held, until `expire_at`. Like every change, it is
/// durable before the reply leaves, not on return: see `keyspace::groups`.
pub(super) fn store(
    key: &mut PmKey<'_>,
    value: Value<'_>,
    expire_at: Expiry,
) -> Result<(), CmdError> {
    key.upsert(value.inline_len(), expire_at, |tx, root, inline| {
        string::set(tx, root, inline, value)
    })
}

/// [`store()`] for commands whose native ones put another value in the place of the one that is
/// there.
pub(super) fn replace(
    key: &mut PmKey<'_>,
    value: Value<'_>,
    expire_at: Expiry,
) -> Result<(), CmdError> {
    let is_changed = key.exists();
    store(key, value, expire_at)?;
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
