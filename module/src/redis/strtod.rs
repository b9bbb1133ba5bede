//! Doubles as the C library reads them, which is how the server reads its own.

use std::ffi::c_char;
use std::ptr;

/// What `strtod` gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Read {
    /// The number; 0 if there is none.
    pub value: f64,
    /// Bytes read; 0 if there is no number.
    pub len: usize,
    /// The number is out of range: too large, or so near zero that digits are lost.
    pub is_out_of_range: bool,
}

/// Reads the number with which a text begins, after space. A zero byte ends the text.
pub fn strtod(text: &[u8]) -> Read {
    let (mut short, long);
    let text: &[u8] = if text.len() < 128 {
        short = [0; 128];
        short[..text.len()].copy_from_slice(text);
        &short
    } else {
        long = [text, &[0]].concat();
        &long
    };
    let begin: *const c_char = text.as_ptr().cast();
    let mut end = ptr::null_mut();
    // SAFETY: the text ends with a zero byte; `end` comes to point into it, at that byte at the
    // latest; `errno` is this thread's own.
    unsafe {
        let error = libc::__errno_location();
        *error = 0;
        let value = libc::strtod(begin, &mut end);
        Read {
            value,
            len: end.cast_const().offset_from_unsigned(begin),
            is_out_of_range: *error == libc::ERANGE,
        }
    }
}
