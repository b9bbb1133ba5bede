//! Random transactions on a pool without a structure: what `pobj` promises, whatever is built on it.
//!
//! An object begins with a word that says how many bytes of it count; what lies behind them is spare,
//! and appending fills it. A step of the workload is one acknowledged change: a transaction, with or
//! without steps of its own, kept or dropped; a held group of them; or a trim.

use std::collections::BTreeMap;
use std::path::Path;

use fastrand::Rng;
use pobj::{Cursor, Error, Kind, PPtr, Pool, PoolOptions, Tx};
use powercut::{Progress, Recovery, Steps, Workload};

use crate::closer::Closer;
use crate::states::{Description, States, digest};

/// Bytes of an object before those that count: their number.
const HEAD: usize = 8;
/// User words that the transactions change.
const WORDS: usize = 4;
/// Bytes in objects above which a workload frees rather than allocates.
const BYTES_MAX: usize = 2 << 20;

/// What a workload does most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Everything.
    Mixed,
    /// Small transactions, one redo record each.
    Small,
    /// Transactions of several steps and held groups, some taken back.
    Groups,
    /// Objects that libpmemobj places, and pages that come and go.
    Large,
    /// Batches beyond a record, groups beyond the first segment of the undo log.
    Overflow,
}

/// All flavours.
pub const FLAVOURS: [Flavour; 5] = [
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
    /// A group is acknowledged before it is released.
    AcknowledgedBeforeReleased,
}

/// All mistakes.
pub const MISTAKES: [Mistake; 4] = [
    Mistake::PublishedBeforeFilled,
    Mistake::FreedBeforeUnlinked,
    Mistake::FilledInsteadOfWritten,
    Mistake::AcknowledgedBeforeReleased,
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
        let mut actor = Actor::new(self, open(pool).expect("the pool opens"));
        let mut states = States::default();
        states.push(actor.describe());
        for _ in 0..self.steps {
            steps.step(|| actor.act());
            if self.mistake == Some(Mistake::AcknowledgedBeforeReleased) {
                actor.pool.release().expect("the group is small");
            }
            states.push(actor.describe());
        }
        let path = States::path_for(pool);
        states.write(&path).expect("the directory is writable");
    }
}

fn open(path: &Path) -> Result<Pool, String> {
    Pool::open(&PoolOptions::new(path)).map_err(|error| error.to_string())
}

#[derive(Clone)]
struct Object {
    kind: Kind,
    /// Those that count.
    bytes: Vec<u8>,
}

#[derive(Clone, Default)]
struct Model {
    objects: BTreeMap<u64, Object>,
    words: [u64; WORDS],
    /// The object that was overwritten last.
    last_changed: u64,
}

impl Model {
    fn total(&self) -> usize {
        self.objects.values().map(|object| object.bytes.len()).sum()
    }
}

fn pointer(offset: u64) -> PPtr<u8> {
    PPtr::new(offset).expect("no object is at offset zero")
}

fn line(offset: u64, kind: Kind, bytes: &[u8]) -> String {
    format!("{offset:#x} {kind:?} {}", digest(bytes))
}

/// The lines after those of the objects.
fn totals(words: [u64; WORDS], used: u64) -> [String; 2] {
    [format!("words {words:x?}"), format!("used {used}")]
}

/// Works on a pool and knows what it must hold.
struct Actor {
    pool: Pool,
    model: Model,
    rng: Rng,
    flavour: Flavour,
    mistake: Option<Mistake>,
}

impl Actor {
    fn new(workload: &Transactions, pool: Pool) -> Actor {
        Actor {
            pool,
            model: Model::default(),
            rng: Rng::with_seed(workload.seed),
            flavour: workload.flavour,
            mistake: workload.mistake,
        }
    }

    /// What the pool must hold now; also makes sure that this process sees it.
    fn describe(&self) -> Description {
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
    fn act(&mut self) {
        match self.mistake {
            Some(Mistake::PublishedBeforeFilled) => return self.publish_then_fill(),
            Some(Mistake::FreedBeforeUnlinked) => return self.free_then_unlink(),
            Some(Mistake::AcknowledgedBeforeReleased) => {
                self.pool.hold();
                return self.transact(0, true);
            }
            Some(Mistake::FilledInsteadOfWritten) | None => {}
        }
        let [held, stepped, dropped, trimmed] = match self.flavour {
            Flavour::Mixed => [12, 20, 12, 4],
            Flavour::Small => [0, 0, 5, 0],
            Flavour::Groups => [50, 50, 25, 2],
            Flavour::Large => [8, 10, 10, 25],
            Flavour::Overflow => [30, 40, 15, 0],
        };
        if self.percent(trimmed) {
            self.pool.trim(usize::MAX).expect("pages can be given back");
        } else if self.percent(held) {
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
        let before = self.model.clone();
        self.pool.hold();
        for _ in 0..self.rng.usize(1..6) {
            self.act_once(stepped, dropped);
        }
        match self.pool.release() {
            Ok(()) => {}
            Err(Error::Full(_) | Error::Pmdk { .. }) => self.model = before,
            Err(error) => panic!("{error}"),
        }
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
            .alloc((HEAD + bytes.len()) as u64, Kind::Data)
            .expect("there is room");
        tx.fill(ptr, &(bytes.len() as u64).to_le_bytes())
            .expect("it is ours");
        tx.commit().expect("it is small");
        let mut tx = self.pool.begin();
        tx.fill(ptr.at(HEAD as u64), &bytes).expect("it is ours");
        tx.commit().expect("it is small");
        self.model.objects.insert(
            ptr.offset(),
            Object {
                kind: Kind::Data,
                bytes,
            },
        );
    }

    /// A word stands for the link.
    fn free_then_unlink(&mut self) {
        let Some(offset) = self.model.objects.keys().next().copied() else {
            let bytes = content(&mut self.rng, 100);
            let mut tx = self.pool.begin();
            let ptr = tx
                .alloc((HEAD + bytes.len()) as u64, Kind::Data)
                .expect("there is room");
            tx.fill(ptr, &(bytes.len() as u64).to_le_bytes())
                .expect("it is ours");
            tx.fill(ptr.at(HEAD as u64), &bytes).expect("it is ours");
            tx.set(tx.user_word(0), ptr.offset()).expect("it is a word");
            tx.commit().expect("it is small");
            self.model.words[0] = ptr.offset();
            self.model.objects.insert(
                ptr.offset(),
                Object {
                    kind: Kind::Data,
                    bytes,
                },
            );
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

fn content(rng: &mut Rng, len: usize) -> Vec<u8> {
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}

/// The changes of one transaction, made to the pool and to the model.
struct Change<'a, 'p> {
    tx: &'a mut Tx<'p>,
    model: &'a mut Model,
    rng: &'a mut Rng,
    flavour: Flavour,
    mistake: Option<Mistake>,
    /// Objects changed in this step: they are left alone until the next, as it cannot see them.
    touched: Vec<u64>,
    /// Those of them that this step has made.
    fresh: Vec<u64>,
}

impl Change<'_, '_> {
    fn all(&mut self, steps: usize) -> pobj::Result<()> {
        for step in 0..=steps {
            if step > 0 {
                self.tx.step()?;
                self.touched.clear();
                self.fresh.clear();
            }
            for _ in 0..self.rng.usize(1..5) {
                self.one()?;
            }
        }
        Ok(())
    }

    fn one(&mut self) -> pobj::Result<()> {
        let is_crowded = self.model.total() > BYTES_MAX || self.model.objects.len() > 60;
        match self.rng.u32(..20) {
            0..6 if !is_crowded => self.allocate(),
            0..10 => self.overwrite(),
            10..13 => self.append(),
            13 => self.truncate(),
            14..16 => self.set_word(),
            _ => self.free(),
        }
    }

    /// How many bytes a new object has.
    fn length(&mut self) -> usize {
        let large = match self.flavour {
            Flavour::Mixed => 5,
            Flavour::Small | Flavour::Groups => 0,
            Flavour::Large => 60,
            Flavour::Overflow => 30,
        };
        if self.rng.u32(..100) < large {
            return *self
                .rng
                .choice(&[33_000, 120_000, 140_000, 200_000, 400_000, 600_000])
                .expect("not empty");
        }
        match self.rng.u32(..20) {
            0 => 5000,
            1..4 => 1000,
            4..8 => 300,
            _ => self.rng.usize(1..120),
        }
    }

    fn allocate(&mut self) -> pobj::Result<()> {
        let kind = if self.rng.bool() {
            Kind::Data
        } else {
            Kind::Record
        };
        let len = self.length();
        let bytes = content(self.rng, len);
        let spare = if self.rng.bool() {
            self.rng.usize(..100)
        } else {
            0
        };
        let ptr = self.tx.alloc((HEAD + len + spare) as u64, kind)?;
        self.tx.fill(ptr, &(len as u64).to_le_bytes())?;
        let first = self.rng.usize(..=len);
        self.tx.fill(ptr.at(HEAD as u64), &bytes[..first])?;
        self.tx
            .fill(ptr.at((HEAD + first) as u64), &bytes[first..])?;
        let old = self
            .model
            .objects
            .insert(ptr.offset(), Object { kind, bytes });
        assert!(old.is_none(), "fresh memory is nobody else's");
        self.touched.push(ptr.offset());
        self.fresh.push(ptr.offset());
        Ok(())
    }

    /// An object that this step has not changed, which it changes now.
    fn pick(&mut self) -> Option<u64> {
        let nth = self.rng.usize(..self.model.objects.len().max(1));
        let offset = *self.model.objects.keys().nth(nth)?;
        self.pick_this(offset)
    }

    fn pick_this(&mut self, offset: u64) -> Option<u64> {
        if self.touched.contains(&offset) || !self.model.objects.contains_key(&offset) {
            return None;
        }
        self.touched.push(offset);
        Some(offset)
    }

    fn overwrite(&mut self) -> pobj::Result<()> {
        let Some(offset) = self.pick() else {
            return Ok(());
        };
        self.model.last_changed = offset;
        let object = self.model.objects.get_mut(&offset).expect("it was picked");
        let from = self.rng.usize(..object.bytes.len());
        let longest = if self.flavour == Flavour::Overflow {
            50_000
        } else {
            600
        };
        let len = self.rng.usize(1..=(object.bytes.len() - from).min(longest));
        let bytes = content(self.rng, len);
        object.bytes[from..from + len].copy_from_slice(&bytes);
        let target = pointer(offset).at((HEAD + from) as u64);
        match self.mistake {
            Some(Mistake::FilledInsteadOfWritten) => self.tx.fill(target, &bytes),
            _ => self.tx.write(target, &bytes),
        }
    }

    fn append(&mut self) -> pobj::Result<()> {
        let Some(offset) = self.pick() else {
            return Ok(());
        };
        let object = self.model.objects.get_mut(&offset).expect("it was picked");
        let room = self.tx.capacity(pointer(offset))? as usize - HEAD - object.bytes.len();
        let len = self.rng.usize(..=room.min(200));
        let bytes = content(self.rng, len);
        let at = (HEAD + object.bytes.len()) as u64;
        object.bytes.extend(&bytes);
        self.tx.fill_spare(pointer(offset).at(at), &bytes)?;
        self.tx
            .set(pointer(offset).cast(), object.bytes.len() as u64)
    }

    fn truncate(&mut self) -> pobj::Result<()> {
        let Some(offset) = self.pick() else {
            return Ok(());
        };
        let object = self.model.objects.get_mut(&offset).expect("it was picked");
        let len = self.rng.usize(1..=object.bytes.len());
        object.bytes.truncate(len);
        self.tx.set(pointer(offset).cast(), len as u64)
    }

    fn set_word(&mut self) -> pobj::Result<()> {
        let (index, value) = (self.rng.usize(..WORDS), self.rng.u64(..));
        self.model.words[index] = value;
        self.tx.set(self.tx.user_word(index), value)
    }

    /// Frees an object: any, the one that was changed last, or one that this very step has made.
    fn free(&mut self) -> pobj::Result<()> {
        let chosen = match self.rng.u32(..4) {
            0 if !self.fresh.is_empty() => {
                let nth = self.rng.usize(..self.fresh.len());
                Some(self.fresh.swap_remove(nth))
            }
            1 => self.pick_this(self.model.last_changed),
            _ => self.pick(),
        };
        let Some(offset) = chosen else {
            return Ok(());
        };
        self.model.objects.remove(&offset);
        self.tx.free(pointer(offset))
    }
}

/// What a pool holds.
fn describe(pool: &Pool) -> pobj::Result<Description> {
    let mut objects = BTreeMap::new();
    for kind in [Kind::Data, Kind::Record] {
        let mut cursor = Cursor::default();
        while let Some((ptr, next)) = pool.next_object(kind, cursor) {
            let len = *pool.get(ptr.cast::<u64>())?;
            let bytes = pool.bytes(ptr.at(HEAD as u64), len)?;
            objects.insert(ptr.offset(), line(ptr.offset(), kind, bytes));
            cursor = next;
        }
    }
    let mut state: Description = objects.into_values().collect();
    let mut words = [0; WORDS];
    for (index, word) in words.iter_mut().enumerate() {
        *word = *pool.get(pool.user_word(index))?;
    }
    state.extend(totals(words, pool.usage().used));
    Ok(state)
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

fn read_model(pool: &Pool) -> pobj::Result<Model> {
    let mut model = Model::default();
    for kind in [Kind::Data, Kind::Record] {
        let mut cursor = Cursor::default();
        while let Some((ptr, next)) = pool.next_object(kind, cursor) {
            let len = *pool.get(ptr.cast::<u64>())?;
            let bytes = pool.bytes(ptr.at(HEAD as u64), len)?.to_vec();
            model.objects.insert(ptr.offset(), Object { kind, bytes });
            cursor = next;
        }
    }
    for (index, word) in model.words.iter_mut().enumerate() {
        *word = *pool.get(pool.user_word(index))?;
    }
    Ok(model)
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
