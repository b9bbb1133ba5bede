//! Registration: what the server is told of a command.

use std::ffi::{CStr, c_int};

use redis_module::raw as rm;

use super::trampoline::{NumberedKeys, Runner};
use super::{Ctx, api, log};

/// The flags of a command whose handler tells its keys if it is asked.
fn telling(flags: &str) -> String {
    format!("{flags} getkeys-api")
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
        self.create(name, Some(run), &telling(flags), keys)
    }

    /// Adds a command that tells its keys when it is asked; the `keys` are those at fixed places.
    pub fn add_telling(
        &self,
        name: &str,
        runner: Runner,
        flags: &str,
        keys: (i32, i32, i32),
    ) -> Result<(), String> {
        self.create(name, Some(runner.for_flags(flags)), &telling(flags), keys)
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

impl Ctx {
    /// The registered command of this name, for the module's own commands only.
    pub(super) fn command(&self, name: &CStr) -> Option<*mut rm::RedisModuleCommand> {
        // SAFETY: live context and C string; the command lives as long as the module.
        let command = unsafe { rm::RedisModule_GetCommand?(self.raw(), name.as_ptr()) };
        (!command.is_null()).then_some(command)
    }
}
