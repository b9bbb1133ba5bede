//! BITFIELD and BITFIELD_RO: integers of any width, anywhere in a string.

use super::string::read;
use super::{TY, bit_number};
use crate::commands::integer;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Class, Ctx, KeyUse};
use pobj::Tx;
use store::bitfield::{Field, Overflow, Window};
use store::inline::Inline;
use store::record::NEVER;
use store::structures::Root;
use store::structures::string::{self, Value};

/// `PM.BITFIELD key [GET type offset | [OVERFLOW WRAP|SAT|FAIL] SET type offset value |
/// [OVERFLOW WRAP|SAT|FAIL] INCRBY type offset increment ...]`
pub fn bitfield(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    if ctx.asks_for_keys() {
        ctx.tell_key(
            1,
            match only_reads(args.from(2)) {
                true => KeyUse::Read,
                false => KeyUse::Update,
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
pub fn bitfield_ro(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
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

/// One operation on one field.
#[derive(Clone, Copy)]
struct Operation {
    action: Action,
    field: Field,
    /// The field's first bit.
    at: u64,
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

impl Operation {
    fn writes(&self) -> bool {
        !matches!(self.action, Action::Get)
    }

    /// The byte in which the field begins, and the bit at which it begins there.
    fn place(&self) -> (u64, u32) {
        (self.at / 8, (self.at % 8) as u32)
    }

    fn last_byte(&self) -> u64 {
        (self.at + u64::from(self.field.bits()) - 1) / 8
    }
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
    match () {
        () if arg.is(b"WRAP") => Ok(Overflow::Wrap),
        () if arg.is(b"SAT") => Ok(Overflow::Saturate),
        () if arg.is(b"FAIL") => Ok(Overflow::Fail),
        () => Err(CmdError::text_only("ERR Invalid OVERFLOW type specified")),
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

/// The bytes of a text from `at` on, followed by zeros.
fn window(text: &[u8], at: u64) -> Window {
    let mut window = Window::default();
    let text = usize::try_from(at).map_or(&[][..], |at| text.get(at..).unwrap_or(&[]));
    let len = text.len().min(window.len());
    window[..len].copy_from_slice(&text[..len]);
    window
}

/// Replies with fields that are only read.
fn reply_fields(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    let reply = |text: &[u8]| {
        ctx.reply_array(operations(ctx, args).count());
        for operation in operations(ctx, args).flatten() {
            let (byte, shift) = operation.place();
            ctx.reply_integer(operation.field.get(&window(text, byte), shift));
        }
    };
    let replied = read(&key, |value| reply(value.text(&mut itoa::Buffer::new())))?;
    if replied.is_none() {
        reply(b"");
    }
    Ok(())
}

/// What the operations of a command have done so far.
#[derive(Default)]
struct Outcome {
    /// A reply each; none for what did not fit.
    replies: Vec<Option<i64>>,
    changed: bool,
}

/// Runs operations of which some write, the last byte at `last`, as one atomic step.
fn change_fields(ctx: &Ctx, args: Args<'_>, last: u64) -> Result<(), CmdError> {
    let mut key = PmKey::open_write(ctx, args[1], TY)?;
    let mut outcome = Outcome::default();
    let changed = key.edit_inline(None, |tx, root, inline| {
        run(tx, root, inline, operations(ctx, args), last, &mut outcome)
    })?;
    if changed.is_none() {
        key.put(string::inline_len(last + 1), NEVER, |tx, inline| {
            let mut root = Root::EMPTY;
            run(
                tx,
                &mut root,
                inline,
                operations(ctx, args),
                last,
                &mut outcome,
            )?;
            Ok(root)
        })?;
    }
    if outcome.changed {
        key.signal();
        ctx.notify(Class::STRING, c"setbit", args[1]);
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

/// Fields that are changed, but not written yet: the byte at which each begins, its bytes, their
/// number.
type Pending = Vec<(u64, Window, usize)>;

/// How many fields may be pending: each is looked through for each operation.
const PENDING_MAX: usize = 64;

fn run(
    tx: &mut Tx<'_>,
    root: &mut Root,
    inline: Inline,
    operations: Operations<'_>,
    last: u64,
    outcome: &mut Outcome,
) -> pobj::Result<()> {
    let grown = string::reach(tx, root, inline, last)?;
    let mut pending = Pending::new();
    for operation in operations.flatten() {
        let Operation { action, field, .. } = operation;
        let (byte, shift) = operation.place();
        let mut window = current(tx, *root, inline, byte, &pending)?;
        let old = field.get(&window, shift);
        let (new, reply) = match action {
            Action::Get => (None, Some(old)),
            Action::Set(number, overflow) => {
                let new = field.sum(number, 0, overflow);
                (new, new.map(|_| old))
            }
            Action::Add(increment, overflow) => {
                let new = field.sum(old, increment, overflow);
                (new, new)
            }
        };
        outcome.replies.push(reply);
        let Some(new) = new else { continue };
        outcome.changed |= grown || new != old;
        if new != old {
            field.put(&mut window, shift, new);
            pending.push((byte, window, field.bytes(shift)));
        }
        if pending.len() == PENDING_MAX {
            string::set_ranges(tx, root, inline, ranges(&pending), true)?;
            pending.clear();
        }
    }
    string::set_ranges(tx, root, inline, ranges(&pending), false)
}

/// The bytes from `at` on, with what is pending.
fn current(
    tx: &Tx<'_>,
    root: Root,
    inline: Inline,
    at: u64,
    pending: &Pending,
) -> pobj::Result<Window> {
    let mut window = match string::read(tx, root, inline)? {
        Some(Value::Bytes(text)) => window(text, at),
        _ => Window::default(),
    };
    for (start, bytes, len) in pending {
        for (byte, position) in bytes[..*len].iter().zip(*start..) {
            let index = position
                .checked_sub(at)
                .and_then(|i| usize::try_from(i).ok());
            if let Some(target) = index.and_then(|index| window.get_mut(index)) {
                *target = *byte;
            }
        }
    }
    Ok(window)
}

/// What is pending, in its order.
fn ranges(pending: &Pending) -> impl Iterator<Item = (u64, &[u8])> {
    pending
        .iter()
        .map(|(at, window, len)| (*at, &window[..*len]))
}
