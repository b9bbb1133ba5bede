//! Strings as numbers: INCR, DECR, INCRBY, DECRBY and INCRBYFLOAT.

use super::{integer, read, store};
use crate::commands::announce::announce_and_replicate;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Class, Ctx, OwnedString, may_replicate};
use std::ffi::CStr;
use store::expiry::Expiry;
use store::number::{LongDouble, parse_i64};
use store::structures::string::{self, Value};
use store::value::ValueType;

/// `PM.INCR key`
pub(super) fn incr(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    add(ctx, args, c"PM.INCR", 1)
}

/// `PM.DECR key`
pub(super) fn decr(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    add(ctx, args, c"PM.DECR", -1)
}

/// `PM.INCRBY key increment`
pub(super) fn incrby(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    add(ctx, args, c"PM.INCRBY", integer(args[2])?)
}

/// `PM.DECRBY key decrement`
pub(super) fn decrby(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let by = integer(args[2])?.checked_neg();
    let by = by.ok_or(CmdError::text_only("ERR decrement would overflow"))?;
    add(ctx, args, c"PM.DECRBY", by)
}

/// Adds to the key's number and replies with the sum; `command` is what is replicated.
fn add(ctx: &Ctx, args: Args<'_>, command: &CStr, by: i64) -> Result<(), CmdError> {
    let mut key = PmKey::open_write(ctx, args[1], ValueType::String)?;
    let sum = key.upsert(0, Expiry::Keep, |tx, root, inline| {
        let sum = string::read(tx, *root, inline)?.map_or(Ok(by), |old| plus(old, by));
        if let Ok(sum) = sum {
            string::set(tx, root, inline, Value::Int(sum))?;
        }
        Ok(sum)
    })??;
    announce_and_replicate(
        ctx,
        &key,
        (Class::STRING, c"incrby"),
        (command, args.from(1)),
    );
    ctx.reply_integer(sum);
    Ok(())
}

fn plus(old: Value<'_>, by: i64) -> Result<i64, CmdError> {
    let old = match old {
        Value::Int(n) => n,
        Value::Bytes(text) => parse_i64(text).ok_or(CmdError::NotAnInteger)?,
    };
    old.checked_add(by).ok_or(CmdError::Overflow)
}

/// `PM.INCRBYFLOAT key increment`
pub(super) fn incrbyfloat(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let mut key = PmKey::open_write(ctx, args[1], ValueType::String)?;
    let old = read(&key, |value| match value {
        Value::Int(n) => Ok(n.into()),
        Value::Bytes(text) => LongDouble::parse(text).ok_or(CmdError::NotAFloat),
    })?;
    let old = old.unwrap_or(Ok(0.into()))?;
    let by = LongDouble::parse(args[2].bytes()).ok_or(CmdError::NotAFloat)?;
    let sum = old.checked_add(by).ok_or(CmdError::NotFinite)?.to_text();
    store(&mut key, Value::of(sum.as_bytes()), Expiry::Keep)?;
    key.signal();
    ctx.notify(Class::STRING, c"incrbyfloat", args[1]);
    replicate_sum(ctx, args[1], &sum);
    ctx.reply_bulk(sum.as_bytes());
    Ok(())
}

/// Replicas get the sum, not the summand: they may round in another way.
fn replicate_sum(ctx: &Ctx, name: Arg<'_>, sum: &str) {
    if may_replicate(ctx) {
        let (sum, keepttl) = (
            OwnedString::new(sum.as_bytes()),
            OwnedString::new(b"KEEPTTL"),
        );
        ctx.replicate(c"PM.SET", &[name, sum.arg(), keepttl.arg()]);
    }
}
