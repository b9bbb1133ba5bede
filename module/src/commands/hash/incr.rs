//! HINCRBY, HINCRBYFLOAT.

use super::{TY, announce};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::number::{LongDouble, parse_i64};
use crate::redis::{Args, Ctx, OwnedString, may_replicate};
use crate::structures::hash;

/// Replaces the value of a field by what `f` makes of it, unless that is an error.
fn update<T>(
    key: &mut PmKey<'_>,
    field: &[u8],
    f: impl FnOnce(Option<&[u8]>) -> Result<T, CmdError>,
    text: for<'t> fn(&'t T, &'t mut itoa::Buffer) -> &'t [u8],
) -> Result<T, CmdError> {
    key.edit(|tx, root| {
        let (spot, old) = hash::find(tx, *root, field)?;
        let new = f(old);
        if let Ok(new) = &new {
            hash::put(tx, root, spot, field, text(new, &mut itoa::Buffer::new()))?;
        }
        Ok(new)
    })?
}

/// `PM.HINCRBY key field increment`
pub fn hincrby(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let by = parse_i64(args[3].bytes()).ok_or(CmdError::NotAnInteger)?;
    let mut key = PmKey::open_write(ctx, args[1], TY)?;
    let add = |old: Option<&[u8]>| {
        let old = match old {
            Some(text) => {
                parse_i64(text).ok_or(CmdError::text_only("ERR hash value is not an integer"))?
            }
            None => 0,
        };
        old.checked_add(by).ok_or(CmdError::Overflow)
    };
    let sum = update(&mut key, args[2].bytes(), add, |sum, digits| {
        digits.format(*sum).as_bytes()
    })?;
    announce(ctx, &key, c"hincrby");
    ctx.replicate(c"PM.HINCRBY", args.from(1));
    ctx.reply_integer(sum);
    Ok(())
}

/// `PM.HINCRBYFLOAT key field increment`
pub fn hincrbyfloat(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let zero = LongDouble::from(0);
    let by = LongDouble::parse(args[3].bytes()).ok_or(CmdError::NotAFloat)?;
    let by = by
        .checked_add(zero)
        .ok_or(CmdError::text_only("ERR value is NaN or Infinity"))?;
    let mut key = PmKey::open_write(ctx, args[1], TY)?;
    let add = |old: Option<&[u8]>| {
        let old = match old {
            Some(text) => LongDouble::parse(text)
                .ok_or(CmdError::text_only("ERR hash value is not a float"))?,
            None => zero,
        };
        Ok(old.checked_add(by).ok_or(CmdError::NotFinite)?.to_text())
    };
    let sum = update(&mut key, args[2].bytes(), add, |sum, _| sum.as_bytes())?;
    announce(ctx, &key, c"hincrbyfloat");
    // Replicas get the sum, not the summand: they may round in another way.
    if may_replicate(ctx) {
        let sum = OwnedString::new(sum.as_bytes());
        ctx.replicate(c"PM.HSET", &[args[1], args[2], sum.arg()]);
    }
    ctx.reply_bulk(sum.as_bytes());
    Ok(())
}
