//! Changes of the pool that were not made through `Medium`: libpmemobj's own.
//!
//! libpmemobj changes its metadata when it opens a pool, and when it makes or frees one of its
//! objects, which is rare. Where it does is its own affair. But the pool is mapped privately: a
//! page that anybody has changed is not the file's any more, and the kernel tells which pages those
//! are. So they are compared with the file, line by line.

use crate::images::PAGE;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bits of a page's word in `/proc/self/pagemap`.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const OF_A_FILE: u64 = 1 << 61;

/// Shows `visit` the pages of a private mapping of `len` bytes at `base` that are not the file's
/// any more; all pages if the kernel does not tell.
pub(super) fn private_pages(base: usize, len: u64, mut visit: impl FnMut(u64)) {
    let pages = len.div_ceil(PAGE);
    if tell(base, pages, &mut visit).is_err() {
        (0..pages).for_each(visit);
    }
}

fn tell(base: usize, pages: u64, visit: &mut impl FnMut(u64)) -> io::Result<()> {
    const PART: u64 = 64 << 10;
    let map = File::open("/proc/self/pagemap")?;
    let first = base as u64 / PAGE;
    let mut words = vec![0u64; PART.min(pages) as usize];
    for from in (0..pages).step_by(PART as usize) {
        let part = &mut words[..PART.min(pages - from) as usize];
        map.read_exact_at(bytemuck::cast_slice_mut(part), (first + from) * 8)?;
        for (page, word) in (from..).zip(part.iter()) {
            if word & (PRESENT | SWAPPED) != 0 && word & OF_A_FILE == 0 {
                visit(page);
            }
        }
    }
    Ok(())
}

/// Shows `visit` each line, by its offset, in which `page` of the pool differs from the file.
pub(super) fn differences(
    file: &File,
    page: u64,
    bytes: &[u8],
    mut visit: impl FnMut(u64),
) -> io::Result<()> {
    const LINE: usize = crate::layout::LINE as usize;
    let mut stored = [0; PAGE as usize];
    let stored = &mut stored[..bytes.len()];
    file.read_exact_at(stored, page * PAGE)?;
    let lines = bytes.chunks(LINE).zip(stored.chunks(LINE));
    for (number, (now, stored)) in lines.enumerate() {
        if now != stored {
            visit(page * PAGE + (number * LINE) as u64);
        }
    }
    Ok(())
}
