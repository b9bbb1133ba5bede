//! `durability disk`: a pool on an ordinary disk that survives a power loss.
//!
//! The pool's file is mapped privately: what is stored stays in this process's memory.
//! [`crate::Pool::sync`] writes the lines that have changed since the last one to the [journal], as
//! one record, with one write that is durable when it returns. Checkpoints bring whole pages to the
//! pool's file in the background. When a pool is opened that was not closed, what its journal has
//! is written into its file first, where the next checkpoint makes it durable.
//!
//! | file | what |
//! |---|---|
//! | `foreign.rs` | changes that libpmemobj has made |
//! | `journal.rs` | the journal's file: a ring of records |
//! | `control.rs` | its control blocks |
//! | `progress.rs` | how far the journal has come, noted on the pool's file |
//! | `replay.rs` | from the journal to the pool's file, at the next open |
//! | `checkpoint.rs` | from memory to the pool's file, while the server goes on |
//! | `resident.rs` | pages that are given back to the kernel, as memory has a limit |
//! | `memory.rs` | what that limit is without a setting |
//! | `new_file.rs` | where a new pool is made |
//! | `cold.rs` | whether reads wait for the disk |
//! | `writer.rs` | the thread that does the writing |
//! | `storage.rs` | durable writes |
//! | `stats.rs` | what is told of all that |
//!
//! Invariants
//! * A record is durable before what is in it is acknowledged, and before a page with what is in it
//!   is written to the pool's file.
//! * A page is dropped from memory only when the pool's file has exactly its bytes, durably.
//! * A record is dropped only when the pool's file has, durably, every page that it has changed,
//!   replayed pages included.
//! * So at each moment the file and the journal together are the pool as it was at the end of the
//!   last record; see `docs/crash-consistency.md`.
//!
//! Within a record there is no order, and none is needed: it is there as a whole or not at all. So
//! flushes and fences do nothing, and batches need no redo records (`log::ring`). The undo log is
//! in memory like everything else: a record that is written in the middle of a group has the
//! group's entries, and the next open rolls the group back.

mod aside;
mod checkpoint;
mod cold;
mod control;
mod foreign;
pub(crate) mod journal;
mod memory;
mod names;
pub(crate) mod new_file;
mod progress;
pub(crate) mod replay;
mod resident;
mod stats;
pub(crate) mod storage;
mod writer;

use crate::error::{Error, Result};
use crate::file::{io_error, kernels_name};
use crate::found::Found;
use crate::identity::Layout;
use crate::images::PAGE;
use crate::images::buffer::Buffer;
use crate::images::changes::Pages;
use crate::layout::{Header, JOURNAL_AT, JOURNALED, LINE, VERSION_AT, WRITTEN_AT, random_seed};
use crate::medium::Medium;
use checkpoint::Checkpoint;
use cold::Cold;
use journal::Journal;
use progress::{Noted, Progress};
use replay::InUse;
use resident::Resident;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use storage::Failure;
use writer::Writer;

pub use control::JOURNAL_MAX;
pub use replay::Replayed;
pub use stats::DiskStats;

/// A checkpoint begins when this part of the journal is in use, or of the memory that pages may
/// take,
const BEGIN: f64 = 0.6;
/// has a pace to be complete at this,
const COMPLETE: f64 = 0.8;
/// and from here on holds writers up.
const SLOW: f64 = 0.84;
/// The longest that a record is held up for that.
const DELAY_MAX: Duration = Duration::from_millis(2);
/// A checkpoint that nothing presses goes on by this part at each [`crate::Pool::tend`].
const IDLE_PART: f64 = 0.02;
/// Lines that have changed in a page, as a guess.
const LINES_OF_A_PAGE: u64 = 8;
/// A write that takes longer is counted as slow.
const SLOW_WRITE: Duration = Duration::from_millis(10);

/// What a pool may take, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// The size of the journal; without it, a share of the pool's.
    pub journal: Option<u64>,
    /// Pages that are the process's own; without it, half of the machine's memory.
    pub memory: Option<u64>,
}

/// A pool that is durable by its journal.
pub(crate) struct Disk {
    journal: Journal,
    checkpoint: Checkpoint,
    /// The record that is being made.
    buffer: Buffer,
    /// Pages that the file does not have as they are.
    stale: Pages,
    resident: Resident,
    cold: Cold,
    file: File,
    path: PathBuf,
    root: u64,
    /// Pages that have changed when a record is written, however many commits are to come: few
    /// lines of each have.
    pages_of_a_record: u64,
    /// The pool's file says that it needs the journal.
    marked: bool,
    failure: Option<Failure>,
    /// The only process that writes.
    process: u32,
    stats: DiskStats,
    stalled: Duration,
    /// Where the journal of another pool is now that was in the way.
    set_aside: Option<PathBuf>,
}

/// Where the journal of the pool at `path` is: beside the file itself, whatever links lead to it.
pub(crate) fn journal_of(path: &Path) -> PathBuf {
    let name = kernels_name(path);
    names::path_of(name.as_deref().unwrap_or(path))
}

/// Removes the records of the journal at `path` that have files of their own.
pub(crate) fn remove_records(path: &Path) -> std::io::Result<()> {
    names::remove_files(path, &[])
}

impl Disk {
    /// For a pool that was just opened, whose file needs nothing of a journal, or the one that is
    /// `in_use`. Everything that differs from the file counts as changed.
    pub(crate) fn open(
        path: &Path,
        layout: &Layout,
        medium: &mut Medium,
        root: u64,
        header: &Header,
        limits: Limits,
        in_use: Option<InUse>,
    ) -> Result<Disk> {
        let failed = |error| io_error(path, &error);
        let open = || OpenOptions::new().read(true).write(true).open(path);
        let file = open().map_err(failed)?;
        let marked = in_use.is_some();
        let mut set_aside = None;
        let (journal, replayed) = match in_use {
            Some(InUse { journal, pages }) => (Journal::resume(&journal_of(path), journal)?, pages),
            None => {
                let usual = (medium.len() / 4).clamp(4 << 20, 256 << 20);
                let number = replay::pool_number(header);
                set_aside = aside::make_way(&journal_of(path), number)?;
                let journal = Journal::open(&journal_of(path), number, limits.journal, usual)?;
                (journal, Vec::new())
            }
        };
        let noted = Noted::new(open().map_err(failed)?, layout);
        let writer = Writer::start(noted, path).map_err(failed)?;
        let memory = limits.memory.unwrap_or_else(memory::usual_limit);
        let mut disk = Disk {
            pages_of_a_record: journal.record_max() / LINES_OF_A_PAGE / LINE,
            journal,
            checkpoint: Checkpoint::new(writer, medium.len(), root + WRITTEN_AT, replayed),
            buffer: Buffer::default(),
            stale: Pages::new(medium.len()),
            resident: Resident::new(medium.len(), memory, root),
            cold: Cold::new(),
            file,
            path: path.into(),
            root,
            marked,
            failure: None,
            process: std::process::id(),
            stats: DiskStats::default(),
            stalled: Duration::ZERO,
            set_aside,
        };
        disk.find_foreign(medium)?;
        Ok(disk)
    }

    /// Has the pool's file say how far its journal has come, if it needs that.
    fn note_progress(&mut self) {
        if self.marked {
            let (id, end) = (self.journal.id(), self.journal.tail());
            self.checkpoint.note_progress(Progress { id, end });
        }
    }

    /// Notes whatever differs from the file as changed.
    pub(crate) fn find_foreign(&mut self, medium: &mut Medium) -> Result<()> {
        let mut pages = Vec::new();
        foreign::private_pages(medium.base_address(), medium.len(), |page| pages.push(page));
        let mut lines = Vec::new();
        for page in pages {
            self.resident.insert(page);
            let len = PAGE.min(medium.len() - page * PAGE);
            let bytes = medium.bytes(page * PAGE, len)?;
            foreign::differences(&self.file, page, bytes, |offset| lines.push(offset))
                .map_err(|error| io_error(&self.path, &error))?;
        }
        lines.iter().for_each(|&offset| medium.note(offset, LINE));
        Ok(())
    }

    /// Has the pool's file say that it needs the journal from here on.
    #[cold]
    fn mark(&mut self, medium: &mut Medium) -> Result<(), Failure> {
        let id = random_seed().map_err(|error| Failure {
            what: error.to_string(),
            is_final: false,
        })?[0]
            .max(1);
        self.journal.begin(id)?;
        let version = self.version(medium);
        let words = [id, self.journal.tail()];
        replay::mark(&self.file, &self.path, self.root, version, words)?;
        // In memory as in the file, so that it is in no record and in every page that is written.
        let words = words.map(u64::to_le_bytes);
        medium.store_as_stored(self.root + JOURNAL_AT, words.as_flattened());
        let word = (version | JOURNALED).to_le_bytes();
        medium.store_as_stored(self.root + VERSION_AT, &word);
        self.marked = true;
        Ok(())
    }

    /// The pool's file has everything: has it say so.
    fn unmark(&mut self, medium: &mut Medium) -> Result<(), Failure> {
        let version = self.version(medium);
        replay::unmark(&self.file, &self.path, self.root, version)?;
        medium.store_as_stored(self.root + VERSION_AT, &version.to_le_bytes());
        self.marked = false;
        Ok(())
    }

    fn version(&self, medium: &Medium) -> u32 {
        let word = medium.word(self.root + VERSION_AT).unwrap_or_default();
        word as u32 & !JOURNALED
    }

    /// Writes what has changed to the journal.
    fn write(&mut self, medium: &mut Medium) -> Result<(), Failure> {
        if !self.marked {
            self.mark(medium)?;
        }
        let start = Instant::now();
        medium.encode(&mut self.buffer);
        if !self.journal.has_room() {
            return Err(Failure {
                what: format!("the journal of {} is full", self.path.display()),
                is_final: false,
            });
        }
        self.journal.append(&mut self.buffer)?;
        self.buffer.clear();
        medium.forget_changes(|page| {
            self.stale.insert(page);
            self.resident.insert(page);
        });
        let took = start.elapsed();
        self.stats.syncs += 1;
        self.stats.slow_syncs += u64::from(took > SLOW_WRITE);
        self.stats.longest_sync_us = self.stats.longest_sync_us.max(took.as_micros() as u64);
        Ok(())
    }

    /// The part of the journal that is in use, or that pages take of their memory and the file does
    /// not have yet, whichever is more.
    fn used(&self) -> f64 {
        let journal = self.journal.used() as f64 / self.journal.capacity() as f64;
        journal.max(self.memory_used())
    }

    /// The part of the memory limit that cannot be given back.
    fn memory_used(&self) -> f64 {
        self.resident
            .part(self.stale.count() + self.checkpoint.taken.count())
    }

    /// The next record has to wait for a checkpoint.
    fn is_full(&self) -> bool {
        self.journal.used() > self.journal.most() || self.memory_used() > 1.0
    }

    /// Gives pages back that are more than the memory limit and that the file has. Only right after
    /// a record.
    fn give_back(&mut self, medium: &mut Medium) {
        self.resident
            .give_back(medium, &self.stale, &self.checkpoint.taken, &self.file);
    }

    /// Goes on with checkpoints as far as the journal's use asks for. Only right after a record.
    fn tend(&mut self, medium: &mut Medium, idle: bool) -> Result<(), Failure> {
        self.give_back(medium);
        let used = self.used();
        if self.checkpoint.is_idle() {
            if used < BEGIN && self.checkpoint.replayed.is_empty() {
                return Ok(());
            }
            self.begin_checkpoint(medium);
        }
        let pressed = ((used - BEGIN) / (COMPLETE - BEGIN)).max(0.0);
        let idle = if idle {
            self.checkpoint.age().as_secs_f64() * IDLE_PART
        } else {
            0.0
        };
        self.go_on(medium, pressed.max(idle), false)?;
        if used > SLOW && self.used() > SLOW {
            self.hold_up(medium)?;
            self.give_back(medium);
        }
        Ok(())
    }

    fn begin_checkpoint(&mut self, medium: &mut Medium) {
        self.checkpoint.begin(&self.journal, &self.stale);
        if !self.checkpoint.is_idle() {
            // The file gets it at the latest with the checkpoint's end, whether that page is
            // written or not.
            let start = self.journal.tail().to_le_bytes();
            medium.store_as_stored(self.root + WRITTEN_AT, &start);
        }
    }

    fn go_on(&mut self, medium: &Medium, goal: f64, waits: bool) -> Result<(), Failure> {
        let Disk {
            checkpoint,
            journal,
            stale,
            ..
        } = self;
        checkpoint.go_on(medium, journal, stale, goal, waits)
    }

    /// The disk is slower than the writers: holds them up, the longer the fuller the journal is,
    /// and before there is no room for the next record, until there is.
    #[cold]
    fn hold_up(&mut self, medium: &mut Medium) -> Result<(), Failure> {
        let start = Instant::now();
        let most = self.journal.most();
        let full = most as f64 / self.journal.capacity() as f64;
        let share = ((self.used() - SLOW) / (full - SLOW)).clamp(0.0, 1.0);
        let until = start + DELAY_MAX.mul_f64(share);
        let mut outcome = Ok(());
        while outcome.is_ok() && self.used() > SLOW && (Instant::now() < until || self.is_full()) {
            if self.checkpoint.is_idle() {
                self.begin_checkpoint(medium);
                if self.checkpoint.is_idle() {
                    break;
                }
            }
            outcome = self.go_on(medium, 1.0, true);
        }
        self.stats.stalls += 1;
        self.stalled += start.elapsed();
        outcome
    }

    /// Writes everything to the pool's file, and waits for it.
    fn checkpoint(&mut self, medium: &mut Medium) -> Result<(), Failure> {
        while self.stale.count() > 0
            || !self.checkpoint.replayed.is_empty()
            || !self.checkpoint.is_idle()
        {
            if self.checkpoint.is_idle() {
                self.begin_checkpoint(medium);
                if self.checkpoint.is_idle() {
                    return Err(Failure {
                        what: format!("a checkpoint of {} has failed", self.path.display()),
                        is_final: false,
                    });
                }
            }
            self.go_on(medium, 1.0, true)?;
        }
        if self.journal.used() > 0 {
            self.journal.advance(self.journal.tail())?;
        }
        if self.marked {
            self.unmark(medium)?;
        }
        self.journal.release()
    }

    /// Remembers a failure, and makes an error of it.
    fn note(&mut self, outcome: Result<(), Failure>) -> Result<()> {
        outcome.map_err(|failure| {
            let error = failure.error();
            self.failure = Some(failure);
            error
        })
    }

    /// Remembers what has become of going on with a checkpoint: if it fails, the journal is what
    /// there is, as long as it has room for what must not fail.
    fn note_checkpoint(&mut self, outcome: Result<(), Failure>) {
        let is_full = self.journal.used() > self.journal.most();
        match outcome {
            Err(failure) if failure.is_final || is_full => self.failure = Some(failure),
            _ if is_full => {
                self.failure.get_or_insert_with(|| Failure {
                    what: format!("the journal of {} is full", self.path.display()),
                    is_final: false,
                });
            }
            _ => self.failure = None,
        }
    }
}

impl Failure {
    fn error(&self) -> Error {
        Error::NotDurable(self.what.clone())
    }
}

impl Disk {
    /// Writes what has changed to the journal, and goes on with checkpoints as far as its use asks
    /// for.
    ///
    /// # Errors
    /// `NotDurable`, of what was not written.
    pub(crate) fn append_record(&mut self, medium: &mut Medium) -> Result<()> {
        if self.process != std::process::id() {
            return Ok(());
        }
        self.require_hope()?;
        let written = self.write(medium);
        self.note(written)?;
        self.failure = None;
        let tended = self.tend(medium, false);
        // What is in the journal is durable: only what comes next may not be.
        self.note_checkpoint(tended);
        Ok(())
    }

    /// Does some of what is to be done in the background, for now and then.
    pub(crate) fn tend_idle(&mut self, medium: &mut Medium) {
        if self.process == std::process::id() && self.require_hope().is_ok() {
            self.cold.look();
            let tended = self.tend(medium, true);
            self.note_checkpoint(tended);
            self.note_progress();
        }
    }

    /// Has the pool's file alone hold everything.
    ///
    /// # Errors
    /// `NotDurable`; `State` if the file cannot be written now, but the journal takes what comes
    /// next.
    pub(crate) fn complete_checkpoint(&mut self, medium: &mut Medium) -> Result<()> {
        self.require_hope()?;
        let outcome = self.checkpoint(medium);
        let told = outcome.as_ref().map_err(|failure| failure.what.clone());
        let told = told.copied();
        self.note_checkpoint(outcome);
        told.map_err(|what| match &self.failure {
            Some(failure) => failure.error(),
            None => Error::State(what),
        })
    }

    /// Why nothing can be made durable, if that is so.
    pub(crate) fn failure(&self) -> Option<&str> {
        let failure = self.failure.as_ref()?;
        Some(&failure.what)
    }

    /// See [`crate::Pool::journal_set_aside`].
    pub(crate) fn set_aside(&self) -> Option<&Path> {
        self.set_aside.as_deref()
    }

    /// See [`crate::Pool::set_memory_limit`].
    pub(crate) fn set_memory_limit(&mut self, bytes: Option<u64>) {
        let bytes = bytes.unwrap_or_else(memory::usual_limit);
        self.resident.set_limit(bytes);
    }

    /// Whether reads have waited for the disk of late.
    #[inline]
    pub(crate) fn reads_wait(&self) -> bool {
        self.cold.waits()
    }

    /// Why the kernel does not take pages back that are more than the memory limit, if that is so.
    pub(crate) fn not_given_back(&self) -> Option<&str> {
        self.resident.refused()
    }

    /// Whether a record of so many changed pages fits into the journal's ring.
    pub(crate) fn has_room_for(&self, pages: u64) -> bool {
        pages <= self.pages_of_a_record
    }

    /// Fails if nothing can be made durable now.
    #[cold]
    pub(crate) fn require_durable(&self) -> Result<()> {
        match &self.failure {
            Some(failure) => Err(failure.error()),
            None => Ok(()),
        }
    }

    /// Fails if nothing can be made durable ever again.
    fn require_hope(&self) -> Result<()> {
        match &self.failure {
            Some(failure) if failure.is_final => Err(failure.error()),
            _ => Ok(()),
        }
    }
}

/// What cannot be with a journal; `advice` is what the message says then.
pub(crate) fn require_file(path: &Path, found: &Found, advice: &str) -> Result<()> {
    match found {
        Found::Pool | Found::Nothing => Ok(()),
        Found::Poolset(_) | Found::BlankSet(_) | Found::Device => Err(Error::State(format!(
            "{} is a poolset or a device, and not on persistent memory or not to be used as such: {advice}",
            path.display(),
        ))),
    }
}
