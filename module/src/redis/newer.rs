//! API functions that the bindings do not have: asked for by name.

use std::ffi::{CStr, c_int, c_void};

use redis_module::raw as rm;

/// The API function of this name, if the server has it. Each call asks anew: keep the answer.
///
/// # Safety
/// `F` must be the type of a pointer to the function of this name.
pub(super) unsafe fn look_up<F: Copy>(name: &CStr) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    let mut found: *mut c_void = std::ptr::null_mut();
    // SAFETY: a copy of a pointer that Init wrote before; the call takes a C string, and a place
    // that it fills with a pointer if it knows the name.
    let status = unsafe { rm::RedisModule_GetApi?(name.as_ptr(), (&raw mut found).cast()) };
    let known = status == rm::REDISMODULE_OK as c_int && !found.is_null();
    // SAFETY: a pointer to a function of type `F`, by the contract, and of its size.
    known.then(|| unsafe { std::mem::transmute_copy::<*mut c_void, F>(&found) })
}
