//! Commands that look at fields and values.

use super::TY;
use crate::commands::scan::{self, Options, Scanned};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Collection, Ctx};
use crate::structures::hash::{self, Pair};
use crate::structures::{Root, whole};
use pobj::Pool;

fn reply_value(ctx: &Ctx, value: Option<&[u8]>) {
    match value {
        Some(value) => ctx.reply_bulk(value),
        None => ctx.reply_null(),
    }
}

/// `PM.HGET key field`
pub fn hget(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    key.read(|pool, root| {
        reply_value(ctx, hash::get(pool, root, args[2].bytes())?);
        Ok(())
    })
}

/// `PM.HMGET key field [field ...]`
pub fn hmget(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    let fields = args.from(2);
    key.read(|pool, root| {
        let get = |field: &Arg<'_>| hash::get(pool, root, field.bytes());
        let values = fields.iter().map(get).collect::<pobj::Result<Vec<_>>>()?;
        ctx.reply_array(values.len());
        for value in values {
            reply_value(ctx, value);
        }
        Ok(())
    })
}

/// `PM.HGETALL key`
pub fn hgetall(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply_all(ctx, args, Collection::Map, |(field, value)| {
        ctx.reply_bulk(field);
        ctx.reply_bulk(value);
    })
}

/// `PM.HKEYS key`
pub fn hkeys(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply_all(ctx, args, Collection::Array, |(field, _)| {
        ctx.reply_bulk(field)
    })
}

/// `PM.HVALS key`
pub fn hvals(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply_all(ctx, args, Collection::Array, |(_, value)| {
        ctx.reply_bulk(value)
    })
}

/// Replies with a collection that has what `show` replies of each field.
fn reply_all(
    ctx: &Ctx,
    args: Args<'_>,
    kind: Collection,
    show: impl Fn(Pair<'_>),
) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    key.read(|pool, root| {
        let pairs = whole(hash::len(root), hash::pairs(pool, root)?)?;
        ctx.reply_collection(kind, pairs.len());
        pairs.into_iter().for_each(show);
        Ok(())
    })
}

/// `PM.HLEN key`
pub fn hlen(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply_number(ctx, args, |_, root| Ok(hash::len(root)))
}

/// `PM.HSTRLEN key field`
pub fn hstrlen(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply_number(ctx, args, |pool, root| {
        Ok(hash::get(pool, root, args[2].bytes())?.map_or(0, |value| value.len() as u64))
    })
}

/// `PM.HEXISTS key field`
pub fn hexists(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply_number(ctx, args, |pool, root| {
        Ok(hash::get(pool, root, args[2].bytes())?.is_some().into())
    })
}

fn reply_number(
    ctx: &Ctx,
    args: Args<'_>,
    number: impl FnOnce(&Pool, Root) -> pobj::Result<u64>,
) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    ctx.reply_integer(key.read(number)? as i64);
    Ok(())
}

/// `PM.HSCAN key cursor [MATCH pattern] [COUNT count] [NOVALUES]`
pub fn hscan(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let cursor = scan::cursor(args[2])?;
    let key = PmKey::open_read(ctx, args[1], TY)?;
    if !key.exists() {
        scan::reply_head(ctx, 0, 0);
        return Ok(());
    }
    let options = Options::parse(args.from(3), Scanned::Hash)?;
    key.read(|pool, root| {
        let mut found = Vec::new();
        let next = options.run(cursor, |cursor| {
            let mut visited = 0;
            let next = hash::scan(pool, root, cursor, |(field, value)| {
                visited += 1;
                if options.admits(field) {
                    found.push((field, value));
                }
            })?;
            Ok((next, visited))
        })?;
        let replies = if options.names_only { 1 } else { 2 };
        scan::reply_head(ctx, next, replies * found.len());
        for (field, value) in found {
            ctx.reply_bulk(field);
            if !options.names_only {
                ctx.reply_bulk(value);
            }
        }
        Ok(())
    })
}
