//! The thread that writes pages to the pool's file, and syncs it, while the server goes on.

use super::progress::{Noted, Progress};
use super::storage::{Failure, write_out};
use crate::images::PAGE;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// Pages that are written at a time.
pub(super) const BATCH: usize = 64;
/// Batches that can be on their way.
const BATCHES: usize = 8;

/// Copies of pages.
#[derive(Default)]
pub(super) struct Batch {
    /// Their numbers, ascending.
    pub pages: Vec<u64>,
    /// Their bytes; none if the file has them, and they are only to be written out.
    pub bytes: Vec<u8>,
    /// If the checkpoint fails, the next one writes all pages again that the file does not have
    /// durably: it takes none of them to have been written.
    pub all_again: bool,
}

impl Batch {
    /// Writes the pages to the pool's file, and has them written out.
    fn write(&self, file: &File, path: &Path) -> Result<(), Failure> {
        let mut at = 0;
        for run in self.pages.chunk_by(|a, b| a + 1 == *b) {
            let len = (run.len() * PAGE as usize).min(self.bytes.len() - at);
            let written = file.write_all_at(&self.bytes[at..at + len], run[0] * PAGE);
            written.map_err(|error| Failure::of("writing", path, &error))?;
            at += len;
        }
        let (Some(first), Some(last)) = (self.pages.first(), self.pages.last()) else {
            return Ok(());
        };
        let written = write_out(file, first * PAGE, (last + 1 - first) * PAGE);
        // It may be of any page of the file.
        written.map_err(|error| {
            if self.all_again {
                Failure::of("writing", path, &error)
            } else {
                Failure::of_sync(path, &error)
            }
        })
    }
}

enum Job {
    Write(Batch),
    /// A word, at this offset, and a sync.
    Sync(u64, u64),
    /// How far the journal has come; nothing is told of that.
    Note(Progress),
}

/// What the thread has done.
pub(super) enum Done {
    /// The pages of this batch are in the file.
    Written(Batch, Result<(), Failure>),
    /// All that was written before is durable.
    Synced(Result<(), Failure>),
}

/// The thread, and what is between it and the pool's.
pub(super) struct Writer {
    jobs: Option<Sender<Job>>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
    /// Batches that are not on their way.
    free: Vec<Batch>,
    /// The process whose thread it is: a forked child has none.
    process: u32,
}

impl Writer {
    /// Begins a thread that writes to the pool's file.
    pub(super) fn start(file: Noted, path: &Path) -> io::Result<Writer> {
        let ((jobs, work), (tell, done)) = (channel(), channel());
        let path = path.to_path_buf();
        let thread = std::thread::Builder::new().name("pobj-disk".into());
        let thread = thread.spawn(move || run(&file, &path, &work, &tell));
        let thread = thread.map_err(|error| {
            let why = format!("the thread that is to write to it cannot be started: {error}");
            io::Error::new(error.kind(), why)
        })?;
        Ok(Writer {
            jobs: Some(jobs),
            done,
            thread: Some(thread),
            free: (0..BATCHES).map(|_| Batch::default()).collect(),
            process: std::process::id(),
        })
    }

    /// An empty batch, if not all are on their way.
    pub(super) fn batch(&mut self) -> Option<Batch> {
        self.free.pop()
    }

    /// Gives an empty batch back.
    pub(super) fn give(&mut self, mut batch: Batch) {
        batch.pages.clear();
        batch.bytes.clear();
        self.free.push(batch);
    }

    /// Has the pages of a batch written.
    pub(super) fn write(&mut self, batch: Batch) {
        self.send(Job::Write(batch));
    }

    /// Has the file synced, after what was written, and a word at this offset.
    pub(super) fn sync(&mut self, offset: u64, word: u64) {
        self.send(Job::Sync(offset, word));
    }

    /// Has it noted how far the journal has come.
    pub(super) fn note(&mut self, progress: Progress) {
        self.send(Job::Note(progress));
    }

    fn send(&mut self, job: Job) {
        // A thread that is gone does nothing, and says so by `next`.
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
    }

    /// What was done since the last look; waits for something if `waits`.
    pub(super) fn next(&mut self, waits: bool) -> Option<Done> {
        if waits {
            Some(self.done.recv().unwrap_or_else(|_| {
                Done::Synced(Err(Failure {
                    what: "the thread that writes to the pool's file has ended".into(),
                    is_final: true,
                }))
            }))
        } else {
            self.done.try_recv().ok()
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            if self.process == std::process::id() {
                drop(thread.join());
            } else {
                // It is the parent's.
                std::mem::forget(thread);
            }
        }
    }
}

fn run(noted: &Noted, path: &Path, work: &Receiver<Job>, tell: &Sender<Done>) {
    block_signals();
    let file = &noted.file;
    while let Ok(job) = work.recv() {
        let done = match job {
            Job::Note(progress) => {
                noted.note(progress);
                continue;
            }
            Job::Write(batch) => {
                let written = batch.write(file, path);
                Done::Written(batch, written)
            }
            Job::Sync(offset, word) => {
                let written = file.write_all_at(&word.to_le_bytes(), offset);
                let synced = written.and_then(|()| file.sync_data());
                Done::Synced(synced.map_err(|error| Failure::of_sync(path, &error)))
            }
        };
        if tell.send(done).is_err() {
            return;
        }
    }
}

/// Signals are for the server's own threads.
fn block_signals() {
    // SAFETY: a set of signals that is filled before it is used, and concerns this thread alone.
    unsafe {
        let mut all = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, std::ptr::null_mut());
    }
}
