//! Which records of the pool Redis's keyspace does not show yet, found by the hash of their keys.
//!
//! It is made at the start, by several threads, of the hashes that the records have on media (see
//! [`record`](crate::record)), so that no key is read for it; it shrinks as keys are shown, and is
//! dropped when all are. An entry is eight bytes: 19 bits of the hash and the record's offset.
//! Entries lie in 512 buckets by the hash's highest 9 bits. Before the first look-up in a bucket it
//! is sorted, into short ranges by the next bits, so that a look-up compares the entries of one
//! range: of ten million entries a bucket has 20,000, which takes some 0.2 ms. A thread does so for
//! all buckets, or the look-up itself where it comes first. Of a hash's 32 bits 28 are compared;
//! whether a record is that of a key only the key tells.
//!
//! Invariant: each entry is the record of a key that the keyspace does not show, or of one that was
//! flushed since, and an allocated record in any case: before such a record is freed, its entry is
//! taken out.

use crate::record::RecordPtr;
use pobj::PPtr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Buckets, by the highest bits of the hash.
const BUCKETS: usize = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 9;
/// Bits of an entry that hold the offset, in units of 8 bytes.
const OFFSET_BITS: u32 = 45;
/// Bits of the hash in an entry: those below the bucket's.
const HASH_BITS: u32 = 64 - OFFSET_BITS;
/// Entries of a range, on average, at most.
const RANGE: usize = 48;
/// Entries between the one that is taken and the one that will be.
const PREFETCH_DISTANCE: usize = 16;
/// Entries in all for which a thread is worth it.
const MANY: u64 = 50_000;

fn bucket_of(check: u32) -> usize {
    (check >> (32 - BUCKET_BITS)) as usize
}

/// The bits of a hash that an entry has, in the entry's lowest ones.
fn hash_of(check: u32) -> u64 {
    u64::from(check >> (32 - BUCKET_BITS - HASH_BITS)) & ((1 << HASH_BITS) - 1)
}

fn entry(check: u32, record: RecordPtr) -> u64 {
    debug_assert!(record.offset().is_multiple_of(8) && record.offset() >> 3 >> OFFSET_BITS == 0);
    hash_of(check) << OFFSET_BITS | record.offset() >> 3
}

fn record_of(entry: u64) -> Option<RecordPtr> {
    PPtr::new((entry & ((1 << OFFSET_BITS) - 1)) << 3)
}

/// What one thread has found.
#[derive(Default)]
pub(super) struct FoundRecords {
    /// By bucket; empty, or all of them.
    buckets: Vec<Vec<u64>>,
}

impl FoundRecords {
    /// Adds a record whose key has the hash `check`; about `expected` will have been added in the
    /// end.
    #[inline]
    pub(super) fn add(&mut self, check: u32, record: RecordPtr, expected: usize) {
        if self.buckets.is_empty() {
            let capacity = expected / BUCKETS * 9 / 8;
            self.buckets = (0..BUCKETS).map(|_| Vec::with_capacity(capacity)).collect();
        }
        self.buckets[bucket_of(check)].push(entry(check, record));
    }
}

/// The entries of one bucket.
#[derive(Default)]
struct Bucket {
    /// As the threads have found them, until the bucket is sorted; then empty.
    found: Vec<Vec<u64>>,
    entries: Vec<u64>,
    /// Start and length of each range; a power of two of them. Empty until the bucket is sorted.
    ranges: Vec<(u32, u32)>,
    left: usize,
}

impl Bucket {
    /// Sorts entries into ranges. O(entries).
    #[cold]
    fn sort(&mut self) {
        let found = std::mem::take(&mut self.found);
        let len = self.left;
        let ranges = len.div_ceil(RANGE).next_power_of_two().min(1 << HASH_BITS);
        (self.entries, self.ranges) = (vec![0; len], vec![(0, 0); ranges]);
        for &entry in found.iter().flatten() {
            let range = self.range_of(entry >> OFFSET_BITS);
            self.ranges[range].1 += 1;
        }
        let mut start = 0;
        for range in &mut self.ranges {
            range.0 = start;
            start += std::mem::take(&mut range.1);
        }
        for &entry in found.iter().flatten() {
            let range = self.range_of(entry >> OFFSET_BITS);
            let (start, len) = &mut self.ranges[range];
            self.entries[(*start + *len) as usize] = entry;
            *len += 1;
        }
    }

    /// Takes any entry of a bucket that is not sorted, and tells one that will be taken a little
    /// later.
    fn pop_found(&mut self) -> Option<(u64, Option<u64>)> {
        loop {
            let last = self.found.last_mut()?;
            match last.pop() {
                None => drop(self.found.pop()),
                Some(entry) => {
                    self.left -= 1;
                    let soon = last.len().checked_sub(PREFETCH_DISTANCE);
                    return Some((entry, soon.map(|at| last[at])));
                }
            }
        }
    }

    fn range_of(&self, hash: u64) -> usize {
        // The highest bits of those that an entry has.
        let bits = self.ranges.len().trailing_zeros();
        (hash >> (HASH_BITS - bits)) as usize
    }

    fn is_sorted(&self) -> bool {
        self.left == 0 || !self.ranges.is_empty()
    }

    /// Takes out the entries of this hash that are wanted.
    fn take(&mut self, hash: u64, mut wanted: impl FnMut(RecordPtr) -> bool) {
        if self.left == 0 {
            return;
        }
        if !self.is_sorted() {
            self.sort();
        }
        let range = self.range_of(hash);
        let (start, len) = self.ranges[range];
        let (start, mut len) = (start as usize, len as usize);
        let mut at = start;
        while at < start + len {
            let entry = self.entries[at];
            if entry >> OFFSET_BITS == hash && record_of(entry).is_some_and(&mut wanted) {
                len -= 1;
                self.left -= 1;
                self.entries.swap(at, start + len);
            } else {
                at += 1;
            }
        }
        self.ranges[range].1 = len as u32;
    }
}

/// The buckets that [`Index::next`] has not come to yet, and others that are empty.
type Buckets = [Mutex<Bucket>];

fn lock(bucket: &Mutex<Bucket>) -> MutexGuard<'_, Bucket> {
    bucket.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sorts all buckets, the last one first: they are emptied from the first one on.
fn sort_all(buckets: &Arc<Buckets>) {
    for bucket in buckets.iter().rev() {
        // The index is gone.
        if Arc::strong_count(buckets) == 1 {
            return;
        }
        let mut bucket = lock(bucket);
        if !bucket.is_sorted() {
            bucket.sort();
        }
    }
}

/// The index.
pub(super) struct Index {
    buckets: Arc<Buckets>,
    /// The bucket that is being emptied, and which one of all it is.
    current: Bucket,
    at: usize,
    /// Which of its ranges is being emptied, if it is sorted.
    range: usize,
    left: u64,
}

/// What is taken next, and what will be a little later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next {
    /// The record.
    pub(super) record: RecordPtr,
    /// A record that comes soon.
    pub(super) soon: Option<RecordPtr>,
}

impl Index {
    /// Puts together what some threads have found. O(1).
    pub(super) fn build(found: Vec<FoundRecords>) -> Index {
        let mut buckets: Vec<Bucket> = (0..BUCKETS).map(|_| Bucket::default()).collect();
        for found in found {
            for (bucket, found) in buckets.iter_mut().zip(found.buckets) {
                bucket.left += found.len();
                bucket.found.push(found);
            }
        }
        let left = buckets.iter().map(|bucket| bucket.left as u64).sum();
        let current = std::mem::take(&mut buckets[0]);
        Index {
            buckets: buckets.into_iter().map(Mutex::new).collect(),
            current,
            at: 0,
            range: 0,
            left,
        }
    }

    /// Has a thread sort all buckets, if there is much to sort.
    pub(super) fn sort_ahead(&self) {
        if self.left >= MANY {
            let buckets = self.buckets.clone();
            let sorting = thread::Builder::new().name("pm-sort".into());
            // Without a thread, each bucket is sorted when it is first needed.
            drop(sorting.spawn(move || sort_all(&buckets)));
        }
    }

    /// How many records there are still.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Takes out those records of keys with the hash `check` that are `wanted`. O(1) on average.
    pub(super) fn take(&mut self, check: u32, wanted: impl FnMut(RecordPtr) -> bool) {
        let take = |bucket: &mut Bucket| {
            let before = bucket.left;
            bucket.take(hash_of(check), wanted);
            before - bucket.left
        };
        let taken = match bucket_of(check) {
            at if at == self.at => take(&mut self.current),
            at => take(&mut lock(&self.buckets[at])),
        };
        self.left -= taken as u64;
    }

    /// Takes out any record; `None` if all are taken. O(1) on average.
    pub(super) fn next(&mut self) -> Option<Next> {
        loop {
            let bucket = &mut self.current;
            if let Some((entry, soon)) = bucket.pop_found() {
                self.left -= 1;
                if let Some(record) = record_of(entry) {
                    let soon = soon.and_then(record_of);
                    return Some(Next { record, soon });
                }
                continue;
            }
            match bucket
                .ranges
                .get_mut(self.range)
                .filter(|_| bucket.left > 0)
            {
                None => {
                    let next = self.buckets.get(self.at + 1)?;
                    (self.at, self.range) = (self.at + 1, 0);
                    // The memory of the one before goes at once.
                    self.current = std::mem::take(&mut lock(next));
                }
                Some((_, 0)) => self.range += 1,
                Some((start, len)) => {
                    let at = *start as usize;
                    *start += 1;
                    *len -= 1;
                    bucket.left -= 1;
                    self.left -= 1;
                    let soon = bucket.entries.get(at + PREFETCH_DISTANCE).copied();
                    if let Some(record) = record_of(bucket.entries[at]) {
                        let soon = soon.and_then(record_of);
                        return Some(Next { record, soon });
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeSet, HashMap};

    fn records(count: u64) -> Vec<(u32, RecordPtr)> {
        let mut rng = fastrand::Rng::with_seed(count);
        let record = |n: u64| PPtr::new((n + 1) * 16).expect("not at 0");
        // Some have the hash of the one before.
        let mut check = 0;
        let mut next = |n: u64| {
            if n % 50 != 49 {
                check = rng.u32(..);
            }
            (check, record(n))
        };
        (0..count).map(&mut next).collect()
    }

    fn index(records: &[(u32, RecordPtr)], threads: usize) -> Index {
        let mut found: Vec<FoundRecords> = (0..threads).map(|_| FoundRecords::default()).collect();
        for (n, &(check, record)) in records.iter().enumerate() {
            found[n % threads].add(check, record, 1000);
        }
        let index = Index::build(found);
        index.sort_ahead();
        index
    }

    #[test]
    fn each_record_is_taken_once_in_either_way() {
        for (count, threads) in [(0, 1), (1, 3), (300, 2), (70_000, 2)] {
            let all = records(count);
            let mut index = index(&all, threads);
            assert_eq!(index.left(), count);
            let mut taken = BTreeSet::new();
            // Some as they come, from a bucket that is not sorted; of the others every third one by
            // its hash, with some more as they come in between.
            for _ in 0..count / 900 {
                taken.extend(index.next().map(|next| next.record.offset()));
            }
            for (n, &(check, record)) in all.iter().step_by(3).enumerate() {
                if n % 100 == 99 {
                    taken.extend(index.next().map(|next| next.record.offset()));
                }
                if taken.contains(&record.offset()) {
                    continue;
                }
                let mut found = false;
                index.take(check, |candidate| {
                    found |= candidate == record;
                    candidate == record
                });
                assert!(found && taken.insert(record.offset()), "{record:?}");
                index.take(check, |candidate| {
                    assert_ne!(candidate, record, "taken already");
                    false
                });
            }
            assert_eq!(index.left(), count - taken.len() as u64);
            while let Some(next) = index.next() {
                assert!(taken.insert(next.record.offset()), "{next:?}");
            }
            assert_eq!((taken.len() as u64, index.left()), (count, 0));
            let (check, _) = all.first().copied().unwrap_or((7, PPtr::new(8).unwrap()));
            index.take(check, |_| panic!("nothing is left"));
        }
    }

    #[test]
    fn records_of_one_hash_are_all_found_and_few_others() {
        let all = records(100_000);
        let mut index = index(&all, 2);
        let mut by_check: HashMap<u32, BTreeSet<u64>> = HashMap::new();
        for (check, record) in &all {
            by_check.entry(*check).or_default().insert(record.offset());
        }
        let mut others = 0;
        for (check, expected) in &by_check {
            let mut seen = BTreeSet::new();
            index.take(*check, |candidate| {
                seen.insert(candidate.offset());
                false
            });
            assert!(seen.is_superset(expected));
            others += seen.len() - expected.len();
        }
        assert!(others < 2000, "{others}");
        assert_eq!(index.left(), 100_000);
    }
}
