//! MGET, MSET and MSETNX: several strings at once.

use super::reply_value;
use crate::error::CmdError;
use crate::keyspace::record::Inline;
use crate::keyspace::{PmKey, put_all, read_each};
use crate::redis::{Arg, Args, Class, Ctx};
use crate::structures::Root;
use crate::structures::string::{self, Value};
use crate::value::ValueType;
use std::collections::HashMap;
use std::ffi::CStr;

/// `MGET key [key ...]`
pub fn mget(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    // A key of another type is as good as none.
    let open = |&name| PmKey::open_read(ctx, name, ValueType::String).ok();
    let keys: Vec<Option<PmKey<'_>>> = args.from(1).iter().map(open).collect();
    read_each(&keys, |pool, values| {
        let read = |value: &Option<(Root, Inline)>| match *value {
            Some((root, inline)) => string::read(pool, root, inline),
            None => Ok(None),
        };
        let values = values.iter().map(read).collect::<pobj::Result<Vec<_>>>()?;
        ctx.reply_array(values.len());
        for value in values {
            match value {
                Some(value) => reply_value(ctx, value),
                None => ctx.reply_null(),
            }
        }
        Ok(())
    })
}

/// `MSET key value [key value ...]`
pub fn mset(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    Assignments::open(ctx, args)?.make(ctx, args, c"PM.MSET")?;
    ctx.reply_ok();
    Ok(())
}

/// `MSETNX key value [key value ...]`
pub fn msetnx(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let assignments = Assignments::open(ctx, args)?;
    let proceeds = !assignments.keys.iter().any(PmKey::occupied);
    if proceeds {
        assignments.make(ctx, args, c"PM.MSETNX")?;
    }
    ctx.reply_integer(proceeds.into());
    Ok(())
}

/// The pairs of MSET, each key once: of a key given several times, the last value counts.
struct Assignments<'a> {
    pairs: &'a [Arg<'a>],
    keys: Vec<PmKey<'a>>,
    /// What each key gets.
    values: Vec<Value<'a>>,
    /// Where in `pairs` each key is given first.
    starts: Vec<usize>,
}

impl<'a> Assignments<'a> {
    fn open(ctx: &'a Ctx, args: Args<'a>) -> Result<Assignments<'a>, CmdError> {
        let pairs = args.from(1);
        if !pairs.len().is_multiple_of(2) {
            return Err(CmdError::WrongArity);
        }
        let (mut keys, mut values, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        let mut indexes = HashMap::new();
        for (i, pair) in pairs.chunks_exact(2).enumerate() {
            let (name, value) = (pair[0], Value::of(pair[1].bytes()));
            let index = *indexes.entry(name.bytes()).or_insert(keys.len());
            if index < keys.len() {
                values[index] = value;
            } else {
                keys.push(PmKey::open_any(ctx, name, ValueType::String));
                values.push(value);
                starts.push(2 * i);
            }
        }
        Ok(Assignments {
            pairs,
            keys,
            values,
            starts,
        })
    }

    /// Makes all assignments in one atomic step and tells of them, pair by pair.
    fn make(self, ctx: &Ctx, args: Args<'_>, command: &CStr) -> Result<(), CmdError> {
        let Assignments {
            pairs,
            mut keys,
            values,
            starts,
        } = self;
        put_all(
            &mut keys,
            |i| values[i].inline_len(),
            |i, tx, root, inline| string::set(tx, root, inline, values[i]),
            |i| {
                let end = starts.get(i + 1).copied().unwrap_or(pairs.len());
                for pair in pairs[starts[i]..end].chunks_exact(2) {
                    ctx.signal_modified(pair[0]);
                    ctx.notify(Class::STRING, c"set", pair[0]);
                }
            },
        )?;
        ctx.replicate(command, args.from(1));
        Ok(())
    }
}
