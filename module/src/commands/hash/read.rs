//! Commands that look at fields and values.

use super::TY;
use super::expired_fields::{self, CommandTime, Names};
use crate::commands::scan::{self, Scan, Scanned};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Collection, Ctx};
use store::structures::hash::{self, Field};
use store::structures::whole;

fn reply_value(ctx: &Ctx, value: Option<&[u8]>) {
    match value {
        Some(value) => ctx.reply_bulk(value),
        None => ctx.reply_null(),
    }
}

/// Replies with what `show` replies of the value of the field that is the second argument.
fn reply_of_field(ctx: &Ctx, args: Args<'_>, show: impl Fn(Option<&[u8]>)) -> Result<(), CmdError> {
    let (name, field) = (args[1], args[2].bytes());
    let key = PmKey::open_read(ctx, name, TY)?;
    let is_shown = key.read(|pool, root| {
        let (spot, value) = hash::find(pool, root, field)?;
        if expired_fields::expires(spot.expire_at)
            && CommandTime::of(ctx, pool, root).hides(spot.expire_at)
        {
            return Ok(false);
        }
        show(value);
        Ok(true)
    })?;
    if !is_shown {
        drop(key);
        expired_fields::met_by_reader(ctx, name, &Names::from([field]))?;
        show(None);
    }
    Ok(())
}

/// `PM.HGET key field`
pub(super) fn hget(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply_of_field(ctx, args, |value| reply_value(ctx, value))
}

/// `PM.HSTRLEN key field`
pub(super) fn hstrlen(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply_of_field(ctx, args, |value| {
        ctx.reply_integer(value.map_or(0, |value| value.len() as i64));
    })
}

/// `PM.HEXISTS key field`
pub(super) fn hexists(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply_of_field(ctx, args, |value| ctx.reply_integer(value.is_some().into()))
}

/// `PM.HMGET key field [field ...]`
pub(super) fn hmget(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let (name, fields) = (args[1], args.from(2));
    let key = PmKey::open_read(ctx, name, TY)?;
    let reply = |key: &PmKey<'_>, but: &Names<'_>| {
        key.read(|pool, root| {
            let get = |field: &Arg<'_>| hash::get(pool, root, field.bytes());
            let values = fields.iter().map(get).collect::<store::Result<Vec<_>>>()?;
            ctx.reply_array(values.len());
            for (field, value) in fields.iter().zip(values) {
                reply_value(ctx, value.filter(|_| !but.contains(field.bytes())));
            }
            Ok(())
        })
    };
    let expired = key.read(|pool, root| {
        expired_fields::among(ctx, pool, root, fields.iter().map(|field| field.bytes()))
    })?;
    if expired.is_empty() {
        return reply(&key, &expired);
    }
    drop(key);
    expired_fields::met_by_reader(ctx, name, &expired)?;
    reply(&PmKey::open_write(ctx, name, TY)?, &expired)
}

/// `PM.HGETALL key`
pub(super) fn hgetall(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply_all(ctx, args, Collection::Map, |field| {
        ctx.reply_bulk(field.name);
        ctx.reply_bulk(field.value);
    })
}

/// `PM.HKEYS key`
pub(super) fn hkeys(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply_all(ctx, args, Collection::Array, |field| {
        ctx.reply_bulk(field.name);
    })
}

/// `PM.HVALS key`
pub(super) fn hvals(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply_all(ctx, args, Collection::Array, |field| {
        ctx.reply_bulk(field.value);
    })
}

/// Replies with a collection that has what `show` replies of each field.
fn reply_all(
    ctx: &Ctx,
    args: Args<'_>,
    kind: Collection,
    show: impl Fn(Field<'_>),
) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    key.read(|pool, root| {
        let mut fields = whole(hash::len(root), hash::fields(pool, root)?)?;
        if hash::may_expire(root) {
            let now = CommandTime::of(ctx, pool, root);
            fields.retain(|field| !now.hides(field.expire_at));
        }
        ctx.reply_collection(kind, fields.len());
        fields.into_iter().for_each(show);
        Ok(())
    })
}

/// `PM.HLEN key`: fields whose time has come count until they are removed.
pub(super) fn hlen(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    ctx.reply_integer(key.read(|_, root| Ok(hash::len(root)))? as i64);
    Ok(())
}

/// `PM.HSCAN key cursor [MATCH pattern] [COUNT count] [NOVALUES]`
pub(super) fn hscan(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let Some(scan) = Scan::begin(ctx, args, TY, Scanned::Hash)? else {
        return Ok(());
    };
    let options = &scan.options;
    scan.key.read(|pool, root| {
        let now = CommandTime::of(ctx, pool, root);
        let (next, found) = scan.run(
            |cursor, visit| hash::scan(pool, root, cursor, visit),
            |field| options.admits(field.name) && !now.hides(field.expire_at),
        )?;
        let replies = if options.names_only { 1 } else { 2 };
        scan::reply_head(ctx, next, replies * found.len());
        for field in found {
            ctx.reply_bulk(field.name);
            if !options.names_only {
                ctx.reply_bulk(field.value);
            }
        }
        Ok(())
    })
}
