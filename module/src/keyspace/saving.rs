//! What a file gets of PM keys: their values, or markers only.
//!
//! | file | PM keys |
//! |---|---|
//! | full sync, `redis-cli --rdb` | values |
//! | DUMP, MIGRATE, slots that move to another node | values |
//! | RDB by SAVE, BGSAVE, save points, SHUTDOWN | markers, or values with `rdb full` |
//! | with `rdb native`, RDB, and full sync of a master outside of clusters | native values (see `native_rdb`) |
//! | AOF | markers: what comes after its base is not in it either |
//!
//! A marker says that the key is there, and the pool has its value: so a save costs what the native
//! data costs, however large the pool is. The first PM key in a file carries the pool's [`RunLsn`].
//! Of many markers a file that is done keeps one only, so that it is loaded as fast (see
//! `abridge`).
//!
//! Values could not carry the LSN beside them (as "aux data"): Redis writes that into every RDB,
//! which no server without the module could load then, even if there is no PM key in it.

use super::abridge::{self, Markers, Purpose};
use super::serialize::Form;
use super::{ENGINE, Engine, apply, beside, native_rdb};
use crate::SETTINGS;
use crate::config::RdbContent;
use crate::redis::{
    Ctx, Persistence, cut_save, end_child, server_flags, somebody_syncs, syncs_without_disk,
    translates_stream,
};
use crate::report;
use std::path::Path;
use store::lsn::RunLsn;
use store::record::RecordPtr;

/// A file that this process writes.
pub(super) struct Saving {
    /// What it is for, if it gets markers.
    purpose: Option<Purpose>,
    /// The markers become native values in the end.
    becomes_native: bool,
    /// The markers that it has.
    markers: Markers,
    /// The LSN, if it has that already.
    stamped: Option<RunLsn>,
}

/// A file is begun, or is done.
pub(super) fn follow(ctx: &Ctx, what: Persistence) {
    let rdb_if = |markers: bool| Some(markers.then_some(Purpose::Rdb));
    let begins = match what {
        Persistence::Ended | Persistence::Failed => None,
        Persistence::AofStarted | Persistence::SyncAofStarted => Some(Some(Purpose::AofBase)),
        Persistence::RdbStarted => {
            if somebody_syncs(ctx) {
                rdb_if(syncs_natively())
            } else {
                rdb_if(content() != RdbContent::Full)
            }
        }
        // In EXEC it can only be DEBUG RELOAD, which the command filter has not seen run.
        Persistence::SyncRdbStarted => {
            rdb_if(content() != RdbContent::Full && !server_flags().in_multi_or_script())
        }
    };
    let reloads = ENGINE.with(|engine| engine.life.reloads()) == Ok(true);
    let becomes_native =
        begins == Some(Some(Purpose::Rdb)) && content() == RdbContent::Native && !reloads;
    let in_server = !server_flags().fork_child();
    if what == Persistence::Ended {
        abridge(ctx);
    }
    match what {
        Persistence::Ended if in_server => {
            beside::note_new_rdb();
        }
        Persistence::Failed if in_server => beside::note_none(),
        _ => {}
    }
    apply("a save", |engine| {
        if in_server && what == Persistence::SyncRdbStarted {
            engine.files.begin();
        }
        engine.files.saving = begins.map(|purpose| Saving {
            purpose,
            becomes_native,
            markers: Markers::default(),
            stamped: None,
        });
    });
}

/// The file is done.
fn abridge(ctx: &Ctx) {
    let done =
        ENGINE.with(|engine| Some((engine.files.saving.take()?, engine.files.rdb_path.clone()?)));
    if let Ok(Some((saving, rdb))) = done
        && let (Some(purpose), Some(lsn)) = (saving.purpose, saving.stamped)
    {
        if saving.becomes_native {
            make_native(ctx, &rdb, &saving.markers, lsn)
        } else {
            abridge::abridge(purpose, &rdb, saving.markers, lsn)
        }
    }
}

/// A child that cannot do it ends, and the server tells that the save has failed. Of SAVE the
/// server has decided that it has succeeded: who waits for it does not hear that.
fn make_native(ctx: &Ctx, rdb: &Path, markers: &Markers, lsn: RunLsn) {
    let (file, copy) = abridge::places(Purpose::Rdb, rdb);
    if let Err(why) = native_rdb::make(&file, &copy, markers, lsn) {
        let line = format!(
            "{} has markers of PM keys, which cannot be made native values: {why}",
            file.display()
        );
        report::warn(&line);
        end_child();
        if cut_save(ctx) {
            report::warn(
                "the connection of the client that runs SAVE is cut, as the server would answer OK",
            );
        }
    }
}

/// Whether what comes after a full sync has native names, so that it is to have native keys. A
/// replica passes on what its master sends.
fn syncs_natively() -> bool {
    translates_stream() && server_flags().master() && !syncs_without_disk()
}

fn content() -> RdbContent {
    SETTINGS
        .with(|settings| settings.rdb)
        .unwrap_or(RdbContent::Full)
}

/// What is saved from now on goes to another node, though a file may have been begun: values.
pub(super) fn send() {
    apply("sending keys", |engine| engine.files.saving = None);
}

impl Engine {
    /// Whether this process writes a file, and does not send keys.
    pub(super) fn writes_a_file(&self) -> bool {
        self.files.saving.is_some()
    }

    /// The form of the next key that is saved, which is of database `db` and has this record;
    /// outside of files, a value alone.
    pub(super) fn next_form(&mut self, db: i32, record: RecordPtr) -> Form {
        let now = RunLsn {
            run: self.store.run,
            number: self.store.pool.lsn(),
        };
        let Some(saving) = &mut self.files.saving else {
            return Form {
                lsn: None,
                is_marker: false,
                place: None,
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
            place: saving.becomes_native.then_some(record),
        }
    }
}
