//! PERSIST, and EXPIRE and its like.
//!
//! A time that is still to come, without options, is set here; with all else the native command is
//! run, which knows what it means.

use super::keys::{Done, change_one};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Args, Class, Ctx, Kind, Mode, OwnedString, may_replicate};
use store::number::parse_i64;
use store::value::ValueType;

/// `EXPIRE key seconds [NX | XX | GT | LT]`
pub(super) fn expire(ctx: &Ctx, args: Args<'_>) -> Done {
    set(ctx, args, |number, now| {
        number.checked_mul(1000)?.checked_add(now)
    })
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
pub(super) fn pexpire(ctx: &Ctx, args: Args<'_>) -> Done {
    set(ctx, args, |number, now| number.checked_add(now))
}

/// `EXPIREAT key seconds [NX | XX | GT | LT]`
pub(super) fn expireat(ctx: &Ctx, args: Args<'_>) -> Done {
    set(ctx, args, |number, _| number.checked_mul(1000))
}

/// `PEXPIREAT key milliseconds [NX | XX | GT | LT]`
pub(super) fn pexpireat(ctx: &Ctx, args: Args<'_>) -> Done {
    set(ctx, args, |number, _| Some(number))
}

/// Sets the time that `at` makes of the argument and of now.
fn set(ctx: &Ctx, args: Args<'_>, at: impl FnOnce(i64, i64) -> Option<i64>) -> Done {
    let now = ctx.now_ms();
    let number = (args.len() == 3).then(|| parse_i64(args[2].bytes()));
    let at = number.flatten().and_then(|number| at(number, now));
    match (at.filter(|&at| at > now), type_of(ctx, args)) {
        (Some(at), Some(ty)) => {
            expire_at(ctx, &mut PmKey::open_any(ctx, args[1], ty), at)?;
            ctx.reply_integer(1);
            Ok(())
        }
        _ => change_one(ctx, args),
    }
}

/// The type of the value, if it is one of ours. No access: what follows is.
fn type_of(ctx: &Ctx, args: Args<'_>) -> Option<ValueType> {
    match ctx.open(args[1], Mode::Quiet).kind() {
        Kind::Pm(ty, _) => Some(ty),
        _ => None,
    }
}

/// `PERSIST key`
pub(super) fn persist_key(ctx: &Ctx, args: Args<'_>) -> Done {
    let Some(ty) = type_of(ctx, args) else {
        return change_one(ctx, args);
    };
    let mut key = PmKey::open_any(ctx, args[1], ty);
    let did = key.expire_at().is_some();
    persist(ctx, &mut key)?;
    ctx.reply_integer(did.into());
    Ok(())
}

/// Has a key expire at a time that is still to come, and tells of it.
///
/// # Errors
/// Those of the pool.
pub(crate) fn expire_at(ctx: &Ctx, key: &mut PmKey<'_>, at: i64) -> Result<(), CmdError> {
    key.set_expire(Some(at))?;
    key.signal();
    ctx.notify(Class::GENERIC, c"expire", key.name());
    if may_replicate(ctx) {
        let at = OwnedString::new(at.to_string().as_bytes());
        ctx.replicate(c"PEXPIREAT", &[key.name(), at.arg()]);
    }
    Ok(())
}

/// Takes a key's expire time away, if it has one, and tells of it.
///
/// # Errors
/// Those of the pool.
pub(crate) fn persist(ctx: &Ctx, key: &mut PmKey<'_>) -> Result<(), CmdError> {
    if key.expire_at().is_some() {
        key.set_expire(None)?;
        key.signal();
        ctx.notify(Class::GENERIC, c"persist", key.name());
        ctx.replicate(c"PERSIST", &[key.name()]);
    }
    Ok(())
}
