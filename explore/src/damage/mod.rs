//! Damaged pools: whatever the medium has lost or mixed up, opening a pool, reading every key,
//! changing and deleting all of it gives values or clear errors, or the pool is refused. Never does
//! the process die, hang or panic.
//!
//! | file | what |
//! |---|---|
//! | `pools.rs` | valid pools with keys of all types and sizes |
//! | `harm.rs` | what is done to them |
//! | `survey.rs` | what a server would do with them, in a worker process |
//! | `commands.rs` | what it does to a value of each type |
//!
//! A seed gives the same pools and the same harm again, pool by pool.

mod commands;
mod harm;
mod pools;
mod survey;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fastrand::Rng;
use powercut::{Progress, Worker};

pub use harm::Harm;
pub use survey::{Outcome, Survey};

use crate::DIRECTORY;

/// Damaged pools made from one valid pool.
pub const POOLS_PER_BASE: u64 = 100;
/// Deaths after which a run ends.
const FAILURES_MAX: usize = 10;

/// What became of damaged pools.
#[derive(Debug, Default)]
pub struct Tally {
    /// The seed.
    pub seed: u64,
    /// Pools tried.
    pub pools: u64,
    /// Those of them that were refused.
    pub refused: u64,
    /// Those that were opened although parts of them could not be used.
    pub partial: u64,
    /// Keys read whole, and keys that could not be.
    pub read: u64,
    /// Keys that gave an error instead of (all of) their value.
    pub damaged: u64,
    /// Pools that killed, stopped or confused the process: which one, what was done to it, what
    /// happened.
    pub failures: Vec<String>,
    /// How long it took.
    pub elapsed: Duration,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {} damaged pools, {} refused, {} opened in part; {} keys read, {} damaged; {} failures; \
             {:.1} s, {:.0} pools/s",
            self.seed,
            self.pools,
            self.refused,
            self.partial,
            self.read,
            self.damaged,
            self.failures.len(),
            self.elapsed.as_secs_f64(),
            self.pools as f64 / self.elapsed.as_secs_f64().max(1e-3),
        )?;
        self.failures
            .iter()
            .try_for_each(|failure| write!(f, "\n{failure}"))
    }
}

/// The valid pool that the damaged pools of `number` start from; `path` is overwritten.
///
/// # Panics
/// If it cannot be made.
pub fn base(seed: u64, number: u64, path: &Path) -> Vec<u8> {
    let nth = number / POOLS_PER_BASE;
    pools::make(path, Rng::with_seed(seed ^ nth.rotate_left(40)))
}

/// What is done to pool `number` of a run, and the pool after it.
pub fn harmed(seed: u64, number: u64, base: &[u8]) -> (Vec<u8>, Vec<Harm>) {
    let mut rng = Rng::with_seed(seed.rotate_left(32) ^ number);
    let mut pool = base.to_vec();
    let harms = harm::some(&mut pool, &mut rng);
    (pool, harms)
}

/// Gives the file `path` these bytes, without giving up the memory that it has.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    file.set_len(bytes.len() as u64)?;
    file.write_all_at(bytes, 0)
}

/// Damages pools, `from` the first of them, and has each surveyed. `keep` is where to keep those
/// that fail.
///
/// # Panics
/// If a file cannot be written, or if this process has more than one thread.
pub fn run(seed: u64, from: u64, pools: u64, keep: Option<&Path>) -> Tally {
    let begun = Instant::now();
    let files = tempfile::tempdir_in(DIRECTORY).expect("tmpfs is mounted");
    let path = |name: &str| -> PathBuf { files.path().join(name) };
    let survey = Survey::new(path("outcomes"));
    let mut worker = Worker::new(&survey, path("pool"), path("trace"));
    let mut tally = Tally {
        seed,
        ..Tally::default()
    };
    let mut valid = Vec::new();
    for number in from..from + pools {
        if valid.is_empty() || number.is_multiple_of(POOLS_PER_BASE) {
            valid = base(seed, number, &path("base"));
        }
        let (pool, harms) = harmed(seed, number, &valid);
        write(&path("pool"), &pool).expect("a pool can be written");
        tally.pools += 1;
        let Err(message) = worker.judge(Progress::default(), false) else {
            continue;
        };
        tally
            .failures
            .push(format!("pool {number}, {harms:x?}: {message}"));
        if let Some(keep) = keep {
            let kept = keep.join(format!("damaged-{seed}-{number}.pool"));
            fs::write(kept, &pool).expect("the directory to keep pools in is writable");
        }
        if tally.failures.len() == FAILURES_MAX {
            break;
        }
    }
    drop(worker);
    for outcome in survey.outcomes() {
        match outcome {
            Outcome::Refused => tally.refused += 1,
            Outcome::Opened {
                partial,
                read,
                damaged,
            } => {
                tally.partial += u64::from(partial);
                tally.read += read;
                tally.damaged += damaged;
            }
        }
    }
    tally.elapsed = begun.elapsed();
    tally
}
