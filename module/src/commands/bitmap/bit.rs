//! SETBIT and GETBIT.

use super::string::{read, write_range};
use super::{TY, bit_number};
use crate::commands::announce::announce_and_replicate;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Args, Class, Ctx};
use store::bits;
use store::number::parse_i64;

/// `PM.SETBIT key offset value`
pub(super) fn setbit(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let (at, mask) = bits::place(bit_number(ctx, args[2], None)?);
    let on = match parse_i64(args[3].bytes()) {
        Some(0) => false,
        Some(1) => true,
        _ => {
            return Err(CmdError::text_only(
                "ERR bit is not an integer or out of range",
            ));
        }
    };
    let mut key = PmKey::open_write(ctx, args[1], TY)?;
    let old = byte(&key, at)?;
    let before = old.unwrap_or(0);
    let after = if on { before | mask } else { before & !mask };
    if old != Some(after) {
        write_range(&mut key, at, &[after])?;
        announce_and_replicate(
            ctx,
            &key,
            (Class::STRING, c"setbit"),
            (c"PM.SETBIT", args.from(1)),
        );
    }
    ctx.reply_integer((before & mask != 0).into());
    Ok(())
}

/// `PM.GETBIT key offset`
pub(super) fn getbit(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let (at, mask) = bits::place(bit_number(ctx, args[2], None)?);
    let key = PmKey::open_read(ctx, args[1], TY)?;
    let byte = byte(&key, at)?.unwrap_or(0);
    ctx.reply_integer((byte & mask != 0).into());
    Ok(())
}

/// A byte of the key's string, if that is long enough.
fn byte(key: &PmKey<'_>, at: u64) -> Result<Option<u8>, CmdError> {
    let found = read(key, |value| {
        value
            .text(&mut itoa::Buffer::new())
            .get(at as usize)
            .copied()
    })?;
    Ok(found.flatten())
}
