//! Redis loads an RDB or an AOF, or a full sync: whether the pool takes PM keys from it.
//!
//! It does if it has never had a key (a backup is being restored), if a full sync replaces what there
//! was, or if a flush came before (DEBUG RELOAD). Else the pool is the truth, and what the file says of
//! PM keys is passed over.
//!
//! A take-over that did not come to its end is undone at the next start, so that a part of a backup is
//! never mistaken for the whole: a word in the pool tells of it.

use super::Engine;
use super::dbs::Dbs;
use crate::redis::{Level, Loading, failed_while_loading, log};
use pobj::Result;

/// Loading begins.
pub(super) fn starts(engine: &mut Engine, from: Loading) -> Result<()> {
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
        Dbs::set_taking_over(&mut engine.pool, false)?;
        engine.take_loaded = false;
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
