//! Regions: stretches of granules that are emptied, so that free room lies together.
//!
//! While regions are emptied, what is free in them is *held* (`held`): nobody takes it. What is
//! moved away fills gaps of its size, or is packed, one behind the other, so that moving leaves few
//! new gaps.

use super::Room;
use super::ranges::{REGION, Ranges, bounds, parts};
use crate::alloc::run::{GRANULE, Run};
use std::cmp::Reverse;

/// Granules of the longest run that is moved, as one batch copies it.
pub(in crate::alloc) const MOVE_MAX: u64 = 1024;
/// Granules of a mebibyte: what is free in longer runs serves objects up to that size.
pub(in crate::alloc) const MEBIBYTE: u64 = 256;
/// What may be wasted of what is free.
const WASTED_PART: u64 = 64;
/// What emptying must gain at least.
const GAIN_MIN: u64 = 16;
/// So many of the longest free runs are looked at for a place outside of a region.
const LONGEST_RUNS: usize = 4;

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

impl Room {
    /// Begins to empty regions: those that waste most for what they hold, as many as waste too
    /// much, and as long as what they hold finds room; one at least. Those come first for whose
    /// longest object there is a place. Bytes that it gains, about. `regions` is what the slab
    /// says of them; those that could not be emptied are tried again if it begins `anew`.
    pub(in crate::alloc) fn hold_regions(&mut self, regions: &[Region], anew: bool) -> u64 {
        if anew {
            self.stuck_regions.clear();
        }
        if self.gainable() == 0 {
            return 0;
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
        let (mut chosen, mut capacity, mut gain) = (Vec::new(), 0, 0);
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
            chosen.push(number);
        }
        if chosen.is_empty() {
            return 0;
        }
        self.hold(Ranges::of(chosen.into_iter().map(bounds)), capacity);
        gain * GRANULE
    }

    /// Begins to empty the regions of a run, too, whatever else is there.
    pub(crate) fn hold_regions_of(&mut self, run: Run) {
        let own = parts(run.offset / GRANULE, run.granules).map(|(region, ..)| bounds(region));
        let ranges = Ranges::of(own.chain(self.held_ranges().iter()));
        self.hold(ranges, u64::MAX);
    }

    /// Some of the longest free runs.
    fn longest_runs(&self) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = self.free.iter().collect();
        runs.sort_unstable_by_key(|&(_, granules)| Reverse(granules));
        runs.truncate(LONGEST_RUNS);
        runs
    }

    /// Bytes that are free in runs too short for a mebibyte, or what is left over of longer ones:
    /// of what anybody may take, no more.
    pub(crate) fn wasted(&self) -> u64 {
        let lens = self.free.lens().chain(self.held.lens());
        let wasted: u64 = lens.map(|len| len % MEBIBYTE).sum();
        let free = self.free.total() + self.held.total() - self.owed();
        wasted.min(free) * GRANULE
    }

    /// Granules that could be wasted less if all that is free were one run, or that it would be
    /// longer if it is less than a mebibyte; 0 if they are few.
    pub(super) fn gainable(&self) -> u64 {
        let free = self.free.total() + self.held.total() - self.owed();
        let gain = if free < MEBIBYTE {
            free.saturating_sub(self.free.longest().max(self.held.longest()))
        } else {
            (self.wasted() / GRANULE).saturating_sub(free % MEBIBYTE)
        };
        if gain < GAIN_MIN { 0 } else { gain }
    }
}
