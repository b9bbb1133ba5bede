//! Redis loads an RDB or an AOF, or a full sync: whether the pool takes PM keys from it.
//!
//! It does if it has never had a key (a backup is being restored), or if a full sync replaces what
//! there was. Else the pool is the truth, and what the file says of PM keys is passed over.
//!
//! A take-over that did not come to its end is undone at the next start, so that a part of a backup
//! is never mistaken for the whole: a word in the pool tells of it. One from a file begins again
//! then, or the server does not start: so the file stays what it is until the pool has all of it.
//!
//! DEBUG RELOAD and DEBUG LOADAOF empty the keyspace and load a file, which need not have the
//! values: the pool keeps its keys meanwhile, and the keyspace is filled from it afterwards, as at
//! a start.

use super::following::end_server;
use super::load_error::LoadError;
use super::serialize::Payload;
use super::startup::Startup;
use super::{ENGINE, Engine, apply, beside, durable};
use crate::SETTINGS;
use crate::config::Orphans;
use crate::redis::{
    Arg, Ctx, FilterArgs, Loading, RdbBytes, failed_while_loading, server_flags, translates_stream,
};
use crate::report;
use pobj::{Error, Result};
use store::content::Content;
use store::dbs::{Dbs, Origin};

/// Loading begins.
pub(super) fn starts(engine: &mut Engine, from: Loading) -> Result<()> {
    if let Some(startup) = &mut engine.files.startup {
        startup.depth += 1;
        if startup.depth > 1 {
            return Ok(());
        }
        startup.has_offset = from == Loading::Rdb;
    }
    engine.files.loads_aof = from == Loading::Aof;
    if engine.life.reloads() {
        engine.hide();
        return Ok(());
    }
    let takes_over = from == Loading::Replication
        || engine.life.shows_keys()
        || engine.life.takes_over()
        || engine.store.dbs.is_unused();
    if takes_over {
        engine.life.begin_take_over();
        let origin = match from {
            Loading::Replication => Origin::Master,
            Loading::Rdb | Loading::Aof => Origin::File,
        };
        Dbs::set_taking_over(&mut engine.store.pool, Some(origin))?;
    }
    Ok(())
}

/// Loading is over.
pub(super) fn ends(engine: &mut Engine, complete: bool) -> Result<()> {
    if let Some(startup) = &mut engine.files.startup {
        startup.depth = startup.depth.saturating_sub(1);
        if startup.depth > 0 {
            return Ok(());
        }
    }
    if complete && engine.life.takes_over() {
        if let Some(startup) = &mut engine.files.startup {
            startup.took = true;
        }
        end_take_over(engine)?;
    }
    let failed = failed_while_loading() - engine.files.failed_commands;
    if failed > 0 {
        engine.files.failed_commands += failed;
        report::warn(&format!(
            "{failed} PM commands in the loaded file were passed over: PM keys are loaded from \
                 the pool only"
        ));
    }
    Ok(())
}

/// What there is in the pool now is the truth.
pub(super) fn end_take_over(engine: &mut Engine) -> Result<()> {
    engine.life.end_take_over();
    match Dbs::taking_over(&engine.store.pool)? {
        Some(_) => Dbs::set_taking_over(&mut engine.store.pool, None),
        None => Ok(()),
    }
}

/// The value that the pool takes over from a file, or from RESTORE; `None` for a key that is, or
/// was, in the pool.
pub(super) fn value_of(
    engine: &mut Engine,
    payload: Payload,
) -> std::result::Result<Option<Content<RdbBytes>>, LoadError> {
    if !server_flags().loading() && (payload.lsn.is_some() || payload.value.is_none()) {
        return Err(Error::State("a payload made for a file".into()).into());
    }
    if !server_flags().loading() && server_flags().master() && translates_stream() {
        return Err(Error::State(
            "with 'rdb native', replicas need not have the module, and RESTORE of a PM key's payload would mean nothing to them: \
             use the payload of PM.EXPORT"
                .into(),
        )
        .into());
    }
    if let Some(startup) = &mut engine.files.startup {
        startup.lsn = startup.lsn.or(payload.lsn);
    }
    if !engine.is_shown() {
        if let (Some(startup), Some(_)) = (&engine.files.startup, &payload.value) {
            beside::refuse_unknown(engine, startup)?;
        }
        return Ok(None);
    }
    if payload.value.is_none() {
        lose(engine, 1 + payload.others)?;
    }
    Ok(payload.value)
}

/// Keys were to be taken over whose values are not in the file.
fn lose(engine: &mut Engine, keys: u64) -> std::result::Result<(), LoadError> {
    let startup = engine
        .files
        .startup
        .as_mut()
        .ok_or_else(|| Error::State("there is a marker instead of a value".into()))?;
    // A replica gets them from its master, which is not told of an offset then.
    let is_replica = server_flags().replica();
    if startup.is_new
        && !is_replica
        && SETTINGS.with(|settings| settings.orphans) != Ok(Orphans::Drop)
    {
        return Err(LoadError::Refused(
            "the file has markers of PM keys, whose values are in the pool of the server that made it; \
             this pool is new. Is 'path' right? To start without these keys, load the module with \
             'orphans drop'"
                .into(),
        ));
    }
    startup.orphans = startup.orphans.saturating_add(keys);
    Ok(())
}

/// Undoes a take-over that was interrupted, at the start of the server.
pub(super) fn undo_interrupted(engine: &mut Engine) -> Result<()> {
    let Some(origin) = engine.store.undo_take_over()? else {
        return Ok(());
    };
    if let Some(startup) = &mut engine.files.startup {
        startup.had_part = origin == Origin::File;
        startup.is_new |= startup.had_part;
    }
    report::warn(
        "the pool was taking over the keys of a file or of a master when its server died: what it \
         has of them is dropped, to be loaded again",
    );
    engine.life.begin_take_over();
    Ok(())
}

/// Redis has loaded what it wanted, at the start, and the keyspace is about to be filled.
pub(super) fn end_loading(ctx: &Ctx) {
    let waits_for_file = ENGINE.with(|engine| {
        let had_part = |startup: &Startup| startup.had_part && !startup.took;
        engine.files.startup.as_ref().is_some_and(had_part)
    });
    if waits_for_file == Ok(true) {
        end_server(
            "the pool had begun to take over the keys of a file, which is not there any more: put it back, \
             or remove the pool, which has none of them, to start without them",
        );
    }
    let is_of_another_pool = ENGINE.with(|engine| {
        let startup = engine.files.startup.as_ref();
        startup.is_some_and(|startup| engine.aof_is_of_another_pool(startup))
    });
    if is_of_another_pool == Ok(true)
        && !server_flags().replica()
        && SETTINGS.with(|settings| settings.orphans) != Ok(Orphans::Drop)
    {
        apply("the end of the start", Engine::withdraw);
        end_server(
            "the AOF tells of a pool with keys, which is not this one. Is 'path' right, is its device mounted? To \
             start without the keys of that pool, load the module with 'orphans drop'",
        );
    }
    let mut forgets = false;
    durable("the end of loading", |engine| {
        engine.store.pool.keep();
        if let Some(startup) = engine.files.startup.take() {
            forgets = startup.has_offset && !startup.lsn_matches();
            if startup.orphans > 0 {
                report::warn(&format!(
                    "{} PM keys are lost: the loaded file has markers of them, and the pool, \
                         which is new, or was being replaced, not their values",
                    startup.orphans
                ));
            }
            end_take_over(engine)?;
        }
        Ok(())
    });
    beside::note_rdb();
    if !forgets {
        return;
    }
    report::notice(
        "the RDB is not of the state in which the pool was left: the replication offset in it is \
         forgotten, and masters and replicas will begin with a full sync",
    );
    if let Err(why) = ctx.forget_offset() {
        end_server(&format!(
            "the replication offset of the RDB cannot be forgotten, and commands could be done \
             twice ({why}): remove the RDB file, or let these commands have their names"
        ));
    }
}

impl Engine {
    /// The keyspace does not show the pool's keys, until it is filled again.
    pub(super) fn hide(&mut self) {
        self.life.hide();
        self.filling = None;
        self.store.hide();
    }
}

/// True for a DEBUG that loads a file in place of what there is.
pub(super) fn is_reload(args: &FilterArgs<'_>) -> bool {
    const RELOADS: [&[u8]; 2] = [b"reload", b"loadaof"];
    let is_one = |first: Arg<'_>| {
        let first = first.bytes();
        RELOADS.iter().any(|word| first.eq_ignore_ascii_case(word))
    };
    args.get(1).is_some_and(is_one)
}

/// A command is about to run, which is such a reload or not.
pub(super) fn note_reload(engine: &mut Engine, reloads: bool) {
    // While it loads, other clients' commands are seen as well, only to be refused.
    if engine.life.reloads() != reloads && !server_flags().in_multi_or_script() {
        engine.life.ask_reload(reloads);
    }
}
