//! HEXPIRE and its kind, HPERSIST: setting fields' expire times, and taking them away.

use super::lapse::{self, CommandTime};
use super::syntax::{self, Conditions, Grammar, Mismatch, Unit};
use super::{TY, announce};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Ctx, OwnedString, may_replicate};
use pobj::{Result, Tx};
use std::collections::HashMap;
use store::structures::Root;
use store::structures::hash::{self, NEVER};

/// What HEXPIRE and HPERSIST say of a field.
mod outcome {
    /// The field is not there.
    pub const NO_FIELD: i64 = -2;
    /// It has no expire time that could be taken away.
    pub const NO_TTL: i64 = -1;
    /// A condition is not met.
    pub const NOT_MET: i64 = 0;
    /// Done.
    pub const DONE: i64 = 1;
    /// The time is over, and the field is gone.
    pub const REMOVED: i64 = 2;
}

/// What a command does to fields, one after the other, before any of it is done.
pub struct Plan<'a> {
    now: CommandTime,
    hides: bool,
    /// Fields that are changed: their new expire times; `None` for those that go.
    changes: HashMap<&'a [u8], Option<i64>>,
    /// In the order of the command.
    order: Vec<&'a [u8]>,
}

impl<'a> Plan<'a> {
    /// Nothing yet. `hides` says whether fields whose time has come are taken as absent.
    pub fn new(now: CommandTime, hides: bool) -> Plan<'a> {
        Plan {
            now,
            hides,
            changes: HashMap::new(),
            order: Vec::new(),
        }
    }

    /// The value and the expire time of a field, as the plan leaves it; `None` if it is not there.
    pub fn look<'p>(
        &self,
        tx: &'p Tx<'_>,
        root: Root,
        field: &[u8],
    ) -> Result<Option<(&'p [u8], i64)>> {
        let (spot, value) = hash::find(tx, root, field)?;
        let there = value.filter(|_| !(self.hides && self.now.hides(spot.expire_at)));
        Ok(match self.changes.get(field) {
            Some(Some(changed)) => there.map(|value| (value, *changed)),
            Some(None) => None,
            None => there.map(|value| (value, spot.expire_at)),
        })
    }

    /// A field gets this expire time.
    pub fn set(&mut self, field: &'a [u8], expire_at: i64) {
        if self.changes.insert(field, Some(expire_at)).is_none() {
            self.order.push(field);
        }
    }

    /// A field goes.
    pub fn remove(&mut self, field: &'a [u8]) {
        if self.changes.insert(field, None).is_none() {
            self.order.push(field);
        }
    }

    /// Carries the plan out. It either sets or removes.
    pub fn carry_out(self, tx: &mut Tx<'_>, root: &mut Root) -> Result<Done<'a>> {
        let was = *root;
        let change = |field: &&'a [u8]| self.changes.get(*field).copied().flatten();
        let times: Vec<(&[u8], i64)> = self
            .order
            .iter()
            .filter_map(|field| Some((*field, change(field)?)))
            .collect();
        let removed: Vec<&[u8]> = self
            .order
            .iter()
            .copied()
            .filter(|field| change(field).is_none())
            .collect();
        hash::expire_and_remove(tx, root, &times, &removed)?;
        Ok(Done {
            was,
            times,
            removed,
        })
    }
}

/// What was done to fields.
pub struct Done<'a> {
    was: Root,
    /// New expire times.
    pub times: Vec<(&'a [u8], i64)>,
    /// Fields that are gone.
    pub removed: Vec<&'a [u8]>,
}

impl Done<'_> {
    /// Has the background know of the new expire times.
    pub fn note(&self, key: &PmKey<'_>) -> std::result::Result<(), CmdError> {
        match self.times.is_empty() {
            true => Ok(()),
            false => key.note_expiry(self.was, self.times.iter().copied()),
        }
    }

    /// Sends it to the replicas.
    pub fn replicate(&self, ctx: &Ctx, key: &PmKey<'_>) {
        if !may_replicate(ctx) {
            return;
        }
        let name = key.name();
        if !self.removed.is_empty() {
            lapse::replicate_removal(ctx, name, self.removed.iter().copied());
        }
        let Some(&(_, expire_at)) = self.times.first() else {
            return;
        };
        let fields = self.times.iter().map(|(field, _)| OwnedString::new(field));
        let fields: Vec<OwnedString> = fields.collect();
        let text = |text: &str| OwnedString::new(text.as_bytes());
        let (time, word) = (text(&expire_at.to_string()), text("FIELDS"));
        let count = text(&fields.len().to_string());
        let mut args = vec![name];
        if expire_at != NEVER {
            args.push(time.arg());
        }
        args.extend([word.arg(), count.arg()]);
        args.extend(fields.iter().map(OwnedString::arg));
        match expire_at {
            NEVER => ctx.replicate(c"PM.HPERSIST", &args),
            _ => ctx.replicate(c"PM.HPEXPIREAT", &args),
        }
    }
}

/// `PM.HEXPIRE key seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]`
pub fn hexpire(ctx: &Ctx, args: Args<'_>) -> std::result::Result<(), CmdError> {
    expire(ctx, args, Unit::Seconds)
}

/// `PM.HPEXPIRE key milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]`
pub fn hpexpire(ctx: &Ctx, args: Args<'_>) -> std::result::Result<(), CmdError> {
    expire(ctx, args, Unit::Millis)
}

/// `PM.HEXPIREAT key unix-time-seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]`
pub fn hexpireat(ctx: &Ctx, args: Args<'_>) -> std::result::Result<(), CmdError> {
    expire(ctx, args, Unit::UnixSeconds)
}

/// `PM.HPEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT] FIELDS numfields field [field
/// ...]`
pub fn hpexpireat(ctx: &Ctx, args: Args<'_>) -> std::result::Result<(), CmdError> {
    expire(ctx, args, Unit::UnixMillis)
}

fn expire(ctx: &Ctx, args: Args<'_>, unit: Unit) -> std::result::Result<(), CmdError> {
    let now = lapse::clock(ctx)?;
    let (key, time, conditions, fields);
    if Grammar::here() == Grammar::Valkey {
        (conditions, fields) = syntax::expire(args)?;
        time = unit.time(ctx, now, args[2])?;
        key = PmKey::open_write(ctx, args[1], TY)?;
    } else {
        key = PmKey::open_write(ctx, args[1], TY)?;
        time = unit.time(ctx, now, args[2])?;
        (conditions, fields) = syntax::expire(args)?;
    }
    let is_over = time <= now && lapse::may_remove(ctx);
    expire_fields(ctx, key, (time, is_over), conditions, fields)
}

fn expire_fields(
    ctx: &Ctx,
    mut key: PmKey<'_>,
    (time, is_over): (i64, bool),
    conditions: Conditions,
    fields: &[Arg<'_>],
) -> std::result::Result<(), CmdError> {
    if !key.exists() {
        reply_all(ctx, &vec![outcome::NO_FIELD; fields.len()]);
        return Ok(());
    }
    let (outcomes, done) = key.edit(|tx, root| {
        let now = CommandTime::of(ctx, tx, *root);
        let (mut plan, mut outcomes) = (Plan::new(now, lapse::in_valkey()), Vec::new());
        for field in fields.iter().copied().map(Arg::bytes) {
            outcomes.push(match plan.look(tx, *root, field)? {
                None => outcome::NO_FIELD,
                Some((_, old)) if !conditions.admit((old != NEVER).then_some(old), time) => {
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
    done.note(&key)?;
    if !done.removed.is_empty() {
        let event = if lapse::in_valkey() {
            c"hexpired"
        } else {
            c"hdel"
        };
        announce(ctx, &key, event);
    } else if !done.times.is_empty() {
        announce(ctx, &key, c"hexpire");
    }
    done.replicate(ctx, &key);
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
pub fn hpersist(ctx: &Ctx, args: Args<'_>) -> std::result::Result<(), CmdError> {
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
        let (mut plan, mut outcomes) = (Plan::new(now, true), Vec::new());
        for field in fields.iter().copied().map(Arg::bytes) {
            outcomes.push(match plan.look(tx, *root, field)? {
                None => outcome::NO_FIELD,
                Some((_, NEVER)) => outcome::NO_TTL,
                Some(_) => {
                    plan.set(field, NEVER);
                    outcome::DONE
                }
            });
        }
        Ok((outcomes, plan.carry_out(tx, root)?))
    })?;
    if !done.times.is_empty() {
        announce(ctx, &key, c"hpersist");
        done.replicate(ctx, &key);
    }
    reply_all(ctx, &outcomes);
    Ok(())
}
