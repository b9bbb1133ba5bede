//! An RDB with values of PM keys beside a pool that has keys of its own.
//!
//! The pool is the truth, and the values in the file are passed over. That is right if the server
//! itself has left the file there: by a save with `rdb full`, or for a replica. If somebody has put
//! it there, it is a backup to be restored, and a server that started would overwrite it sooner or
//! later: so it does not start, unless it is told to (`beside ignore`). A replica starts: it gets
//! everything from its master.

use super::load_error::LoadError;
use super::startup::Startup;
use super::{Engine, apply, durable};
use crate::SETTINGS;
use crate::config::Beside;
use crate::redis::{Ctx, server_flags};
use pobj::Result;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// Asks where the server's RDB is. Not from within a command or an event that is not about the
/// configuration: the question is a command itself, before which what is open ends.
pub fn learn_rdb_path(ctx: &Ctx) {
    let get = |name| ctx.setting(name).map(OsString::from_vec);
    let path = || Some(Path::new(&get("dir")?).join(get("dbfilename")?));
    let path = path();
    apply("the setup", |engine| engine.files.rdb_path = path);
}

/// A child has ended, a save or a loading: notes the RDB, if it is newer than the beginning of
/// that. False if nothing is known of the beginning.
pub(super) fn note_new_rdb() -> bool {
    if server_flags().fork_child() {
        return false;
    }
    let mut is_known = false;
    durable("a look at the RDB", |engine| {
        is_known = engine.files.begun.is_some();
        let new = engine.files.begun.as_ref().and_then(|begun| begun.rdb());
        if let Some(new) = new.map(Path::to_path_buf) {
            engine.note_rdb(&new)?;
        }
        engine.files.begun = None;
        Ok(())
    });
    is_known
}

/// A save or a loading has failed: what lies there now is not of it.
pub(super) fn note_none() {
    apply("a look at the RDB", |engine| engine.files.begun = None);
}

/// The server starts with the RDB that is there, which is its own from now on.
pub(super) fn note_rdb() {
    durable("a look at the RDB", note);
}

fn note(engine: &mut Engine) -> pobj::Result<()> {
    match engine.files.rdb_path.clone() {
        Some(path) => engine.note_rdb(&path),
        None => Ok(()),
    }
}

/// Refuses a value that the pool does not take over, if it is in a file that somebody has put
/// there.
pub(super) fn refuse_unknown(engine: &Engine, startup: &Startup) -> Result<(), LoadError> {
    let (true, Some(path)) = (startup.loads_rdb(), &engine.files.rdb_path) else {
        return Ok(());
    };
    let is_asked_for = SETTINGS.with(|settings| settings.beside) == Ok(Beside::Ignore);
    if is_asked_for || server_flags().replica() || engine.store.knows_rdb(path, startup.lsn)? {
        return Ok(());
    }
    Err(LoadError::Refused(format!(
        "{} has values of PM keys, and this pool's server has not left it there; the pool has keys of its own, or had. \
         To restore the file, give a new pool as 'path', or remove this one; to serve this pool, remove the file, or \
         load the module with 'beside ignore'",
        path.display()
    )))
}
