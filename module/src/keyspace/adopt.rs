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
use crate::redis::{Arg, Ctx, NativeValue, OwnedString};
use store::record::NEVER;
use store::structures::hash::{self, Field};
use store::structures::list::{self, Side};
use store::structures::{Root, set, string, zset};

/// Makes a native key of a type that we have a PM key, and has replicas do so. False if it is none,
/// or absent. O(n).
///
/// Not while writes are paused: replicas and the AOF are told.
///
/// # Errors
/// The pool has no room, or the keyspace is not filled yet. The key is what it was then.
pub fn adopt(ctx: &Ctx, name: Arg<'_>) -> Result<bool, CmdError> {
    let Some((ty, value, expire_at)) = ctx.native_value(name)? else {
        return Ok(false);
    };
    let expire_at = expire_at.unwrap_or(NEVER);
    let mut key = PmKey::open_any(ctx, name, ty);
    match &value {
        NativeValue::String(bytes) => {
            let value = string::Value::of(bytes);
            key.take_over(value.inline_len(), expire_at, |tx, inline| {
                let mut root = Root::EMPTY;
                string::set(tx, &mut root, inline, value)?;
                Ok(root)
            })?;
        }
        NativeValue::List(elements) => key.take_over(0, expire_at, |tx, _| {
            let mut root = Root::EMPTY;
            let elements = elements.iter().map(Vec::as_slice);
            list::push(tx, &mut root, Side::Right, elements)?;
            Ok(root)
        })?,
        NativeValue::Set(members) => key.take_over(0, expire_at, |tx, _| {
            set::build(tx, members.iter().map(Vec::as_slice))
        })?,
        NativeValue::ZSet(elements) => {
            let mut elements: Vec<(&[u8], f64)> = elements
                .iter()
                .map(|(name, score)| (name.as_slice(), *score))
                .collect();
            elements.sort_by(|(name, score), (other, than)| {
                // No score is not a number. Zeros are equal, whatever their sign.
                score
                    .partial_cmp(than)
                    .unwrap_or(std::cmp::Ordering::Equal)
                    .then(name.cmp(other))
            });
            key.take_over(0, expire_at, |tx, _| zset::build(tx, &elements))?;
        }
        NativeValue::Hash(fields) if fields.is_empty() => return Ok(false),
        NativeValue::Hash(fields) => {
            let time = |at: &Option<i64>| at.unwrap_or(hash::NEVER);
            key.take_over(0, expire_at, |tx, _| {
                let fields = fields.iter().map(|(name, value, at)| Field {
                    name,
                    value,
                    expire_at: time(at),
                });
                hash::build(tx, fields)
            })?;
            let times = fields.iter().filter(|(_, _, at)| at.is_some());
            let times = times.map(|(name, _, at)| (name.as_slice(), time(at)));
            key.note_expiry(Root::EMPTY, times)?;
        }
    }
    ctx.replicate(c"PM.ADOPT", &[OwnedString::new(b"KEYS").arg(), name]);
    Ok(true)
}
