//! What is done around handlers, which the layer above sets once: when a command fails, and before
//! and after one that writes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Ctx, MainCell, Refused};
use crate::error::CmdError;

/// What a command has come to so far that finds no room.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    /// How long it has waited.
    pub waited: Duration,
    /// How often it was tried again.
    pub again: u32,
}

/// What is done when a command fails.
pub struct OnFailure {
    /// Finds room in the pool, if there was none for the command; true if the command, which has
    /// changed nothing yet, is to be tried again.
    pub find_room: fn(&Ctx, Tried) -> bool,
    /// No room was found for the command: the error that it fails with.
    pub refused: fn(&Ctx) -> CmdError,
    /// Whether commands that write are refused, without a look at whether there is room: see
    /// [`refuse_writes`].
    pub refuses: fn() -> bool,
    /// Hears of the error before the client does.
    pub failed: fn(&CmdError),
}

static ON_FAILURE: MainCell<&'static OnFailure> = MainCell::empty();

/// Has commands that find no room be tried again, and failures be reported.
///
/// # Errors
/// Not on the main thread.
pub fn on_failure(what: &'static OnFailure) -> Result<(), Refused> {
    ON_FAILURE.replace(Some(what)).map(drop)
}

/// Commands that write may be refused.
static REFUSES: AtomicBool = AtomicBool::new(false);

/// Has commands that write be refused, as if they found no room, for as long as
/// [`OnFailure::refuses`] says so.
pub fn refuse_writes() {
    REFUSES.store(true, Ordering::Relaxed);
}

/// Whether [`refuses`] is to be asked.
#[inline]
pub(super) fn may_refuse() -> bool {
    REFUSES.load(Ordering::Relaxed)
}

/// Whether a command that writes is refused, which was to be looked at.
#[cold]
pub(super) fn refuses() -> bool {
    let refuses = ON_FAILURE.with(|what| *what);
    let refuses = refuses.is_ok_and(|what| (what.refuses)());
    REFUSES.store(refuses, Ordering::Relaxed);
    refuses
}

/// Tries a command again that has found no room, if some is found for it.
#[cold]
pub(super) fn try_with_room(
    ctx: &Ctx,
    command: impl Fn() -> Result<(), CmdError>,
) -> Result<(), CmdError> {
    let Ok(what) = ON_FAILURE.with(|what| *what) else {
        return Err(CmdError::PoolFull);
    };
    let start = Instant::now();
    let mut outcome = Err(CmdError::PoolFull);
    for again in 0.. {
        let waited = start.elapsed();
        if outcome != Err(CmdError::PoolFull)
            || !ctx.has_not_replied()
            || !(what.find_room)(ctx, Tried { waited, again })
        {
            break;
        }
        outcome = command();
    }
    match outcome {
        Err(CmdError::PoolFull) => Err((what.refused)(ctx)),
        other => other,
    }
}

/// The error of a command that is refused.
pub(super) fn refused(ctx: &Ctx) -> CmdError {
    match ON_FAILURE.with(|what| *what) {
        Ok(what) => (what.refused)(ctx),
        Err(_) => CmdError::PoolFull,
    }
}

/// Reports what a command has failed with.
#[cold]
pub(super) fn note_failure(error: &CmdError) {
    if let Ok(what) = ON_FAILURE.with(|what| *what) {
        (what.failed)(error);
    }
}

/// What is done before and after a command that writes, on servers that say nothing of what they
/// send.
pub struct Around {
    /// Before the handler.
    pub begins: fn(),
    /// After it, before its reply can leave.
    pub ends: fn(),
}

static AROUND: OnceLock<Around> = OnceLock::new();

/// What surrounds commands that write, if anything.
#[inline]
pub(super) fn around_writes() -> Option<&'static Around> {
    AROUND.get()
}

/// Has commands that write be surrounded, which were added before or come later. `false` if they
/// are already.
pub fn surround_writes(around: Around) -> bool {
    AROUND.set(around).is_ok()
}
