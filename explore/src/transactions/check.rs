//! What is done with a pool that has come back.

use fastrand::Rng;
use pobj::{Cursor, Pool};
use store::layout::{DATA, RECORD};

use super::actor::Actor;
use super::model::{describe, read_model};
use super::{Flavour, Transactions};
use crate::check::Recovered;
use crate::states::Description;

impl Recovered for Transactions {
    type Opened = Pool;

    fn describe(opened: &Pool) -> pobj::Result<Description> {
        describe(opened)
    }

    fn work_on(opened: Pool, seed: u64, found: &Description) -> Result<Pool, String> {
        go_on(opened, seed, found)
            .and_then(free_all)
            .map_err(|error| error.to_string())
    }
}

/// Works on in a pool of the state `state`.
fn go_on(pool: Pool, seed: u64, state: &Description) -> pobj::Result<Pool> {
    let mut tx_rng = Rng::with_seed(seed);
    let mut actor = Actor {
        model: read_model(&pool)?,
        pool,
        rng: tx_rng.fork(),
        flavour: Flavour::Small,
        mistake: None,
    };
    assert_eq!(actor.describe(), *state, "the model is read from the pool");
    for _ in 0..4 {
        actor.act();
    }
    actor.describe();
    Ok(actor.pool)
}

/// Frees every object.
fn free_all(mut pool: Pool) -> pobj::Result<Pool> {
    for kind in [DATA, RECORD] {
        while let Some((ptr, _)) = pool.next_object(kind, Cursor::default()) {
            let mut tx = pool.begin();
            tx.free(ptr)?;
            tx.commit()?;
        }
    }
    Ok(pool)
}
