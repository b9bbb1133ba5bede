//! BITOP.

use super::TY;
use super::string::{read, replace};
use crate::commands::announce::{announce_and_replicate, clear};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Class, Ctx};
use store::bits::{self, Combination, Operation};
use store::expiry::Expiry;
use store::structures::string::Value;

/// Whether a BITOP, without its name, is of a kind that servers before Redis 8.2 do not know.
pub(super) fn is_newer(args: &[Arg<'_>]) -> bool {
    let old = [b"AND".as_slice(), b"OR", b"XOR", b"NOT"];
    args.first()
        .is_some_and(|kind| !old.iter().any(|old| kind.is(old)))
}

/// `PM.BITOP AND|OR|XOR|NOT|DIFF|DIFF1|ANDOR|ONE destination key [key ...]`
///
/// The sources are PM strings; a native string is of another type. The destination may hold
/// anything.
pub(super) fn bitop(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    const OPERATIONS: [(&str, Operation); 7] = [
        ("AND", Operation::And),
        ("OR", Operation::Or),
        ("XOR", Operation::Xor),
        ("DIFF", Operation::Diff),
        ("DIFF1", Operation::Diff1),
        ("ANDOR", Operation::AndOr),
        ("ONE", Operation::One),
    ];
    let inverts = args[1].is(b"NOT");
    let named = OPERATIONS
        .iter()
        .find(|(word, _)| args[1].is(word.as_bytes()));
    let (word, operation) = match named {
        Some(named) => *named,
        // Of one string, any operation that keeps it.
        None if inverts => ("NOT", Operation::Or),
        None => return Err(CmdError::Syntax),
    };
    let sources = args.from(3);
    if inverts && sources.len() > 1 {
        return Err(CmdError::text_only(
            "ERR BITOP NOT must be called with a single source key.",
        ));
    }
    let compares = matches!(
        operation,
        Operation::Diff | Operation::Diff1 | Operation::AndOr
    );
    if compares && sources.len() < 2 {
        let text = format!("ERR BITOP {word} must be called with at least two source keys.");
        return Err(CmdError::Other(text.into()));
    }
    let mut combination = Combination::new(operation);
    for &source in sources {
        let key = PmKey::open_read(ctx, source, TY)?;
        let added = read(&key, |value| {
            combination.add(value.text(&mut itoa::Buffer::new()));
        })?;
        // What is absent is empty.
        if added.is_none() {
            combination.add(b"");
        }
    }
    let mut result = combination.result();
    if inverts {
        bits::invert(&mut result);
    }

    let mut key = PmKey::open_any(ctx, args[2], TY);
    if !result.is_empty() {
        replace(&mut key, Value::Bytes(&result), Expiry::Never)?;
        announce_and_replicate(
            ctx,
            &key,
            (Class::STRING, c"set"),
            (c"PM.BITOP", args.from(1)),
        );
    } else {
        clear(ctx, &mut key, (c"PM.BITOP", args.from(1)));
    }
    ctx.reply_integer(result.len() as i64);
    Ok(())
}
