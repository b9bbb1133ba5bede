//! What a file gets of PM keys: their values, or markers only.
//!
//! | file | PM keys |
//! |---|---|
//! | full sync, `redis-cli --rdb` | values |
//! | DUMP, MIGRATE, slots that move to another node | values |
//! | RDB by SAVE, BGSAVE, save points, SHUTDOWN | markers, or values with `rdb full` |
//! | AOF | markers: what comes after its base is not in it either |
//!
//! A marker says that the key is there, and the pool has its value: so a save costs what the native
//! data costs, however large the pool is. The first PM key in a file carries the pool's [`RunLsn`]. Of many markers a
//! file that is done keeps one only, so that it is loaded as fast (see `abridge`).
//!
//! Values could not carry the LSN beside them (as "aux data"): Redis writes that into every RDB, which
//! no server without the module could load then, even if there is no PM key in it.

use super::abridge::{self, Markers, Purpose};
use super::{ENGINE, Engine, beside, durable};
use crate::SETTINGS;
use crate::config::RdbContent;
use crate::redis::{Ctx, Persistence, server_flags, somebody_syncs};
use std::time::SystemTime;
use store::lsn::RunLsn;

/// A file that this process writes.
pub struct Saving {
    /// What it is for, if it gets markers.
    purpose: Option<Purpose>,
    /// The markers that it has.
    markers: Markers,
    /// The LSN, if it has that already.
    stamped: Option<RunLsn>,
}

/// What is to be written of one key.
pub struct Form {
    /// The LSN of the pool goes before it.
    pub lsn: Option<RunLsn>,
    /// Its value stays in the pool.
    pub is_marker: bool,
}

/// A file is begun, or is done.
pub(super) fn follow(ctx: &Ctx, what: Persistence) {
    let rdb_if = |markers: bool| Some(markers.then_some(Purpose::Rdb));
    let begins = match what {
        Persistence::Ended | Persistence::Failed => None,
        Persistence::AofStarted | Persistence::SyncAofStarted => Some(Some(Purpose::AofBase)),
        Persistence::RdbStarted => rdb_if(marks() && !somebody_syncs(ctx)),
        // In EXEC it can only be DEBUG RELOAD, which the command filter has not seen run.
        Persistence::SyncRdbStarted => rdb_if(marks() && !server_flags().in_multi_or_script()),
    };
    let in_server = !server_flags().fork_child();
    if what == Persistence::Ended {
        abridge();
    }
    if in_server && what == Persistence::Ended {
        beside::note_new_rdb();
    }
    durable("a save", |engine| {
        if in_server && what == Persistence::SyncRdbStarted {
            engine.file_begun = Some(SystemTime::now());
        }
        engine.saving = begins.map(|purpose| Saving {
            purpose,
            markers: Markers::default(),
            stamped: None,
        });
        Ok(())
    });
}

/// The file is done.
fn abridge() {
    let done = ENGINE.with(|engine| Some((engine.saving.take()?, engine.rdb_path.clone()?)));
    if let Ok(Some((saving, rdb))) = done
        && let (Some(purpose), Some(lsn)) = (saving.purpose, saving.stamped)
    {
        abridge::abridge(purpose, &rdb, saving.markers, lsn);
    }
}

fn marks() -> bool {
    SETTINGS.with(|settings| settings.rdb) != Ok(RdbContent::Full)
}

/// What is saved from now on goes to another node, though a file may have been begun: values.
pub(super) fn send() {
    durable("sending keys", |engine| {
        engine.saving = None;
        Ok(())
    });
}

impl Engine {
    /// Whether this process writes a file, and does not send keys.
    pub(super) fn writes_a_file(&self) -> bool {
        self.saving.is_some()
    }

    /// The form of the next key that is saved, which is of database `db`; outside of files, a value alone.
    pub(super) fn next_form(&mut self, db: i32) -> Form {
        let now = RunLsn {
            run: self.store.run,
            number: self.store.pool.lsn(),
        };
        let Some(saving) = &mut self.saving else {
            return Form {
                lsn: None,
                is_marker: false,
            };
        };
        if saving.purpose.is_some() {
            saving.markers.add(db);
        }
        let is_first = saving.stamped.is_none();
        saving.stamped.get_or_insert(now);
        Form {
            lsn: is_first.then_some(now),
            is_marker: saving.purpose.is_some(),
        }
    }
}
