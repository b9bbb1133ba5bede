//! Which databases the client's user may use, where the server keeps such rules (Valkey from 9.1
//! on).
//!
//! The server takes from the arguments which databases a command uses only for commands of its own;
//! of a module's it takes the selected one.

use std::ffi::{c_int, c_uint};
use std::sync::OnceLock;

use redis_module::raw as rm;

use super::newer::look_up;
use super::{Arg, Args, Ctx, OwnedString, api};

type Check = unsafe extern "C" fn(
    *mut rm::RedisModuleUser,
    *mut *mut rm::RedisModuleString,
    c_int,
    c_int,
    *mut c_uint,
) -> c_int;

/// The reason of a refusal that it is for the database.
const FOR_DATABASE: c_uint = 4;

/// The server's function that knows of databases, if it has one.
fn check() -> Option<Check> {
    static FUNCTION: OnceLock<Option<Check>> = OnceLock::new();
    // SAFETY: the type is that of the function, under either name.
    *FUNCTION.get_or_init(|| unsafe {
        look_up(c"RedisModule_ACLCheckPermissions")
            .or_else(|| look_up(c"ValkeyModule_ACLCheckPermissions"))
    })
}

impl Ctx {
    /// Whether the client's user may run the command in all databases of the server. See
    /// [`Ctx::may_use_databases`].
    pub fn may_use_all_databases(&self, args: Args<'_>, native: Option<&[u8]>) -> bool {
        if check().is_none() {
            return true;
        }
        let home = self.db();
        let count = (0..).take_while(|&db| self.select_db(db)).count();
        self.select_db(home);
        let command = args.from(0).first().copied();
        let all: Vec<i32> = (0..count as i32).collect();
        self.may_use_databases(args, native, &all, command)
    }

    /// Whether the client's user may run the command in each of these databases, and the rules on
    /// databases let the `native` command pass, with the same arguments. Databases that the server
    /// does not have are nobody's. A refusal is noted in the server's log of them (ACL LOG), as one
    /// of `object`. Where there is no user, or no such rule, everything is allowed.
    pub fn may_use_databases(
        &self,
        args: Args<'_>,
        native: Option<&[u8]>,
        dbs: &[i32],
        object: Option<Arg<'_>>,
    ) -> bool {
        let Some(check) = check().filter(|_| !dbs.is_empty() && !self.is_plain()) else {
            return true;
        };
        if !self.has_user() {
            return true;
        }
        let home = self.db();
        let known: Vec<i32> = dbs
            .iter()
            .copied()
            .filter(|&db| self.select_db(db))
            .collect();
        self.select_db(home);
        let native = native.map(OwnedString::new);
        let words: Vec<Arg<'_>> = args.from(0).to_vec();
        let natively = native.as_ref().map(|name| {
            let mut words = words.clone();
            words[0] = name.arg();
            words
        });
        // SAFETY: live context of a client with a user; the name and the user's handle live until
        // their last use, and are freed once, here; the words are live strings, and the server
        // changes neither these nor their array, and writes a reason where it may.
        unsafe {
            let name = api(rm::RedisModule_GetCurrentUserName)(self.raw());
            let user = api(rm::RedisModule_GetModuleUserFromUserName)(name);
            api(rm::RedisModule_FreeString)(self.raw(), name);
            if user.is_null() {
                return false;
            }
            let ask = |words: &[Arg<'_>], db| {
                let mut reason = 0;
                let argv = words.as_ptr().cast_mut().cast();
                let answer = check(user, argv, words.len() as c_int, db, &mut reason);
                (answer == rm::REDISMODULE_OK as c_int, reason)
            };
            // Of the native command, only what is said of databases counts.
            let passes = natively.is_none_or(|words| ask(&words, home) != (false, FOR_DATABASE));
            let allowed = passes && known.into_iter().all(|db| ask(&words, db).0);
            if !allowed && let Some(object) = object {
                api(rm::RedisModule_ACLAddLogEntry)(self.raw(), user, object.raw(), FOR_DATABASE);
            }
            api(rm::RedisModule_FreeModuleUser)(user);
            allowed
        }
    }
}
