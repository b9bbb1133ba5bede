//! Whether a pool's latest changes are in its journal, and their way into the pool's file at the
//! next open.
//!
//! The pool's file says so itself, in the word of the format version: so a program that knows no
//! journals refuses the pool. The word is set, durably, before the first record, and cleared,
//! durably, when the file has everything.
//!
//! Replaying writes each line's latest image into the file, whatever the file has there: it can be
//! cut short and done again. So the file need not be synced before the pool is used again, if the
//! pool goes on with that journal: it is needed until the next checkpoint has synced the file, and
//! each record is durable before the file gets anything of it.

use super::storage::Failure;
use super::{aside, journal, progress};
use crate::error::{Error, Result};
use crate::file::io_error;
use crate::found::root_header;
use crate::identity::Layout;
use crate::images::PAGE;
use crate::images::record;
use crate::layout::{Header, JOURNAL_AT, JOURNALED, LINE, RESUMED_AT, VERSION_AT, WRITTEN_AT};
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::Builder;
use xxhash_rust::xxh3::xxh3_64;

/// The number by which a journal knows the pool with this header.
pub(super) fn pool_number(header: &Header) -> u64 {
    xxh3_64(bytemuck::bytes_of(&header.seed))
}

/// Writes into a pool's file at `path`, durably, that its latest changes are in a journal: its id,
/// and the position from which on.
pub(super) fn mark(
    file: &File,
    path: &Path,
    root: u64,
    version: u32,
    words: [u64; 2],
) -> Result<(), Failure> {
    let words = words.map(u64::to_le_bytes);
    put(file, path, words.as_flattened(), root + JOURNAL_AT)?;
    let word = (version | JOURNALED).to_le_bytes();
    put(file, path, &word, root + VERSION_AT)
}

/// Writes into a pool's file at `path`, durably, that it has everything.
pub(super) fn unmark(file: &File, path: &Path, root: u64, version: u32) -> Result<(), Failure> {
    let word = (version & !JOURNALED).to_le_bytes();
    put(file, path, &word, root + VERSION_AT)
}

/// Writes a few bytes that are as they were if that fails, but for a final failure.
fn put(file: &File, path: &Path, bytes: &[u8], at: u64) -> Result<(), Failure> {
    let written = file.write_all_at(bytes, at);
    written.map_err(|error| Failure::of("writing", path, &error))?;
    let synced = file.sync_data();
    synced.map_err(|error| Failure::of_sync(path, &error))
}

/// What was done to a pool that needed its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Records of the journal.
    pub records: u64,
    /// Lines of the pool that they have changed.
    pub lines: u64,
}

/// A journal that is needed until the next checkpoint.
pub(crate) struct InUse {
    pub journal: journal::Found,
    /// Pages that the pool's file has as they are, though not durably; ascending.
    pub pages: Vec<u64>,
}

/// Brings the pool in the file at `path` up to date, if its journal has something that it lacks.
/// The file alone has everything then, durably; or file and journal together, if that journal
/// `goes_on`, with the capacity that is asked for. `accepts_copy` says that both may be of an
/// earlier moment than what the file is known to have come to (see `progress`).
///
/// # Errors
/// `Journal` if the journal is not there, or cannot be used; `Locked` if somebody has the pool
/// open. The pool is what it was.
pub(crate) fn replay(
    path: &Path,
    layout: &Layout,
    journal: &Path,
    goes_on: Option<Option<u64>>,
    accepts_copy: bool,
) -> Result<Option<(Replayed, Option<InUse>)>> {
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
    let words = |at| -> Result<[u64; 2]> {
        let mut words = [0u64; 2];
        let read = file.read_exact_at(bytemuck::cast_slice_mut(&mut words), root + at);
        read.map_err(|error| io_error(path, &error))?;
        Ok(words)
    };
    let [id, written] = words(JOURNAL_AT)?;
    let [resumed, generation] = words(RESUMED_AT)?;
    let generation = if resumed == id { generation } else { 0 };
    let mut lines = Lines::default();
    let number = pool_number(&header);
    aside::take_back(journal, id, number)?;
    let mut found = journal::read(journal, id, number, written, generation, |payload| {
        let is_sound = record::lines(payload, |offset, line| lines.push(offset, line));
        if is_sound {
            Ok(())
        } else {
            Err(Error::Journal {
                path: journal.into(),
                reason: "a record has something else than lines".into(),
            })
        }
    })?;
    if !accepts_copy && progress::is_beyond(&file, layout, id, found.end) {
        return Err(Error::Journal {
            path: journal.into(),
            reason: "it is older than the pool, or its end is lost".into(),
        });
    }
    lines.keep_latest();
    let replayed = Replayed {
        records: found.records,
        lines: lines.places.len() as u64,
    };
    if goes_on.is_some_and(|capacity| found.can_go_on(capacity)) {
        let generation = found.renew(journal)?;
        let write = || -> std::io::Result<()> {
            let words = [id, generation].map(u64::to_le_bytes);
            file.write_all_at(words.as_flattened(), root + RESUMED_AT)?;
            file.sync_data()?;
            lines.write(&file)
        };
        write().map_err(|error| io_error(path, &error))?;
        let in_use = InUse {
            journal: found,
            pages: lines.pages().map(page_of).collect(),
        };
        return Ok(Some((replayed, Some(in_use))));
    }
    let write = || -> std::io::Result<Header> {
        lines.write(&file)?;
        file.write_all_at(&found.end.to_le_bytes(), root + WRITTEN_AT)?;
        file.sync_data()?;
        Ok(root_header(&file, layout)?.map_or(header, |(_, header)| header))
    };
    let header = write().map_err(|error| io_error(path, &error))?;
    // Before the file says that it needs nothing: a journal with records would be taken for one
    // that another file of this pool needs.
    journal::give_up(journal, found.end)?;
    let unmarked = unmark(&file, path, root, header.format_version);
    unmarked.map_err(|failure| Error::Io(failure.what))?;
    journal::forget(journal, found.end)?;
    Ok(Some((replayed, None)))
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

/// Pages whose reading is begun together.
const TOGETHER: usize = 256;

/// Where a line is in the pool, and which of the images is meant.
type Place = (u64, u32);

/// Images of lines.
#[derive(Default)]
struct Lines {
    images: Vec<[u8; LINE as usize]>,
    places: Vec<Place>,
}

impl Lines {
    fn push(&mut self, offset: u64, image: &[u8; LINE as usize]) {
        self.places.push((offset, self.images.len() as u32));
        self.images.push(*image);
    }

    /// Keeps of each line the place of the image that came last, in the order of the pool.
    fn keep_latest(&mut self) {
        self.places.sort_unstable();
        self.places.reverse();
        self.places.dedup_by_key(|place| place.0);
        self.places.reverse();
    }

    /// The lines of each page.
    fn pages(&self) -> impl Iterator<Item = &[Place]> {
        self.places
            .chunk_by(|a, b| page_of(&[*a]) == page_of(&[*b]))
    }

    /// Writes the lines to their places in the file: a share of the pages by each of several
    /// threads, as far as there can be threads, as the kernel takes a microsecond or two for each
    /// page.
    fn write(&self, file: &File) -> std::io::Result<()> {
        let pages: Vec<&[Place]> = self.pages().collect();
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get().min(8));
        let share = pages.len().div_ceil(threads).max(TOGETHER);
        std::thread::scope(|scope| {
            let mut shares = pages.chunks(share);
            let own = shares.next().unwrap_or_default();
            let help = |share| {
                let write = move || self.write_pages(file, share);
                (share, Builder::new().spawn_scoped(scope, write).ok())
            };
            let helpers: Vec<_> = shares.map(help).collect();
            self.write_pages(file, own)?;
            helpers.into_iter().try_for_each(|(share, thread)| {
                let ended = |_| Err(std::io::Error::other("a thread that replays has ended"));
                match thread {
                    Some(thread) => thread.join().unwrap_or_else(ended),
                    None => self.write_pages(file, share),
                }
            })
        })
    }

    fn write_pages(&self, file: &File, pages: &[&[Place]]) -> std::io::Result<()> {
        let mut page = [0; PAGE as usize];
        for together in pages.chunks(TOGETHER) {
            for lines in together {
                will_need(file, page_of(lines) * PAGE);
            }
            for lines in together {
                let start = page_of(lines) * PAGE;
                file.read_exact_at(&mut page, start)?;
                for &(offset, image) in *lines {
                    let at = (offset - start) as usize;
                    page[at..at + LINE as usize].copy_from_slice(&self.images[image as usize]);
                }
                file.write_all_at(&page, start)?;
            }
        }
        Ok(())
    }
}

/// The page of lines that are in one.
fn page_of(lines: &[Place]) -> u64 {
    lines.first().map_or(0, |&(offset, _)| offset / PAGE)
}

/// Has the kernel begin to read the page at an offset, if it has to be read.
fn will_need(file: &File, at: u64) {
    // SAFETY: an open file; no memory is passed. It is advice: if it is not taken, that does not
    // matter.
    unsafe {
        libc::posix_fadvise(
            file.as_raw_fd(),
            at as i64,
            PAGE as i64,
            libc::POSIX_FADV_WILLNEED,
        )
    };
}
