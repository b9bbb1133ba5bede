//! The boundary to Redis: the only part of the module that holds `unsafe`.
//!
//! It speaks the module API through the bare function pointers, so that a command costs no copy of
//! its arguments and no allocation, and it gives the rest of the module safe types:
//!
//! | type | is | see |
//! |---|---|---|
//! | [`Ctx`] | the context of one callback: replies, replication, notifications, timers | `ctx.rs`, `long_double.rs` |
//! | [`KeptDb`](kept_db::KeptDb) | a context's database, selected again after others | `kept_db.rs` |
//! | [`Args`], [`Arg`], [`OwnedString`] | arguments as byte strings, borrowed from Redis; strings of our own | `args.rs` |
//! | [`Key`], [`Kind`] | an opened key; what it holds; its value and its expire time | `key.rs` |
//! | [`Ctx::native_value`] | a native value, read whole | `native.rs` |
//! | [`TypeCallbacks`] | what Redis asks of the five data types | `types.rs` |
//! | [`RdbReader`], [`RdbWriter`], [`AofWriter`], [`Digest`] | serialised values, inside type callbacks | `io.rs` |
//! | [`Serve`], [`Waits`], [`Waiting`] | clients that wait for keys, or for an answer | `blocking.rs`, `served.rs`, `waiting.rs` |
//! | [`KeyUse`], [`Identity`] | which keys a command uses, and what its user may | `access.rs` |
//! | [`Ctx::may_use_databases`] | which databases its user may use | `database_access.rs` |
//! | [`collate()`], [`strtod()`] | the order of texts in the server's locale; doubles as C reads them | `collate.rs`, `strtod.rs` |
//! | [`Registrar`], [`CommandInfo`] | commands, as the server is told of them, and their description | `registrar.rs`, `command_info.rs` |
//! | [`Handler`], [`Runner`] | handlers of commands, each with a trampoline of its own | `trampoline.rs` |
//! | [`OnFailure`], [`Around`] | what is done around handlers | `around.rs` |
//! | [`InfoSections`], [`Latency`] | what INFO and the latency monitor tell | `info.rs`, `latency.rs` |
//! | [`ConfigEntry`], [`Configs`] | the module's settings in the server's configuration | `configs.rs`, `unknown_settings.rs` |
//! | [`Event`], [`EventKind`] | server events | `events.rs` |
//! | [`Expansion`] | room in the server's tables of keys for many that will come | `expand.rs` |
//! | [`EveryCycle`], [`Requests`] | work at every event-loop cycle; whether somebody waits meanwhile | `every_cycle.rs`, `requests.rs` |
//! | [`SlotEvent`] | hash slots that come and go | `slot_events.rs` |
//! | [`Class`] | keyspace notifications | `keyspace_events.rs` |
//! | [`keys_of`], [`keep_key_specs`] | the keys of any command | `filter.rs`, `key_specs.rs` |
//! | [`FilterArgs`], [`after_command()`] | a look at commands before they run, and after | `filter.rs`, `after_command.rs` |
//! | [`before_fork`], [`end_children_with_server`] | what happens around a fork | `fork.rs` |
//! | [`Ctx::start_timer`] | calls from the event loop after some time | `timer.rs` |
//! | [`sync_begins`], [`sync_may_end`], [`somebody_syncs`] | whether somebody waits for a full sync | `syncs.rs`, `clients.rs` |
//! | [`follow_homes`] | clients' databases, on Valkey 8.1 | `home.rs` |
//! | [`StandIn`], [`stands_in`] | native commands that the module runs in the server's stead | `stand_in.rs` |
//! | [`before_output`] | a callback before bytes leave the server | `output.rs`, `imports.rs` |
//! | [`Reply`], [`Propagate`] | commands run by the module: the owned reply of [`Ctx::call`], or the reply as it is | `call.rs` |
//! | [`MainCell`] | module state that only the main thread reaches, one borrower at a time | `cell.rs` |
//!
//! What holds everywhere:
//!
//! - Every callback runs under `catch_unwind`: a panic is logged and never enters C. A panicking
//!   command answers with an error, or loses its client if a part of the reply is out already.
//! - Callbacks are plain functions. Their type is a type parameter of the `extern "C"` trampoline,
//!   hence no table of handlers and no indirect call.
//! - [`Key`] closes itself; it signals WATCH and client tracking only by [`Key::signal_modified`]
//!   (the option NO_IMPLICIT_SIGNAL_MODIFIED is set), as native commands do it.
//! - API functions that Redis 7.0 has are required, and looked for at load. Newer ones are asked
//!   for before each use.

mod access;
mod after_command;
mod args;
mod around;
mod blocking;
mod call;
mod called;
mod cell;
mod clients;
mod collate;
mod command_info;
mod configs;
mod ctx;
mod cut;
mod database_access;
mod entry;
mod events;
mod every_cycle;
mod expand;
mod fault;
mod filter;
mod fork;
mod home;
mod imports;
mod info;
mod io;
mod kept_db;
mod key;
mod key_specs;
mod keyspace_events;
mod latency;
mod log;
mod long_double;
mod native;
mod newer;
mod output;
mod registrar;
mod replication;
mod requests;
mod scan;
mod served;
mod signal;
mod slot_events;
mod stand_in;
mod strtod;
mod syncs;
mod timer;
mod trampoline;
mod types;
mod unknown_settings;
mod waiting;

pub use access::{Identity, KeyUse};
pub use after_command::{after_command, tells_after_commands};
pub use args::{Arg, Args, OwnedString};
pub use around::{Around, OnFailure, Tried, on_failure, refuse_writes, surround_writes};
pub use blocking::{Serve, Waits};
pub use call::{Propagate, Reply};
pub use cell::{MainCell, Refused, on_main_thread};
pub use collate::collate;
pub use command_info::{
    Argument, ArgumentType, BeginSearch, CommandInfo, FindKeys, KeySpec, argument_flag, key_flag,
};
pub use configs::{ConfigEntry, Configs};
pub use ctx::{Collection, Ctx, failed_while_loading, module_ctx, server_flags};
pub use cut::{cut_connections, cut_save, cut_transaction};
pub use events::{Event, EventKind, Loading, Persistence, subscribe};
pub use every_cycle::EveryCycle;
pub use expand::Expansion;
pub use fault::tell_of_faults;
pub use filter::{FilterArgs, keys_looked_at, keys_of, keys_of_native};
pub use fork::{before_fork, end_children_with_server};
pub use home::{follow_homes, keep_homes};
pub use info::{InfoFields, InfoSections, InfoValue};
pub use io::{AofWriter, Digest, IoError, RdbBytes, RdbReader, RdbWriter};
pub use key::{Key, Kind, Mode, knows_unseen};
pub use key_specs::{KeySpecs, keep_key_specs};
pub use keyspace_events::{Class, is_own_event};
pub use latency::Latency;
pub use log::{Level, log};
pub use output::{Output, before_output, sees_tls};
pub use registrar::Registrar;
pub use replication::{
    masters_command_runs, may_replicate, note_replication, spares_replicas, translate_stream,
    translates_stream,
};
pub use requests::Requests;
pub use slot_events::SlotEvent;
pub use stand_in::{
    KeysAt, Rules, Side, StandIn, Way, look_closer, stands_in, stands_in_for_all_keys,
};
pub use strtod::strtod;
pub use syncs::{learn_how_to_sync, somebody_syncs, sync_begins, sync_may_end, syncs_without_disk};
pub use trampoline::{Handler, NumberedKeys, Runner};
pub use types::{KeyPlace, TypeCallbacks, end_child, register_types};
pub use waiting::{Answer, Waiting};

/// The function behind an API pointer which `entry` found present when the module was loaded.
#[inline(always)]
fn api<F: Copy>(pointer: Option<F>) -> F {
    match pointer {
        Some(function) => function,
        None => missing(),
    }
}

#[cold]
fn missing() -> ! {
    panic!("a module API function is absent that was there at load")
}

/// Runs the Rust side of a callback; a panic in it, which the panic hook has logged, gives
/// `fallback`.
fn guard<R>(fallback: R, callback: impl FnOnce() -> R) -> R {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(callback)).unwrap_or(fallback)
}

/// The one value of a zero-sized callback type, as a plain function's is.
///
/// Callbacks reach C as the type parameter of a trampoline, not as data, so this brings them back.
fn zero_sized<H: Copy + 'static>() -> H {
    const { assert!(size_of::<H>() == 0, "a callback must be a plain function") };
    // SAFETY: H has no bytes, so a dangling, aligned pointer is good for reading it; and each
    // trampoline is instantiated from a value of H that was passed in, so H has a value.
    unsafe { std::ptr::NonNull::<H>::dangling().read() }
}
