//! The order of texts in the server's locale.

use std::cmp::Ordering;
use std::ffi::CStr;

/// Compares two texts as native SORT ... ALPHA does: Redis sets the locale of its process, which is
/// the module's, too.
pub fn collate(a: &CStr, b: &CStr) -> Ordering {
    // SAFETY: two C strings, which the function only reads.
    unsafe { libc::strcoll(a.as_ptr(), b.as_ptr()) }.cmp(&0)
}
