//! What becomes of failures that no caller is left to be told of: the one place that decides
//! whether they are logged or counted, or end the server.
//!
//! Everything below returns its errors as values: no `?` logs, counts or ends anything. They come
//! here where there is no caller left to return them to: at the end of a command ([`of_command`]),
//! of a callback of Redis's ([`of_callback`]), of a key's loading ([`of_loading`]), and of what
//! follows what Redis has done already ([`durable`], or [`apply`] where nothing of that is to
//! become durable). The start, and work in the background, tell the log themselves what they could
//! not do, through [`report`].

use super::following::{end_server, follows, loads_a_file};
use super::life::Life;
use super::load_error::LoadError;
use super::{ENGINE, Engine, arriving, cluster, fullness, undurable};
use crate::error::CmdError;
use crate::redis::Refused;
use crate::report;
use pobj::Error;
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use store::unshown::UnshownKey;

/// Commands that failed for what is in the pool or in the system.
static FAILED: AtomicU64 = AtomicU64::new(0);

/// Since the start: commands that found no room, and those that failed for what is in the pool or
/// in the system.
pub fn failures() -> (u64, u64) {
    (fullness::refusals(), FAILED.load(Ordering::Relaxed))
}

/// A command has failed, and its client is about to be told.
pub(super) fn of_command(error: &CmdError) {
    match error {
        CmdError::PoolFull => {
            end_if_following();
            give_up_import_of_command();
            fullness::refused();
        }
        CmdError::Pool(error) if matches!(**error, Error::NotDurable(_)) => {
            undurable::note_refused(error);
        }
        CmdError::Pool(error) => {
            give_up_import_of_command();
            FAILED.fetch_add(1, Ordering::Relaxed);
            report::failure("a command failed", error);
        }
        _ => {}
    }
}

/// A command that has failed may be one of an import of hash slots: then its key lies in one of
/// these. What fails of other keys, their clients are told.
fn give_up_import_of_command() {
    if arriving::arrives() {
        apply("giving up an import", cluster::give_up_import);
    }
}

/// Runs `f` with the engine for a callback of Redis's, which cannot be told of a failure.
pub(super) fn of_callback<R>(
    what: &str,
    f: impl FnOnce(&mut Engine) -> pobj::Result<R>,
) -> Option<R> {
    match ENGINE.with(|engine| noted(engine, |engine| following(engine, f))) {
        Ok(Ok(value)) => Some(value),
        Ok(Err(error)) => {
            failed(what, error);
            None
        }
        Err(refused) => {
            unreachable(what, refused);
            None
        }
    }
}

/// Runs `f`, which loads this key of a file or of another server, with the engine, for a callback
/// of Redis's.
pub(super) fn of_loading<R>(
    key: &[u8],
    f: impl FnOnce(&mut Engine) -> std::result::Result<R, LoadError>,
) -> Option<R> {
    let load = |engine: &mut Engine| f(engine).map_err(|error| not_loaded(engine, key, error));
    match ENGINE.with(|engine| noted(engine, load)) {
        Ok(loaded) => loaded.ok(),
        Err(refused) => {
            unreachable("loading a key", refused);
            None
        }
    }
}

fn not_loaded(engine: &mut Engine, key: &[u8], error: LoadError) {
    match error {
        LoadError::Refused(why) => {
            engine.withdraw();
            end_server(&why)
        }
        LoadError::Pool(error) => {
            of_change(engine, &error);
            if engine.is_arriving(key) {
                cluster::give_up_import(engine);
            }
            if let Error::NotDurable(_) = error {
                undurable::note_refused(&error);
            }
            if matches!(error, Error::Full(_) | Error::TooLarge(_)) {
                if engine.life == Life::TakingOver {
                    let size = engine.store.pool.usage().size;
                    end_server(&format!(
                        "the keys of the file do not fit into the pool of {size} bytes: remove the pool, which has a part of \
                         them, and give a larger 'size'"
                    ));
                }
                // Who restores a key is refused as any command is; of a file, only the log tells.
                if !loads_a_file() {
                    return;
                }
            }
            failed("loading a key", error);
        }
    }
}

/// A change has failed that only a master can have sent, if this is a replica. In a transaction
/// that its master has taken back it is no change: it has failed there, too.
pub(super) fn of_change(engine: &Engine, error: &Error) {
    if matches!(error, Error::Full(_)) && !engine.store.pool.refuses_group() {
        end_if_following();
    }
}

/// A command has found no room in a group that had failed before. What that means was decided then;
/// and to a replica whose master has taken the group back, it means nothing.
pub(super) fn of_refused_group() {
    if !follows() {
        fullness::refused();
    }
}

/// Runs `f` with the engine; a failure leaves the pool behind what Redis shows, which only the log
/// can tell.
pub(super) fn durable(what: &str, f: impl FnMut(&mut Engine) -> pobj::Result<()>) {
    done(what, |engine| engine.must(f));
}

/// [`durable`] of what the server has done to keys, which gives what `f` gives: a replica whose
/// pool has no room for it ends.
pub(super) fn followed<R>(what: &str, f: impl FnMut(&mut Engine) -> pobj::Result<R>) -> Option<R> {
    done(what, |engine| {
        let outcome = engine.must(f);
        if let Err(error) = &outcome {
            of_change(engine, error);
        }
        outcome
    })
}

fn done<R>(what: &str, f: impl FnOnce(&mut Engine) -> pobj::Result<R>) -> Option<R> {
    match ENGINE.with(|engine| noted(engine, |engine| following(engine, f))) {
        Ok(Ok(value)) => Some(value),
        Ok(Err(error)) => {
            report::failure(format_args!("{what} is not durable"), &error);
            if let Error::NotDurable(_) = error {
                undurable::note(&error);
            }
            None
        }
        Err(refused) => {
            report::failure(
                format_args!("{what} is not durable"),
                format_args!("{refused:?}"),
            );
            None
        }
    }
}

/// Runs `f`, which has no failure to tell of, with the engine: it is about the memory of the
/// process, or sees to what fails itself.
#[inline]
pub(super) fn apply(what: &str, f: impl FnOnce(&mut Engine)) {
    if let Err(refused) = ENGINE.with(f) {
        unreachable(what, refused);
    }
}

/// [`Store::leave_out`](store::Store::leave_out) from where a failure can only be logged.
pub(super) fn leave_out_quietly(found: &UnshownKey) {
    durable("the end of a stale record", |engine| {
        engine.store.leave_out(found)
    });
}

/// What `f` does to follow what the server has done already: the pool does not fall behind that,
/// though nothing may be durable for now.
fn following<R>(engine: &mut Engine, f: impl FnOnce(&mut Engine) -> R) -> R {
    engine.store.pool.follow_always(true);
    let done = f(engine);
    engine.store.pool.follow_always(false);
    done
}

/// What `f` does; if that cannot be made durable, nobody is told of it.
#[inline]
fn noted<R>(engine: &mut Engine, f: impl FnOnce(&mut Engine) -> R) -> R {
    let done = f(engine);
    engine.note_failure();
    done
}

fn failed(what: &str, why: impl Display) {
    report::failure(format_args!("{what} failed"), &why);
}

/// The engine is in use further up the stack, which is a mistake of ours.
#[cold]
fn unreachable(what: &str, refused: Refused) {
    failed(
        what,
        format_args!("the engine cannot be reached: {refused:?}"),
    );
}

/// Runs `f` with the engine.
///
/// # Errors
/// What `f` fails with; `Internal` if the engine is in use further up the stack, which is a mistake
/// of ours.
#[inline]
pub fn with_engine<R>(f: impl FnOnce(&mut Engine) -> Result<R, CmdError>) -> Result<R, CmdError> {
    let outcome = ENGINE.with(|engine| noted(engine, f));
    outcome.unwrap_or_else(|refused| {
        unreachable("a command", refused);
        Err(CmdError::Internal)
    })
}

/// Ends the server, if it is its master's change that has found no room in the pool.
///
/// A replica must not go on then: it would acknowledge an offset of the replication stream that its
/// pool does not have, and could be promoted with it. It cannot ask for a full sync either, which
/// would only fail again, as fast as the network allows.
fn end_if_following() {
    if follows() {
        end_server(
            "the pool is full: this replica cannot hold what its master has. The server ends, rather than \
             to follow with keys missing. Give it a larger pool (remove the old one and its journal): it will sync again",
        );
    }
}
