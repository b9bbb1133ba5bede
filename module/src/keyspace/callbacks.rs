//! What Redis asks of the values it holds.

use super::failure::{of_callback, of_change, of_loading};
use super::following::loads_a_file;
use super::groups::{afterwards, undo};
use super::load_error::LoadError;
use super::serialize;
use super::{ENGINE, Engine, PLACEHOLDER, aof, apply, loading, rewrite};
use crate::limits;
use crate::redis::{
    AofWriter, Arg, Digest, KeyPlace, RdbReader, RdbWriter, TypeCallbacks, end_child, server_flags,
};
use crate::report;
use pobj::{Error, Result};
use store::expiry::KEY_NEVER;
use store::record;
use store::structures;
use store::value::ValueType;

/// The callbacks of all five types.
pub struct Values;

/// A key that a file has brought is asked for something before the keyspace is filled from the
/// pool.
fn not_yet() -> Error {
    Error::State("the key is not in the keyspace yet".into())
}

impl TypeCallbacks for Values {
    const ENCODING_VERSION: i32 = serialize::VERSION;

    fn rdb_load(io: &mut RdbReader<'_>, ty: ValueType, version: i32) -> Option<usize> {
        let payload = serialize::load(io, ty, version)?;
        let (key, db) = (io.key().unwrap_or_default(), io.db().unwrap_or(0));
        let mut no_room = false;
        let loaded = of_loading(key, |engine| {
            let loaded = engine.load(key, db, payload);
            no_room = matches!(&loaded, Err(LoadError::Pool(error)) if is_no_room(error));
            loaded
        });
        if no_room && !loads_a_file() {
            undo::refuse_native(db);
        }
        loaded
    }

    fn rdb_save(io: &mut RdbWriter<'_>, ty: ValueType, addr: usize) {
        let saved = ENGINE.with(|engine| {
            engine.see_the_fork();
            engine.save(io, ty, addr)
        });
        match saved {
            Ok(Ok(())) => {}
            Ok(Err(error)) => give_up(io, &error),
            Err(refused) => panic!("the engine cannot be reached: {refused:?}"),
        }
    }

    /// Writes nothing into a file: the pool holds the key, and loading it from an AOF as well would
    /// change it a second time. Where there is no file, the key goes to another node.
    fn aof_rewrite(io: &mut AofWriter<'_>, key: Arg<'_>, ty: ValueType, addr: usize) {
        let written = of_callback("sending a key", |engine| {
            if engine.writes_a_file() {
                return Ok(());
            }
            engine.see_the_fork();
            let record = engine.record_at(addr).ok_or_else(not_yet)?;
            let (root, inline) = record::value(&engine.store.pool, record)?;
            rewrite::rewrite(io, key.bytes(), &engine.store.pool, ty, root, inline)
        });
        if written.is_none() {
            let name = key.bytes().escape_ascii();
            report::warn(&format!(
                "the key {name} cannot be sent: its slot does not move without it"
            ));
            end_child();
        }
    }

    fn mem_usage(_place: &KeyPlace<'_>, ty: ValueType, addr: usize, _samples: usize) -> usize {
        let size = of_callback("measuring a key", |engine| {
            let Some(record) = engine.record_at(addr) else {
                return Ok(0);
            };
            let own = engine.store.pool.capacity(record)?;
            let root = record::get(&engine.store.pool, record)?.root;
            Ok(own + store::structures::of(ty).memory(&engine.store.pool, root)?)
        });
        size.unwrap_or(0) as usize
    }

    fn digest(digest: &mut Digest<'_>, ty: ValueType, addr: usize) {
        of_callback("digesting a key", |engine| {
            let Some(record) = engine.record_at(addr) else {
                return Ok(());
            };
            let (root, inline) = record::value(&engine.store.pool, record)?;
            serialize::digest(digest, &engine.store.pool, ty, root, inline)
        });
    }

    /// When the value goes for good, `free` follows at once, which does not know the key's name;
    /// when it lives on under another name, an event tells so.
    fn unlink(place: &KeyPlace<'_>, _ty: ValueType, addr: usize) {
        if let Some(name) = place.key() {
            apply("letting go of a key", |engine| {
                engine.note_leaving(addr, place.db(), name.bytes());
            });
        }
    }

    fn free(_ty: ValueType, addr: usize) {
        let (mut displaced, mut is_afterwards) = (None, false);
        of_callback("deleting a key", |engine| {
            let Some(record) = engine.record_at(addr) else {
                return Ok(());
            };
            if engine.pending.keys_have_ended() || !engine.is_shown() {
                // The flush has ended the record already, and the sweep reclaims it; or the key
                // only leaves Redis's keyspace, which is about to be filled from the pool.
                return Ok(());
            }
            // A command may have freed the record already: its bytes are still what they were.
            displaced = engine.displaced(addr);
            is_afterwards = engine.is_afterwards(record);
            if is_afterwards {
                return Ok(());
            }
            let is_ended = engine.pending.take_freed(addr);
            engine.store.let_go(record, is_ended)
        });
        if let Some(displaced) = displaced {
            aof::tell_of(&displaced);
        }
        if is_afterwards {
            afterwards::tell();
        }
    }

    fn copy(place: &KeyPlace<'_>, _ty: ValueType, addr: usize) -> Option<usize> {
        let key = place.to_key()?.bytes();
        let mut is_refused = false;
        let copied = of_callback("copying a key", |engine| {
            let source = engine.record_at(addr).ok_or_else(not_yet)?;
            let copied = engine.store.copy(source, key, place.to_db());
            let lacked_room = copied.as_ref().is_err_and(is_no_room);
            is_refused = engine.pending.leave_copy(lacked_room);
            match copied {
                Ok(copied) => Ok(Some(engine.store.pool.address_of(copied))),
                Err(error) => {
                    of_change(engine, &error);
                    if lacked_room { Ok(None) } else { Err(error) }
                }
            }
        });
        if is_refused {
            undo::refuse_native(place.db());
        }
        copied.flatten()
    }

    /// One: small enough for DEL, UNLINK and lazy freeing to stay on the main thread, which alone
    /// may touch the pool. What is large there is freed in the background by `reclaim`.
    fn free_effort(_place: &KeyPlace<'_>, _ty: ValueType, _addr: usize) -> usize {
        1
    }
}

/// A key cannot be saved, as its value is damaged: neither can the file that was to have it. Into a
/// payload goes what nobody takes for one.
fn give_up(io: &mut RdbWriter<'_>, error: &Error) {
    let is_file = ENGINE.with(|engine| engine.writes_a_file()) == Ok(true);
    let name = io.key().unwrap_or_default().escape_ascii();
    let place = io
        .db()
        .map_or(String::new(), |db| format!(" of database {db}"));
    let without = if is_file {
        "nor the file that was to have it, until the key is deleted; PM.CHECK names all such keys"
    } else {
        "nor sent"
    };
    report::warn(&format!(
        "the key {name}{place} cannot be saved, {without}: {error}"
    ));
    end_child();
    if !is_file {
        serialize::save_nothing(io);
    } else if !io.fail() {
        // On an unknown server: the file says that the key was there.
        serialize::save_head(io, &serialize::Form::marker(), false);
    }
}

/// Whether something fails as the pool has no room for it.
fn is_no_room(error: &Error) -> bool {
    matches!(error, Error::Full(_) | Error::TooLarge(_))
}

impl Engine {
    /// In a fork child: reads give the pool as it was at the fork.
    pub(super) fn see_the_fork(&mut self) {
        if self.store.pool.is_snapshot() {
            self.store.pool.forget_copies();
        } else if server_flags().fork_child() {
            self.store.pool.enter_snapshot();
        }
    }

    /// Writes a key to a file or into a payload, or a marker of it.
    ///
    /// # Errors
    /// If the value is damaged. Nothing is written then, unless by a child, which can give its file
    /// up at any time: the server itself looks first.
    fn save(&mut self, io: &mut RdbWriter<'_>, ty: ValueType, addr: usize) -> Result<()> {
        let record = self.record_at(addr).ok_or_else(not_yet)?;
        let form = self.next_form(io.db().unwrap_or(0), record);
        if form.is_marker {
            serialize::save_head(io, &form, false);
            return Ok(());
        }
        let root = record::get(&self.store.pool, record)?.root;
        let inline = record::inline(&self.store.pool, record)?;
        if !self.store.pool.is_snapshot() {
            serialize::verify(&self.store.pool, ty, root, inline)?;
        }
        serialize::save_head(io, &form, structures::may_expire(ty, root));
        serialize::save(io, &self.store.pool, ty, root, inline)
    }

    /// Takes over a key that was read from a file, or notes that it is in the pool already; the
    /// address to show for it.
    fn load(
        &mut self,
        key: &[u8],
        db: i32,
        payload: serialize::Payload,
    ) -> std::result::Result<usize, LoadError> {
        let Some(value) = loading::value_of(self, payload)? else {
            self.pending.leave_marker(self.files.loads_aof);
            return Ok(PLACEHOLDER);
        };
        self.make_room();
        let record = self
            .store
            .make_from(key, db, KEY_NEVER, limits::all(), &value)?;
        Ok(self.store.pool.address_of(record))
    }
}
