//! What is known of the files that the server loads and writes.

use super::saving::Saving;
use super::startup::Startup;
use std::path::PathBuf;
use std::time::SystemTime;

/// The server's files.
#[derive(Default)]
pub(crate) struct Files {
    /// What the start of the server has seen, until the keyspace is filled.
    pub(super) startup: Option<Startup>,
    /// What is loaded now, or was last, is an AOF.
    pub(super) loads_aof: bool,
    /// PM commands in loaded files that failed, and were logged.
    pub(super) failed_commands: u64,
    /// Where the server's RDB is, if it tells.
    pub(super) rdb_path: Option<PathBuf>,
    /// When a file began to be written, here or by a child, or to be loaded.
    pub(super) begun: Option<SystemTime>,
    /// A file that this process writes.
    pub(super) saving: Option<Saving>,
    /// The AOF tells of this pool.
    pub(super) aof_knows_pool: bool,
}

impl Files {
    /// Those of a server that starts.
    pub(super) fn new(startup: Startup) -> Files {
        Files {
            startup: Some(startup),
            ..Files::default()
        }
    }
}
