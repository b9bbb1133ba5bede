//! The trampoline: from the server's call to a handler and back, with no panic across.

use std::ffi::c_int;

use redis_module::raw as rm;

use super::around::{around_writes, may_refuse, note_failure, refused, refuses, try_with_room};
use super::stand_in::{Call, Side, Way, called};
use super::{Args, Ctx, KeyUse, guard, zero_sized};
use crate::error::CmdError;
use store::number::parse_i64;

/// A command handler: a plain function that replies once, or returns the error to reply with.
///
/// An error must be returned before any reply, and before any change.
pub trait Handler: for<'a> Fn(&'a Ctx, Args<'a>) -> Result<(), CmdError> + Copy + 'static {}

impl<H> Handler for H where H: for<'a> Fn(&'a Ctx, Args<'a>) -> Result<(), CmdError> + Copy + 'static
{}

/// What the server calls for a command.
type Trampoline =
    unsafe extern "C" fn(*mut rm::RedisModuleCtx, *mut *mut rm::RedisModuleString, c_int) -> c_int;

/// What the server calls for a command with a handler, in whatever way it is registered.
#[derive(Clone, Copy)]
pub struct Runner {
    reading: Trampoline,
    writing: Trampoline,
    reading_first: Trampoline,
    writing_first: Trampoline,
    after_timeout: Trampoline,
    after_destination: Trampoline,
}

impl Runner {
    /// That of a handler.
    pub const fn of<H: Handler>(_handler: H) -> Runner {
        Runner {
            reading: run::<H>,
            writing: run_writing::<H>,
            reading_first: run_numbered::<H, false, false, 1>,
            writing_first: run_numbered::<H, true, false, 1>,
            after_timeout: run_numbered::<H, true, false, 2>,
            after_destination: run_numbered::<H, true, true, 2>,
        }
    }

    pub(super) fn for_flags(self, flags: &str) -> Trampoline {
        if writes(flags) {
            self.writing
        } else {
            self.reading
        }
    }

    pub(super) fn for_numbered(self, numbered: NumberedKeys, flags: &str) -> Trampoline {
        match numbered {
            NumberedKeys::First if writes(flags) => self.writing_first,
            NumberedKeys::First => self.reading_first,
            NumberedKeys::AfterTimeout => self.after_timeout,
            NumberedKeys::AfterDestination => self.after_destination,
        }
    }
}

/// Whether a command of these flags writes.
fn writes(flags: &str) -> bool {
    flags.split(' ').any(|flag| flag == "write")
}

/// Where a command has the number of its keys, which follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberedKeys {
    /// In the first argument: ZUNION.
    First,
    /// In the second: after the destination of ZUNIONSTORE, which is a key as well.
    AfterDestination,
    /// In the second: after the timeout of BLMPOP.
    AfterTimeout,
}

/// [`run`] for a command that writes.
unsafe extern "C" fn run_writing<H: Handler>(
    ctx: *mut rm::RedisModuleCtx,
    argv: *mut *mut rm::RedisModuleString,
    argc: c_int,
) -> c_int {
    if may_refuse() && guard(false, refuses) {
        // SAFETY: Redis passes a live context and `argc` strings, all for the time of the call.
        let (ctx, args) = unsafe { (Ctx::from_raw(ctx), Args::from_raw(argv, argc)) };
        guard((), || refuse(&ctx, args));
        return rm::REDISMODULE_OK as c_int;
    }
    let around = around_writes();
    if let Some(around) = around {
        guard((), around.begins);
    }
    // SAFETY: the arguments are those of this function, as Redis passed them.
    let status = unsafe { run::<H>(ctx, argv, argc) };
    if let Some(around) = around {
        guard((), around.ends);
    }
    status
}

unsafe extern "C" fn run<H: Handler>(
    ctx: *mut rm::RedisModuleCtx,
    argv: *mut *mut rm::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: Redis passes a live context and `argc` strings, all for the time of the call.
    let (ctx, args) = unsafe { (Ctx::from_raw(ctx), Args::from_raw(argv, argc)) };
    let handled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let call = called();
        if let Some(call) = call
            && !begin_plain(&ctx, args, call)
        {
            return;
        }
        let mut outcome = zero_sized::<H>()(&ctx, args);
        if outcome == Err(CmdError::PoolFull) && ctx.has_not_replied() {
            outcome = try_with_room(&ctx, || zero_sized::<H>()(&ctx, args));
        }
        if let Err(error) = outcome {
            note_failure(&error);
            fail(&ctx, args, call, error, || zero_sized::<H>()(&ctx, args));
        }
    }));
    if handled.is_err() {
        ctx.reply_failure(&CmdError::Internal);
    }
    rm::REDISMODULE_OK as c_int
}

/// [`run`] for a command that writes or not, has a destination or not, and the number of its keys
/// at an argument.
unsafe extern "C" fn run_numbered<
    H: Handler,
    const WRITES: bool,
    const DESTINATION: bool,
    const AT: usize,
>(
    ctx: *mut rm::RedisModuleCtx,
    argv: *mut *mut rm::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: Redis passes a live context and `argc` strings, all for the time of the call.
    let (asker, args) = unsafe { (Ctx::from_raw(ctx), Args::from_raw(argv, argc)) };
    if !asker.asks_for_keys() {
        // SAFETY: the arguments are those of this function, as Redis passed them.
        return unsafe {
            if WRITES {
                run_writing::<H>(ctx, argv, argc)
            } else {
                run::<H>(ctx, argv, argc)
            }
        };
    }
    let room = args.len().saturating_sub(AT + 1);
    let number = args.get(AT).and_then(|arg| parse_i64(arg.bytes()));
    let number = number.and_then(|number| usize::try_from(number).ok());
    if let Some(number) = number.filter(|number| (1..=room).contains(number)) {
        if DESTINATION {
            asker.tell_key(1, KeyUse::Overwrite);
        }
        (AT + 1..AT + 1 + number).for_each(|at| asker.tell_key(at, KeyUse::Read));
    }
    rm::REDISMODULE_OK as c_int
}

/// Refuses a command, if it is not the server's to run.
#[cold]
fn refuse(ctx: &Ctx, args: Args<'_>) {
    if let Some(call) = called()
        && !begin_plain(ctx, args, call)
    {
        return;
    }
    let error = refused(ctx);
    note_failure(&error);
    ctx.reply_failure(&error);
}

/// A command under its native name begins: whether its handler is to run.
#[inline]
fn begin_plain(ctx: &Ctx, args: Args<'_>, call: Call) -> bool {
    ctx.set_plain();
    match call.side(ctx, args) {
        Side::Ours => true,
        Side::Native => {
            call.decline();
            false
        }
        Side::Both => {
            ctx.reply_error(&BOTH_SIDES);
            false
        }
    }
}

const BOTH_SIDES: CmdError = CmdError::text_only(
    "ERR the setting 'unprefixed' keeps some keys of this command in persistent memory, and some not",
);

/// A handler has failed.
#[cold]
fn fail(
    ctx: &Ctx,
    args: Args<'_>,
    call: Option<Call>,
    error: CmdError,
    again: impl FnOnce() -> Result<(), CmdError>,
) {
    let way = match call {
        Some(call) if ctx.has_not_replied() => (call, call.way(ctx, args, &error)),
        _ => return ctx.reply_failure(&error),
    };
    match way {
        (_, Way::Fail) => ctx.reply_failure(&error),
        (_, Way::Refuse(error)) => ctx.reply_failure(&error),
        (call, Way::Native) => call.decline(),
        (_, Way::Again) => {
            if let Err(error) = again() {
                note_failure(&error);
                ctx.reply_failure(&error);
            }
        }
    }
}
