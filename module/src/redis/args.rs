//! Arguments and other strings of Redis, read without copying.

use std::ffi::c_int;
use std::marker::PhantomData;
use std::ops::Index;
use std::ptr::NonNull;

use redis_module::raw as rm;

use super::api;

/// A string that Redis owns: an argument, a key's name. Binary-safe.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Arg<'a> {
    raw: NonNull<rm::RedisModuleString>,
    life: PhantomData<&'a [u8]>,
}

impl<'a> Arg<'a> {
    /// Wraps a string of Redis; `None` for NULL.
    ///
    /// # Safety
    /// A non-null `raw` must be a live module string that stays unchanged for `'a`.
    pub(super) unsafe fn from_raw(raw: *const rm::RedisModuleString) -> Option<Self> {
        let raw = NonNull::new(raw.cast_mut())?;
        Some(Self {
            raw,
            life: PhantomData,
        })
    }

    pub(super) fn raw(self) -> *mut rm::RedisModuleString {
        self.raw.as_ptr()
    }

    /// The bytes, where Redis keeps them. O(1).
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        let mut len = 0;
        // SAFETY: the string is live for 'a (from_raw), and Redis answers with its bytes and their
        // number; the pointer is never NULL.
        unsafe {
            let start = api(rm::RedisModule_StringPtrLen)(self.raw(), &mut len);
            std::slice::from_raw_parts(start.cast(), len)
        }
    }

    /// Whether the argument is the option `word` in any case.
    ///
    /// As in Redis, whose comparison is of C strings, a zero byte ends the argument.
    #[inline]
    pub fn is(self, word: &[u8]) -> bool {
        is_word(self.bytes(), word)
    }
}

fn is_word(bytes: &[u8], word: &[u8]) -> bool {
    match bytes.split_at_checked(word.len()) {
        Some((head, tail)) => {
            head.eq_ignore_ascii_case(word) && tail.first().is_none_or(|&next| next == 0)
        }
        None => false,
    }
}

impl AsRef<[u8]> for Arg<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl std::fmt::Debug for Arg<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.bytes().escape_ascii())
    }
}

/// The arguments of a command, the command's name first.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a>(&'a [Arg<'a>]);

impl<'a> Args<'a> {
    /// # Safety
    /// `argv` must point to `argc` live module strings, all unchanged for `'a`.
    pub(super) unsafe fn from_raw(argv: *mut *mut rm::RedisModuleString, argc: c_int) -> Self {
        let argc = usize::try_from(argc).unwrap_or(0);
        if argc == 0 {
            return Self(&[]);
        }
        // SAFETY: by the contract above; Arg is a transparent, non-null pointer to such a string.
        Self(unsafe { std::slice::from_raw_parts(argv.cast::<Arg<'a>>(), argc) })
    }

    /// How many there are, the command's name included.
    #[inline]
    #[allow(
        clippy::len_without_is_empty,
        reason = "the command's name is always there"
    )]
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// The argument at `i`, where 0 is the command's name.
    #[inline]
    pub fn get(self, i: usize) -> Option<Arg<'a>> {
        self.0.get(i).copied()
    }

    /// The arguments from `i` on; none if there are fewer.
    #[inline]
    pub fn from(self, i: usize) -> &'a [Arg<'a>] {
        self.0.get(i..).unwrap_or(&[])
    }
}

impl<'a> Index<usize> for Args<'a> {
    type Output = Arg<'a>;

    #[inline]
    fn index(&self, i: usize) -> &Arg<'a> {
        &self.0[i]
    }
}

/// A string made by the module, to name a key or to replicate a value.
pub struct OwnedString(NonNull<rm::RedisModuleString>);

impl OwnedString {
    /// Copies `bytes` into a string of Redis. O(n).
    pub fn new(bytes: &[u8]) -> Self {
        // SAFETY: the bytes are readable for their length; a NULL context means that the caller
        // frees the string, which Drop does.
        let raw = unsafe {
            let create = api(rm::RedisModule_CreateString);
            create(std::ptr::null_mut(), bytes.as_ptr().cast(), bytes.len())
        };
        Self(NonNull::new(raw).expect("Redis aborts rather than fail an allocation"))
    }

    /// The text of a number, as the server's own commands write it.
    pub fn of_double(n: f64) -> Self {
        // SAFETY: as in `new`; the number is any.
        let raw = unsafe { api(rm::RedisModule_CreateStringFromDouble)(std::ptr::null_mut(), n) };
        Self(NonNull::new(raw).expect("Redis aborts rather than fail an allocation"))
    }

    /// The string, to pass where an argument goes.
    #[inline]
    pub fn arg(&self) -> Arg<'_> {
        Arg {
            raw: self.0,
            life: PhantomData,
        }
    }
}

impl OwnedString {
    /// Takes over a string that the server has made for us; `None` for NULL.
    ///
    /// # Safety
    /// `raw` must be such a string, which nobody else frees.
    pub(super) unsafe fn from_raw(raw: *mut rm::RedisModuleString) -> Option<Self> {
        NonNull::new(raw).map(Self)
    }

    /// The string, which is the server's from here on.
    pub(super) fn into_raw(self) -> *mut rm::RedisModuleString {
        std::mem::ManuallyDrop::new(self).0.as_ptr()
    }
}

impl Drop for OwnedString {
    fn drop(&mut self) {
        // SAFETY: created in `new` without a context, and freed nowhere else.
        unsafe { api(rm::RedisModule_FreeString)(std::ptr::null_mut(), self.0.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::is_word;

    #[test]
    fn options_compare_as_c_strings_in_any_case() {
        for same in [b"nx".as_slice(), b"NX", b"nX\0junk"] {
            assert!(is_word(same, b"NX"), "{same:?}");
        }
        for other in [b"".as_slice(), b"n", b"nxx", b"xx", b"\0nx"] {
            assert!(!is_word(other, b"NX"), "{other:?}");
        }
    }
}
