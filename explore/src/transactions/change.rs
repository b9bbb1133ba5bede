//! The changes of one transaction, made to the pool and to the model.

use fastrand::Rng;
use pobj::Tx;
use store::layout::{DATA, RECORD};

use super::model::{HEAD, Model, Object, WORDS, pointer};
use super::{Flavour, Mistake};

/// Bytes in objects above which a workload frees rather than allocates.
const BYTES_MAX: usize = 2 << 20;

pub(super) fn content(rng: &mut Rng, len: usize) -> Vec<u8> {
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}

/// The changes of one transaction, made to the pool and to the model.
pub(super) struct Change<'a, 'p> {
    pub tx: &'a mut Tx<'p>,
    pub model: &'a mut Model,
    pub rng: &'a mut Rng,
    pub flavour: Flavour,
    pub mistake: Option<Mistake>,
    /// Objects changed in this step: they are left alone until the next, as it cannot see them.
    pub touched: Vec<u64>,
    /// Those of them that this step has made.
    pub fresh: Vec<u64>,
}

impl Change<'_, '_> {
    pub(super) fn all(&mut self, steps: usize) -> pobj::Result<()> {
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
        let kind = if self.rng.bool() { DATA } else { RECORD };
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
            Some(Mistake::FilledInsteadOfWritten) => self.tx.fill_unused(target, &bytes),
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
