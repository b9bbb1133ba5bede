//! What the library does when it is loaded into a process: it takes its orders from the
//! environment.
//!
//! * [`POOL_VARIABLE`] and [`TRACE_VARIABLE`]: record that pool's life, and what the program sends
//!   to its peers meanwhile, into that file;
//! * [`COUNTERS_VARIABLE`]: count in that file, where others can look ([`Counters::map`]).

use std::env;
use std::path::Path;

use crate::interpose::{Counters, count_in, observe};
use crate::recorder::Recorder;
use crate::sockets;

/// The environment variable with the path of the pool to record.
pub(crate) const POOL_VARIABLE: &str = "POWERCUT_POOL";
/// The environment variable with the path of the trace to write.
pub(crate) const TRACE_VARIABLE: &str = "POWERCUT_TRACE";
/// The environment variable with the path of a file of at least 24 bytes to count in.
pub const COUNTERS_VARIABLE: &str = "POWERCUT_COUNTERS";

#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

/// Follows the orders in the environment. Runs when the library or the executable is loaded.
extern "C" fn start() {
    if let Some(path) = env::var_os(COUNTERS_VARIABLE) {
        let mapped = Counters::map(Path::new(&path)).expect("the file of counters can be mapped");
        count_in(mapped);
    }
    if let (Some(pool), Some(trace)) = (env::var_os(POOL_VARIABLE), env::var_os(TRACE_VARIABLE)) {
        let recorder = Recorder::new(Path::new(&pool), Path::new(&trace));
        observe(Some(Box::new(recorder.expect("the pool can be recorded"))));
        sockets::watch();
    }
}
