//! How the last user of a pool has left it: whether it was closed, in which file, and which RDB lay
//! beside it.
//!
//! ```text
//! user word 16  1 the pool was closed; 2 it is in use, or its user died; 3 the same, and its file is marked with
//!               the number of the run; 0 an older module had it
//! user word 17  number of its file (`pobj::mark`), 0 if it has none
//! user word 18  what the RDB looked like that its user made last, or found and accepted (`file_look`); 0 if nobody
//!               has looked
//! user word 19  the LSN of the pool at the last fork, whose child may leave an RDB of which nobody has taken note yet;
//!               0 if there is none
//! ```
//!
//! These words are written at once, not by records: the LSN of the pool does not change with them.
//!
//! A pool that was in use, and lies in another file now, or in one whose mark tells of a later LSN,
//! is a copy of a live file: some of it is older than the rest. An RDB with values that does not
//! look like the one left here was put there by somebody who means it to be loaded.

use crate::Store;
use crate::layout::LAYOUT;
use crate::lsn::RunLsn;
use pobj::mark::{self, Mark, MarkedFile};
use pobj::{Pool, Result};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64;

const STATE: usize = 16;
const FILE: usize = 17;
const RDB: usize = 18;
const FORK: usize = 19;

const CLOSED: u64 = 1;
const IN_USE: u64 = 2;
const IN_USE_MARKED: u64 = 3;

fn word(pool: &Pool, index: usize) -> Result<u64> {
    pool.get(pool.user_word(index)).copied()
}

/// From one look at the pool's position, which the mark tells, to the next.
const BEAT: Duration = Duration::from_secs(1);

/// The mark on the pool's file, kept up to date.
pub struct Pulse {
    file: MarkedFile,
    last: Mark,
    at: Instant,
}

/// True if the pool at `path`, found at that LSN, is a copy that was made while the original was in
/// use.
///
/// # Errors
/// `Damaged` if the pool has no such words; `Io` and its like, of the file.
pub fn is_torn_copy(pool: &Pool, path: &Path, found: RunLsn) -> Result<bool> {
    let state = word(pool, STATE)?;
    if state != IN_USE && state != IN_USE_MARKED {
        return Ok(false);
    }
    let (was, is) = (
        word(pool, FILE)?,
        mark::file_id(path, &LAYOUT)?.unwrap_or(0),
    );
    if was != is {
        return Ok(true);
    }
    if state == IN_USE {
        return Ok(false);
    }
    let mark = MarkedFile::open(path, &LAYOUT)?.and_then(|file| file.get());
    Ok(!mark.is_some_and(|mark| {
        let is_over = mark.runs[0] == mark.runs[1];
        mark.runs.contains(&found.run) && (!is_over || found.number >= mark.lsn)
    }))
}

/// Notes, durably, that the pool is in use from now on, by a run that begins; and marks its file,
/// if that can be marked.
///
/// # Errors
/// As of [`is_torn_copy`]. The pool counts as closed, or as in use, and has not changed otherwise.
pub fn begin_use(pool: &mut Pool, path: &Path, found: RunLsn, run: u64) -> Result<Option<Pulse>> {
    let mark = Mark {
        runs: [found.run, run],
        lsn: 0,
    };
    let marked = MarkedFile::open(path, &LAYOUT)?.filter(|file| file.set(mark));
    if let Some(file) = &marked {
        file.sync()?;
    }
    let file = mark::file_id(path, &LAYOUT)?.unwrap_or(0);
    // Not both at once: in between, the pool counts as closed, and nothing has changed yet.
    pool.set_user_word_now(STATE, CLOSED)?;
    pool.set_user_word_now(FILE, file)?;
    let state = if marked.is_some() {
        IN_USE_MARKED
    } else {
        IN_USE
    };
    pool.set_user_word_now(STATE, state)?;
    Ok(marked.map(|file| Pulse {
        file,
        last: mark,
        at: Instant::now(),
    }))
}

/// What a file looks like from outside: its length and when it was last changed; never 0, and 1 if
/// it is not there.
pub fn file_look(path: &Path) -> u64 {
    match fs::metadata(path) {
        Ok(file) => {
            let words = [file.len(), file.mtime() as u64, file.mtime_nsec() as u64];
            xxh3_64(&words.map(u64::to_le_bytes).concat()).max(2)
        }
        Err(_) => 1,
    }
}

/// What the RDB looks like that belongs to the pool ([`file_look`]), if that is certain: the pool
/// was closed, and somebody has looked.
///
/// # Errors
/// `Damaged` if the pool has no such words.
pub fn noted_rdb(pool: &Pool) -> Result<Option<u64>> {
    let (state, look) = (word(pool, STATE)?, word(pool, RDB)?);
    Ok((state == CLOSED && look != 0).then_some(look))
}

impl Pulse {
    /// Has the mark on the pool's file tell how far the pool has come, once a second if there is
    /// something to tell. What the pool has is durable by then.
    pub fn beat(&mut self, store: &Store) {
        let mark = Mark {
            runs: [store.run; 2],
            lsn: store.pool.lsn(),
        };
        if mark != self.last && (self.at.elapsed() >= BEAT || mark.runs != self.last.runs) {
            self.file.set(mark);
            (self.last, self.at) = (mark, Instant::now());
        }
    }
}

impl Store {
    /// The last user leaves the pool: everything is durable, and the pool says so.
    ///
    /// # Errors
    /// Those of the pool; it counts as left by a user who died then.
    pub fn close(&mut self) -> Result<()> {
        if self.pool.in_group() {
            self.end_group()?;
        }
        self.forget_fork()?;
        self.pool.set_user_word_now(STATE, CLOSED)?;
        self.pool.checkpoint()
    }

    /// A child was forked, which may make an RDB of this LSN.
    ///
    /// # Errors
    /// `Damaged` if the pool has no such word.
    pub fn note_fork(&mut self, lsn: u64) -> Result<()> {
        self.pool.set_user_word_now(FORK, lsn)
    }

    /// The child of the last fork has left nothing that is not noted: from now on no RDB belongs to
    /// this pool for that fork's LSN, which every copy of the child's data has, too.
    ///
    /// # Errors
    /// As of [`Store::note_fork`].
    pub fn forget_fork(&mut self) -> Result<()> {
        if word(&self.pool, FORK)? == 0 {
            Ok(())
        } else {
            self.pool.set_user_word_now(FORK, 0)
        }
    }

    /// The RDB that looks like this ([`file_look`]) belongs to this pool. What a fork before that
    /// has left does not lie there any more.
    ///
    /// # Errors
    /// As of [`Store::note_fork`].
    pub fn note_rdb(&mut self, look: u64) -> Result<()> {
        if word(&self.pool, RDB)? != look {
            self.pool.set_user_word_now(RDB, look)?;
        }
        self.forget_fork()
    }

    /// True if the RDB at this path, of this LSN, is one that this pool's user has left there: as
    /// it looks, or as its LSN is that of the fork in whose midst the run before was killed, or of
    /// that run's end. Also if nothing is known.
    ///
    /// # Errors
    /// As of [`Store::note_fork`].
    pub fn knows_rdb(&self, path: &Path, lsn: Option<RunLsn>) -> Result<bool> {
        let noted = word(&self.pool, RDB)?;
        let number = word(&self.pool, FORK)?;
        let fork = (number != 0).then_some(RunLsn {
            run: self.found.run,
            number,
        });
        let is_left = lsn.is_some() && (lsn == Some(self.found) || lsn == fork);
        Ok(noted == 0 || noted == file_look(path) || is_left)
    }
}
