//! Commands: registration, and the trampoline between Redis and a handler.

use std::ffi::{CStr, c_int};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redis_module::raw as rm;

use super::stand_in::{Call, Side, Way, called};
use super::{Args, Ctx, KeyUse, MainCell, Refused, api, guard, log, zero_sized};
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

    fn for_flags(self, flags: &str) -> Trampoline {
        if writes(flags) {
            self.writing
        } else {
            self.reading
        }
    }

    fn for_numbered(self, numbered: NumberedKeys, flags: &str) -> Trampoline {
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

/// Adds commands to the server, while the module is being loaded.
pub struct Registrar<'a> {
    ctx: &'a Ctx,
}

impl<'a> Registrar<'a> {
    /// A registrar for the module that is being loaded.
    pub fn new(ctx: &'a Ctx) -> Self {
        Self { ctx }
    }

    /// Adds a command.
    ///
    /// Its `name` is shown in errors and statistics and so, like native ones, in lower case
    /// (`pm.set`); clients may write it in any case. The `flags` are those of `RM_CreateCommand`
    /// (`write`, `readonly`, `deny-oom`, `fast`, ...). The `keys` are the first, the last
    /// (negative: from the end) and the step, all 0 without keys. [`Ctx::set_command_info`] says
    /// the rest; until it does, any number of arguments is accepted.
    pub fn add(
        &self,
        name: &str,
        runner: Runner,
        flags: &str,
        (first, last, step): (i32, i32, i32),
    ) -> Result<(), String> {
        let run = Some(runner.for_flags(flags));
        self.create(name, run, flags, (first, last, step))
    }

    /// Adds a command that says how many keys follow. Redis 7.0 finds keys for cluster redirects
    /// and client tracking by asking the command, wherever first, last and step do not tell.
    pub fn add_numbered(
        &self,
        name: &str,
        runner: Runner,
        flags: &str,
        numbered: NumberedKeys,
    ) -> Result<(), String> {
        let run = runner.for_numbered(numbered, flags);
        let keys = match numbered {
            NumberedKeys::First | NumberedKeys::AfterTimeout => (0, 0, 0),
            NumberedKeys::AfterDestination => (1, 1, 1),
        };
        self.create(name, Some(run), &format!("{flags} getkeys-api"), keys)
    }

    /// Adds a command that only consists of parts.
    pub fn add_container(&self, name: &str) -> Result<(), String> {
        self.create(name, None, "", (0, 0, 0))
    }

    fn create(
        &self,
        name: &str,
        run: rm::RedisModuleCmdFunc,
        flags: &str,
        (first, last, step): (i32, i32, i32),
    ) -> Result<(), String> {
        let (c_name, c_flags) = (log::c_string(name), log::c_string(flags));
        // SAFETY: live context; Redis copies the strings; the callback is a function, or NULL.
        let status = unsafe {
            let create = api(rm::RedisModule_CreateCommand);
            let (name, flags) = (c_name.as_ptr(), c_flags.as_ptr());
            create(self.ctx.raw(), name, run, flags, first, last, step)
        };
        if status == rm::REDISMODULE_OK as c_int {
            Ok(())
        } else {
            Err(format!(
                "cannot register the command {name}: another module has one of that name"
            ))
        }
    }

    /// Adds a part of a container; see [`Registrar::add`].
    pub fn add_part(
        &self,
        container: &str,
        name: &str,
        runner: Runner,
        flags: &str,
        (first, last, step): (i32, i32, i32),
    ) -> Result<(), String> {
        let refused = || format!("cannot register {container} {name}");
        let parent = self
            .ctx
            .command(&log::c_string(container))
            .ok_or_else(refused)?;
        let run = runner.for_flags(flags);
        let (c_name, c_flags) = (log::c_string(name), log::c_string(flags));
        // SAFETY: a live command; Redis copies the strings; the callback is a function.
        let status = unsafe {
            let create = api(rm::RedisModule_CreateSubcommand);
            let (name, flags) = (c_name.as_ptr(), c_flags.as_ptr());
            create(parent, name, Some(run), flags, first, last, step)
        };
        if status == rm::REDISMODULE_OK as c_int {
            Ok(())
        } else {
            Err(refused())
        }
    }
}

/// What a command has come to so far that finds no room.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    /// How long it has waited.
    pub waited: Duration,
    /// How often it was tried again.
    pub again: u32,
}

/// What is done when a command fails.
pub struct OnFailure {
    /// Finds room in the pool, if there was none for the command; true if the command, which has
    /// changed nothing yet, is to be tried again.
    pub find_room: fn(&Ctx, Tried) -> bool,
    /// No room was found for the command: the error that it fails with.
    pub refused: fn(&Ctx) -> CmdError,
    /// Whether commands that write are refused, without a look at whether there is room: see
    /// [`refuse_writes`].
    pub refuses: fn() -> bool,
    /// Hears of the error before the client does.
    pub failed: fn(&CmdError),
}

static ON_FAILURE: MainCell<&'static OnFailure> = MainCell::empty();

/// Has commands that find no room be tried again, and failures be reported.
///
/// # Errors
/// Not on the main thread.
pub fn on_failure(what: &'static OnFailure) -> Result<(), Refused> {
    ON_FAILURE.replace(Some(what)).map(drop)
}

/// Commands that write may be refused.
static REFUSES: AtomicBool = AtomicBool::new(false);

/// Has commands that write be refused, as if they found no room, for as long as
/// [`OnFailure::refuses`] says so.
pub fn refuse_writes() {
    REFUSES.store(true, Ordering::Relaxed);
}

/// Whether a command that writes is refused, which was to be looked at.
#[cold]
fn refuses() -> bool {
    let refuses = ON_FAILURE.with(|what| *what);
    let refuses = refuses.is_ok_and(|what| (what.refuses)());
    REFUSES.store(refuses, Ordering::Relaxed);
    refuses
}

/// Refuses a command, if it is not the server's to run.
#[cold]
fn refuse(ctx: &Ctx, args: Args<'_>) {
    if let Some(call) = called()
        && !begin_plain(ctx, args, call)
    {
        return;
    }
    let error = match ON_FAILURE.with(|what| *what) {
        Ok(what) => (what.refused)(ctx),
        Err(_) => CmdError::PoolFull,
    };
    note_failure(&error);
    ctx.reply_failure(&error);
}

/// Tries a command again that has found no room, if some is found for it.
#[cold]
fn try_with_room(ctx: &Ctx, command: impl Fn() -> Result<(), CmdError>) -> Result<(), CmdError> {
    let Ok(what) = ON_FAILURE.with(|what| *what) else {
        return Err(CmdError::PoolFull);
    };
    let start = Instant::now();
    let mut outcome = Err(CmdError::PoolFull);
    for again in 0.. {
        let waited = start.elapsed();
        if outcome != Err(CmdError::PoolFull)
            || !ctx.has_not_replied()
            || !(what.find_room)(ctx, Tried { waited, again })
        {
            break;
        }
        outcome = command();
    }
    match outcome {
        Err(CmdError::PoolFull) => Err((what.refused)(ctx)),
        other => other,
    }
}

/// Reports what a command has failed with.
#[cold]
pub(super) fn note_failure(error: &CmdError) {
    if let Ok(what) = ON_FAILURE.with(|what| *what) {
        (what.failed)(error);
    }
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

/// What is done before and after a command that writes, on servers that say nothing of what they
/// send.
pub struct Around {
    /// Before the handler.
    pub begins: fn(),
    /// After it, before its reply can leave.
    pub ends: fn(),
}

static AROUND: OnceLock<Around> = OnceLock::new();

/// Has commands that write be surrounded, which were added before or come later. `false` if they
/// are already.
pub fn surround_writes(around: Around) -> bool {
    AROUND.set(around).is_ok()
}

/// [`run`] for a command that writes.
unsafe extern "C" fn run_writing<H: Handler>(
    ctx: *mut rm::RedisModuleCtx,
    argv: *mut *mut rm::RedisModuleString,
    argc: c_int,
) -> c_int {
    if REFUSES.load(Ordering::Relaxed) && guard(false, refuses) {
        // SAFETY: Redis passes a live context and `argc` strings, all for the time of the call.
        let (ctx, args) = unsafe { (Ctx::from_raw(ctx), Args::from_raw(argv, argc)) };
        guard((), || refuse(&ctx, args));
        return rm::REDISMODULE_OK as c_int;
    }
    let around = AROUND.get();
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

impl Ctx {
    /// The registered command of this name, for the module's own commands only.
    pub(super) fn command(&self, name: &CStr) -> Option<*mut rm::RedisModuleCommand> {
        // SAFETY: live context and C string; the command lives as long as the module.
        let command = unsafe { rm::RedisModule_GetCommand?(self.raw(), name.as_ptr()) };
        (!command.is_null()).then_some(command)
    }
}
