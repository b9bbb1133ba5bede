//! PM.POOL: subcommands for the pool as a whole.

use crate::error::CmdError;
use crate::keyspace::{
    checkpoint, fill, follow_undo, grow, note_pool, refusal_for_anyone, refusal_of,
};
use crate::redis::{Args, Ctx, spares_replicas};

/// `PM.POOL CHECKPOINT | GROW [bytes] | SEEN number`
///
/// CHECKPOINT waits until the pool's file alone holds the whole pool, until the next change: with
/// `durability disk` the latest changes are else in the journal beside it. O(pages changed since
/// the last checkpoint).
///
/// GROW makes the pool larger, by so many bytes (with units, as the arguments of the module) or by
/// a step of its own, and replies with its new size.
///
/// By SEEN an AOF tells that the pool of that number had keys. From a client it does nothing. A
/// native command that is refused, as its changes could not be made durable, has `PM.POOL REFUSE`
/// in front, or [`refused`]. `PM.POOL ABANDON` tells a replica that its master has taken back what
/// came before it in the same transaction.
pub(super) fn pool(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    match args.from(1) {
        [word, number] if word.is(b"SEEN") => {
            if ctx.flags().loading() {
                note_pool(number.bytes());
            }
            ctx.reply_ok();
            Ok(())
        }
        [word, bytes @ ..] if word.is(b"GROW") && bytes.len() < 2 => {
            let size = grow(bytes.first().map(|bytes| bytes.bytes()))?;
            ctx.reply_integer(i64::try_from(size).unwrap_or(i64::MAX));
            Ok(())
        }
        [word] if word.is(b"CHECKPOINT") => {
            // The file is to stay as it is, and showing a key can end an older record of it.
            if spares_replicas() {
                fill::complete();
            }
            checkpoint()?;
            ctx.reply_ok();
            Ok(())
        }
        [word, command @ ..] if word.is(b"REFUSE") => Err(refusal_of(ctx, command)),
        [word] if word.is(b"ABANDON") && ctx.flags().replicated() => {
            follow_undo(ctx);
            ctx.reply_ok();
            Ok(())
        }
        _ => Err(CmdError::Syntax),
    }
}

/// `PM.REFUSED command [argument ...]`: why a native command that writes is refused. The command
/// filter puts it in front of that if a user may not run `PM.POOL`.
pub(super) fn refused(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    Err(refusal_for_anyone(ctx, args.from(1)))
}
