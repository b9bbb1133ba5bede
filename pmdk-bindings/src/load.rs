//! Opening the libraries.
//!
//! Symbols that the executable exports or that are preloaded come before the library's own, as they
//! would if it were linked: a test tool can thus put itself between libpmemobj and libpmem.

use std::ffi::CStr;
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::raw::libpmem::Libpmem;
use crate::raw::libpmemobj::{Libpmemobj, PMEMOBJ_MAJOR_VERSION, PMEMOBJ_MINOR_VERSION};

const LIBPMEMOBJ: Source = Source {
    file: "libpmemobj.so.1",
    package: "libpmemobj1",
};
const LIBPMEM: Source = Source {
    file: "libpmem.so.1",
    package: "libpmem1",
};

/// Why a library cannot be used. The message is one line and names the Debian package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The dynamic loader does not find the library, or cannot load it.
    #[error("cannot load {file}: {reason}; on Debian it is in the package {package}")]
    Open {
        /// The library's file name.
        file: &'static str,
        /// The Debian package that has it.
        package: &'static str,
        /// What the dynamic loader says.
        reason: String,
    },
    /// The library lacks a function that is needed.
    #[error("{file} cannot be used: {reason}; on Debian, upgrade the package {package}")]
    Symbol {
        /// The library's file name.
        file: &'static str,
        /// The Debian package that has it.
        package: &'static str,
        /// What the dynamic loader says.
        reason: String,
    },
    /// The library's interface is older than the headers this crate was built with, or of another
    /// major version.
    #[error("{file} has the wrong version: {reason}; on Debian, upgrade the package {package}")]
    Version {
        /// The library's file name.
        file: &'static str,
        /// The Debian package that has it.
        package: &'static str,
        /// What the library's own version check says.
        reason: String,
    },
}

/// Loads libpmemobj, and with it libpmem, unless that has been done.
///
/// The first call decides: it makes libpmem read `PMEM_IS_PMEM_FORCE` and `PMEM_NO_FLUSH`, and
/// later calls give the same library or the same error. It stays loaded until the process ends.
pub fn load() -> Result<&'static Libpmemobj, LoadError> {
    static LOADED: OnceLock<Result<Libpmemobj, LoadError>> = OnceLock::new();
    LOADED
        .get_or_init(|| open_libpmemobj(LIBPMEMOBJ))
        .as_ref()
        .map_err(Clone::clone)
}

/// Loads libpmem, the library under libpmemobj, which knows whether a mapping is persistent memory.
///
/// It is the same one that libpmemobj uses, and what is said of the environment at [`load`] goes
/// for whichever of the two is called first.
pub fn load_libpmem() -> Result<&'static Libpmem, LoadError> {
    static LOADED: OnceLock<Result<Libpmem, LoadError>> = OnceLock::new();
    LOADED
        .get_or_init(|| open_libpmem(LIBPMEM))
        .as_ref()
        .map_err(Clone::clone)
}

/// Where a library comes from.
#[derive(Clone, Copy)]
struct Source {
    file: &'static str,
    package: &'static str,
}

impl Source {
    fn open(self) -> Result<Library, LoadError> {
        // SAFETY: the constructors of PMDK's libraries set up the library's own state only, and its
        // destructors run when the process ends, or when `open_*` below gives up before any use.
        unsafe { Library::open(Some(self.file), RTLD_NOW | RTLD_LOCAL) }.map_err(|error| {
            LoadError::Open {
                file: self.file,
                package: self.package,
                reason: error.to_string(),
            }
        })
    }

    fn lacks_symbol(self, error: libloading::Error) -> LoadError {
        LoadError::Symbol {
            file: self.file,
            package: self.package,
            reason: error.to_string(),
        }
    }
}

fn open_libpmemobj(source: Source) -> Result<Libpmemobj, LoadError> {
    let library = source.open()?;
    // SAFETY: the names looked up and their types come from the header of this very library.
    let library =
        unsafe { Libpmemobj::from_library(library) }.map_err(|error| source.lacks_symbol(error))?;
    check_version(
        &library,
        source,
        PMEMOBJ_MAJOR_VERSION,
        PMEMOBJ_MINOR_VERSION,
    )?;
    Ok(library)
}

fn open_libpmem(source: Source) -> Result<Libpmem, LoadError> {
    let library = source.open()?;
    // SAFETY: whoever exports a function of libpmem to the whole process does so to stand in for
    // it, with the same type.
    if let Ok(interposed) = unsafe { Libpmem::from_library(Library::this()) } {
        return Ok(interposed);
    }
    // SAFETY: the names looked up and their types come from the header of this very library.
    unsafe { Libpmem::from_library(library) }.map_err(|error| source.lacks_symbol(error))
}

/// Asks the library whether it has the interface `major`.`minor`.
fn check_version(
    library: &Libpmemobj,
    source: Source,
    major: u32,
    minor: u32,
) -> Result<(), LoadError> {
    // SAFETY: the function takes plain numbers.
    let reason = unsafe { library.pmemobj_check_version(major, minor) };
    if reason.is_null() {
        return Ok(());
    }
    // SAFETY: a message that is not null is a string that stays unchanged until this thread's next
    // call of libpmemobj fails; it is copied here.
    let reason = unsafe { CStr::from_ptr(reason) }
        .to_string_lossy()
        .into_owned();
    Err(LoadError::Version {
        file: source.file,
        package: source.package,
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named_with_its_package() {
        let source = Source {
            file: "libno-such-library.so.1",
            package: "libpmemobj1",
        };
        let error = open_libpmemobj(source)
            .err()
            .expect("no such library exists");
        assert!(matches!(error, LoadError::Open { .. }), "{error:?}");
        let message = error.to_string();
        assert!(
            message.starts_with("cannot load libno-such-library.so.1: "),
            "{message}"
        );
        assert!(
            message.ends_with("on Debian it is in the package libpmemobj1"),
            "{message}"
        );
        assert_eq!(message.lines().count(), 1, "{message}");
    }

    #[test]
    fn a_library_without_the_functions_is_refused() {
        let source = Source {
            file: "libc.so.6",
            package: "libpmemobj1",
        };
        let error = open_libpmemobj(source)
            .err()
            .expect("libc is not libpmemobj");
        assert!(matches!(error, LoadError::Symbol { .. }), "{error:?}");
        assert!(error.to_string().contains("pmemobj_"), "{error}");
    }

    #[test]
    fn an_interface_newer_than_the_library_is_refused() {
        let library = load().expect("libpmemobj1 is installed");
        let minor = PMEMOBJ_MINOR_VERSION + 1000;
        let error = check_version(library, LIBPMEMOBJ, PMEMOBJ_MAJOR_VERSION, minor)
            .expect_err("no library is that new");
        assert!(matches!(error, LoadError::Version { .. }), "{error:?}");
        assert!(error.to_string().contains("version mismatch"), "{error}");
    }

    #[test]
    fn the_first_load_decides() {
        let first = load().expect("libpmemobj1 is installed");
        assert!(std::ptr::eq(first, load().expect("it is loaded")));
    }
}
