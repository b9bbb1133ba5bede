//! What a transaction collects before it is made durable.

use crate::alloc::run::Run;
use crate::alloc::slab::Slot;
use crate::log_record::{Fill, Writes};
use crate::ptr::TxNumber;

/// What a transaction has collected and not yet made durable; reused from one to the next.
#[derive(Default)]
pub(crate) struct Batch {
    pub(super) writes: Writes,
    pub(super) fills: Vec<Fill>,
    /// Fills that are on their way to the medium already.
    pub(super) streamed: Vec<Fill>,
    pub(super) allocs: Vec<Slot>,
    pub(super) frees: Vec<Slot>,
    pub(super) runs: Vec<Run>,
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
    /// the commit those bytes are anybody's, so the record must not vouch for them.
    #[inline]
    pub(super) fn forget_fills(&mut self, offset: u64, len: u64) {
        for fills in [&mut self.fills, &mut self.streamed] {
            let overlaps = |fill: &Fill| fill.overlaps(offset, offset + len);
            if fills.iter().any(overlaps) {
                subtract(fills, offset, offset + len);
            }
        }
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.writes.clear();
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
}
