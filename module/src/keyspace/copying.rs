//! COPY, whose failure for want of room Redis does not know.

use super::with_engine;
use crate::error::CmdError;

/// Runs `copy`, which has the server copy a key, and gets what tells whether that failed for want
/// of room: Redis does not know.
pub fn copying<R>(copy: impl FnOnce(fn() -> Option<CmdError>) -> R) -> R {
    let set = |copies| {
        with_engine(|engine| {
            engine.pending.note_copying(copies);
            Ok(())
        })
    };
    let begun = set(true);
    let result = copy(|| {
        let failed = with_engine(|engine| Ok(engine.pending.lacked_room()));
        (failed == Ok(true)).then_some(CmdError::PoolFull)
    });
    let ended = set(false);
    debug_assert!(begun.and(ended).is_ok(), "no command runs within another");
    result
}
