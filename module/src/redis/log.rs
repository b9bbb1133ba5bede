//! Lines in the server's log.

use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicPtr, Ordering};

use redis_module::raw as rm;

/// How important a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Rarely useful.
    Verbose,
    /// What an administrator wants to see in production.
    Notice,
    /// What an administrator must see.
    Warning,
}

impl Level {
    fn name(self) -> &'static CStr {
        match self {
            Level::Verbose => c"verbose",
            Level::Notice => c"notice",
            Level::Warning => c"warning",
        }
    }
}

/// A context that outlives all callbacks: it puts the module's name before lines logged without
/// one.
static MODULE: AtomicPtr<rm::RedisModuleCtx> = AtomicPtr::new(std::ptr::null_mut());

/// Remembers a detached context of the module that is being loaded.
///
/// # Safety
/// `ctx` must be the context of `RedisModule_OnLoad`, after a successful `RedisModule_Init`.
pub(super) unsafe fn attach(ctx: *mut rm::RedisModuleCtx) {
    // SAFETY: by the contract, the context has a module; the new one belongs to us, for good.
    let detached = unsafe { super::api(rm::RedisModule_GetDetachedThreadSafeContext)(ctx) };
    MODULE.store(detached, Ordering::Relaxed);
}

/// The module's own context, for what needs one where no callback brings it.
pub(super) fn module_context() -> *mut rm::RedisModuleCtx {
    MODULE.load(Ordering::Relaxed)
}

/// Writes a line to the server's log, from any thread. Outside a server it goes to stderr.
pub fn log(level: Level, line: &str) {
    // SAFETY: a copy of the pointer, which is written once, before the module runs.
    let Some(write) = (unsafe { rm::RedisModule_Log }) else {
        eprintln!("{line}");
        return;
    };
    let line = c_string(line);
    // SAFETY: RM_Log takes a NULL context too; the format consumes exactly one C string.
    unsafe {
        write(
            module_context(),
            level.name().as_ptr(),
            c"%s".as_ptr(),
            line.as_ptr(),
        )
    }
}

/// A C string of `text`, up to a zero byte if it holds one.
pub(super) fn c_string(text: impl Into<Vec<u8>>) -> CString {
    let mut bytes = text.into();
    if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
        bytes.truncate(end);
    }
    CString::new(bytes).unwrap_or_default()
}
