//! The same in a pool that is full, or nearly so: what finds no room changes nothing, and what must
//! not fail does not.

use fastrand::Rng;
use pobj::{Error, Result};
use store::expiry::KEY_NEVER;
use store::place::Outcome;

use store::structures::Root;
use store::structures::string;
use store::value::ValueType;

use super::content;
use super::keyspace::{Key, Keyspace, Name};
use crate::POOL_BYTES;

/// Lengths of the values that fill a pool, one after the other.
const FILLING: [usize; 5] = [300_000, 40_000, 5_000, 600, 40];
/// Those that a step tries to add.
const ADDED: [usize; 4] = [100_000, 20_000, 2_000, 100];

/// The keys that fill the pool.
fn filler(n: usize) -> Name {
    (0, format!("filler:{n}").into_bytes())
}

impl Keyspace {
    /// Fills the pool, and makes a little room again, or none.
    pub fn fill(&mut self, rng: &mut Rng) -> Result<()> {
        for len in FILLING {
            while self.fits(|this| this.add_filler(rng, len))? {}
        }
        for _ in 0..rng.usize(..4) {
            self.drop_filler(rng)?;
        }
        self.reclaim_all()
    }

    /// Does one step, where there may be no room for it.
    pub(crate) fn act_when_full(&mut self, rng: &mut Rng) -> Result<()> {
        match rng.u32(..20) {
            0..2 => {
                let len = *rng.choice(&ADDED).expect("not empty");
                self.fits(|this| this.add_filler(rng, len)).map(drop)
            }
            2..4 => self.drop_filler(rng),
            4..9 => self.fits(|this| this.act_as_group(rng)).map(drop),
            _ => self.fits(|this| this.act_alone(rng)).map(drop),
        }
    }

    /// Does one step, which is to delete a key if more than a quarter of the pool is in use: a
    /// group may copy large values several times.
    pub fn act_with_room(&mut self, rng: &mut Rng) -> Result<()> {
        let is_tight = |this: &Self| this.store.pool.usage().used > POOL_BYTES / 4;
        if is_tight(self) {
            self.reclaim_all()?;
        }
        if is_tight(self) {
            return self.delete(rng);
        }
        self.act(rng)
    }

    /// A group of commands, which may have half of what is kept back.
    fn act_as_group(&mut self, rng: &mut Rng) -> Result<()> {
        self.store.begin_group();
        if rng.bool() {
            self.store.pool.lend_to_group();
        }
        for _ in 0..rng.usize(1..6) {
            match rng.u32(..4) {
                0 => {
                    let len = *rng.choice(&ADDED).expect("not empty");
                    self.add_filler(rng, len)?;
                }
                _ => self.change_key(rng)?,
            }
        }
        self.store.end_group()
    }

    /// Whether there is room for what `f` does: if not, all is as before, a group as a whole.
    fn fits(&mut self, f: impl FnOnce(&mut Self) -> Result<()>) -> Result<bool> {
        let before = self
            .keys
            .iter()
            .map(|(name, key)| (name.clone(), key.again()));
        let before = before.collect();
        match f(self) {
            Ok(()) => Ok(true),
            Err(Error::Full(_)) => {
                self.keys = before;
                if self.store.pool.in_group() {
                    self.store.roll_back_group()?;
                    self.store.end_group()?;
                }
                self.store.pool.keep_reserve()?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn add_filler(&mut self, rng: &mut Rng, len: usize) -> Result<()> {
        let free = (0..).map(filler).find(|name| !self.keys.contains_key(name));
        let name = free.expect("there are enough numbers");
        let bytes: Vec<u8> = vec![rng.u8(..); len];
        let creation = self.store.creation(name.0, KEY_NEVER)?;
        let mut outcome = Outcome::Nothing;
        let value = string::Value::of(&bytes);
        let key = (name.1.as_slice(), ValueType::String, creation);
        (self.store).put(key, None, value.inline_len(), &mut outcome, |tx, inline| {
            let mut root = Root::EMPTY;
            string::set(tx, &mut root, inline, value)?;
            Ok(root)
        })?;
        self.follow(name, outcome, content::string(bytes), KEY_NEVER);
        Ok(())
    }

    fn drop_filler(&mut self, rng: &mut Rng) -> Result<()> {
        let fillers: Vec<Name> = self
            .keys
            .keys()
            .filter(|name| name.1.len() > 1)
            .cloned()
            .collect();
        rng.choice(&fillers)
            .map_or(Ok(()), |name| self.retire(name))
    }
}

impl Key {
    /// Another one of the same record and content.
    fn again(&self) -> Key {
        Key {
            record: self.record,
            content: self.content.again(),
            expire_at: self.expire_at,
        }
    }
}
