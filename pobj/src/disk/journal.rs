//! The journal: a file beside the pool that has what the pool's file does not have yet.
//!
//! ```text
//! from block 0: two control blocks of 4096 bytes, written in turn
//!     0  8  magic       "PmJourna"
//!     8  8  generation  the one with the higher counts, and stands in block `generation % 2`
//!    16  8  id          random, another each time that a pool begins to need its journal; 0 from when none does
//!    24  8  capacity    bytes of the ring
//!    32  8  start       position of the first record that is needed
//!    40  8  pool        a number that tells pools apart
//!    48  8  checksum    XXH3-64 of the bytes before
//! from block 2: the ring; position p is its byte p % capacity
//! ```
//!
//! Invariants
//! * Records follow each other without gaps, each from a block of its own on: a write never touches
//!   what another record has in a block, so it cannot tear one that was acknowledged.
//! * A record is written when the one before is durable. So a record whose checksum fails is the
//!   last one, which was never acknowledged, or it is damaged: then a whole record comes after it.
//! * No record is written over one that is needed: `start` is advanced, durably, before that.
//!
//! A record that takes more than an eighth of the ring stands in a file of its own, and a small
//! record says so.

use super::control::{Control, MAGIC, RING_AT, most_of, record_max_of, whole};
use super::names::{file_of, remove_files};
use super::storage::{self, Failure, open_durable, read_ring, write_ring};
use crate::error::{Error, Result};
use crate::file::{io_error, sync_directory};
use crate::images::BLOCK;
use crate::images::buffer::Buffer;
use crate::images::record::{self, HEADER_LEN, Header};
use crate::set::allocate;
use crate::zeros::is_zero_from;
use bytemuck::Zeroable;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem::size_of;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The journal of an open pool.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    control: Control,
    /// Position of the next record.
    tail: u64,
    /// Positions of records in files of their own.
    files: Vec<u64>,
}

impl Journal {
    /// Opens the journal at `path` of a pool that needs nothing of it, whose number is `pool`;
    /// creates it if there is none that can be used, or none of the `capacity` that is asked for.
    pub(crate) fn open(
        path: &Path,
        pool: u64,
        capacity: Option<u64>,
        usual: u64,
    ) -> Result<Journal> {
        let found = match File::open(path) {
            Ok(file) => usable(path, &file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(io_error(path, &error)),
        };
        let found = found.filter(|found| {
            found.pool == pool && capacity.is_none_or(|capacity| whole(capacity) == found.capacity)
        });
        let (control, is_new) = match found {
            Some(control) => (control, false),
            None => {
                let capacity = whole(capacity.unwrap_or(usual));
                require_nothing_else(path)?;
                storage::create_zeroed(path, RING_AT, RING_AT + capacity)?;
                let control = Control {
                    magic: MAGIC,
                    capacity,
                    pool,
                    ..Control::zeroed()
                };
                (control, true)
            }
        };
        let file = open_durable(path).map_err(|error| io_error(path, &error))?;
        let mut journal = Journal {
            path: path.into(),
            file,
            control,
            tail: control.start,
            files: Vec::new(),
        };
        if is_new {
            let written = journal.write_control(control);
            written.map_err(|failure| Error::Io(failure.what))?;
        }
        remove_files(path, &[]).map_err(|error| io_error(path, &error))?;
        Ok(journal)
    }

    /// Opens the journal at `path` of a pool that needs what was `found` in it, to go on behind
    /// that.
    ///
    /// # Errors
    /// `Locked` if somebody has used it since.
    pub(crate) fn resume(path: &Path, found: Found) -> Result<Journal> {
        let reader = RingReader::open(path)?;
        if reader.control != found.control || reader.record(found.end, &mut Vec::new())?.is_some() {
            return Err(Error::Locked(path.into()));
        }
        remove_files(path, &found.files).map_err(|error| io_error(path, &error))?;
        Ok(Journal {
            path: path.into(),
            file: open_durable(path).map_err(|error| io_error(path, &error))?,
            control: found.control,
            tail: found.end,
            files: found.files,
        })
    }

    /// Bytes of the ring.
    pub(crate) fn capacity(&self) -> u64 {
        self.control.capacity
    }

    /// Bytes of records that are needed.
    pub(crate) fn used(&self) -> u64 {
        self.tail - self.control.start
    }

    /// The id of the records that are written now.
    pub(crate) fn id(&self) -> u64 {
        self.control.id
    }

    /// Position of the next record.
    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    /// Begins to write records with another id, before the pool says that it needs the journal of
    /// this id. Durable on return.
    pub(crate) fn begin(&mut self, id: u64) -> Result<(), Failure> {
        let control = Control {
            id,
            start: self.tail,
            ..self.control
        };
        self.write_control(control)
    }

    /// Gives up what is before `start`, a position where a record begins. Durable on return.
    pub(crate) fn advance(&mut self, start: u64) -> Result<(), Failure> {
        debug_assert!(self.control.start <= start && start <= self.tail);
        let control = Control {
            start,
            ..self.control
        };
        self.write_control(control)?;
        let path = &self.path;
        self.files.retain(|&lsn| {
            // One that stays is removed when the journal is opened next.
            lsn >= start || std::fs::remove_file(file_of(path, lsn)).is_err()
        });
        Ok(())
    }

    /// Notes that no pool needs this journal any more. Durable on return.
    pub(crate) fn release(&mut self) -> Result<(), Failure> {
        let control = Control {
            id: 0,
            ..self.control
        };
        if self.control.id == 0 {
            Ok(())
        } else {
            self.write_control(control)
        }
    }

    fn write_control(&mut self, mut control: Control) -> Result<(), Failure> {
        control.generation += 1;
        control.checksum = control.expected_checksum();
        let mut buffer = Buffer::default();
        buffer.push(bytemuck::bytes_of(&control));
        let at = control.generation % 2 * BLOCK;
        let written = self.file.write_all_at(buffer.whole(), at);
        written.map_err(|error| Failure::of("writing", &self.path, &error))?;
        self.control = control;
        Ok(())
    }

    /// True if a record can be written without overwriting one that is needed.
    pub(crate) fn has_room(&self) -> bool {
        self.used() + BLOCK <= self.control.capacity
    }

    fn needs_file(&self, len: usize) -> bool {
        let len = (len as u64).next_multiple_of(BLOCK);
        len > self.record_max() || self.used() + len > self.control.capacity
    }

    /// Most bytes that a record takes of the ring.
    pub(crate) fn record_max(&self) -> u64 {
        record_max_of(self.control.capacity)
    }

    /// So many bytes may be in use before a record is written.
    pub(crate) fn most(&self) -> u64 {
        most_of(self.control.capacity)
    }

    /// Writes the record whose payload is in the buffer, after what [`Buffer::begin_record`] has
    /// put there. Durable on return. The caller has seen to it that there is
    /// [room](Journal::has_room).
    pub(crate) fn append(&mut self, buffer: &mut Buffer) -> Result<(), Failure> {
        if self.needs_file(buffer.len()) {
            return self.append_file(buffer);
        }
        record::complete(buffer, record::LINES, self.tail, self.control.id);
        self.write(buffer)
    }

    fn write(&mut self, buffer: &mut Buffer) -> Result<(), Failure> {
        let bytes = buffer.whole();
        let written = write_ring(&self.file, RING_AT, self.control.capacity, self.tail, bytes);
        written.map_err(|error| Failure::of("writing", &self.path, &error))?;
        self.tail += bytes.len() as u64;
        Ok(())
    }

    /// Writes a payload into a file of its own, and a record that names it.
    #[cold]
    fn append_file(&mut self, buffer: &Buffer) -> Result<(), Failure> {
        let payload = &buffer.bytes()[HEADER_LEN..];
        let path = file_of(&self.path, self.tail);
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let file = options.open(&path)?;
            // Before anything is written in vain; other errors, the write tells of.
            if let Err(Error::NoSpace { .. }) = allocate(&file, &path, payload.len() as u64) {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            file.write_all_at(payload, 0)?;
            file.sync_all()?;
            sync_directory(&path)
        };
        write().map_err(|error| {
            // Its room may be what the disk lacks.
            let _ = std::fs::remove_file(&path);
            Failure::of("writing", &path, &error)
        })?;
        let (lsn, id) = (self.tail, self.control.id);
        let words = [payload.len() as u64, xxh3_64_with_seed(payload, id)];
        let mut named = Buffer::default();
        named.begin_record();
        named.push(words.map(u64::to_le_bytes).as_flattened());
        record::complete(&mut named, record::FILE, lsn, id);
        self.write(&mut named)?;
        self.files.push(lsn);
        Ok(())
    }
}

/// The control block of a journal whose file is as long as it says.
fn usable(path: &Path, file: &File) -> Result<Option<Control>> {
    let read = || -> io::Result<Option<Control>> {
        let len = file.metadata()?.len();
        let found = Control::read(file)?;
        Ok(found.filter(|found| len == RING_AT + found.capacity))
    };
    read().map_err(|error| io_error(path, &error))
}

/// Refuses to take the place of a file at `path` that was never a journal, nor begun to be one:
/// that has zeros alone.
pub(super) fn require_nothing_else(path: &Path) -> Result<()> {
    let read = || -> io::Result<bool> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(error),
        };
        let magic = MAGIC.to_le_bytes();
        Ok([0, BLOCK].into_iter().any(|at| {
            let mut word = [0; size_of::<u64>()];
            file.read_exact_at(&mut word, at).is_ok() && word == magic
        }))
    };
    if read().map_err(|error| io_error(path, &error))? || is_zero_from(path, 0)? {
        return Ok(());
    }
    Err(Error::State(format!(
        "{} is in the place of the pool's journal, and is none: move it away",
        path.display()
    )))
}

/// Notes in a journal of which nothing is needed any more that it ends at `end`, so that positions
/// go on from there.
pub(super) fn forget(path: &Path, end: u64) -> Result<()> {
    let Some(mut journal) = reopened(path, end)? else {
        return Ok(());
    };
    let advanced = journal.advance(end).and_then(|()| journal.release());
    advanced.map_err(|failure| Error::Io(failure.what))?;
    remove_files(path, &[]).map_err(|error| io_error(path, &error))
}

/// Gives up all records of a journal, which end at `end`. Durable on return.
pub(super) fn give_up(path: &Path, end: u64) -> Result<()> {
    let Some(mut journal) = reopened(path, end)? else {
        return Ok(());
    };
    let advanced = journal.advance(end);
    advanced.map_err(|failure| Error::Io(failure.what))
}

/// A journal whose records end at `end`, to write its control block.
fn reopened(path: &Path, end: u64) -> Result<Option<Journal>> {
    // Direct reads would have to be aligned.
    let file = File::open(path).map_err(|error| io_error(path, &error))?;
    let Some(control) = usable(path, &file)? else {
        return Ok(None);
    };
    Ok(Some(Journal {
        path: path.into(),
        file: open_durable(path).map_err(|error| io_error(path, &error))?,
        control,
        tail: end,
        files: Vec::new(),
    }))
}

/// Who may need a journal.
pub(super) struct Need {
    /// 0 if nobody does.
    pub id: u64,
    /// The number of the pool.
    pub pool: u64,
    /// It has something that the pool's file lacks.
    pub has_records: bool,
}

/// Who may need the journal at `path`; nobody if there is none, or it is none.
pub(super) fn need(path: &Path) -> Result<Option<Need>> {
    let reader = match RingReader::open(path) {
        Ok(reader) => reader,
        Err(Error::Journal { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Control {
        id, pool, start, ..
    } = reader.control;
    Ok(Some(Need {
        id,
        pool,
        has_records: reader.record(start, &mut Vec::new())?.is_some(),
    }))
}

/// What a pool needs of its journal.
#[derive(Debug)]
pub(crate) struct Found {
    control: Control,
    /// How many records there are.
    pub records: u64,
    /// Position of the last one's end.
    pub end: u64,
    /// Positions of those in files of their own.
    files: Vec<u64>,
}

impl Found {
    /// Gives the journal at `path` a generation that a copy of what it is now does not have.
    /// Durable on return, as the generation that is returned.
    pub(crate) fn renew(&mut self, path: &Path) -> Result<u64> {
        let mut journal = Journal {
            path: path.into(),
            file: open_durable(path).map_err(|error| io_error(path, &error))?,
            control: self.control,
            tail: self.end,
            files: Vec::new(),
        };
        let written = journal.write_control(self.control);
        written.map_err(|failure| Error::Io(failure.what))?;
        self.control = journal.control;
        Ok(self.control.generation)
    }

    /// Whether records can go on behind these, in a journal of `capacity` bytes if that is asked
    /// for.
    pub(crate) fn can_go_on(&self, capacity: Option<u64>) -> bool {
        let used = self.end - self.control.start;
        used <= most_of(self.control.capacity)
            && capacity.is_none_or(|capacity| whole(capacity) == self.control.capacity)
    }
}

/// Why a journal cannot be used.
fn unusable(path: &Path, reason: impl Into<String>) -> Error {
    Error::Journal {
        path: path.into(),
        reason: reason.into(),
    }
}

/// Shows `visit` the payload of each record that the pool of the number `pool` needs of the journal
/// at `path`, which must have this id, oldest first. The pool's file has what is before the
/// position `written`, and the journal has come to the `generation`, at least. What was shown is
/// durable on return, so that the file may have it, too.
///
/// # Errors
/// `Journal` if it is another one, or damaged; those of `visit`.
pub(crate) fn read(
    path: &Path,
    id: u64,
    pool: u64,
    written: u64,
    generation: u64,
    mut visit: impl FnMut(&[u8]) -> Result<()>,
) -> Result<Found> {
    let reader = RingReader::open(path)?;
    let control = reader.control;
    let another = || {
        let reason = "it is not the one with the pool's latest changes: one of the two is older than the other";
        unusable(path, reason)
    };
    if control.pool != pool {
        return Err(unusable(path, "it is the journal of another pool"));
    }
    if control.id != id || control.start > written || control.generation < generation {
        return Err(another());
    }
    let mut found = Found {
        control,
        records: 0,
        end: control.start,
        files: Vec::new(),
    };
    let mut payload = Vec::new();
    while let Some(header) = reader.record(found.end, &mut payload)? {
        if header.magic == record::FILE {
            payload = reader.file_payload(found.end, &payload)?;
            found.files.push(found.end);
        }
        visit(&payload)?;
        found.records += 1;
        found.end += (HEADER_LEN as u64 + header.len).next_multiple_of(BLOCK);
    }
    reader.require_end(found.end)?;
    if found.end < written {
        return Err(another());
    }
    // The last record may have been on its way when its writer was killed.
    let synced = reader.file.sync_data();
    synced.map_err(|error| io_error(path, &error))?;
    Ok(found)
}

/// Reads records.
struct RingReader<'a> {
    path: &'a Path,
    file: File,
    control: Control,
}

impl RingReader<'_> {
    fn open(path: &Path) -> Result<RingReader<'_>> {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => unusable(path, "the journal is not there"),
            _ => io_error(path, &error),
        })?;
        let Some(control) = usable(path, &file)? else {
            return Err(unusable(path, "the file is no journal, or was cut off"));
        };
        Ok(RingReader {
            path,
            file,
            control,
        })
    }

    fn bytes(&self, lsn: u64, buffer: &mut [u8]) -> Result<()> {
        let read = read_ring(&self.file, RING_AT, self.control.capacity, lsn, buffer);
        read.map_err(|error| io_error(self.path, &error))
    }

    /// The whole record at `lsn`, if there is one: its header, and its payload in `payload`.
    fn record(&self, lsn: u64, payload: &mut Vec<u8>) -> Result<Option<Header>> {
        let end = self.control.start + self.control.capacity;
        let mut header = Header::zeroed();
        if lsn >= end {
            return Ok(None);
        }
        self.bytes(lsn, bytemuck::bytes_of_mut(&mut header))?;
        let room = end - lsn - HEADER_LEN as u64;
        if !header.is_of(lsn) || header.len > room {
            return Ok(None);
        }
        payload.clear();
        payload.resize(header.len as usize, 0);
        self.bytes(lsn + HEADER_LEN as u64, payload)?;
        let is_whole = header.checksum == header.expected_checksum(self.control.id, payload);
        Ok(is_whole.then_some(header))
    }

    /// The payload that a record names.
    fn file_payload(&self, lsn: u64, named: &[u8]) -> Result<Vec<u8>> {
        let path = file_of(self.path, lsn);
        let damaged = |why: &str| {
            let why = format!("the record at {lsn} names a file that {why}");
            Err(unusable(&path, why))
        };
        let (words, rest) = named.as_chunks::<8>();
        let ([len, checksum], []) = (words, rest) else {
            return damaged("it does not describe");
        };
        let payload = match std::fs::read(&path) {
            Ok(payload) => payload,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return damaged("is not there");
            }
            Err(error) => return Err(io_error(&path, &error)),
        };
        let sum = xxh3_64_with_seed(&payload, self.control.id);
        if payload.len() as u64 != u64::from_le_bytes(*len) || sum != u64::from_le_bytes(*checksum)
        {
            return damaged("is damaged");
        }
        Ok(payload)
    }

    /// Refuses a journal that has a whole record after `end`, where there is none: a record was
    /// durable before the next one was written.
    fn require_end(&self, end: u64) -> Result<()> {
        const PART: u64 = 256 * BLOCK;
        let last = self.control.start + self.control.capacity;
        let mut part = vec![0; PART as usize];
        let mut payload = Vec::new();
        let mut from = end + BLOCK;
        while from < last {
            let len = PART.min(last - from) as usize;
            self.bytes(from, &mut part[..len])?;
            for (lsn, block) in (from..)
                .step_by(BLOCK as usize)
                .zip(part[..len].chunks(BLOCK as usize))
            {
                let header: Header = bytemuck::pod_read_unaligned(&block[..HEADER_LEN]);
                if header.is_of(lsn) && self.record(lsn, &mut payload)?.is_some() {
                    let why =
                        format!("the record at {end} is damaged, though there is one at {lsn}");
                    return Err(unusable(self.path, why));
                }
            }
            from += PART;
        }
        Ok(())
    }
}
