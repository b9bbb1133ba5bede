//! Keys: records that come, change hands and go, and the memory of those that are gone.
//!
//! The store is used without a server: [`Keyspace`] does what Redis and the module's callbacks do
//! to it, and shows the pool's keys as the module does at start-up. What is compared is what a
//! client can see: databases, keys, values, expire times. Once nothing waits for being reclaimed,
//! every object of the pool must have one owner.

mod adopt;
mod compact;
mod content;
mod full;
mod growing;
mod keyspace;

use std::path::Path;

use fastrand::Rng;
use pobj::Pool;
use powercut::{Steps, Workload};
use store::layout::pool_at;

use crate::check::{Opened, Recovered};
use crate::states::{Description, States};
pub use keyspace::Keyspace;

/// A workload of random changes of keys.
pub struct Keys {
    /// Decides what is done.
    pub seed: u64,
    /// How many steps there are.
    pub steps: usize,
    /// In which pool they are done.
    pub room: Room,
}

/// How much room a workload has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// As much as it needs.
    Ample,
    /// The pool is full, or nearly so.
    Full,
    /// It is full, and grows.
    Growing,
}

/// The step at which a pool grows, if it can.
pub const GROWS_AT: usize = 2;

/// Keys of a new pool.
const KEYS_MIN: usize = 6;

impl Workload for Keys {
    fn prepare(&self, pool: &Path) {
        match self.room {
            Room::Growing => growing::create(pool),
            Room::Ample | Room::Full => crate::create_pool(pool),
        }
        let keyspace = match self.room {
            Room::Growing => Keyspace::open(&growing::as_it_is(pool)),
            Room::Ample | Room::Full => Keyspace::open(&pool_at(pool)),
        };
        let mut keyspace = keyspace.expect("the pool opens");
        let mut rng = Rng::with_seed(self.seed);
        for _ in 0..KEYS_MIN {
            keyspace.put(&mut rng).expect("there is room");
        }
        if self.room != Room::Ample {
            keyspace.fill(&mut rng).expect("the pool is sound");
        }
    }

    fn run(&self, pool: &Path, steps: &mut Steps) {
        let mut keyspace = Keyspace::of(pool).expect("the pool opens");
        keyspace
            .pool_mut()
            .set_commit_mode(crate::commit_mode(self.seed));
        let mut rng = Rng::with_seed(!self.seed);
        let mut states = States::default();
        states.push(keyspace.describe().expect("the pool is sound"));
        let size = keyspace.size();
        for step in 0..self.steps {
            steps.step(|| {
                let done = match self.room {
                    Room::Ample => keyspace.act(&mut rng),
                    Room::Growing if step == GROWS_AT && rng.u32(..4) == 0 => keyspace.grow(),
                    Room::Growing if step == GROWS_AT => keyspace.outgrow(&mut rng),
                    Room::Growing | Room::Full => keyspace.act_when_full(&mut rng),
                };
                done.expect("there is room, and the pool is sound");
                let synced = keyspace.pool_mut().sync();
                synced.expect("there is no journal to fail");
            });
            let state = keyspace.describe().expect("the pool is sound");
            assert_eq!(state, keyspace.expected(), "without any cut");
            states.push(state);
        }
        let has_grown = keyspace.size() > size;
        assert_eq!(has_grown, self.room == Room::Growing, "the pool's size");
        let path = States::path_for(pool);
        states.write(&path).expect("the directory is writable");
    }
}

/// What the keys in a pool are, each value checked: what a server would show.
///
/// # Errors
/// What is wrong with the pool.
pub fn describe(path: &Path) -> Result<Description, String> {
    Keyspace::of(path)?
        .describe()
        .map_err(|error| error.to_string())
}

/// The normal way back, and what must be there then.
pub type Check = crate::check::Check<Keys>;

impl Recovered for Keys {
    type Opened = Keyspace;

    fn describe(opened: &Keyspace) -> pobj::Result<Description> {
        opened.describe()
    }

    fn work_on(mut opened: Keyspace, seed: u64, found: &Description) -> Result<Pool, String> {
        let text = |error: pobj::Error| error.to_string();
        let mut rng = Rng::with_seed(seed);
        opened.reclaim_all().map_err(text)?;
        if opened.describe().map_err(text)? != *found {
            return Err("reclaiming changed what is there".into());
        }
        for _ in 0..4 {
            opened.act_when_full(&mut rng).map_err(text)?;
        }
        let (last, expected) = (opened.describe().map_err(text)?, opened.expected());
        if last == expected {
            opened.end().map_err(text)
        } else {
            Err(format!("worked on, it is {last:?}, not {expected:?}"))
        }
    }
}
