//! PM.CHECK: looks whether values hold what their structures promise.

use crate::error::CmdError;
use crate::keyspace::{check_all, check_value};
use crate::redis::{Args, Collection, Ctx, Kind, Mode};

/// Damaged keys that a reply names.
const NAMED_MAX: usize = 100;

/// `PM.CHECK [key]`
///
/// With a key: OK, or an error that says what is damaged. O(elements). Without: how many keys of the pool, of all
/// databases, are sound and how many damaged, and the names of the first of these; empty for a name that cannot be
/// read. O(pool), while which nobody else is served.
pub fn check(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    match args.from(1) {
        [] => check_pool(ctx),
        [name] => {
            match ctx.open(*name, Mode::Peek).kind() {
                Kind::Pm(_, addr) => check_value(addr)?,
                Kind::Absent => return Err(CmdError::NoSuchKey),
                Kind::Other => return Err(CmdError::WrongType),
            }
            ctx.reply_ok();
            Ok(())
        }
        _ => Err(CmdError::WrongArity),
    }
}

fn check_pool(ctx: &Ctx) -> Result<(), CmdError> {
    let mut names = Vec::new();
    let (sound, damaged) = check_all(|name| {
        if names.len() < NAMED_MAX {
            names.push(name.to_vec());
        }
    })?;
    ctx.reply_collection(Collection::Map, 3);
    ctx.reply_bulk(b"sound");
    ctx.reply_integer(sound as i64);
    ctx.reply_bulk(b"damaged");
    ctx.reply_integer(damaged as i64);
    ctx.reply_bulk(b"names");
    ctx.reply_array(names.len());
    names.iter().for_each(|name| ctx.reply_bulk(name));
    Ok(())
}
