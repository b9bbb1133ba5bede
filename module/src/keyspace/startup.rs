//! What the start of the server has to know of the file that Redis loads.

use store::lsn::RunLsn;

/// What is known of the start so far.
pub(crate) struct Startup {
    /// The LSN at which the pool was found.
    pub(super) found: RunLsn,
    /// The pool had never had a key, or a part of a file's.
    pub(super) is_new: bool,
    /// The pool had a part of a file's keys.
    pub(super) had_part: bool,
    /// Loadings that have begun and not ended: Redis looks a file over, as if it loaded it again,
    /// before it ends because of it.
    pub(super) depth: u32,
    /// Redis has loaded an RDB, from which it knows its offset in the replication.
    pub(super) has_offset: bool,
    /// The pool of which the AOF tells.
    pub(super) aof_pool: Option<Vec<u8>>,
    /// The LSN of which the file is.
    pub(super) lsn: Option<RunLsn>,
    /// The pool has taken all keys from the file.
    pub(super) took: bool,
    /// Keys of the file whose values are nowhere.
    pub(super) orphans: u64,
    /// Keys of the pool have gone that replicas, if they have them, will not be told of; or keys
    /// come that are others in the stream.
    pub(super) dropped: bool,
}

impl Startup {
    /// The start of a server with a pool found at that LSN.
    pub(super) fn new(found: RunLsn, is_new: bool) -> Startup {
        Startup {
            found,
            is_new,
            had_part: false,
            depth: 0,
            has_offset: false,
            aof_pool: None,
            lsn: None,
            took: false,
            orphans: 0,
            dropped: false,
        }
    }

    /// True if what is loaded is an RDB.
    pub(super) fn loads_rdb(&self) -> bool {
        self.has_offset
    }

    /// True if the pool is what it was when the file was made.
    pub(super) fn lsn_matches(&self) -> bool {
        self.orphans == 0 && !self.dropped && (self.took || self.lsn == Some(self.found))
    }
}
