//! A pool with the values that an operation works on.

use super::{Change, Effect, Form, Operation, Run, text};
use crate::measure::shuffle;
use pobj::Result;
use store::expiry::KEY_NEVER;
use store::layout::pool_at;
use store::record::{self, RecordPtr};
use store::structures::Root;
use tempfile::TempDir;

/// Room for the values of any operation.
const POOL_LEN: u64 = 96 << 20;

/// A pool on tmpfs with the values that an operation works on.
pub struct Store {
    engine: store::Store,
    operation: Operation,
    keys: Vec<RecordPtr>,
    /// Elements of a full value.
    elements: usize,
    /// The element of each step of a value.
    order: Vec<usize>,
    _place: TempDir,
}

impl Store {
    /// A store for so many steps at most, ready for the first one; fewer if the form's limit is
    /// below.
    ///
    /// # Errors
    /// Those of the pool.
    ///
    /// # Panics
    /// If there is no directory on tmpfs.
    pub fn new(operation: &Operation, steps: usize) -> Result<Store> {
        let place = tempfile::tempdir_in("/dev/shm").expect("a directory on tmpfs");
        let options = pool_at(place.path().join("engine.pool")).size(POOL_LEN);
        let form = operation.form;
        let steps = steps.min(form.steps);
        let elements = form.elements.unwrap_or(steps);
        // Making and deleting take a whole value in one step.
        let each = match operation.run {
            Run::Make | Run::Delete => 1,
            _ => elements,
        };
        let mut order: Vec<usize> = (0..each).collect();
        shuffle(&mut order);
        let mut store = Store {
            engine: store::Store::open(&options, |_, _, _| Ok(()))?,
            operation: *operation,
            keys: Vec::with_capacity(steps),
            elements,
            order,
            _place: place,
        };
        if !matches!(operation.run, Run::Make) {
            for key in 0..steps / each {
                store.make(key, operation.effect != Effect::Grows)?;
            }
            shuffle(&mut store.keys);
        }
        Ok(store)
    }

    /// Steps until the values are full, empty, or all were used once.
    pub fn steps(&self) -> usize {
        match self.operation.run {
            Run::Make => self.keys.capacity(),
            _ => self.keys.len() * self.order.len(),
        }
    }

    /// Does step `number` (below [`Store::steps`]): one operation.
    ///
    /// # Errors
    /// Those of the structure and the pool.
    #[inline]
    pub fn step(&mut self, number: usize) -> Result<u64> {
        match self.operation.run {
            Run::Make => self.make(number, true)?,
            Run::Delete => self.engine.retire(self.keys[number])?,
            Run::Read(read) => {
                let (record, element) = self.place(number);
                let pool = &self.engine.pool;
                let (root, inline) = record::value(pool, record)?;
                return read(pool, root, inline, element);
            }
            Run::Change(change) => {
                let (record, element) = self.place(number);
                self.change(record, change, element)?;
            }
        }
        Ok(0)
    }

    /// The key and the element of a step: the first element of each value, then the second of each.
    fn place(&self, number: usize) -> (RecordPtr, usize) {
        let keys = self.keys.len();
        (self.keys[number % keys], self.order[number / keys])
    }

    /// Makes a key with a full or an empty value.
    fn make(&mut self, number: usize, full: bool) -> Result<()> {
        let Form {
            ty, inline, add, ..
        } = *self.operation.form;
        let name = text(number);
        let creation = self.engine.creation(0, KEY_NEVER)?;
        let mut tx = self.engine.pool.begin();
        let record = record::create(&mut tx, (&name, ty, creation), inline, |tx, inline| {
            let mut root = Root::EMPTY;
            if full {
                add(tx, &mut root, inline, 0)?;
            }
            Ok(root)
        })?;
        tx.commit()?;
        if full {
            (1..self.elements).try_for_each(|element| self.change(record, add, element))?;
        }
        self.keys.push(record);
        Ok(())
    }

    #[inline]
    fn change(&mut self, record: RecordPtr, change: Change, element: usize) -> Result<()> {
        let mut tx = self.engine.pool.begin();
        let (old, inline) = record::value(&tx, record)?;
        let mut root = old;
        change(&mut tx, &mut root, inline, element)?;
        record::set_root(&mut tx, record, old, root)?;
        tx.commit()
    }
}
