//! WATCH and client tracking are told that a key has changed.
//!
//! Closing a key that was opened to write does that by itself, unless the module's options say
//! otherwise. They do: a command may open a key to write, and leave it as it is.
//!
//! Redis from 8.4 on looks the key up when a module tells it of a change (for an eviction policy by
//! the time of changes), and counts that as a read: a hit or a miss, and the event `keymiss` of a
//! key that the command has deleted. There, the module closes a key without a trace of having
//! opened it, and lets Redis tell.

use std::ffi::c_int;

use redis_module::raw as rm;

use super::key::UNSEEN;
use super::slot_events;
use super::{Arg, Ctx, api, tells_after_commands};
use crate::behaviour::Behaviour;

/// What closing a key that is open to write means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// Nothing.
    IsSilent,
    /// The key has changed.
    Tells,
}

/// Sets the module's options.
///
/// # Safety
/// `ctx` must be a live context of the module.
pub(super) unsafe fn set_options(ctx: *mut rm::RedisModuleCtx, closing: Closing) {
    let options = rm::REDISMODULE_OPTIONS_HANDLE_IO_ERRORS
        | match closing {
            Closing::IsSilent => rm::REDISMODULE_OPTION_NO_IMPLICIT_SIGNAL_MODIFIED,
            Closing::Tells => 0,
        }
        | if slot_events::is_valkey() {
            VALKEY_HANDLES_SLOT_MIGRATION
        } else {
            0
        };
    // SAFETY: live context, by the contract.
    unsafe { api(rm::RedisModule_SetModuleOptions)(ctx, options as c_int) }
}

/// An option of Valkey 9.0 on: CLUSTER MIGRATESLOTS works with this module's keys. Older ones pass
/// it over.
const VALKEY_HANDLES_SLOT_MIGRATION: u32 = 1 << 5;

impl Ctx {
    /// Tells WATCH and client tracking that a key of the selected database has changed.
    #[inline]
    pub fn signal_modified(&self, key: Arg<'_>) {
        if Behaviour::TellingIsReading.here() {
            return self.signal_by_closing(key);
        }
        // SAFETY: live context and string.
        unsafe { api(rm::RedisModule_SignalModifiedKey)(self.raw(), key.raw()) };
    }

    /// Whether a client that waited is being served of what another one has told already.
    ///
    /// Up to Redis 7.0, a push is told in the name of who pushes, and what BLPOP, BRPOP and their
    /// like take out of the list afterwards is not told again: client tracking leaves the pusher
    /// out, not the client that waited. From 7.2 on, the command is run again, as any other.
    pub fn serves_what_was_told(&self) -> bool {
        // SAFETY: live context.
        !tells_after_commands()
            && unsafe { api(rm::RedisModule_IsBlockedReplyRequest)(self.raw()) } != 0
    }

    fn signal_by_closing(&self, key: Arg<'_>) {
        let mode = rm::REDISMODULE_READ | rm::REDISMODULE_WRITE | UNSEEN;
        // SAFETY: live context and string; the key is closed once, after it was opened.
        unsafe {
            let open = api(rm::RedisModule_OpenKey)(self.raw(), key.raw(), mode as c_int);
            set_options(self.raw(), Closing::Tells);
            api(rm::RedisModule_CloseKey)(open);
            set_options(self.raw(), Closing::IsSilent);
        }
    }
}
