//! Free runs of granules, in DRAM: best fit, neighbours coalesce.
//!
//! A free run is *marked* at its first and at its last granule, with its length: so what is given
//! finds its neighbours in O(1). By length, short runs stand in a heap for each length, ordered by
//! place, and the others in a tree. A heap may have runs that are not there any more, or have
//! another length: the marks tell.
//!
//! Cost: giving and taking short runs is O(1) and O(log n) in the runs of that length, longer ones
//! O(log n). Four bytes of DRAM a granule, but only for stretches of [`CHUNK`] granules in which a
//! run has begun or ended.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// The longest of the runs that are short, in granules.
const SHORT: u64 = 1023;
/// Words that have a bit for each length of those.
const WORDS: usize = (SHORT as usize + 1) / 64;
const _: () = assert!(WORDS <= u32::BITS as usize);
/// Granules whose marks are allocated together.
const CHUNK: u64 = 1024;
/// Set in the mark of a run's first granule.
const FIRST: u32 = 1 << 31;

/// Where free runs begin and end.
#[derive(Default)]
struct Marks {
    chunks: Vec<Option<Box<[u32; CHUNK as usize]>>>,
}

impl Marks {
    #[inline]
    fn get(&self, granule: u64) -> u32 {
        let chunk = self.chunks.get((granule / CHUNK) as usize);
        let chunk = chunk.and_then(Option::as_deref);
        chunk.map_or(0, |chunk| chunk[(granule % CHUNK) as usize])
    }

    #[inline]
    fn set(&mut self, granule: u64, mark: u32) {
        match self.chunks.get_mut((granule / CHUNK) as usize) {
            Some(Some(chunk)) => chunk[(granule % CHUNK) as usize] = mark,
            _ => self.set_first(granule, mark),
        }
    }

    /// [`Marks::set`] where nothing was marked yet.
    #[cold]
    fn set_first(&mut self, granule: u64, mark: u32) {
        let at = (granule / CHUNK) as usize;
        if at >= self.chunks.len() {
            self.chunks.resize(at + 1, None);
        }
        let chunk = self.chunks[at].get_or_insert_with(|| Box::new([0; CHUNK as usize]));
        chunk[(granule % CHUNK) as usize] = mark;
    }

    /// The length of the run that begins with this granule.
    #[inline]
    fn begins(&self, granule: u64) -> Option<u64> {
        let mark = self.get(granule);
        (mark & FIRST != 0).then_some(u64::from(mark & !FIRST))
    }

    /// The length of the run that ends with this granule.
    #[inline]
    fn ends(&self, granule: u64) -> Option<u64> {
        let mark = self.get(granule);
        let ends = mark & FIRST == 0 || mark == FIRST | 1;
        (mark != 0 && ends).then_some(u64::from(mark & !FIRST))
    }

    /// The run that begins last, up to this granule.
    fn last_begun(&self, granule: u64) -> Option<(u64, u64)> {
        let mut end = granule + 1;
        for at in (0..=granule / CHUNK).rev() {
            let start = at * CHUNK;
            let chunk = self.chunks.get(at as usize).and_then(Option::as_deref);
            let marks = chunk.map_or(&[][..], |chunk| &chunk[..(end - start) as usize]);
            if let Some(found) = marks.iter().rposition(|&mark| mark & FIRST != 0) {
                return Some((start + found as u64, u64::from(marks[found] & !FIRST)));
            }
            end = start;
        }
        None
    }
}

/// The runs of one length.
struct Bin {
    /// How many there are.
    count: usize,
    /// Where one of them begins, or began before it was gone: most bins have no more.
    one: u64,
    /// Where the others begin, and some that are gone.
    starts: BinaryHeap<Reverse<u64>>,
}

/// No run.
const NONE: u64 = u64::MAX;

impl Bin {
    fn new() -> Bin {
        Bin {
            count: 0,
            one: NONE,
            starts: BinaryHeap::new(),
        }
    }

    /// Forgets most of what is gone: `is_there` says what is not.
    #[cold]
    fn prune(&mut self, is_there: impl Fn(u64) -> bool) {
        let mut starts = std::mem::take(&mut self.starts).into_vec();
        starts.retain(|&Reverse(start)| is_there(start));
        starts.sort_unstable();
        starts.dedup();
        self.starts = starts.into();
    }

    /// Where the first begins of those that are there.
    fn first(&mut self, is_there: impl Fn(u64) -> bool) -> Option<u64> {
        if self.one != NONE && !is_there(self.one) {
            self.one = NONE;
        }
        while let Some(&Reverse(start)) = self.starts.peek() {
            if is_there(start) {
                return Some(start.min(self.one));
            }
            self.starts.pop();
        }
        (self.one != NONE).then_some(self.one)
    }
}

/// Free granules, by their number in the pool (offset divided by the size of a granule).
pub(crate) struct FreeRuns {
    marks: Marks,
    /// By length.
    bins: Vec<Bin>,
    /// Which bins have runs, and which of these words are not zero.
    used: [u64; WORDS],
    used_words: u32,
    /// The others: (length, start).
    long: BTreeSet<(u64, u64)>,
    total: u64,
}

impl Default for FreeRuns {
    fn default() -> FreeRuns {
        FreeRuns {
            marks: Marks::default(),
            bins: (0..=SHORT).map(|_| Bin::new()).collect(),
            used: [0; WORDS],
            used_words: 0,
            long: BTreeSet::new(),
            total: 0,
        }
    }
}

impl FreeRuns {
    /// Granules in all runs.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Granules of the longest run.
    pub(crate) fn longest(&self) -> u64 {
        let short = || match self.used_words.checked_ilog2() {
            Some(at) => u64::from(at) * 64 + u64::from(self.used[at as usize].ilog2()),
            None => 0,
        };
        self.long.last().map_or_else(short, |&(len, _)| len)
    }

    fn insert(&mut self, start: u64, len: u64) {
        self.total += len;
        self.enter(start, len);
    }

    fn remove(&mut self, start: u64, len: u64) {
        self.take_first(len, (start, len));
    }

    /// Marks a run that counts already, and enters it by its length.
    #[inline(always)]
    fn enter(&mut self, start: u64, len: u64) {
        debug_assert!(len < u64::from(FIRST), "an extent is shorter");
        self.marks.set(start + len - 1, len as u32);
        self.marks.set(start, FIRST | len as u32);
        self.list(start, len);
    }

    /// Enters a marked run by its length.
    #[inline(always)]
    fn list(&mut self, start: u64, len: u64) {
        let Some(bin) = self.bins.get_mut(len as usize) else {
            self.long.insert((len, start));
            return;
        };
        bin.count += 1;
        if bin.count == 1 {
            bin.one = start;
            self.used[(len / 64) as usize] |= 1 << (len % 64);
            self.used_words |= 1 << (len / 64);
            return;
        }
        bin.starts.push(Reverse(start));
        if bin.starts.len() > 4 * bin.count + 64 {
            bin.prune(|start| self.marks.begins(start) == Some(len));
        }
    }

    /// Takes a run out by its length.
    #[inline(always)]
    fn delist(&mut self, start: u64, len: u64) {
        let Some(bin) = self.bins.get_mut(len as usize) else {
            self.long.remove(&(len, start));
            return;
        };
        bin.count -= 1;
        if bin.count == 0 {
            bin.one = NONE;
            bin.starts.clear();
            let word = &mut self.used[(len / 64) as usize];
            *word &= !(1 << (len % 64));
            self.used_words &= !(u32::from(*word == 0) << (len / 64));
        }
    }

    /// Adds free granules, none of which may be free already.
    pub(crate) fn give(&mut self, mut start: u64, mut len: u64) {
        if len == 0 {
            return;
        }
        debug_assert!(
            self.marks
                .last_begun(start + len - 1)
                .is_none_or(|(at, found)| at + found <= start),
            "a granule is given once"
        );
        self.total += len;
        // Marks that the whole run gets are not cleared before.
        if let Some(before) = start.checked_sub(1).and_then(|last| self.marks.ends(last)) {
            self.marks.set(start - 1, 0);
            start -= before;
            self.delist(start, before);
            len += before;
        }
        if let Some(after) = self.marks.begins(start + len) {
            self.marks.set(start + len, 0);
            self.delist(start + len, after);
            len += after;
        }
        self.enter(start, len);
    }

    /// The least length of at least `least`, up to [`SHORT`], of which there are runs.
    #[inline]
    fn short_len(&self, least: u64) -> Option<u64> {
        let word = (least / 64) as usize;
        let rest = self.used.get(word)? >> (least % 64);
        if rest != 0 {
            return Some(least + u64::from(rest.trailing_zeros()));
        }
        let words = self.used_words >> word >> 1;
        let word = (words != 0).then(|| word + 1 + words.trailing_zeros() as usize)?;
        Some(word as u64 * 64 + u64::from(self.used[word].trailing_zeros()))
    }

    /// The shortest run of at least `least` granules, the first of equals: start and length.
    #[inline]
    fn shortest(&mut self, mut least: u64) -> Option<(u64, u64)> {
        if self.total < least {
            return None;
        }
        while let Some(len) = self.short_len(least) {
            let marks = &self.marks;
            let first = self.bins[len as usize].first(|start| marks.begins(start) == Some(len));
            if let Some(start) = first {
                return Some((start, len));
            }
            debug_assert!(false, "a bin has as many runs as it counts");
            least = len + 1;
        }
        let &(len, start) = self.long.range((least, 0)..).next()?;
        Some((start, len))
    }

    /// Takes the first `len` granules of a run, which may be all; the start.
    #[inline]
    fn take_first(&mut self, len: u64, (start, found): (u64, u64)) -> u64 {
        self.marks.set(start, 0);
        self.delist(start, found);
        self.total -= len;
        // The last mark changes only once.
        if found > len {
            self.enter(start + len, found - len);
        } else {
            self.marks.set(start + found - 1, 0);
        }
        start
    }

    /// The run, if there is only one: start and length.
    pub(crate) fn only(&mut self) -> Option<(u64, u64)> {
        let run = self.shortest(self.longest())?;
        (run.1 == self.total).then_some(run)
    }

    /// Whether runs end right before `start` and begin right behind `len` granules from there.
    pub(crate) fn are_beside(&self, start: u64, len: u64) -> bool {
        let before = start.checked_sub(1).and_then(|last| self.marks.ends(last));
        before.is_some() && self.marks.begins(start + len).is_some()
    }

    /// Takes `len` granules from the shortest run that has them, the first of equals; the start.
    #[inline]
    pub(crate) fn take(&mut self, len: u64) -> Option<u64> {
        if self.total < len {
            return None;
        }
        let run = self.shortest(len)?;
        Some(self.take_first(len, run))
    }

    /// Takes up to `most` granules from the end of the longest run: start and length.
    pub(crate) fn take_longest(&mut self, most: u64) -> Option<(u64, u64)> {
        let (start, found) = match self.long.last() {
            Some(&(len, start)) => (start, len),
            None => self.shortest(self.longest())?,
        };
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
    pub(crate) fn take_exactly(&mut self, len: u64) -> Option<u64> {
        let run = self.shortest(len).filter(|&(_, found)| found == len)?;
        Some(self.take_first(len, run))
    }

    /// Takes `len` granules from the start of the shortest run of at least `least`, or of any that
    /// has them.
    pub(crate) fn take_from(&mut self, len: u64, least: u64) -> Option<u64> {
        match self.shortest(len.max(least)) {
            Some(run) => Some(self.take_first(len, run)),
            None => self.take(len),
        }
    }

    /// The lengths of all runs.
    pub(crate) fn lens(&self) -> impl Iterator<Item = u64> {
        let short = (0..).zip(&self.bins);
        let short = short.flat_map(|(len, bin)| std::iter::repeat_n(len, bin.count));
        short.chain(self.long.iter().map(|&(len, _)| len))
    }

    /// All runs, in order: start and length. O(granules of the stretches that have some).
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        let chunks = (0..).zip(&self.marks.chunks);
        let chunks = chunks.filter_map(|(at, chunk)| Some((at, chunk.as_deref()?)));
        chunks.flat_map(|(at, chunk)| {
            let marks = (at * CHUNK..).zip(chunk);
            let begun = marks.filter(|&(_, mark)| mark & FIRST != 0);
            begun.map(|(start, mark)| (start, u64::from(mark & !FIRST)))
        })
    }

    /// Takes exactly these granules, if all of them are free.
    pub(crate) fn take_at(&mut self, start: u64, len: u64) -> bool {
        let Some((at, found)) = self.marks.last_begun(start) else {
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
    pub(crate) fn drain(&mut self) -> Vec<(u64, u64)> {
        if self.total == 0 {
            return Vec::new();
        }
        let all: Vec<(u64, u64)> = self.iter().collect();
        for &(start, len) in &all {
            self.remove(start, len);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn runs(free: &FreeRuns) -> Vec<(u64, u64)> {
        free.iter().collect()
    }

    #[test]
    fn neighbours_coalesce_on_both_sides() {
        let mut free = FreeRuns::default();
        for (start, len) in [(10, 5), (20, 5), (15, 5), (0, 10), (40, 1)] {
            free.give(start, len);
        }
        assert_eq!(runs(&free), [(0, 25), (40, 1)]);
        assert_eq!(
            (free.total(), free.longest(), runs(&free).len()),
            (26, 25, 2)
        );
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

    /// The same in the plainest form: length by start.
    #[derive(Default)]
    struct Model(BTreeMap<u64, u64>);

    impl Model {
        fn give(&mut self, mut start: u64, mut len: u64) {
            if let Some((&at, &before)) = self.0.range(..start).next_back()
                && at + before == start
            {
                self.0.remove(&at);
                (start, len) = (at, before + len);
            }
            if let Some(after) = self.0.remove(&(start + len)) {
                len += after;
            }
            self.0.insert(start, len);
        }

        fn take(&mut self, len: u64) -> Option<u64> {
            let fits = self.0.iter().filter(|&(_, &found)| found >= len);
            let (&start, &found) = fits.min_by_key(|&(&start, &found)| (found, start))?;
            self.0.remove(&start);
            if found > len {
                self.0.insert(start + len, found - len);
            }
            Some(start)
        }
    }

    #[test]
    fn it_is_as_the_model_says() {
        const GRANULES: u64 = 40_000;
        let mut random = fastrand::Rng::with_seed(7);
        let (mut free, mut model) = (FreeRuns::default(), Model::default());
        free.give(0, GRANULES);
        model.give(0, GRANULES);
        let mut taken: Vec<(u64, u64)> = Vec::new();
        for step in 0..40_000 {
            if random.u32(..100) < 52 || taken.is_empty() {
                let len = match random.u32(..10) {
                    0 => random.u64(1..2000),
                    1..4 => random.u64(1..300),
                    _ => random.u64(1..20),
                };
                let start = free.take(len);
                assert_eq!(start, model.take(len), "step {step}");
                taken.extend(start.map(|start| (start, len)));
            } else {
                let (start, len) = taken.swap_remove(random.usize(..taken.len()));
                free.give(start, len);
                model.give(start, len);
                if random.u32(..10) == 0 {
                    // What was given is taken at its place, as when a group is rolled back.
                    assert!(free.take_at(start, len), "step {step}");
                    free.give(start, len);
                }
            }
            if step % 100 == 0 {
                let all: Vec<_> = model.0.iter().map(|(&start, &len)| (start, len)).collect();
                assert_eq!(runs(&free), all, "step {step}");
                assert_eq!(free.total(), all.iter().map(|&(_, len)| len).sum::<u64>());
                let longest = all.iter().map(|&(_, len)| len).max();
                assert_eq!(free.longest(), longest.unwrap_or(0));
                let mut lens: Vec<_> = free.lens().collect();
                lens.sort_unstable();
                let mut known: Vec<_> = all.iter().map(|&(_, len)| len).collect();
                known.sort_unstable();
                assert_eq!(lens, known, "step {step}");
            }
        }
    }
}
