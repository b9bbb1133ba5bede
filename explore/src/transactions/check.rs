//! The normal way back, and what must be there then.

use std::path::Path;

use fastrand::Rng;
use pobj::{Cursor, Error, Kind, Pool};
use powercut::{Progress, Recovery};

use super::actor::Actor;
use super::model::{describe, read_model};
use super::{Flavour, open};
use crate::closer::Closer;
use crate::states::{Description, States};

/// The normal way back, and what must be there then.
pub struct Check {
    states: States,
    closer: Closer,
}

impl Check {
    /// The check for the workload whose states these are.
    pub fn new(states: States) -> Check {
        Check {
            states,
            closer: Closer::default(),
        }
    }

    /// Recovers again, then goes on working, then frees everything: nothing may be left over.
    fn look_closer(
        &self,
        pool: Pool,
        image: &Path,
        found: &Description,
        seed: u64,
    ) -> Result<(), String> {
        let pool = Closer::recover_again(pool, image, open, describe, found)?;
        let pool = go_on(pool, seed, found.clone())?;
        Closer::nothing_is_left(free_all(pool)?, image)
    }
}

/// Works on in a pool of the state `state`.
fn go_on(pool: Pool, seed: u64, state: Description) -> Result<Pool, String> {
    let mut tx_rng = Rng::with_seed(seed);
    let mut actor = Actor {
        model: read_model(&pool).map_err(|error| error.to_string())?,
        pool,
        rng: tx_rng.fork(),
        flavour: Flavour::Small,
        mistake: None,
    };
    assert_eq!(actor.describe(), state, "the model is read from the pool");
    for _ in 0..4 {
        actor.act();
    }
    actor.describe();
    Ok(actor.pool)
}

/// Frees every object.
fn free_all(mut pool: Pool) -> Result<Pool, String> {
    let text = |error: Error| error.to_string();
    for kind in [Kind::Data, Kind::Record] {
        while let Some((ptr, _)) = pool.next_object(kind, Cursor::default()) {
            let mut tx = pool.begin();
            tx.free(ptr).map_err(text)?;
            tx.commit().map_err(text)?;
        }
    }
    Ok(pool)
}

impl Recovery for Check {
    type Pool = Pool;

    fn recover(&self, image: &Path) -> Result<Pool, String> {
        open(image)
    }

    fn check(&self, pool: Pool, image: &Path, progress: Progress) -> Result<(), String> {
        if !pool.damages().is_empty() {
            return Err(format!("damaged: {:?}", pool.damages()));
        }
        let found = describe(&pool).map_err(|error| error.to_string())?;
        self.states.check(&found, progress)?;
        match self.closer.chosen() {
            Some(seed) => self.look_closer(pool, image, &found, seed),
            None => Ok(()),
        }
    }
}
