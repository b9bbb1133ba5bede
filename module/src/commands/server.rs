//! Commands about the pool.

use crate::SETTINGS;
use crate::error::CmdError;
use crate::redis::{Args, Ctx};

/// `PM.INFO`: the pool and what is in force, in the form of INFO.
pub fn info(ctx: &Ctx, _args: Args<'_>) -> Result<(), CmdError> {
    let text = SETTINGS.with(|config| {
        format!(
            "# Pool\r\npath:{}\r\ndurability:{}\r\n",
            config.path.display(),
            config.durability,
        )
    });
    ctx.reply_verbatim(c"txt", text.map_err(|_| CmdError::Internal)?.as_bytes());
    Ok(())
}
