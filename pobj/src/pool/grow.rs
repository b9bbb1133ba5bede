//! How a pool that is open grows, by itself or as it is told to (see `growth`).

use super::Pool;
use crate::alloc::run::GRANULE;
use crate::error::{Error, Result};
use crate::file::{HEAP_OFFSET_AT, HEAP_SIZE_AT};
use crate::growth::{GrowthEvent, make_parts, step};
use crate::set::{self, UNIT};
use std::time::{Duration, Instant};

/// How long it does not try again by itself after it could not grow.
const REST: Duration = Duration::from_secs(10);
/// libpmemobj's zones and chunks, and the table of an extent, take this of a new part at most, and
/// one part in [`META_PART`].
const META: u64 = 2 << 20;
const META_PART: u64 = 256;

impl Pool {
    /// The size that the pool can reach while it is open, in bytes; its present one if it does not
    /// grow.
    pub fn size_max(&self) -> u64 {
        let len = self.medium.len();
        match self.growth.set {
            Some(_) => self.growth.limit.max(len),
            None => len,
        }
    }

    /// What has become of the pool's size since this was asked last.
    pub fn take_growth_events(&mut self) -> Vec<GrowthEvent> {
        std::mem::take(&mut self.growth.events)
    }

    /// Makes the pool larger by `bytes`, rounded up to 2 MiB; by a step of its own choice, or as
    /// much of it as there is, without a number. Its new size. All blocks are there when this
    /// returns.
    ///
    /// # Errors
    /// `State` if the pool does not grow, or not as far; `NoSpace` if the file system has no room.
    /// Nothing has changed then.
    pub fn grow(&mut self, bytes: Option<u64>) -> Result<u64> {
        let from = self.medium.len();
        let (wanted, least) = match bytes {
            Some(bytes) => (bytes, bytes),
            None => (step(from), UNIT),
        };
        self.extend(wanted, least)?;
        self.growth.refused = None;
        let to = self.medium.len();
        self.growth.events.push(GrowthEvent::Grown { from, to });
        Ok(to)
    }

    /// Grows to `size` bytes, if the pool has less and can.
    pub(super) fn grow_to(&mut self, size: u64) {
        let missing = size.saturating_sub(self.medium.len());
        if self.growth.set.is_some()
            && missing >= UNIT
            && let Err(error) = self.grow(Some(missing))
        {
            self.growth.events.push(GrowthEvent::Refused(error));
        }
    }

    /// Grows so that a run of `granules` fits, if the pool can; whether it has grown.
    #[cold]
    pub(super) fn grow_for(&mut self, granules: u64) -> bool {
        let from = self.medium.len();
        let rests = |at: Instant| at.elapsed() < REST;
        if self.growth.set.is_none()
            || self.growth.limit < from + UNIT
            || self.growth.refused.is_some_and(rests)
        {
            return false;
        }
        let bytes = granules.saturating_mul(GRANULE);
        let least = bytes.saturating_add(META + bytes / META_PART);
        let event = match self.extend(step(from).max(least), least) {
            Ok(()) => GrowthEvent::Grown {
                from,
                to: self.medium.len(),
            },
            // One object that is too large says nothing of the others.
            Err(Error::State(_)) => return false,
            Err(error) => {
                self.growth.refused = Some(Instant::now());
                GrowthEvent::Refused(error)
            }
        };
        let has_grown = matches!(event, GrowthEvent::Grown { .. });
        self.growth.events.push(event);
        has_grown
    }

    /// Grows by `wanted` bytes, or less if there is no more, but by `least` at least.
    fn extend(&mut self, wanted: u64, least: u64) -> Result<()> {
        let (len, limit) = (self.medium.len(), self.growth.limit);
        let Some(set) = &self.growth.set else {
            let why = if self.growth.is_in_parts {
                self.advice.fixed_parts
            } else {
                self.advice.fixed_size
            };
            return Err(Error::State(format!(
                "the pool keeps its size while it is open: {why}"
            )));
        };
        let units = |bytes: u64| bytes.div_ceil(UNIT).saturating_mul(UNIT).max(UNIT);
        let (least, most) = (units(least), limit.saturating_sub(len) / UNIT * UNIT);
        if most < least {
            return Err(Error::State(format!(
                "the pool has {len} bytes and cannot become larger than {limit}"
            )));
        }
        let paths = set.parts_at(self.growth.next.0, self.growth.next.1);
        let size = make_parts(&paths, units(wanted).min(most), least)?;
        self.medium.complete_commit();
        if let Err(error) = self.heap.extend(size) {
            // What libpmemobj thinks its next part is called is not certain any more.
            self.growth.set = None;
            for path in &paths {
                set::remove_part(path)?;
            }
            return Err(error);
        }
        self.growth.next.0 += 1;
        self.growth.next.1 += 1;
        let word = |at: usize| self.medium.word(at as u64);
        let len = word(HEAP_OFFSET_AT)?.saturating_add(word(HEAP_SIZE_AT)?);
        self.medium.grow(len);
        self.slab.grow(len);
        self.take_extents()
    }
}
