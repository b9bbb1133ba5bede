//! What the slab knows of regions (`room::regions`): which of them waste most, and what in them can
//! move.

use super::Slab;
use crate::alloc::room::Room;
use crate::alloc::room::regions::{MEBIBYTE, MOVE_MAX, REGION, Region, parts};
use crate::alloc::run::GRANULE;

impl Slab {
    /// What is known of all regions of a pool of `len` bytes.
    fn regions(&self, room: &Room, len: u64) -> Vec<Region> {
        let mut regions = vec![Region::default(); (len.div_ceil(REGION * GRANULE)) as usize];
        let mut tell = |start: u64, granules: u64, tell: &dyn Fn(&mut Region, u64)| {
            for (region, _, granules) in parts(start, granules) {
                if let Some(region) = regions.get_mut(region as usize) {
                    tell(region, granules);
                }
            }
        };
        let pages = self.pages.iter().flatten().map(|page| {
            let is_run = page.offset.is_multiple_of(GRANULE);
            (page.offset, page.len(), is_run)
        });
        for (offset, len, is_run) in pages.chain(self.objects_alone()) {
            let (start, granules) = (offset / GRANULE, len.div_ceil(GRANULE));
            let moves = is_run && granules <= MOVE_MAX;
            tell(start, granules, &|region, part| {
                region.blocked |= !moves;
                region.used += part;
                region.longest = region.longest.max(granules);
            });
        }
        for (start, granules) in room.free_runs() {
            tell(start, granules, &|region, granules| region.free += granules);
            if granules < MEBIBYTE {
                tell(start, granules, &|region, granules| {
                    region.wasted += granules
                });
            }
        }
        // What is left over of a long run is wasted by what bounds it.
        for (start, granules) in room.free_runs().filter(|&(_, len)| len >= MEBIBYTE) {
            let bounds = [start + granules, start.saturating_sub(1)];
            let mut bounds = bounds
                .map(|granule| (granule / REGION) as usize)
                .into_iter();
            let bound = bounds.find(|&number| {
                let region = regions.get(number);
                region.is_some_and(|region| region.used > 0 && !region.blocked)
            });
            if let Some(region) = bound.and_then(|number| regions.get_mut(number)) {
                region.wasted += granules % MEBIBYTE;
            }
        }
        regions
    }

    /// Begins to empty regions; how many bytes that gains, about, or 0 if there are none. Those
    /// that could not be emptied before are tried again if it begins `anew`. O(pages + large
    /// objects).
    pub(crate) fn begin_emptying(&mut self, room: &mut Room, len: u64, anew: bool) -> u64 {
        let regions = self.regions(room, len);
        let gain = room.hold_regions(&regions, anew);
        if gain > 0 {
            let pages = (0..).zip(&self.pages).filter_map(|(id, page)| {
                let page = page.as_ref()?;
                room.is_held(page.offset, page.len()).then_some(id)
            });
            let pages: Vec<u32> = pages.collect();
            self.choose(&pages);
        }
        gain
    }

    /// Whether the large object at `offset` lies in a region that is being emptied, and can move.
    pub(crate) fn run_evacuates(&self, room: &Room, offset: u64) -> bool {
        let run = self.run_at(offset);
        run.is_some_and(|run| run.granules <= MOVE_MAX && room.is_held(offset, run.len()))
    }
}
