//! The files that came to be when a pool was opened that was not there: they go again if nothing
//! comes of it. A start that is refused then leaves the file system as it was, and the next one
//! finds no pool that it could take for one of its own.

use crate::disk::{journal_of, remove_journal};
use crate::file::sync_directory;
use crate::set;
use std::path::PathBuf;

/// What an opening has made.
#[derive(Debug, Default)]
pub(crate) enum Made {
    /// Nothing, or nothing that could go: files of somebody's own description.
    #[default]
    Nothing,
    /// A pool in a plain file.
    File(PathBuf),
    /// The same, and its journal. Before that was made, another pool's may lie there.
    Journaled(PathBuf),
    /// The description of a pool that grows, and its parts.
    Set(PathBuf),
}

impl Made {
    /// Removes it; whether there was something. What cannot be removed stays: nobody could do
    /// anything about it.
    pub(crate) fn remove(&mut self) -> bool {
        let path = match std::mem::take(self) {
            Made::Nothing => return false,
            Made::File(path) => {
                let _ = std::fs::remove_file(&path);
                path
            }
            Made::Journaled(path) => {
                // Beside the file that a link leads to: as long as that is there.
                let journal = journal_of(&path);
                let _ = std::fs::remove_file(&path);
                let _ = remove_journal(&journal);
                path
            }
            Made::Set(path) => {
                let _ = set::remove_made(&path);
                path
            }
        };
        let _ = sync_directory(&path);
        true
    }
}
