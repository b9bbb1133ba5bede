//! HSET, HMSET, HSETNX, HDEL.

use super::{TY, announce};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Ctx};
use crate::structures::hash;
use std::ffi::CStr;

/// `PM.HSET key field value [field value ...]`
pub fn hset(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let added = set(ctx, args, c"PM.HSET")?;
    ctx.reply_integer(added as i64);
    Ok(())
}

/// `PM.HMSET key field value [field value ...]`
pub fn hmset(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    set(ctx, args, c"PM.HMSET")?;
    ctx.reply_ok();
    Ok(())
}

/// Sets the fields; gives the number of new ones.
fn set(ctx: &Ctx, args: Args<'_>, command: &CStr) -> Result<u64, CmdError> {
    let pairs = args.from(2);
    if !pairs.len().is_multiple_of(2) {
        return Err(CmdError::WrongArity);
    }
    let pairs = pairs
        .chunks_exact(2)
        .map(|pair| (pair[0].bytes(), pair[1].bytes()));
    let mut key = PmKey::open_write(ctx, args[1], TY)?;
    let added = key.edit(|tx, root| hash::set(tx, root, pairs))?;
    announce(ctx, &key, c"hset");
    ctx.replicate(command, args.from(1));
    Ok(added)
}

/// `PM.HSETNX key field value`
pub fn hsetnx(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let (field, value) = (args[2].bytes(), args[3].bytes());
    let mut key = PmKey::open_write(ctx, args[1], TY)?;
    let set = key.edit(|tx, root| {
        let (spot, old) = hash::find(tx, *root, field)?;
        match old {
            Some(_) => Ok(false),
            None => hash::put(tx, root, spot, field, value),
        }
    })?;
    if set {
        announce(ctx, &key, c"hset");
        ctx.replicate(c"PM.HSETNX", args.from(1));
    }
    ctx.reply_integer(set.into());
    Ok(())
}

/// `PM.HDEL key field [field ...]`
pub fn hdel(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let mut key = PmKey::open_write(ctx, args[1], TY)?;
    let mut removed = 0;
    if key.exists() {
        let fields = args.from(2).iter().copied().map(Arg::bytes);
        removed = key.edit(|tx, root| hash::remove(tx, root, fields))?;
    }
    if removed > 0 {
        announce(ctx, &key, c"hdel");
        ctx.replicate(c"PM.HDEL", args.from(1));
    }
    ctx.reply_integer(removed as i64);
    Ok(())
}
