//! Whether `MODULE LOADEX` was given settings that nobody has taken: those of a name that the
//! module does not have.
//!
//! The server looks for them only when OnLoad has succeeded, and then takes the module away, though
//! one with data types cannot go:
//!
//! | server | what it does |
//! |---|---|
//! | Redis 7.0 | says that the load has failed; the module stays |
//! | Redis from 7.2 on, as long as it has that fault, and Valkey | ends: it writes why the module cannot go to where nobody has asked for a reason, the address 0 |
//! | newer Redis | asks OnUnload; if that does not refuse, it unmaps the library, and ends at the next call into it |
//!
//! So the module finds out before it has done anything else. It has the server load this library
//! once more, as a second module, the *probe*, which has nothing and does nothing, and which any
//! server can take away. What the server then finds among the settings is what the first one has
//! left there; and its reply tells.

use std::ffi::{CStr, c_int, c_void};
use std::sync::atomic::{AtomicU8, Ordering};

use redis_module::raw as rm;

use super::{Ctx, Reply, api};

const PROBE: &CStr = c"pmedis-probe";

/// No probe is under way.
const NONE: u8 = 0;
/// The server was asked to load one.
const ASKED: u8 = 1;
/// It has loaded one.
const LOADED: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(NONE);

/// Whether what the server loads, or takes away, is the probe.
pub(super) fn is_probe() -> bool {
    STATE.load(Ordering::Relaxed) != NONE
}

/// OnLoad of the probe.
///
/// # Safety
/// `ctx` must be the live context of OnLoad.
pub(super) unsafe fn load_probe(ctx: *mut rm::RedisModuleCtx) -> c_int {
    // SAFETY: by the contract; the name is a C string that the server copies. The API that this
    // looks up is what it was.
    let status = unsafe {
        rm::Export_RedisModule_Init(ctx, PROBE.as_ptr(), 1, rm::REDISMODULE_APIVER_1 as c_int)
    };
    if status == rm::REDISMODULE_OK as c_int {
        STATE.store(LOADED, Ordering::Relaxed);
    }
    status
}

impl Ctx {
    /// Whether the command that loads this module was given settings that are left. Only while the
    /// module is being loaded, once it has taken its own.
    ///
    /// False at the start of the server, where what is left can be another module's, and the server
    /// refuses to start if it is nobody's; and where the server does not let the module know.
    pub fn has_unknown_settings(&self) -> bool {
        if !self.has_connections() {
            return false;
        }
        let Some(library) = own_file() else {
            return false;
        };
        STATE.store(ASKED, Ordering::Relaxed);
        let reply = self.call(c"MODULE", &[b"LOADEX", library.to_bytes()]);
        let was_loaded = STATE.load(Ordering::Relaxed) == LOADED;
        let stays = matches!(reply, Some(Reply::Text(_)));
        if stays {
            self.call(c"MODULE", &[b"UNLOAD", PROBE.to_bytes()]);
        }
        STATE.store(NONE, Ordering::Relaxed);
        was_loaded && !stays
    }

    /// Whether clients are connected to the server. None are before it has loaded the modules of
    /// its configuration.
    fn has_connections(&self) -> bool {
        let mut failed: c_int = 0;
        // SAFETY: live context and C strings; the information is ours, and freed after its last
        // use.
        let connected = unsafe {
            let info = api(rm::RedisModule_GetServerInfo)(self.raw(), c"clients".as_ptr());
            let field = c"connected_clients".as_ptr();
            let connected = api(rm::RedisModule_ServerInfoGetFieldSigned)(info, field, &mut failed);
            api(rm::RedisModule_FreeServerInfo)(self.raw(), info);
            connected
        };
        failed == 0 && connected > 0
    }
}

/// The name under which the loader knows this library: under it, it finds it loaded already.
fn own_file() -> Option<&'static CStr> {
    let inside: *const c_void = (&raw const STATE).cast();
    // SAFETY: all zeroes is a value of the struct of pointers; dladdr takes any address and fills
    // it. The name is a C string of the loader's, which it keeps as long as the library.
    unsafe {
        let mut found = std::mem::zeroed::<libc::Dl_info>();
        let is_known = libc::dladdr(inside, &mut found) != 0 && !found.dli_fname.is_null();
        is_known.then(|| CStr::from_ptr(found.dli_fname))
    }
}
