//! The time at which a command looks at the fields of a hash.

use super::arriving::arrives;
use super::groups::now;
use super::with_engine;
use crate::error::CmdError;
use crate::redis::Ctx;
use pobj::{Pool, Result};
use std::collections::HashSet;
use store::structures::Root;
use store::structures::hash;

/// The time from which a command's times to live count, in Unix milliseconds.
///
/// # Errors
/// If the engine cannot be reached.
pub fn clock(ctx: &Ctx) -> std::result::Result<i64, CmdError> {
    with_engine(|engine| Ok(now(ctx, &engine.store.pool)))
}

/// The time at which a command looks at fields.
#[derive(Clone, Copy, Debug)]
pub struct CommandTime(i64);

impl CommandTime {
    /// Before every expire time: all fields are there.
    pub const ALL: CommandTime = CommandTime(i64::MIN);

    /// The time for a command that looks at this hash. Of most hashes no field expires: then it is
    /// not asked for.
    #[inline]
    pub fn of(ctx: &Ctx, pool: &Pool, root: Root) -> CommandTime {
        if hash::may_expire(root) {
            CommandTime::of_expiring(ctx, pool)
        } else {
            CommandTime::ALL
        }
    }

    #[cold]
    fn of_expiring(ctx: &Ctx, pool: &Pool) -> CommandTime {
        let flags = ctx.flags();
        if flags.replicated() || flags.loading() || arrives() {
            CommandTime::ALL
        } else {
            CommandTime(now(ctx, pool))
        }
    }

    /// The time itself, in Unix milliseconds.
    pub fn ms(self) -> i64 {
        self.0
    }

    /// Whether the time of a field that expires then has come.
    #[inline]
    pub fn hides(self, expire_at: i64) -> bool {
        expire_at < self.0
    }

    /// [`CommandTime::hides`], at that time itself too.
    pub fn ends(self, expire_at: i64) -> bool {
        expire_at <= self.0
    }
}

/// Those of the fields whose time has come. Of most hashes no field expires: then none are looked
/// up.
pub fn expired_among<'a>(
    ctx: &Ctx,
    pool: &Pool,
    root: Root,
    fields: impl Iterator<Item = &'a [u8]>,
) -> Result<HashSet<&'a [u8]>> {
    let mut expired = HashSet::new();
    if !hash::may_expire(root) {
        return Ok(expired);
    }
    let now = CommandTime::of(ctx, pool, root);
    for field in fields {
        if now.hides(hash::expire_at(pool, root, field)?) {
            expired.insert(field);
        }
    }
    Ok(expired)
}
