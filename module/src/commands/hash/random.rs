//! HRANDFIELD.

use super::TY;
use super::expired_fields::{self, CommandTime, Names};
use crate::behaviour::Behaviour;
use crate::commands::sample;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Ctx};
use store::structures::hash::{self, Field, Visible};
use store::structures::sample::{Choice, choose};

/// Fields drawn before all are looked at, where some may be hidden.
const DRAWS: u64 = 64;

/// How fields are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Names.
    Fields,
    /// Names and values alternately.
    Flat,
    /// Arrays of a name and a value.
    Pairs,
}

impl Shape {
    fn begin(self, ctx: &Ctx, len: usize) {
        ctx.reply_array(len * if self == Shape::Flat { 2 } else { 1 });
    }

    fn field(self, ctx: &Ctx, field: Field<'_>) {
        if self == Shape::Pairs {
            ctx.reply_array(2);
        }
        ctx.reply_bulk(field.name);
        if self != Shape::Fields {
            ctx.reply_bulk(field.value);
        }
    }
}

/// `PM.HRANDFIELD key [count [WITHVALUES]]`
pub(super) fn hrandfield(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let Some(count) = args.get(2) else {
        return random_field(ctx, args);
    };
    let count = sample::count(count)?;
    let shape = match args.from(3) {
        [] => Shape::Fields,
        [word] if word.is(b"WITHVALUES") => {
            if count.unsigned_abs() > i64::MAX as u64 / 2 {
                return Err(CmdError::OutOfRange);
            }
            if ctx.flags().resp3() {
                Shape::Pairs
            } else {
                Shape::Flat
            }
        }
        _ => return Err(CmdError::Syntax),
    };
    let (key, hidden) = open(ctx, args[1])?;
    key.read(|pool, root| {
        let fields = match hidden {
            None => Visible::All(pool, root),
            Some(now) => Visible::from(pool, root, now.ms())?,
        };
        let chosen = choose(
            Choice::of(count, fields.len()),
            fields.len(),
            || fields.all(),
            || fields.random(),
        )?;
        shape.begin(ctx, chosen.len());
        sample::reply(ctx, chosen, |field| shape.field(ctx, field));
        Ok(())
    })
}

fn random_field(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let (key, hidden) = open(ctx, args[1])?;
    if !key.exists() {
        ctx.reply_null();
        return Ok(());
    }
    key.read(|pool, root| {
        let fields = match hidden {
            None => Visible::All(pool, root),
            Some(now) => {
                // Of most hashes most fields are seen: then one of them is drawn soon.
                for _ in 0..DRAWS.min(hash::len(root)) {
                    let field = hash::random(pool, root)?;
                    if !now.hides(field.expire_at) {
                        ctx.reply_bulk(field.name);
                        return Ok(());
                    }
                }
                Visible::from(pool, root, now.ms())?
            }
        };
        match fields.len() {
            0 => ctx.reply_null(),
            _ => ctx.reply_bulk(fields.random()?.name),
        }
        Ok(())
    })
}

/// The time of the command if that of some fields of the hash may have come. O(1).
fn may_meet_expired(ctx: &Ctx, key: &PmKey<'_>) -> Result<Option<CommandTime>, CmdError> {
    let now = key.read(|pool, root| {
        let expires = hash::may_expire(root);
        Ok(expires.then(|| CommandTime::of(ctx, pool, root)))
    })?;
    Ok(match now {
        Some(now) if key.may_have_expired(now.ms())? => Some(now),
        _ => None,
    })
}

/// Opens the key; in Redis, after all fields whose time has come are removed. And the time of the
/// command, if fields may be there that are not to be seen: Redis shows on a replica what it has
/// not removed.
fn open<'a>(ctx: &'a Ctx, name: Arg<'a>) -> Result<(PmKey<'a>, Option<CommandTime>), CmdError> {
    let key = PmKey::open_read(ctx, name, TY)?;
    let removes = expired_fields::removes_on_access(ctx);
    if !removes && !Behaviour::ExpiredFieldsAreAbsent.here() {
        return Ok((key, None));
    }
    let Some(now) = may_meet_expired(ctx, &key)? else {
        return Ok((key, None));
    };
    if !removes {
        return Ok((key, Some(now)));
    }
    let expired: Vec<Vec<u8>> = key.read(|pool, root| {
        let mut expired = Vec::new();
        for field in hash::fields(pool, root)? {
            let field = field?;
            if now.hides(field.expire_at) {
                expired.push(field.name.to_vec());
            }
        }
        Ok(expired)
    })?;
    if expired.is_empty() {
        return Ok((key, None));
    }
    drop(key);
    let names: Names<'_> = expired.iter().map(Vec::as_slice).collect();
    let removed = expired_fields::met_by_reader(ctx, name, &names)?;
    let hidden = (!removed).then_some(now);
    Ok((PmKey::open_write(ctx, name, TY)?, hidden))
}
