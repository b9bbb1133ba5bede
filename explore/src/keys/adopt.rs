//! A native key becomes a PM key: its value, read whole, is built in the pool as one step.

use fastrand::Rng;
use pobj::Result;
use store::content::Content;
use store::place::Outcome;
use store::record;
use store::structures::limits::AllLimits;

use super::keyspace::Keyspace;

impl Keyspace {
    /// Adopts a native key, whose value is what another key has.
    pub(super) fn adopt(&mut self, rng: &mut Rng) -> Result<()> {
        let (name, model) = (Self::name(rng), self.existing(rng));
        let Some(model) = model.filter(|_| !self.keys.contains_key(&name)) else {
            return Ok(());
        };
        let key = &self.keys[&model];
        // No native key is without elements.
        let Some(native) = self.native_of(key.record)? else {
            return Ok(());
        };
        let content = key.content.again();
        let expire_at = Self::any_time(rng);
        let creation = self.store.creation(name.0, expire_at)?;
        let mut outcome = Outcome::Nothing;
        let place = (name.1.as_slice(), native.ty, creation);
        let inline = native.inline_len();
        (self.store).put(place, None, inline, &mut outcome, |tx, inline| {
            native.build(tx, AllLimits::DEFAULT, inline)
        })?;
        self.follow(name, outcome, content, expire_at);
        Ok(())
    }

    /// The value of a record, outside of the pool; nothing of one that has no elements.
    fn native_of(&self, record: record::RecordPtr) -> Result<Option<Content<Vec<u8>>>> {
        let pool = &self.store.pool;
        let head = record::get(pool, record)?;
        let inline = record::inline(pool, record)?;
        match Content::read(pool, head.value_type()?, head.root, inline) {
            (_, Some(error)) => Err(error),
            (content, None) => Ok(content),
        }
    }
}
