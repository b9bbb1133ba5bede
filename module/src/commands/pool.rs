//! PM.POOL: what is about the pool as a whole.

use crate::error::CmdError;
use crate::keyspace::note_pool;
use crate::redis::{Args, Ctx};

/// `PM.POOL SEEN number`
///
/// An AOF tells by this that the pool of that number had keys. From a client it does nothing.
pub fn pool(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    match args.from(1) {
        [word, number] if word.is(b"SEEN") => {
            if ctx.flags().loading() {
                note_pool(number.bytes());
            }
            ctx.reply_ok();
            Ok(())
        }
        _ => Err(CmdError::Syntax),
    }
}
