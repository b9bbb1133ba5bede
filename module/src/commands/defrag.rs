//! PM.DEFRAG: shows how scattered the pool's free room is, and gathers it at once.

use crate::error::CmdError;
use crate::keyspace::{compact, with_engine};
use crate::redis::{Args, Collection, Ctx};
use std::time::Duration;
use store::number::parse_i64;

/// How long `NOW` takes at most unless it says so, and the longest it may say.
const DEFAULT_MS: u64 = 1000;
const MOST_MS: u64 = 60_000;

const NOT_NOW: CmdError = CmdError::text_only(
    "ERR nothing can be moved in a transaction or a script, while a child process saves, while files are loaded, or while writes are paused",
);

/// `PM.DEFRAG [STATUS | NOW [milliseconds]]`
pub(super) fn defrag(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let words = args.from(1);
    let mut words = words.iter();
    match words.next() {
        None => {}
        Some(word) if word.is(b"STATUS") => {}
        Some(word) if word.is(b"NOW") => {
            let budget = match words.next() {
                None => DEFAULT_MS,
                Some(ms) => parse_i64(ms.bytes())
                    .and_then(|ms| u64::try_from(ms).ok())
                    .filter(|ms| (1..=MOST_MS).contains(ms))
                    .ok_or(CmdError::OutOfRange)?,
            };
            if words.next().is_some() {
                return Err(CmdError::Syntax);
            }
            if !compact::compact_now(ctx, Duration::from_millis(budget)) {
                return Err(NOT_NOW);
            }
        }
        Some(_) => return Err(CmdError::Syntax),
    }
    if words.next().is_some() {
        return Err(CmdError::Syntax);
    }
    let status = with_engine(|engine| Ok(engine.compaction()))?;
    let figures = [
        (&b"scattered"[..], status.scatter.slots),
        (b"regainable", status.scatter.regainable),
        (b"wasted", status.scatter.wasted),
        (b"rounds", status.totals.rounds),
        (b"records-moved", status.totals.records),
        (b"bytes-moved", status.totals.bytes),
        (b"bytes-regained", status.totals.regained),
    ];
    ctx.reply_collection(Collection::Map, 1 + figures.len());
    ctx.reply_bulk(b"state");
    ctx.reply_bulk(status.state.word().as_bytes());
    for (name, figure) in figures {
        ctx.reply_bulk(name);
        ctx.reply_integer(i64::try_from(figure).unwrap_or(i64::MAX));
    }
    Ok(())
}
