//! Journals that lie where another pool is to have its own.
//!
//! A pool that is moved away, or whose file is replaced, may leave a journal behind without which
//! it is incomplete. A pool that comes to be in its place puts that aside, with its large records,
//! under a name that ends with the journal's id: `PATH.journal.of-ID`. Its own pool knows it by
//! that id, and takes it back when it is opened at that place again.
//!
//! Large records are moved before the journal when it is put aside, and after it when it is taken
//! back, so that if that is cut short, either can go on.

use super::journal;
use super::names::{record_of, remove_files};
use crate::error::{Error, Result};
use crate::file::{directory_of, io_error, kernels_name, sync_directory};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Where the journal of that id is put that lies at `journal`.
fn place_of(journal: &Path, id: u64) -> PathBuf {
    let mut name = OsString::from(journal);
    name.push(format!(".of-{id:016x}"));
    PathBuf::from(name)
}

/// Puts the journal at `path` aside if a pool may need it: another one than that of the number
/// `pool`, or another file of that one, as the pool that is here needs nothing of it. Where it is
/// now.
///
/// # Errors
/// `Journal` if there is one of that id already; `Io` and its like.
pub(super) fn make_way(path: &Path, pool: u64) -> Result<Option<PathBuf>> {
    let Some(need) = journal::need(path)? else {
        return Ok(None);
    };
    // What older modules leave behind at a close says no less than what a crash leaves of another
    // pool; of this one, it has nothing then.
    if need.id == 0 || need.pool == pool && !need.has_records {
        return Ok(None);
    }
    let to = place_of(path, need.id);
    if fs::symlink_metadata(&to).is_ok() {
        return Err(Error::Journal {
            path: path.into(),
            reason: format!(
                "it is of another pool, or of another file of this one, and would be put aside, but {} is there: \
                 move one of the two away",
                to.display()
            ),
        });
    }
    let moved = move_records(path, &to).and_then(|()| move_journal(path, &to, need.id));
    moved.map_err(|error| io_error(path, &error))?;
    Ok(Some(to))
}

/// Takes the journal of that id back to `path`, if it was put aside, and what is at `path` is
/// another one; which is put aside in turn, if a pool may need it.
///
/// # Errors
/// As for [`make_way`].
pub(super) fn take_back(path: &Path, id: u64, pool: u64) -> Result<()> {
    let from = place_of(path, id);
    let failed = |error| io_error(path, &error);
    let is_here = journal::need(path)?.is_some_and(|need| (need.id, need.pool) == (id, pool));
    if !is_here {
        let is_its_own = |need: journal::Need| (need.id, need.pool) == (id, pool);
        if !journal::need(&from)?.is_some_and(is_its_own) {
            return Ok(());
        }
        make_way(path, pool)?;
        journal::require_nothing_else(path)?;
        remove_files(path, &[]).map_err(failed)?;
        fs::rename(&from, path).map_err(failed)?;
    }
    move_records(&from, path).map_err(failed)?;
    sync_directory(path).map_err(failed)
}

/// Gives the journal another name. If it is a link, the new one is to be made where that leads.
fn move_journal(path: &Path, to: &Path, id: u64) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_symlink() {
        let file = kernels_name(path)?;
        let moved = place_of(&file, id);
        fs::rename(&file, &moved)?;
        sync_directory(&file)?;
        symlink(&moved, to)?;
    } else {
        fs::rename(path, to)?;
    }
    sync_directory(to)
}

/// Gives the files of large records of the journal `from` the names of those of the journal `to`.
fn move_records(from: &Path, to: &Path) -> io::Result<()> {
    let Some(name) = from.file_name() else {
        return Ok(());
    };
    for entry in fs::read_dir(directory_of(from))? {
        let entry = entry?;
        let file = entry.file_name();
        let Some(number) = record_of(name, &file) else {
            continue;
        };
        let mut renamed = OsString::from(to);
        renamed.push(".");
        renamed.push(number);
        fs::rename(entry.path(), renamed)?;
    }
    Ok(())
}
