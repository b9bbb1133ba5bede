//! Bytes at an address that direct writes accept.

use super::BLOCK;
use bytemuck::{Pod, Zeroable};

/// Aligned as a disk's block is.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(4096))]
struct Block([u8; BLOCK as usize]);

/// Bytes that are collected, in whole blocks.
#[derive(Default)]
pub(crate) struct Buffer {
    blocks: Vec<Block>,
    len: usize,
}

impl Buffer {
    /// Forgets all; keeps the memory, unless it is much.
    pub(crate) fn clear(&mut self) {
        const KEPT: usize = (16 << 20) / BLOCK as usize;
        self.len = 0;
        if self.blocks.len() > KEPT {
            self.blocks = Vec::new();
        }
    }

    /// Bytes collected.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds bytes.
    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if end > self.blocks.len() * BLOCK as usize {
            self.grow(end);
        }
        let all: &mut [u8] = bytemuck::cast_slice_mut(&mut self.blocks);
        all[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }

    #[cold]
    fn grow(&mut self, end: usize) {
        let blocks = end.div_ceil(BLOCK as usize).max(2 * self.blocks.len());
        self.blocks.resize(blocks, Block::zeroed());
    }

    /// Overwrites bytes that are there.
    pub(crate) fn put(&mut self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.len);
        let all: &mut [u8] = bytemuck::cast_slice_mut(&mut self.blocks);
        all[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.blocks)[..self.len]
    }

    /// Adds zeros up to a whole number of blocks, and gives all.
    pub(crate) fn whole(&mut self) -> &[u8] {
        let end = self.len.next_multiple_of(BLOCK as usize);
        let all: &mut [u8] = bytemuck::cast_slice_mut(&mut self.blocks);
        all[self.len..end].fill(0);
        &all[..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_aligned_and_padded_with_zeros() {
        let mut buffer = Buffer::default();
        buffer.push(&[7; 5000]);
        buffer.clear();
        buffer.push(&[1; 4000]);
        buffer.push(&[2; 200]);
        buffer.put(3999, &[3, 3]);
        assert_eq!(buffer.len(), 4200);
        assert_eq!(buffer.bytes()[3998..4002], [1, 3, 3, 2]);
        let whole = buffer.whole();
        assert_eq!((whole.len(), whole.as_ptr() as usize % 4096), (8192, 0));
        assert!(whole[4200..].iter().all(|&byte| byte == 0));
    }
}
