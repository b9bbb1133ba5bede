//! HINCRBY, HINCRBYFLOAT.

use super::TY;
use super::expired_fields::{self, CommandTime, Names};
use crate::commands::announce::announce;
use crate::commands::integer;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::keyspace::expiring::Telling;
use crate::limits;
use crate::redis::{Arg, Args, Class, Ctx, OwnedString, may_replicate};
use std::ffi::CStr;
use store::number::{LongDouble, parse_i64};
use store::structures::hash;

/// What came of an update.
struct Updated<T> {
    /// The new value.
    value: T,
    /// The field has an expire time.
    expires: bool,
}

/// Replaces the value of a field by what `f` makes of it, unless that is an error, and tells of
/// `event`.
fn update<T>(
    ctx: &Ctx,
    args: Args<'_>,
    f: impl Fn(Option<&[u8]>) -> Result<T, CmdError>,
    text: for<'t> fn(&'t T, &'t mut itoa::Buffer) -> &'t [u8],
    event: &CStr,
) -> Result<Updated<T>, CmdError> {
    let (name, field) = (args[1], args[2].bytes());
    let mut key = PmKey::open_write(ctx, name, TY)?;
    loop {
        let (mut expired, mut removes) = (Names::new(), false);
        let outcome = key.edit(|tx, root| {
            let (spot, old) = hash::find(tx, *root, field)?;
            if expired_fields::expires(spot.expire_at)
                && CommandTime::of(ctx, tx, *root).hides(spot.expire_at)
            {
                expired.insert(field);
                removes = expired_fields::removes_on_access(ctx);
            }
            if removes {
                return Ok(None);
            }
            let new = f(old.filter(|_| expired.is_empty()));
            let mut expires = expired_fields::expires(spot.expire_at);
            if let Ok(new) = &new {
                let text = text(new, &mut itoa::Buffer::new()).to_vec();
                if expired.is_empty() {
                    hash::put(tx, root, limits::hash(), spot, field, &text)?;
                } else {
                    expires = false;
                    hash::set(
                        tx,
                        root,
                        limits::hash(),
                        std::iter::once((field, text.as_slice())),
                    )?;
                }
            }
            Ok(Some(new.map(|value| Updated { value, expires })))
        })?;
        match outcome {
            Some(updated) => {
                let updated = updated?;
                key.signal();
                expired_fields::replaced(ctx, &key, &expired);
                announce(ctx, &key, Class::HASH, event);
                return Ok(updated);
            }
            None => {
                drop(key);
                expired_fields::met(ctx, name, &expired, Telling::All)?;
                key = PmKey::open_write(ctx, name, TY)?;
            }
        }
    }
}

/// `PM.HINCRBY key field increment`
pub(super) fn hincrby(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let by = integer(args[3])?;
    let add = |old: Option<&[u8]>| {
        let old = match old {
            Some(text) => {
                parse_i64(text).ok_or(CmdError::text_only("ERR hash value is not an integer"))?
            }
            None => 0,
        };
        old.checked_add(by).ok_or(CmdError::Overflow)
    };
    let updated = update(
        ctx,
        args,
        add,
        |sum, digits| digits.format(*sum).as_bytes(),
        c"hincrby",
    )?;
    ctx.replicate(c"PM.HINCRBY", args.from(1));
    ctx.reply_integer(updated.value);
    Ok(())
}

/// `PM.HINCRBYFLOAT key field increment`
pub(super) fn hincrbyfloat(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let zero = LongDouble::from(0);
    let by = LongDouble::parse(args[3].bytes()).ok_or(CmdError::NotAFloat)?;
    let by = by
        .checked_add(zero)
        .ok_or(CmdError::text_only("ERR value is NaN or Infinity"))?;
    let add = |old: Option<&[u8]>| {
        let old = match old {
            Some(text) => LongDouble::parse(text)
                .ok_or(CmdError::text_only("ERR hash value is not a float"))?,
            None => zero,
        };
        Ok(old.checked_add(by).ok_or(CmdError::NotFinite)?.to_text())
    };
    let updated = update(ctx, args, add, |sum, _| sum.as_bytes(), c"hincrbyfloat")?;
    // Replicas get the sum, not the summand: they may round in another way.
    if may_replicate(ctx) {
        let sum = OwnedString::new(updated.value.as_bytes());
        replicate_value(ctx, args, sum.arg(), updated.expires);
    }
    ctx.reply_bulk(updated.value.as_bytes());
    Ok(())
}

/// Sends the field's value to the replicas. Where it has an expire time, that stays.
fn replicate_value(ctx: &Ctx, args: Args<'_>, value: Arg<'_>, expires: bool) {
    if !expires {
        return ctx.replicate(c"PM.HSET", &[args[1], args[2], value]);
    }
    let words = [b"KEEPTTL".as_slice(), b"FIELDS", b"1"].map(OwnedString::new);
    let [keep, fields, one] = words.each_ref().map(OwnedString::arg);
    ctx.replicate(c"PM.HSETEX", &[args[1], keep, fields, one, args[2], value]);
}
