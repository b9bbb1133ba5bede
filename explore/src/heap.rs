//! Pools as libpmemobj sees them, past `pobj`.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use pmdk_bindings::{Libpmemobj, PMEMOBJ_MIN_POOL, load};

const LAYOUT: &CStr = c"pmedis";

fn library() -> &'static Libpmemobj {
    load().expect("libpmemobj is installed")
}

fn to_c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no path contains a null byte")
}

/// Creates a pool with nothing in it, not even a root object, and leaves it closed.
///
/// # Panics
/// If it cannot be created.
pub(crate) fn create_empty(path: &Path) {
    let path = to_c(path);
    // SAFETY: the arguments are strings, a size and a mode.
    let pop = unsafe {
        library().pmemobj_create(path.as_ptr(), LAYOUT.as_ptr(), PMEMOBJ_MIN_POOL, 0o600)
    };
    assert!(!pop.is_null(), "a pool can be created");
    // SAFETY: the pool is open, and nobody has anything of it.
    unsafe { library().pmemobj_close(pop) };
}

/// What PMDK's own check says of a closed pool.
///
/// # Errors
/// If it is not consistent.
pub(crate) fn check(path: &Path) -> Result<(), String> {
    let path = to_c(path);
    // SAFETY: the arguments are strings.
    match unsafe { library().pmemobj_check(path.as_ptr(), LAYOUT.as_ptr()) } {
        1 => Ok(()),
        result => Err(format!("pmemobj_check says {result}")),
    }
}

/// Type numbers of the objects that a pool without keys has: the log, and extents.
const LASTING: [u64; 2] = [3, 4];

/// Number of objects in a closed pool, without the root object, the log and the extents.
///
/// # Errors
/// If it cannot be opened.
pub(crate) fn count_others(path: &Path) -> Result<usize, String> {
    let path = to_c(path);
    // SAFETY: the arguments are strings; the pool is closed again before anything else opens it,
    // and nothing is freed while its objects are counted.
    unsafe {
        let pop = library().pmemobj_open(path.as_ptr(), LAYOUT.as_ptr());
        if pop.is_null() {
            return Err("libpmemobj does not open the pool".into());
        }
        let lasts = |oid: &_| LASTING.contains(&library().pmemobj_type_num(*oid));
        let count = library().objects(pop).filter(|oid| !lasts(oid)).count();
        library().pmemobj_close(pop);
        Ok(count)
    }
}
