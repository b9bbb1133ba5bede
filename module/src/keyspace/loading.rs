//! Redis loads an RDB or an AOF, or a full sync: whether the pool takes PM keys from it.
//!
//! It does if it has never had a key (a backup is being restored), or if a full sync replaces what there
//! was. Else the pool is the truth, and what the file says of PM keys is passed over.
//!
//! A take-over that did not come to its end is undone at the next start, so that a part of a backup is
//! never mistaken for the whole: a word in the pool tells of it.
//!
//! DEBUG RELOAD and DEBUG LOADAOF empty the keyspace and load a file, which need not have the values: the
//! pool keeps its keys meanwhile, and the keyspace is filled from it afterwards, as at a start.

use super::dbs::Dbs;
use super::moment::Moment;
use super::serialize::{Loaded, Payload};
use super::{Engine, durable};
use crate::SETTINGS;
use crate::config::Orphans;
use crate::redis::{Arg, Ctx, FilterArgs, Level, Loading, failed_while_loading, log, server_flags};
use pobj::{Error, Result};

/// What the start of the server has to know of the file that Redis loads.
pub struct Startup {
    /// The moment at which the pool was found.
    found: Moment,
    /// The pool had never had a key.
    is_new: bool,
    /// Redis has loaded an RDB, from which it knows its offset in the replication.
    has_offset: bool,
    /// The moment of which the file is.
    moment: Option<Moment>,
    /// The pool has taken all keys from the file.
    took: bool,
    /// Keys of the file whose values are nowhere.
    orphans: u64,
}

impl Startup {
    /// The start of a server with a pool found at that moment.
    pub fn new(found: Moment, is_new: bool) -> Startup {
        Startup {
            found,
            is_new,
            has_offset: false,
            moment: None,
            took: false,
            orphans: 0,
        }
    }

    /// True if the pool is what it was when the file was made.
    fn is_of_one_moment(&self) -> bool {
        self.orphans == 0 && (self.took || self.moment == Some(self.found))
    }
}

/// Loading begins.
pub(super) fn starts(engine: &mut Engine, from: Loading) -> Result<()> {
    engine.loads_aof = from == Loading::Aof;
    if let Some(startup) = &mut engine.startup {
        startup.has_offset = from == Loading::Rdb;
    }
    if engine.reloading {
        engine.hide();
        return Ok(());
    }
    engine.take_loaded = from == Loading::Replication
        || engine.filled
        || engine.take_loaded
        || engine.dbs.is_unused();
    if engine.take_loaded {
        Dbs::set_taking_over(&mut engine.pool, true)?;
    }
    Ok(())
}

/// Loading is over.
pub(super) fn ends(engine: &mut Engine, complete: bool) -> Result<()> {
    if complete && engine.take_loaded {
        if let Some(startup) = &mut engine.startup {
            startup.took = true;
        }
        end_take_over(engine)?;
    }
    let failed = failed_while_loading() - engine.failed_while_loading;
    if failed > 0 {
        engine.failed_while_loading += failed;
        log(
            Level::Warning,
            &format!(
                "{failed} PM commands in the loaded file were passed over: PM keys are loaded from \
                 the pool only"
            ),
        );
    }
    Ok(())
}

/// What there is in the pool now is the truth.
pub(super) fn end_take_over(engine: &mut Engine) -> Result<()> {
    engine.take_loaded = false;
    match Dbs::is_taking_over(&engine.pool)? {
        true => Dbs::set_taking_over(&mut engine.pool, false),
        false => Ok(()),
    }
}

/// The value that the pool takes over from a file, or from RESTORE; `None` for a key that is, or was, in
/// the pool.
pub(super) fn value_of(engine: &mut Engine, payload: Payload) -> Result<Option<Loaded>> {
    if !server_flags().loading() && (payload.moment.is_some() || payload.value.is_none()) {
        return Err(Error::State("a payload made for a file".into()));
    }
    if let Some(startup) = &mut engine.startup {
        startup.moment = startup.moment.or(payload.moment);
    }
    if !engine.is_shown() {
        return Ok(None);
    }
    if payload.value.is_none() {
        lose(engine)?;
    }
    Ok(payload.value)
}

/// A key was to be taken over whose value is not in the file.
fn lose(engine: &mut Engine) -> Result<()> {
    let startup = engine
        .startup
        .as_mut()
        .ok_or_else(|| Error::State("there is a marker instead of a value".into()))?;
    if startup.is_new && SETTINGS.with(|settings| settings.orphans) != Ok(Orphans::Drop) {
        return Err(Error::State(
            "the file has markers of PM keys, whose values are in the pool of the server that made it; \
             this pool is new. Is 'path' right? To start without these keys, load the module with \
             'orphans drop'"
                .into(),
        ));
    }
    startup.orphans += 1;
    Ok(())
}

/// Undoes a take-over that was interrupted, at the start of the server.
pub(super) fn undo_interrupted(engine: &mut Engine) -> Result<()> {
    if !Dbs::is_taking_over(&engine.pool)? {
        return Ok(());
    }
    log(
        Level::Warning,
        "the pool was taking over the keys of a file or of a master when its server died: what it \
         has of them is dropped, to be loaded again",
    );
    engine.take_loaded = true;
    engine.dbs.flush(&mut engine.pool, None)?;
    engine.start_sweep();
    Ok(())
}

/// Redis has loaded what it wanted, at the start, and the keyspace is about to be filled.
pub(super) fn settle(ctx: &Ctx) {
    let mut forgets = false;
    durable("the end of loading", |engine| {
        if let Some(startup) = engine.startup.take() {
            forgets = startup.has_offset && !startup.is_of_one_moment();
            if startup.orphans > 0 {
                log(
                    Level::Warning,
                    &format!(
                        "{} PM keys are lost: the loaded file has markers of them, and the pool, \
                         which is new, or was being replaced, not their values",
                        startup.orphans
                    ),
                );
            }
            end_take_over(engine)?;
        }
        Ok(())
    });
    if !forgets {
        return;
    }
    log(
        Level::Notice,
        "the RDB is not of the moment at which the pool was left: the replication offset in it is \
         forgotten, and masters and replicas will begin with a full sync",
    );
    if let Err(why) = ctx.forget_offset() {
        log(
            Level::Warning,
            &format!(
                "the replication offset of the RDB cannot be forgotten, and commands could be done \
                 twice ({why}): remove the RDB file, or let these commands have their names"
            ),
        );
        std::process::exit(1);
    }
}

impl Engine {
    /// The keyspace does not show the pool's keys, until it is filled again.
    pub(super) fn hide(&mut self) {
        self.filled = false;
        self.filling = None;
        self.dbs.forget_counts();
    }
}

/// True for a command that loads a file in place of what there is.
pub(super) fn is_reload(name: &[u8], args: &FilterArgs<'_>) -> bool {
    const RELOADS: [&[u8]; 2] = [b"reload", b"loadaof"];
    let is_one = |first: Arg<'_>| {
        let first = first.bytes();
        RELOADS.iter().any(|word| first.eq_ignore_ascii_case(word))
    };
    name.eq_ignore_ascii_case(b"debug") && args.get(1).is_some_and(is_one)
}

/// A command is about to run, which is such a reload or not.
pub(super) fn note_reload(engine: &mut Engine, reloads: bool) {
    // While it loads, other clients' commands are seen as well, only to be refused.
    if engine.reloading != reloads && engine.filled && !server_flags().in_multi_or_script() {
        engine.reloading = reloads;
    }
}
