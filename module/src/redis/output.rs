//! The server's output, intercepted: a callback before bytes leave on any connection.
//!
//! No server has such a hook in its module API. But all that Redis 7.0 sends to clients, replicas
//! and monitors goes through two functions of a table for each kind of connection, `CT_Socket` and
//! `CT_TLS`; the server exports these, in writable memory. Their head has been the same since the
//! release candidates of 7.0, and it is a closed series. So the module puts a function of its own
//! in front of each of the two, if both are in the same program as the table.
//!
//! Newer servers do not export their tables, and have changed their form. All that they send
//! without TLS goes through `write` and `writev` of the C library, as does what they write to
//! files: the module intercepts these two (`imports.rs`). TLS output is not visible there.

use std::ffi::{CStr, c_int, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;

use redis_module::raw as rm;

use super::cut::is_connection;
use super::imports::{Import, home};
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

/// What is about to be written.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Where to, if that can be something else than a connection.
    descriptor: Option<c_int>,
}

impl Output {
    /// True if it is sent on a connection: one system call at most.
    pub fn is_sent(self) -> bool {
        self.descriptor.is_none_or(is_connection)
    }
}

/// Calls `handler` from now on before anything is sent, on the thread that sends it, and before the
/// server writes to files. It may run within a signal handler of the server's then, that writes to
/// the log. `false` if this server cannot do that for each kind of connection that it has. Only
/// while the module is being loaded.
pub fn before_output<H: Fn(Output) + Copy + 'static>(_handler: H) -> bool {
    if is_redis_7_0() {
        hook::<H, 0>() == Some(true) && hook::<H, 1>() != Some(false)
    } else {
        hook_library::<H>() == Some(())
    }
}

/// True if TLS passes the callback of [`before_output`].
pub fn sees_tls() -> bool {
    is_redis_7_0()
}

type LibraryWrite = unsafe extern "C" fn(c_int, *const c_void, usize) -> isize;
type LibraryWritev = unsafe extern "C" fn(c_int, *const libc::iovec, c_int) -> isize;

/// The C library's functions, or of what was preloaded instead.
static LIBRARYS: OnceLock<(LibraryWrite, LibraryWritev)> = OnceLock::new();

fn hook_library<H: Fn(Output) + Copy + 'static>() -> Option<()> {
    let (write, writev) = (Import::find(c"write")?, Import::find(c"writev")?);
    // SAFETY: what the server calls by these names has these types.
    let librarys = unsafe {
        (
            std::mem::transmute::<NonNull<c_void>, LibraryWrite>(write.function),
            std::mem::transmute::<NonNull<c_void>, LibraryWritev>(writev.function),
        )
    };
    LIBRARYS.set(librarys).ok()?;
    // SAFETY: functions of the same types, of a library that stays loaded. One alone in front is
    // harmless.
    unsafe {
        write.replace(library_write_after::<H> as *const c_void)?;
        writev.replace(library_writev_after::<H> as *const c_void)
    }
}

fn librarys() -> (LibraryWrite, LibraryWritev) {
    *LIBRARYS.get().expect("set before the hook")
}

unsafe extern "C" fn library_write_after<H: Fn(Output) + Copy + 'static>(
    descriptor: c_int,
    data: *const c_void,
    len: usize,
) -> isize {
    let output = Output {
        descriptor: Some(descriptor),
    };
    guard((), || zero_sized::<H>()(output));
    // SAFETY: the arguments are the caller's, for the function that it meant to call.
    unsafe { librarys().0(descriptor, data, len) }
}

unsafe extern "C" fn library_writev_after<H: Fn(Output) + Copy + 'static>(
    descriptor: c_int,
    parts: *const libc::iovec,
    count: c_int,
) -> isize {
    let output = Output {
        descriptor: Some(descriptor),
    };
    guard((), || zero_sized::<H>()(output));
    // SAFETY: the arguments are the caller's, for the function that it meant to call.
    unsafe { librarys().1(descriptor, parts, count) }
}

fn is_redis_7_0() -> bool {
    // SAFETY: a copy of a pointer written before the module ran.
    let version = unsafe { rm::RedisModule_GetServerVersion };
    // SAFETY: without preconditions. The version is 0x00MMmmpp.
    version.is_some_and(|version| unsafe { version() } >> 8 == 0x0700)
}

/// Whether it could be done for one kind of connection; `None` if the server has no such.
fn hook<H: Fn(Output) + Copy + 'static, const KIND: usize>() -> Option<bool> {
    // SAFETY: looks up a C string in the program and its libraries.
    let table = unsafe { libc::dlsym(libc::RTLD_DEFAULT, TABLES[KIND].as_ptr()) };
    let table = NonNull::new(table.cast::<ConnectionType>())?;
    // SAFETY: in Redis 7.0 a symbol of this name is such a table, in memory that is mapped writable
    // for the process's life. Its functions are called by this thread only while a module is being
    // loaded: threads for I/O work only while this one waits for them.
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

/// The server's own functions for a kind of connection that was hooked.
fn servers<const KIND: usize>() -> (Write, Writev) {
    *SERVERS[KIND].get().expect("set before the hook")
}

unsafe extern "C" fn write_after<H: Fn(Output) + Copy + 'static, const KIND: usize>(
    connection: *mut c_void,
    data: *const c_void,
    len: usize,
) -> c_int {
    guard((), || zero_sized::<H>()(Output { descriptor: None }));
    // SAFETY: the arguments are the caller's, for the function that it meant to call.
    unsafe { servers::<KIND>().0(connection, data, len) }
}

unsafe extern "C" fn writev_after<H: Fn(Output) + Copy + 'static, const KIND: usize>(
    connection: *mut c_void,
    parts: *const libc::iovec,
    count: c_int,
) -> c_int {
    guard((), || zero_sized::<H>()(Output { descriptor: None }));
    // SAFETY: the arguments are the caller's, for the function that it meant to call.
    unsafe { servers::<KIND>().1(connection, parts, count) }
}
