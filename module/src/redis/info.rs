//! Sections of the module in the server's INFO.

use std::ffi::{CString, c_int};

use redis_module::raw as rm;

use super::{Ctx, api, guard, log::c_string};

/// What a field of INFO tells.
#[derive(Clone, Debug, PartialEq)]
pub enum InfoValue {
    /// A text without line breaks.
    Text(String),
    /// A number.
    Count(u64),
    /// A ratio.
    Ratio(f64),
    /// Numbers that have names: `field:name=1,other=2`.
    Counts(Vec<(&'static str, u64)>),
}

/// The fields of a section, in their order.
pub type InfoFields = Vec<(String, InfoValue)>;

/// Sections for INFO, by their number.
pub trait InfoSections: 'static {
    /// Their names, in lower case; the server puts the module's before each, and before each field.
    fn names() -> Vec<&'static str>;

    /// What a section tells; `None` if that cannot be told now.
    fn fields(at: usize) -> Option<InfoFields>;
}

unsafe extern "C" fn on_info<S: InfoSections>(
    ctx: *mut rm::RedisModuleInfoCtx,
    for_crash_report: c_int,
) {
    if for_crash_report != 0 {
        // What has crashed may be what would be asked.
        return;
    }
    for (at, name) in guard(Vec::new(), S::names).into_iter().enumerate() {
        let name = c_string(name);
        // SAFETY: the server passes a context that lives for the call, and copies the string.
        let begun = unsafe { api(rm::RedisModule_InfoAddSection)(ctx, name.as_ptr()) };
        if begun != rm::REDISMODULE_OK as c_int {
            // Other sections are asked for.
            continue;
        }
        let fields = guard(None, || S::fields(at)).unwrap_or_default();
        for (name, value) in fields {
            // SAFETY: a live context, of which a section was begun.
            unsafe { add_field(ctx, &c_string(name), value) };
        }
    }
}

/// # Safety
/// A live context, of which a section was begun.
unsafe fn add_field(ctx: *mut rm::RedisModuleInfoCtx, name: &CString, value: InfoValue) {
    let name = name.as_ptr();
    // SAFETY: by the contract; the server copies the strings.
    unsafe {
        match value {
            InfoValue::Count(count) => {
                api(rm::RedisModule_InfoAddFieldULongLong)(ctx, name, count);
            }
            InfoValue::Ratio(ratio) => {
                let text = c_string(format!("{ratio:.3}"));
                api(rm::RedisModule_InfoAddFieldCString)(ctx, name, text.as_ptr());
            }
            InfoValue::Text(text) => {
                let text = c_string(text);
                api(rm::RedisModule_InfoAddFieldCString)(ctx, name, text.as_ptr());
            }
            InfoValue::Counts(counts) => {
                api(rm::RedisModule_InfoBeginDictField)(ctx, name);
                for (name, count) in counts {
                    let name = c_string(name);
                    api(rm::RedisModule_InfoAddFieldULongLong)(ctx, name.as_ptr(), count);
                }
                api(rm::RedisModule_InfoEndDictField)(ctx);
            }
        }
    }
}

impl Ctx {
    /// Adds sections to what `INFO everything`, `INFO modules` and `INFO` of the module's name
    /// tell. While the module is being loaded.
    pub fn add_info<S: InfoSections>(&self) {
        // SAFETY: live context; the callback is a function.
        unsafe { api(rm::RedisModule_RegisterInfoFunc)(self.raw(), Some(on_info::<S>)) };
    }
}
