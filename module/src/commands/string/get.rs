//! GET, and what it can be joined with: GETDEL, GETEX; and STRLEN.

use super::options::{Command, Options, Ttl, expire_time};
use super::{delete, read, reply_value};
use crate::behaviour::Behaviour;
use crate::commands::generic::{expire_at, persist};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::limits::{Deletion, deleting_command, imports};
use crate::redis::{Arg, Args, Class, Ctx};
use store::value::ValueType;

/// `PM.GET key`
pub(super) fn get(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    get_and_reply(ctx, args[1]).map(|_| ())
}

/// Replies with the key's value or a null; true if there is one.
#[inline]
fn get_and_reply(ctx: &Ctx, name: Arg<'_>) -> Result<bool, CmdError> {
    let key = PmKey::open_read(ctx, name, ValueType::String)?;
    let found = read(&key, |value| reply_value(ctx, value))?.is_some();
    if !found {
        ctx.reply_null();
    }
    Ok(found)
}

/// `PM.GETDEL key`
pub(super) fn getdel(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    if get_and_reply(ctx, args[1])? {
        let mut key = PmKey::open_write(ctx, args[1], ValueType::String)?;
        delete(ctx, &mut key, Deletion::Asked);
    }
    Ok(())
}

/// `PM.GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`
pub(super) fn getex(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let name = args[1];
    let Some(ttl) = Options::parse(Command::Getex, args.from(2))?.ttl else {
        return get(ctx, args);
    };
    let time = || -> Result<_, CmdError> {
        match ttl {
            Ttl::Time(unit, arg) => Ok(Some((unit, expire_time(ctx, unit, arg)?))),
            Ttl::Keep | Ttl::Persist => Ok(None),
        }
    };
    let early = if Behaviour::GetexTimeComesFirst.here() {
        Some(time()?)
    } else {
        None
    };
    let key = PmKey::open_read(ctx, name, ValueType::String)?;
    let value = read(&key, |value| value.text(&mut itoa::Buffer::new()).to_vec())?;
    drop(key);
    let Some(value) = value else {
        ctx.reply_null();
        return Ok(());
    };
    let time = match early {
        Some(time) => time,
        None => time()?,
    };
    let mut key = PmKey::open_write(ctx, name, ValueType::String)?;
    match time {
        Some((unit, at)) if unit.is_absolute() && has_passed(ctx, at) => {
            expire_now(ctx, &mut key);
        }
        Some((_, at)) => expire_at(ctx, &mut key, at)?,
        None => persist(ctx, &mut key)?,
    }
    ctx.reply_bulk(&value);
    Ok(())
}

/// Deletes a key, if it is there, whose time is over as a command has said, and tells of it.
pub(super) fn expire_now(ctx: &Ctx, key: &mut PmKey<'_>) {
    if !key.occupied() {
        return;
    }
    if !Behaviour::PastTimeExpires.here() {
        return delete(ctx, key, Deletion::Expired);
    }
    key.delete();
    key.signal();
    ctx.notify(Class::EXPIRED, c"expired", key.name());
    ctx.replicate(deleting_command(Deletion::Expired), &[key.name()]);
}

/// Whether a key that expires at `at` can be deleted now. A replica waits for its master to do it,
/// and a server that imports data for the one that it comes from.
pub(super) fn has_passed(ctx: &Ctx, at: i64) -> bool {
    at <= ctx.now_ms() && ctx.flags().master() && !imports()
}

/// `PM.STRLEN key`
pub(super) fn strlen(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], ValueType::String)?;
    let len = read(&key, |value| value.text_len())?;
    ctx.reply_integer(len.unwrap_or(0) as i64);
    Ok(())
}
