//! Several keys given new values in one atomic step.

use super::{Born, LOADING, Outcome, PmKey, State, lift, put_record};
use crate::error::CmdError;
use crate::keyspace::record::{self, Inline, NEVER, RecordPtr};
use crate::keyspace::{Engine, with_engine};
use crate::structures::Root;
use pobj::{Pool, Result, Tx};

/// What happens to one key's record.
enum Plan {
    /// It is changed.
    Edit(RecordPtr),
    /// A new one is made; one of another type goes.
    Make(Born, Option<RecordPtr>),
}

impl Plan {
    fn of(key: &PmKey<'_>, engine: &mut Engine) -> std::result::Result<Plan, CmdError> {
        if let Some(record) = key.record(engine)? {
            return Ok(Plan::Edit(record));
        }
        let old = match key.state {
            State::Ours(_, addr) => engine.record_at(addr),
            _ => None,
        };
        Ok(Plan::Make(Born::now(engine, key.ctx.db())?, old))
    }
}

/// Gives each of several *different* keys a value, whatever it held, all as one atomic, durable step. Each
/// expires at `expire_at`, in Unix milliseconds or `NEVER`; without one it keeps its own expire time. `f` sets the `i`-th value: as in [`PmKey::edit_inline`] if there is one, else
/// from an empty root, with a fresh record's inline area of at least `inline(i)` bytes. `then` tells
/// of the `i`-th key, once that shows its value.
pub fn put_all(
    keys: &mut [PmKey<'_>],
    expire_at: Option<i64>,
    inline: impl Fn(usize) -> u64,
    mut f: impl FnMut(usize, &mut Tx<'_>, &mut Root, Inline) -> Result<()>,
    mut then: impl FnMut(usize),
) -> std::result::Result<(), CmdError> {
    let times: Vec<i64> = keys.iter().map(|key| time_of(key, expire_at)).collect();
    let outcomes = with_engine(|engine| {
        if !engine.filled {
            return Err(LOADING);
        }
        let plans: Vec<Plan> = keys
            .iter()
            .map(|key| Plan::of(key, engine))
            .collect::<std::result::Result<_, _>>()?;
        lift((|| {
            let mut tx = engine.pool.begin();
            let mut outcomes = Vec::with_capacity(plans.len());
            for (i, (key, plan)) in keys.iter().zip(plans).enumerate() {
                let outcome = match plan {
                    Plan::Edit(record) => {
                        edit(&mut tx, record, times[i], |tx, root, inline| {
                            f(i, tx, root, inline)
                        })?;
                        Outcome::Nothing
                    }
                    Plan::Make(born, old) => {
                        if let Some(old) = old {
                            record::kill(&mut tx, old)?;
                        }
                        let born = Born {
                            expire_at: times[i],
                            ..born
                        };
                        let name = key.name().bytes();
                        put_record(&mut tx, name, key.ty, born, inline(i), |tx, area| {
                            let mut root = Root::EMPTY;
                            f(i, tx, &mut root, area)?;
                            Ok(root)
                        })?
                    }
                };
                outcomes.push(outcome);
            }
            tx.commit()?;
            Ok(outcomes)
        })())
    })?;
    for (i, (key, outcome)) in keys.iter_mut().zip(outcomes).enumerate() {
        let before = key.state;
        key.follow(outcome);
        key.follow_expire(times[i]);
        key.tell_replaced(before);
        then(i);
    }
    Ok(())
}

/// When a key is to expire: when it is said, or when it does already.
fn time_of(key: &PmKey<'_>, expire_at: Option<i64>) -> i64 {
    match expire_at {
        Some(at) => at,
        None if key.occupied() => key.expire_at().unwrap_or(NEVER),
        None => NEVER,
    }
}

/// Changes a value in its record, and when it expires.
fn edit(
    tx: &mut Tx<'_>,
    record: RecordPtr,
    expire_at: i64,
    f: impl FnOnce(&mut Tx<'_>, &mut Root, Inline) -> Result<()>,
) -> Result<()> {
    let head = *record::get(tx, record)?;
    let inline = record::inline(tx, record)?;
    let mut root = head.root;
    f(tx, &mut root, inline)?;
    record::set_root(tx, record, head.root, root)?;
    match head.expire_at == expire_at {
        true => Ok(()),
        false => record::set_expire(tx, record, expire_at),
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
                Some(record) => lift(record::get(&engine.pool, record))?.root,
                None => Root::EMPTY,
            });
        }
        lift(f(&engine.pool, &roots))
    })
}

/// Reads the values of several keys, some of which may not be there, or may not be looked at (`None`): `f` gets
/// the root and the inline area of each value that there is.
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
                Some(record) => Some((
                    lift(record::get(&engine.pool, record))?.root,
                    lift(record::inline(&engine.pool, record))?,
                )),
                None => None,
            });
        }
        lift(f(&engine.pool, &values))
    })
}
