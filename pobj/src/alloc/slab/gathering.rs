//! What the slab knows of regions (`room::regions`), which of them waste most, and what in them can
//! move; and of what lies beside free runs that slide (`room::slide`).

use super::Slab;
use crate::alloc::room::Room;
use crate::alloc::room::ranges::{REGION, parts};
use crate::alloc::room::regions::{MEBIBYTE, MOVE_MAX, Region};
use crate::alloc::room::slide::{Content, STRETCHES_MAX, Stretch};
use crate::alloc::run::GRANULE;

impl Slab {
    /// All pages and large objects: first granule, how many, and whether they can move.
    fn occupied(&self) -> impl Iterator<Item = (u64, u64, bool)> {
        let pages = self.pages.iter().flatten().map(|page| {
            let is_run = page.offset.is_multiple_of(GRANULE);
            (page.offset, page.len(), is_run)
        });
        pages
            .chain(self.objects_alone())
            .map(|(offset, len, is_run)| {
                let (start, granules) = (offset / GRANULE, len.div_ceil(GRANULE));
                (start, granules, is_run && granules <= MOVE_MAX)
            })
    }

    /// All granules of which anything is known, or more than [`STRETCHES_MAX`].
    fn stretches(&self, room: &Room) -> Vec<Stretch> {
        let occupied = self.occupied().map(|(start, granules, moves)| {
            let content = if moves {
                Content::Movable
            } else {
                Content::Fixed
            };
            Stretch {
                start,
                granules,
                content,
            }
        });
        let free = room.free_runs().map(|(start, granules)| {
            let content = Content::Free;
            Stretch {
                start,
                granules,
                content,
            }
        });
        occupied.chain(free).take(STRETCHES_MAX + 1).collect()
    }

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
        for (start, granules, moves) in self.occupied() {
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
        self.choose_held(room, gain)
    }

    /// Begins to empty what lies beside a free run; how many bytes that gains in the end, about, or
    /// 0 if nothing. What could not be emptied before is tried again if it begins `anew`; what
    /// moves much for what it gains is done only if it is `thorough`. O(n log n) in pages, large
    /// objects and free runs.
    pub(crate) fn begin_sliding(&mut self, room: &mut Room, anew: bool, thorough: bool) -> u64 {
        if !room.may_slide(anew) {
            return 0;
        }
        let gain = room.hold_next(self.stretches(room), thorough);
        self.choose_held(room, gain)
    }

    /// Has the pages be emptied that lie in what is held, if something is gained: what.
    fn choose_held(&mut self, room: &Room, gain: u64) -> u64 {
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

    /// Whether the large object at `offset` lies where the pool is being emptied, and can move.
    pub(crate) fn run_evacuates(&self, room: &Room, offset: u64) -> bool {
        let run = self.run_at(offset);
        run.is_some_and(|run| run.granules <= MOVE_MAX && room.is_held(offset, run.len()))
    }
}
