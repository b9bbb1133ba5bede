//! Compaction of the keyspace, as the store ships it.

use fastrand::Rng;
use pobj::{PPtr, Result};
use store::compact::{Leaving, Step};
use store::record;
use store::structures;

use super::keyspace::Keyspace;

impl Keyspace {
    /// Some steps of compaction. What it is to empty are pages with objects of some keys: few in a
    /// small pool are sparse enough.
    pub(super) fn compact(&mut self, rng: &mut Rng) -> Result<()> {
        if !self.store.is_compacting() {
            for object in self.objects(rng)? {
                self.store.pool.evacuate(object);
            }
            self.store.begin_round_of_chosen();
        }
        for _ in 0..rng.usize(1..20) {
            if !self.store.may_move() {
                return Ok(());
            }
            match self.store.compact_step() {
                Step::More => {}
                Step::Move(leaving) => self.move_records(&leaving)?,
                Step::Over(ended) => return ended.error.map_or(Ok(()), Err),
            }
        }
        Ok(())
    }

    /// The records of some keys, and some objects of their values.
    fn objects(&self, rng: &mut Rng) -> Result<Vec<PPtr<u8>>> {
        let pool = &self.store.pool;
        let mut objects = Vec::new();
        for key in self.keys.values() {
            if rng.bool() {
                objects.push(key.record.cast());
            }
            let head = record::get(pool, key.record)?;
            let inline = record::inline(pool, key.record)?;
            structures::of(head.value_type()?).check(pool, head.root, inline, &mut |object| {
                if rng.u8(..4) == 0 {
                    objects.push(object);
                }
            })?;
        }
        Ok(objects)
    }

    /// Points keys at the new places of their records.
    fn move_records(&mut self, leaving: &[Leaving]) -> Result<()> {
        let records: Vec<_> = leaving.iter().map(|leaving| leaving.record).collect();
        let moved = self.store.move_records(&records)?;
        for (old, new) in records.into_iter().zip(moved) {
            let mut keys = self.keys.values_mut();
            if let (Some(new), Some(key)) = (new, keys.find(|key| key.record == old)) {
                key.record = new;
            }
        }
        Ok(())
    }
}
