//! A section of the module in the server's INFO.

use std::ffi::{CStr, c_int};

use redis_module::raw as rm;

use super::{Ctx, api, guard, zero_sized};

/// The names and numbers of a section.
pub type InfoFields = Vec<(&'static CStr, u64)>;

/// The section's name; the server puts the module's before it.
const SECTION: &CStr = c"filling";

unsafe extern "C" fn on_info<S: Fn() -> Option<InfoFields> + Copy + 'static>(
    ctx: *mut rm::RedisModuleInfoCtx,
    _for_crash_report: c_int,
) {
    let Some(fields) = guard(None, || zero_sized::<S>()()) else {
        return;
    };
    // SAFETY: Redis passes a context that lives for the call, and copies the strings.
    unsafe {
        let begun = api(rm::RedisModule_InfoAddSection)(ctx, SECTION.as_ptr());
        if begun != rm::REDISMODULE_OK as c_int {
            // Other sections are asked for.
            return;
        }
        for (name, value) in fields {
            api(rm::RedisModule_InfoAddFieldULongLong)(ctx, name.as_ptr(), value);
        }
    }
}

impl Ctx {
    /// Adds the section to what `INFO everything`, `INFO modules` and `INFO` of the module's name tell. `fields` tells
    /// what is in it, if that can be told. While the module is being loaded.
    pub fn add_info<S: Fn() -> Option<InfoFields> + Copy + 'static>(&self, _fields: S) {
        // SAFETY: live context; the callback is a function.
        unsafe { api(rm::RedisModule_RegisterInfoFunc)(self.raw(), Some(on_info::<S>)) };
    }
}
