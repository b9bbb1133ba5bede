//! Why keys of files are not loaded.

use pobj::Error;

/// Why a key of a file is not loaded.
pub(super) enum LoadError {
    /// The pool cannot have it.
    Pool(Error),
    /// The server must not serve with this file and this pool together: why not, for the log.
    Refused(String),
}

impl From<Error> for LoadError {
    fn from(error: Error) -> LoadError {
        LoadError::Pool(error)
    }
}
