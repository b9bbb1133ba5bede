//! The form of a log record, and the batch of changes it carries.
//!
//! ```text
//!  0  8  seq        number of the record, from 1, without gaps
//!  8  8  checksum   XXH3-64 (seeded by the pool) of seq and of bytes 16 to the record's end
//! 16  1  kind       RecordKind
//! 17  1  flags      PUBLISHES | FILLS_HASHED
//! 18  2  fills      number of fill entries
//! 20  4  len        bytes after this header
//! 24  8  fills_hash XXH3-64 of all filled bytes in order, if FILLS_HASHED
//! 32     fills      16 bytes each: offset, length
//!        writes     8 bytes each: offset (48 bits) | length (16 bits), then the new bytes, padded to 8
//! ```

use crate::error::{Result, damaged};
use crate::layout::{LINE, RECORD_MAX};
use bytemuck::{Pod, Zeroable};
use static_assertions::const_assert_eq;
use std::mem::{offset_of, size_of};

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RecordKind {
    /// One atomic batch: redo its writes.
    Redo = 1,
    /// A group of steps begins; until its end is recorded, the undo log rolls it back.
    GroupBegin = 2,
    /// The group is over: committed, or rolled back.
    GroupEnd = 3,
    /// All earlier records are applied and durable: nothing before this is to be redone.
    Barrier = 4,
}

impl RecordKind {
    fn from_byte(byte: u8) -> Option<RecordKind> {
        [
            RecordKind::Redo,
            RecordKind::GroupBegin,
            RecordKind::GroupEnd,
            RecordKind::Barrier,
        ]
        .into_iter()
        .find(|&kind| kind as u8 == byte)
    }
}

/// The record counts only if libpmemobj has published its large objects: `published >= seq`.
pub(crate) const PUBLISHES: u8 = 1;
/// The record counts only if the filled bytes hash to `fills_hash`.
pub(crate) const FILLS_HASHED: u8 = 2;

/// The fixed head of a record.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct RecordHeader {
    pub seq: u64,
    pub checksum: u64,
    pub kind: u8,
    pub flags: u8,
    pub fills: u16,
    pub len: u32,
    pub fills_hash: u64,
}
const_assert_eq!(size_of::<RecordHeader>(), 32);

impl RecordHeader {
    pub(crate) fn kind(&self) -> Option<RecordKind> {
        RecordKind::from_byte(self.kind)
    }
}

/// Bytes of a record's header.
pub(crate) const HEADER_LEN: usize = size_of::<RecordHeader>();
const FILL_LEN: usize = 16;
const OFFSET_BITS: u32 = 48;

/// Longest byte range of one write entry.
pub(crate) const WRITE_MAX: usize = 16 << 10;

/// A range of fresh bytes that a record vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    pub offset: u64,
    pub len: u64,
}

impl Fill {
    /// Whether some of the bytes from `start` to `end` are filled.
    #[inline]
    pub(crate) fn overlaps(&self, start: u64, end: u64) -> bool {
        self.offset < end && start < self.offset + self.len
    }
}

/// Most fills one record lists.
pub(crate) const FILLS_MAX: usize = 64;

/// The writes of one batch, encoded as they will stand in the record; reused from batch to batch.
pub(crate) struct Writes {
    /// Room for what stands before the writes in a record, then the writes.
    bytes: Vec<u8>,
}

impl Default for Writes {
    fn default() -> Writes {
        Writes {
            bytes: vec![0; Writes::ROOM],
        }
    }
}

impl Writes {
    const ROOM: usize = HEADER_LEN + FILLS_MAX * FILL_LEN;

    /// Adds a write of `bytes` (at most [`WRITE_MAX`]) to `offset`.
    #[inline]
    pub(crate) fn push(&mut self, offset: u64, bytes: &[u8]) {
        debug_assert!(bytes.len() <= WRITE_MAX && offset >> OFFSET_BITS == 0);
        let head = (offset | (bytes.len() as u64) << OFFSET_BITS).to_le_bytes();
        if let Ok(word) = <[u8; 8]>::try_from(bytes) {
            self.bytes
                .extend_from_slice(bytemuck::bytes_of(&[head, word]));
            return;
        }
        let padding = bytes.len().wrapping_neg() % 8;
        self.bytes.reserve(head.len() + bytes.len() + 8);
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(bytes);
        if padding > 0 {
            let end = self.bytes.len() + padding;
            self.bytes.extend_from_slice(&[0; 8]);
            self.bytes.truncate(end);
        }
    }

    /// The writes alone.
    #[inline]
    pub(crate) fn encoded(&self) -> &[u8] {
        &self.bytes[Writes::ROOM..]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == Writes::ROOM
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(Writes::ROOM);
    }

    /// Bytes of a record of these writes and so many fills.
    #[inline]
    pub(crate) fn record_len(&self, fills: usize) -> usize {
        HEADER_LEN + fills * FILL_LEN + self.encoded().len()
    }

    /// Runs `f` with the record of these writes: `header`, whose counts and checksum are set here,
    /// then `fills`, at most [`FILLS_MAX`], then the writes, and zeros up to a whole number of
    /// lines.
    pub(crate) fn with_record<R>(
        &mut self,
        mut header: RecordHeader,
        fills: &[Fill],
        seed: u64,
        f: impl FnOnce(&[u8]) -> R,
    ) -> R {
        let (len, end) = (self.record_len(fills.len()), self.bytes.len());
        let start = end - len;
        header.fills = fills.len() as u16;
        header.len = (len - HEADER_LEN) as u32;
        let record = &mut self.bytes[start..];
        if let Some((head, rest)) = record.split_first_chunk_mut::<HEADER_LEN>() {
            head.copy_from_slice(bytemuck::bytes_of(&header));
            for (fill, at) in fills.iter().zip(rest.chunks_exact_mut(FILL_LEN)) {
                let entry = [fill.offset.to_le_bytes(), fill.len.to_le_bytes()];
                at.copy_from_slice(bytemuck::bytes_of(&entry));
            }
        }
        let sum = checksum(record, seed);
        record[offset_of!(RecordHeader, checksum)..][..8].copy_from_slice(&sum.to_le_bytes());
        // A whole line of zeros, as that is faster than just enough of them.
        self.bytes.extend_from_slice(&[0; LINE as usize]);
        let padded = len.next_multiple_of(LINE as usize);
        let result = f(&self.bytes[start..start + padded]);
        self.bytes.truncate(end);
        result
    }
}

/// The first of encoded writes: its offset and bytes, and the writes behind it. `None` if there is
/// none, or it is not whole.
#[inline]
pub(crate) fn first_write(encoded: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (head, rest) = encoded.split_first_chunk::<8>()?;
    let head = u64::from_le_bytes(*head);
    let offset = head & ((1 << OFFSET_BITS) - 1);
    let len = (head >> OFFSET_BITS) as usize;
    let (padded, behind) = rest.split_at_checked((len + 7) & !7)?;
    Some((offset, &padded[..len], behind))
}

/// Walks encoded writes as (offset, bytes).
pub(crate) fn writes(mut encoded: &[u8]) -> impl Iterator<Item = Result<(u64, &[u8])>> {
    std::iter::from_fn(move || match first_write(encoded) {
        Some((offset, bytes, rest)) => {
            encoded = rest;
            Some(Ok((offset, bytes)))
        }
        None if encoded.len() < 8 => None,
        None => {
            encoded = &[];
            Some(Err(damaged("a log entry overruns its record", 0)))
        }
    })
}

/// Splits a record's payload into its fills and its encoded writes; `None` if `count` fills do not
/// fit.
pub(crate) fn decode_fills(payload: &[u8], count: u16) -> Option<(Vec<Fill>, &[u8])> {
    let (fills, writes) = payload.split_at_checked(count as usize * FILL_LEN)?;
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
    let fills = fills
        .chunks_exact(FILL_LEN)
        .map(|entry| Fill {
            offset: word(&entry[..8]),
            len: word(&entry[8..]),
        })
        .collect();
    Some((fills, writes))
}

/// The record at the beginning of `bytes`, if its checksum holds: its header, its fills, and its
/// encoded writes.
pub(crate) fn parse(bytes: &[u8], seed: u64) -> Option<(RecordHeader, Vec<Fill>, &[u8])> {
    let header: RecordHeader = bytemuck::pod_read_unaligned(bytes.get(..HEADER_LEN)?);
    let len = HEADER_LEN as u64 + u64::from(header.len);
    if header.seq == 0 || header.kind().is_none() || len > RECORD_MAX as u64 {
        return None;
    }
    let record = bytes.get(..len as usize)?;
    if checksum(record, seed) != header.checksum {
        return None;
    }
    let (fills, writes) = decode_fills(&record[HEADER_LEN..], header.fills)?;
    Some((header, fills, writes))
}

/// The checksum of a record whose header and payload stand in `record`.
#[inline]
pub(crate) fn checksum(record: &[u8], seed: u64) -> u64 {
    let seq = u64::from_le_bytes(record[..8].try_into().expect("a record has a header"));
    xxhash_rust::xxh3::xxh3_64_with_seed(
        &record[16..],
        seed ^ seq.wrapping_mul(0x9E37_79B9_7F4A_7C15),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_come_back_in_order() {
        let mut batch = Writes::default();
        batch.push(4096, &[1; 8]);
        batch.push(5000, b"abc");
        batch.push(1 << 40, &[7; 100]);
        let back: Vec<_> = writes(batch.encoded())
            .map(|entry| entry.unwrap())
            .collect();
        assert_eq!(
            back,
            [(4096, &[1u8; 8][..]), (5000, b"abc"), (1 << 40, &[7; 100])]
        );
    }

    #[test]
    fn an_entry_that_overruns_is_an_error() {
        let mut batch = Writes::default();
        batch.push(4096, &[1; 24]);
        let cut = &batch.encoded()[..16];
        assert!(writes(cut).next().unwrap().is_err());
    }

    #[test]
    fn the_checksum_depends_on_each_part() {
        let mut record = vec![0u8; 64];
        let sum = checksum(&record, 1);
        assert_ne!(sum, checksum(&record, 2), "seed");
        for at in (0..64).filter(|at| !(8..16).contains(at)) {
            record[at] ^= 1;
            assert_ne!(sum, checksum(&record, 1), "byte {at}");
            record[at] ^= 1;
        }
    }
}
