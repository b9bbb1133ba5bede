//! The words a table is made of, and the arithmetic of linear hashing. Pure functions.
//!
//! Every word on media is `address | extra << 40`: the pool offset in units of 16 bytes (so a pool
//! of up to 16 TiB), and 24 bits more. Zero is the empty word.
//!
//! * In a bucket the 24 bits are the entry's *tag*, bits 8 to 31 of its hash. They rule out nearly
//!   every other entry without a look at it, and a split reads the hash bit it needs from them.
//! * In the directory they are the bucket's size in cache lines.

use pobj::{Error, PPtr, Result};

/// Slots of one cache line.
pub(crate) const LINE_SLOTS: u64 = 8;
/// Bytes of a cache line.
pub const LINE: u64 = 64;

const ADDRESS_BITS: u32 = 40;
const EXTRA_MAX: u64 = (1 << (64 - ADDRESS_BITS)) - 1;
const UNIT: u64 = 16;
const TAG_SHIFT: u32 = 8;
const TAG_BITS: u32 = 64 - ADDRESS_BITS;

/// A word of a bucket or of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(pub u64);

impl Word {
    /// The word for `target`.
    ///
    /// # Errors
    /// `TooLarge` if the pool is larger than words can address.
    fn new(target: PPtr<u8>, extra: u64) -> Result<Word> {
        let (units, rest) = (target.offset() / UNIT, target.offset() % UNIT);
        if units >> ADDRESS_BITS != 0 || rest != 0 || extra > EXTRA_MAX {
            return Err(Error::TooLarge(target.offset()));
        }
        Ok(Word(units | extra << ADDRESS_BITS))
    }

    /// The word of an entry in its bucket.
    ///
    /// # Errors
    /// `TooLarge` beyond 16 TiB.
    pub(crate) fn of_entry(entry: PPtr<u8>, hash: u64) -> Result<Word> {
        Word::new(entry, hash >> TAG_SHIFT & EXTRA_MAX)
    }

    /// The word of a bucket in the directory.
    ///
    /// # Errors
    /// `TooLarge` beyond 16 TiB.
    pub(crate) fn of_bucket(bucket: PPtr<u8>, lines: u64) -> Result<Word> {
        Word::new(bucket, lines)
    }

    /// The word with another target.
    ///
    /// # Errors
    /// `TooLarge` beyond 16 TiB.
    pub fn moved(self, target: PPtr<u8>) -> Result<Word> {
        Word::new(target, self.extra())
    }

    /// What the word points to; `None` for the empty word.
    #[inline]
    pub fn target(self) -> Option<PPtr<u8>> {
        PPtr::new((self.0 & ((1 << ADDRESS_BITS) - 1)) * UNIT)
    }

    /// The 24 bits beside the address.
    #[inline]
    pub fn extra(self) -> u64 {
        self.0 >> ADDRESS_BITS
    }

    /// True if the word is of an entry with this [`tag`], or if it is empty and the tag is 0.
    #[inline]
    pub(crate) fn has_tag(self, tag: u64) -> bool {
        (self.0 ^ tag) >> ADDRESS_BITS == 0
    }

    /// True if an entry of this hash may be behind the word.
    #[inline]
    pub(crate) fn may_be(self, hash: u64) -> bool {
        self.has_tag(tag(hash)) && self.0 != 0
    }

    /// Bit `bit` of the entry's hash, if the tag holds it.
    pub(crate) fn hash_bit(self, bit: u32) -> Option<bool> {
        let at = bit.checked_sub(TAG_SHIFT).filter(|&at| at < TAG_BITS)?;
        Some(self.extra() >> at & 1 == 1)
    }
}

/// The tag of an entry of this hash, at its place in a word.
#[inline]
pub fn tag(hash: u64) -> u64 {
    (hash >> TAG_SHIFT) << ADDRESS_BITS
}

/// The bucket of a hash in a table of `buckets` (at least 1): the low bits of the hash, one bit
/// fewer where that bucket is not there yet.
#[inline]
pub(crate) fn bucket_of(hash: u64, buckets: u64) -> u64 {
    let level = buckets.ilog2();
    let wide = hash & low_mask(level + 1);
    if wide < buckets {
        wide
    } else {
        hash & low_mask(level)
    }
}

/// The bucket that bucket `index` (at least 1) was split from, and will be merged into; and the bit
/// of the hash that tells them apart.
pub(crate) fn parent_of(index: u64) -> (u64, u32) {
    let bit = index.ilog2();
    (index ^ 1 << bit, bit)
}

/// How many low bits of the hash all entries of bucket `index` share.
fn depth_of(index: u64, buckets: u64) -> u32 {
    let level = buckets.ilog2();
    if index >= 1 << level || index + (1 << level) < buckets {
        level + 1
    } else {
        level
    }
}

/// A scan visits the buckets in the order of their hashes read backwards, lowest bit first. In that
/// order each bucket is one interval, whatever the number of buckets is, and a split only cuts an
/// interval in two. So a position in it, the cursor, stays right while the table grows and shrinks.
///
/// Gives the bucket at a cursor, and the cursor behind it; 0 is the start, and again the end.
pub fn scan_step(cursor: u64, buckets: u64) -> (u64, u64) {
    let index = bucket_of(cursor, buckets);
    let depth = depth_of(index, buckets);
    if depth == 0 {
        return (index, 0);
    }
    // Shifting by 64 - depth is in 1..=63, as a table has fewer than 2^63 buckets.
    let end = (index.reverse_bits() >> (64 - depth)) + 1;
    if end >> depth != 0 {
        return (index, 0);
    }
    (index, (end << (64 - depth)).reverse_bits())
}

fn low_mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_address_and_tag() {
        let entry = PPtr::<u8>::new(0x12_3456_7890).unwrap();
        let hash = 0xABCD_EF01_2345_6789;
        let word = Word::of_entry(entry, hash).unwrap();
        assert_eq!(word.target(), Some(entry));
        assert!(word.may_be(hash));
        assert!(word.may_be(hash ^ 0xFF), "the tag starts at bit 8");
        assert!(!word.may_be(hash ^ 0x100));
        assert!(!word.may_be(hash ^ 1 << 31));
        for bit in 8..32 {
            assert_eq!(word.hash_bit(bit), Some(hash >> bit & 1 == 1));
        }
        assert_eq!((word.hash_bit(7), word.hash_bit(32)), (None, None));
        assert!(Word::of_entry(PPtr::new(1 << 44).unwrap(), 0).is_err());
        assert!(Word::of_entry(PPtr::new(24).unwrap(), 0).is_err());
        assert_eq!(Word(0).target(), None);
        assert!(!Word(0).may_be(0), "the empty word is no entry's");
    }

    #[test]
    fn a_split_moves_hashes_only_to_the_new_bucket() {
        for buckets in 1..300 {
            let (parent, bit) = parent_of(buckets);
            for hash in 0..2000u64 {
                let (before, after) = (bucket_of(hash, buckets), bucket_of(hash, buckets + 1));
                if before == parent && hash >> bit & 1 == 1 {
                    assert_eq!(after, buckets);
                } else {
                    assert_eq!(after, before);
                }
            }
        }
    }

    #[test]
    fn a_scan_visits_every_bucket_once() {
        for buckets in 1..300 {
            let (mut cursor, mut seen) = (0, vec![false; buckets as usize]);
            loop {
                let (index, next) = scan_step(cursor, buckets);
                assert!(!std::mem::replace(&mut seen[index as usize], true));
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
            assert!(seen.iter().all(|&seen| seen), "{buckets} buckets");
        }
    }

    #[test]
    fn a_scan_misses_no_hash_while_the_number_of_buckets_changes() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..2000 {
            let hash = random.u64(..);
            let (mut cursor, mut found, mut steps) = (0, false, 0);
            loop {
                let most = 1 << random.u32(0..10);
                let buckets = random.u64(1..=most);
                let (index, next) = scan_step(cursor, buckets);
                found |= index == bucket_of(hash, buckets);
                assert!(next == 0 || next.reverse_bits() > cursor.reverse_bits());
                (cursor, steps) = (next, steps + 1);
                if cursor == 0 {
                    break;
                }
            }
            assert!(found, "hash {hash:#x} after {steps} steps");
        }
    }
}
