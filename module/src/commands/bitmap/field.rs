//! BITFIELD and BITFIELD_RO: integers of any width, anywhere in a string.

use super::string::read;
use super::{TY, bit_number};
use crate::commands::announce::announce_and_replicate;
use crate::commands::integer;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Class, Ctx, KeyUse};
use store::bitfield::{Field, Overflow};
use store::expiry::Expiry;
use store::structures::bitfields::{self, Action, Operation, Outcome};
use store::structures::string;

/// `PM.BITFIELD key [GET type offset | [OVERFLOW WRAP|SAT|FAIL] SET type offset value |
/// [OVERFLOW WRAP|SAT|FAIL] INCRBY type offset increment ...]`
pub(super) fn bitfield(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    if ctx.asks_for_keys() {
        ctx.tell_key(
            1,
            if only_reads(args.from(2)) {
                KeyUse::Read
            } else {
                KeyUse::Update
            },
        );
        return Ok(());
    }
    match last_written(ctx, args)? {
        None => reply_fields(ctx, args),
        Some(last) => change_fields(ctx, args, last),
    }
}

/// `PM.BITFIELD_RO key [GET type offset ...]`
pub(super) fn bitfield_ro(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    match last_written(ctx, args)? {
        None => reply_fields(ctx, args),
        Some(_) => Err(CmdError::text_only(
            "ERR BITFIELD_RO only supports the GET subcommand",
        )),
    }
}

/// Whether arguments, which may be no operations at all, are such that only read.
fn only_reads(mut args: &[Arg<'_>]) -> bool {
    while let [word, rest @ ..] = args {
        let len = match rest.len() {
            2.. if word.is(b"GET") => 2,
            1.. if word.is(b"OVERFLOW") => 1,
            _ => return false,
        };
        args = &rest[len..];
    }
    true
}

/// The operations among a command's arguments. They are parsed twice, which takes less than to keep
/// them.
struct Operations<'a> {
    ctx: &'a Ctx,
    args: &'a [Arg<'a>],
    overflow: Overflow,
}

fn operations<'a>(ctx: &'a Ctx, args: Args<'a>) -> Operations<'a> {
    Operations {
        ctx,
        args: args.from(2),
        overflow: Overflow::Wrap,
    }
}

impl Operations<'_> {
    fn parse(&mut self) -> Result<Option<Operation>, CmdError> {
        let (words, wanted) = loop {
            match self.args {
                [] => return Ok(None),
                [word, kind, rest @ ..] if word.is(b"OVERFLOW") => {
                    self.overflow = overflow(*kind)?;
                    self.args = rest;
                }
                [word, _, _, ..] if word.is(b"GET") => break (3, false),
                [word, _, _, _, ..] if word.is(b"SET") => break (4, false),
                [word, _, _, _, ..] if word.is(b"INCRBY") => break (4, true),
                _ => return Err(CmdError::Syntax),
            }
        };
        let (operation, rest) = self.args.split_at(words);
        self.args = rest;
        let field = Field::parse(operation[1].bytes()).ok_or(CmdError::text_only(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        ))?;
        let at = bit_number(self.ctx, operation[2], Some(field.bits()))?;
        let action = match operation.get(3) {
            None => Action::Get,
            Some(arg) if wanted => Action::Add(integer(*arg)?, self.overflow),
            Some(arg) => Action::Set(integer(*arg)?, self.overflow),
        };
        Ok(Some(Operation { action, field, at }))
    }
}

impl Iterator for Operations<'_> {
    type Item = Result<Operation, CmdError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.parse().transpose()
    }
}

fn overflow(arg: Arg<'_>) -> Result<Overflow, CmdError> {
    if arg.is(b"WRAP") {
        Ok(Overflow::Wrap)
    } else if arg.is(b"SAT") {
        Ok(Overflow::Saturate)
    } else if arg.is(b"FAIL") {
        Ok(Overflow::Fail)
    } else {
        Err(CmdError::text_only("ERR Invalid OVERFLOW type specified"))
    }
}

/// Checks all operations; gives the last byte that they write, if they write.
fn last_written(ctx: &Ctx, args: Args<'_>) -> Result<Option<u64>, CmdError> {
    let mut last = None;
    for operation in operations(ctx, args) {
        let operation = operation?;
        if operation.writes() {
            last = last.max(Some(operation.last_byte()));
        }
    }
    Ok(last)
}

/// Replies with fields that are only read.
fn reply_fields(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    let reply = |text: &[u8]| {
        ctx.reply_array(operations(ctx, args).count());
        for operation in operations(ctx, args).flatten() {
            ctx.reply_integer(operation.read(text));
        }
    };
    let replied = read(&key, |value| reply(value.text(&mut itoa::Buffer::new())))?;
    if replied.is_none() {
        reply(b"");
    }
    Ok(())
}

/// Runs operations of which some write, the last byte at `last`, as one atomic step.
fn change_fields(ctx: &Ctx, args: Args<'_>, last: u64) -> Result<(), CmdError> {
    let mut key = PmKey::open_write(ctx, args[1], TY)?;
    let mut outcome = Outcome::default();
    let fresh = string::inline_len(last + 1);
    key.upsert(fresh, Expiry::Keep, |tx, root, inline| {
        let operations = operations(ctx, args).flatten();
        bitfields::run(tx, root, inline, operations, last, &mut outcome)
    })?;
    if outcome.changed {
        announce_and_replicate(
            ctx,
            &key,
            (Class::STRING, c"setbit"),
            (c"PM.BITFIELD", args.from(1)),
        );
    } else if outcome.grown {
        // As natively, nobody is told of zeros alone; but replicas have to have them.
        ctx.replicate(c"PM.BITFIELD", args.from(1));
    }
    ctx.reply_array(outcome.replies.len());
    for reply in outcome.replies {
        match reply {
            Some(number) => ctx.reply_integer(number),
            None => ctx.reply_null(),
        }
    }
    Ok(())
}
