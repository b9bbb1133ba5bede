//! Servers that follow a file or a master, and cannot be told that something did not succeed.

use crate::redis::server_flags;
use crate::report;

/// True while the server loads a file, its own or its master's.
pub(super) fn loads_a_file() -> bool {
    let flags = server_flags();
    flags.loading() || flags.async_loading()
}

/// True if nobody but the master changes keys here.
pub(super) fn follows() -> bool {
    let flags = server_flags();
    flags.replica() && flags.read_only()
}

/// Ends the server, before anybody is told what is not so, or anything is saved.
pub(super) fn end_server(why: &str) -> ! {
    report::warn(why);
    std::process::exit(1);
}
