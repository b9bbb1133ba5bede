//! SET and its older siblings SETNX, SETEX, PSETEX and GETSET.

use super::get::{expire_now, has_passed};
use super::options::{Command, Condition, Options, Ttl, expire_time};
use super::{read, replace};
use crate::behaviour::Behaviour;
use crate::commands::time_unit::TimeUnit;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Class, Ctx, OwnedString, may_replicate};
use store::expiry::Expiry;
use store::structures::string::Value;
use store::value::ValueType;

/// `PM.SET key value [NX | XX | IFEQ value | IFNE value | IFDEQ digest | IFDNE digest] [GET]
/// [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub(super) fn set(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let (name, value) = (args[1], args[2]);
    let options = Options::parse(Command::Set, args.from(3))?;
    let expire = match options.ttl {
        Some(Ttl::Keep) => Expiry::Keep,
        Some(Ttl::Time(unit, arg)) => Expiry::At(expire_time(ctx, unit, arg)?),
        Some(Ttl::Persist) | None => Expiry::Never,
    };
    let old = if options.get {
        check_read(ctx, name)?;
        Some(old_value(ctx, name)?)
    } else {
        None
    };

    let mut key = PmKey::open_any(ctx, name, ValueType::String);
    let admitted = options.condition.is_none_or(|condition| match condition {
        Condition::Absent => !key.occupied(),
        Condition::Present => key.occupied(),
    });
    // A digest that is none is no error where NX or XX has decided.
    let proceeds = admitted
        && match options.comparison {
            Some(comparison) if key.occupied() && Behaviour::ComparisonCounts.here() => {
                comparison.holds(&PmKey::open_read(ctx, name, ValueType::String)?)?
            }
            Some(comparison) => comparison.holds(&key)?,
            None => true,
        };
    match expire {
        _ if !proceeds => {}
        Expiry::At(at) if Behaviour::PastTimeDeletes.here() && has_passed(ctx, at) => {
            expire_now(ctx, &mut key);
        }
        Expiry::At(at) => {
            put(ctx, &mut key, value, expire)?;
            replicate_expiring(ctx, name, value, at);
        }
        _ => {
            put(ctx, &mut key, value, expire)?;
            if options.get || options.comparison.is_some() {
                replicate_unconditional(ctx, name, value, expire)
            } else {
                ctx.replicate(c"PM.SET", args.from(1))
            }
        }
    }
    match old {
        Some(old) => reply_old(ctx, old),
        None if proceeds => ctx.reply_ok(),
        None => ctx.reply_null(),
    }
    Ok(())
}

/// `PM.SETNX key value`
pub(super) fn setnx(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let mut key = PmKey::open_any(ctx, args[1], ValueType::String);
    let proceeds = !key.occupied();
    if proceeds {
        put(ctx, &mut key, args[2], Expiry::Never)?;
        ctx.replicate(c"PM.SETNX", args.from(1));
    }
    ctx.reply_integer(proceeds.into());
    Ok(())
}

/// `PM.SETEX key seconds value`
pub(super) fn setex(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    set_expiring(ctx, args, TimeUnit::Seconds)
}

/// `PM.PSETEX key milliseconds value`
pub(super) fn psetex(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    set_expiring(ctx, args, TimeUnit::Millis)
}

fn set_expiring(ctx: &Ctx, args: Args<'_>, unit: TimeUnit) -> Result<(), CmdError> {
    let (name, value) = (args[1], args[3]);
    let at = expire_time(ctx, unit, args[2])?;
    let mut key = PmKey::open_any(ctx, name, ValueType::String);
    put(ctx, &mut key, value, Expiry::At(at))?;
    replicate_expiring(ctx, name, value, at);
    ctx.reply_ok();
    Ok(())
}

/// `PM.GETSET key value`
pub(super) fn getset(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let old = old_value(ctx, args[1])?;
    let mut key = PmKey::open_any(ctx, args[1], ValueType::String);
    put(ctx, &mut key, args[2], Expiry::Never)?;
    ctx.replicate(c"PM.SET", args.from(1));
    reply_old(ctx, old);
    Ok(())
}

/// Stores the value and tells of it.
#[inline]
fn put(ctx: &Ctx, key: &mut PmKey<'_>, value: Arg<'_>, expire: Expiry) -> Result<(), CmdError> {
    replace(key, Value::of(value.bytes()), expire)?;
    key.signal();
    ctx.notify(Class::STRING, c"set", key.name());
    if let Expiry::At(_) = expire {
        ctx.notify(Class::GENERIC, c"expire", key.name());
    }
    Ok(())
}

/// A copy of the value, to reply with after it was replaced.
fn old_value(ctx: &Ctx, name: Arg<'_>) -> Result<Option<Vec<u8>>, CmdError> {
    let key = PmKey::open_read(ctx, name, ValueType::String)?;
    read(&key, |value| value.text(&mut itoa::Buffer::new()).to_vec())
}

fn reply_old(ctx: &Ctx, old: Option<Vec<u8>>) {
    match old {
        Some(old) => ctx.reply_bulk(&old),
        None => ctx.reply_null(),
    }
}

/// To replicas every expire time is absolute.
fn replicate_expiring(ctx: &Ctx, name: Arg<'_>, value: Arg<'_>, at: i64) {
    if may_replicate(ctx) {
        let (pxat, at) = (
            OwnedString::new(b"PXAT"),
            OwnedString::new(at.to_string().as_bytes()),
        );
        ctx.replicate(c"PM.SET", &[name, value, pxat.arg(), at.arg()]);
    }
}

/// What was decided here is not asked again there.
fn replicate_unconditional(ctx: &Ctx, name: Arg<'_>, value: Arg<'_>, expire: Expiry) {
    if may_replicate(ctx) {
        let keepttl = OwnedString::new(b"KEEPTTL");
        let args = [name, value, keepttl.arg()];
        ctx.replicate(c"PM.SET", &args[..2 + usize::from(expire == Expiry::Keep)]);
    }
}

/// Whether the client's user may read a key's value.
fn check_read(ctx: &Ctx, name: Arg<'_>) -> Result<(), CmdError> {
    if ctx.may_read(name) {
        return Ok(());
    }
    Err(CmdError::text_only(if Behaviour::RefusalsAreShort.here() {
        "NOPERM No permissions to access a key"
    } else {
        "NOPERM this user has no permissions to access one of the keys used as arguments"
    }))
}
