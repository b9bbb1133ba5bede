//! OBJECT and its subcommands.

use super::is_native;
use crate::error::CmdError;
use crate::keyspace;
use crate::redis::{Args, Ctx, Kind, Mode, Propagate, Reply};
use std::ffi::CString;

/// `PM.OBJECT ENCODING key`: the name of Redis's encoding that is most like the value's.
///
/// A look at a key counts as a hit or a miss, but raises no event, and is no access.
pub(super) fn encoding(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let kind = ctx.open(args[2], Mode::Quiet).kind();
    match kind {
        Kind::Pm(_, addr) => {
            let name = keyspace::encoding(addr)?;
            drop(ctx.open(args[2], Mode::Peek));
            ctx.reply_bulk(name.as_bytes());
        }
        _ if ctx.is_plain() => return Err(CmdError::Native),
        Kind::Other => ctx.reply_null(),
        Kind::Absent => ctx.forward(c"OBJECT", args.from(1), Propagate::Nowhere),
    }
    Ok(())
}

/// `PM.OBJECT FREQ key`
pub(super) fn freq(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    ask(ctx, args)
}

/// `PM.OBJECT IDLETIME key`
pub(super) fn idletime(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    ask(ctx, args)
}

/// `PM.OBJECT REFCOUNT key`
pub(super) fn refcount(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    ask(ctx, args)
}

/// What Redis says of a key's object.
fn ask(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    if is_native(ctx, args[2]) {
        ctx.reply_null()
    } else {
        ctx.forward(c"OBJECT", args.from(1), Propagate::Nowhere)
    }
    Ok(())
}

/// `PM.OBJECT HELP`
pub(super) fn help(ctx: &Ctx, _args: Args<'_>) -> Result<(), CmdError> {
    let Some(Reply::Array(lines)) = ctx.call(c"OBJECT", &[b"HELP"]) else {
        return Err(CmdError::Internal);
    };
    ctx.reply_array(lines.len());
    for (i, line) in lines.into_iter().enumerate() {
        let Reply::Text(text) = line else {
            return Err(CmdError::Internal);
        };
        let prefix = if i == 0 { b"PM.".as_slice() } else { b"" };
        let line = CString::new([prefix, &text].concat()).unwrap_or_default();
        ctx.reply_simple(&line);
    }
    Ok(())
}
