//! Which keys a command uses, where its arguments must be parsed to know, and what its user may.

use std::ffi::c_int;

use redis_module::raw as rm;

use super::{Arg, Args, Ctx, OwnedString, Reply, api};
use crate::error::CmdError;

/// Whom a client is taken for that has not shown who it is.
const DEFAULT_USER: &[u8] = b"default";

/// What a command does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// It reads the value.
    Read,
    /// It puts another value there, whatever was there.
    Overwrite,
    /// It reads the value and deletes the key.
    Take,
    /// It reads the value and changes it.
    Update,
}

/// A user of the server's.
struct User {
    /// The module's own handle of it, which is freed with this.
    handle: *mut rm::RedisModuleUser,
    name: Vec<u8>,
}

impl User {
    /// Whether it may run a command with these words on its keys, as the rules are now.
    fn may_run(&self, words: &[Arg<'_>]) -> bool {
        let argv = words.as_ptr().cast_mut().cast();
        // SAFETY: a live user; the words are live strings, and the server changes neither these nor
        // their array.
        let status = unsafe {
            let check = api(rm::RedisModule_ACLCheckCommandPermissions);
            check(self.handle, argv, words.len() as c_int)
        };
        status == rm::REDISMODULE_OK as c_int
    }
}

/// Whether a client has shown who it is, as far as a module can tell: to the API, one that has not
/// is the default user, as is one that has given that user's password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// It has, or need not.
    Shown,
    /// It may have, or not.
    Unclear,
    /// It has not.
    NotShown,
}

impl Drop for User {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and this is its last use.
        unsafe { api(rm::RedisModule_FreeModuleUser)(self.handle) };
    }
}

impl Ctx {
    /// True if a handler registered with the flag `getkeys-api` is not to run, but to tell its keys
    /// and return: there is no client, and nothing may be replied.
    pub fn asks_for_keys(&self) -> bool {
        // SAFETY: live context.
        unsafe { api(rm::RedisModule_IsKeysPositionRequest)(self.raw()) != 0 }
    }

    /// Tells that the argument at `at` is a key; only if [`Ctx::asks_for_keys`].
    pub fn tell_key(&self, at: usize, key_use: KeyUse) {
        let flags = match key_use {
            KeyUse::Read => rm::REDISMODULE_CMD_KEY_RO | rm::REDISMODULE_CMD_KEY_ACCESS,
            KeyUse::Overwrite => rm::REDISMODULE_CMD_KEY_OW | rm::REDISMODULE_CMD_KEY_UPDATE,
            KeyUse::Take => {
                rm::REDISMODULE_CMD_KEY_RW
                    | rm::REDISMODULE_CMD_KEY_ACCESS
                    | rm::REDISMODULE_CMD_KEY_DELETE
            }
            KeyUse::Update => {
                rm::REDISMODULE_CMD_KEY_RW
                    | rm::REDISMODULE_CMD_KEY_ACCESS
                    | rm::REDISMODULE_CMD_KEY_UPDATE
            }
        };
        // SAFETY: live context; a position is a number below that of the arguments, an int.
        unsafe {
            api(rm::RedisModule_KeyAtPosWithFlags)(self.raw(), at as c_int, flags as c_int);
        }
    }

    /// Whether the client's user may read the value of a key, for a command of which the server
    /// knows only that it writes it. Where there is no user, everything is allowed, and so it is
    /// for a command under its native name, whose keys the server has checked. A refusal is noted
    /// in the server's log of them (ACL LOG).
    pub fn may_read(&self, key: Arg<'_>) -> bool {
        if self.is_plain() || !self.has_user() {
            return true;
        }
        let Some(user) = self.user() else {
            return false;
        };
        let access = rm::REDISMODULE_CMD_KEY_ACCESS as c_int;
        // SAFETY: a live user, and a live string.
        let status =
            unsafe { api(rm::RedisModule_ACLCheckKeyPermissions)(user.handle, key.raw(), access) };
        let allowed = status == rm::REDISMODULE_OK as c_int;
        if !allowed {
            let reason = rm::RedisModuleACLLogEntryReason_REDISMODULE_ACL_LOG_KEY;
            // SAFETY: live context; a live user, and a live string.
            unsafe {
                api(rm::RedisModule_ACLAddLogEntry)(self.raw(), user.handle, key.raw(), reason);
            }
        }
        allowed
    }

    /// Whether the client's user may run a command on its keys, as the rules are now. Where there
    /// is no user, everything is allowed.
    pub(super) fn may_run(&self, args: Args<'_>) -> bool {
        if !self.has_user() {
            return true;
        }
        self.user().is_some_and(|user| user.may_run(args.from(0)))
    }

    /// Whether the client's user may run `command`, whose first argument is a key, on every key.
    /// Where there is no user (the link to the master, a module), everything is allowed.
    ///
    /// The API only answers for a given key. So it is asked for one that nobody can guess, and the
    /// user's rules must say that all keys may be read.
    pub fn may_run_on_all_keys(&self, command: Arg<'_>) -> bool {
        if !self.has_user() {
            return true;
        }
        let unguessable = OwnedString::new(&fastrand::u128(..).to_le_bytes());
        self.user().is_some_and(|user| {
            user.may_run(&[command, unguessable.arg()])
                && self
                    .call(c"ACL", &[b"GETUSER", &user.name])
                    .is_some_and(|rules| reads_all_keys(&rules))
        })
    }

    /// Whether every user may run a command of these words, which names no key.
    pub fn everyone_may_run(&self, words: &[&[u8]]) -> bool {
        let words: Vec<OwnedString> = words.iter().map(|word| OwnedString::new(word)).collect();
        let words: Vec<Arg<'_>> = words.iter().map(OwnedString::arg).collect();
        let Some(Reply::Array(names)) = self.call(c"ACL", &[b"USERS"]) else {
            return false;
        };
        names.iter().all(|name| match name {
            Reply::Text(name) => user_named(name).is_some_and(|user| user.may_run(&words)),
            _ => false,
        })
    }

    /// Whether the client has shown who it is.
    pub fn identity(&self) -> Identity {
        // Only who has gets that far.
        if self.flags().in_multi_or_script() || !self.has_user() {
            return Identity::Shown;
        }
        match self.user() {
            None => return Identity::NotShown,
            Some(user) if user.name != DEFAULT_USER => return Identity::Shown,
            Some(_) => {}
        }
        let rules = self.call(c"ACL", &[b"GETUSER", DEFAULT_USER]);
        let Some(Reply::Array(rules)) = rules else {
            return Identity::Unclear;
        };
        let named = |rule: &[Reply]| rule[0] == Reply::Text(b"flags".to_vec());
        let flags = rules.chunks_exact(2).find(|rule| named(rule));
        let has = |flag: &[u8]| match flags {
            Some([_, Reply::Array(flags)]) => flags.contains(&Reply::Text(flag.to_vec())),
            _ => false,
        };
        if has(b"off") {
            Identity::NotShown
        } else if has(b"nopass") {
            Identity::Shown
        } else {
            Identity::Unclear
        }
    }

    /// If the client's user may not run a command of these words: the error of that, which is noted
    /// in the server's log of such (ACL LOG).
    pub fn denial(&self, words: &[Arg<'_>]) -> Option<CmdError> {
        if !self.has_user() {
            return None;
        }
        let user = self.user()?;
        if user.may_run(words) {
            return None;
        }
        let mut dry_run: Vec<&[u8]> = vec![b"DRYRUN", &user.name];
        dry_run.extend(words.iter().map(|word| word.bytes()));
        let text = match self.call(c"ACL", &dry_run) {
            Some(Reply::Text(text)) => String::from_utf8_lossy(&text).into_owned(),
            _ => "This user has no permissions to run the command".to_owned(),
        };
        let reason = if text.ends_with(" key") {
            rm::RedisModuleACLLogEntryReason_REDISMODULE_ACL_LOG_KEY
        } else {
            rm::RedisModuleACLLogEntryReason_REDISMODULE_ACL_LOG_CMD
        };
        let quoted = text
            .split_once("the '")
            .and_then(|(_, rest)| rest.rsplit_once('\''));
        let object = OwnedString::new(quoted.map_or("", |(object, _)| object).as_bytes());
        // SAFETY: live context; a live user, and a live string.
        unsafe {
            let add = api(rm::RedisModule_ACLAddLogEntry);
            add(self.raw(), user.handle, object.arg().raw(), reason);
        }
        // Redis 7.0 begins it so in errors.
        let text = text.replacen("This user", "this user", 1);
        let text = text.replace(['\r', '\n'], " ");
        Some(CmdError::Other(format!("NOPERM {text}").into()))
    }

    /// The user of a client that has one. `None` if there is none of its name any more.
    fn user(&self) -> Option<User> {
        // SAFETY: live context, of a client with a user; the name is a string of ours, and is freed
        // after its last use; the handle is `User`'s to free.
        unsafe {
            let name = api(rm::RedisModule_GetCurrentUserName)(self.raw());
            let text = Arg::from_raw(name)?.bytes().to_vec();
            let handle = api(rm::RedisModule_GetModuleUserFromUserName)(name);
            api(rm::RedisModule_FreeString)(self.raw(), name);
            (!handle.is_null()).then_some(User { handle, name: text })
        }
    }

    /// Whether a user is attached to the client. A call as that user fails without one before
    /// anything else is looked at; and it is made to fail in any case, by a format that does not
    /// exist.
    pub(super) fn has_user(&self) -> bool {
        // SAFETY: live context and C strings; a malformed call runs nothing and gives NULL.
        let reply = unsafe {
            let call = api(rm::RedisModule_Call);
            call(self.raw(), c"PING".as_ptr(), c"C?".as_ptr())
        };
        debug_assert!(reply.is_null());
        std::io::Error::last_os_error().raw_os_error() != Some(libc::ENOTSUP)
    }
}

/// The user of this name, if there is one.
fn user_named(name: &[u8]) -> Option<User> {
    let string = OwnedString::new(name);
    // SAFETY: a live string; the handle is `User`'s to free.
    let handle = unsafe { api(rm::RedisModule_GetModuleUserFromUserName)(string.arg().raw()) };
    let name = name.to_vec();
    (!handle.is_null()).then_some(User { handle, name })
}

/// Whether a user's rules, or one of the selectors among them, have all keys in what may be read.
fn reads_all_keys(rules: &Reply) -> bool {
    let Reply::Array(rules) = rules else {
        return false;
    };
    let is_here = rules.windows(2).any(|field| match (&field[0], &field[1]) {
        (Reply::Text(name), Reply::Text(keys)) if name == b"keys" => keys
            .split(|&byte| byte == b' ')
            .any(|pattern| matches!(pattern, b"~*" | b"%R~*")),
        _ => false,
    });
    is_here || rules.iter().any(reads_all_keys)
}
