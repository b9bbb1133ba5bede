//! HGETEX, HGETDEL: values, and then another expire time for their fields, or none of them any
//! more.

use super::TY;
use super::expire::{note, replicate};
use super::expired_fields::{self, CommandTime};
use super::syntax::{self, Command, Grammar, Mismatch, Ttl};
use crate::behaviour::Behaviour;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::keyspace::expiring::Telling;
use crate::redis::{Arg, Args, Class, Ctx};
use std::ffi::CStr;
use store::expiry::FIELD_NEVER;
use store::structures::hash::{Done, Plan};

/// What becomes of a field whose value was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It stays as it is.
    Nothing,
    /// It goes.
    Remove,
    /// It gets this expire time, or loses what it had.
    Expire(i64),
}

/// `PM.HGETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST] FIELDS numfields field [field ...]`
pub(super) fn hgetex(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let now = expired_fields::clock(ctx)?;
    // Redis looks at the key first, to change it; Valkey at the arguments, and then at the key, to
    // read it.
    let request = if Grammar::here() == Grammar::Valkey {
        let request = syntax::extended(ctx, now, Command::Hgetex, args)?;
        PmKey::open_read(ctx, args[1], TY)?;
        request
    } else {
        PmKey::open_write(ctx, args[1], TY)?;
        syntax::extended(ctx, now, Command::Hgetex, args)?
    };
    let time = match request.ttl {
        None => return take(ctx, args[1], request.fields, Then::Nothing, c""),
        Some(Ttl::Keep | Ttl::Persist) => FIELD_NEVER,
        Some(Ttl::At(time)) => time,
        Some(Ttl::Later(unit, arg)) => syntax::expire_time(ctx, now, unit, arg)?,
    };
    let is_over = time <= now && expired_fields::may_remove(ctx);
    let (then, event) = match time {
        FIELD_NEVER => (Then::Expire(FIELD_NEVER), c"hpersist"),
        _ if !is_over => (Then::Expire(time), c"hexpire"),
        _ if Behaviour::PastFieldTimeExpires.here() => (Then::Remove, c"hexpired"),
        _ => (Then::Remove, c"hdel"),
    };
    take(ctx, args[1], request.fields, then, event)
}

/// `PM.HGETDEL key FIELDS numfields field [field ...]`
pub(super) fn hgetdel(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let fields;
    if Grammar::here() == Grammar::Valkey {
        fields = syntax::plain(args, Mismatch::IsTold)?;
        PmKey::open_write(ctx, args[1], TY)?;
    } else {
        PmKey::open_write(ctx, args[1], TY)?;
        fields = syntax::plain(args, Mismatch::IsTold)?;
    }
    take(ctx, args[1], fields, Then::Remove, c"hdel")
}

/// Replies with the values of fields, and does `then` to those that are there, of which `event`
/// tells.
fn take(
    ctx: &Ctx,
    name: Arg<'_>,
    fields: &[Arg<'_>],
    then: Then,
    event: &CStr,
) -> Result<(), CmdError> {
    let names = || fields.iter().copied().map(Arg::bytes);
    let expired = expired_fields::sweep(ctx, name, names(), Telling::Replicas)?;
    let mut key = PmKey::open_write(ctx, name, TY)?;
    let (mut values, mut edited) = (vec![None; fields.len()], Ok(None::<Done<'_>>));
    if key.exists() {
        edited = key.edit(|tx, root| {
            let mut plan = Plan::new(CommandTime::of(ctx, tx, *root).ms());
            for (field, value) in names().zip(&mut values) {
                let Some((found, old)) = plan.look(tx, *root, field)? else {
                    continue;
                };
                *value = Some(found.to_vec());
                match then {
                    Then::Nothing => {}
                    Then::Expire(FIELD_NEVER) if old == FIELD_NEVER => {}
                    Then::Expire(time) => plan.set(field, time),
                    Then::Remove => plan.remove(field),
                }
            }
            plan.carry_out(tx, root).map(Some)
        });
    }
    // Also if this has failed, it is told what was removed before it.
    let (done, failed) = match edited {
        Ok(done) => (done, None),
        Err(error) => (None, Some(error)),
    };
    let changed = |done: &Done<'_>| !done.times.is_empty() || !done.removed.is_empty();
    let done = done.filter(changed);
    // Valkey leaves fields whose time has come for the background, and says nothing of them.
    let tells_of_expired = expired && !Behaviour::ExpiredFieldsAreAbsent.here();
    if done.is_some() || tells_of_expired {
        key.signal();
    }
    if tells_of_expired {
        ctx.notify(Class::HASH, c"hexpired", name);
    }
    if let Some(done) = &done {
        note(done, &key);
        ctx.notify(Class::HASH, event, name);
    }
    if (done.is_some() || tells_of_expired) && !key.exists() {
        ctx.notify(Class::GENERIC, c"del", name);
    }
    if let Some(done) = &done {
        replicate(done, ctx, &key);
    }
    if let Some(error) = failed {
        return Err(error);
    }
    ctx.reply_array(values.len());
    for value in values {
        match value {
            Some(value) => ctx.reply_bulk(&value),
            None => ctx.reply_null(),
        }
    }
    Ok(())
}
