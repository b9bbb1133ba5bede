//! What is known of the files that the server loads and writes.

use super::saving::Saving;
use super::startup::Startup;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use store::lifetime::file_look;

/// How coarse a file system's clock may be.
const COARSE: Duration = Duration::from_secs(1);

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
    /// The writing of a file, here or by a child, or the loading of one, that is under way.
    pub(super) begun: Option<Begun>,
    /// A file that this process writes.
    pub(super) saving: Option<Saving>,
    /// The AOF tells of this pool.
    pub(super) aof_knows_pool: bool,
}

/// When a file began to be written or loaded, where the server's RDB was then, and what it looked
/// like ([`file_look`]). What comes of it is there, wherever the server's RDB is meanwhile.
///
/// A file system's clock can be another than the system's; and a child can be done before its
/// parent has looked. So one of the two has to tell that a file is new.
pub(super) struct Begun {
    at: SystemTime,
    rdb: Option<PathBuf>,
    look: u64,
}

impl Begun {
    /// The RDB that has come of it: it is there, and is newer.
    pub(super) fn rdb(&self) -> Option<&Path> {
        let path = self.rdb.as_deref()?;
        let changed = path.metadata().and_then(|file| file.modified()).ok()?;
        (changed + COARSE >= self.at || file_look(path) != self.look).then_some(path)
    }
}

impl Files {
    /// A file begins to be written, or to be loaded, that is not the server's RDB yet.
    pub(super) fn begin(&mut self) {
        self.begun = Some(Begun {
            at: SystemTime::now(),
            rdb: self.rdb_path.clone(),
            look: self.rdb_path.as_deref().map_or(0, file_look),
        });
    }

    /// A master's file begins to be loaded, which lay there before.
    pub(super) fn begin_masters(&mut self) {
        self.begun = Some(Begun {
            at: SystemTime::UNIX_EPOCH,
            rdb: self.rdb_path.clone(),
            look: 0,
        });
    }

    /// Those of a server that starts.
    pub(super) fn new(startup: Startup) -> Files {
        Files {
            startup: Some(startup),
            ..Files::default()
        }
    }
}
