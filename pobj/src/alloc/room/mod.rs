//! All granules of a pool: which are free, who may take which, and what is kept back.
//!
//! *Free* granules are anybody's. A share of the pool is *kept back* from ordinary allocations: for
//! the undo log, and for transactions that remove things and need some room on the way. Granules
//! that a group has given up are *loose* until its end: the group itself may take them again, but
//! the undo log, whose entries may be put back into them, may not.

mod held;
pub(super) mod ranges;
pub(super) mod regions;
pub(super) mod slide;

use super::extent::Extent;
use super::free::FreeRuns;
use super::run::{GRANULE, Run};
use held::Held;
use std::collections::BTreeSet;

/// Who takes granules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody: what is free.
    Ordinary,
    /// One that takes little in the end, or must not fail half-way: half of what is kept back, too.
    Half,
    /// One that must not fail: what is kept back, too.
    Whole,
}

/// The part of the pool that is kept back, and its bounds in granules.
const KEPT_SHARE: u64 = 64;
const KEPT_MIN: u64 = (256 << 10) / GRANULE;
const KEPT_MAX: u64 = (8 << 20) / GRANULE;

/// The granules of all extents.
pub(crate) struct Room {
    seed: u64,
    /// By start.
    extents: Vec<Extent>,
    free: FreeRuns,
    /// What is free in the parts that are being emptied.
    held: Held,
    /// Those that could not be emptied of late, by number.
    stuck_regions: BTreeSet<u64>,
    /// Given up by the open group.
    loose: FreeRuns,
    kept: FreeRuns,
    /// Granules to be kept back.
    target: u64,
    /// All granules but those of tables and of damaged parts.
    capacity: u64,
    /// What is kept back may lie better since something was given.
    untidy: bool,
}

impl Room {
    /// No granules yet. `seed` is the pool's.
    pub(crate) fn new(seed: u64) -> Room {
        Room {
            seed,
            extents: Vec::new(),
            free: FreeRuns::default(),
            held: Held::default(),
            stuck_regions: BTreeSet::new(),
            loose: FreeRuns::default(),
            kept: FreeRuns::default(),
            target: 0,
            capacity: 0,
            untidy: false,
        }
    }

    /// The pool's seed, with which words of runs are made.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Adds an extent, with what is free of it: offset and granules.
    pub(crate) fn add(&mut self, extent: Extent, free: &[(u64, u64)], used: u64) {
        let at = self
            .extents
            .partition_point(|other| other.start < extent.start);
        self.extents.insert(at, extent);
        self.capacity += used;
        for &(offset, granules) in free {
            self.capacity += granules;
            self.free.give(offset / GRANULE, granules);
        }
        self.target = (self.capacity / KEPT_SHARE).clamp(KEPT_MIN, KEPT_MAX);
        self.untidy = true;
    }

    /// Offset of the word that tells of a run that starts at `offset`; `None` outside all extents.
    pub(crate) fn word_at(&self, offset: u64) -> Option<u64> {
        let extent = match self.extents.as_slice() {
            [extent] => extent,
            extents => {
                let at = extents.partition_point(|extent| extent.start <= offset);
                extents[..at].last()?
            }
        };
        (extent.range().contains(&offset)).then(|| extent.word_at(offset))
    }

    /// Takes `granules`; their offset.
    pub(crate) fn take(&mut self, granules: u64, access: Access) -> Option<u64> {
        let start = self
            .loose
            .take(granules)
            .or_else(|| self.free.take(granules))
            .or_else(|| {
                let left = self.kept.total().checked_sub(granules)?;
                let may = match access {
                    Access::Ordinary => false,
                    Access::Half => left >= self.target / 2,
                    Access::Whole => true,
                };
                may.then(|| self.kept.take(granules))?
            })?;
        Some(start * GRANULE)
    }

    /// Takes between `least` and `most` granules for the undo log; offset and number.
    pub(crate) fn take_for_undo(&mut self, least: u64, most: u64) -> Option<(u64, u64)> {
        let found = self.take_for_undo_as_it_is(least, most);
        found.or_else(|| self.with_held(|room| room.take_for_undo_as_it_is(least, most)))
    }

    fn take_for_undo_as_it_is(&mut self, least: u64, most: u64) -> Option<(u64, u64)> {
        let mut granules = most;
        while granules >= least {
            if let Some(start) = self.free.take(granules) {
                return Some((start * GRANULE, granules));
            }
            granules /= 2;
        }
        let (start, granules) = match self.kept.longest() {
            longest if longest >= least => self.kept.take_longest(most)?,
            _ => return None,
        };
        Some((start * GRANULE, granules))
    }

    /// Takes exactly the granules of a run again, after [`Room::give`].
    pub(crate) fn take_back(&mut self, run: &Run) -> bool {
        let start = run.offset / GRANULE;
        [&mut self.loose, &mut self.free, &mut self.kept]
            .into_iter()
            .any(|runs| runs.take_at(start, run.granules))
            || self.held.take_at(start, run.granules)
    }

    /// Gives granules that nobody refers to: loose while a group is open.
    #[inline]
    pub(crate) fn give(&mut self, offset: u64, granules: u64, in_group: bool) {
        if in_group {
            self.loose.give(offset / GRANULE, granules)
        } else {
            self.give_free(offset / GRANULE, granules);
            self.untidy = true;
            self.refill();
        }
    }

    /// A group is over: what it gave up is free.
    pub(crate) fn free_loose(&mut self) {
        if self.loose.total() == 0 {
            return;
        }
        for (start, granules) in self.loose.drain() {
            self.give_free(start, granules);
        }
        self.untidy = true;
        self.refill();
    }

    fn refill(&mut self) {
        while self.kept.total() < self.target {
            let missing = self.target - self.kept.total();
            let Some((start, granules)) = self.free.take_longest(missing) else {
                return;
            };
            self.kept.give(start, granules);
        }
    }

    /// Sees to it that what is kept back is there, as far as it can be, and lies together. Next to
    /// nothing if nothing was given since. Not in a group.
    pub(crate) fn tidy(&mut self) {
        if !std::mem::take(&mut self.untidy) || self.is_tidy() {
            return;
        }
        for (start, granules) in self.kept.drain() {
            self.free.give(start, granules);
        }
        // The shortest run that has it, so that long ones stay whole.
        if let Some(start) = self.free.take(self.target) {
            self.kept.give(start, self.target);
        }
        self.refill();
    }

    /// Whether what is kept back is there in one run, which does not part two free ones.
    fn is_tidy(&mut self) -> bool {
        let run = self.kept.only();
        run.is_some_and(|(start, len)| len == self.target && !self.free.are_beside(start, len))
    }

    /// Has what is kept back be free, until [`Room::keep_again`].
    pub(super) fn give_kept(&mut self) {
        for (start, granules) in self.kept.drain() {
            self.free.give(start, granules);
        }
    }

    /// Keeps back what should be.
    pub(super) fn keep_again(&mut self) {
        self.untidy = true;
        self.refill();
    }

    /// All runs that are free or kept back: start and granules.
    pub(super) fn free_runs(&self) -> impl Iterator<Item = (u64, u64)> {
        self.free.iter().chain(self.kept.iter())
    }

    /// True if all that is to be kept back is there, be it in regions that are being emptied:
    /// whoever needs that ends the emptying.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept.total() + self.held.total() >= self.target
    }

    /// Bytes that anybody may take, those in the longest run, and bytes kept back.
    pub(crate) fn free_bytes(&self) -> (u64, u64, u64) {
        let longest = self.free.longest().max(self.loose.longest());
        let longest = longest.max(self.held.longest());
        let free = self.free.total() + self.loose.total() + self.held.total();
        let owed = self.owed();
        (
            (free - owed) * GRANULE,
            longest.min(free - owed) * GRANULE,
            (self.kept.total() + owed) * GRANULE,
        )
    }

    /// What is missing of what is kept back, as far as it lies in regions that are being emptied:
    /// it comes back with them.
    fn owed(&self) -> u64 {
        let missing = self.target.saturating_sub(self.kept.total());
        missing.min(self.held.total())
    }

    /// Bytes of all granules that can hold runs.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity * GRANULE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alloc::run::RunKind;

    fn room(granules: u64) -> (Room, u64) {
        let mut room = Room::new(1);
        let extent = Extent::within(4096, granules * GRANULE).expect("there is room");
        let first = extent.start + extent.table() * GRANULE;
        room.add(extent, &[(first, granules - extent.table())], 0);
        room.tidy();
        (room, first)
    }

    #[test]
    fn what_is_kept_back_is_for_those_who_may() {
        let (mut room, _) = room(1000);
        let mut taken = 0;
        while room.take(8, Access::Ordinary).is_some() {
            taken += 8;
        }
        let (free, _, kept) = room.free_bytes();
        assert_eq!(kept, KEPT_MIN * GRANULE);
        assert!(free < 8 * GRANULE, "{free}");
        let rest = std::iter::from_fn(|| room.take(8, Access::Whole)).count() as u64;
        assert_eq!(rest * 8, KEPT_MIN);
        assert_eq!(room.take(8, Access::Whole), None);
        assert!(taken >= 8 * (990 - KEPT_MIN) / 8 - 8, "{taken}");
    }

    #[test]
    fn what_is_kept_back_moves_only_if_it_parts_free_runs() {
        let (mut room, first) = room(1000);
        let low = room.kept.only().expect("it lies together");
        assert_eq!(low, (first / GRANULE, KEPT_MIN));
        // What is given on one side of it is no reason.
        let taken = room.take(8, Access::Ordinary).expect("it is free");
        room.give(taken, 8, false);
        room.tidy();
        assert_eq!(room.kept.only(), Some(low));
        // On both sides it is.
        let all = room.take(1000 - 64 - room.extents[0].table(), Access::Ordinary);
        let all = all.expect("it is free");
        let rest = room.kept.drain();
        assert_eq!(rest, [low]);
        room.give_free(low.0, 16);
        room.kept.give(low.0 + 16, KEPT_MIN);
        room.give(all + 16 * GRANULE, 100, false);
        assert_eq!(room.free.iter().count(), 2);
        room.tidy();
        assert_eq!(room.kept.only(), Some(low));
        assert_eq!(room.free.iter().count(), 1);
    }

    #[test]
    fn half_of_what_is_kept_back_is_left_to_removals() {
        let (mut room, _) = room(1000);
        while room.take(8, Access::Ordinary).is_some() {}
        let half = std::iter::from_fn(|| room.take(8, Access::Half)).count() as u64;
        assert_eq!(half * 8, KEPT_MIN / 2);
        let rest = std::iter::from_fn(|| room.take(8, Access::Whole)).count() as u64;
        assert_eq!(rest * 8, KEPT_MIN / 2);
    }

    #[test]
    fn no_more_is_wasted_than_is_free() {
        let (mut room, first) = room(4 * ranges::REGION);
        while room.take(8, Access::Ordinary).is_some() {}
        room.hold_regions_of(Run {
            offset: first,
            granules: 3 * ranges::REGION,
            kind: RunKind::Page,
        });
        let (free, _, kept) = room.free_bytes();
        assert_eq!(kept, KEPT_MIN * GRANULE);
        assert!(room.wasted() <= free, "{} of {free}", room.wasted());
    }

    #[test]
    fn what_is_kept_back_is_found_where_regions_are_emptied() {
        let (mut room, first) = room(4 * ranges::REGION);
        while room.take(8, Access::Ordinary).is_some() {}
        while room.take(8, Access::Whole).is_some() {}
        room.hold_regions_of(Run {
            offset: first,
            granules: 3 * ranges::REGION,
            kind: RunKind::Page,
        });
        room.give(first, 16, false);
        assert_eq!(room.take(8, Access::Whole), None, "it is held");
        assert_eq!(room.take_with_held(8, Access::Ordinary), None, "it is owed");
        assert!(room.is_emptying());
        assert_eq!(room.take_with_held(8, Access::Whole), Some(first));
        assert!(!room.is_emptying());
    }

    #[test]
    fn what_is_given_fills_what_is_kept_back_first() {
        let (mut room, first) = room(200);
        while room.take(1, Access::Whole).is_some() {}
        assert!(!room.is_kept());
        room.give(first, KEPT_MIN / 2, false);
        assert_eq!(room.take(1, Access::Ordinary), None);
        room.give(first + KEPT_MIN / 2 * GRANULE, KEPT_MIN / 2 + 3, false);
        assert!(room.is_kept());
        room.tidy();
        assert_eq!(room.kept.iter().count(), 1);
        assert_eq!(
            std::iter::from_fn(|| room.take(1, Access::Ordinary)).count(),
            3
        );
    }

    #[test]
    fn the_undo_log_leaves_what_a_group_gave_up() {
        let (mut room, first) = room(500);
        while room.take(1, Access::Whole).is_some() {}
        room.give(first, 100, true);
        assert_eq!(room.take_for_undo(8, 64), None);
        let taken = room.take(10, Access::Ordinary);
        assert_eq!(taken, Some(first), "the group takes it again");
        let run = Run {
            offset: first,
            granules: 10,
            kind: RunKind::Object(crate::Kind::new(0)),
        };
        room.give(run.offset, run.granules, true);
        assert!(room.take_back(&run));
        room.free_loose();
        let (offset, granules) = room.take_for_undo(8, 64).expect("it is free");
        assert!(offset >= first && granules >= 8);
    }
}
