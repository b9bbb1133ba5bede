//! An opened key of the selected database.

use std::ffi::{c_int, c_void};
use store::value::ValueType;

use redis_module::raw as rm;

use super::{Arg, Ctx, api, types};

/// What a key is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To read: counts a hit or a miss, and an absent key raises the `keymiss` event.
    Read,
    /// To write: an expired key is deleted first, on a master.
    Write,
    /// To read without counting as an access for the eviction policy.
    Peek,
    /// To look at in an event's handler, as if nobody had: neither a hit or a miss nor an event,
    /// and an expired key is not deleted. On Redis 7.0, which knows no such flags, this is
    /// [`Mode::Quiet`], as only what is opened to read is counted.
    Unseen,
    /// To write without counting as an access.
    Quiet,
}

/// Opens a key without a trace, from Redis 7.2 on; before, only the first of these is known.
pub(super) const UNSEEN: u32 = rm::REDISMODULE_OPEN_KEY_NOTOUCH
    | rm::REDISMODULE_OPEN_KEY_NONOTIFY
    | rm::REDISMODULE_OPEN_KEY_NOSTATS
    | rm::REDISMODULE_OPEN_KEY_NOEXPIRE;

/// Whether the server has the flags of [`UNSEEN`].
pub fn knows_unseen() -> bool {
    // SAFETY: a copy of a pointer written before the module ran; NULL before Redis 7.2.
    unsafe { rm::RedisModule_GetOpenKeyModesAll }.is_some()
}

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: absent or expired.
    Absent,
    /// One of our values: its type, and the word kept for it, which is its record's address.
    Pm(ValueType, usize),
    /// A native value, or another module's.
    Other,
}

/// An open key, closed when dropped.
pub struct Key<'a> {
    /// NULL for an absent key opened to read.
    raw: *mut rm::RedisModuleKey,
    ctx: &'a Ctx,
    name: Arg<'a>,
}

impl Ctx {
    /// Opens a key of the selected database. O(1).
    #[inline]
    pub fn open<'a>(&'a self, name: Arg<'a>, mode: Mode) -> Key<'a> {
        let mode = match mode {
            Mode::Read => rm::REDISMODULE_READ,
            Mode::Write => rm::REDISMODULE_READ | rm::REDISMODULE_WRITE,
            Mode::Quiet => {
                rm::REDISMODULE_READ | rm::REDISMODULE_WRITE | rm::REDISMODULE_OPEN_KEY_NOTOUCH
            }
            Mode::Peek => rm::REDISMODULE_READ | rm::REDISMODULE_OPEN_KEY_NOTOUCH,
            Mode::Unseen if knows_unseen() => rm::REDISMODULE_READ | UNSEEN,
            Mode::Unseen => {
                rm::REDISMODULE_READ | rm::REDISMODULE_WRITE | rm::REDISMODULE_OPEN_KEY_NOTOUCH
            }
        };
        // SAFETY: live context and string; Redis takes a reference to the string.
        let raw = unsafe { api(rm::RedisModule_OpenKey)(self.raw(), name.raw(), mode as c_int) };
        Key {
            raw,
            ctx: self,
            name,
        }
    }
}

/// What a key holds.
///
/// # Safety
/// `raw` must be an open key, or NULL.
#[inline]
pub(super) unsafe fn kind(raw: *mut rm::RedisModuleKey) -> Kind {
    // SAFETY: these functions take an open key or NULL.
    unsafe {
        let ty = api(rm::RedisModule_ModuleTypeGetType)(raw);
        if !ty.is_null() {
            return match types::ours(ty) {
                Some(ty) => Kind::Pm(ty, api(rm::RedisModule_ModuleTypeGetValue)(raw).addr()),
                None => Kind::Other,
            };
        }
        match api(rm::RedisModule_KeyType)(raw) as isize {
            rm::REDISMODULE_KEYTYPE_EMPTY => Kind::Absent,
            _ => Kind::Other,
        }
    }
}

impl<'a> Key<'a> {
    /// The key as the server has it; NULL if it is absent and was opened to read.
    pub(super) fn raw(&self) -> *mut rm::RedisModuleKey {
        self.raw
    }

    /// The key's name.
    pub fn name(&self) -> Arg<'a> {
        self.name
    }

    /// What the key holds now. O(1).
    #[inline]
    pub fn kind(&self) -> Kind {
        // SAFETY: an open key, or NULL.
        unsafe { kind(self.raw) }
    }

    /// For how many milliseconds nobody has used the key; `None` if the server counts uses instead,
    /// or the key is absent.
    pub fn idle_ms(&self) -> Option<u64> {
        let mut idle = -1;
        // SAFETY: an open key, or NULL, and a place for a number.
        unsafe { api(rm::RedisModule_GetLRU)(self.raw, &mut idle) };
        u64::try_from(idle).ok()
    }

    /// How often the key was used lately, as the server counts it (to 255); `None` if it does not,
    /// or the key is absent.
    pub fn frequency(&self) -> Option<u64> {
        let mut frequency = -1;
        // SAFETY: an open key, or NULL, and a place for a number.
        unsafe { api(rm::RedisModule_GetLFU)(self.raw, &mut frequency) };
        u64::try_from(frequency).ok()
    }

    /// The native type that the key's value has, if it is one of those that we have a counterpart
    /// of. O(1).
    pub fn native_type(&self) -> Option<ValueType> {
        // SAFETY: an open key, or NULL.
        Some(
            match unsafe { api(rm::RedisModule_KeyType)(self.raw) } as isize {
                rm::REDISMODULE_KEYTYPE_STRING => ValueType::String,
                rm::REDISMODULE_KEYTYPE_LIST => ValueType::List,
                rm::REDISMODULE_KEYTYPE_HASH => ValueType::Hash,
                rm::REDISMODULE_KEYTYPE_SET => ValueType::Set,
                rm::REDISMODULE_KEYTYPE_ZSET => ValueType::ZSet,
                _ => return None,
            },
        )
    }

    /// Makes the key hold a value of ours. Whatever it held is deleted first (`unlink` and `free`
    /// run within this call, if it was ours), its expire time too, and the event `new` is raised.
    ///
    /// The key must be open to write.
    pub fn set_value(&mut self, ty: ValueType, addr: usize) {
        let value = std::ptr::without_provenance_mut(addr);
        // SAFETY: an open key; the value is a word that only our type callbacks interpret.
        let status = unsafe {
            let set = api(rm::RedisModule_ModuleTypeSetValue);
            set(self.raw_for_writing(), types::registered(ty), value)
        };
        done(status, "set a key's value");
    }

    /// Replaces the value of a key that holds one of the same type; neither `unlink` nor `free`
    /// runs and the expire time stays. The key must be open to write.
    pub fn replace_value(&mut self, ty: ValueType, addr: usize) {
        let value = std::ptr::without_provenance_mut(addr);
        let mut old: *mut c_void = std::ptr::null_mut();
        // SAFETY: as for set_value; the old value is a word, and nothing has to be freed.
        let status = unsafe {
            let replace = api(rm::RedisModule_ModuleTypeReplaceValue);
            replace(
                self.raw_for_writing(),
                types::registered(ty),
                value,
                &mut old,
            )
        };
        done(status, "replace a key's value");
    }

    /// Deletes the key, if it is there; `unlink` and `free` run within this call. The key must be
    /// open to write.
    pub fn delete(&mut self) {
        // SAFETY: an open key.
        done(
            unsafe { api(rm::RedisModule_DeleteKey)(self.raw_for_writing()) },
            "delete a key",
        );
    }

    /// The database that the key is in; `None` if it is absent and was opened to read. Valkey 9
    /// tells, within EXEC, an event's handler the database that the transaction has selected,
    /// though the key is in another.
    pub fn db(&self) -> Option<i32> {
        // SAFETY: an open key, as it is not NULL.
        (!self.raw.is_null())
            .then(|| unsafe { api(rm::RedisModule_GetDbIdFromModuleKey)(self.raw) })
    }

    /// When the key expires, in Unix milliseconds; `None` if never, or if it is absent.
    #[inline]
    pub fn expire_at_ms(&self) -> Option<i64> {
        // SAFETY: an open key, or NULL. Only a key that is there has an expire time to ask for: of
        // an absent one, Redis from 8.2 on reads what it does not have.
        let at = unsafe {
            if api(rm::RedisModule_KeyType)(self.raw) as isize == rm::REDISMODULE_KEYTYPE_EMPTY {
                return None;
            }
            api(rm::RedisModule_GetAbsExpire)(self.raw)
        };
        (at != i64::from(rm::REDISMODULE_NO_EXPIRE)).then_some(at)
    }

    /// Sets or removes the expire time, in Unix milliseconds. The key must be there, and open to
    /// write. A time in the past is kept: Redis expires the key at the next access.
    pub fn set_expire_at_ms(&mut self, at: Option<i64>) {
        let at = at.map_or(rm::REDISMODULE_NO_EXPIRE.into(), |at| at.max(0));
        // SAFETY: an open key.
        let status = unsafe { api(rm::RedisModule_SetAbsExpire)(self.raw_for_writing(), at) };
        done(status, "set a key's expire time");
    }

    /// Tells WATCH and client tracking that the key has changed.
    #[inline]
    pub fn signal_modified(&self) {
        self.ctx.signal_modified(self.name);
    }

    fn raw_for_writing(&mut self) -> *mut rm::RedisModuleKey {
        assert!(!self.raw.is_null(), "the key was opened to read");
        self.raw
    }
}

/// The API's only errors here are mistakes in the caller.
fn done(status: c_int, what: &str) {
    assert_eq!(
        status,
        rm::REDISMODULE_OK as c_int,
        "cannot {what}: not open to write?"
    );
}

impl Drop for Key<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: opened in `open`, closed only here; NULL is allowed.
        unsafe { api(rm::RedisModule_CloseKey)(self.raw) }
    }
}
