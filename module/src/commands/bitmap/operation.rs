//! BITOP.

use super::TY;
use super::string::{Expire, read, store};
use crate::bits::{self, Operation};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Args, Class, Ctx};
use crate::structures::string::Value;

/// `PM.BITOP AND|OR|XOR|NOT destination key [key ...]`
///
/// The sources are PM strings; a native string is of another type. The destination may hold anything.
pub fn bitop(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let operation = match args[1] {
        word if word.is(b"AND") => Some(Operation::And),
        word if word.is(b"OR") => Some(Operation::Or),
        word if word.is(b"XOR") => Some(Operation::Xor),
        word if word.is(b"NOT") => None,
        _ => return Err(CmdError::Syntax),
    };
    let sources = args.from(3);
    if operation.is_none() && sources.len() > 1 {
        return Err(CmdError::text_only(
            "ERR BITOP NOT must be called with a single source key.",
        ));
    }
    let mut result = Vec::new();
    for (i, &source) in sources.iter().enumerate() {
        let key = PmKey::open_read(ctx, source, TY)?;
        let combined = read(&key, |value| {
            let mut digits = itoa::Buffer::new();
            let text = value.text(&mut digits);
            match operation {
                Some(operation) if i > 0 => bits::combine(operation, &mut result, text),
                _ => result.extend_from_slice(text),
            }
        })?;
        // What is absent is empty.
        if let (None, Some(operation)) = (combined, operation) {
            bits::combine(operation, &mut result, b"");
        }
    }
    if operation.is_none() {
        bits::invert(&mut result);
    }

    let target = args[2];
    let mut key = PmKey::open_any(ctx, target, TY);
    if !result.is_empty() {
        store(&mut key, Value::Bytes(&result), Expire::Never)?;
        key.signal();
        ctx.notify(Class::STRING, c"set", target);
        ctx.replicate(c"PM.BITOP", args.from(1));
    } else if key.occupied() {
        key.delete();
        key.signal();
        ctx.notify(Class::GENERIC, c"del", target);
        ctx.replicate(c"PM.BITOP", args.from(1));
    }
    ctx.reply_integer(result.len() as i64);
    Ok(())
}
