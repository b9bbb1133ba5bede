//! Room that is gathered: sparse pages, or regions, are emptied (see `alloc::slab::evacuation`).

use super::{Pool, Tx};
use crate::alloc::slab::evacuation::Scatter;
use crate::error::Result;
use crate::{Fresh, Kind, PPtr};

impl Pool {
    /// How scattered the free room is. O(pages + free runs).
    pub fn scatter(&self) -> Scatter {
        Scatter {
            wasted: self.wasted(),
            ..self.slab.scatter()
        }
    }

    /// Bytes that are free in pieces that a mebibyte does not fill. O(free runs).
    pub fn wasted(&self) -> u64 {
        self.room.wasted()
    }

    /// Begins to empty sparse pages: allocations avoid them from now on, and [`Tx::relocate`] moves
    /// what lies there. How many there are. If an allocation finds no other room, the evacuation
    /// ends by itself. O(pages).
    pub fn begin_evacuation(&mut self) -> usize {
        self.stuck = 0;
        self.slab.begin_evacuation()
    }

    /// Begins to empty regions of the pool in which free room lies in short pieces, in the same
    /// way; how many bytes that gains, about, or 0 if there are none. Regions that could not be
    /// emptied before are tried again if it begins `anew`. O(pages + large objects + free runs).
    pub fn begin_gathering(&mut self, anew: bool) -> u64 {
        self.stuck = 0;
        let len = self.medium.len();
        self.slab.begin_emptying(&mut self.room, len, anew)
    }

    /// Begins to empty what lies beside a free run, in the same way, but so that it comes to lie at
    /// another one: how many bytes that gains in the end, about, or 0 if nothing. It is repeated
    /// until then: each time no more is emptied than the run holds. What could not be emptied
    /// before is tried again if it begins `anew`; what moves many times the bytes that it gains is
    /// done only if it is `thorough`. O(n log n) in pages, large objects and free runs.
    pub fn begin_sliding(&mut self, anew: bool, thorough: bool) -> u64 {
        self.stuck = 0;
        self.slab.begin_sliding(&mut self.room, anew, thorough)
    }

    /// Has the page on which an object lies be emptied, too, however full it is, or its regions.
    /// O(pages + free runs).
    pub fn evacuate<T>(&mut self, object: PPtr<T>) {
        match self.slab.run_at(object.offset()) {
            Some(run) => self.room.hold_regions_of(run),
            None => self.slab.evacuate(object.offset()),
        }
    }

    /// Ends an evacuation: what was not emptied is used as before. O(pages).
    pub fn end_evacuation(&mut self) {
        self.slab.end_evacuation();
        self.room.end_emptying();
    }

    /// Whether there is an evacuation, and something is left to be emptied. O(1).
    pub fn is_evacuating(&self) -> bool {
        self.slab.evacuating_pages() > self.slab.empty_pages()
            || self.room.is_emptying() && !self.room.is_emptied()
    }

    /// Pages that are to be emptied; 0 if there is no evacuation of any. O(1).
    pub fn evacuating_pages(&self) -> usize {
        self.slab.evacuating_pages()
    }

    /// How many objects found no place to move to since the evacuation began.
    pub fn stuck(&self) -> u64 {
        self.stuck
    }

    /// Whether the object that starts at `ptr` lies where an evacuation empties the pool. O(1),
    /// O(log n) of large ones.
    #[inline]
    pub fn evacuating<T>(&self, ptr: PPtr<T>) -> bool {
        let offset = ptr.offset();
        self.slab.evacuates(offset)
            || self.room.is_emptying() && self.slab.run_evacuates(&self.room, offset)
    }

    /// Slab pages without an allocated slot, which [`Pool::trim`] can give back. O(1).
    pub fn empty_pages(&self) -> usize {
        self.slab.empty_pages()
    }
}

impl Tx<'_> {
    /// Moves an object out of the way of an evacuation: all its bytes, as far as it is allocated,
    /// to where it has the same room. The old one is freed with the commit; whoever points to it is
    /// the caller's to change. `None` if it may stay, or if there is no place for it. O(size).
    /// Nothing of the object may be written in the same step.
    ///
    /// # Errors
    /// `Damaged` if no allocated object starts there.
    pub fn relocate(&mut self, ptr: PPtr<u8>, kind: Kind) -> Result<Option<Fresh>> {
        if !self.evacuating(ptr) {
            return Ok(None);
        }
        let size = self.capacity(ptr)?;
        let Some(target) = self.alloc_to_move(size, kind)? else {
            return Ok(None);
        };
        self.fill_from(target, ptr, size)?;
        self.free(ptr)?;
        Ok(Some(target))
    }
}
