//! Evacuation: sparse pages are emptied, so that their memory serves other sizes; or regions, so
//! that free room lies together (`regions`).
//!
//! The layer above moves what lies where it was chosen here ([`crate::Tx::relocate`]); meanwhile
//! nothing there is handed out, so that what was moved away stays away. All of this is in DRAM:
//! after a restart there is no evacuation, and what was not emptied is used as before.

use super::{Page, Slab, Slot, list_of};
use crate::Kind;

/// How much of a pool's free room lies in pages that are in use, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scatter {
    /// Free slots of pages with allocated ones: only objects of their size can have them.
    pub slots: u64,
    /// What an evacuation would give back: whole pages, once their objects are moved to other
    /// pages.
    pub regainable: u64,
    /// Bytes of objects that it would move.
    pub moves: u64,
    /// Free, but in pieces that a mebibyte does not fill.
    pub wasted: u64,
}

impl Page {
    fn allocated(&self) -> u64 {
        u64::from(self.header.slots) - u64::from(self.free)
    }

    fn bytes(&self, slots: u64) -> u64 {
        slots * u64::from(self.header.slot_size)
    }
}

impl Slab {
    /// For each kind and class, the pages that are neither full nor empty and whose objects find
    /// room in the other pages of that kind and class, the emptiest first. O(pages).
    fn sparse_pages(&self) -> Vec<u32> {
        let mut by_key: Vec<Vec<(u64, u32)>> = vec![Vec::new(); self.partial.len()];
        for (id, page) in self.pages.iter().enumerate() {
            let Some(page) = page else { continue };
            if page.free > 0 && page.free < page.header.slots && !page.evacuating {
                by_key[page.key()].push((page.allocated(), id as u32));
            }
        }
        let mut chosen = Vec::new();
        for mut pages in by_key {
            pages.sort_unstable();
            let free = |id: u32| u64::from(self.page(id).free);
            let mut room: u64 = pages.iter().map(|&(_, id)| free(id)).sum();
            let mut moved = 0;
            for (allocated, id) in pages {
                room -= free(id);
                moved += allocated;
                if moved > room {
                    break;
                }
                chosen.push(id);
            }
        }
        chosen
    }

    /// How scattered the free room is. O(pages).
    pub(crate) fn scatter(&self) -> Scatter {
        let mut scatter = Scatter::default();
        for page in self.pages.iter().flatten() {
            if page.free < page.header.slots {
                scatter.slots += page.bytes(page.free.into());
            }
        }
        for id in self.sparse_pages() {
            let page = self.page(id);
            scatter.regainable += page.len();
            scatter.moves += page.bytes(page.allocated());
        }
        scatter
    }

    /// Chooses pages to be emptied, and hands out none of their slots from now on; how many they
    /// are. O(pages).
    pub(crate) fn begin_evacuation(&mut self) -> usize {
        let chosen = self.sparse_pages();
        self.choose(&chosen);
        self.evacuating
    }

    /// Has the page be emptied, too, on which the object at `offset` lies. O(pages).
    pub(crate) fn evacuate(&mut self, offset: u64) {
        let page = self.windows.page_of(offset, 1);
        self.choose(page.as_slice());
    }

    pub(super) fn choose(&mut self, ids: &[u32]) {
        for &id in ids {
            if let Some(page) = self.pages[id as usize]
                .as_mut()
                .filter(|page| !page.evacuating)
            {
                (page.evacuating, page.listed) = (true, false);
                self.evacuating += 1;
            }
        }
        let pages = &self.pages;
        let stays = |&id: &u32| {
            let page = pages[id as usize].as_ref();
            page.is_some_and(|page| !page.evacuating)
        };
        self.partial.iter_mut().for_each(|ids| ids.retain(stays));
    }

    /// Hands out the slots of all pages again. O(pages).
    pub(crate) fn end_evacuation(&mut self) {
        if self.evacuating == 0 {
            return;
        }
        self.evacuating = 0;
        for id in 0..self.pages.len() {
            let Some(page) = self.pages[id].as_mut().filter(|page| page.evacuating) else {
                continue;
            };
            page.evacuating = false;
            if page.free > 0 {
                self.list(id as u32);
            }
        }
    }

    /// Reserves a slot of a page that is being emptied, of this class or a larger one up to `most`
    /// bytes, for whom there is no other: those pages of that class are used as before. O(pages).
    pub(crate) fn reserve_evacuating(
        &mut self,
        class: u8,
        kind: Kind,
        most: u64,
    ) -> Option<(Slot, u64)> {
        if self.evacuating == 0 {
            return None;
        }
        let serves = |page: &&Page| {
            let header = &page.header;
            let fits = header.class == class
                || header.class > class && u64::from(header.slot_size) <= most;
            page.evacuating && page.free > 0 && header.kind == kind.number() && fits
        };
        let pages = self.pages.iter().flatten();
        let class = pages.filter(serves).map(|page| page.header.class).min()?;
        self.stop_emptying(list_of(kind.number(), class));
        self.reserve(class, kind)
    }

    /// Hands out again what is free in the pages of a list that are being emptied. O(pages).
    fn stop_emptying(&mut self, key: usize) {
        for id in 0..self.pages.len() {
            let page = self.pages[id].as_mut();
            let stops = |page: &&mut Page| page.evacuating && page.free > 0 && page.key() == key;
            if let Some(page) = page.filter(stops) {
                page.evacuating = false;
                self.evacuating -= 1;
                self.list(id as u32);
            }
        }
    }

    /// Pages that are to be emptied, the emptied ones included until they are given back.
    pub(crate) fn evacuating_pages(&self) -> usize {
        self.evacuating
    }

    /// Whether the object at `offset` is to be moved. O(1).
    #[inline]
    pub(crate) fn evacuates(&self, offset: u64) -> bool {
        self.evacuating > 0
            && self
                .windows
                .page_of(offset, 1)
                .is_some_and(|id| self.page(id).evacuating)
    }
}
