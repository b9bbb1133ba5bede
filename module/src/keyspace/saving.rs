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
//! data costs, however large the pool is. The first PM key in a file carries the pool's [`Moment`].
//!
//! Values could not carry the moment beside them (as "aux data"): Redis writes that into every RDB, which
//! no server without the module could load then, even if there is no PM key in it.

use super::{Engine, beside, durable};
use crate::SETTINGS;
use crate::config::RdbContent;
use crate::redis::{Ctx, Persistence, server_flags, somebody_syncs};
use std::time::SystemTime;
use store::moment::Moment;

/// A file that this process writes.
pub struct Saving {
    /// It gets markers.
    markers: bool,
    /// It has the moment already.
    stamped: bool,
}

/// What is to be written of one key.
pub struct Form {
    /// The moment of the pool goes before it.
    pub moment: Option<Moment>,
    /// Its value stays in the pool.
    pub is_marker: bool,
}

/// A file is begun, or is done.
pub(super) fn follow(ctx: &Ctx, what: Persistence) {
    let markers = match what {
        Persistence::Ended | Persistence::Failed => None,
        Persistence::AofStarted | Persistence::SyncAofStarted => Some(true),
        Persistence::RdbStarted => Some(marks() && !somebody_syncs(ctx)),
        // In EXEC it can only be DEBUG RELOAD, which the command filter has not seen run.
        Persistence::SyncRdbStarted => Some(marks() && !server_flags().in_multi_or_script()),
    };
    let in_server = !server_flags().fork_child();
    if in_server && what == Persistence::Ended {
        beside::note_new_rdb();
    }
    durable("a save", |engine| {
        if in_server && what == Persistence::SyncRdbStarted {
            engine.file_begun = Some(SystemTime::now());
        }
        engine.saving = markers.map(|markers| Saving {
            markers,
            stamped: false,
        });
        Ok(())
    });
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

    /// The form of the next key that is saved; outside of files, a value alone.
    pub(super) fn next_form(&mut self) -> Form {
        let now = Moment {
            run: self.store.run,
            position: self.store.pool.position(),
        };
        match &mut self.saving {
            None => Form {
                moment: None,
                is_marker: false,
            },
            Some(saving) => Form {
                moment: (!std::mem::replace(&mut saving.stamped, true)).then_some(now),
                is_marker: saving.markers,
            },
        }
    }
}
