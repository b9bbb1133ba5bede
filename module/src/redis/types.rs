//! The five data types, and the callbacks by which Redis handles their values.

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use redis_module::raw as rm;

use super::on_main_thread;
use super::server_flags;
use super::{AofWriter, Arg, Ctx, Digest, Level, RdbReader, RdbWriter, api, guard, log};
use store::value::ValueType;

/// What Redis asks about values. `addr` is always a word given to [`super::Key::set_value`] or
/// [`super::Key::replace_value`], or returned by `rdb_load` or `copy`; it is never 0.
///
/// All run on the main thread, of the server or of a fork child. A panic or an error in `rdb_save`
/// and `aof_rewrite` ends a fork child, so that no torn file takes the place of a good one.
pub trait TypeCallbacks: 'static {
    /// The version written with each value. Older ones must stay readable.
    const ENCODING_VERSION: i32;

    /// Reads a value; `None` if it is damaged, which fails the load or the RESTORE.
    fn rdb_load(io: &mut RdbReader<'_>, ty: ValueType, version: i32) -> Option<usize>;

    /// Writes a value.
    fn rdb_save(io: &mut RdbWriter<'_>, ty: ValueType, addr: usize);

    /// Writes a value as commands.
    fn aof_rewrite(io: &mut AofWriter<'_>, key: Arg<'_>, ty: ValueType, addr: usize);

    /// The bytes the value takes, from at most `samples` elements (0: all of them).
    fn mem_usage(place: &KeyPlace<'_>, ty: ValueType, addr: usize, samples: usize) -> usize;

    /// Adds the value's content, whatever its encoding.
    fn digest(digest: &mut Digest<'_>, ty: ValueType, addr: usize);

    /// The key of this name is about to lose the value, which may live on (RENAME, MOVE).
    fn unlink(place: &KeyPlace<'_>, ty: ValueType, addr: usize);

    /// The value is gone for good. Not called where Redis frees on a background thread (FLUSHALL
    /// ASYNC, UNLINK of a value with a large effort): there [`super::Event::FlushStarted`] or
    /// `unlink` has told the story before.
    fn free(ty: ValueType, addr: usize);

    /// Copies the value for `place.to_key()`; `None` fails the COPY.
    fn copy(place: &KeyPlace<'_>, ty: ValueType, addr: usize) -> Option<usize>;

    /// How costly `free` is. Above 64, UNLINK and lazy freeing take a background thread, and so
    /// does 0 always.
    fn free_effort(place: &KeyPlace<'_>, ty: ValueType, addr: usize) -> usize;
}

/// Where the value at hand is, or goes to.
pub struct KeyPlace<'a> {
    raw: *mut rm::RedisModuleKeyOptCtx,
    life: PhantomData<&'a ()>,
}

impl<'a> KeyPlace<'a> {
    /// # Safety
    /// `raw` must be that of a running type callback, for as long as `'a`.
    unsafe fn from_raw(raw: *mut rm::RedisModuleKeyOptCtx) -> Self {
        Self {
            raw,
            life: PhantomData,
        }
    }

    /// The key's name.
    pub fn key(&self) -> Option<Arg<'a>> {
        // SAFETY: live (from_raw), as is the name for the callback's time; it may be NULL.
        unsafe { Arg::from_raw(api(rm::RedisModule_GetKeyNameFromOptCtx)(self.raw)) }
    }

    /// The key's database.
    pub fn db(&self) -> i32 {
        // SAFETY: live.
        unsafe { api(rm::RedisModule_GetDbIdFromOptCtx)(self.raw) }
    }

    /// The name that a copy gets.
    pub fn to_key(&self) -> Option<Arg<'a>> {
        // SAFETY: as for `key`.
        unsafe { Arg::from_raw(api(rm::RedisModule_GetToKeyNameFromOptCtx)(self.raw)) }
    }

    /// The database that a copy goes to.
    pub fn to_db(&self) -> i32 {
        // SAFETY: live.
        unsafe { api(rm::RedisModule_GetToDbIdFromOptCtx)(self.raw) }
    }
}

/// The types as Redis knows them, by number.
static REGISTERED: [AtomicPtr<rm::RedisModuleType>; 5] = [const { AtomicPtr::new(null_mut()) }; 5];

/// Redis's handle of a type.
#[inline]
pub(super) fn registered(ty: ValueType) -> *mut rm::RedisModuleType {
    REGISTERED[ty.index()].load(Ordering::Relaxed)
}

/// Which of our types a handle is.
#[inline]
pub(super) fn ours(raw: *mut rm::RedisModuleType) -> Option<ValueType> {
    ValueType::ALL.into_iter().find(|&ty| registered(ty) == raw)
}

/// Registers the five types. Only while the module is being loaded.
pub fn register_types<C: TypeCallbacks>(ctx: &Ctx) -> Result<(), String> {
    register::<C, 0>(ctx)?;
    register::<C, 1>(ctx)?;
    register::<C, 2>(ctx)?;
    register::<C, 3>(ctx)?;
    register::<C, 4>(ctx)
}

fn register<C: TypeCallbacks, const T: usize>(ctx: &Ctx) -> Result<(), String> {
    let ty = ValueType::ALL[T];
    let mut methods = rm::RedisModuleTypeMethods {
        // Version 4 is that of Redis 7.0; what came later stays unset.
        version: 4,
        rdb_load: Some(rdb_load::<C, T>),
        rdb_save: Some(rdb_save::<C, T>),
        aof_rewrite: Some(aof_rewrite::<C, T>),
        mem_usage: None,
        digest: Some(digest::<C, T>),
        free: Some(free::<C, T>),
        aux_load: None,
        aux_save: None,
        aux_save_triggers: 0,
        free_effort: None,
        unlink: None,
        copy: None,
        // Values are not in memory of Redis's allocator.
        defrag: None,
        mem_usage2: Some(mem_usage::<C, T>),
        free_effort2: Some(free_effort::<C, T>),
        unlink2: Some(unlink::<C, T>),
        copy2: Some(copy::<C, T>),
        aux_save2: None,
    };
    // SAFETY: live context; Redis copies the table and the name.
    let raw = unsafe {
        let create = api(rm::RedisModule_CreateDataType);
        create(
            ctx.raw(),
            ty.module_name().as_ptr(),
            C::ENCODING_VERSION,
            &mut methods,
        )
    };
    if raw.is_null() {
        return Err(format!(
            "cannot register the data type {:?}",
            ty.module_name()
        ));
    }
    REGISTERED[T].store(raw, Ordering::Relaxed);
    Ok(())
}

fn to_value(addr: Option<usize>) -> *mut c_void {
    std::ptr::without_provenance_mut(addr.unwrap_or(0))
}

unsafe extern "C" fn rdb_load<C: TypeCallbacks, const T: usize>(
    io: *mut rm::RedisModuleIO,
    version: c_int,
) -> *mut c_void {
    // SAFETY: Redis passes a stream that lives for the call.
    let mut io = unsafe { RdbReader::from_raw(io) };
    to_value(guard(None, || {
        C::rdb_load(&mut io, ValueType::ALL[T], version)
    }))
}

unsafe extern "C" fn rdb_save<C: TypeCallbacks, const T: usize>(
    io: *mut rm::RedisModuleIO,
    value: *mut c_void,
) {
    // SAFETY: Redis passes a stream that lives for the call.
    let mut io = unsafe { RdbWriter::from_raw(io) };
    let saved = guard(false, || {
        C::rdb_save(&mut io, ValueType::ALL[T], value.addr());
        true
    });
    give_up_unless(saved);
}

unsafe extern "C" fn aof_rewrite<C: TypeCallbacks, const T: usize>(
    io: *mut rm::RedisModuleIO,
    key: *mut rm::RedisModuleString,
    value: *mut c_void,
) {
    // SAFETY: Redis passes a stream and a name that live for the call.
    let (mut io, key) = unsafe { (AofWriter::from_raw(io), Arg::from_raw(key)) };
    let rewritten = guard(false, || {
        let key = key.expect("a rewritten key has a name");
        C::aof_rewrite(&mut io, key, ValueType::ALL[T], value.addr());
        true
    });
    give_up_unless(rewritten);
}

/// Redis offers no way to fail a save from here, but a fork child can be ended.
fn give_up_unless(complete: bool) {
    if complete {
        return;
    }
    if server_flags().fork_child() {
        log::log(
            Level::Warning,
            "giving up this save after an internal error",
        );
    }
    end_child();
}

/// Ends this process, if it is a fork child, so that its server tells that what it did has failed.
pub fn end_child() {
    if server_flags().fork_child() {
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(1) };
    }
}

unsafe extern "C" fn digest<C: TypeCallbacks, const T: usize>(
    digest: *mut rm::RedisModuleDigest,
    value: *mut c_void,
) {
    // SAFETY: Redis passes a digest that lives for the call.
    let mut digest = unsafe { Digest::from_raw(digest) };
    guard((), || {
        C::digest(&mut digest, ValueType::ALL[T], value.addr())
    });
}

unsafe extern "C" fn free<C: TypeCallbacks, const T: usize>(value: *mut c_void) {
    if on_main_thread() {
        guard((), || C::free(ValueType::ALL[T], value.addr()));
    }
}

unsafe extern "C" fn mem_usage<C: TypeCallbacks, const T: usize>(
    place: *mut rm::RedisModuleKeyOptCtx,
    value: *const c_void,
    samples: usize,
) -> usize {
    // SAFETY: Redis passes a place that lives for the call.
    let place = unsafe { KeyPlace::from_raw(place) };
    guard(0, || {
        C::mem_usage(&place, ValueType::ALL[T], value.addr(), samples)
    })
}

unsafe extern "C" fn free_effort<C: TypeCallbacks, const T: usize>(
    place: *mut rm::RedisModuleKeyOptCtx,
    value: *const c_void,
) -> usize {
    // SAFETY: Redis passes a place that lives for the call.
    let place = unsafe { KeyPlace::from_raw(place) };
    guard(1, || {
        C::free_effort(&place, ValueType::ALL[T], value.addr())
    })
}

unsafe extern "C" fn unlink<C: TypeCallbacks, const T: usize>(
    place: *mut rm::RedisModuleKeyOptCtx,
    value: *const c_void,
) {
    // SAFETY: Redis passes a place that lives for the call.
    let place = unsafe { KeyPlace::from_raw(place) };
    guard((), || C::unlink(&place, ValueType::ALL[T], value.addr()));
}

unsafe extern "C" fn copy<C: TypeCallbacks, const T: usize>(
    place: *mut rm::RedisModuleKeyOptCtx,
    value: *const c_void,
) -> *mut c_void {
    // SAFETY: Redis passes a place that lives for the call.
    let place = unsafe { KeyPlace::from_raw(place) };
    to_value(guard(None, || {
        C::copy(&place, ValueType::ALL[T], value.addr())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_redis_takes() {
        for ty in ValueType::ALL {
            let name = ty.module_name().to_bytes();
            assert_eq!(name.len(), 9);
            assert!(
                name.iter()
                    .all(|c| c.is_ascii_alphanumeric() || b"-_".contains(c))
            );
        }
    }
}
