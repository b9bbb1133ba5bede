//! The handle that libpmemobj gives of an open pool, and what its refusals mean.

use crate::error::{Error, Result};
use crate::file::{HEAP_OFFSET_AT, HEAP_SIZE_AT};
use crate::heap::last_message;
use pmdk_bindings::{Libpmemobj, PMEMobjpool};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;

/// The pool handle, closed on drop.
pub(crate) struct Handle {
    pub lib: &'static Libpmemobj,
    pub pop: NonNull<PMEMobjpool>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the pool was opened by `open` or `create` and is closed only here; `Pool` drops
        // the handle last, and nothing borrowed from it can be alive.
        unsafe { self.lib.pmemobj_close(self.pop.as_ptr()) };
    }
}

impl Handle {
    /// Opens the pool at `path`, of this layout.
    pub(crate) fn open(lib: &'static Libpmemobj, path: &Path, layout: &CStr) -> Result<Handle> {
        let name = c_path(path)?;
        // SAFETY: both are terminated strings that outlive the call.
        let pop = unsafe { lib.pmemobj_open(name.as_ptr(), layout.as_ptr()) };
        Handle::of(lib, pop, path, |errno, message| match errno {
            Some(libc::EWOULDBLOCK | libc::EBUSY) => Error::Locked(path.into()),
            _ if message.contains("shutdown") || message.contains("SDS") => {
                Error::UnsafeShutdown(path.into(), message)
            }
            _ if tells_of_damage(&message) => {
                Error::Damaged(format!("{}: {message}", path.display()))
            }
            _ => Error::NotOpened(path.into(), message),
        })
    }

    /// The pool's length in bytes, as libpmemobj has noted it.
    pub(crate) fn len(&self) -> u64 {
        let word = |at: usize| {
            let at = self
                .pop
                .as_ptr()
                .cast::<u8>()
                .wrapping_add(at)
                .cast::<u64>();
            // SAFETY: an aligned word of the first pages of an open pool, which nobody writes at
            // this time.
            unsafe { at.read_volatile() }
        };
        word(HEAP_OFFSET_AT).saturating_add(word(HEAP_SIZE_AT))
    }

    /// Creates a pool of `size` bytes at `path`, for its owner alone; of the size of its parts, if
    /// they are there and `size` is 0.
    pub(crate) fn create(
        lib: &'static Libpmemobj,
        path: &Path,
        layout: &CStr,
        size: u64,
    ) -> Result<Handle> {
        let name = c_path(path)?;
        // SAFETY: both are terminated strings that outlive the call; the mode is owner-only.
        let pop =
            unsafe { lib.pmemobj_create(name.as_ptr(), layout.as_ptr(), size as usize, 0o600) };
        Handle::of(lib, pop, path, |errno, message| match errno {
            Some(libc::ENOSPC | libc::EFBIG | libc::EDQUOT | libc::ENOMEM) => Error::NoSpace {
                what: "pool",
                path: path.into(),
                size,
                message,
            },
            _ => Error::Pmdk {
                operation: "creating the pool",
                message,
            },
        })
    }

    /// What libpmemobj has just given for `path`: a handle, or null with the reason in `errno` and
    /// a message, of which `refused` makes the error unless it is a lack of permission.
    fn of(
        lib: &'static Libpmemobj,
        pop: *mut PMEMobjpool,
        path: &Path,
        refused: impl FnOnce(Option<i32>, String) -> Error,
    ) -> Result<Handle> {
        let errno = std::io::Error::last_os_error().raw_os_error();
        match NonNull::new(pop) {
            Some(pop) => Ok(Handle { lib, pop }),
            None => Err(match (errno, last_message(lib)) {
                (Some(libc::EACCES | libc::EPERM | libc::EROFS), message) => {
                    Error::Permission(path.into(), message)
                }
                (errno, message) => refused(errno, message),
            }),
        }
    }
}

/// True if what libpmemobj says of a pool that it does not open is about the pool's bytes, not
/// about the machine, the settings or the parts of a poolset.
fn tells_of_damage(message: &str) -> bool {
    const WORDS: [&str; 11] = [
        "checksum",
        "heap: ",
        "corrupt",
        "undefined state",
        "invalid machine",
        "invalid reserved",
        "invalid alignment",
        "invalid data value",
        "invalid major version",
        "mismatch in part",
        "wrong architecture",
    ];
    WORDS.iter().any(|word| message.contains(word))
}

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::NotFound(path.into()))
}
