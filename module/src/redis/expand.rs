//! Room in the server's table of keys for many that will come.
//!
//! The server doubles its table each time it is full, and moves every key to the larger one, in
//! steps that each access of a key and its cron take. When it loads an RDB it knows how many will
//! come and makes the room at once, but the module API has no call for that. The server exports the
//! function that it uses itself, though: `dictTryExpand` of Redis 7.0 and 7.2, `dbExpand` of all
//! later ones and of Valkey. It takes the database, which stands in each open key.
//!
//! The assumptions are verified in the running server; if one does not hold, nothing is done:
//!
//! * Its version is one of those whose functions are known to be so.
//! * The functions lie in the program that calls the module.
//! * An open key begins with the context it was opened in, the database, and the name it was opened
//!   by.
//! * The database's size, by a function that takes it, is the one that the API tells.

use std::ffi::{CStr, c_int, c_void};
use std::ptr::NonNull;

use redis_module::raw as rm;

use super::imports::home;
use super::{Ctx, Key, api};

type DictTryExpand = unsafe extern "C" fn(*mut Dict, u64) -> c_int;
type DbExpand = unsafe extern "C" fn(*mut c_void, u64, c_int) -> c_int;
type DbSize = unsafe extern "C" fn(*mut c_void) -> u64;

/// The beginning of an open key.
#[repr(C)]
struct OpenKey {
    ctx: *mut rm::RedisModuleCtx,
    db: *mut c_void,
    name: *mut rm::RedisModuleString,
}

/// The beginning of a hash table of Redis 7.0 and 7.2.
#[repr(C)]
struct Dict {
    kind: *const c_void,
    tables: [*mut c_void; 2],
    used: [u64; 2],
}

/// How this server's table of keys is made larger.
#[derive(Clone, Copy, Debug)]
pub struct Expansion {
    how: How,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Dict {
        expand: DictTryExpand,
        /// What tables of keys point to first.
        kind: usize,
    },
    Db {
        expand: DbExpand,
        size: DbSize,
    },
}

impl Expansion {
    /// How it is done in a server of this version; `None` if it cannot.
    pub fn of_server(is_valkey: bool, (major, minor): (u16, u16)) -> Option<Expansion> {
        // SAFETY: a copy of a pointer written before the module ran.
        let open_key = api(unsafe { rm::RedisModule_OpenKey });
        let server = home(open_key as *const c_void)?;
        let exported = |name: &CStr| {
            // SAFETY: looks up a C string in the program and its libraries.
            let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
            NonNull::new(found).filter(|found| home(found.as_ptr()) == Some(server))
        };
        let how = match (is_valkey, major, minor) {
            (false, 7, 0 | 2) | (true, 7, 2) => {
                let (expand, kind) = (exported(c"dictTryExpand")?, exported(c"dbDictType")?);
                How::Dict {
                    // SAFETY: a function of the server, which has this type in these versions.
                    expand: unsafe {
                        std::mem::transmute::<*mut c_void, DictTryExpand>(expand.as_ptr())
                    },
                    kind: kind.as_ptr().addr(),
                }
            }
            (false, 8, 0..=6) | (true, 8, 0 | 1) | (true, 9, 0 | 1) => {
                let (expand, size) = (exported(c"dbExpand")?, exported(c"dbSize")?);
                // SAFETY: functions of the server, which have these types in these versions.
                unsafe {
                    How::Db {
                        expand: std::mem::transmute::<*mut c_void, DbExpand>(expand.as_ptr()),
                        size: std::mem::transmute::<*mut c_void, DbSize>(size.as_ptr()),
                    }
                }
            }
            _ => return None,
        };
        Some(Expansion { how })
    }

    /// How many times as large as what it holds a table may be. The server makes emptier ones
    /// smaller again, when it holds a tenth or an eighth.
    pub fn factor(self) -> u64 {
        match self.how {
            How::Dict { .. } => 8,
            How::Db { .. } => 4,
        }
    }

    /// Makes room for `keys` keys in the database of an open key, which has `size` of them. `false`
    /// if it has not been done: it is being done already, there is no memory, or the server is not
    /// as expected. O(1), but that the server takes memory, which it does not touch.
    pub fn make_room(self, ctx: &Ctx, key: &Key<'_>, size: u64, keys: u64) -> bool {
        let Some(open) = NonNull::new(key.raw().cast::<OpenKey>()) else {
            return false;
        };
        // SAFETY: an open key is larger than three words in all servers.
        let open = unsafe { open.as_ref() };
        if open.ctx != ctx.raw() || open.name != key.name().raw() || open.db.is_null() {
            return false;
        }
        match self.how {
            How::Dict { expand, kind } => {
                // SAFETY: a database of these versions begins with the pointer to its table of
                // keys; whether it does is looked at. Its function tells of no failure but want of
                // memory; a second array is there while keys move.
                unsafe {
                    let dict = open.db.cast::<*mut Dict>().read();
                    if dict.is_null() || (*dict).kind.addr() != kind {
                        return false;
                    }
                    let (used, before) = ((*dict).used, (*dict).tables);
                    used[0] + used[1] == size
                        && before[1].is_null()
                        && expand(dict, keys) == 0
                        && (*dict).tables != before
                }
            }
            How::Db { expand, size: of } => {
                // SAFETY: the database of an open key.
                unsafe { of(open.db) == size && expand(open.db, keys, 1) == 0 }
            }
        }
    }
}
