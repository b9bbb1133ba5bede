//! HTTL, HPTTL, HEXPIRETIME, HPEXPIRETIME: when fields expire.

use super::TY;
use super::expired_fields::{self, CommandTime};
use super::syntax::{self, Grammar, Mismatch};
use crate::behaviour::Behaviour;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Ctx};
use store::expiry::FIELD_NEVER;
use store::structures::Root;
use store::structures::hash;

/// What is said of a field that is not there.
const NO_FIELD: i64 = -2;
/// What is said of one that does not expire.
const NO_TTL: i64 = -1;

/// In what a time is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Seconds,
    Millis,
}

/// From when on a time is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Now,
    Epoch,
}

/// `PM.HTTL key FIELDS numfields field [field ...]`
pub(super) fn httl(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    tell(ctx, args, Start::Now, Unit::Seconds)
}

/// `PM.HPTTL key FIELDS numfields field [field ...]`
pub(super) fn hpttl(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    tell(ctx, args, Start::Now, Unit::Millis)
}

/// `PM.HEXPIRETIME key FIELDS numfields field [field ...]`
pub(super) fn hexpiretime(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    tell(ctx, args, Start::Epoch, Unit::Seconds)
}

/// `PM.HPEXPIRETIME key FIELDS numfields field [field ...]`
pub(super) fn hpexpiretime(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    tell(ctx, args, Start::Epoch, Unit::Millis)
}

fn tell(ctx: &Ctx, args: Args<'_>, start: Start, unit: Unit) -> Result<(), CmdError> {
    let (key, fields);
    if Grammar::here() == Grammar::Valkey {
        fields = syntax::plain(args, Mismatch::IsSyntax)?;
        key = PmKey::open_read(ctx, args[1], TY)?;
    } else {
        key = PmKey::open_read(ctx, args[1], TY)?;
        fields = syntax::plain(args, Mismatch::IsSyntax)?;
    }
    let start = match start {
        Start::Now => expired_fields::clock(ctx)?,
        Start::Epoch => 0,
    };
    key.read(|pool, root| {
        let now = CommandTime::of(ctx, pool, root);
        ctx.reply_array(fields.len());
        for field in fields.iter().copied().map(Arg::bytes) {
            let (spot, value) = hash::find(pool, root, field)?;
            let value = value.filter(|_| !is_over(root, now, spot.expire_at));
            ctx.reply_integer(match value.map(|_| spot.expire_at) {
                None => NO_FIELD,
                Some(FIELD_NEVER) => NO_TTL,
                Some(at) => unit.of(at.saturating_sub(start)),
            });
        }
        Ok(())
    })
}

/// Whether a field is gone that expires then. Redis says so of one of a small hash a moment
/// earlier.
fn is_over(root: Root, now: CommandTime, expire_at: i64) -> bool {
    if hash::is_table(root) || Behaviour::SmallHashesEndOnTime.here() {
        now.hides(expire_at)
    } else {
        now.ends(expire_at)
    }
}

impl Unit {
    /// Milliseconds in this unit: Redis rounds up, Valkey to the nearest.
    fn of(self, ms: i64) -> i64 {
        let ms = ms.max(0);
        match self {
            Unit::Millis => ms,
            Unit::Seconds if Behaviour::FieldTtlIsRounded.here() => ms.saturating_add(500) / 1000,
            Unit::Seconds => ms.saturating_add(999) / 1000,
        }
    }
}
