//! What is committed becomes durable, or is never acknowledged.
//!
//! With `durability disk` that can fail: a disk fails, or is full. The replies are then in the
//! server's buffers already, and stay there: all connections are closed. From then on, until the
//! disk takes it, commands that write are refused, native ones too, as those delete and rename PM
//! keys. Commands that read go on.
//!
//! | who writes | what becomes of it |
//! |---|---|
//! | a client, with a command of ours | it is refused before it begins |
//! | a client, with a native command | the command filter makes it a refusal, in front of its words |
//! | one that has queued it for EXEC, or waits, or that CLIENT PAUSE holds back: the filter has seen it before | its connection was closed, and should the server still run it, nobody hears of it |
//! | the server itself: what has expired, or is evicted | the pool follows, in memory |
//! | the master of this replica | the replica ends with the first that is not durable |

use super::following::{end_server, follows, is_replica, serves_writers};
use super::{ENGINE, Engine, cluster};
use crate::error::CmdError;
use crate::redis::{
    Arg, Ctx, FilterArgs, Identity, Latency, Reply, cut_connections, module_ctx, refuse_writes,
};
use crate::report;
use pobj::Error;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};

/// Something that was committed is not durable.
static TROUBLED: AtomicBool = AtomicBool::new(false);

/// What is put in front of a native command that is refused, if every user may run that: so the
/// server itself sees to it that the client is authenticated.
const REFUSAL: [&[u8]; 2] = [b"PM.POOL", b"REFUSE"];
/// Else: nobody is kept from this, authenticated or not.
const REFUSAL_FOR_ALL: [&[u8]; 1] = [b"PM.REFUSED"];

/// The error where the reason is not to be told, as it names files.
const NO_REASON: CmdError = CmdError::text_only(
    "MISCONF The pool cannot be made durable. Commands that may modify the data set are disabled. Please check the \
     server's log.",
);
/// The error for who is not authenticated, in the words of the server.
const NO_AUTH: CmdError = CmdError::text_only("NOAUTH Authentication required.");

impl Engine {
    /// Makes durable what was committed. False if that fails: then nothing of it is told to
    /// anybody.
    #[inline]
    pub(super) fn sync(&mut self) -> bool {
        let writes = self.store.pool.has_record();
        let _latency = writes.then(|| Latency::of(c"pm-sync"));
        let outcome = self.store.pool.sync();
        self.note_sync(outcome)
    }

    /// [`Engine::sync`], and what is to be done in the background.
    pub(super) fn tend(&mut self) {
        let outcome = self.store.pool.tend();
        self.note_sync(outcome);
    }

    /// After a change, before anybody is told of it: a commit does not say that it is not durable.
    #[inline]
    pub(super) fn note_failure(&mut self) {
        if self.store.pool.failure().is_some() {
            self.note_unwritten();
        }
    }

    #[cold]
    fn note_unwritten(&mut self) {
        // A replica ends with the first change that is not durable, whenever that comes.
        if is_troubled() && !is_replica() {
            return;
        }
        if self.store.pool.has_record() {
            self.sync();
        } else {
            // What failed is a checkpoint: all is durable, but what comes next may not be.
            self.note_sync(Ok(()));
        }
    }

    #[inline]
    fn note_sync(&mut self, outcome: pobj::Result<()>) -> bool {
        if outcome.is_ok()
            && !TROUBLED.load(Ordering::Relaxed)
            && self.store.pool.failure().is_none()
        {
            return true;
        }
        self.note_trouble(outcome)
    }

    #[cold]
    fn note_trouble(&mut self, outcome: pobj::Result<()>) -> bool {
        if outcome.is_err() || self.store.pool.failure().is_some() {
            cluster::give_up_import(self);
        }
        match (outcome, self.store.pool.failure()) {
            (Err(error), _) => {
                note(&error);
                false
            }
            (Ok(()), Some(why)) => {
                begin(why);
                true
            }
            (Ok(()), None) => {
                if TROUBLED.swap(false, Ordering::Relaxed) {
                    let line =
                        "what was committed is durable again: commands that write are served";
                    report::notice(line);
                }
                true
            }
        }
    }
}

/// What was committed is not durable, because of `error`: it is told to nobody.
pub(super) fn note(error: &Error) {
    if is_replica() {
        // It would acknowledge an offset of the replication stream that its pool does not have.
        end_server(&format!(
            "{error}: this replica cannot keep what its master sends. The server ends; it will sync again when it is \
             started and the disk takes writes"
        ));
    }
    // If the engine is in use, `note_trouble` has seen to it.
    let _ = ENGINE.with(cluster::give_up_import);
    begin(error);
}

/// A command has failed with this, and has changed nothing. Only a master's must not fail.
pub(super) fn note_refused(error: &Error) {
    if !is_replica() || follows() {
        note(error);
    }
}

/// From now on, nothing can be made durable, for this reason: commands that write are refused.
///
/// The connections of those that may have some in hand are closed: what is queued for EXEC, waits
/// for a key, or is held back by CLIENT PAUSE passes the command filter no more when it runs.
fn begin(why: impl Display) {
    refuse_writes();
    if TROUBLED.swap(true, Ordering::Relaxed) {
        return;
    }
    if serves_writers() {
        report::warn(&format!(
            "{why}. All connections are closed, so that nobody is told of changes that may be lost; commands that write are \
             refused"
        ));
        cut_connections();
    } else {
        report::warn(&format!(
            "{why}: this replica ends with the first change that it cannot keep"
        ));
    }
}

/// The server is a master from now on: what clients have queued for EXEC when it was one before
/// runs again.
pub(super) fn follow_promotion() {
    if is_troubled() {
        refuse_writes();
        cut_connections();
    }
}

/// Whether a command of ours that writes is refused before it does anything.
pub(super) fn refuses() -> bool {
    let fails = |engine: &mut Engine| engine.store.pool.failure().is_some();
    is_troubled() && !follows() && ENGINE.with(fails) == Ok(true)
}

/// Whether commands are to be looked at for being refused.
#[inline]
pub(super) fn is_troubled() -> bool {
    TROUBLED.load(Ordering::Relaxed)
}

/// Refuses a native command, that is about to run, if it writes; gives it back if it does not.
///
/// Not those of this replica's master, which must not be passed over. And not ours, which refuse
/// when the server has checked all else: that they have their arguments, and that the user may run
/// them.
pub(super) fn refuse(args: FilterArgs<'_>) -> Option<FilterArgs<'_>> {
    if follows() {
        return Some(args);
    }
    let name = args.get(0)?.bytes();
    if is_ours(name) || !writes(name) {
        return Some(args);
    }
    let everyone = module_ctx().is_some_and(|ctx| ctx.everyone_may_run(&REFUSAL));
    let refusal: &[&[u8]] = if everyone { &REFUSAL } else { &REFUSAL_FOR_ALL };
    args.put_in_front(refusal);
    let _ = ENGINE.with(cluster::give_up_import);
    None
}

/// Whether a command of this name is the module's.
fn is_ours(name: &[u8]) -> bool {
    name.get(..3)
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"pm."))
}

/// Whether the server says of a command that it writes.
fn writes(name: &[u8]) -> bool {
    // It is asked by this one, which passes here too.
    if name.eq_ignore_ascii_case(b"command") {
        return false;
    }
    let reply = module_ctx().and_then(|ctx| ctx.call(c"COMMAND", &[b"INFO", name]));
    let Some(Reply::Array(commands)) = reply else {
        return false;
    };
    let Some(Reply::Array(command)) = commands.into_iter().next() else {
        return false;
    };
    let Some(Reply::Array(flags)) = command.into_iter().nth(2) else {
        return false;
    };
    flags.contains(&Reply::Text(b"write".to_vec()))
}

/// The error of a native command of these words, which is refused: that its user may not run it, as
/// the server would say, or why nobody may. For clients that are authenticated.
pub fn refusal_of(ctx: &Ctx, command: &[Arg<'_>]) -> CmdError {
    ctx.denial(command).unwrap_or_else(refusal)
}

/// [`refusal_of`], for whoever it is: the reason is not for who may not be authenticated.
pub fn refusal_for_anyone(ctx: &Ctx, command: &[Arg<'_>]) -> CmdError {
    match ctx.identity() {
        Identity::NotShown => NO_AUTH,
        Identity::Unclear => NO_REASON,
        Identity::Shown => refusal_of(ctx, command),
    }
}

/// The error of a command that is refused.
pub(super) fn refusal() -> CmdError {
    let why = ENGINE.with(|engine| engine.store.pool.failure().map(str::to_owned));
    match why {
        Ok(Some(why)) => Error::NotDurable(why).into(),
        _ => CmdError::Syntax,
    }
}

/// Makes the pool's file hold the whole pool.
///
/// # Errors
/// What was committed is not durable, or the file cannot be written: this alone is no trouble.
pub fn checkpoint() -> Result<(), CmdError> {
    super::with_engine(|engine| {
        let outcome = engine.store.pool.checkpoint();
        let synced = match &outcome {
            Err(Error::State(_)) => Ok(()),
            other => other.clone(),
        };
        engine.note_sync(synced);
        Ok(outcome?)
    })
}
