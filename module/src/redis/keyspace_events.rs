//! Keyspace events, published and heard.

use std::ffi::{CStr, c_char, c_int};
use std::ops::BitOr;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use redis_module::raw as rm;

use super::home::go_home;
use super::{Arg, Ctx, api, guard, zero_sized};
use crate::behaviour::Behaviour;

/// Classes of keyspace events; `|` joins them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class(c_int);

impl Class {
    /// `g`: DEL, EXPIRE, RENAME, ...
    pub const GENERIC: Self = Self(rm::REDISMODULE_NOTIFY_GENERIC);
    /// `$`
    pub const STRING: Self = Self(rm::REDISMODULE_NOTIFY_STRING);
    /// `l`
    pub const LIST: Self = Self(rm::REDISMODULE_NOTIFY_LIST);
    /// `s`
    pub const SET: Self = Self(rm::REDISMODULE_NOTIFY_SET);
    /// `h`
    pub const HASH: Self = Self(rm::REDISMODULE_NOTIFY_HASH);
    /// `z`
    pub const ZSET: Self = Self(rm::REDISMODULE_NOTIFY_ZSET);
    /// `x`: expired.
    pub const EXPIRED: Self = Self(rm::REDISMODULE_NOTIFY_EXPIRED);
    /// `e`: evicted.
    pub const EVICTED: Self = Self(rm::REDISMODULE_NOTIFY_EVICTED);
    /// `n`: a key came to be.
    pub const NEW: Self = Self(rm::REDISMODULE_NOTIFY_NEW);
    /// A key was read from an RDB; for modules only.
    pub const LOADED: Self = Self(rm::REDISMODULE_NOTIFY_LOADED);

    /// `o`: a value was replaced by another one. Redis 8.2 and newer.
    const OVERWRITTEN: Self = Self(1 << 15);
    /// `c`: the other one is of another type. Redis 8.2 and newer.
    const TYPE_CHANGED: Self = Self(1 << 16);
}

impl BitOr for Class {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

unsafe extern "C" fn on_notification<H>(
    ctx: *mut rm::RedisModuleCtx,
    class: c_int,
    event: *const c_char,
    key: *mut rm::RedisModuleString,
) -> c_int
where
    H: Fn(&Ctx, Class, &CStr, Arg<'_>) + Copy + 'static,
{
    // SAFETY: Redis passes a live context, a C string and a string, for the time of the call.
    let (ctx, event, key) = unsafe {
        (
            Ctx::from_raw(ctx),
            CStr::from_ptr(event),
            Arg::from_raw(key),
        )
    };
    if let Some(key) = key {
        guard((), || zero_sized::<H>()(&ctx, Class(class), event, key));
        guard((), || go_home(&ctx, event));
    }
    rm::REDISMODULE_OK as c_int
}

/// The name of the event that the module has published last, where the module has it.
static OWN: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());

/// Whether an event that a handler is told of is one that the module publishes, with
/// [`Ctx::notify`]: the server passes its name on as it is, and has its own names elsewhere.
#[inline]
pub fn is_own_event(event: &CStr) -> bool {
    OWN.load(Ordering::Relaxed).cast_const() == event.as_ptr()
}

impl Ctx {
    /// Publishes a keyspace event of a key of the selected database, as native commands do. Other
    /// modules and our own subscriber run at once.
    #[inline]
    pub fn notify(&self, class: Class, event: &CStr, key: Arg<'_>) {
        OWN.store(event.as_ptr().cast_mut(), Ordering::Relaxed);
        // SAFETY: live context and string; subscribers copy the event's name.
        unsafe {
            let notify = api(rm::RedisModule_NotifyKeyspaceEvent);
            notify(self.raw(), class.0, event.as_ptr(), key.raw())
        };
    }

    /// Publishes that a key of the selected database has got another value in place of the one that
    /// it had, if this server tells of that.
    #[inline]
    pub fn notify_replaced(&self, key: Arg<'_>, type_changed: bool) {
        if !Behaviour::TellsOfReplacement.here() {
            return;
        }
        self.notify(Class::OVERWRITTEN, c"overwritten", key);
        if type_changed {
            self.notify(Class::TYPE_CHANGED, c"type_changed", key);
        }
    }

    /// Hands the keyspace events of the given classes to `handler`, as they happen and whatever
    /// `notify-keyspace-events` is; the context's database is the key's. Events that the handler
    /// itself causes do not come back to it.
    ///
    /// Every event costs a callback, our own commands' included: take few classes.
    pub fn subscribe_keyspace<H>(&self, classes: Class, _handler: H)
    where
        H: Fn(&Ctx, Class, &CStr, Arg<'_>) + Copy + 'static,
    {
        // SAFETY: live context; the callback is a function.
        let status = unsafe {
            let subscribe = api(rm::RedisModule_SubscribeToKeyspaceEvents);
            subscribe(self.raw(), classes.0, Some(on_notification::<H>))
        };
        assert_eq!(
            status,
            rm::REDISMODULE_OK as c_int,
            "only while the module is being loaded"
        );
    }
}
