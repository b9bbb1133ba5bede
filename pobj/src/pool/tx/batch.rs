//! What a transaction collects before it is made durable.

use super::made::Made;
use crate::alloc::run::Run;
use crate::alloc::slab::Slot;
use crate::log_record::{Fill, Writes};
use crate::ptr::TxNumber;
use std::collections::BTreeMap;

/// So many fills are looked through where a part of them is to be forgotten.
const SCAN_MAX: usize = 32;

/// What a transaction has collected and not yet made durable; reused from one to the next.
#[derive(Default)]
pub(crate) struct Batch {
    pub(super) writes: Writes,
    pub(super) fills: Vec<Fill>,
    /// Fills that are on their way to the medium already.
    pub(super) streamed: Vec<Fill>,
    /// Fills of these two lists that were sorted, as there were many when some were forgotten:
    /// offsets and ends, of ranges that do not touch. [`Batch::settle_fills`] puts them back.
    sorted: [BTreeMap<u64, u64>; 2],
    has_sorted: bool,
    pub(super) allocs: Made<Slot>,
    pub(super) frees: Vec<Slot>,
    pub(super) runs: Made<Run>,
    pub(super) run_frees: Vec<Run>,
    /// Offsets of slab pages that this batch makes.
    pub(super) pages: Vec<u64>,
    /// Offsets of large objects of libpmemobj's that it frees.
    pub(super) object_frees: Vec<u64>,
    /// The transaction whose changes these are.
    pub(super) tx: TxNumber,
    /// One of the four lists before may have something: most batches have nothing to do with them.
    changes_runs: bool,
}

impl Batch {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
            && self.fills.is_empty()
            && self.streamed.is_empty()
            && self.allocs.is_empty()
            && self.frees.is_empty()
            && !self.has_runs()
    }

    /// Offsets of the slab pages that this batch makes.
    pub(crate) fn pages(&self) -> &[u64] {
        &self.pages
    }

    /// True if words of runs change.
    #[inline]
    pub(super) fn has_runs(&self) -> bool {
        self.changes_runs
    }

    /// True if the words of more runs change than those of the runs that it frees.
    #[inline]
    pub(super) fn makes_runs(&self) -> bool {
        !(self.runs.is_empty() && self.pages.is_empty() && self.object_frees.is_empty())
    }

    /// Notes a run that this batch allocates.
    pub(super) fn allocate_run(&mut self, run: Run) {
        self.runs.push(run);
        self.changes_runs = true;
    }

    /// Notes a run that it frees.
    pub(super) fn free_run(&mut self, run: Run) {
        self.run_frees.push(run);
        self.changes_runs = true;
    }

    /// Notes a slab page that it makes.
    pub(super) fn make_page(&mut self, offset: u64) {
        self.pages.push(offset);
        self.changes_runs = true;
    }

    /// Notes a large object of libpmemobj's that it frees.
    pub(super) fn free_object(&mut self, offset: u64) {
        self.object_frees.push(offset);
        self.changes_runs = true;
    }

    /// Bytes filled, but those that are on their way to the medium.
    #[inline]
    pub(super) fn filled(&self) -> u64 {
        match self.fills.as_slice() {
            [] => 0,
            [fill] => fill.len,
            fills => fills.iter().map(|fill| fill.len).sum(),
        }
    }

    /// True if slots are allocated or freed.
    #[inline]
    pub(super) fn has_slots(&self) -> bool {
        !(self.allocs.is_empty() && self.frees.is_empty())
    }

    /// Forgets what was filled into an object of `len` bytes at `offset` that is given back: after
    /// the commit those bytes are anybody's, so the record must not vouch for them. O(log n) for
    /// each object and each fill of a batch.
    #[inline]
    pub(super) fn forget_fills(&mut self, offset: u64, len: u64) {
        let overlaps = |fill: &Fill| fill.overlaps(offset, offset + len);
        if self.has_sorted
            || self.fills.len() + self.streamed.len() > SCAN_MAX
            || self.fills.iter().any(overlaps)
            || self.streamed.iter().any(overlaps)
        {
            self.cut_fills(offset, len);
        }
    }

    /// [`Batch::forget_fills`] where there are many, or some that overlap.
    #[inline(never)]
    fn cut_fills(&mut self, offset: u64, len: u64) {
        let lists = [&mut self.fills, &mut self.streamed];
        for (fills, sorted) in lists.into_iter().zip(&mut self.sorted) {
            if fills.len() > SCAN_MAX {
                sort(fills, sorted);
                self.has_sorted = true;
            }
            let overlaps = |fill: &Fill| fill.overlaps(offset, offset + len);
            if fills.iter().any(overlaps) {
                subtract(fills, offset, offset + len);
            }
            if !sorted.is_empty() {
                cut(sorted, offset, offset + len);
            }
        }
    }

    /// Puts the fills that were sorted back into their lists. Before these are read.
    #[inline]
    pub(super) fn settle_fills(&mut self) {
        if self.has_sorted {
            self.put_sorted_back();
        }
    }

    #[cold]
    fn put_sorted_back(&mut self) {
        self.has_sorted = false;
        let lists = [&mut self.fills, &mut self.streamed];
        for (fills, sorted) in lists.into_iter().zip(&mut self.sorted) {
            let sorted = std::mem::take(sorted).into_iter();
            fills.extend(sorted.map(|(offset, end)| Fill {
                offset,
                len: end - offset,
            }));
        }
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.writes.clear();
        self.settle_fills();
        self.fills.clear();
        self.streamed.clear();
        self.allocs.clear();
        self.frees.clear();
        if self.has_runs() {
            self.runs.clear();
            self.run_frees.clear();
            self.pages.clear();
            self.object_frees.clear();
            self.changes_runs = false;
        }
    }
}

/// Adds fills to those that are sorted, as one where they touch.
#[cold]
fn sort(fills: &mut Vec<Fill>, sorted: &mut BTreeMap<u64, u64>) {
    for fill in fills.drain(..) {
        let (mut start, mut end) = (fill.offset, fill.offset + fill.len);
        while let Some((&from, &to)) = sorted.range(..=end).next_back()
            && to >= start
        {
            sorted.remove(&from);
            (start, end) = (start.min(from), end.max(to));
        }
        sorted.insert(start, end);
    }
}

/// Cuts the bytes from `start` to `end` out of ranges that are sorted.
#[cold]
fn cut(sorted: &mut BTreeMap<u64, u64>, start: u64, end: u64) {
    while let Some((&from, &to)) = sorted.range(..end).next_back()
        && to > start
    {
        sorted.remove(&from);
        if from < start {
            sorted.insert(from, start);
        }
        if to > end {
            sorted.insert(end, to);
        }
    }
}

/// Cuts the bytes from `start` to `end` out of each range.
#[cold]
fn subtract(fills: &mut Vec<Fill>, start: u64, end: u64) {
    let rest = fills.iter().flat_map(|fill| {
        let fill_end = fill.offset + fill.len;
        let before = (fill.offset, fill_end.min(start));
        let after = (fill.offset.max(end), fill_end);
        [before, after]
    });
    let rest = rest.filter(|(from, to)| from < to);
    *fills = rest
        .map(|(from, to)| Fill {
            offset: from,
            len: to - from,
        })
        .collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(offset: u64, len: u64) -> Fill {
        Fill { offset, len }
    }

    #[test]
    fn subtracting_cuts_only_what_overlaps() {
        let all = vec![fill(100, 50), fill(200, 50)];
        let cut = |start, end| {
            let mut fills = all.clone();
            subtract(&mut fills, start, end);
            fills
        };
        assert_eq!(cut(0, 100), all);
        assert_eq!(cut(150, 200), all);
        assert_eq!(cut(100, 150), [fill(200, 50)]);
        assert_eq!(cut(110, 120), [fill(100, 10), fill(120, 30), fill(200, 50)]);
        assert_eq!(cut(140, 210), [fill(100, 40), fill(210, 40)]);
        assert_eq!(cut(0, 300), []);
    }

    /// What is left of fills is the same however many there are, and whether they are sorted.
    #[test]
    fn many_fills_are_forgotten_as_few_are() {
        const BYTES: usize = 4000;
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..30 {
            let mut batch = Batch::default();
            let mut model = [[false; BYTES]; 2];
            for _ in 0..rng.usize(..400) {
                let list = rng.usize(..2);
                let (offset, len) = (rng.usize(..BYTES - 40), rng.usize(1..40));
                let bytes = offset..offset + len;
                if rng.u32(..4) > 0 {
                    let fills = [&mut batch.fills, &mut batch.streamed];
                    fills[list].push(fill(offset as u64, len as u64));
                    model[list][bytes].fill(true);
                } else {
                    batch.forget_fills(offset as u64, len as u64);
                    model
                        .iter_mut()
                        .for_each(|list| list[bytes.clone()].fill(false));
                }
            }
            batch.settle_fills();
            for (fills, model) in [&batch.fills, &batch.streamed].into_iter().zip(model) {
                let mut found = [false; BYTES];
                for fill in fills {
                    found[fill.offset as usize..][..fill.len as usize].fill(true);
                }
                assert!(found == model);
            }
            batch.clear();
            assert!(batch.is_empty());
        }
    }

    /// No more than these are looked through, however many there were.
    #[test]
    fn of_many_fills_few_stay_unsorted() {
        let mut batch = Batch::default();
        for n in 0..10_000 {
            batch.fills.push(fill(n * 100, 50));
            batch.forget_fills(n * 100 + 10, 10);
            assert!(batch.fills.len() <= SCAN_MAX + 2);
        }
        batch.settle_fills();
        assert_eq!(batch.fills.len(), 20_000);
        assert_eq!(batch.filled(), 10_000 * 40);
    }
}
