//! Values on their way into and out of RDB files, DUMP payloads, AOF rewrites and digests.

use std::ffi::{CStr, c_int};
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;

use redis_module::raw as rm;

use super::{Arg, api};

/// The stream ended early, is damaged, or could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoError;

/// What every stream knows: the key in hand, and whether something failed.
#[derive(Clone, Copy)]
struct Io<'a> {
    raw: *mut rm::RedisModuleIO,
    life: PhantomData<&'a ()>,
}

impl<'a> Io<'a> {
    /// The name of the key in hand, where Redis knows it (not for a bare value).
    fn key(self) -> Option<&'a [u8]> {
        // SAFETY: a live stream (the constructors' contract); its key's name, if any, is live too.
        unsafe { Arg::from_raw(api(rm::RedisModule_GetKeyNameFromIO)(self.raw)) }.map(Arg::bytes)
    }

    /// The number of the key's database, where Redis knows it.
    fn db(self) -> Option<i32> {
        // SAFETY: a live stream; -1 stands for "unknown".
        let db = unsafe { api(rm::RedisModule_GetDbIdFromIO)(self.raw) };
        (db >= 0).then_some(db)
    }

    fn failed(self) -> bool {
        // SAFETY: a live stream.
        unsafe { api(rm::RedisModule_IsIOError)(self.raw) != 0 }
    }

    fn check<T>(self, value: T) -> Result<T, IoError> {
        if self.failed() {
            Err(IoError)
        } else {
            Ok(value)
        }
    }
}

macro_rules! stream {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name<'a>(Io<'a>);

        impl<'a> $name<'a> {
            /// # Safety
            /// `raw` must be the stream of a running type callback, for as long as `'a`.
            pub(super) unsafe fn from_raw(raw: *mut rm::RedisModuleIO) -> Self {
                Self(Io { raw, life: PhantomData })
            }
        }
    };
}

stream! {
    /// Reads one value from an RDB file or a DUMP payload. What it gives is as hostile as its
    /// source.
    RdbReader
}

stream! {
    /// Writes one value to an RDB file or a DUMP payload. An error sticks, and Redis gives the file
    /// up.
    RdbWriter
}

stream! {
    /// Writes one key as commands, for an AOF rewrite.
    AofWriter
}

impl<'a> RdbReader<'a> {
    /// The name of the key in hand, where Redis knows it (not for a bare value).
    pub fn key(&self) -> Option<&'a [u8]> {
        self.0.key()
    }

    /// The number of the key's database, where Redis knows it.
    pub fn db(&self) -> Option<i32> {
        self.0.db()
    }

    /// The next unsigned integer.
    pub fn load_unsigned(&mut self) -> Result<u64, IoError> {
        // SAFETY: a live stream.
        let n = unsafe { api(rm::RedisModule_LoadUnsigned)(self.0.raw) };
        self.0.check(n)
    }

    /// The next signed integer.
    pub fn load_signed(&mut self) -> Result<i64, IoError> {
        // SAFETY: a live stream.
        let n = unsafe { api(rm::RedisModule_LoadSigned)(self.0.raw) };
        self.0.check(n)
    }

    /// The next double, bit for bit.
    pub fn load_double(&mut self) -> Result<f64, IoError> {
        // SAFETY: a live stream.
        let n = unsafe { api(rm::RedisModule_LoadDouble)(self.0.raw) };
        self.0.check(n)
    }

    /// The next byte string, in a buffer of its own.
    pub fn load_bytes(&mut self) -> Result<RdbBytes, IoError> {
        let mut len = 0;
        // SAFETY: a live stream; the buffer, NULL on error, is ours to free.
        let start = unsafe { api(rm::RedisModule_LoadStringBuffer)(self.0.raw, &mut len) };
        let start = NonNull::new(start).ok_or(IoError)?;
        self.0.check(RdbBytes {
            start: start.cast(),
            len,
        })
    }
}

impl<'a> RdbWriter<'a> {
    /// The name of the key in hand, where Redis knows it (not for a bare value).
    pub fn key(&self) -> Option<&'a [u8]> {
        self.0.key()
    }

    /// The number of the key's database, where Redis knows it.
    pub fn db(&self) -> Option<i32> {
        self.0.db()
    }

    /// Writes an unsigned integer.
    pub fn save_unsigned(&mut self, n: u64) {
        // SAFETY: a live stream.
        unsafe { api(rm::RedisModule_SaveUnsigned)(self.0.raw, n) }
    }

    /// Writes a signed integer.
    pub fn save_signed(&mut self, n: i64) {
        // SAFETY: a live stream.
        unsafe { api(rm::RedisModule_SaveSigned)(self.0.raw, n) }
    }

    /// Writes a double, bit for bit.
    pub fn save_double(&mut self, n: f64) {
        // SAFETY: a live stream.
        unsafe { api(rm::RedisModule_SaveDouble)(self.0.raw, n) }
    }

    /// Writes a byte string.
    pub fn save_bytes(&mut self, bytes: &[u8]) {
        let (start, len) = (bytes.as_ptr().cast(), bytes.len());
        // SAFETY: a live stream; the bytes are readable for their length.
        unsafe { api(rm::RedisModule_SaveStringBuffer)(self.0.raw, start, len) }
    }

    /// Whether writing has failed; the rest of a large value need not be tried then.
    pub fn failed(&self) -> bool {
        self.0.failed()
    }

    /// Has the server give up what it writes, as if this value could not be written: SAVE fails,
    /// and the file that was there stays. False if that is not to be had from this server.
    pub fn fail(&mut self) -> bool {
        let Some(place) = place_of_error() else {
            return false;
        };
        // SAFETY: a live stream, of which the server itself reads an int at this place, and gives
        // the file up if it is not 0. Nobody else has the stream meanwhile. The server's message
        // has the number of the last error.
        unsafe {
            self.0.raw.cast::<c_int>().add(place).write(1);
            *libc::__errno_location() = libc::EIO;
        }
        self.failed()
    }
}

/// Where a stream notes that it has failed, counted in ints: the server tells of a stand-in.
///
/// The API has a function that reads this note, but none that makes one; Redis's own types return
/// an error from the same callback.
fn place_of_error() -> Option<usize> {
    /// Ints of a stand-in, more than any server reads.
    const INTS: usize = 256;
    /// Ints of a stream, on any server.
    const STREAM: usize = 12;
    let tells = |place: Option<usize>| {
        let mut words = [0u64; INTS / 2];
        if let Some(place) = place {
            words[place / 2] = 1 << (32 * (place % 2));
        }
        // SAFETY: the function reads an int of the stream at a fixed place, and nothing else; the
        // stand-in is longer than any stream, as aligned, and lives for the call.
        unsafe { api(rm::RedisModule_IsIOError)(words.as_mut_ptr().cast()) != 0 }
    };
    let mut places = (0..INTS).filter(|&place| tells(Some(place)));
    match (places.next(), places.next()) {
        (Some(place), None) if place < STREAM && !tells(None) => Some(place),
        _ => None,
    }
}

impl AofWriter<'_> {
    /// Writes a command with its arguments.
    pub fn emit(&mut self, command: &CStr, args: &[Arg<'_>]) {
        let (argv, argc) = (args.as_ptr(), args.len());
        // SAFETY: a live stream; `v` takes a vector of strings, which Arg is, and its length as
        // size_t.
        unsafe {
            let emit = api(rm::RedisModule_EmitAOF);
            emit(self.0.raw, command.as_ptr(), c"v".as_ptr(), argv, argc)
        }
    }

    /// Whether writing has failed; the rest of a large value need not be tried then.
    pub fn failed(&self) -> bool {
        self.0.failed()
    }
}

/// Bytes read from an RDB, in memory of Redis.
pub struct RdbBytes {
    start: NonNull<u8>,
    len: usize,
}

impl Deref for RdbBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes from LoadStringBuffer, ours until Drop.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for RdbBytes {
    fn drop(&mut self) {
        // SAFETY: from LoadStringBuffer, freed only here.
        unsafe { api(rm::RedisModule_Free)(self.start.as_ptr().cast()) }
    }
}

/// The digest of a value, as DEBUG DIGEST computes it: elements that belong together in order, then
/// [`Digest::end_sequence`]; the order of the sequences does not matter.
pub struct Digest<'a> {
    raw: *mut rm::RedisModuleDigest,
    life: PhantomData<&'a ()>,
}

impl Digest<'_> {
    /// # Safety
    /// `raw` must be the digest of a running type callback, for as long as the result lives.
    pub(super) unsafe fn from_raw(raw: *mut rm::RedisModuleDigest) -> Self {
        Self {
            raw,
            life: PhantomData,
        }
    }

    /// Adds an element to the current sequence.
    pub fn add_bytes(&mut self, bytes: &[u8]) {
        let (start, len) = (bytes.as_ptr().cast(), bytes.len());
        // SAFETY: a live digest; the bytes are readable for their length.
        unsafe { api(rm::RedisModule_DigestAddStringBuffer)(self.raw, start, len) }
    }

    /// Ends the current sequence.
    pub fn end_sequence(&mut self) {
        // SAFETY: a live digest.
        unsafe { api(rm::RedisModule_DigestEndSequence)(self.raw) }
    }
}
