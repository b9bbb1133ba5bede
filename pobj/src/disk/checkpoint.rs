//! Checkpoints: pages go to the pool's file, so that the journal before can be given up.
//!
//! A checkpoint begins at some position of the journal. All pages that differ from the file then
//! are copied and written, some at a time, each between two cycles, while the server goes on. Then
//! the file is synced; then the journal before the position is given up.
//!
//! The pages are not copied at the same time, and need not be. Each is copied when everything in it
//! is in the journal, durably: so the file never has what the journal lacks. And every line that
//! has changed since the checkpoint began is in the journal from its position on, so whatever a
//! page has there, replaying gives the latest. The other lines are the same at each moment.

use super::journal::Journal;
use super::progress::Progress;
use super::storage::Failure;
use super::writer::{BATCH, Done, Writer};
use crate::images::PAGE;
use crate::images::changes::Pages;
use crate::medium::Medium;
use std::time::{Duration, Instant};

/// How long to wait after a failure that may pass.
const PAUSE: Duration = Duration::from_secs(1);

enum State {
    /// None is under way.
    Idle,
    /// Pages are being written.
    Writing {
        /// Position of the journal at which it has begun.
        start: u64,
        /// The page to look at next.
        next: u64,
        /// Pages to be written, as far as was known at the beginning.
        total: u64,
        /// Pages copied, or sent to be written out.
        copied: u64,
        /// How many of the replayed ones were sent.
        sent: usize,
        /// Batches on their way.
        on_their_way: usize,
        /// The first failure.
        failure: Option<Failure>,
    },
    /// The file is being synced.
    Syncing { start: u64 },
}

/// The checkpoint that is under way, and what has become of the last one.
pub(super) struct Checkpoint {
    state: State,
    writer: Writer,
    /// What was noted of the journal.
    noted: Progress,
    /// Where in the pool's file the position of the last one is.
    word_at: u64,
    /// Pages that the one under way has taken out of the stale ones.
    pub taken: Pages,
    /// Pages that were replayed at the opening, ascending: the file has them, but not durably
    /// before the first checkpoint is complete.
    pub replayed: Vec<u64>,
    begun: Instant,
    /// When the last one was complete.
    pub last: Option<Instant>,
    /// How many were complete.
    pub count: u64,
    /// Pages written by all.
    pub pages: u64,
    /// None begins before this.
    pause: Option<Instant>,
}

impl Checkpoint {
    /// None yet, of a pool of `len` bytes, whose file has at the offset `word_at` the position of
    /// the last one, and whose pages `replayed` are in it, but not durably.
    pub(super) fn new(writer: Writer, len: u64, word_at: u64, replayed: Vec<u64>) -> Checkpoint {
        Checkpoint {
            state: State::Idle,
            writer,
            noted: Progress::default(),
            word_at,
            taken: Pages::new(len),
            replayed,
            begun: Instant::now(),
            last: None,
            count: 0,
            pages: 0,
            pause: None,
        }
    }

    /// Has it noted how far the journal has come, if that was not noted yet.
    pub(super) fn note_progress(&mut self, progress: Progress) {
        if self.noted != progress {
            self.writer.note(progress);
            self.noted = progress;
        }
    }

    /// True if none is under way.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Begins one, unless one has just failed.
    pub(super) fn begin(&mut self, journal: &Journal, stale: &Pages) {
        if self.pause.is_some_and(|until| Instant::now() < until) {
            return;
        }
        self.pause = None;
        self.begun = Instant::now();
        self.state = State::Writing {
            start: journal.tail(),
            next: 0,
            total: stale.count() + self.replayed.len() as u64,
            copied: 0,
            sent: 0,
            on_their_way: 0,
            failure: None,
        };
    }

    /// How long the one that is under way has taken.
    pub(super) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Goes on: copies pages until `goal`, a part of all from 0 to 1, is reached, or all copies are
    /// on their way. Only when everything that is in the pool is in the journal, durably. With
    /// `waits` it waits for the thread, once.
    ///
    /// # Errors
    /// The checkpoint has failed; what it has written counts as not written.
    pub(super) fn go_on(
        &mut self,
        medium: &Medium,
        journal: &mut Journal,
        stale: &mut Pages,
        goal: f64,
        waits: bool,
    ) -> Result<(), Failure> {
        let mut may_wait = waits;
        loop {
            self.copy(medium, stale, goal);
            if self.is_idle() {
                return Ok(());
            }
            let Some(done) = self.writer.next(may_wait) else {
                return Ok(());
            };
            may_wait = false;
            self.note(done, journal, stale)?;
        }
    }

    /// Copies pages and has them written; after the last one, has the file synced.
    fn copy(&mut self, medium: &Medium, stale: &mut Pages, goal: f64) {
        let State::Writing {
            start,
            next,
            total,
            copied,
            sent,
            on_their_way,
            failure: None,
        } = &mut self.state
        else {
            return;
        };
        // Pages that have become stale since the beginning come along.
        while goal >= 1.0 || (*copied as f64) < goal * (*total as f64) + BATCH as f64 {
            let Some(mut batch) = self.writer.batch() else {
                return;
            };
            while batch.pages.len() < BATCH
                && let Some(page) = stale.next(*next)
            {
                let len = PAGE.min(medium.len() - page * PAGE);
                let Ok(bytes) = medium.bytes(page * PAGE, len) else {
                    break;
                };
                batch.bytes.extend_from_slice(bytes);
                batch.pages.push(page);
                stale.remove(page);
                self.taken.insert(page);
                *next = page + 1;
            }
            if batch.pages.is_empty() {
                // The sync would write these all at once, and the journal's records would wait.
                let rest = &self.replayed[*sent..];
                batch.pages.extend(&rest[..rest.len().min(BATCH)]);
                *sent += batch.pages.len();
            }
            if batch.pages.is_empty() {
                self.writer.give(batch);
                if *on_their_way == 0 {
                    self.writer.sync(self.word_at, *start);
                    self.state = State::Syncing { start: *start };
                }
                return;
            }
            // The replayed ones are in the file alone.
            batch.all_again = self.replayed.is_empty();
            *copied += batch.pages.len() as u64;
            *on_their_way += 1;
            self.writer.write(batch);
        }
    }

    fn note(
        &mut self,
        done: Done,
        journal: &mut Journal,
        stale: &mut Pages,
    ) -> Result<(), Failure> {
        match (done, &mut self.state) {
            (
                Done::Written(batch, written),
                State::Writing {
                    on_their_way,
                    failure,
                    ..
                },
            ) => {
                self.pages += batch.pages.len() as u64;
                self.writer.give(batch);
                *on_their_way -= 1;
                if let Err(error) = written {
                    failure.get_or_insert(error);
                }
                match (failure.take(), *on_their_way) {
                    (Some(error), 0) => Err(self.fail(error, stale)),
                    (failed, _) => {
                        *failure = failed;
                        Ok(())
                    }
                }
            }
            (Done::Synced(Ok(())), &mut State::Syncing { start }) => {
                self.state = State::Idle;
                if let Err(error) = journal.advance(start) {
                    // The pages are in the file: only the journal stays as long as it is.
                    self.taken.clear();
                    self.replayed = Vec::new();
                    self.pause = Some(Instant::now() + PAUSE);
                    return Err(error);
                }
                self.taken.clear();
                self.replayed = Vec::new();
                self.last = Some(Instant::now());
                self.count += 1;
                Ok(())
            }
            (Done::Synced(Err(error)), _) => Err(self.fail(error, stale)),
            (Done::Written(batch, _), _) => {
                self.writer.give(batch);
                Ok(())
            }
            (Done::Synced(Ok(())), _) => Ok(()),
        }
    }

    fn fail(&mut self, error: Failure, stale: &mut Pages) -> Failure {
        self.state = State::Idle;
        self.pause = Some(Instant::now() + PAUSE);
        stale.extend(&self.taken);
        self.taken.clear();
        error
    }
}
