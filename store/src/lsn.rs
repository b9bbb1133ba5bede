//! Log sequence numbers (LSNs) of the pool's runs, which tell whether a file and the pool are of
//! the same state.
//!
//! Redis keeps in an RDB the offset in the replication stream at which the file was made, and
//! trusts it when it starts with that file: a replica asks for what came after, and a master lets
//! its replicas go on from there. After a crash the pool is newer than the file, and what came
//! after is in it already: a replica would do it twice, and a master would claim to be where it was
//! long before.
//!
//! So a file also says of which LSN of which pool it is, and if that is not the LSN at which the
//! pool was found, the server forgets the offset: the replication starts with a full sync.

use pobj::{Pool, Result};
use std::hash::{BuildHasher, Hasher, RandomState};

/// The user word that holds the number of the last run, at random; 0 in a new pool.
const RUN: usize = 4;

/// An LSN, and the run that has given it: no two states of any pools have the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLsn {
    /// The number of the run, a random one each time that a pool is opened.
    pub run: u64,
    /// The LSN: how far the history of the pool had come.
    pub number: u64,
}

impl RunLsn {
    /// The LSN at which the last run has left a pool that was just opened.
    ///
    /// # Errors
    /// `Damaged` if the pool has no such word.
    pub fn found(pool: &Pool) -> Result<RunLsn> {
        Ok(RunLsn {
            run: *pool.get(pool.user_word(RUN))?,
            number: pool.found_lsn(),
        })
    }

    /// The number of a new run.
    pub(crate) fn new_run() -> u64 {
        RandomState::new().build_hasher().finish().max(1)
    }

    /// Notes in the pool that this run has it now.
    pub(crate) fn begin_run(pool: &mut Pool, run: u64) -> Result<()> {
        let mut tx = pool.begin();
        tx.set(tx.user_word(RUN), run)?;
        tx.commit()
    }
}
