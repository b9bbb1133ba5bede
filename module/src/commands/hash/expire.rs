//! HEXPIRE and its kind, HPERSIST: setting fields' expire times, and taking them away.

use super::TY;
use super::expired_fields::{self, CommandTime};
use super::syntax::{self, Conditions, Grammar, Mismatch};
use crate::behaviour::Behaviour;
use crate::commands::announce::announce;
use crate::commands::time_unit::TimeUnit;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Class, Ctx, OwnedString, may_replicate};
use store::expiry::FIELD_NEVER;
use store::structures::hash::{Done, Plan};

/// What HEXPIRE and HPERSIST say of a field.
mod outcome {
    /// The field is not there.
    pub(super) const NO_FIELD: i64 = -2;
    /// It has no expire time that could be taken away.
    pub(super) const NO_TTL: i64 = -1;
    /// A condition is not met.
    pub(super) const NOT_MET: i64 = 0;
    /// Done.
    pub(super) const DONE: i64 = 1;
    /// The time is over, and the field is gone.
    pub(super) const REMOVED: i64 = 2;
}

/// Has the background know of the new expire times.
pub(super) fn note(done: &Done<'_>, key: &PmKey<'_>) {
    if !done.times.is_empty() {
        key.note_expiry(done.was, done.times.iter().copied());
    }
}

/// Sends what was done to the replicas.
pub(super) fn replicate(done: &Done<'_>, ctx: &Ctx, key: &PmKey<'_>) {
    if !may_replicate(ctx) {
        return;
    }
    let name = key.name();
    if !done.removed.is_empty() {
        expired_fields::replicate_removal(ctx, name, done.removed.iter().copied());
    }
    let Some(&(_, expire_at)) = done.times.first() else {
        return;
    };
    let fields = done.times.iter().map(|(field, _)| OwnedString::new(field));
    let fields: Vec<OwnedString> = fields.collect();
    let text = |text: &str| OwnedString::new(text.as_bytes());
    let (time, word) = (text(&expire_at.to_string()), text("FIELDS"));
    let count = text(&fields.len().to_string());
    let mut args = vec![name];
    if expire_at != FIELD_NEVER {
        args.push(time.arg());
    }
    args.extend([word.arg(), count.arg()]);
    args.extend(fields.iter().map(OwnedString::arg));
    match expire_at {
        FIELD_NEVER => ctx.replicate(c"PM.HPERSIST", &args),
        _ => ctx.replicate(c"PM.HPEXPIREAT", &args),
    }
}

/// `PM.HEXPIRE key seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]`
pub(super) fn hexpire(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    expire(ctx, args, TimeUnit::Seconds)
}

/// `PM.HPEXPIRE key milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]`
pub(super) fn hpexpire(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    expire(ctx, args, TimeUnit::Millis)
}

/// `PM.HEXPIREAT key unix-time-seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]`
pub(super) fn hexpireat(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    expire(ctx, args, TimeUnit::UnixSeconds)
}

/// `PM.HPEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT] FIELDS numfields field [field
/// ...]`
pub(super) fn hpexpireat(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    expire(ctx, args, TimeUnit::UnixMillis)
}

fn expire(ctx: &Ctx, args: Args<'_>, unit: TimeUnit) -> Result<(), CmdError> {
    let now = expired_fields::clock(ctx)?;
    let (key, time, conditions, fields);
    if Grammar::here() == Grammar::Valkey {
        (conditions, fields) = syntax::expire(args)?;
        time = syntax::expire_time(ctx, now, unit, args[2])?;
        key = PmKey::open_write(ctx, args[1], TY)?;
    } else {
        key = PmKey::open_write(ctx, args[1], TY)?;
        time = syntax::expire_time(ctx, now, unit, args[2])?;
        (conditions, fields) = syntax::expire(args)?;
    }
    let is_over = time <= now && expired_fields::may_remove(ctx);
    expire_fields(ctx, key, (time, is_over), conditions, fields)
}

fn expire_fields(
    ctx: &Ctx,
    mut key: PmKey<'_>,
    (time, is_over): (i64, bool),
    conditions: Conditions,
    fields: &[Arg<'_>],
) -> Result<(), CmdError> {
    if !key.exists() {
        reply_all(ctx, &vec![outcome::NO_FIELD; fields.len()]);
        return Ok(());
    }
    let (outcomes, done) = key.edit(|tx, root| {
        // Redis takes fields whose time has come as they are.
        let now = if Behaviour::ExpiredFieldsAreAbsent.here() {
            CommandTime::of(ctx, tx, *root)
        } else {
            CommandTime::ALL
        };
        let (mut plan, mut outcomes) = (Plan::new(now.ms()), Vec::new());
        for field in fields.iter().copied().map(Arg::bytes) {
            outcomes.push(match plan.look(tx, *root, field)? {
                None => outcome::NO_FIELD,
                Some((_, old)) if !conditions.admit((old != FIELD_NEVER).then_some(old), time) => {
                    outcome::NOT_MET
                }
                Some(_) if is_over => {
                    plan.remove(field);
                    outcome::REMOVED
                }
                Some(_) => {
                    plan.set(field, time);
                    outcome::DONE
                }
            });
        }
        Ok((outcomes, plan.carry_out(tx, root)?))
    })?;
    note(&done, &key);
    if !done.removed.is_empty() {
        let event = if Behaviour::PastFieldTimeExpires.here() {
            c"hexpired"
        } else {
            c"hdel"
        };
        announce(ctx, &key, Class::HASH, event);
    } else if !done.times.is_empty() {
        announce(ctx, &key, Class::HASH, c"hexpire");
    }
    replicate(&done, ctx, &key);
    reply_all(ctx, &outcomes);
    Ok(())
}

fn reply_all(ctx: &Ctx, outcomes: &[i64]) {
    ctx.reply_array(outcomes.len());
    outcomes
        .iter()
        .for_each(|&outcome| ctx.reply_integer(outcome));
}

/// `PM.HPERSIST key FIELDS numfields field [field ...]`
pub(super) fn hpersist(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let (mut key, fields);
    if Grammar::here() == Grammar::Valkey {
        fields = syntax::plain(args, Mismatch::IsTold)?;
        key = PmKey::open_write(ctx, args[1], TY)?;
    } else {
        key = PmKey::open_write(ctx, args[1], TY)?;
        fields = syntax::plain(args, Mismatch::IsTold)?;
    }
    let (outcomes, done) = key.edit(|tx, root| {
        let now = CommandTime::of(ctx, tx, *root);
        let (mut plan, mut outcomes) = (Plan::new(now.ms()), Vec::new());
        for field in fields.iter().copied().map(Arg::bytes) {
            outcomes.push(match plan.look(tx, *root, field)? {
                None => outcome::NO_FIELD,
                Some((_, FIELD_NEVER)) => outcome::NO_TTL,
                Some(_) => {
                    plan.set(field, FIELD_NEVER);
                    outcome::DONE
                }
            });
        }
        Ok((outcomes, plan.carry_out(tx, root)?))
    })?;
    if !done.times.is_empty() {
        announce(ctx, &key, Class::HASH, c"hpersist");
        replicate(&done, ctx, &key);
    }
    reply_all(ctx, &outcomes);
    Ok(())
}
