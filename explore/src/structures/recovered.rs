//! What is done with a pool of values that has come back.

use fastrand::Rng;
use pobj::Pool;

use super::actor::{Actor, reclaim_some};
use super::check::{PoolRecord, describe, records};
use super::{Structure, Values};
use crate::check::Recovered;
use crate::states::Description;

impl<S: Structure> Recovered for Values<S> {
    type Opened = Pool;

    fn describe(opened: &Pool) -> pobj::Result<Description> {
        describe::<S>(opened)
    }

    fn work_on(opened: Pool, seed: u64, _: &Description) -> Result<Pool, String> {
        work_on::<S>(opened, seed).map_err(|error| error.to_string())
    }
}

/// Reclaims what is dead, goes on changing the values, and frees them.
fn work_on<S: Structure>(mut pool: Pool, seed: u64) -> pobj::Result<Pool> {
    for PoolRecord { record, head } in records(&pool)? {
        while head.created == 0 && !reclaim_some(&mut pool, record, 16)? {}
    }
    describe::<S>(&pool)?;
    let mut actor = Actor::<S>::new(pool, Rng::with_seed(seed))?;
    for _ in 0..4 {
        actor.act()?;
    }
    actor.describe();
    actor.free_all()
}
