//! PERSIST, and EXPIRE and its like.
//!
//! A time that is still to come, without options, is set here; with all else the native command is
//! run, which knows what it means. It complains of a time or an option before it looks at the key,
//! so nothing may look at the key then: that would delete an expired one.

use super::keys::{Done, change_one, run_native};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Class, Ctx, Kind, Mode, OwnedString, may_replicate};
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
    let at = parse_i64(args[2].bytes()).and_then(|number| at(number, now));
    let Some(at) = at.filter(|_| go_together(args.from(3))) else {
        return run_native(ctx, args);
    };
    let is_set_here = args.len() == 3 && at > now;
    match is_set_here.then(|| type_of(ctx, args)).flatten() {
        Some(ty) => {
            expire_at(ctx, &mut PmKey::open_any(ctx, args[1], ty), at)?;
            ctx.reply_integer(1);
            Ok(())
        }
        None => change_one(ctx, args),
    }
}

/// Whether these words are options, and may stand beside each other.
fn go_together(words: &[Arg<'_>]) -> bool {
    let has = |option: &[u8]| words.iter().any(|word| word.is(option));
    let (nx, xx, gt, lt) = (has(b"NX"), has(b"XX"), has(b"GT"), has(b"LT"));
    let known = |word: &Arg<'_>| {
        let options: [&[u8]; 4] = [b"NX", b"XX", b"GT", b"LT"];
        options.into_iter().any(|option| word.is(option))
    };
    words.iter().all(known) && !(nx && (xx || gt || lt)) && !(gt && lt)
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
