//! All keys of a database, or of all, end as one step: in the pool, and then in Redis's keyspace.

use super::key::LOADING;
use super::{Engine, with_engine};
use crate::error::CmdError;
use crate::report;

/// Ends all PM keys of a database, or of all, in the pool. Redis's keyspace has to follow at once.
pub fn flush(db: Option<i32>) -> Result<(), CmdError> {
    with_engine(|engine| {
        if engine.life.shows_keys() {
            Ok(engine.flush(db)?)
        } else {
            Err(LOADING)
        }
    })
}

/// Has Redis's keyspace follow a [`flush`], or what else was done to the pool's keys, by `follow`:
/// those that go meanwhile have ended in the pool already.
pub fn follow_flush<R>(follow: impl FnOnce() -> R) -> R {
    let follows = |on| {
        // A failure is reported there.
        let _ = with_engine(|engine| {
            engine.pending.end_keys(on);
            Ok(())
        });
    };
    follows(true);
    let result = follow();
    follows(false);
    result
}

impl Engine {
    /// The keys of a database, or of all, end with this: durable on return. Redis frees its own
    /// afterwards.
    pub fn flush(&mut self, db: Option<i32>) -> pobj::Result<()> {
        if !self.is_shown() {
            return Ok(());
        }
        if self.life.reloads() {
            self.hide();
            return Ok(());
        }
        let unmapped = self.store.dbs.unmapped();
        self.store.flush(db)?;
        self.end_filling_if_flushed();
        if db.is_none() && unmapped > 0 {
            report::warn(&format!(
                "{unmapped} keys of databases this server does not have are flushed with all others"
            ));
        }
        Ok(())
    }
}
