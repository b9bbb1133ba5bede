//! Several keys given new values in one atomic step.

use super::{LOADING, PmKey, lift};
use crate::error::CmdError;
use crate::keyspace::{Engine, with_engine};
use crate::redis::Kind;
use pobj::{Pool, Result, Tx};
use store::edit::Plan;
use store::expiry::KEY_NEVER;
use store::inline::Inline;
use store::record;
use store::structures::Root;

/// What happens to a key that gets a value, and expires at `expire_at`.
fn plan(
    key: &PmKey<'_>,
    engine: &mut Engine,
    expire_at: i64,
) -> std::result::Result<Plan, CmdError> {
    if let Some(record) = key.record(engine)? {
        return Ok(Plan::Edit(record, expire_at));
    }
    let old = match key.holds {
        Kind::Pm(_, addr) => engine.record_at(addr),
        _ => None,
    };
    let creation = lift(engine.store.creation(key.ctx.db(), expire_at))?;
    Ok(Plan::Make(creation, key.ty, old))
}

/// Gives each of several *different* keys a value, whatever it holds, all as one atomic, durable
/// step. Each expires at `expire_at`, in Unix milliseconds or `KEY_NEVER`; without one it keeps its
/// own expire time. `f` sets the `i`-th value: as in [`PmKey::edit_inline`] if there is one, else
/// from an empty root, with a fresh record's inline area of at least `inline(i)` bytes. `then`
/// tells of the `i`-th key, once that shows its value.
pub fn put_all(
    keys: &mut [PmKey<'_>],
    expire_at: Option<i64>,
    inline: impl Fn(usize) -> u64,
    f: impl FnMut(usize, &mut Tx<'_>, &mut Root, Inline) -> Result<()>,
    mut then: impl FnMut(usize),
) -> std::result::Result<(), CmdError> {
    let times: Vec<i64> = keys.iter().map(|key| time_of(key, expire_at)).collect();
    let outcomes = with_engine(|engine| {
        if !engine.life.shows_keys() {
            return Err(LOADING);
        }
        let plans: Vec<Plan> = (keys.iter().zip(&times))
            .map(|(key, &expire_at)| plan(key, engine, expire_at))
            .collect::<std::result::Result<_, _>>()?;
        let names = keys.iter().map(|key| key.name().bytes());
        lift(engine.store.put_all(names.zip(plans), inline, f))
    })?;
    for (i, (key, outcome)) in keys.iter_mut().zip(outcomes).enumerate() {
        let before = key.holds;
        key.follow(outcome);
        key.follow_expire(times[i]);
        key.announce_replaced_after(before);
        then(i);
    }
    Ok(())
}

/// When a key is to expire: when it is said, or when it does already.
fn time_of(key: &PmKey<'_>, expire_at: Option<i64>) -> i64 {
    match expire_at {
        Some(at) => at,
        None if key.occupied() => key.expire_at().unwrap_or(KEY_NEVER),
        None => KEY_NEVER,
    }
}

/// Reads the values of several keys: `f` gets their roots, as [`PmKey::read`] does.
pub fn read_all<R>(
    keys: &[PmKey<'_>],
    f: impl FnOnce(&Pool, &[Root]) -> Result<R>,
) -> std::result::Result<R, CmdError> {
    with_engine(|engine| {
        let mut roots = Vec::with_capacity(keys.len());
        for key in keys {
            roots.push(match key.record(engine)? {
                Some(record) => lift(record::get(&engine.store.pool, record))?.root,
                None => Root::EMPTY,
            });
        }
        lift(f(&engine.store.pool, &roots))
    })
}

/// Reads the values of several keys, some of which may not be there, or may not be looked at
/// (`None`): `f` gets the root and the inline area of each value that there is.
pub fn read_each<R>(
    keys: &[Option<PmKey<'_>>],
    f: impl FnOnce(&Pool, &[Option<(Root, Inline)>]) -> Result<R>,
) -> std::result::Result<R, CmdError> {
    with_engine(|engine| {
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            let record = match key {
                Some(key) => key.record(engine)?,
                None => None,
            };
            values.push(match record {
                Some(record) => Some(lift(record::value(&engine.store.pool, record))?),
                None => None,
            });
        }
        lift(f(&engine.store.pool, &values))
    })
}
