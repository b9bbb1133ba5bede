//! A closed pool's words, as they will be once libpmemobj has redone its logs.

use super::{damaged, descriptor};
use crate::error::Result;
use crate::parts::Image;
use std::collections::BTreeMap;
use std::ops::Range;

/// A pool's files, with the writes of its pending logs laid over it.
pub(super) struct View {
    image: Image,
    len: u64,
    /// The heap, header included.
    pub heap: Range<u64>,
    /// Words that a pending log is going to write.
    pending: BTreeMap<u64, u64>,
}

impl View {
    pub(super) fn new(image: Image) -> Result<View> {
        let len = image.len();
        let mut view = View {
            image,
            len,
            heap: 0..0,
            pending: BTreeMap::new(),
        };
        let start = view.word(descriptor::HEAP_OFFSET)?;
        let end = start.checked_add(view.word(descriptor::HEAP_SIZE)?);
        view.heap = start..end.filter(|&end| end <= len).unwrap_or(0);
        if view.heap.is_empty() || start <= descriptor::HEAP_SIZE || !start.is_multiple_of(4096) {
            return Err(damaged("the heap's place", descriptor::HEAP_OFFSET));
        }
        Ok(view)
    }

    /// `count` words from `offset` on.
    pub(super) fn words(&self, offset: u64, count: u64) -> Result<Vec<u64>> {
        let end = count
            .checked_mul(8)
            .and_then(|bytes| offset.checked_add(bytes))
            .filter(|&end| end <= self.len)
            .ok_or_else(|| damaged("an offset outside the pool", offset))?;
        let mut words = vec![0_u64; count as usize];
        self.image
            .read(offset, bytemuck::cast_slice_mut(&mut words))?;
        for (&at, &word) in self.pending.range(offset..end) {
            words[((at - offset) / 8) as usize] = word;
        }
        Ok(words)
    }

    /// The word at `offset`.
    pub(super) fn word(&self, offset: u64) -> Result<u64> {
        Ok(self.words(offset, 1)?[0])
    }

    /// Lays a word of a pending log over the files.
    pub(super) fn write(&mut self, offset: u64, word: u64) -> Result<()> {
        if !offset.is_multiple_of(8) || offset < descriptor::ROOT_OFFSET {
            return Err(damaged("the target of a log's entry", offset));
        }
        self.pending.insert(offset, word);
        Ok(())
    }
}
