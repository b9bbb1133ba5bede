//! Works on the values of a pool and knows what they must hold.

use std::collections::VecDeque;

use fastrand::Rng;
use pobj::{Pool, Result, Tx};
use store::reclaim::retire_value;
use store::record::{self, Creation, RecordPtr};
use store::structures::mover::{Cursor, Mover};
use store::structures::{self, Root, has_garbage};

use super::check::{PoolRecord, describe, line, records};
use super::{Mistake, Structure, Value};
use crate::states::Description;

/// The keys of the two records.
const KEYS: [&[u8]; 2] = [b"a", b"b"];

pub(super) struct Actor<S: Structure> {
    pub pool: Pool,
    pub mistake: Option<Mistake>,
    rng: Rng,
    values: [Value<S::Model>; 2],
    records: [RecordPtr; 2],
    dead: VecDeque<RecordPtr>,
}

impl<S: Structure> Actor<S> {
    /// Makes the two records, with values, in an empty pool.
    pub(super) fn build(mut pool: Pool, rng: &mut Rng) -> Result<()> {
        for key in KEYS {
            let mut tx = pool.begin();
            let inline = S::inline(rng);
            record::create(
                &mut tx,
                (key, S::TYPE, Creation::FIRST),
                inline,
                |tx, inline| {
                    let mut value = Value {
                        root: Root::EMPTY,
                        inline,
                        model: S::Model::default(),
                    };
                    S::build(tx, rng, &mut value)?;
                    Ok(value.root)
                },
            )?;
            tx.commit()?;
        }
        Ok(())
    }

    /// Reads the models from the pool.
    pub(super) fn new(pool: Pool, rng: Rng) -> Result<Actor<S>> {
        let (mut live, mut dead) = (Vec::new(), VecDeque::new());
        for PoolRecord { record, head } in records(&pool)? {
            match head.created {
                0 => dead.push_back(record),
                _ => live.push((record::key(&pool, record)?.to_vec(), record)),
            }
        }
        live.sort_by(|(a, _), (b, _)| a.cmp(b));
        let (first, second) = (live[0].1, live[1].1);
        let value = |record: RecordPtr| -> Result<Value<S::Model>> {
            let (root, inline) = (
                record::get(&pool, record)?.root,
                record::inline(&pool, record)?,
            );
            Ok(Value {
                root,
                inline,
                model: S::read(&pool, root, inline)?,
            })
        };
        Ok(Actor {
            values: [value(first)?, value(second)?],
            records: [first, second],
            pool,
            mistake: None,
            rng,
            dead,
        })
    }

    /// What the pool holds now, after making sure that these are the models.
    pub(super) fn describe(&self) -> Description {
        let found = describe::<S>(&self.pool).expect("the pool is sound");
        for (key, value) in KEYS.iter().zip(&self.values) {
            let line = line::<S>(key, S::digest(&value.model));
            assert!(
                found.contains(&line),
                "without any cut: {line} in {found:?}"
            );
        }
        found
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.rng.u32(..100) < percent
    }

    /// Does one step.
    pub(super) fn act(&mut self) -> Result<()> {
        if self.percent(4) {
            return self.pool.trim(usize::MAX).map(drop);
        }
        if !self.dead.is_empty() && self.percent(40) {
            return self.reclaim();
        }
        if self.percent(20) {
            return self.clean();
        }
        if self.percent(12) {
            return self.relocate();
        }
        if !self.percent(15) {
            return self.change();
        }
        self.pool.begin_group();
        for _ in 0..self.rng.usize(1..5) {
            self.change()?;
        }
        self.pool.end_group()
    }

    /// A transaction, committed or dropped.
    fn change(&mut self) -> Result<()> {
        let (exchanges, keep) = (self.percent(15), !self.percent(10));
        let target = (!exchanges).then_some(usize::from(self.percent(25)));
        if self.mistake == Some(Mistake::LinkedFirst) {
            self.link_first(target)?;
        }
        let before = self.contents();
        let mut tx = self.pool.begin();
        let given_up = change::<S>(&mut tx, &mut self.rng, &mut self.values, target)?;
        let dead = retire_value(&mut tx, S::TYPE, given_up)?;
        if self.mistake == Some(Mistake::LinkedLast) {
            tx.commit()?;
            tx = self.pool.begin();
        }
        for ((value, (old, _)), record) in self.values.iter().zip(&before).zip(self.records) {
            record::set_root(&mut tx, record, *old, value.root)?;
        }
        if keep || self.mistake.is_some() {
            tx.commit()?;
            self.dead.extend(dead);
            return Ok(());
        }
        drop(tx);
        self.set_contents(before);
        Ok(())
    }

    /// Sets the roots to what a change that comes next will make them.
    fn link_first(&mut self, target: Option<usize>) -> Result<()> {
        let (rng, before) = (self.rng.clone(), self.contents());
        let mut tx = self.pool.begin();
        change::<S>(&mut tx, &mut self.rng, &mut self.values, target)?;
        drop(tx);
        let mut tx = self.pool.begin();
        for ((value, (old, _)), record) in self.values.iter().zip(&before).zip(self.records) {
            record::set_root(&mut tx, record, *old, value.root)?;
        }
        tx.commit()?;
        self.rng = rng;
        self.set_contents(before);
        Ok(())
    }

    fn contents(&self) -> [(Root, S::Model); 2] {
        self.values
            .each_ref()
            .map(|value| (value.root, value.model.clone()))
    }

    fn set_contents(&mut self, contents: [(Root, S::Model); 2]) {
        for (value, (root, model)) in self.values.iter_mut().zip(contents) {
            (value.root, value.model) = (root, model);
        }
    }

    /// Frees some of the garbage of the values that live.
    fn clean(&mut self) -> Result<()> {
        for (value, record) in self.values.iter_mut().zip(self.records) {
            if has_garbage(S::TYPE, value.root) {
                let old = value.root;
                let mut tx = self.pool.begin();
                structures::of(S::TYPE).clean(&mut tx, &mut value.root)?;
                record::set_root(&mut tx, record, old, value.root)?;
                tx.commit()?;
                break;
            }
        }
        Ok(())
    }

    /// Moves objects of one value away from where some of them lie, which changes nothing of what
    /// there is.
    fn relocate(&mut self) -> Result<()> {
        let nth = self.rng.usize(..self.values.len());
        let (value, record) = (&mut self.values[nth], self.records[nth]);
        let mut objects = Vec::new();
        structures::of(S::TYPE).check(&self.pool, value.root, value.inline, &mut |object| {
            objects.push(object);
        })?;
        for _ in 0..self.rng.usize(1..4) {
            if let Some(&object) = self.rng.choice(&objects) {
                self.pool.evacuate(object);
            }
        }
        let budget = *self.rng.choice(&[1, 60, 1000]).expect("not empty");
        let (mut cursor, mut batches) = (Cursor::default(), self.rng.usize(1..60));
        while batches > 0 {
            batches -= 1;
            let old = value.root;
            let mut tx = self.pool.begin();
            let mut mover = Mover::new(&mut tx, budget);
            let next = structures::of(S::TYPE).relocate(&mut mover, &mut value.root, cursor)?;
            let linked_late = self.mistake == Some(Mistake::LinkedLast);
            if linked_late {
                tx.commit()?;
                tx = self.pool.begin();
            }
            record::set_root(&mut tx, record, old, value.root)?;
            tx.commit()?;
            match next {
                Some(next) => cursor = next,
                None => break,
            }
        }
        self.pool.end_evacuation();
        Ok(())
    }

    /// Frees a part of what was given up.
    fn reclaim(&mut self) -> Result<()> {
        let budget = self.rng.usize(1..64);
        let record = self.dead[0];
        if reclaim_some(&mut self.pool, record, budget)? {
            self.dead.pop_front();
        }
        Ok(())
    }

    /// Frees all there is, values and records, a step at a time.
    pub(super) fn free_all(mut self) -> Result<Pool> {
        let records = self
            .records
            .into_iter()
            .chain(std::mem::take(&mut self.dead));
        for record in records {
            while !reclaim_some(&mut self.pool, record, self.rng.usize(1..300))? {}
        }
        Ok(self.pool)
    }
}

/// Changes the `target`th value, or moves something between both; gives what is given up.
fn change<S: Structure>(
    tx: &mut Tx<'_>,
    rng: &mut Rng,
    values: &mut [Value<S::Model>; 2],
    target: Option<usize>,
) -> Result<Root> {
    match target {
        Some(nth) => S::change(tx, rng, &mut values[nth]),
        None => S::exchange(tx, rng, values).map(|()| Root::EMPTY),
    }
}

/// Frees a part of a record's value, or the rest with the record: true then.
pub(crate) fn reclaim_some(pool: &mut Pool, record: RecordPtr, budget: usize) -> Result<bool> {
    let head = *record::get(pool, record)?;
    let mut root = head.root;
    let mut tx: Tx<'_> = pool.begin();
    let done = structures::of(head.value_type()?).dismantle(&mut tx, &mut root, budget)?;
    if done {
        tx.free(record)?
    } else {
        record::set_root(&mut tx, record, head.root, root)?
    }
    tx.commit()?;
    Ok(done)
}
