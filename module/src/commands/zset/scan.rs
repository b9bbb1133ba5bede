//! ZSCAN.

use super::TY;
use crate::behaviour::Behaviour;
use crate::commands::scan::{self, Scan, Scanned};
use crate::error::CmdError;
use crate::redis::{Args, Ctx, OwnedString};
use store::number::double_to_text;
use store::structures::zset;

/// `PM.ZSCAN key cursor [MATCH pattern] [COUNT count] [NOSCORES]`
pub(super) fn zscan(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let Some(scan) = Scan::begin(ctx, args, TY, Scanned::ZSet)? else {
        return Ok(());
    };
    let options = &scan.options;
    scan.key.read(|pool, root| {
        let (next, found) = scan.run(
            |cursor, visit| zset::scan(pool, root, cursor, |name, score| visit((name, score))),
            |&(name, _)| options.admits(name),
        )?;
        let replies = if options.names_only { 1 } else { 2 };
        scan::reply_head(ctx, next, replies * found.len());
        let packed = zset::is_packed(root);
        for (name, score) in found {
            ctx.reply_bulk(name);
            if options.names_only {
                continue;
            }
            if packed && Behaviour::SmallScoresAreShort.here() {
                ctx.reply_arg(OwnedString::of_double(score).arg());
            } else {
                ctx.reply_bulk(score_text(score, packed).as_bytes());
            }
        }
        Ok(())
    })
}

/// A score as ZSCAN shows it, here only as text: in a listpack Redis keeps whole numbers as
/// integers, so that large ones show no exponent.
fn score_text(score: f64, packed: bool) -> String {
    const LIMIT: f64 = (i64::MAX / 2) as f64;
    if packed && score.abs() <= LIMIT && score.trunc() == score {
        return (score as i64).to_string();
    }
    double_to_text(score)
}
