//! The steps of a workload.

use fastrand::Rng;
use pobj::{Error, Pool};
use store::layout::DATA;

use super::change::{Change, content};
use super::model::{HEAD, Model, Object, describe, line, pointer, totals};
use super::{Flavour, Mistake, Transactions};
use crate::states::Description;

/// Works on a pool and knows what it must hold.
pub(super) struct Actor {
    pub pool: Pool,
    pub model: Model,
    pub rng: Rng,
    pub flavour: Flavour,
    pub mistake: Option<Mistake>,
}

impl Actor {
    pub(super) fn new(workload: &Transactions, pool: Pool) -> Actor {
        Actor {
            pool,
            model: Model::default(),
            rng: Rng::with_seed(workload.seed),
            flavour: workload.flavour,
            mistake: workload.mistake,
        }
    }

    /// What the pool must hold now; also makes sure that this process sees it.
    pub(super) fn describe(&self) -> Description {
        let objects = self.model.objects.iter();
        let mut state: Description = objects
            .map(|(&offset, object)| line(offset, object.kind, &object.bytes))
            .collect();
        let capacity = |&offset: &u64| self.pool.capacity(pointer(offset)).expect("it is there");
        let used = self.model.objects.keys().map(capacity).sum();
        state.extend(totals(self.model.words, used));
        let found = describe(&self.pool).expect("the pool is sound");
        assert_eq!(found, state, "without any cut");
        state
    }

    /// Does one step.
    pub(super) fn act(&mut self) {
        match self.mistake {
            Some(Mistake::PublishedBeforeFilled) => return self.publish_then_fill(),
            Some(Mistake::FreedBeforeUnlinked) => return self.free_then_unlink(),
            Some(Mistake::AcknowledgedInsideGroup) => {
                self.pool.begin_group();
                return self.transact(0, true);
            }
            Some(Mistake::FilledInsteadOfWritten) | None => {}
        }
        let [grouped, stepped, dropped, trimmed] = match self.flavour {
            Flavour::Mixed => [12, 20, 12, 4],
            Flavour::Small => [0, 0, 5, 0],
            Flavour::Groups => [50, 50, 25, 2],
            Flavour::Large => [8, 10, 10, 25],
            Flavour::Overflow => [30, 40, 15, 0],
        };
        if self.percent(trimmed) {
            self.pool.trim(usize::MAX).expect("pages can be given back");
        } else if self.percent(grouped) {
            self.act_in_group(stepped, dropped);
        } else {
            self.act_once(stepped, dropped);
        }
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.rng.u32(..100) < percent
    }

    fn act_once(&mut self, stepped: u32, dropped: u32) {
        let steps = if self.percent(stepped) {
            self.rng.usize(1..5)
        } else {
            0
        };
        let keep = !self.percent(dropped);
        self.transact(steps, keep);
    }

    fn act_in_group(&mut self, stepped: u32, dropped: u32) {
        self.pool.begin_group();
        for _ in 0..self.rng.usize(1..6) {
            self.act_once(stepped, dropped);
        }
        self.pool.end_group().expect("a group's end needs no room");
    }

    /// A transaction of `steps` steps and a last part, committed or dropped.
    fn transact(&mut self, steps: usize, keep: bool) {
        let before = self.model.clone();
        let mut tx = self.pool.begin();
        let mut change = Change {
            tx: &mut tx,
            model: &mut self.model,
            rng: &mut self.rng,
            flavour: self.flavour,
            mistake: self.mistake,
            touched: Vec::new(),
            fresh: Vec::new(),
        };
        let done = change.all(steps);
        let is_kept = match done {
            Ok(()) if keep => tx.commit(),
            other => {
                drop(tx);
                self.model = before;
                return is_full_at_most(other);
            }
        };
        if is_kept.is_err() {
            self.model = before;
        }
        is_full_at_most(is_kept);
    }

    fn publish_then_fill(&mut self) {
        let bytes = content(&mut self.rng, 300);
        let mut tx = self.pool.begin();
        let ptr = tx
            .alloc((HEAD + bytes.len()) as u64, DATA)
            .expect("there is room");
        tx.fill(ptr, &(bytes.len() as u64).to_le_bytes())
            .expect("it is ours");
        tx.commit().expect("it is small");
        let mut tx = self.pool.begin();
        tx.fill_unused(ptr.ptr().at(HEAD as u64), &bytes)
            .expect("it is ours");
        tx.commit().expect("it is small");
        self.model
            .objects
            .insert(ptr.offset(), Object { kind: DATA, bytes });
    }

    /// A word stands for the link.
    fn free_then_unlink(&mut self) {
        let Some(offset) = self.model.objects.keys().next().copied() else {
            let bytes = content(&mut self.rng, 100);
            let mut tx = self.pool.begin();
            let ptr = tx
                .alloc((HEAD + bytes.len()) as u64, DATA)
                .expect("there is room");
            tx.fill(ptr, &(bytes.len() as u64).to_le_bytes())
                .expect("it is ours");
            tx.fill(ptr.at(HEAD as u64), &bytes).expect("it is ours");
            tx.set(tx.user_word(0), ptr.offset()).expect("it is a word");
            tx.commit().expect("it is small");
            self.model.words[0] = ptr.offset();
            self.model
                .objects
                .insert(ptr.offset(), Object { kind: DATA, bytes });
            return;
        };
        let mut tx = self.pool.begin();
        tx.free(pointer(offset)).expect("it is there");
        tx.commit().expect("it is small");
        let mut tx = self.pool.begin();
        tx.set(tx.user_word(0), 0).expect("it is a word");
        tx.commit().expect("it is small");
        self.model.objects.remove(&offset);
        self.model.words[0] = 0;
    }
}

fn is_full_at_most(result: pobj::Result<()>) {
    match result {
        Ok(()) | Err(Error::Full(_)) => {}
        Err(error) => panic!("{error}"),
    }
}
