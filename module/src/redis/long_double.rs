//! Replies in C's `long double`, which show more digits than doubles do.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;

use redis_module::raw as rm;

use super::Ctx;
use store::number::LongDouble;

/// `RedisModule_ReplyWithLongDouble`, which the crate's bindings leave out, as Rust has no such
/// type.
///
/// On x86-64 the System V ABI passes a `long double` on the stack, in 16 bytes that are aligned to
/// 16, of which the first ten are the number. So it passes any structure of more than 16 bytes:
/// hence this one, of which the callee looks at the first half only.
#[cfg(target_arch = "x86_64")]
type ReplyWithLongDouble = unsafe extern "C" fn(*mut rm::RedisModuleCtx, OnTheStack) -> c_int;

#[cfg(target_arch = "x86_64")]
#[repr(C, align(16))]
struct OnTheStack([u8; 32]);

impl Ctx {
    /// Replies with a double of up to 17 digits after the point and no exponent, as GEOPOS does: a
    /// double (RESP3) or a bulk string (RESP2).
    pub fn reply_human_double(&self, n: f64) {
        let number = LongDouble::from(n);
        if !self.flags().resp3() {
            return self.reply_bulk(number.to_text().as_bytes());
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(reply) = reply_with_long_double() {
            let mut argument = OnTheStack([0; 32]);
            argument.0[..16].copy_from_slice(&number.to_bits().to_le_bytes());
            // SAFETY: live context; the argument lies where a long double does, see the type.
            unsafe { reply(self.replying(), argument) };
            return;
        }
        self.reply_double(n);
    }
}

/// The function, asked for once.
#[cfg(target_arch = "x86_64")]
fn reply_with_long_double() -> Option<ReplyWithLongDouble> {
    const NAME: &CStr = c"RedisModule_ReplyWithLongDouble";
    static FUNCTION: OnceLock<Option<ReplyWithLongDouble>> = OnceLock::new();
    *FUNCTION.get_or_init(|| {
        let mut function: Option<ReplyWithLongDouble> = None;
        // SAFETY: a copy of a pointer that Init wrote on this thread; the function writes a
        // function pointer of the name's type, or nothing.
        unsafe {
            let get = rm::RedisModule_GetApi?;
            let target: *mut c_void = (&raw mut function).cast();
            let name: *const c_char = NAME.as_ptr();
            let status = get(name, target);
            if status != rm::REDISMODULE_OK as c_int {
                return None;
            }
        }
        function
    })
}
