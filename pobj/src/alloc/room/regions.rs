//! Regions: stretches of granules that are emptied, so that free room lies together.
//!
//! While regions are emptied, what is free in them is *held*: nobody takes it. What is moved away
//! fills gaps of its size, or is packed, one behind the other, so that moving leaves few new gaps.

use super::{Access, Room};
use crate::alloc::free::FreeRuns;
use crate::alloc::run::{GRANULE, Run};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Granules of a region: they are aligned in the pool.
pub(in crate::alloc) const REGION: u64 = 512;
/// Granules of the longest run that is moved, as one batch copies it.
pub(in crate::alloc) const MOVE_MAX: u64 = 1024;
/// Granules of a mebibyte: what is free in longer runs serves objects up to that size.
pub(in crate::alloc) const MEBIBYTE: u64 = 256;
/// What may be wasted of what is free.
const WASTED_PART: u64 = 64;
/// So many of the longest free runs are looked at for a place outside of a region.
const LONGEST_RUNS: usize = 4;

/// The regions that are being emptied.
#[derive(Default)]
pub(super) struct Held {
    /// By number.
    regions: BTreeSet<u64>,
    /// Granules in them that can be free.
    capacity: u64,
    /// What is free in them.
    runs: FreeRuns,
    /// Behind what has moved last.
    packed: u64,
}

/// What is known of a region, in granules.
#[derive(Clone, Copy, Default)]
pub(in crate::alloc) struct Region {
    pub used: u64,
    pub free: u64,
    /// Of what is free, that in pieces that a mebibyte does not fill.
    pub wasted: u64,
    /// The longest page or large object that lies there, if only in part.
    pub longest: u64,
    /// Something there cannot move.
    pub blocked: bool,
}

/// The parts of some granules that lie in one region each: region, start, granules.
pub(in crate::alloc) fn parts(start: u64, granules: u64) -> impl Iterator<Item = (u64, u64, u64)> {
    let end = start + granules;
    (start / REGION..end.div_ceil(REGION)).map(move |region| {
        let from = start.max(region * REGION);
        (region, from, end.min((region + 1) * REGION) - from)
    })
}

impl Held {
    /// Bytes that are free in the regions.
    pub(super) fn total(&self) -> u64 {
        self.runs.total()
    }

    /// Granules of the longest free run.
    pub(super) fn longest(&self) -> u64 {
        self.runs.longest()
    }

    /// Takes exactly these granules, if all of them are free.
    pub(crate) fn take_at(&mut self, start: u64, granules: u64) -> bool {
        self.runs.take_at(start, granules)
    }
}

impl Room {
    /// Gives granules that anybody may take, but for those of regions that are emptied.
    pub(super) fn give_free(&mut self, start: u64, granules: u64) {
        if self.held.regions.is_empty() {
            return self.free.give(start, granules);
        }
        for (region, start, granules) in parts(start, granules) {
            if self.held.regions.contains(&region) {
                self.held.runs.give(start, granules)
            } else {
                self.free.give(start, granules)
            }
        }
    }

    /// Whether regions are being emptied.
    pub(crate) fn holds_regions(&self) -> bool {
        !self.held.regions.is_empty()
    }

    /// Whether all the regions that were chosen are empty.
    pub(crate) fn regions_are_empty(&self) -> bool {
        self.held.runs.total() == self.held.capacity
    }

    /// Whether some of these granules lie in a region that is being emptied.
    pub(crate) fn is_held(&self, offset: u64, len: u64) -> bool {
        let granules = parts(offset / GRANULE, len.div_ceil(GRANULE));
        self.holds_regions()
            && granules
                .into_iter()
                .any(|(region, ..)| self.held.regions.contains(&region))
    }

    /// Takes granules for what moves: a gap that it fills; or else behind what has moved before, in
    /// a run that is long enough for many; or else any.
    pub(crate) fn take_packed(&mut self, granules: u64) -> Option<u64> {
        if let Some(start) = self.free.take_exactly(granules) {
            return Some(start * GRANULE);
        }
        let behind = self.held.packed;
        let start = if self.free.take_at(behind, granules) {
            behind
        } else {
            self.free.take_from(granules, REGION)?
        };
        self.held.packed = start + granules;
        Some(start * GRANULE)
    }

    /// Lets everybody have the regions again. If they are not empty, something there has found no
    /// place: others come first then.
    pub(crate) fn end_emptying(&mut self) {
        if self.regions_are_empty() {
            self.stuck_regions.clear();
        } else {
            self.stuck_regions.extend(&self.held.regions);
        }
        self.release_regions();
    }

    fn release_regions(&mut self) {
        let held = std::mem::take(&mut self.held);
        let mut runs = held.runs;
        for (start, granules) in runs.drain() {
            self.free.give(start, granules);
        }
        self.keep_again();
    }

    /// Takes granules, those of the regions that are being emptied included. The emptying ends if
    /// that finds some: whoever finds none leaves it as it is. O(free runs).
    pub(crate) fn take_with_held(&mut self, granules: u64, access: Access) -> Option<u64> {
        let free = self.free.total() + self.held.total();
        if access == Access::Ordinary && free < granules + self.owed() {
            return None;
        }
        self.with_held(|room| room.take(granules, access))
    }

    /// What `take` finds once the regions are everybody's, which they stay if it finds something.
    pub(super) fn with_held<R>(&mut self, take: impl FnOnce(&mut Room) -> Option<R>) -> Option<R> {
        if !self.holds_regions() {
            return None;
        }
        let regions = self.held.regions.clone();
        let (capacity, packed) = (self.held.capacity, self.held.packed);
        self.release_regions();
        let found = take(self);
        if found.is_none() {
            (self.held.capacity, self.held.packed) = (capacity, packed);
            self.hold(regions);
        }
        found
    }

    /// Begins to empty regions: those that waste most for what they hold, as many as waste too
    /// much, and as long as what they hold finds room; one at least. Those come first for whose
    /// longest object there is a place. Bytes that it gains, about. `regions` is what the slab
    /// says of them; those that could not be emptied are tried again if it begins `anew`.
    pub(in crate::alloc) fn hold_regions(&mut self, regions: &[Region], anew: bool) -> u64 {
        if anew {
            self.stuck_regions.clear();
        }
        let candidates = (0..)
            .zip(regions)
            .filter(|(_, region)| !region.blocked && region.used > 0 && region.wasted > 0)
            .filter(|(number, _)| !self.stuck_regions.contains(number));
        let mut candidates: Vec<_> = candidates.collect();
        let longest = self.longest_runs();
        let has_place = |number: u64, region: &Region| {
            let mut others = longest.iter().filter(|&&(start, granules)| {
                parts(start, granules).all(|(other, ..)| other != number)
            });
            others.any(|&(_, granules)| granules >= region.longest)
        };
        // What is moved for the same gain.
        candidates.sort_by_cached_key(|&(number, region)| {
            let cost = (region.used << 32) / region.wasted;
            (!has_place(number, region), cost)
        });
        let long: u64 = self.free.lens().filter(|&len| len >= REGION).sum();
        let mut room = (long - long / 8).max(self.free.total() / 8);
        let mut wasted: u64 = regions.iter().map(|region| region.wasted).sum();
        let (mut chosen, mut capacity, mut gain) = (BTreeSet::new(), 0, 0);
        for (number, region) in candidates {
            if wasted < self.free.total() / WASTED_PART {
                break;
            }
            match room.checked_sub(region.used) {
                Some(left) => room = left,
                None if chosen.is_empty() => room = 0,
                None => break,
            }
            wasted -= region.wasted;
            gain += region.wasted;
            capacity += region.used + region.free;
            chosen.insert(number);
        }
        if chosen.is_empty() {
            return 0;
        }
        self.held.capacity = capacity;
        self.hold(chosen);
        gain * GRANULE
    }

    /// Begins to empty the regions of a run, too, whatever else is there.
    pub(crate) fn hold_regions_of(&mut self, run: Run) {
        let own = parts(run.offset / GRANULE, run.granules).map(|(region, ..)| region);
        let regions = own.chain(self.held.regions.iter().copied()).collect();
        self.held.capacity = u64::MAX;
        self.hold(regions);
    }

    /// Some of the longest free runs.
    fn longest_runs(&self) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = self.free.iter().collect();
        runs.sort_unstable_by_key(|&(_, granules)| Reverse(granules));
        runs.truncate(LONGEST_RUNS);
        runs
    }

    fn hold(&mut self, regions: BTreeSet<u64>) {
        self.give_kept();
        self.held.regions = regions;
        for (start, granules) in self.free.drain() {
            self.give_free(start, granules);
        }
        self.keep_again();
    }

    /// Bytes that are free in runs too short for a mebibyte, or what is left over of longer ones:
    /// of what anybody may take, no more.
    pub(crate) fn wasted(&self) -> u64 {
        let lens = self.free.lens().chain(self.held.runs.lens());
        let wasted: u64 = lens.map(|len| len % MEBIBYTE).sum();
        let free = self.free.total() + self.held.total() - self.owed();
        wasted.min(free) * GRANULE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn granules_are_told_apart_by_region() {
        let all = |start, granules| parts(start, granules).collect::<Vec<_>>();
        assert_eq!(all(3, 5), [(0, 3, 5)]);
        assert_eq!(all(510, 2), [(0, 510, 2)]);
        assert_eq!(all(510, 3), [(0, 510, 2), (1, 512, 1)]);
        assert_eq!(
            all(500, 1000),
            [(0, 500, 12), (1, 512, 512), (2, 1024, 476)]
        );
    }
}
