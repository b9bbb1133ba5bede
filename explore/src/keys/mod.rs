//! Keys: records that come, change hands and go, and the memory of those that are gone.
//!
//! The module's engine is used without a server: [`Keyspace`] does what Redis and the module's
//! callbacks do to it, and fills itself from the pool as the module does at start-up. What is
//! compared is what a client can see: databases, keys, values, expire times. Once nothing waits for
//! being reclaimed, every object of the pool must have one owner.

mod content;
mod keyspace;

use std::path::Path;

use fastrand::Rng;
use pobj::Pool;
use powercut::{Progress, Recovery, Steps, Workload};

use crate::closer::Closer;
use crate::states::{Description, States};
use keyspace::Keyspace;

/// A workload of random changes of keys.
pub struct Keys {
    /// Decides what is done.
    pub seed: u64,
    /// How many steps there are.
    pub steps: usize,
}

/// Keys of a new pool.
const KEYS_MIN: usize = 6;

impl Workload for Keys {
    fn prepare(&self, pool: &Path) {
        crate::create_pool(pool);
        let mut keyspace = open(pool).expect("the pool opens");
        let mut rng = Rng::with_seed(self.seed);
        for _ in 0..KEYS_MIN {
            keyspace.put(&mut rng).expect("there is room");
        }
    }

    fn run(&self, pool: &Path, steps: &mut Steps) {
        let mut keyspace = open(pool).expect("the pool opens");
        let mut rng = Rng::with_seed(!self.seed);
        let mut states = States::default();
        states.push(keyspace.describe().expect("the pool is sound"));
        for _ in 0..self.steps {
            steps.step(|| keyspace.act(&mut rng).expect("there is room"));
            let state = keyspace.describe().expect("the pool is sound");
            assert_eq!(state, keyspace.expected(), "without any cut");
            states.push(state);
        }
        let path = States::path_for(pool);
        states.write(&path).expect("the directory is writable");
    }
}

fn open(path: &Path) -> Result<Keyspace, String> {
    Keyspace::open(path).map_err(|error| error.to_string())
}

/// What the keys in a pool are, each value checked: what a server would show.
///
/// # Errors
/// What is wrong with the pool.
pub fn describe(path: &Path) -> Result<Description, String> {
    open(path)?.describe().map_err(|error| error.to_string())
}

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
}

impl Recovery for Check {
    type Pool = Keyspace;

    fn recover(&self, image: &Path) -> Result<Keyspace, String> {
        open(image)
    }

    fn check(&self, keyspace: Keyspace, image: &Path, progress: Progress) -> Result<(), String> {
        let text = |error: pobj::Error| error.to_string();
        let found = keyspace.describe().map_err(text)?;
        self.states.check(&found, progress)?;
        let Some(seed) = self.closer.chosen() else {
            return Ok(());
        };
        let mut again = Closer::recover_again(keyspace, image, open, Keyspace::describe, &found)?;
        let mut rng = Rng::with_seed(seed);
        again.reclaim_all();
        if again.describe().map_err(text)? != found {
            return Err("reclaiming changed what is there".into());
        }
        for _ in 0..4 {
            again.act(&mut rng).map_err(text)?;
        }
        let last = again.describe().map_err(text)?;
        if last != again.expected() {
            return Err(format!(
                "worked on, it is {last:?}, not {:?}",
                again.expected()
            ));
        }
        let pool: Pool = again.end().map_err(text)?;
        Closer::nothing_is_left(pool, image)
    }
}
