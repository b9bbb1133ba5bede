//! Closing connections without sending what is in their buffers.

use std::fs;
use std::io;
use std::mem::size_of;
use std::os::fd::RawFd;

use libc::{c_int, c_void};

use super::{Ctx, Reply};

/// Shuts all connected stream sockets of the process down, in both directions. What the server has
/// not sent yet never leaves, from no thread; it finds the connections broken, and closes them.
pub fn cut_connections() {
    let Ok(descriptors) = fs::read_dir("/proc/self/fd") else {
        return;
    };
    let descriptors = descriptors.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse::<RawFd>().ok()
    });
    descriptors
        .filter(|&descriptor| is_connection(descriptor))
        .for_each(cut);
}

/// Cuts the connection of the client whose EXEC runs; all, if the server does not tell which it is.
pub fn cut_transaction(ctx: &Ctx) {
    let found = clients(ctx, transaction_of);
    if found.is_empty() {
        cut_connections()
    } else {
        found.into_iter().for_each(cut)
    }
}

/// Cuts the connection of the client whose SAVE runs. The server tells of each client its last
/// command, not whether it runs, so one that has done nothing since its own SAVE is cut, too.
/// Whether there was one.
pub fn cut_save(ctx: &Ctx) -> bool {
    let found = clients(ctx, save_of);
    let any = !found.is_empty();
    found.into_iter().for_each(cut);
    any
}

/// The descriptors that `of` finds in the list of clients.
fn clients(ctx: &Ctx, of: impl Fn(&str) -> Option<RawFd>) -> Vec<RawFd> {
    match ctx.call(c"CLIENT", &[b"LIST"]) {
        Some(Reply::Text(clients)) => String::from_utf8_lossy(&clients)
            .lines()
            .filter_map(of)
            .collect(),
        _ => Vec::new(),
    }
}

/// What the list of clients tells of one.
fn field<'c>(client: &'c str, name: &str) -> Option<&'c str> {
    let mut fields = client.split(' ');
    fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
}

/// The descriptor of a client in the list of all, if it is in the midst of EXEC, or if CLIENT PAUSE
/// holds its EXEC back.
fn transaction_of(client: &str) -> Option<RawFd> {
    let runs = field(client, "cmd")? == "exec" && field(client, "flags")?.contains('x');
    runs.then(|| field(client, "fd")?.parse().ok())?
}

/// The descriptor of a client, if its last command was SAVE. For how long it has been idle does not
/// matter: that is since its words came, which other commands of its may have had before them.
fn save_of(client: &str) -> Option<RawFd> {
    let saves = field(client, "cmd")? == "save";
    saves.then(|| field(client, "fd")?.parse().ok())?
}

fn cut(descriptor: RawFd) {
    // SAFETY: a system call that touches no memory; of another descriptor it fails.
    unsafe { libc::shutdown(descriptor, libc::SHUT_RDWR) };
}

/// Whether a descriptor is a stream socket that does not listen.
pub(super) fn is_connection(descriptor: RawFd) -> bool {
    let option = |name: c_int| -> io::Result<c_int> {
        let mut value: c_int = 0;
        let mut len = size_of::<c_int>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `len` bytes to the value.
        let failed = unsafe {
            let at = (&raw mut value).cast::<c_void>();
            libc::getsockopt(descriptor, libc::SOL_SOCKET, name, at, &mut len)
        };
        match failed {
            0 => Ok(value),
            _ => Err(io::Error::last_os_error()),
        }
    };
    option(libc::SO_TYPE).is_ok_and(|kind| kind == libc::SOCK_STREAM)
        && option(libc::SO_ACCEPTCONN).is_ok_and(|listens| listens == 0)
}

#[cfg(test)]
mod tests {
    use super::{save_of, transaction_of};

    #[test]
    fn the_client_is_found_whose_exec_runs() {
        let line = |flags: &str, cmd: &str| {
            format!(
                "id=7 addr=127.0.0.1:5 laddr=127.0.0.1:6 fd=12 name=fd=3 flags={flags} multi=2 cmd={cmd} user=default"
            )
        };
        assert_eq!(transaction_of(&line("x", "exec")), Some(12));
        assert_eq!(transaction_of(&line("xd", "exec")), Some(12));
        assert_eq!(transaction_of(&line("N", "exec")), None);
        assert_eq!(transaction_of(&line("x", "get")), None);
        assert_eq!(transaction_of(""), None);
    }

    #[test]
    fn the_client_is_found_that_saves() {
        let line = |idle: u32, cmd: &str| format!("id=7 fd=12 age=9 idle={idle} flags=N cmd={cmd}");
        assert_eq!(save_of(&line(0, "save")), Some(12));
        assert_eq!(save_of(&line(3, "save")), Some(12));
        assert_eq!(save_of(&line(0, "bgsave")), None);
        assert_eq!(save_of(""), None);
    }
}
