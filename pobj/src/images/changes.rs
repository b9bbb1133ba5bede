//! Which lines of the pool have changed since the last record of the journal, and which pages the
//! pool's file does not have as they are.
//!
//! A page has 64 lines, so one word a page tells of all of them. Noting a store costs a few
//! nanoseconds; the words are memory that the kernel gives page by page, 8 bytes for each 4 KiB of
//! the pool that are written to.

use super::PAGE;
use crate::layout::LINE;

/// Lines of a page.
const LINES: u64 = PAGE / LINE;
const _: () = assert!(LINES == u64::BITS as u64);

/// Lines that have changed.
pub(crate) struct Changes {
    /// For each page of the pool, a bit for each line.
    lines: Vec<u64>,
    /// Pages of which a bit is set.
    pages: Vec<u64>,
}

impl Changes {
    /// Of a pool of `len` bytes: none.
    pub(crate) fn new(len: u64) -> Changes {
        Changes {
            lines: vec![0; len.div_ceil(PAGE) as usize],
            pages: Vec::new(),
        }
    }

    /// Notes that `len` bytes at `offset`, inside the pool, change.
    #[inline]
    pub(crate) fn note(&mut self, offset: u64, len: u64) {
        if len == 0 {
            return;
        }
        let (first, last) = (offset / LINE, (offset + len - 1) / LINE);
        if first / LINES == last / LINES {
            self.note_lines(first / LINES, mask(first % LINES, last % LINES));
        } else {
            self.note_pages(first, last);
        }
    }

    #[inline]
    fn note_lines(&mut self, page: u64, lines: u64) {
        let known = &mut self.lines[page as usize];
        if *known == 0 {
            self.pages.push(page);
        }
        *known |= lines;
    }

    #[cold]
    fn note_pages(&mut self, first: u64, last: u64) {
        for page in first / LINES..=last / LINES {
            let from = first.max(page * LINES) % LINES;
            let to = last.min(page * LINES + LINES - 1) % LINES;
            self.note_lines(page, mask(from, to));
        }
    }

    /// True if nothing has changed.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// How many pages have lines that have changed.
    pub(crate) fn pages(&self) -> u64 {
        self.pages.len() as u64
    }

    /// Pages with lines that have changed, each with its lines, in the order of the pool.
    pub(crate) fn sorted(&mut self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.pages.sort_unstable();
        let pages = self.pages.iter();
        pages.map(|&page| (page, self.lines[page as usize]))
    }

    /// Forgets all, and shows `forgotten` each page.
    pub(crate) fn clear(&mut self, mut forgotten: impl FnMut(u64)) {
        for page in self.pages.drain(..) {
            self.lines[page as usize] = 0;
            forgotten(page);
        }
    }
}

/// The lines `from` to `to` of a page.
#[inline]
fn mask(from: u64, to: u64) -> u64 {
    (u64::MAX >> (LINES - 1 - (to - from))) << from
}

/// A set of pages.
pub(crate) struct Pages {
    words: Vec<u64>,
    count: u64,
}

impl Pages {
    /// Of a pool of `len` bytes: none.
    pub(crate) fn new(len: u64) -> Pages {
        Pages {
            words: vec![0; len.div_ceil(PAGE).div_ceil(64) as usize],
            count: 0,
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Adds a page.
    #[inline]
    pub(crate) fn insert(&mut self, page: u64) {
        let (word, bit) = (&mut self.words[(page / 64) as usize], 1 << (page % 64));
        self.count += u64::from(*word & bit == 0);
        *word |= bit;
    }

    /// Takes a page out; false if it was not in.
    pub(crate) fn remove(&mut self, page: u64) -> bool {
        let (word, bit) = (&mut self.words[(page / 64) as usize], 1 << (page % 64));
        let was_in = *word & bit != 0;
        *word &= !bit;
        self.count -= u64::from(was_in);
        was_in
    }

    /// The first page at or after `from`.
    pub(crate) fn next(&self, from: u64) -> Option<u64> {
        let mut word = (from / 64) as usize;
        let mut bits = self.words.get(word)? & (u64::MAX << (from % 64));
        while bits == 0 {
            word += 1;
            bits = *self.words.get(word)?;
        }
        Some(word as u64 * 64 + u64::from(bits.trailing_zeros()))
    }

    /// The first page at or after `from` that is in none of the other sets.
    pub(crate) fn next_without(&self, from: u64, others: [&Pages; 2]) -> Option<u64> {
        let mut word = (from / 64) as usize;
        let mut mask = u64::MAX << (from % 64);
        while let Some(bits) = self.words.get(word) {
            let taken = others[0].words[word] | others[1].words[word];
            let bits = bits & !taken & mask;
            if bits != 0 {
                return Some(word as u64 * 64 + u64::from(bits.trailing_zeros()));
            }
            mask = u64::MAX;
            word += 1;
        }
        None
    }

    /// Takes all out.
    pub(crate) fn clear(&mut self) {
        if self.count > 0 {
            self.words.fill(0);
            self.count = 0;
        }
    }

    /// Adds all pages of another set of the same pool.
    pub(crate) fn extend(&mut self, other: &Pages) {
        let mut at = 0;
        while let Some(page) = other.next(at) {
            self.insert(page);
            at = page + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(ranges: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let mut changes = Changes::new(10 * PAGE);
        for &(offset, len) in ranges {
            changes.note(offset, len);
        }
        changes.sorted().collect()
    }

    #[test]
    fn lines_are_noted_by_page() {
        assert_eq!(noted(&[(0, 0)]), []);
        assert_eq!(noted(&[(70, 1), (0, 1)]), [(0, 0b11)]);
        assert_eq!(noted(&[(PAGE - 1, 1)]), [(0, 1 << 63)]);
        assert_eq!(noted(&[(5 * PAGE, PAGE)]), [(5, u64::MAX)]);
        let wide = noted(&[(2 * PAGE - 64, PAGE + 65), (64, 64)]);
        assert_eq!(wide, [(0, 2), (1, 1 << 63), (2, u64::MAX), (3, 1)]);
    }

    #[test]
    fn what_is_forgotten_can_be_noted_again() {
        let mut changes = Changes::new(4 * PAGE);
        changes.note(PAGE, 1);
        changes.note(3 * PAGE, 1);
        let mut forgotten = Vec::new();
        changes.clear(|page| forgotten.push(page));
        assert_eq!(forgotten, [1, 3]);
        assert!(changes.is_empty());
        changes.note(PAGE + 64, 1);
        assert_eq!(changes.sorted().collect::<Vec<_>>(), [(1, 2)]);
    }

    #[test]
    fn a_set_of_pages_is_walked_in_order() {
        let mut pages = Pages::new(300 * PAGE);
        for page in [299, 0, 64, 63, 64] {
            pages.insert(page);
        }
        assert_eq!(pages.count(), 4);
        assert!(pages.remove(63) && !pages.remove(63));
        let mut more = Pages::new(300 * PAGE);
        more.insert(128);
        more.extend(&pages);
        let mut at = 0;
        let mut walked = Vec::new();
        while let Some(page) = more.next(at) {
            walked.push(page);
            at = page + 1;
        }
        assert_eq!((walked, more.count()), (vec![0, 64, 128, 299], 4));
        let none = Pages::new(300 * PAGE);
        let without = |from| more.next_without(from, [&none, &pages]);
        assert_eq!([0, 128, 129].map(without), [Some(128), Some(128), None]);
        assert_eq!(more.next_without(0, [&more, &none]), None);
    }
}
