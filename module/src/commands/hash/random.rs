//! HRANDFIELD.

use super::TY;
use super::lapse::{self, CommandTime, Names};
use crate::commands::sample;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Ctx};
use store::structures::Root;
use store::structures::hash::{self, Field, Visible};
use store::structures::sample::{Choice, choose};

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
    let (key, hides) = open(ctx, args[1])?;
    key.read(|pool, root| {
        let fields = if sees_all(root, hides) {
            Visible::All(pool, root)
        } else {
            Visible::from(pool, root, CommandTime::of(ctx, pool, root).ms())?
        };
        let chosen = choose(
            Choice::of(count, fields.len()),
            fields.len(),
            || fields.all(),
            || fields.random(),
        )?;
        shape.begin(ctx, chosen.len());
        chosen.each(|field| shape.field(ctx, field));
        Ok(())
    })
}

fn random_field(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let (key, hides) = open(ctx, args[1])?;
    if !key.exists() {
        ctx.reply_null();
        return Ok(());
    }
    key.read(|pool, root| {
        let fields = if sees_all(root, hides) {
            Visible::All(pool, root)
        } else {
            Visible::from(pool, root, CommandTime::of(ctx, pool, root).ms())?
        };
        match fields.len() {
            0 => ctx.reply_null(),
            _ => ctx.reply_bulk(fields.random()?.name),
        }
        Ok(())
    })
}

/// Whether the command sees all fields that are there.
fn sees_all(root: Root, hides: bool) -> bool {
    !hash::may_expire(root) || !hides
}

/// Opens the key; in Redis, after all fields whose time has come are removed. And whether such
/// fields are there and are not to be seen: Redis shows on a replica what it has not removed.
fn open<'a>(ctx: &'a Ctx, name: Arg<'a>) -> Result<(PmKey<'a>, bool), CmdError> {
    let key = PmKey::open_read(ctx, name, TY)?;
    let lapsed: Vec<Vec<u8>> = key.read(|pool, root| {
        let mut lapsed = Vec::new();
        if hash::may_expire(root) && lapse::removes_on_access(ctx) {
            let now = CommandTime::of(ctx, pool, root);
            for field in hash::fields(pool, root)? {
                let field = field?;
                if now.hides(field.expire_at) {
                    lapsed.push(field.name.to_vec());
                }
            }
        }
        Ok(lapsed)
    })?;
    if lapsed.is_empty() {
        return Ok((key, lapse::in_valkey()));
    }
    drop(key);
    let names: Names<'_> = lapsed.iter().map(Vec::as_slice).collect();
    let removed = lapse::met_by_reader(ctx, name, &names)?;
    Ok((PmKey::open_write(ctx, name, TY)?, !removed))
}
