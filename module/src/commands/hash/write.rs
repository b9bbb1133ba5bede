//! HSET, HMSET, HSETNX, HDEL.

use super::TY;
use super::expired_fields::{self, Names};
use crate::behaviour::Behaviour;
use crate::commands::announce::announce_and_replicate;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::keyspace::expiring::Telling;
use crate::limits;
use crate::redis::{Arg, Args, Class, Ctx};
use std::ffi::CStr;
use store::structures::hash;

/// `PM.HSET key field value [field value ...]`
pub(super) fn hset(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let added = set(ctx, args, c"PM.HSET")?;
    ctx.reply_integer(added as i64);
    Ok(())
}

/// `PM.HMSET key field value [field value ...]`
pub(super) fn hmset(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    set(ctx, args, c"PM.HMSET")?;
    ctx.reply_ok();
    Ok(())
}

/// Sets the fields; gives the number of new ones. In Valkey one whose time has come is new; in
/// Redis it was there.
fn set(ctx: &Ctx, args: Args<'_>, command: &CStr) -> Result<u64, CmdError> {
    let pairs = args.from(2);
    if !pairs.len().is_multiple_of(2) {
        return Err(CmdError::WrongArity);
    }
    let pairs = pairs
        .chunks_exact(2)
        .map(|pair| (pair[0].bytes(), pair[1].bytes()));
    let mut key = PmKey::open_write(ctx, args[1], TY)?;
    let mut expired = Names::new();
    let added = key.edit(|tx, root| {
        if hash::may_expire(*root) && Behaviour::ExpiredFieldsAreAbsent.here() {
            expired = expired_fields::among(ctx, tx, *root, pairs.clone().map(|(field, _)| field))?;
        }
        hash::set(tx, root, limits::hash(), pairs)
    })?;
    if !expired.is_empty() {
        key.signal();
        expired_fields::replaced(ctx, &key, &expired);
    }
    announce_and_replicate(ctx, &key, (Class::HASH, c"hset"), (command, args.from(1)));
    Ok(added + expired.len() as u64)
}

/// `PM.HSETNX key field value`
pub(super) fn hsetnx(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let (field, value) = (args[2].bytes(), args[3].bytes());
    let mut key = PmKey::open_write(ctx, args[1], TY)?;
    let mut expired = Names::new();
    let set = key.edit(|tx, root| {
        let (spot, old) = hash::find_to_set(tx, *root, field)?;
        if old.is_none() {
            return hash::put(tx, root, limits::hash(), spot, field, value);
        }
        if !expired_fields::expires(spot.expire_at) {
            return Ok(false);
        }
        expired = expired_fields::among(ctx, tx, *root, std::iter::once(field))?;
        if !expired.is_empty() && !expired_fields::removes_on_access(ctx) {
            hash::set(tx, root, limits::hash(), std::iter::once((field, value)))?;
        }
        Ok(!expired.is_empty())
    })?;
    if !expired.is_empty() && expired_fields::removes_on_access(ctx) {
        drop(key);
        expired_fields::met(ctx, args[1], &expired, Telling::All)?;
        return hsetnx(ctx, args);
    }
    if set {
        if !expired.is_empty() {
            key.signal();
            expired_fields::replaced(ctx, &key, &expired);
        }
        announce_and_replicate(
            ctx,
            &key,
            (Class::HASH, c"hset"),
            (c"PM.HSETNX", args.from(1)),
        );
    }
    ctx.reply_integer(set.into());
    Ok(())
}

/// `PM.HDEL key field [field ...]`: in Valkey, fields whose time has come are not there.
pub(super) fn hdel(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let mut key = PmKey::open_write(ctx, args[1], TY)?;
    let mut removed = 0;
    if key.exists() {
        let fields = args.from(2).iter().copied().map(Arg::bytes);
        removed = key.edit(|tx, root| {
            if !hash::may_expire(*root) || !Behaviour::ExpiredFieldsAreAbsent.here() {
                return hash::remove(tx, root, fields);
            }
            let expired = expired_fields::among(ctx, tx, *root, fields.clone())?;
            let there: Vec<&[u8]> = fields.filter(|field| !expired.contains(field)).collect();
            hash::remove(tx, root, there.into_iter())
        })?;
    }
    if removed > 0 {
        announce_and_replicate(
            ctx,
            &key,
            (Class::HASH, c"hdel"),
            (c"PM.HDEL", args.from(1)),
        );
    }
    ctx.reply_integer(removed as i64);
    Ok(())
}
