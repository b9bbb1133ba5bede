//! The form of a journal's record: the lines that one cycle has changed, as they are at its end.
//!
//! ```text
//!  0  4  magic     "PmLi": lines follow; "PmFi": they are in a file of their own
//!  4  4  zero
//!  8  8  lsn       where the record begins, in bytes from the beginning of the journal's history
//! 16  8  len       bytes of what follows the header
//! 24  8  checksum  XXH3-64 of what follows, seeded with the journal's id and the words before
//! 32     a page after the other: 8 number of the page, 8 a bit for each of its lines that follows, 64 a line
//!        of a file of its own: 8 its bytes, 8 XXH3-64 of them, seeded with the journal's id
//! ```

use super::PAGE;
use super::buffer::Buffer;
use crate::layout::LINE;
use bytemuck::{Pod, Zeroable};
use static_assertions::const_assert_eq;
use std::mem::size_of;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The magic of a record that has its lines.
pub(crate) const LINES: u32 = u32::from_le_bytes(*b"PmLi");
/// The magic of a record whose lines are in a file of their own.
pub(crate) const FILE: u32 = u32::from_le_bytes(*b"PmFi");

/// The head of a record.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Header {
    pub magic: u32,
    pub zero: u32,
    pub lsn: u64,
    pub len: u64,
    pub checksum: u64,
}
const_assert_eq!(size_of::<Header>(), 32);

/// Bytes of a header.
pub(crate) const HEADER_LEN: usize = size_of::<Header>();

impl Header {
    /// True if this can be the head of a record at `lsn`.
    pub(crate) fn is_of(&self, lsn: u64) -> bool {
        matches!(self.magic, LINES | FILE) && self.zero == 0 && self.lsn == lsn
    }

    /// What `checksum` must be for this payload.
    pub(crate) fn expected_checksum(&self, id: u64, payload: &[u8]) -> u64 {
        let words = [u64::from(self.magic), self.lsn, self.len].map(u64::to_le_bytes);
        let seed = xxh3_64_with_seed(words.as_flattened(), id);
        xxh3_64_with_seed(payload, seed)
    }
}

impl Buffer {
    /// Begins a record.
    pub(crate) fn begin_record(&mut self) {
        self.clear();
        self.push(&[0; HEADER_LEN]);
    }
}

/// Completes a record that is in the buffer, with the number `lsn` of the journal `id`.
pub(crate) fn complete(buffer: &mut Buffer, magic: u32, lsn: u64, id: u64) {
    let payload = &buffer.bytes()[HEADER_LEN..];
    let mut header = Header {
        magic,
        zero: 0,
        lsn,
        len: payload.len() as u64,
        checksum: 0,
    };
    header.checksum = header.expected_checksum(id, payload);
    buffer.put(0, bytemuck::bytes_of(&header));
}

/// Adds the head of a page's lines.
#[inline]
pub(crate) fn push_page(buffer: &mut Buffer, page: u64, lines: u64) {
    buffer.push([page, lines].map(u64::to_le_bytes).as_flattened());
}

/// Shows `visit` the offset in the pool and the bytes of each line; false if that is not what the
/// payload consists of.
pub(crate) fn lines<'p>(
    mut payload: &'p [u8],
    mut visit: impl FnMut(u64, &'p [u8; LINE as usize]),
) -> bool {
    while !payload.is_empty() {
        let Some((head, rest)) = payload.split_first_chunk::<16>() else {
            return false;
        };
        let (words, _) = head.as_chunks::<8>();
        let (page, mut lines) = (u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1]));
        payload = rest;
        while lines != 0 {
            let Some((line, rest)) = payload.split_first_chunk::<{ LINE as usize }>() else {
                return false;
            };
            let number = u64::from(lines.trailing_zeros());
            let Some(start) = page.checked_mul(PAGE) else {
                return false;
            };
            visit(start + number * LINE, line);
            lines &= lines - 1;
            payload = rest;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_with_their_places() {
        let mut buffer = Buffer::default();
        buffer.begin_record();
        push_page(&mut buffer, 3, 1 | 1 << 63);
        buffer.push(&[1; 64]);
        buffer.push(&[2; 64]);
        complete(&mut buffer, LINES, 8192, 5);
        let (head, payload) = buffer.bytes().split_at(HEADER_LEN);
        let header: Header = bytemuck::pod_read_unaligned(head);
        assert!(header.is_of(8192) && !header.is_of(4096));
        assert_eq!(header.len, 144);
        assert_eq!(header.checksum, header.expected_checksum(5, payload));
        assert_ne!(header.checksum, header.expected_checksum(6, payload));
        let mut found = Vec::new();
        assert!(lines(payload, |at, line| found.push((at, line[0]))));
        assert_eq!(found, [(3 * 4096, 1), (4 * 4096 - 64, 2)]);
        assert!(!lines(&payload[..143], |_, _| ()));
    }
}
