//! A pool's files, and who may read them.
//!
//! Only the owner may read a pool's files: this program creates them with mode 0600. `pmempool
//! create` makes parts that everybody can read, whatever the umask, and so does a plain `cp` under
//! the usual one.

use crate::disk::journal_of;
use crate::error::Result;
use crate::file::io_error;
use crate::found::{self, Found};
use crate::identity::Layout;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What others than owner and group may do.
const OTHERS: u32 = 0o007;
/// What is left to the owner.
const OWNER: u32 = 0o700;

/// A file of a pool that everybody could read or write.
#[derive(Debug)]
pub struct Exposed {
    /// The file.
    pub path: PathBuf,
    /// Its mode before.
    pub mode: u32,
    /// Its mode now; or why it could not be changed, as by a server that is not the file's owner.
    pub now: Result<u32>,
}

/// The files that have the content of the pool at `path`, its journal included, whether or not
/// there is one; none of a device.
///
/// # Errors
/// `Io` and its like, if the files cannot be found.
pub fn files_of(path: &Path, layout: &Layout) -> Result<Vec<PathBuf>> {
    Ok(match found::inspect(path, layout)? {
        Found::Pool => vec![path.to_path_buf(), journal_of(path)],
        Found::Poolset(set) => set.files()?,
        Found::Nothing | Found::BlankSet(_) | Found::Device => Vec::new(),
    })
}

/// Takes all access away from group and others to those files of the pool at `path`, its journal
/// included, that *others* may read or write. What only the group may do is somebody's choice, and
/// is left.
///
/// Each file is changed in one step; those that could not be are told of all the same.
///
/// # Errors
/// `Io` and its like, if the files cannot be found.
pub fn make_private(path: &Path, layout: &Layout) -> Result<Vec<Exposed>> {
    let mut files = files_of(path, layout)?;
    files.retain(|file| file.is_file());
    let mut exposed = Vec::new();
    for path in files {
        let file = File::open(&path).map_err(|error| io_error(&path, &error))?;
        let metadata = file.metadata().map_err(|error| io_error(&path, &error))?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & OTHERS == 0 {
            continue;
        }
        let private = mode & OWNER;
        let changed = file.set_permissions(Permissions::from_mode(private));
        exposed.push(Exposed {
            now: changed
                .map(|()| private)
                .map_err(|error| io_error(&path, &error)),
            path,
            mode,
        });
    }
    Ok(exposed)
}
