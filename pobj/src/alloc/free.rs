//! Free runs of granules, in DRAM: best fit, neighbours coalesce. Every operation is O(log n) in the runs.

use std::collections::{BTreeMap, BTreeSet};

/// Free granules, by their number in the pool (offset divided by the size of a granule).
#[derive(Default)]
pub(crate) struct FreeRuns {
    /// Length by start.
    starts: BTreeMap<u64, u64>,
    /// (Length, start).
    lens: BTreeSet<(u64, u64)>,
    total: u64,
}

impl FreeRuns {
    /// Granules in all runs.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Number of runs.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.starts.len()
    }

    /// Granules of the longest run.
    pub fn longest(&self) -> u64 {
        self.lens.last().map_or(0, |&(len, _)| len)
    }

    fn insert(&mut self, start: u64, len: u64) {
        self.starts.insert(start, len);
        self.lens.insert((len, start));
        self.total += len;
    }

    fn remove(&mut self, start: u64, len: u64) {
        self.starts.remove(&start);
        self.lens.remove(&(len, start));
        self.total -= len;
    }

    /// Adds free granules, none of which may be free already.
    pub fn give(&mut self, mut start: u64, mut len: u64) {
        if len == 0 {
            return;
        }
        let before = self.starts.range(..start).next_back();
        if let Some((&at, &before)) = before {
            debug_assert!(at + before <= start, "a granule is given once");
            if at + before == start {
                self.remove(at, before);
                (start, len) = (at, before + len);
            }
        }
        let after = self.starts.range(start..).next();
        if let Some((&at, &after)) = after {
            debug_assert!(at >= start + len, "a granule is given once");
            if at == start + len {
                self.remove(at, after);
                len += after;
            }
        }
        self.insert(start, len);
    }

    /// Takes `len` granules from the shortest run that has them, the first of equals; the start.
    pub fn take(&mut self, len: u64) -> Option<u64> {
        let &(found, start) = self.lens.range((len, 0)..).next()?;
        self.remove(start, found);
        if found > len {
            self.insert(start + len, found - len);
        }
        Some(start)
    }

    /// Takes up to `most` granules from the end of the longest run: start and length.
    pub fn take_longest(&mut self, most: u64) -> Option<(u64, u64)> {
        let &(found, start) = self.lens.last()?;
        let len = found.min(most);
        if len == 0 {
            return None;
        }
        self.remove(start, found);
        if found > len {
            self.insert(start, found - len);
        }
        Some((start + found - len, len))
    }

    /// Takes a whole run of `len` granules; the start.
    pub fn take_exactly(&mut self, len: u64) -> Option<u64> {
        self.lens.range((len, 0)..=(len, u64::MAX)).next()?;
        self.take(len)
    }

    /// Takes `len` granules from the start of the shortest run of at least `least`, or of any that has them.
    pub fn take_from(&mut self, len: u64, least: u64) -> Option<u64> {
        let long = self.lens.range((len.max(least), 0)..).next().copied();
        match long {
            Some((_, start)) if self.take_at(start, len) => Some(start),
            _ => self.take(len),
        }
    }

    /// The lengths of all runs.
    pub fn lens(&self) -> impl Iterator<Item = u64> {
        self.lens.iter().map(|&(len, _)| len)
    }

    /// All runs: start and length.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.starts.iter().map(|(&start, &len)| (start, len))
    }

    /// Takes exactly these granules, if all of them are free.
    pub fn take_at(&mut self, start: u64, len: u64) -> bool {
        let Some((&at, &found)) = self.starts.range(..=start).next_back() else {
            return false;
        };
        if at + found < start + len {
            return false;
        }
        self.remove(at, found);
        if at < start {
            self.insert(at, start - at);
        }
        if at + found > start + len {
            self.insert(start + len, at + found - (start + len));
        }
        true
    }

    /// All runs, leaving none: start and length.
    pub fn drain(&mut self) -> Vec<(u64, u64)> {
        let all = std::mem::take(self);
        all.starts.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(free: &FreeRuns) -> Vec<(u64, u64)> {
        free.starts
            .iter()
            .map(|(&start, &len)| (start, len))
            .collect()
    }

    #[test]
    fn neighbours_coalesce_on_both_sides() {
        let mut free = FreeRuns::default();
        for (start, len) in [(10, 5), (20, 5), (15, 5), (0, 10), (40, 1)] {
            free.give(start, len);
        }
        assert_eq!(runs(&free), [(0, 25), (40, 1)]);
        assert_eq!((free.total(), free.longest(), free.count()), (26, 25, 2));
    }

    #[test]
    fn the_shortest_run_that_fits_is_taken() {
        let mut free = FreeRuns::default();
        for (start, len) in [(0, 50), (100, 7), (200, 9), (300, 9)] {
            free.give(start, len);
        }
        assert_eq!(free.take(8), Some(200));
        assert_eq!(free.take(1), Some(208));
        assert_eq!(free.take(7), Some(100));
        assert_eq!(free.take(51), None);
        assert_eq!(free.take_longest(20), Some((30, 20)));
        assert_eq!(runs(&free), [(0, 30), (300, 9)]);
    }

    #[test]
    fn a_place_is_taken_only_if_all_of_it_is_free() {
        let mut free = FreeRuns::default();
        free.give(10, 10);
        assert!(!free.take_at(9, 2));
        assert!(!free.take_at(15, 6));
        assert!(free.take_at(12, 3));
        assert!(!free.take_at(14, 1));
        assert_eq!(runs(&free), [(10, 2), (15, 5)]);
        assert_eq!(free.drain(), [(10, 2), (15, 5)]);
        assert_eq!(free.total(), 0);
    }
}
