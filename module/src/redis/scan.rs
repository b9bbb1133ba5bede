//! A walk over the keys of a database.

use std::cell::RefCell;
use std::ffi::c_void;

use redis_module::raw as rm;

use super::{Arg, Ctx, Kind, OwnedString, Reply, api, guard, key};

/// What is called for each key: its name, and what it holds.
type Visit<'v> = dyn FnMut(Arg<'_>, Kind) + 'v;

unsafe extern "C" fn on_key(
    _ctx: *mut rm::RedisModuleCtx,
    name: *mut rm::RedisModuleString,
    key: *mut rm::RedisModuleKey,
    visit: *mut c_void,
) {
    // SAFETY: Redis passes a name and an open key, or NULL, for the time of the call; the data is
    // what `scan` gave, a visitor that nobody else uses meanwhile.
    let (name, kind, visit) = unsafe {
        (
            Arg::from_raw(name),
            key::kind(key),
            &mut *visit.cast::<&mut Visit<'_>>(),
        )
    };
    if let Some(name) = name {
        guard((), || visit(name, kind));
    }
}

impl Ctx {
    /// Shows every key of the selected database to `visit`, some perhaps twice. `visit` must not
    /// change the keyspace: keys that are to be changed are noted, and changed afterwards. O(n).
    pub fn scan(&self, mut visit: impl FnMut(Arg<'_>, Kind)) {
        let mut visit: &mut Visit<'_> = &mut visit;
        // SAFETY: live context; the cursor is freed once, after its last use; the visitor lives
        // until then, and Redis only hands it to the callback.
        unsafe {
            let cursor = api(rm::RedisModule_ScanCursorCreate)();
            let data = (&raw mut visit).cast();
            while api(rm::RedisModule_Scan)(self.raw(), cursor, Some(on_key), data) != 0 {}
            api(rm::RedisModule_ScanCursorDestroy)(cursor);
        }
    }

    /// Shows every key of the selected database to `visit`, some perhaps twice. `visit` may change
    /// the keyspace: keys that are there all the time are shown, others may be. O(n).
    pub fn scan_and_change(&self, mut visit: impl FnMut(Arg<'_>, Kind)) {
        let seen: RefCell<Vec<(OwnedString, Kind)>> = RefCell::default();
        let mut note = |name: Arg<'_>, kind| {
            let name = OwnedString::new(name.bytes());
            seen.borrow_mut().push((name, kind));
        };
        let mut noting: &mut Visit<'_> = &mut note;
        let data: *mut c_void = (&raw mut noting).cast();
        // SAFETY: as in `scan`.
        let cursor = unsafe { api(rm::RedisModule_ScanCursorCreate)() };
        loop {
            // SAFETY: as in `scan`.
            let more = unsafe { api(rm::RedisModule_Scan)(self.raw(), cursor, Some(on_key), data) };
            for (name, kind) in seen.take() {
                visit(name.arg(), kind);
            }
            if more == 0 {
                break;
            }
        }
        // SAFETY: the cursor is not used any more.
        unsafe { api(rm::RedisModule_ScanCursorDestroy)(cursor) };
    }

    /// A key of the selected database, at random, of any kind; `None` if there is none. O(1), but
    /// for keys that have expired.
    pub fn random_key(&self) -> Option<OwnedString> {
        // SAFETY: live context, without automatic memory; the string, NULL if there are no keys, is
        // ours.
        unsafe { OwnedString::from_raw(api(rm::RedisModule_RandomKey)(self.raw())) }
    }

    /// Runs SCAN with these words: the next cursor, and the keys it has met.
    pub fn scan_step(&self, words: &[&[u8]]) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
        let Some(Reply::Array(parts)) = self.call(c"SCAN", words) else {
            return None;
        };
        let Ok([Reply::Text(cursor), Reply::Array(names)]) = <[Reply; 2]>::try_from(parts) else {
            return None;
        };
        let text = |name| match name {
            Reply::Text(name) => Some(name),
            _ => None,
        };
        Some((cursor, names.into_iter().filter_map(text).collect()))
    }

    /// How many keys the selected database has, of any kind. O(1).
    pub fn db_size(&self) -> u64 {
        // SAFETY: live context.
        unsafe { api(rm::RedisModule_DbSize)(self.raw()) }
    }
}
