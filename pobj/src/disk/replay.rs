//! Whether a pool's latest changes are in its journal, and their way into the pool's file at the
//! next open.
//!
//! The pool's file says so itself, in the word of the format version: so a program that knows no
//! journals refuses the pool. The word is set, durably, before the first record, and cleared,
//! durably, when the file has everything.
//!
//! Replaying writes each line's latest image into the file, whatever the file has there: it can be
//! cut short and done again.

use super::journal;
use crate::error::{Error, Result};
use crate::file::io_error;
use crate::found::root_header;
use crate::identity::Layout;
use crate::images::PAGE;
use crate::images::record;
use crate::layout::{Header, JOURNAL_AT, JOURNALED, LINE, VERSION_AT};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// The number by which a journal knows the pool with this header.
pub(super) fn pool_number(header: &Header) -> u64 {
    xxh3_64(bytemuck::bytes_of(&header.seed))
}

/// Writes into a pool's file, durably, that its latest changes are in a journal: its id, and the
/// position from which on.
pub(super) fn mark(file: &File, root: u64, version: u32, words: [u64; 2]) -> std::io::Result<()> {
    let words = words.map(u64::to_le_bytes);
    file.write_all_at(words.as_flattened(), root + JOURNAL_AT)?;
    file.sync_data()?;
    file.write_all_at(&(version | JOURNALED).to_le_bytes(), root + VERSION_AT)?;
    file.sync_data()
}

/// Writes into a pool's file, durably, that it has everything.
pub(super) fn unmark(file: &File, root: u64, version: u32) -> std::io::Result<()> {
    file.write_all_at(&(version & !JOURNALED).to_le_bytes(), root + VERSION_AT)?;
    file.sync_data()
}

/// What was done to a pool that needed its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Records of the journal.
    pub records: u64,
    /// Lines of the pool that they have changed.
    pub lines: u64,
}

/// Brings the pool in the file at `path` up to date, if its journal has something that it lacks.
///
/// # Errors
/// `Journal` if the journal is not there, or cannot be used; `Locked` if somebody has the pool
/// open. The pool is what it was.
pub(crate) fn replay(path: &Path, layout: &Layout, journal: &Path) -> Result<Option<Replayed>> {
    let needs = |file: &File| -> Result<Option<(u64, Header)>> {
        let found = root_header(file, layout).map_err(|error| io_error(path, &error))?;
        Ok(found.filter(|(_, header)| header.format_version & JOURNALED != 0))
    };
    let file = File::open(path).map_err(|error| io_error(path, &error))?;
    if needs(&file)?.is_none() {
        return Ok(None);
    }
    let open = OpenOptions::new().read(true).write(true).open(path);
    let file = open.map_err(|error| io_error(path, &error))?;
    lock(path, &file)?;
    // Somebody may have done it in between.
    let Some((root, header)) = needs(&file)? else {
        return Ok(None);
    };
    let mut words = [0u64; 2];
    file.read_exact_at(bytemuck::cast_slice_mut(&mut words), root + JOURNAL_AT)
        .map_err(|error| io_error(path, &error))?;
    let [id, written] = words;
    let mut lines: HashMap<u64, [u8; LINE as usize]> = HashMap::new();
    let found = journal::read(journal, id, pool_number(&header), written, |payload| {
        let is_sound = record::lines(payload, |offset, line| {
            lines.insert(offset, *line);
        });
        match is_sound {
            true => Ok(()),
            false => Err(Error::Journal {
                path: journal.into(),
                reason: "a record has something else than lines".into(),
            }),
        }
    })?;
    let write = || -> std::io::Result<()> {
        write_lines(&file, &lines)?;
        file.sync_data()?;
        let (_, header) = root_header(&file, layout)?.unwrap_or((root, header));
        unmark(&file, root, header.format_version)
    };
    write().map_err(|error| io_error(path, &error))?;
    journal::forget(journal, found.end)?;
    Ok(Some(Replayed {
        records: found.records,
        lines: lines.len() as u64,
    }))
}

/// Locks the pool's file as libpmemobj does, until `file` is closed.
fn lock(path: &Path, file: &File) -> Result<()> {
    // SAFETY: locks an open file for as long as it stays open.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    Err(match error.raw_os_error() {
        Some(libc::EWOULDBLOCK) => Error::Locked(path.into()),
        _ => io_error(path, &error),
    })
}

/// Writes lines to their places, page by page in the order of the file.
fn write_lines(file: &File, lines: &HashMap<u64, [u8; LINE as usize]>) -> std::io::Result<()> {
    let mut offsets: Vec<u64> = lines.keys().copied().collect();
    offsets.sort_unstable();
    let mut page = [0; PAGE as usize];
    for lines_of_page in offsets.chunk_by(|a, b| a / PAGE == b / PAGE) {
        let start = lines_of_page[0] / PAGE * PAGE;
        file.read_exact_at(&mut page, start)?;
        for offset in lines_of_page {
            let at = (offset - start) as usize;
            page[at..at + LINE as usize].copy_from_slice(&lines[offset]);
        }
        file.write_all_at(&page, start)?;
    }
    Ok(())
}
