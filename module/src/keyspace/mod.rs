//! The keyspace: where Redis's keys meet the pool's records.
//!
//! A PM key sits in Redis's own keyspace as a module-type value; the word Redis keeps for it is the
//! address of the key's [`record`](store::record), which the `store` keeps. What happens to the key
//! in Redis (deletion, expiry, RENAME, FLUSHALL, …) reaches the record through callbacks and events
//! ([`events`], [`callbacks`]); what PM commands do goes the other way, record first ([`key`]).
//! This is the only layer that knows both.
//!
//! | file | what |
//! |---|---|
//! | `key.rs` | a key opened by a command: read, edit, create, replace, delete |
//! | `callbacks.rs` | what Redis asks of values: free, copy, save, load, … |
//! | `events.rs` | what happens to keys and databases behind the commands' back |
//! | `adopt.rs` | native keys that become PM keys |
//! | `evict.rs` | PM keys that give way in a full pool |
//! | `expiring.rs` | fields of hashes that expire, and are removed |
//! | `command_time.rs` | the time at which a command looks at fields that expire |
//! | `arriving.rs` | keys of hash slots that are being imported |
//! | `before_command.rs` | what the command filter does before each command |
//! | `acknowledge.rs` | what is durable before a reply leaves, and how |
//! | `groups.rs` | commands of several steps: EXEC, scripts, RENAME, …, and those that fail as a whole |
//! | `beside.rs` | an RDB with values beside a pool that has keys |
//! | `set_expires.rs` | what SET raises on Redis 7.0, told from other events |
//! | `aof.rs` | what an AOF is told of keys that pass between PM and native |
//! | `startup.rs` | what the start has to know of the file that Redis loads |
//! | `load_error.rs` | why keys of files are not loaded |
//! | `loading.rs` | whether the pool takes over the PM keys of an RDB, an AOF, a full sync |
//! | `life.rs` | where the server is in its life: starting, taking over, serving, reloading |
//! | `pending.rs` | what one callback of the server leaves for the next |
//! | `files.rs` | what is known of the files that the server loads and writes |
//! | `failure.rs` | what becomes of failures: told, counted, or the end of the server |
//! | `counts.rs`, `object.rs` | how many keys there are; what OBJECT and MEMORY tell of one |
//! | `flush.rs`, `copying.rs`, `grow.rs` | FLUSHALL; COPY, and whether it found room; a larger pool |
//! | `fill.rs` | start-up: from the pool's records to Redis's keys |
//! | `fullness.rs` | how full the pool is, told in the log |
//! | `cluster.rs` | hash slots that come and go, and keys in those of other nodes |
//! | `check.rs` | all keys looked at, in parts |
//! | `rewrite.rs` | values as commands |
//! | `saving.rs` | what files get of PM keys |
//! | `abridge.rs` | files with many markers, made short |
//! | `native_rdb.rs` | files with native values |
//! | `plain_stream.rs` | the stream to replicas without the module |
//! | `open.rs` | opening the pool at load |
//! | `memory.rs` | memory that the pool's pages may take with `durability disk` |
//! | `prefetch.rs` | what a command is about to read, prefetched |
//! | `substitutes.rs` | native commands in whose place one of ours runs |
//! | `rest.rs` | what rests while writes are paused |
//! | `room.rs` | memory reclaimed, and what a command waits for that finds no room |
//! | `compact.rs` | scattered room gathered, in the background |
//! | `serialize.rs` | values in RDB files |
//! | `undurable.rs` | what becomes of what cannot be made durable |
//! | `watched.rs` | the commands that the command filter knows by name |
//! | `cycles.rs` | the event loop: its cycles, watched while there is something to do, its timers, its output |

mod abridge;
mod acknowledge;
pub mod adopt;
mod aof;
pub mod arriving;
mod before_command;
mod beside;
pub mod callbacks;
pub mod check;
mod cluster;
mod command_time;
pub mod compact;
mod copying;
mod counts;
mod cycles;
pub mod events;
pub mod evict;
pub mod expiring;
mod failure;
mod files;
pub mod fill;
mod flush;
mod following;
mod fullness;
mod groups;
mod grow;
pub mod key;
mod life;
mod load_error;
mod loading;
mod memory;
pub mod native_rdb;
mod object;
pub mod open;
mod pending;
pub mod plain_stream;
mod prefetch;
mod rest;
mod rewrite;
pub mod room;
mod saving;
pub mod serialize;
mod set_expires;
mod startup;
pub mod substitutes;
mod undurable;
mod watched;

use crate::redis::MainCell;
use crate::report;
use cluster::Arrivals;
use cycles::EventLoop;
use expiring::Removing;
use failure::{apply, durable, followed, leave_out_quietly};
use files::Files;
use fill::Filling;
use fullness::Fullness;
use groups::afterwards::Afterwards;
use life::Life;
use memory::Memory;
use pending::Pending;
use pobj::{Pool, PoolOptions};
use prefetch::Prefetch;
use rest::UnwrittenNotes;
use startup::Startup;
use store::Store;
use store::lifetime::Pulse;
use store::lsn::RunLsn;
use store::must::must;
use store::record::RecordPtr;

pub use acknowledge::watch_output;
pub use aof::note_pool;
pub use beside::learn_rdb_path;
pub use command_time::{CommandTime, clock, expired_among};
pub use copying::copying;
pub use counts::{dbs_with_keys, keys_of, shown_keys_of};
pub use failure::{failures, with_engine};
pub use flush::{flush, follow_flush};
pub use groups::begin_group;
pub use groups::undo::follow_undo;
pub use grow::grow;
pub use key::{PmKey, edit2, edit2_announcing, put_all, read_all, read_each};
pub use object::{encoding, usage_of};
pub use prefetch::learn_look_ups;
pub use undurable::{checkpoint, refusal_for_anyone, refusal_of};

/// The engine: everything durable, and what is kept in DRAM about it.
pub struct Engine {
    /// The keys of the pool.
    pub store: Store,
    /// Where the server is in its life.
    pub(crate) life: Life,
    /// The event loop, and what waits for it.
    pub(crate) event_loop: EventLoop,
    /// What one callback leaves for the next.
    pub(crate) pending: Pending,
    /// The files that the server loads and writes.
    pub(crate) files: Files,
    /// The filling of the keyspace that is under way.
    pub(crate) filling: Option<Box<Filling>>,
    /// Slots that have just been imported.
    pub(crate) arrivals: Arrivals,
    /// How fields of hashes whose time has come are removed.
    pub(crate) removing: Removing,
    /// What a group that has failed leaves to be done at its end.
    pub(crate) afterwards: Afterwards,
    /// The mark on the pool's file.
    pub(crate) pulse: Option<Pulse>,
    /// Checks of all keys that are under way: records are not moved without need.
    pub(crate) checks: u32,
    /// What the log says of how full the pool is.
    pub(crate) fullness: Fullness,
    /// What is known of the next look-up.
    pub(crate) prefetch: Prefetch,
    /// Whether the kernel takes pages of the pool back.
    pub(crate) memory: Memory,
    /// What is noted in the pool when writes are not paused any more.
    unwritten_notes: UnwrittenNotes,
}

/// The word Redis holds for a key that a file brought while the pool was the truth: it is replaced
/// by the pool's own record, or goes, when the keyspace is filled.
const PLACEHOLDER: usize = 1;

/// The one engine of the process.
pub static ENGINE: MainCell<Engine> = MainCell::empty();

impl Engine {
    /// Opens the pool, if `admits` does not fail for it, the LSN at which it was found, and the run
    /// that begins.
    fn open_if(
        options: &PoolOptions,
        admits: impl FnOnce(&mut Pool, RunLsn, u64) -> pobj::Result<()>,
    ) -> pobj::Result<Engine> {
        let store = Store::open(options, admits)?;
        let startup = Startup::new(store.found, store.dbs.is_unused());
        let mut engine = Engine {
            store,
            life: Life::default(),
            event_loop: EventLoop::default(),
            pending: Pending::default(),
            afterwards: Afterwards::default(),
            files: Files::new(startup),
            filling: None,
            arrivals: Arrivals::default(),
            removing: Removing::default(),
            pulse: None,
            checks: 0,
            fullness: Fullness::default(),
            prefetch: Prefetch::default(),
            memory: Memory::default(),
            unwritten_notes: UnwrittenNotes::default(),
        };
        loading::undo_interrupted(&mut engine)?;
        Ok(engine)
    }

    /// The record whose address Redis keeps as `addr`; `None` for a placeholder.
    #[inline]
    pub fn record_at(&self, addr: usize) -> Option<RecordPtr> {
        self.store.record_at(addr)
    }

    /// Runs `f`, which leaves nothing behind when it fails, with all the room that can be found.
    fn must<R>(&mut self, f: impl FnMut(&mut Engine) -> pobj::Result<R>) -> pobj::Result<R> {
        let outcome = must(self, f);
        if self.store.was_parted() {
            report::warn(
                "the pool is too full for the undo log of a command of many steps: it is made durable in \
                 parts",
            );
        }
        outcome
    }
}

impl AsMut<Store> for Engine {
    fn as_mut(&mut self) -> &mut Store {
        &mut self.store
    }
}
