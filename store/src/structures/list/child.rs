//! What a list keeps of a chunk beside its bytes: where it is, and which of them are entries.

use crate::damaged::damaged;
use bytemuck::{Pod, Zeroable};
use pobj::{PPtr, Result};

/// Which bytes of a chunk hold entries, and how many. One word on media: start, end and count, 16
/// bits each, from the lowest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub start: u16,
    pub end: u16,
    pub count: u16,
}

impl Span {
    pub(super) fn word(self) -> u64 {
        u64::from(self.start) | u64::from(self.end) << 16 | u64::from(self.count) << 32
    }

    pub(super) fn of(word: u64) -> Span {
        Span {
            start: word as u16,
            end: (word >> 16) as u16,
            count: (word >> 32) as u16,
        }
    }
}

/// A child of a node, or where else a chunk is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Child {
    /// Offset of the chunk or the node.
    pub at: u64,
    /// A chunk's span, or a node's count of elements.
    pub word: u64,
}

impl Child {
    /// Number of elements, in a child of a node of this level.
    #[inline]
    pub(super) fn count(self, level: u64) -> u64 {
        match level {
            1 => self.elements(),
            _ => self.word,
        }
    }

    /// Number of elements in a chunk; 0 if there is none.
    #[inline]
    pub(super) fn elements(self) -> u64 {
        Span::of(self.word).count.into()
    }

    /// The node it points to.
    pub(super) fn node(self) -> Result<PPtr<u8>> {
        PPtr::new(self.at).ok_or_else(|| damaged("list: a null node"))
    }
}
