//! Which pages of a file have something in them: a pool is mostly holes, which need no looking at.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// Bytes in a page, the unit of what is allocated to a file.
pub(crate) const PAGE_BYTES: usize = 4096;

/// The byte ranges of `file` that are allocated, in order; everything else reads as zeros.
///
/// A page that is stored to through a mapping becomes allocated, and so does one that is read
/// through a mapping on tmpfs. Costs two system calls for each range.
pub(crate) fn allocated(file: &File) -> io::Result<Vec<Range<usize>>> {
    let mut ranges = Vec::new();
    let mut end = 0;
    while let Some(start) = seek(file, end, libc::SEEK_DATA)? {
        end = seek(file, start, libc::SEEK_HOLE)?.expect("a file ends with a hole");
        ranges.push(start..end);
    }
    Ok(ranges)
}

/// The position of the first data or hole from `from` on; `None` behind the last of them.
fn seek(file: &File, from: usize, whence: libc::c_int) -> io::Result<Option<usize>> {
    // SAFETY: moves the file's position, which nobody relies on; no memory is involved.
    let at = unsafe { libc::lseek(file.as_raw_fd(), from as libc::off_t, whence) };
    if at >= 0 {
        return Ok(Some(at as usize));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENXIO) => Ok(None),
        _ => Err(error),
    }
}

/// What `file` holds, read in a way that allocates nothing to it.
pub(crate) fn read(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.metadata()?.len() as usize];
    for range in allocated(file)? {
        file.read_exact_at(&mut bytes[range.clone()], range.start as u64)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use memmap2::MmapMut;

    /// A file on tmpfs: elsewhere holes may be coarser.
    fn file(len: usize) -> File {
        let file = tempfile::tempfile_in("/dev/shm").expect("tmpfs is mounted");
        file.set_len(len as u64).expect("it is writable");
        file
    }

    #[test]
    fn only_pages_that_were_written_are_allocated() {
        let file = file(10 * PAGE_BYTES);
        assert_eq!(allocated(&file).expect("it can be asked"), []);
        file.write_all_at(&[1], 3 * PAGE_BYTES as u64 + 5)
            .expect("it is writable");
        // SAFETY: nobody else knows the file.
        let mut map = unsafe { MmapMut::map_mut(&file).expect("it can be mapped") };
        map[4 * PAGE_BYTES] = 2;
        map[10 * PAGE_BYTES - 1] = 3;
        let expected = [
            3 * PAGE_BYTES..5 * PAGE_BYTES,
            9 * PAGE_BYTES..10 * PAGE_BYTES,
        ];
        assert_eq!(allocated(&file).expect("it can be asked"), expected);
        let bytes = read(&file).expect("it is readable");
        assert_eq!(allocated(&file).expect("it can be asked"), expected);
        assert_eq!(bytes, map[..]);
    }
}
