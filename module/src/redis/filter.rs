//! A look at each command before it runs.

use std::ffi::c_int;
use std::marker::PhantomData;

use redis_module::raw as rm;

use super::key_specs::keys_by_specs;
use super::served::{any_served, was_served};
use super::{Arg, Ctx, OwnedString, api, guard, module_ctx, zero_sized};
use store::number::parse_i64;

/// A command that is about to run, of any client: its name and arguments.
pub struct FilterArgs<'a> {
    raw: *mut rm::RedisModuleCommandFilterCtx,
    life: PhantomData<&'a ()>,
}

impl<'a> FilterArgs<'a> {
    pub(super) fn raw(&self) -> *mut rm::RedisModuleCommandFilterCtx {
        self.raw
    }

    /// How many there are, the command's name included.
    #[allow(
        clippy::len_without_is_empty,
        reason = "the command's name is always there"
    )]
    pub fn len(&self) -> usize {
        // SAFETY: live for the callback's time.
        let len = unsafe { api(rm::RedisModule_CommandFilterArgsCount)(self.raw) };
        usize::try_from(len).unwrap_or(0)
    }

    /// The argument at `i`, where 0 is the command's name.
    pub fn get(&self, i: usize) -> Option<Arg<'a>> {
        let i = c_int::try_from(i).ok()?;
        // SAFETY: live for the callback's time, as is the argument; NULL beyond the last one.
        unsafe { Arg::from_raw(api(rm::RedisModule_CommandFilterArgGet)(self.raw, i)) }
    }
}

impl FilterArgs<'_> {
    /// The words of the command, its name first.
    pub fn words(&self) -> Vec<Arg<'_>> {
        (0..self.len()).map_while(|i| self.get(i)).collect()
    }

    /// Puts another command in the place of this one, and gives that. What was looked at of this
    /// one is gone.
    pub fn replace_by(self, words: &[&[u8]]) -> Self {
        let strings = words.iter().map(|word| OwnedString::new(word).into_raw());
        for (at, string) in strings.enumerate() {
            // SAFETY: live for the callback's time; the string is the server's from here on.
            let status = unsafe {
                let at = at as c_int;
                if at < api(rm::RedisModule_CommandFilterArgsCount)(self.raw) {
                    api(rm::RedisModule_CommandFilterArgReplace)(self.raw, at, string)
                } else {
                    api(rm::RedisModule_CommandFilterArgInsert)(self.raw, at, string)
                }
            };
            debug_assert_eq!(status, rm::REDISMODULE_OK as c_int);
        }
        while self.len() > words.len() {
            // SAFETY: live for the callback's time; there is such an argument.
            let status = unsafe {
                api(rm::RedisModule_CommandFilterArgDelete)(self.raw, words.len() as c_int)
            };
            if status != rm::REDISMODULE_OK as c_int {
                break;
            }
        }
        self
    }
}

impl FilterArgs<'_> {
    /// Puts words in front of this command, the first of which becomes its name.
    pub fn put_in_front(self, words: &[&[u8]]) {
        for (at, word) in words.iter().enumerate() {
            // SAFETY: live for the callback's time; the string is the server's from here on.
            let status = unsafe {
                let string = OwnedString::new(word).into_raw();
                api(rm::RedisModule_CommandFilterArgInsert)(self.raw, at as c_int, string)
            };
            debug_assert_eq!(status, rm::REDISMODULE_OK as c_int);
        }
    }
}

/// The keys that a command names, as the server finds them; none if there is no such command, if it
/// has no keys, or if it has too few arguments.
pub fn keys_of<'a>(words: &[Arg<'a>]) -> Vec<Arg<'a>> {
    let name = words.first().map(|name| name.bytes().to_ascii_lowercase());
    keys_with_flags(&name.unwrap_or_default(), words)
        .into_iter()
        .map(|(key, _)| key)
        .collect()
}

/// [`keys_of`], of a command whose native name is known: `rename-command` may have given it another
/// one.
pub fn keys_of_native<'a>(native: &str, words: &[Arg<'a>]) -> Vec<Arg<'a>> {
    keys_with_flags(native.as_bytes(), words)
        .into_iter()
        .map(|(key, _)| key)
        .collect()
}

/// Those of them whose values matter to the command: it does not just put others in their place.
pub fn keys_looked_at<'a>(native: &str, words: &[Arg<'a>]) -> Vec<Arg<'a>> {
    let overwrites = rm::REDISMODULE_CMD_KEY_OW as c_int;
    keys_with_flags(native.as_bytes(), words)
        .into_iter()
        .filter(|(_, flags)| flags & overwrites == 0)
        .map(|(key, _)| key)
        .collect()
}

/// The keys that a command names, and what it does with them. As the server does it: by their
/// specifications, if these tell all, and else by asking the command.
fn keys_with_flags<'a>(native: &[u8], words: &[Arg<'a>]) -> Vec<(Arg<'a>, c_int)> {
    keys_by_specs(native, words).unwrap_or_else(|| keys_by_command(words))
}

/// The keys that a command names, and what it does with them, if it tells that itself; else nothing
/// is known of what it does (0).
fn keys_by_command<'a>(words: &[Arg<'a>]) -> Vec<(Arg<'a>, c_int)> {
    let mut found = Vec::new();
    if let (Some(ctx), Ok(argc)) = (module_ctx(), c_int::try_from(words.len())) {
        let (mut count, mut flags) = (0, std::ptr::null_mut());
        // SAFETY: live context; Arg is a pointer to a live string, and the server changes neither
        // these nor their array. The results, NULL or arrays of as many numbers as it says, are
        // ours to free after the last look.
        unsafe {
            let argv = words.as_ptr().cast_mut().cast();
            let get = api(rm::RedisModule_GetCommandKeysWithFlags);
            let positions = get(ctx.raw(), argv, argc, &mut count, &mut flags);
            if !positions.is_null() {
                let count = usize::try_from(count).unwrap_or(0);
                let positions = std::slice::from_raw_parts(positions, count).iter();
                let keys = positions.enumerate().filter_map(|(i, &at)| {
                    let key = words.get(usize::try_from(at).ok()?).copied()?;
                    let flags = (!flags.is_null()).then(|| flags.add(i).read());
                    Some((key, flags.unwrap_or(0)))
                });
                found = keys.collect();
            }
            api(rm::RedisModule_Free)(positions.cast());
            api(rm::RedisModule_Free)(flags.cast());
        }
    }
    found
}

/// CLIENT UNBLOCK finds nobody who waits under the number of a client that was served, as natively.
#[cold]
fn spare_served(args: FilterArgs<'_>) -> FilterArgs<'_> {
    /// A number that no client has.
    const NOBODY: &[u8] = b"0";
    let words: Vec<Vec<u8>> = args
        .words()
        .iter()
        .map(|word| word.bytes().to_vec())
        .collect();
    let mut words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let [command, part, client, ..] = words.as_mut_slice() else {
        return args;
    };
    let asks = command.eq_ignore_ascii_case(b"CLIENT") && part.eq_ignore_ascii_case(b"UNBLOCK");
    let number = parse_i64(client).and_then(|number| u64::try_from(number).ok());
    if !asks || !number.is_some_and(was_served) {
        return args;
    }
    *client = NOBODY;
    args.replace_by(&words)
}

unsafe extern "C" fn on_filter<H: Fn(FilterArgs<'_>) + Copy + 'static>(
    raw: *mut rm::RedisModuleCommandFilterCtx,
) {
    let args = FilterArgs {
        raw,
        life: PhantomData,
    };
    guard((), || {
        let args = if any_served() {
            spare_served(args)
        } else {
            args
        };
        zero_sized::<H>()(args);
    });
}

impl Ctx {
    /// Shows every command to `filter` before it runs, even before its name is looked up. This
    /// costs all commands, native ones too, a few nanoseconds.
    pub fn filter_commands<H: Fn(FilterArgs<'_>) + Copy + 'static>(&self, _filter: H) {
        // SAFETY: live context; the callback is a function.
        unsafe { api(rm::RedisModule_RegisterCommandFilter)(self.raw(), Some(on_filter::<H>), 0) };
    }
}
