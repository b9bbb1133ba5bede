//! All objects of one kind, looked at by several threads at the same time.
//!
//! A walk with [`Pool::next_object`] waits for memory, object after object. Here each thread takes
//! some pages at a time and prefetches the next objects, so that tens of millions take a fraction
//! of a second.

use super::Pool;
use crate::alloc::slab::walk::PageObjects;
use crate::medium::Reader;
use crate::{Kind, PPtr, Persistent};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;

/// Pages that a thread takes at a time.
const PAGES: usize = 64;
/// Objects between the one that is looked at and the one that is asked for.
const PREFETCH_DISTANCE: usize = 28;
/// Fewer pages are entered by one thread.
const MANY_PAGES: usize = 4096;
/// Threads that help to enter pages, at most.
const HELPERS: usize = 15;

impl Pool {
    /// How many objects of `kind` there are. O(pages).
    pub fn count(&self, kind: Kind) -> u64 {
        let in_pages = self.slab.pages_of(kind).map(|page| page.count());
        in_pages.sum::<u64>() + self.slab.large_objects(kind).count() as u64
    }

    /// Shows a copy of the `T` at the head of each allocated object of `kind` to `visit`, on up to
    /// `threads` threads, fewer if the system has no more, each with a state of its own that begins
    /// as `S::default()`; their states when all is done.
    ///
    /// Others than the head can be read by the way. Each object is shown once, in no order; one
    /// that is too small for a `T` is passed over. A fork child, whose loads have to be those of
    /// the fork, sees none.
    pub fn survey<T, S, V>(&self, kind: Kind, threads: usize, visit: V) -> Vec<S>
    where
        T: Persistent,
        S: Default + Send,
        V: Fn(&mut S, PPtr<T>, &T, Reader<'_>) + Sync,
    {
        let Some(reader) = self.medium.reader() else {
            return Vec::new();
        };
        let pages: Vec<PageObjects<'_>> = self.slab.pages_of(kind).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut state = S::default();
            loop {
                let from = next.fetch_add(PAGES, Ordering::Relaxed);
                let Some(mine) = pages.get(from..).filter(|rest| !rest.is_empty()) else {
                    return state;
                };
                show_pages(reader, &mine[..mine.len().min(PAGES)], |at, object| {
                    visit(&mut state, at, object, reader);
                });
            }
        };
        let mut states: Vec<S> = std::thread::scope(|scope| {
            let others = threads.min(pages.len().div_ceil(PAGES)).saturating_sub(1);
            let begun = |_| Builder::new().spawn_scoped(scope, work).ok();
            // Without one, the others do its share.
            let others: Vec<_> = (0..others).map_while(begun).collect();
            let own = work();
            let joined = others.into_iter().map(|other| match other.join() {
                Ok(state) => state,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            std::iter::once(own).chain(joined).collect()
        });
        for offset in self.slab.large_objects(kind) {
            if let (Some(at), Some(object)) = (PPtr::new(offset), reader.load(offset))
                && let Some(state) = states.first_mut()
            {
                visit(state, at, &object, reader);
            }
        }
        states
    }
}

/// Shows the objects of some pages that are not too small.
#[inline]
fn show_pages<T: Persistent>(
    reader: Reader<'_>,
    pages: &[PageObjects<'_>],
    mut show: impl FnMut(PPtr<T>, &T),
) {
    let objects = || {
        let pages = pages.iter();
        let pages = pages.filter(|page| page.slot_size >= size_of::<T>() as u64);
        pages.flat_map(PageObjects::offsets)
    };
    let mut ahead = objects();
    for offset in ahead.by_ref().take(PREFETCH_DISTANCE) {
        reader.prefetch(offset);
    }
    for offset in objects() {
        if let Some(soon) = ahead.next() {
            reader.prefetch(soon);
        }
        if let (Some(at), Some(object)) = (PPtr::new(offset), reader.load(offset)) {
            show(at, &object);
        }
    }
}

/// Runs `work`, which goes over pages that begin at these offsets, while other threads have the
/// system map those behind: it maps a file's pages one fault at a time, which takes longer than to
/// look at them.
pub(super) fn with_pages_mapped<R>(
    reader: Option<Reader<'_>>,
    offsets: &[u64],
    work: impl FnOnce() -> R,
) -> R {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let helpers = (threads - 1).min(HELPERS);
    let (Some(reader), 1.., MANY_PAGES..) = (reader, helpers, offsets.len()) else {
        return work();
    };
    let share = offsets.len().div_ceil(helpers + 1);
    std::thread::scope(|scope| {
        for part in offsets.chunks(share).skip(1) {
            let map = move || {
                for &offset in part {
                    std::hint::black_box(reader.load::<u64>(offset));
                }
            };
            // Without one, `work` has the pages mapped itself.
            if Builder::new().spawn_scoped(scope, map).is_err() {
                break;
            }
        }
        work()
    })
}
