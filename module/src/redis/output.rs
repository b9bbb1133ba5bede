//! What the server sends, held up for a moment: a callback before bytes leave on any connection.
//!
//! Redis 7.0 has no such hook in its module API, nor one between the end of EXEC or a script and the
//! reply. But all that it sends to clients, replicas and monitors goes through two functions of a table
//! for each kind of connection, `CT_Socket` and `CT_TLS`; the server exports these, in writable memory.
//! Their head has been the same since the release candidates of 7.0, and it is a closed series: from 7.2 on,
//! [`super::after_command`] makes this needless. So the module puts a function of its own in front of each
//! of the two, if both lie in the program that the table lies in.

use std::ffi::{CStr, c_int, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;

use redis_module::raw as rm;

use super::{guard, zero_sized};

type Write = unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> c_int;
type Writev = unsafe extern "C" fn(*mut c_void, *const libc::iovec, c_int) -> c_int;

/// The beginning of Redis 7.0's `ConnectionType`.
#[repr(C)]
struct ConnectionType {
    ae_handler: Option<unsafe extern "C" fn()>,
    connect: Option<unsafe extern "C" fn()>,
    write: Option<Write>,
    writev: Option<Writev>,
}

/// Kinds of connections. A server that was built without TLS has only the first.
const TABLES: [&CStr; 2] = [c"CT_Socket", c"CT_TLS"];

/// The server's own functions.
static SERVERS: [OnceLock<(Write, Writev)>; 2] = [const { OnceLock::new() }; 2];

/// Calls `handler` from now on before anything is sent, on the thread that sends it. `false` if this
/// server cannot do that for each kind of connection that it has. Only while the module is being loaded.
pub fn before_output<H: Fn() + Copy + 'static>(_handler: H) -> bool {
    if !is_redis_7_0() {
        return false;
    }
    hook::<H, 0>() == Some(true) && hook::<H, 1>() != Some(false)
}

fn is_redis_7_0() -> bool {
    // SAFETY: a copy of a pointer written before the module ran.
    let version = unsafe { rm::RedisModule_GetServerVersion };
    // SAFETY: without preconditions. The version is 0x00MMmmpp.
    version.is_some_and(|version| unsafe { version() } >> 8 == 0x0700)
}

/// Whether it could be done for one kind of connection; `None` if the server has no such.
fn hook<H: Fn() + Copy + 'static, const KIND: usize>() -> Option<bool> {
    // SAFETY: looks up a C string in the program and its libraries.
    let table = unsafe { libc::dlsym(libc::RTLD_DEFAULT, TABLES[KIND].as_ptr()) };
    let table = NonNull::new(table.cast::<ConnectionType>())?;
    // SAFETY: in Redis 7.0 a symbol of this name is such a table, in memory that is mapped writable for
    // the process's life. Its functions are called by this thread only while a module is being loaded:
    // threads for I/O work only while this one waits for them.
    unsafe {
        let table = table.as_ptr();
        let ((Some(write), Some(writev)), true) = (
            ((*table).write, (*table).writev),
            SERVERS[KIND].get().is_none(),
        ) else {
            return Some(false);
        };
        let homes = [
            table.cast(),
            write as *const c_void,
            writev as *const c_void,
        ]
        .map(home);
        if homes[0].is_none() || homes.iter().any(|home| *home != homes[0]) {
            return Some(false);
        }
        if SERVERS[KIND].set((write, writev)).is_err() {
            return Some(false);
        }
        (*table).write = Some(write_after::<H, KIND>);
        (*table).writev = Some(writev_after::<H, KIND>);
    }
    Some(true)
}

/// Where the program or library begins that an address lies in; `None` if in none.
pub(super) fn home(address: *const c_void) -> Option<NonNull<c_void>> {
    // SAFETY: all zeroes is a value of the struct of pointers; dladdr takes any address and fills it.
    unsafe {
        let mut found = std::mem::zeroed::<libc::Dl_info>();
        (libc::dladdr(address, &mut found) != 0)
            .then_some(found.dli_fbase)
            .and_then(NonNull::new)
    }
}

/// The server's own functions for a kind of connection that was hooked.
fn servers<const KIND: usize>() -> (Write, Writev) {
    *SERVERS[KIND].get().expect("set before the hook")
}

unsafe extern "C" fn write_after<H: Fn() + Copy + 'static, const KIND: usize>(
    connection: *mut c_void,
    data: *const c_void,
    len: usize,
) -> c_int {
    guard((), || zero_sized::<H>()());
    // SAFETY: the arguments are the caller's, for the function that it meant to call.
    unsafe { servers::<KIND>().0(connection, data, len) }
}

unsafe extern "C" fn writev_after<H: Fn() + Copy + 'static, const KIND: usize>(
    connection: *mut c_void,
    parts: *const libc::iovec,
    count: c_int,
) -> c_int {
    guard((), || zero_sized::<H>()());
    // SAFETY: the arguments are the caller's, for the function that it meant to call.
    unsafe { servers::<KIND>().1(connection, parts, count) }
}
