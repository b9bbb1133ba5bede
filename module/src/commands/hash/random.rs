//! HRANDFIELD.

use super::TY;
use crate::commands::sample::{self, Choice};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Args, Ctx};
use crate::structures::hash::{self, Pair};

/// How pairs are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Fields.
    Fields,
    /// Fields and values by turns.
    Flat,
    /// Arrays of a field and a value.
    Pairs,
}

impl Shape {
    fn begin(self, ctx: &Ctx, len: usize) {
        ctx.reply_array(len * if self == Shape::Flat { 2 } else { 1 });
    }

    fn pair(self, ctx: &Ctx, (field, value): Pair<'_>) {
        if self == Shape::Pairs {
            ctx.reply_array(2);
        }
        ctx.reply_bulk(field);
        if self != Shape::Fields {
            ctx.reply_bulk(value);
        }
    }
}

/// `PM.HRANDFIELD key [count [WITHVALUES]]`
pub fn hrandfield(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let Some(count) = args.get(2) else {
        return random_field(ctx, args);
    };
    let count = sample::count(count)?;
    let shape = match args.from(3) {
        [] => Shape::Fields,
        [word] if word.is(b"WITHVALUES") => match count.unsigned_abs() > i64::MAX as u64 / 2 {
            true => return Err(CmdError::OutOfRange),
            false if ctx.flags().resp3() => Shape::Pairs,
            false => Shape::Flat,
        },
        _ => return Err(CmdError::Syntax),
    };
    let key = PmKey::open_read(ctx, args[1], TY)?;
    key.read(|pool, root| {
        let chosen = sample::choose(
            Choice::of(count, hash::len(root)),
            hash::len(root),
            || hash::pairs(pool, root),
            || hash::random(pool, root),
        )?;
        shape.begin(ctx, chosen.len());
        chosen.each(|pair| shape.pair(ctx, pair));
        Ok(())
    })
}

fn random_field(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    if !key.exists() {
        ctx.reply_null();
        return Ok(());
    }
    key.read(|pool, root| {
        ctx.reply_bulk(hash::random(pool, root)?.0);
        Ok(())
    })
}
