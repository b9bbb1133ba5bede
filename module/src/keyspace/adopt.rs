//! Native keys that become PM keys.
//!
//! The value is read whole, built in the pool as one atomic, durable step, and then shown in the
//! place of the native one: no client sees a difference, and a crash leaves one or the other. From
//! then on the pool is the truth: the AOF is told that the native key is gone, as with any that a
//! PM key replaces; an RDB that has it still is overruled by the pool at a start, as long as the
//! key lives.

pub mod job;

use super::PmKey;
use crate::error::CmdError;
use crate::limits;
use crate::redis::{Arg, Ctx, OwnedString};
use store::content::Item;
use store::expiry::{FIELD_NEVER, KEY_NEVER};

use store::structures::Root;

/// Makes a native key of a type that we have a PM key, and has replicas do so. False if it is none,
/// or absent. O(n).
///
/// Not while writes are paused: replicas and the AOF are told.
///
/// # Errors
/// The pool has no room, or the keyspace is not filled yet. The key is what it was then.
pub fn adopt(ctx: &Ctx, name: Arg<'_>) -> Result<bool, CmdError> {
    let Some((content, expire_at)) = ctx.native_value(name)? else {
        return Ok(false);
    };
    // The fields of a hash may all have expired.
    if content.is_empty() {
        return Ok(false);
    }
    let mut key = PmKey::open_any(ctx, name, content.ty);
    let expire_at = expire_at.unwrap_or(KEY_NEVER);
    key.put_inline_unannounced(content.inline_len(), expire_at, |tx, inline| {
        content.build(tx, limits::all(), inline)
    })?;
    let times = content.elements.iter().filter_map(|item| match item {
        Item::Field(name, _, at) if *at != FIELD_NEVER => Some((&**name, *at)),
        _ => None,
    });
    let times: Vec<_> = times.collect();
    if !times.is_empty() {
        key.note_expiry(Root::EMPTY, times.into_iter());
    }
    ctx.replicate(c"PM.ADOPT", &[OwnedString::new(b"KEYS").arg(), name]);
    Ok(true)
}
