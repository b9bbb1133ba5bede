//! The heap: zones of chunks, and what is in them.
//!
//! ```text
//! heap   0     1,024  header; then zones, each 16 GiB but the last
//! zone   0         8  magic, number of chunks
//!       64         8  each: the chunks' headers, room for 65,528
//!   512 Ki            the chunks, 256 KiB each
//! chunk header   2 bytes type, 2 flags, 4 length in chunks
//! ```
//!
//! A block of several chunks has its header at the first. The last header of a free or used block
//! (*footer*) repeats its length; those of a *run* after the first count from 1. A run is cut into
//! units of one size; its first chunk begins with that size, an alignment, and a bitmap with a bit
//! for each unit in use.

use super::view::View;
use super::{damaged, descriptor};
use crate::error::Result;
use crate::layout::{ROOT_SIZE, type_num};

const HEAP_HEADER: u64 = 1024;
const SIGNATURE: &[u8; 16] = b"MEMORY_HEAP_HDR\0";
const CHUNK: u64 = 256 << 10;
const CHUNKS_MAX: u64 = 65_528;
const ZONE_META: u64 = 512 << 10;
const ZONE_MAGIC: u64 = 0xC3F0_A2D2;

const FOOTER: u64 = 1;
const FREE: u64 = 2;
const USED: u64 = 3;
const RUN: u64 = 4;
const RUN_DATA: u64 = 5;
/// Objects have a header of 16 bytes: size and flags, type number.
const COMPACT_HEADER: u64 = 1;
/// The run's bitmap is as long as it must be.
const FLEX_BITMAP: u64 = 8;

const OBJECT_HEADER: u64 = 16;
/// The size in an object's header; flags are above it.
const SIZE: u64 = (1 << 48) - 1;

/// Verifies the heap; the root object and the logs' `extensions` must be objects of it.
pub(super) fn verify(view: &View, extensions: &[u64]) -> Result<()> {
    let header = view.words(view.heap.start, 7)?;
    if bytemuck::bytes_of(&[header[0], header[1]]) != SIGNATURE
        || header[5..7] != [CHUNK, CHUNKS_MAX]
    {
        return Err(damaged("the heap's header", view.heap.start));
    }
    let mut found = Found::new(view, extensions)?;
    let mut start = view.heap.start + HEAP_HEADER;
    while start + ZONE_META + CHUNK <= view.heap.end {
        zone(view, start, &mut found)?;
        start += ZONE_META + CHUNKS_MAX * CHUNK;
    }
    found.verify()
}

/// The objects that the rest of the metadata refers to.
struct Found {
    root: (u64, u64),
    has_root: bool,
    extensions: Vec<u64>,
    /// Objects of ours that only a pool with a root object has.
    ours: u64,
}

impl Found {
    fn new(view: &View, extensions: &[u64]) -> Result<Found> {
        let (offset, size) = (
            view.word(descriptor::ROOT_OFFSET)?,
            view.word(descriptor::ROOT_SIZE)? & SIZE,
        );
        Ok(Found {
            root: (offset, size),
            has_root: false,
            extensions: extensions.to_vec(),
            ours: 0,
        })
    }

    /// An object whose header is at `offset`.
    fn object(&mut self, offset: u64, header: &[u64]) {
        let (data, size) = (offset + OBJECT_HEADER, header[0] & SIZE);
        self.has_root |= data == self.root.0 && size >= OBJECT_HEADER + self.root.1;
        self.extensions.retain(|&extension| extension != data);
        self.ours += u64::from(type_num::is_data(header[1]));
    }

    fn verify(&self) -> Result<()> {
        let is_sound = match self.root {
            (0, 0) => self.ours == 0,
            (_, size) => self.has_root && size == ROOT_SIZE,
        };
        if !is_sound {
            return Err(damaged("the root object", self.root.0));
        }
        match self.extensions.first() {
            None => Ok(()),
            Some(&extension) => Err(damaged("a log's extension is no object", extension)),
        }
    }
}

fn zone(view: &View, start: u64, found: &mut Found) -> Result<()> {
    let size = ((view.heap.end - start - ZONE_META) / CHUNK).min(CHUNKS_MAX);
    let header = view.word(start)?;
    let headers: Vec<Header> = view
        .words(start + 64, size)?
        .into_iter()
        .map(Header)
        .collect();
    // Headers of chunks that libpmemobj makes ready, or is still to: they hold nothing.
    let is_fresh = |header: &Header| [0, FOOTER, FREE].contains(&header.kind());
    if header == 0 {
        return if headers.iter().all(is_fresh) {
            Ok(())
        } else {
            Err(damaged("a zone's header", start))
        };
    }
    // The pool may have grown, and libpmemobj not have noted it in the zone yet.
    let known = header >> 32;
    let grows = 0 < known && known <= size && headers[known as usize..].iter().all(is_fresh);
    if header & u64::from(u32::MAX) != ZONE_MAGIC || !grows {
        return Err(damaged("a zone's header", start));
    }
    let size = known;
    let chunks = start + ZONE_META;
    let mut index = 0;
    while index < size {
        let (head, at) = (headers[index as usize], start + 64 + index * 8);
        let len = head.len();
        if len == 0 || len > size - index {
            return Err(damaged("a chunk's length", at));
        }
        let block = &headers[index as usize..(index + len) as usize];
        let chunk = chunks + index * CHUNK;
        match head.kind() {
            FREE if leads_back(block, index) => {}
            USED if leads_back(block, index) && head.flags() == COMPACT_HEADER => {
                huge(view, chunk, len, found)?;
            }
            RUN if continues(block)
                && head.flags() | FLEX_BITMAP == COMPACT_HEADER | FLEX_BITMAP =>
            {
                run(view, chunk, head, found)?;
            }
            _ => return Err(damaged("a chunk's header", at)),
        }
        index += len;
    }
    Ok(())
}

/// A chunk's header.
#[derive(Clone, Copy)]
struct Header(u64);

impl Header {
    fn kind(self) -> u64 {
        self.0 & 0xffff
    }

    fn flags(self) -> u64 {
        self.0 >> 16 & 0xffff
    }

    fn len(self) -> u64 {
        self.0 >> 32
    }
}

/// Whether the last header of the block at `index` leads back to a chunk of the zone: libpmemobj
/// follows it from the block behind to see whether this one is free.
///
/// It need not be the block's own: libpmemobj writes footers without flushing them, makes those of
/// free blocks anew when it opens the pool, and believes none that leads to no free block it knows.
fn leads_back(block: &[Header], index: u64) -> bool {
    let last = block[block.len() - 1];
    block.len() == 1 || last.len() <= index + block.len() as u64
}

fn continues(block: &[Header]) -> bool {
    let mut rest = block.iter().enumerate().skip(1);
    rest.all(|(nth, header)| header.kind() == RUN_DATA && header.len() == nth as u64)
}

/// One object in `len` chunks.
fn huge(view: &View, chunk: u64, len: u64, found: &mut Found) -> Result<()> {
    let header = view.words(chunk, 2)?;
    if (header[0] & SIZE).div_ceil(CHUNK) != len {
        return Err(damaged("an object's size", chunk));
    }
    found.object(chunk, &header);
    Ok(())
}

/// Objects of one or more units each, of which none crosses a word of the bitmap.
fn run(view: &View, chunk: u64, head: Header, found: &mut Found) -> Result<()> {
    let start = view.words(chunk, 2)?;
    let unit = start[0];
    if unit <= OBJECT_HEADER || unit > head.len() * CHUNK || start[1] != 0 {
        return Err(damaged("a run's header", chunk));
    }
    let bitmap = Bitmap::of(head, unit);
    if bitmap.units == 0 {
        return Err(damaged("a run's header", chunk));
    }
    let words = view.words(chunk + RUN_HEADER, bitmap.units.div_ceil(64))?;
    for (nth, &word) in words.iter().enumerate() {
        let units = (bitmap.units - nth as u64 * 64).min(64);
        // Units that do not exist count as used.
        if units < 64 && word >> units != u64::MAX >> units {
            return Err(damaged("a run's bitmap", chunk));
        }
        let mut bit = 0;
        while bit < units {
            if word >> bit & 1 == 0 {
                bit += 1;
                continue;
            }
            let unit_at = nth as u64 * 64 + bit;
            let at = chunk + RUN_HEADER + bitmap.len + unit_at * unit;
            let header = view.words(at, 2)?;
            let taken = (header[0] & SIZE).div_ceil(unit);
            let used = (word >> bit).trailing_ones().min((units - bit) as u32);
            if taken == 0 || taken > u64::from(used) {
                return Err(damaged("an object's size", at));
            }
            found.object(at, &header);
            bit += taken;
        }
    }
    Ok(())
}

/// Bytes of a run before its bitmap.
const RUN_HEADER: u64 = 16;
/// Bytes and bits of the bitmap of a run that has no flexible one.
const FIXED_BITMAP: u64 = 304;

/// How a run's room is shared between bitmap and units.
struct Bitmap {
    /// Bytes, padding included.
    len: u64,
    /// Units that the run has.
    units: u64,
}

impl Bitmap {
    fn of(head: Header, unit: u64) -> Bitmap {
        let room = head.len() * CHUNK - RUN_HEADER;
        if head.flags() & FLEX_BITMAP == 0 {
            let units = (room - FIXED_BITMAP) / unit;
            return Bitmap {
                len: FIXED_BITMAP,
                units: units.min(FIXED_BITMAP * 8),
            };
        }
        // As many words as the units need if there were no bitmap, up to a line's end.
        let words = (room / unit).div_ceil(64);
        let len = (words * 8 + RUN_HEADER).next_multiple_of(64) - RUN_HEADER;
        Bitmap {
            len,
            units: room.saturating_sub(len) / unit,
        }
    }
}
