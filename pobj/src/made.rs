//! The files that came to be when a pool was opened that was not there: they go again if nothing
//! comes of it. A start that is refused then leaves the file system as it was, and the next one
//! finds no pool that it could take for one of its own.
//!
//! Only what was made here goes: a file's name may have come to mean another one meanwhile.

use crate::disk::{journal_of, remove_records};
use crate::file::{kernels_name, sync_directory};
use crate::set;
use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What an opening has made.
#[derive(Debug, Default)]
pub(crate) enum Made {
    /// Nothing.
    #[default]
    Nothing,
    /// A pool in a plain file.
    File(Known),
    /// The same, and its journal. Before that was made, another pool's may lie there.
    Journaled { file: Known, journal: Known },
    /// The description of a pool that grows, and its parts.
    Set { description: Known, parts: Known },
    /// The parts of a description that was there.
    Parts(PathBuf),
}

/// A file, or a directory, that was made. It is kept, so that no other gets its number.
#[derive(Debug)]
pub(crate) struct Known {
    /// Its own name, whatever links led to it.
    path: PathBuf,
    kept: File,
}

impl Known {
    /// What is at `path` now. `None` if that cannot be told: then it stays.
    fn at(path: &Path) -> Option<Known> {
        let mut options = OpenOptions::new();
        let kept = options.read(true).custom_flags(libc::O_PATH).open(path);
        Some(Known {
            path: kernels_name(path).ok()?,
            kept: kept.ok()?,
        })
    }

    /// Whether its name still means it.
    fn is_there(&self) -> bool {
        let number = |found: &Metadata| (found.dev(), found.ino());
        let (named, kept) = (self.path.symlink_metadata(), self.kept.metadata());
        matches!((named, kept), (Ok(named), Ok(kept)) if number(&named) == number(&kept))
    }

    /// Removes a file. What cannot be removed stays: nobody could do anything about it.
    fn remove(&self) {
        if self.is_there() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Made {
    /// A pool in the plain file at `path`.
    pub(crate) fn file(path: &Path) -> Made {
        Known::at(path).map_or(Made::Nothing, Made::File)
    }

    /// The pool has a journal, too.
    pub(crate) fn add_journal(&mut self) {
        *self = match std::mem::take(self) {
            Made::File(file) => match Known::at(&journal_of(&file.path)) {
                Some(journal) => Made::Journaled { file, journal },
                None => Made::File(file),
            },
            other => other,
        }
    }

    /// The description of a pool that grows, at `path`, and the directory of its parts.
    pub(crate) fn set(path: &Path, parts: &Path) -> Made {
        match (Known::at(path), Known::at(parts)) {
            (Some(description), Some(parts)) => Made::Set { description, parts },
            _ => Made::Nothing,
        }
    }

    /// Removes it; whether there was something.
    pub(crate) fn remove(&mut self) -> bool {
        let path = match std::mem::take(self) {
            Made::Nothing => return false,
            Made::File(file) => {
                file.remove();
                file.path
            }
            Made::Journaled { file, journal } => {
                file.remove();
                if journal.is_there() {
                    let _ = remove_records(&journal_of(&file.path));
                    journal.remove();
                }
                file.path
            }
            Made::Set { description, parts } => {
                if description.is_there() && parts.is_there() {
                    let _ = set::remove_made(&description.path);
                }
                description.path
            }
            Made::Parts(path) => {
                let _ = set::remove_parts(&path);
                path
            }
        };
        let _ = sync_directory(&path);
        true
    }
}
