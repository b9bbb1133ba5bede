//! Large objects: those that are alone in their memory.

use super::Slab;
use crate::Kind;
use crate::alloc::run::{GRANULE, Run, RunKind};
use crate::alloc::windows::Holder;

/// An object that is alone in its memory.
#[derive(Clone, Copy)]
pub(super) struct Large {
    pub(super) offset: u64,
    /// Usable bytes.
    pub(super) size: u64,
    pub(super) kind: Kind,
    /// It is a run, and not an object of libpmemobj's.
    pub(super) is_run: bool,
}

impl Large {
    /// The run that it is, if it is one.
    #[inline]
    pub(super) fn run(&self) -> Option<Run> {
        self.is_run.then_some(Run {
            offset: self.offset,
            granules: self.size / GRANULE,
            kind: RunKind::Object(self.kind),
        })
    }
}

/// All of them, by a number that is an object's own while it exists.
#[derive(Default)]
pub(super) struct LargeObjects {
    objects: Vec<Option<Large>>,
    vacant: Vec<u32>,
}

impl LargeObjects {
    fn insert(&mut self, large: Large) -> u32 {
        match self.vacant.pop() {
            Some(id) => {
                self.objects[id as usize] = Some(large);
                id
            }
            None => {
                self.objects.push(Some(large));
                self.objects.len() as u32 - 1
            }
        }
    }

    /// Takes one out; its bytes. `None` if it does not start at `offset`.
    #[inline]
    fn remove(&mut self, id: u32, offset: u64) -> Option<u64> {
        let object = self.objects.get_mut(id as usize)?;
        let size = object.as_ref().filter(|large| large.offset == offset)?.size;
        *object = None;
        self.vacant.push(id);
        Some(size)
    }

    #[inline]
    fn get(&self, id: u32) -> Option<&Large> {
        self.objects.get(id as usize)?.as_ref()
    }

    /// All of `kind` from a number on, with their numbers and offsets.
    pub(super) fn of_kind(&self, kind: Kind, from: u32) -> impl Iterator<Item = (u32, u64)> {
        let objects = (0..).zip(&self.objects).skip(from as usize);
        objects.filter_map(move |(id, large)| {
            let large = large.as_ref().filter(|large| large.kind == kind)?;
            Some((id, large.offset))
        })
    }
}

impl Slab {
    /// Takes over an object that is a run of granules, and was found at open.
    pub(crate) fn add_run(&mut self, run: Run, kind: Kind) {
        if self.large_at(run.offset).is_none() {
            self.add_fresh_run(run, kind);
        }
    }

    /// Takes over an object that is a run of granules which were free.
    #[inline]
    pub(crate) fn add_fresh_run(&mut self, run: Run, kind: Kind) {
        self.add_large(Large {
            offset: run.offset,
            size: run.len(),
            kind,
            is_run: true,
        });
    }

    /// Takes over a large object of libpmemobj's.
    pub(crate) fn add_object(&mut self, offset: u64, size: u64, kind: Kind) {
        if self.large_at(offset).is_none() {
            self.add_large(Large {
                offset,
                size,
                kind,
                is_run: false,
            });
        }
    }

    fn add_large(&mut self, large: Large) {
        let Large { offset, size, .. } = large;
        self.used += size;
        self.alone += size;
        let id = self.large.insert(large);
        self.windows
            .enter(Holder::Large(id), offset, offset + size, None);
    }

    /// Forgets an object that was alone in its memory.
    #[inline(always)]
    pub(crate) fn remove_large(&mut self, offset: u64) {
        let Some(Holder::Large(id)) = self.windows.holder(offset) else {
            return;
        };
        if let Some(size) = self.large.remove(id, offset) {
            self.used -= size;
            self.alone -= size;
            self.windows.leave(Holder::Large(id), offset);
        }
    }

    /// The object that starts at `offset` and is alone in its memory. O(1).
    #[inline]
    pub(super) fn large_at(&self, offset: u64) -> Option<&Large> {
        match self.windows.holder(offset)? {
            Holder::Large(id) => self.large.get(id).filter(|large| large.offset == offset),
            Holder::Page(_) => None,
        }
    }

    /// The one that the byte at `offset` belongs to. O(1).
    pub(super) fn large_around(&self, offset: u64) -> Option<&Large> {
        let mut around = self.windows.large_around(offset);
        around.find_map(|id| {
            let large = self.large.get(id)?;
            let is_it = large.offset <= offset && offset - large.offset < large.size;
            is_it.then_some(large)
        })
    }

    /// True if `len` bytes at `offset` lie inside one of them. O(1).
    #[inline(never)]
    pub(super) fn owns_large(&self, offset: u64, len: u64) -> bool {
        let large = self.large_around(offset);
        large.is_some_and(|large| offset.saturating_add(len) <= large.offset + large.size)
    }

    /// All of them: offset, bytes, and whether they are runs.
    pub(super) fn objects_alone(&self) -> impl Iterator<Item = (u64, u64, bool)> {
        let large = self.large.objects.iter().flatten();
        large.map(|large| (large.offset, large.size, large.is_run))
    }

    /// The object at `offset` that is a run.
    #[inline]
    pub(crate) fn run_at(&self, offset: u64) -> Option<Run> {
        self.large_at(offset)?.run()
    }
}
