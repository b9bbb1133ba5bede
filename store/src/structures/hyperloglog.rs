//! Changes of a HyperLogLog where it lies in its string: what PFADD and PFCOUNT do. What its bytes
//! mean is in [`crate::hyperloglog`].

use super::Root;
use super::string::{self, Value};
use crate::damaged::damaged;
use crate::hyperloglog::{DENSE_LEN, Sample, count_to_cache, dense_bytes, mark_stale, raise_dense};
use crate::inline::Inline;
use pobj::{Result, Tx};
use std::ops::Range;

/// Raises registers of a dense HyperLogLog to the runs of samples, in ascending order, where those
/// are longer, and marks its count as out of date, as one batch. O(length), mostly a copy in DRAM;
/// a few bytes are logged for each sample.
///
/// # Errors
/// `Damaged` if the string is no dense HyperLogLog by its length.
pub fn raise(tx: &mut Tx<'_>, root: Root, inline: Inline, samples: &[Sample]) -> Result<()> {
    let mut text = [0; DENSE_LEN];
    match string::read(tx, root, inline)? {
        Some(Value::Bytes(old)) if old.len() == text.len() => text.copy_from_slice(old),
        _ => return Err(damaged("a HyperLogLog of another length")),
    }
    let mut changed: Vec<Range<usize>> = Vec::with_capacity(samples.len() + 1);
    let (stale_at, is_new) = mark_stale(&mut text);
    if is_new {
        changed.push(stale_at..stale_at + 1);
    }
    for &sample in samples {
        if !raise_dense(&mut text, sample) {
            continue;
        }
        let bytes = dense_bytes(sample.index);
        match changed.last_mut() {
            Some(last) if bytes.start <= last.end => last.end = last.end.max(bytes.end),
            _ => changed.push(bytes),
        }
    }
    let ranges = changed.into_iter();
    string::overwrite(
        tx,
        root,
        inline,
        ranges.map(|range| (range.start as u64, &text[range])),
    )
}

/// Keeps the number of elements in the HyperLogLog that they were counted in, as one batch. O(1).
///
/// # Errors
/// `Damaged` if the string is shorter than a HyperLogLog's header.
pub fn keep_count(tx: &mut Tx<'_>, root: Root, inline: Inline, count: u64) -> Result<()> {
    let (at, bytes) = count_to_cache(count);
    string::overwrite(tx, root, inline, std::iter::once((at as u64, &bytes[..])))
}
