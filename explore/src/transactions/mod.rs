//! Random transactions on a pool without a structure: what `pobj` promises, whatever is built on
//! it.
//!
//! An object begins with a word that says how many bytes of it count; what lies behind them is
//! spare, and appending fills it. A step of the workload is one acknowledged change: a transaction,
//! with or
//!
//! | file | what it does |
//! |---|---|
//! | `actor.rs` | the steps |
//! | `change.rs` | the changes of one transaction |
//! | `model.rs` | what a pool must hold, and what it holds |
//! | `check.rs` | what is done with a pool that has come back |

mod actor;
mod change;
mod check;
mod model;

use std::path::Path;

use pobj::Pool;
use powercut::{Steps, Workload};

use crate::check::Opened;
use crate::states::States;
use actor::Actor;

/// The normal way back, and what must be there then.
pub type Check = crate::check::Check<Transactions>;

/// What a workload does most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Everything.
    Mixed,
    /// Small transactions, one redo record each.
    Small,
    /// Transactions of several steps and groups, some taken back.
    Groups,
    /// Objects that libpmemobj places, and pages that come and go.
    Large,
    /// Batches beyond a record, groups beyond the first segment of the undo log.
    Overflow,
}

/// All flavours.
pub(crate) const FLAVOURS: [Flavour; 5] = [
    Flavour::Mixed,
    Flavour::Small,
    Flavour::Groups,
    Flavour::Large,
    Flavour::Overflow,
];

/// A mistake in using `pobj`, which the exploration must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// An object is published in one transaction and filled in the next.
    PublishedBeforeFilled,
    /// An object is freed in one transaction and forgotten in the next.
    FreedBeforeUnlinked,
    /// Bytes that count are filled, not written.
    FilledInsteadOfWritten,
    /// A group is acknowledged before its end.
    AcknowledgedInsideGroup,
}

/// All mistakes.
pub const MISTAKES: [Mistake; 4] = [
    Mistake::PublishedBeforeFilled,
    Mistake::FreedBeforeUnlinked,
    Mistake::FilledInsteadOfWritten,
    Mistake::AcknowledgedInsideGroup,
];

/// A workload of random transactions.
#[derive(Clone, Debug)]
pub struct Transactions {
    /// Decides what is done.
    pub seed: u64,
    /// How many steps there are.
    pub steps: usize,
    /// What is done most.
    pub flavour: Flavour,
    /// What is done wrongly, if anything.
    pub mistake: Option<Mistake>,
}

impl Workload for Transactions {
    fn prepare(&self, pool: &Path) {
        crate::create_pool(pool);
    }

    fn run(&self, pool: &Path, steps: &mut Steps) {
        let mut actor = Actor::new(self, Pool::of(pool).expect("the pool opens"));
        actor.pool.set_commit_mode(crate::commit_mode(self.seed));
        let mut states = States::default();
        states.push(actor.describe());
        for _ in 0..self.steps {
            steps.step(|| {
                actor.act();
                actor.pool.sync().expect("there is no journal to fail");
            });
            if self.mistake == Some(Mistake::AcknowledgedInsideGroup) {
                actor.pool.end_group().expect("the group is small");
            }
            states.push(actor.describe());
        }
        let path = States::path_for(pool);
        states.write(&path).expect("the directory is writable");
    }
}
