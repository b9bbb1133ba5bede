//! ZADD and ZINCRBY.

use super::TY;
use crate::behaviour::Behaviour;
use crate::commands::announce::announce;
use crate::double;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::limits;
use crate::redis::{Arg, Args, Class, Ctx};
use std::ffi::CStr;
use store::structures::zset::{self, Added, Rule};

const NOT_A_NUMBER: CmdError = CmdError::text_only("ERR resulting score is not a number (NaN)");

/// `PM.ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member [score member ...]`
pub(super) fn zadd(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    add(ctx, args, c"PM.ZADD", Rule::default())
}

/// `PM.ZINCRBY key increment member`
pub(super) fn zincrby(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let rule = Rule {
        increment: true,
        ..Rule::default()
    };
    add(ctx, args, c"PM.ZINCRBY", rule)
}

/// ZINCRBY is ZADD INCR in Redis too: it takes the option words, and fails for what is missing
/// then.
fn add(ctx: &Ctx, args: Args<'_>, command: &CStr, mut rule: Rule) -> Result<(), CmdError> {
    let (mut count_changed, mut at) = (false, 2);
    while let Some(arg) = args.get(at) {
        match () {
            _ if arg.is(b"NX") => rule.only_new = true,
            _ if arg.is(b"XX") => rule.only_old = true,
            _ if arg.is(b"CH") => count_changed = true,
            _ if arg.is(b"INCR") => rule.increment = true,
            _ if arg.is(b"GT") => rule.only_up = true,
            _ if arg.is(b"LT") => rule.only_down = true,
            _ => break,
        }
        at += 1;
    }
    let elements = args.from(at);
    if elements.is_empty() || !elements.len().is_multiple_of(2) {
        return Err(CmdError::Syntax);
    }
    if rule.only_new && rule.only_old {
        return Err(CmdError::text_only(
            "ERR XX and NX options at the same time are not compatible",
        ));
    }
    let directions = u8::from(rule.only_up) + u8::from(rule.only_down);
    if directions + u8::from(rule.only_new) > 1 {
        return Err(CmdError::text_only(
            "ERR GT, LT, and/or NX options at the same time are not compatible",
        ));
    }
    if rule.increment && elements.len() > 2 {
        return Err(CmdError::text_only(
            "ERR INCR option supports a single increment-element pair",
        ));
    }
    let replicate = || ctx.replicate(command, args.from(1));
    match elements {
        [given, name] => {
            let given = score(ctx, *given)?;
            add_one(
                ctx,
                args[1],
                (name.bytes(), given),
                rule,
                count_changed,
                replicate,
            )
        }
        _ => {
            let scores: Vec<f64> = elements
                .iter()
                .step_by(2)
                .map(|arg| score(ctx, *arg))
                .collect::<Result<_, _>>()?;
            let names = elements.iter().skip(1).step_by(2).map(|arg| arg.bytes());
            if Behaviour::LargeAdditionsAreKnown.here() {
                rule.expected = scores.len() as u64;
            }
            add_many(
                ctx,
                args[1],
                names.zip(scores),
                rule,
                count_changed,
                replicate,
            )
        }
    }
}

fn score(ctx: &Ctx, arg: Arg<'_>) -> Result<f64, CmdError> {
    double::parse(ctx, arg.bytes()).ok_or(CmdError::NotAFloat)
}

/// Adds one element, tells of it and replies.
pub(crate) fn add_one(
    ctx: &Ctx,
    key: Arg<'_>,
    (name, given): (&[u8], f64),
    rule: Rule,
    count_changed: bool,
    replicate: impl FnOnce(),
) -> Result<(), CmdError> {
    let mut key = PmKey::open_write(ctx, key, TY)?;
    let existed = key.exists();
    let added = if existed || !rule.only_old {
        key.edit(|tx, root| zset::add(tx, root, limits::zset(), name, given, rule))?
    } else {
        Added::Refused
    };
    if added == Added::NotANumber {
        return Err(NOT_A_NUMBER);
    }
    let (new, changed) = (
        matches!(added, Added::New(_)),
        matches!(added, Added::Changed(_)),
    );
    if new || changed {
        announce(ctx, &key, Class::ZSET, event(rule));
        replicate();
    }
    match added {
        _ if !rule.increment => ctx.reply_integer((new || changed && count_changed).into()),
        Added::New(score) | Added::Changed(score) | Added::Same(score) => ctx.reply_double(score),
        Added::Refused | Added::NotANumber => ctx.reply_null(),
    }
    Ok(())
}

/// Adds elements as one atomic step, tells of it and replies with how many are new, or changed.
pub(crate) fn add_many<'e>(
    ctx: &Ctx,
    key: Arg<'_>,
    elements: impl Iterator<Item = (&'e [u8], f64)>,
    rule: Rule,
    count_changed: bool,
    replicate: impl FnOnce(),
) -> Result<(), CmdError> {
    let mut key = PmKey::open_write(ctx, key, TY)?;
    let existed = key.exists();
    let (mut new, mut changed) = (0, 0);
    if existed || !rule.only_old {
        key.edit(|tx, root| {
            zset::add_all(
                tx,
                root,
                limits::zset(),
                elements,
                rule,
                |added| match added {
                    Added::New(_) => new += 1,
                    Added::Changed(_) => changed += 1,
                    _ => {}
                },
            )
        })?;
    }
    if new + changed > 0 {
        announce(ctx, &key, Class::ZSET, event(rule));
        replicate();
    }
    ctx.reply_integer(if count_changed { new + changed } else { new });
    Ok(())
}

fn event(rule: Rule) -> &'static CStr {
    if rule.increment { c"zincr" } else { c"zadd" }
}
