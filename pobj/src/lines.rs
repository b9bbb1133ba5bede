//! Cache lines of byte ranges.

use crate::layout::LINE;

/// Number of cache lines that `len` bytes at `offset` touch.
#[inline]
pub(crate) fn lines(offset: u64, len: u64) -> u64 {
    if len == 0 {
        0
    } else {
        (offset + len - 1) / LINE - offset / LINE + 1
    }
}

/// Runs of lines to be flushed, each line once where neighbours share it.
#[derive(Default)]
pub(crate) struct Lines {
    /// Where each run starts and ends.
    runs: Vec<(u64, u64)>,
}

impl Lines {
    /// Adds the lines of `len` bytes at `offset`.
    #[inline]
    pub(crate) fn add(&mut self, offset: u64, len: u64) {
        let (from, to) = (offset & !(LINE - 1), (offset + len).next_multiple_of(LINE));
        match self.runs.last_mut() {
            Some((start, end)) if *start <= from && from <= *end => *end = to.max(*end),
            _ => self.runs.push((from, to)),
        }
    }

    /// True if there are none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
    }

    /// Takes the runs out, as offset and length.
    #[inline]
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.runs.drain(..).map(|(start, end)| (start, end - start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_touched() {
        assert_eq!(
            [lines(0, 0), lines(0, 1), lines(63, 1), lines(63, 2)],
            [0, 1, 1, 2]
        );
        assert_eq!([lines(64, 64), lines(65, 64), lines(60, 200)], [1, 2, 5]);
    }

    #[test]
    fn neighbours_share_a_run() {
        let mut dirty = Lines::default();
        for (offset, len) in [(640, 8), (650, 60), (768, 1), (100, 8), (64, 8)] {
            dirty.add(offset, len);
        }
        let runs: Vec<_> = dirty.drain().collect();
        assert_eq!(runs, [(640, 192), (64, 64)]);
        assert_eq!(dirty.drain().count(), 0);
    }
}
