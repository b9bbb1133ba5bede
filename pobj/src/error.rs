//! The one error type of this layer.
//!
//! Each cause is a variant, its message says what to do next, and where libpmemobj had something to
//! say its own words are kept at the end.

use std::path::PathBuf;

/// Why a pool operation failed. None of these leaves anything changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// libpmemobj itself could not be loaded.
    #[error("{0}")]
    Library(String),
    /// The path names nothing.
    #[error("{} does not exist", .0.display())]
    NotFound(PathBuf),
    /// The path names something that cannot hold a pool (a directory, a socket).
    #[error("{} is {}, not a pool file", .0.display(), .1)]
    NotAFile(PathBuf, &'static str),
    /// The file exists but holds something else, and is left alone.
    #[error("{} is not a persistent memory pool: {}", .0.display(), .1)]
    NotAPool(PathBuf, String),
    /// A part that the description of a poolset names is not there.
    #[error("{} does not exist, which is a part of the poolset {}: is its device mounted?", .part.display(), .set.display())]
    PartMissing {
        /// The description of the poolset.
        set: PathBuf,
        /// The part.
        part: PathBuf,
    },
    /// A replica of a poolset has missed changes.
    #[error(
        "{} is of a stale replica of the poolset {}: its latest change is number {lsn}, while {} has number {newest_lsn}. Remove all files \
         of the stale replica, and have 'pmempool sync {}' make them anew", .stale.display(), .set.display(), .newest.display(), .set.display()
    )]
    StaleReplica {
        /// The description of the poolset.
        set: PathBuf,
        /// The first file of the stale replica.
        stale: PathBuf,
        /// The number of its latest change.
        lsn: u64,
        /// The first file of the replica with the latest change.
        newest: PathBuf,
        /// That change's number.
        newest_lsn: u64,
    },
    /// Two replicas of a poolset have changed independently of each other.
    #[error(
        "{} and {} are of replicas of the poolset {} that have changed independently of each other. Look at a copy of each, remove \
         all files of the one that is wrong, and have 'pmempool sync {}' make them anew", .replicas[0].display(), .replicas[1].display(),
         .set.display(), .set.display()
    )]
    DifferentReplicas {
        /// The description of the poolset.
        set: PathBuf,
        /// The first files of both.
        replicas: [PathBuf; 2],
    },
    /// The pool belongs to another application.
    #[error("{} is a pool of another layout (\"{found}\", expected \"{expected}\")", .path.display())]
    WrongLayout {
        /// The pool.
        path: PathBuf,
        /// The layout name found in it.
        found: String,
        /// The layout name this program writes.
        expected: String,
    },
    /// A newer program wrote the pool.
    #[error("{} has on-media format {found}, this program reads up to {supported}: {advice}", .path.display())]
    NewerFormat {
        /// The pool.
        path: PathBuf,
        /// Version found.
        found: u32,
        /// Highest version understood.
        supported: u32,
        /// What to do.
        advice: &'static str,
    },
    /// The pool's bytes contradict themselves (truncated, overwritten, rotten).
    #[error("the pool is damaged: {0}")]
    Damaged(String),
    /// Another process has the pool open; possibly a child of a server that died.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The file system refuses access.
    #[error("no permission for {}: {}", .0.display(), .1)]
    Permission(PathBuf, String),
    /// The file system has no room for a file of the wanted size.
    #[error("no space for a {what} of {size} bytes at {}: {message}", .path.display())]
    NoSpace {
        /// What the file is: a pool, a journal.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Size asked for in bytes.
        size: u64,
        /// The words of libpmemobj, or of the system.
        message: String,
    },
    /// The size asked for is below what a pool needs.
    #[error("a pool of {size} bytes is too small, the least is {min} bytes")]
    TooSmall {
        /// Size asked for in bytes.
        size: u64,
        /// Least size in bytes.
        min: u64,
    },
    /// The pool is absent and no size was given to create it with.
    #[error("{} does not exist and no size was given to create it", .0.display())]
    SizeMissing(PathBuf),
    /// A poolset has no part yet, and no size was given to create a pool with.
    #[error("{} describes a poolset without a pool, and no size was given to create one: are its devices mounted?", .0.display())]
    SetWithoutPool(PathBuf),
    /// The file is not on persistent memory and no weaker durability was chosen.
    #[error("{} is not on persistent memory: {advice}", .path.display())]
    NotPersistent {
        /// The file, or the directory in which it is to be made.
        path: PathBuf,
        /// What to do.
        advice: &'static str,
    },
    /// The pool's latest changes are in a journal that cannot be used.
    #[error(
        "the journal {} is needed, as the pool was not closed, and cannot be used: {reason}. Put the file back that was beside \
         the pool, or restore both from a backup", .path.display()
    )]
    Journal {
        /// The journal.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Changes cannot be made durable, as the disk fails or is full.
    #[error("changes cannot be made durable: {0}")]
    NotDurable(String),
    /// No room in the pool for an allocation of this many bytes.
    #[error("the pool is full (no room for {0} bytes)")]
    Full(u64),
    /// The allocation exceeds what libpmemobj can place in one object.
    #[error("an object of {0} bytes is larger than a pool can hold")]
    TooLarge(u64),
    /// The machine was shut down uncleanly in a way that may have lost persistent stores.
    #[error(
        "{} went through an unsafe shutdown: run 'pmempool check -v' on it and repair it with 'pmempool check -r' \
         ({})", .0.display(), .1
    )]
    UnsafeShutdown(PathBuf, String),
    /// libpmemobj does not open the pool, for a cause outside it.
    #[error("{} cannot be opened: {} (the environment variables PMEMOBJ_CONF and PMEMOBJ_CONF_FILE count, too)", .0.display(), .1)]
    NotOpened(PathBuf, String),
    /// Anything else libpmemobj reports.
    #[error("{operation} failed: {message}")]
    Pmdk {
        /// The operation.
        operation: &'static str,
        /// libpmemobj's words.
        message: String,
    },
    /// What was asked for is not possible now; nothing is wrong with the pool.
    #[error("{0}")]
    State(String),
    /// An operating system error outside libpmemobj.
    #[error("{0}")]
    Io(String),
}

/// The result type of this layer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A [`Error::Damaged`] about a location in the pool. Out of line, as most functions that load have
/// a use for it.
#[cold]
#[inline(never)]
pub(crate) fn damaged(what: &str, offset: u64) -> Error {
    Error::Damaged(format!("{what} at offset {offset:#x}"))
}
