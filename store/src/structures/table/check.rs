//! Whether a table is sound: what `mod.rs` and `directory.rs` promise, checked entry by entry.

use super::directory::Directory;
use super::slot::{self, Word};
use super::{FULL, SPARSE, hash, key, len};
use crate::damaged::damaged;
use crate::structures::{Owns, Root};
use pobj::{Pool, Result};
use std::collections::HashSet;

/// Checks a table with its entries, and shows `owns` every object of it. O(n).
///
/// # Errors
/// `Damaged` at the first invariant that does not hold.
pub fn check<const KEY_AT: u64>(pool: &Pool, root: Root, owns: Owns<'_>) -> Result<()> {
    let directory = Directory::open(pool, root.value)?;
    directory.each_object(pool, owns)?;
    let buckets = directory.buckets;
    let mut entries = 0;
    for index in 0..buckets {
        let bucket = directory.bucket(pool, index)?;
        owns(bucket.at.cast());
        if bucket.slots > directory.widest {
            return Err(damaged("a hash table: a bucket is wider than the widest"));
        }
        let mut keys = HashSet::new();
        for &word in bucket.words(pool)? {
            let Some(entry) = Word(word).target() else {
                continue;
            };
            let key = key::<KEY_AT>(pool, entry)?;
            let hash = hash(pool, key);
            if slot::bucket_of(hash, buckets) != index || !Word(word).may_be(hash) {
                return Err(damaged("a hash table: an entry is in the wrong bucket"));
            }
            if !keys.insert(key) {
                return Err(damaged("a hash table: a key is there twice"));
            }
            owns(entry);
            entries += 1;
        }
    }
    // Tables of 13 to 15 entries were once built with two buckets, and are sound.
    let is_crowded = entries > FULL * buckets || buckets > 2 && entries < SPARSE * buckets;
    if entries != len(root) || entries == 0 || is_crowded {
        return Err(damaged("a hash table: the number of entries"));
    }
    Ok(())
}
