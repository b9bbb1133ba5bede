//! MGET, MSET and MSETNX: several strings at once.

use super::{read, reply_value};
use crate::error::CmdError;
use crate::keyspace::{PmKey, put_all};
use crate::redis::{Arg, Args, Class, Ctx};
use crate::structures::string::{self, Value};
use crate::value::ValueType;
use std::collections::HashMap;
use std::ffi::CStr;

/// `MGET key [key ...]`
pub fn mget(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let names = args.from(1);
    ctx.reply_array(names.len());
    for &name in names {
        let found = match PmKey::open_read(ctx, name, ValueType::String) {
            Ok(key) => read(&key, |value| reply_value(ctx, value)),
            // A key of another type is as good as none.
            Err(_) => Ok(None),
        };
        match found {
            Ok(Some(())) => {}
            Ok(None) => ctx.reply_null(),
            // The array has begun: the error stands at the element's place.
            Err(error) => ctx.reply_error(&error),
        }
    }
    Ok(())
}

/// `MSET key value [key value ...]`
pub fn mset(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let (mut keys, values) = open_pairs(ctx, pairs(args)?);
    set_all(ctx, args, c"PM.MSET", &mut keys, &values)?;
    ctx.reply_simple(c"OK");
    Ok(())
}

/// `MSETNX key value [key value ...]`
pub fn msetnx(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let (mut keys, values) = open_pairs(ctx, pairs(args)?);
    let proceeds = !keys.iter().any(PmKey::occupied);
    if proceeds {
        set_all(ctx, args, c"PM.MSETNX", &mut keys, &values)?;
    }
    ctx.reply_integer(proceeds.into());
    Ok(())
}

fn pairs<'a>(args: Args<'a>) -> Result<&'a [Arg<'a>], CmdError> {
    let pairs = args.from(1);
    if pairs.len() % 2 == 0 {
        Ok(pairs)
    } else {
        Err(CmdError::WrongArity)
    }
}

/// The keys, each once, and what they get: of a key given several times, the last value.
fn open_pairs<'a>(ctx: &'a Ctx, pairs: &'a [Arg<'a>]) -> (Vec<PmKey<'a>>, Vec<Value<'a>>) {
    let last: HashMap<&[u8], usize> = pairs
        .chunks_exact(2)
        .enumerate()
        .map(|(i, pair)| (pair[0].bytes(), i))
        .collect();
    let counts = |&(i, pair): &(usize, &[Arg<'_>])| last.get(pair[0].bytes()) == Some(&i);
    let open = |(_, pair): (usize, &[Arg<'a>])| {
        (
            PmKey::open_any(ctx, pair[0], ValueType::String),
            Value::of(pair[1].bytes()),
        )
    };
    pairs
        .chunks_exact(2)
        .enumerate()
        .filter(counts)
        .map(open)
        .unzip()
}

/// Stores all values in one atomic step and tells of them.
fn set_all(
    ctx: &Ctx,
    args: Args<'_>,
    command: &CStr,
    keys: &mut [PmKey<'_>],
    values: &[Value<'_>],
) -> Result<(), CmdError> {
    put_all(
        keys,
        |i| values[i].inline_len(),
        |i, tx, root, inline| string::set(tx, root, inline, values[i]),
    )?;
    for pair in args.from(1).chunks_exact(2) {
        ctx.signal_modified(pair[0]);
        ctx.notify(Class::STRING, c"set", pair[0]);
    }
    ctx.replicate(command, args.from(1));
    Ok(())
}
