//! The names of a journal's files.

use crate::file::directory_of;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

/// Where the journal of the pool at `pool` is.
pub(crate) fn path_of(pool: &Path) -> PathBuf {
    let mut name = OsString::from(pool);
    name.push(".journal");
    PathBuf::from(name)
}

/// The file of the record at `lsn`.
pub(super) fn file_of(journal: &Path, lsn: u64) -> PathBuf {
    let mut name = OsString::from(journal);
    name.push(format!(".{lsn:016x}"));
    PathBuf::from(name)
}

/// Removes files of records that nobody needs: all but those of the records at `needed`.
pub(super) fn remove_files(journal: &Path, needed: &[u64]) -> io::Result<()> {
    let Some(name) = journal.file_name() else {
        return Ok(());
    };
    for entry in std::fs::read_dir(directory_of(journal))? {
        let entry = entry?;
        if record_of(name, &entry.file_name()).is_some()
            && !needed
                .iter()
                .any(|&lsn| file_of(journal, lsn) == entry.path())
        {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The number in the name of a file, if it is of a large record of the journal called `journal`.
pub(super) fn record_of<'a>(journal: &OsStr, file: &'a OsStr) -> Option<&'a str> {
    let rest = file.as_encoded_bytes();
    let rest = rest.strip_prefix(journal.as_encoded_bytes())?;
    let lsn = str::from_utf8(rest.strip_prefix(b".")?).ok()?;
    (lsn.len() == 16 && lsn.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(lsn)
}
