//! The normal way back, and what must be there then: the same for all workloads that note their
//! states.

use std::marker::PhantomData;
use std::path::Path;

use pobj::Pool;
use powercut::{Progress, Recovery};
use store::layout::pool_at;

use crate::closer::Closer;
use crate::states::{Description, States};

/// A pool as a workload has it open.
pub trait Opened: Sized {
    /// Opens an image, as the workload opens its pool.
    ///
    /// # Errors
    /// Why it cannot.
    fn of(image: &Path) -> Result<Self, String>;

    /// The pool itself.
    fn pool(&self) -> &Pool;
}

impl Opened for Pool {
    fn of(image: &Path) -> Result<Pool, String> {
        Pool::open(&pool_at(image)).map_err(|error| error.to_string())
    }

    fn pool(&self) -> &Pool {
        self
    }
}

/// A workload whose pools can be opened again, described, and worked on.
pub trait Recovered {
    /// An opened pool.
    type Opened: Opened;

    /// What is there, checked as far as it can be.
    ///
    /// # Errors
    /// What is wrong with the pool.
    fn describe(opened: &Self::Opened) -> pobj::Result<Description>;

    /// Goes on working, as `seed` decides, in a pool of this description, then frees everything.
    ///
    /// # Errors
    /// What went wrong.
    fn work_on(opened: Self::Opened, seed: u64, found: &Description) -> Result<Pool, String>;
}

/// The normal way back for the workload `W`, and what must be there then.
pub struct Check<W> {
    states: States,
    closer: Closer,
    workload: PhantomData<W>,
}

impl<W: Recovered> Check<W> {
    /// The check for the workload whose states these are.
    pub fn new(states: States) -> Check<W> {
        Check {
            states,
            closer: Closer::default(),
            workload: PhantomData,
        }
    }
}

impl<W: Recovered> Recovery for Check<W> {
    type Pool = W::Opened;

    fn recover(&self, image: &Path) -> Result<W::Opened, String> {
        W::Opened::of(image)
    }

    fn check(&self, opened: W::Opened, image: &Path, progress: Progress) -> Result<(), String> {
        let damages = opened.pool().damages();
        if !damages.is_empty() {
            return Err(format!("damaged: {damages:?}"));
        }
        let found = W::describe(&opened).map_err(|error| error.to_string())?;
        self.states.check(&found, progress)?;
        let Some(seed) = self.closer.chosen() else {
            return Ok(());
        };
        let opened = Closer::recover_again(opened, image, W::Opened::of, W::describe, &found)?;
        Closer::nothing_is_left(W::work_on(opened, seed, &found)?, image)
    }
}
