//! Servers that follow a file or a master, and cannot be told that something did not succeed.

use super::Engine;
use crate::redis::{masters_command_runs, module_ctx, server_flags};
use crate::report;

/// True while the server loads a file, its own or its master's.
pub(super) fn loads_a_file() -> bool {
    let flags = server_flags();
    flags.loading() || flags.async_loading()
}

/// True if the server is a replica: all that its master sends has to be kept, and kept durably.
pub(super) fn is_replica() -> bool {
    server_flags().replica()
}

/// True if it is the master that changes keys now: always on a replica that is read-only; on one
/// that its clients may write to as well, while it loads the master's file or runs a command of
/// its. In doubt, yes.
pub(super) fn follows() -> bool {
    let flags = server_flags();
    let runs_masters = || module_ctx().is_none_or(|ctx| masters_command_runs(&ctx));
    flags.replica() && (flags.read_only() || loads_a_file() || runs_masters())
}

/// True if clients may change keys here.
pub(super) fn serves_writers() -> bool {
    let flags = server_flags();
    !(flags.replica() && flags.read_only())
}

impl Engine {
    /// The server is not to start with this pool: if it is new, its files go again.
    pub(crate) fn withdraw(&mut self) {
        if self.store.pool.withdraw() {
            report::notice("the pool was made by this start, and is removed again");
        }
    }
}

/// Ends the server, before anybody is told what is not so, or anything is saved.
pub(super) fn end_server(why: &str) -> ! {
    report::warn(why);
    std::process::exit(1);
}
