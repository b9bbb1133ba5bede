//! Native commands that the module runs in the server's stead: the server's names, the module's
//! data.
//!
//! A command filter could give SET the name PM.SET before it is looked up. But then it is another
//! command to the server: the user's ACL rules, the arity, the statistics, MONITOR, SLOWLOG and
//! what COMMAND tells would be those of `pm.set`, and neither ACL DRYRUN nor COMMAND GETKEYS nor
//! the loading of an AOF passes a filter. So the server's own entry of SET in its table of commands
//! stays as it is, with name, flags, keys, categories and counters, and only the function in it is
//! replaced: by one that runs the handler of PM.SET, or else the server's own function.
//!
//! The module API does not offer this. What it rests on is looked for in the running server, and
//! anything else than expected refuses it before a word is written:
//!
//! * The server exports its functions to find a command, to run one of a module, and to keep a
//!   command that has run from being propagated (all servers from Redis 7.0 on do; modules could
//!   not print stack traces otherwise). They lie in one program.
//! * The entries of all commands of this module have, at one distance from their beginning, the
//!   function that runs commands of modules, and at another the handle that the API gives for the
//!   command.
//! * The entry of a native command has, at the first distance, the beginning of a function of that
//!   program whose name ends in `Command`; at the second, nothing.
//!
//! A native command that runs through [`super::Handler`]s is not propagated by the server, as
//! commands of modules are not: handlers do that.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::imports::home;
use super::{Arg, Args, Ctx, OwnedString};
use crate::error::CmdError;
use store::value::ValueType;

/// A client, as the server has it.
type Client = *mut c_void;
/// What runs a command.
type Function = unsafe extern "C" fn(Client);
type LookUp = unsafe extern "C" fn(*const c_char) -> *mut usize;
type LookUpOriginal = unsafe extern "C" fn(*const Arg<'_>, c_int) -> *mut usize;

/// Where a command has its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysAt {
    /// One, the first argument.
    First,
    /// Elsewhere, or several: the server tells.
    Elsewhere,
    /// It looks for itself whose keys it meets.
    Any,
}

/// A native command that the module has a counterpart of.
#[derive(Clone, Debug)]
pub struct StandIn {
    /// The native command's name, in lower case; that of a part follows the container's after a
    /// `|`.
    pub native: String,
    /// The counterpart's.
    pub own: String,
    /// Where its keys are.
    pub keys: KeysAt,
    /// Whether it may change them.
    pub writes: bool,
    /// The types of values that it works on.
    pub takes: &'static [ValueType],
    /// One more, which it works on as well.
    pub takes_too: Option<ValueType>,
    /// Whether only the first of its keys that holds a value matters.
    pub first_key_only: bool,
}

/// Whose a command under its native name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The module's.
    Ours,
    /// The server's.
    Native,
    /// Its keys are on both sides.
    Both,
}

/// What to do with a command under its native name that has met a value of another type.
#[derive(Clone, Debug, PartialEq)]
pub enum Way {
    /// The error stays.
    Fail,
    /// Another error takes its place.
    Refuse(CmdError),
    /// The server runs it.
    Native,
    /// The handler runs again.
    Again,
}

/// The rules by which commands under native names are told apart.
pub struct Rules {
    /// Asked for each command while [`look_closer`] holds.
    pub side: fn(&Ctx, Args<'_>, &StandIn) -> Side,
    /// Asked when a handler has failed because of a value's type, before it has replied or changed
    /// anything.
    pub other_type: fn(&Ctx, Args<'_>, &StandIn) -> Way,
}

/// A command that the module stands in for.
struct Slot {
    about: StandIn,
    /// The command's entry in the server's table.
    entry: NonNull<usize>,
    /// The handle of the counterpart.
    handle: usize,
    /// The server's function.
    native: Function,
}

/// What is known of the server.
struct Plan {
    /// Runs a command of a module.
    dispatch: Function,
    /// Keeps the running command from being propagated.
    prevent: Function,
    /// In words from an entry's beginning: the function.
    function_at: usize,
    /// In words from an entry's beginning: a module's handle.
    handle_at: usize,
    slots: Vec<Slot>,
    rules: &'static Rules,
}

// SAFETY: the entries live as long as the server; they are written by the thread that runs commands
// only.
unsafe impl Send for Plan {}
// SAFETY: as above; all else is never changed.
unsafe impl Sync for Plan {}

static PLAN: OnceLock<Plan> = OnceLock::new();
/// The number of the slot that is about to be dispatched, plus one; 0 for none.
static CALLED: AtomicUsize = AtomicUsize::new(0);
/// The command that was dispatched is to be run by the server.
static DECLINED: AtomicBool = AtomicBool::new(false);
/// Whether [`Rules::side`] has to be asked.
static CLOSER: AtomicBool = AtomicBool::new(false);
/// Whether the module stands in for native commands, and whether for all keys.
static STANDS_IN: AtomicBool = AtomicBool::new(false);
static FOR_ALL_KEYS: AtomicBool = AtomicBool::new(false);

/// From now on, the rules are asked for each command, or no more.
pub fn look_closer(closer: bool) {
    CLOSER.store(closer, Ordering::Relaxed);
}

/// Whether the module stands in for native commands.
#[inline]
pub fn stands_in() -> bool {
    STANDS_IN.load(Ordering::Relaxed)
}

/// Whether it does so whatever their keys are.
#[inline]
pub fn stands_in_for_all_keys() -> bool {
    FOR_ALL_KEYS.load(Ordering::Relaxed)
}

/// A command under its native name, in the trampoline of its handler.
#[derive(Clone, Copy)]
pub(super) struct Call {
    plan: &'static Plan,
    slot: &'static Slot,
}

/// Whether the handler that begins was called under a native name: told once.
#[inline]
pub(super) fn called() -> Option<Call> {
    match CALLED.load(Ordering::Relaxed) {
        0 => None,
        number => find_call(number),
    }
}

#[inline]
fn find_call(number: usize) -> Option<Call> {
    CALLED.store(0, Ordering::Relaxed);
    let plan = PLAN.get()?;
    let slot = plan.slots.get(number - 1)?;
    Some(Call { plan, slot })
}

impl Call {
    /// Whose it is; asked before the handler runs.
    #[inline]
    pub(super) fn side(self, ctx: &Ctx, args: Args<'_>) -> Side {
        if CLOSER.load(Ordering::Relaxed) {
            self.asked_side(ctx, args)
        } else {
            Side::Ours
        }
    }

    #[cold]
    fn asked_side(self, ctx: &Ctx, args: Args<'_>) -> Side {
        (self.plan.rules.side)(ctx, args, &self.slot.about)
    }

    /// What to do about an error of the handler, which has not replied.
    #[cold]
    pub(super) fn way(self, ctx: &Ctx, args: Args<'_>, error: &CmdError) -> Way {
        match error {
            CmdError::Native => Way::Native,
            CmdError::WrongType | CmdError::WrongTypeFor(_) => {
                (self.plan.rules.other_type)(ctx, args, &self.slot.about)
            }
            _ => Way::Fail,
        }
    }

    /// Has the server run the command, when the trampoline has returned.
    #[cold]
    pub(super) fn decline(self) {
        DECLINED.store(true, Ordering::Relaxed);
    }
}

/// Takes the place of the server's function of the `N`-th slot.
unsafe extern "C" fn stand_in<const N: usize>(client: Client) {
    // SAFETY: the server calls this as it would call its own function, with a live client that runs
    // the command.
    unsafe { take_place(N, client) }
}

/// # Safety
/// As for the server's own function of that slot.
#[inline]
unsafe fn take_place(n: usize, client: Client) {
    let Some(plan) = PLAN.get() else { return };
    CALLED.store(n + 1, Ordering::Relaxed);
    // SAFETY: the client's command has the handle of the counterpart, whose trampoline this calls.
    unsafe { (plan.dispatch)(client) };
    if DECLINED.load(Ordering::Relaxed) {
        DECLINED.store(false, Ordering::Relaxed);
        // SAFETY: by the contract.
        unsafe { run_native(plan, n, client) };
    } else {
        // SAFETY: a live client that runs a command.
        unsafe { (plan.prevent)(client) };
    }
}

/// Runs the server's own function. Some look at which function the command has: it is put back
/// meanwhile.
///
/// # Safety
/// As for [`take_place`].
#[cold]
unsafe fn run_native(plan: &Plan, n: usize, client: Client) {
    let Some(slot) = plan.slots.get(n) else {
        return;
    };
    // SAFETY: the entry was looked at when the plan was made; the function takes the client that it
    // was called with.
    unsafe {
        let function = slot.entry.as_ptr().add(plan.function_at);
        let ours = function.read();
        function.write(slot.native as usize);
        (slot.native)(client);
        function.write(ours);
    }
}

/// Sixteen functions, for the slots from `16 * high` on.
macro_rules! sixteen {
    ($high:literal: $($low:literal)*) => {
        [$(stand_in::<{ 16 * $high + $low }>),*]
    };
    ($($high:literal)*) => {
        [$(sixteen!($high: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)),*]
    };
}

/// As many functions as there may be slots.
static FUNCTIONS: [[Function; 16]; 16] = sixteen!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);

/// How far into an entry it is looked, in words. Those of known servers have their last word of
/// interest before the 80th.
const REACH: usize = 96;

impl Ctx {
    /// Stands in for native commands, as far as the server has them, by `rules`, whatever their
    /// keys are or not. Only as the last step of loading that may fail: it cannot be undone. The
    /// number of those that the server has.
    ///
    /// # Errors
    /// What is not as expected in this server; nothing was done then.
    pub fn stand_in(
        &self,
        commands: &[StandIn],
        rules: &'static Rules,
        all_keys: bool,
    ) -> Result<usize, String> {
        let plan = self.plan(commands, rules)?;
        let count = plan.slots.len();
        let plan = PLAN.get_or_init(|| plan);
        for (slot, function) in plan.slots.iter().zip(FUNCTIONS.as_flattened()) {
            // SAFETY: both words were read, and found to be what they are for, a moment ago; the
            // server keeps its entries in writable memory. Commands run on this thread, or while it
            // waits.
            unsafe {
                let entry = slot.entry.as_ptr();
                entry.add(plan.handle_at).write(slot.handle);
                entry.add(plan.function_at).write(*function as usize);
            }
        }
        STANDS_IN.store(true, Ordering::Relaxed);
        FOR_ALL_KEYS.store(all_keys, Ordering::Relaxed);
        Ok(count)
    }

    fn plan(&self, commands: &[StandIn], rules: &'static Rules) -> Result<Plan, String> {
        let dispatchers = [
            c"RedisModuleCommandDispatcher",
            c"ValkeyModuleCommandDispatcher",
        ];
        let dispatcher = dispatchers.into_iter().find_map(symbol);
        let dispatcher = dispatcher.ok_or("it does not export how it runs a module's command")?;
        let server = home(dispatcher.as_ptr());
        let exported = |name: &CStr| {
            symbol(name)
                .filter(|found| home(found.as_ptr()) == server)
                .ok_or_else(|| format!("it does not export {name:?}"))
        };
        let (look_up, original, prevent) = (
            exported(c"lookupCommandByCString")?,
            exported(c"lookupCommandOrOriginal")?,
            exported(c"preventCommandPropagation")?,
        );
        // SAFETY: functions of the server that have had these names and types since Redis 7.0.
        let (dispatch, prevent, look_up, original) = unsafe {
            (
                std::mem::transmute::<*mut c_void, Function>(dispatcher.as_ptr()),
                std::mem::transmute::<*mut c_void, Function>(prevent.as_ptr()),
                std::mem::transmute::<*mut c_void, LookUp>(look_up.as_ptr()),
                std::mem::transmute::<*mut c_void, LookUpOriginal>(original.as_ptr()),
            )
        };
        let (mut distances, mut slots) = (None, Vec::new());
        for about in commands {
            let own = CString::new(about.own.as_str()).map_err(|error| error.to_string())?;
            let handle = self.command(&own).map(|handle| handle as usize);
            let handle = handle.ok_or_else(|| format!("there is no command {own:?}"))?;
            // SAFETY: a C string; the command was registered.
            let entry = NonNull::new(unsafe { look_up(own.as_ptr()) });
            let entry = entry.ok_or_else(|| format!("there is no entry of {own:?}"))?;
            let found = distance(entry, dispatcher.as_ptr() as usize).zip(distance(entry, handle));
            let found =
                found.ok_or_else(|| format!("the entry of {own:?} is of an unknown form"))?;
            if *distances.get_or_insert(found) != found {
                return Err(format!("the entry of {own:?} is of another form"));
            }
            let words = about
                .native
                .split('|')
                .map(|word| OwnedString::new(word.as_bytes()));
            let words: Vec<OwnedString> = words.collect();
            let argv: Vec<Arg<'_>> = words.iter().map(OwnedString::arg).collect();
            // SAFETY: Arg is a pointer to a live string, as the server's own arguments are, and it
            // only reads them.
            let entry = unsafe { original(argv.as_ptr(), argv.len() as c_int) };
            let Some(entry) = NonNull::new(entry) else {
                continue;
            };
            let native = native_function(entry, found, server)
                .ok_or_else(|| format!("the entry of {} is of an unknown form", about.native))?;
            slots.push(Slot {
                about: about.clone(),
                entry,
                handle,
                native,
            });
        }
        let (function_at, handle_at) = distances.ok_or("there are no commands")?;
        if slots.len() > FUNCTIONS.as_flattened().len() {
            return Err("there are too many commands".into());
        }
        Ok(Plan {
            dispatch,
            prevent,
            function_at,
            handle_at,
            slots,
            rules,
        })
    }
}

/// What the process exports under a name.
fn symbol(name: &CStr) -> Option<NonNull<c_void>> {
    // SAFETY: looks up a C string in the program and its libraries.
    NonNull::new(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) })
}

/// At which word of an entry a value is.
fn distance(entry: NonNull<usize>, value: usize) -> Option<usize> {
    (0..REACH).find(|&at| word(entry, at) == Some(value))
}

/// A word of an entry; `None` if there is no memory.
fn word(entry: NonNull<usize>, at: usize) -> Option<usize> {
    const PAGE: usize = 4096;
    let address = entry.as_ptr().wrapping_add(at);
    // SAFETY: the call tells of pages that are not there, and changes nothing of the others. A word
    // in a page that is there can be read: entries lie in the program's data and in its heap.
    unsafe {
        let page = std::ptr::without_provenance_mut(address.addr() & !(PAGE - 1));
        (libc::msync(page, PAGE, libc::MS_ASYNC) == 0).then(|| address.read())
    }
}

/// The function of a native command's entry, if it is one.
fn native_function(
    entry: NonNull<usize>,
    (function_at, handle_at): (usize, usize),
    server: Option<NonNull<c_void>>,
) -> Option<Function> {
    let address = word(entry, function_at)?;
    let address = NonNull::new(std::ptr::with_exposed_provenance_mut::<c_void>(address))?;
    let is_one = word(entry, handle_at) == Some(0)
        && home(address.as_ptr()) == server
        && name_of(address).is_some_and(|name| name.ends_with("Command"));
    // SAFETY: a function of the server that runs a command, by its place and its name.
    is_one.then(|| unsafe { std::mem::transmute::<*mut c_void, Function>(address.as_ptr()) })
}

/// The exported name of what begins at an address.
fn name_of(address: NonNull<c_void>) -> Option<String> {
    // SAFETY: all zeroes is a value of the struct of pointers; dladdr takes any address and fills
    // it; the name, if there is one, is a C string that lives as long as the program.
    unsafe {
        let mut found = std::mem::zeroed::<libc::Dl_info>();
        let known = libc::dladdr(address.as_ptr(), &mut found) != 0
            && found.dli_saddr == address.as_ptr()
            && !found.dli_sname.is_null();
        known.then(|| {
            CStr::from_ptr(found.dli_sname)
                .to_string_lossy()
                .into_owned()
        })
    }
}
