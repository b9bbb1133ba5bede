//! Words that stand beside a file's content, in an extended attribute.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsRawFd;

/// The words of an attribute; `None` if there is none of so many, or the file system keeps none.
pub(crate) fn get<const N: usize>(file: &File, name: &CStr) -> Option<[u64; N]> {
    let mut words = [0u64; N];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    let (at, most) = (bytes.as_mut_ptr().cast(), bytes.len());
    // SAFETY: an open file, a C string, and a buffer of `most` bytes.
    let len = unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), at, most) };
    (usize::try_from(len) == Ok(most)).then(|| words.map(u64::from_le))
}

/// Sets the words of an attribute, some time later durably; false if the file system keeps none.
pub(crate) fn set<const N: usize>(file: &File, name: &CStr, words: [u64; N]) -> bool {
    let bytes = words.map(u64::to_le_bytes);
    let bytes = bytes.as_flattened();
    // SAFETY: an open file, a C string, and as many readable bytes as it says.
    unsafe {
        let at = bytes.as_ptr().cast();
        libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), at, bytes.len(), 0) == 0
    }
}
