//! What is free in the parts of a pool that are being emptied: it is *held*, so nobody takes it.
//!
//! And where what is moved away from there is put.

use super::ranges::{REGION, Ranges, parts};
use super::{Access, Room};
use crate::alloc::free::FreeRuns;
use crate::alloc::run::GRANULE;

/// Where the next object is put that moves: beside the one before.
#[derive(Clone, Copy, Debug)]
pub(super) enum Packing {
    /// So that it begins with this granule.
    Upwards(u64),
    /// So that it ends before this granule.
    Downwards(u64),
}

/// The parts that are being emptied.
pub(super) struct Held {
    ranges: Ranges,
    /// Granules in them that can be free.
    capacity: u64,
    /// What is free in them.
    runs: FreeRuns,
    packing: Packing,
    /// What moves goes beside what has moved before, even if it needs what is kept back for that.
    slides: bool,
}

impl Default for Held {
    fn default() -> Held {
        Held {
            ranges: Ranges::default(),
            capacity: 0,
            runs: FreeRuns::default(),
            packing: Packing::Upwards(0),
            slides: false,
        }
    }
}

impl Held {
    /// Granules that are free there.
    pub(super) fn total(&self) -> u64 {
        self.runs.total()
    }

    /// Granules of the longest free run.
    pub(super) fn longest(&self) -> u64 {
        self.runs.longest()
    }

    /// The lengths of all free runs.
    pub(super) fn lens(&self) -> impl Iterator<Item = u64> {
        self.runs.lens()
    }

    /// Takes exactly these granules, if all of them are free.
    pub(super) fn take_at(&mut self, start: u64, granules: u64) -> bool {
        self.runs.take_at(start, granules)
    }
}

impl Room {
    /// Gives granules that anybody may take, but for those that are held.
    pub(super) fn give_free(&mut self, start: u64, granules: u64) {
        if !self.is_emptying() {
            return self.free.give(start, granules);
        }
        for (start, granules, is_held) in self.held.ranges.pieces(start, granules) {
            if is_held {
                self.held.runs.give(start, granules)
            } else {
                self.free.give(start, granules)
            }
        }
    }

    /// Whether parts of the pool are being emptied.
    pub(crate) fn is_emptying(&self) -> bool {
        !self.held.ranges.is_empty()
    }

    /// Whether all that was chosen is empty.
    pub(crate) fn is_emptied(&self) -> bool {
        self.held.runs.total() == self.held.capacity
    }

    /// Whether some of these granules lie where the pool is being emptied.
    pub(crate) fn is_held(&self, offset: u64, len: u64) -> bool {
        let (start, granules) = (offset / GRANULE, len.div_ceil(GRANULE));
        self.is_emptying()
            && (self.held.ranges.pieces(start, granules)).any(|(.., is_held)| is_held)
    }

    /// What is being emptied.
    pub(super) fn held_ranges(&self) -> &Ranges {
        &self.held.ranges
    }

    /// Takes granules for what moves: a gap that it fills; or else behind what has moved before, in
    /// a run that is long enough for many; or else any.
    pub(crate) fn take_packed(&mut self, granules: u64) -> Option<u64> {
        let found = self.free.take_exactly(granules);
        let found = found.or_else(|| self.take_beside(granules));
        if found.is_some() {
            return found.map(|start| start * GRANULE);
        }
        if self.held.slides {
            let found = self.take_beside_with_kept(granules);
            return found
                .or_else(|| self.free.take(granules))
                .map(|start| start * GRANULE);
        }
        let start = self.free.take_from(granules, REGION)?;
        self.held.packing = Packing::Upwards(start + granules);
        Some(start * GRANULE)
    }

    /// Takes granules beside what has moved before, if they are free.
    fn take_beside(&mut self, granules: u64) -> Option<u64> {
        let (start, next) = match self.held.packing {
            Packing::Upwards(start) => (start, Packing::Upwards(start + granules)),
            Packing::Downwards(end) => {
                let start = end.checked_sub(granules)?;
                (start, Packing::Downwards(start))
            }
        };
        self.free.take_at(start, granules).then(|| {
            self.held.packing = next;
            start
        })
    }

    /// [`Room::take_beside`] where what is free and what is kept back lie side by side. What is
    /// taken of the latter is owed by what the object leaves; so as much must be free.
    fn take_beside_with_kept(&mut self, granules: u64) -> Option<u64> {
        if self.free.total() + self.held.total() - self.owed() < granules {
            return None;
        }
        self.give_kept();
        let found = self.take_beside(granules);
        self.keep_again();
        found
    }

    /// Lets everybody have again what was held. If it is not empty, something there has found no
    /// place: other regions come first then.
    pub(crate) fn end_emptying(&mut self) {
        if !self.is_emptying() {
            return;
        }
        let was_emptied = self.is_emptied();
        if was_emptied && !self.held.slides {
            self.stuck_regions.clear();
        } else if !was_emptied {
            let ranges = self.held.ranges.iter();
            let regions = ranges.flat_map(|(start, end)| parts(start, end - start));
            (self.stuck_regions).extend(regions.map(|(region, ..)| region));
        }
        self.release();
    }

    fn release(&mut self) {
        let mut held = std::mem::take(&mut self.held);
        for (start, granules) in held.runs.drain() {
            self.free.give(start, granules);
        }
        self.keep_again();
    }

    /// Takes granules, those that are held included. The emptying ends if that finds some: whoever
    /// finds none leaves it as it is. O(free runs).
    pub(crate) fn take_with_held(&mut self, granules: u64, access: Access) -> Option<u64> {
        let free = self.free.total() + self.held.total();
        if access == Access::Ordinary && free < granules + self.owed() {
            return None;
        }
        self.with_held(|room| room.take(granules, access))
    }

    /// What `take` finds once what is held is everybody's, which it stays if it finds something.
    pub(super) fn with_held<R>(&mut self, take: impl FnOnce(&mut Room) -> Option<R>) -> Option<R> {
        if !self.is_emptying() {
            return None;
        }
        let (ranges, capacity) = (self.held.ranges.clone(), self.held.capacity);
        let (packing, slides) = (self.held.packing, self.held.slides);
        self.release();
        let found = take(self);
        if found.is_none() {
            self.hold(ranges, capacity);
            (self.held.packing, self.held.slides) = (packing, slides);
        }
        found
    }

    /// Holds what is free in these ranges, of which so many granules can be free.
    pub(super) fn hold(&mut self, ranges: Ranges, capacity: u64) {
        self.give_kept();
        (self.held.ranges, self.held.capacity) = (ranges, capacity);
        for (start, granules) in self.free.drain() {
            self.give_free(start, granules);
        }
        self.keep_again();
    }

    /// [`Room::hold`] of one range whose objects are put side by side.
    pub(super) fn hold_window(&mut self, range: (u64, u64), packing: Packing) {
        let ranges = Ranges::of(std::iter::once(range));
        self.hold(ranges, range.1 - range.0);
        (self.held.packing, self.held.slides) = (packing, true);
    }
}
