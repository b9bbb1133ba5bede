//! The test kit of pmedis: everything the integration tests in `tests/` stand on.
//!
//! * [`server`] starts, kills and restarts real `redis-server` processes, with or without the
//!   module, each in a directory of its own on tmpfs.
//! * [`packaged`] picks the server of a test run: `PMEDIS_SERVER=valkey-9.1`, after `ci/servers`.
//! * [`resp`] and [`client`] speak RESP2 and RESP3 and keep the exact form of every reply.
//! * [`differential`] generates command sequences, runs each natively and as `PM.*` in one server
//!   and compares everything a client can see.
//! * [`script`] runs transcripts, and shows what PM keys a server has.
//! * [`cluster`] makes Redis Clusters, and has a client that follows redirects.
//! * [`contents`] reads all that a server holds, PM keys and native ones alike.
//! * [`counting`] has clients whose every change can be found once, twice or not at all.
//! * [`crash`] is the workload of the kill -9 tests: clients whose history can be replayed, so
//!   that what a restarted server holds can be judged key by key.
//! * [`disk`] mounts file systems that are soon full.
//! * [`full`] fills pools, and asks them how full they are.
//! * [`load`] keeps a server busy with changes of all types.
//! * [`natives`] lists the native commands that have counterparts.
//! * [`ports`] finds ports that are free.
//! * [`preload`] compiles libraries that servers are run with.
//! * [`processor`] tells what a server spends on something.
//! * [`rdb`] seals payloads for RESTORE.
//! * [`replication`] attaches replicas, waits for them, and compares servers.
//! * [`soak`] keeps a pool full while the server is killed.
//! * [`scenario`] plays scenarios of clients that wait, natively and as `PM.*`.
//!
//! A new type brings a table to [`differential::tables`]; nothing else in here changes.

pub mod client;
pub mod cluster;
pub mod contents;
pub mod counting;
pub mod crash;
pub mod differential;
pub mod disk;
pub mod full;
pub mod load;
pub mod migration;
pub mod natives;
pub mod packaged;
pub mod ports;
pub mod preload;
pub mod processor;
pub mod rdb;
pub mod replication;
pub mod resp;
pub mod scenario;
pub mod script;
pub mod server;
pub mod soak;

use std::env;

/// Reads the number in the environment variable `name` (decimal, or hexadecimal after `0x`), or
/// returns `default` if the variable is not set.
///
/// # Panics
/// If the variable is set to something that is not a number: a mistyped setting must not quietly
/// run another test than the one that was asked for.
pub fn env_number(name: &str, default: u64) -> u64 {
    let Ok(text) = env::var(name) else {
        return default;
    };
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.unwrap_or_else(|_| panic!("{name}={text} is not a number"))
}
