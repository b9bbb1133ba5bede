//! Whether a file has nothing but zeros.

use crate::error::Result;
use crate::file::io_error;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes that are read at once.
const BLOCK: usize = 1 << 20;

/// True if a file has nothing but zeros from `start` on. Where nobody has written yet is passed
/// over, as far as the file system can tell. O(bytes written), up to the first that is none.
pub(crate) fn is_zero_from(path: &Path, start: u64) -> Result<bool> {
    let error = |error: io::Error| io_error(path, &error);
    let file = File::open(path).map_err(error)?;
    let len = file.metadata().map_err(error)?.len();
    let (mut block, mut at) = (Vec::new(), start);
    while let Some(data) = next_data(&file, at).map_err(error)? {
        let rest = len.saturating_sub(data).min(BLOCK as u64) as usize;
        if rest == 0 {
            break;
        }
        block.resize(rest, 0);
        file.read_exact_at(&mut block, data).map_err(error)?;
        if block.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        at = data + rest as u64;
    }
    Ok(true)
}

/// Where the next byte is at or behind `at` that somebody may have written; `None` if there is
/// none.
fn next_data(file: &File, at: u64) -> io::Result<Option<u64>> {
    let from = libc::off_t::try_from(at).unwrap_or(libc::off_t::MAX);
    // SAFETY: an open file; only its position changes, which nobody uses.
    let found = unsafe { libc::lseek(file.as_raw_fd(), from, libc::SEEK_DATA) };
    if let Ok(data) = u64::try_from(found) {
        return Ok(Some(data));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENXIO) => Ok(None),
        // A file system that knows nothing of holes.
        Some(libc::EINVAL | libc::EOPNOTSUPP) => Ok(Some(at)),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_anywhere_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = File::create(&path).unwrap();
        let len = 5 * BLOCK as u64 + 100;
        assert!(is_zero_from(&path, 0).unwrap(), "an empty file");
        file.set_len(len).unwrap();
        assert!(is_zero_from(&path, 0).unwrap(), "a hole");
        for at in [0, 4095, 4096, 3 * BLOCK as u64 - 1, len - 1] {
            file.write_all_at(b"x", at).unwrap();
            assert!(!is_zero_from(&path, 0).unwrap(), "{at}");
            assert!(!is_zero_from(&path, at).unwrap(), "{at}");
            assert!(is_zero_from(&path, at + 1).unwrap(), "{at}");
            file.write_all_at(b"\0", at).unwrap();
        }
        assert!(is_zero_from(&path, 0).unwrap(), "zeros that were written");
        assert!(is_zero_from(&path, len + 1).unwrap(), "behind its end");
    }
}
