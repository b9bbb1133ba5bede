//! The keyspace: where Redis's keys meet the pool's records.
//!
//! A PM key sits in Redis's own keyspace as a module-type value; the word Redis keeps for it is the
//! address of the key's [`record`], which the `store` keeps. What happens to the key in Redis
//! (deletion, expiry, RENAME, FLUSHALL, …) reaches the record through callbacks and events
//! ([`events`], [`callbacks`]); what PM commands do goes the other way, record first ([`key`]).
//! This is the only layer that knows both.
//!
//! | file | what |
//! |---|---|
//! | `key.rs` | a key opened by a command: read, edit, create, replace, delete |
//! | `callbacks.rs` | what Redis asks of values: free, copy, save, load, … |
//! | `events.rs` | what happens to keys and databases behind the commands' back |
//! | `afterwards.rs` | native commands in a group that has failed already |
//! | `adopt.rs` | native keys that become PM keys |
//! | `evict.rs` | PM keys that give way in a full pool |
//! | `expiring.rs` | fields of hashes that expire, and are removed |
//! | `groups.rs` | commands of several steps: EXEC, scripts, RENAME, … |
//! | `beside.rs` | an RDB with values beside a pool that has keys |
//! | `aof.rs` | what an AOF is told of keys that pass between PM and native |
//! | `loading.rs` | whether the pool takes over the PM keys of an RDB, an AOF, a full sync |
//! | `lifetime.rs` | how the last user has left the pool, and in which file |
//! | `failure.rs` | what becomes of failures: told, counted, or the end of the server |
//! | `fill.rs` | start-up: from the pool's records to Redis's keys |
//! | `follower.rs` | a replica whose pool is too small |
//! | `fullness.rs` | how full the pool is, told in the log |
//! | `cluster.rs` | hash slots that come and go, and keys in those of other nodes |
//! | `check.rs` | all keys looked at, in parts |
//! | `rewrite.rs` | values as commands |
//! | `saving.rs` | what files get of PM keys |
//! | `abridge.rs` | files with many markers, made short |
//! | `native_rdb.rs` | files with native values |
//! | `plain_stream.rs` | the stream to replicas without the module |
//! | `open.rs` | opening the pool at load |
//! | `compact.rs` | scattered room gathered, in the background |
//! | `serialize.rs` | values in RDB files |
//! | `undo.rs` | EXEC and scripts for which the pool has no room fail as a whole |
//! | `undurable.rs` | what becomes of what cannot be made durable |
//! | `cycles.rs` | the event-loop cycles, watched while there is something to do |

mod abridge;
pub mod adopt;
mod afterwards;
mod aof;
mod beside;
pub mod callbacks;
pub mod check;
mod cluster;
pub mod compact;
mod cycles;
pub mod events;
pub mod evict;
pub mod expiring;
mod failure;
pub mod fill;
mod follower;
mod fullness;
mod groups;
pub mod key;
mod lifetime;
mod loading;
mod memory;
pub mod memory_usage;
pub mod native_rdb;
pub mod open;
pub mod plain_stream;
mod prefetch;
mod rewrite;
mod saving;
pub mod serialize;
mod undo;
mod undurable;

use crate::behaviour::{self, Family};
use crate::error::CmdError;
use crate::limits;
use crate::redis::{Level, MainCell, log};
use afterwards::Afterwards;
use aof::Leaving;
use cluster::Arrivals;
use cycles::Cycles;
use expiring::Removing;
use failure::{durable, retire_quietly};
use fill::Filling;
use fullness::Fullness;
use lifetime::Pulse;
use loading::Startup;
use pobj::{Pool, PoolOptions};
use prefetch::Prefetch;
use saving::Saving;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};
use store::Store;
use store::lsn::RunLsn;
use store::must::must;
use store::record::{self, RecordPtr};
use store::structures;
use store::structures::encoding::Known;
use store::value::ValueType;

pub use aof::note_pool;
pub use beside::learn_rdb_path;
pub use failure::{failures, with_engine};
pub use groups::{begin_several_steps, now, watch_output};
pub use key::{PmKey, edit2, edit2_telling, put_all, read_all, read_each};
pub use prefetch::learn_look_ups;
pub use undo::follow_undo;
pub use undurable::{checkpoint, refusal};

/// The engine: everything durable, and what is kept in DRAM about it.
pub struct Engine {
    /// The keys of the pool.
    pub store: Store,
    /// Slots that have come a moment ago.
    pub(crate) arrivals: Arrivals,
    /// How fields of hashes whose time has come are removed.
    pub(crate) removing: Removing,
    /// The record that a command has already freed, and that Redis is about to say so of.
    pub(crate) gone: Option<usize>,
    /// Keys that a file brought while the pool was the truth, and that are still in the keyspace.
    pub(crate) placeholders: u64,
    /// What is loaded now, or was last, is an AOF.
    pub(crate) loads_aof: bool,
    /// The AOF tells of this pool.
    pub(crate) aof_knows: bool,
    /// The key that is being loaded is the marker of a PM key in an AOF.
    pub(crate) aof_marker: bool,
    /// The key whose value Redis is about to let go of, if an AOF may have to know.
    pub(crate) leaving: Option<Leaving>,
    /// Records from an RDB are taken over (the pool was empty, or a full sync has emptied it).
    pub(crate) take_loaded: bool,
    /// The keyspace shows the pool's keys, or as many as were asked for while it is being filled.
    pub(crate) filled: bool,
    /// The filling of the keyspace that is under way.
    pub(crate) filling: Option<Box<Filling>>,
    /// Redis is freeing keys that a flush has ended already, or that were not there before a group
    /// that is taken back.
    pub(crate) flushing: bool,
    /// The event loop is between two cycles: replies are sent, and no end of a cycle is to come
    /// first.
    pub(crate) between_cycles: bool,
    /// Whether Redis tells of the event-loop cycles.
    pub(crate) cycles: Cycles,
    /// The module can look at what the server sends, on its main thread.
    pub(crate) sees_output: bool,
    /// Groups end, and commits are durable, before anything is sent, whenever that is.
    pub(crate) output_watched: bool,
    /// Groups end right after their commands: the server runs jobs then, as masters do from 7.2 on.
    pub(crate) jobs_run: bool,
    /// CLIENT PAUSE may hold commands of several steps back: so many runs of the server's cron
    /// after its end, none is left.
    pub(crate) postponed: u8,
    /// A timer for reclaiming memory runs.
    pub(crate) reclaim_ticks: bool,
    /// Keys of databases that the server does not have.
    pub(crate) unmapped: u64,
    /// The last copy of a key failed for want of room.
    pub(crate) no_room_for_copy: bool,
    /// A command of ours copies keys, which tells itself of a failure.
    pub(crate) copies: bool,
    /// What a group that has failed leaves to be done at its end.
    pub(crate) afterwards: Afterwards,
    /// PM commands in loaded files that failed, and were logged.
    pub(crate) failed_while_loading: u64,
    /// What the start of the server has seen, until the keyspace is filled.
    pub(crate) startup: Option<Startup>,
    /// Where the server's RDB is, if it tells.
    pub(crate) rdb_path: Option<PathBuf>,
    /// The mark on the pool's file.
    pub(crate) pulse: Option<Pulse>,
    /// When a file began to be written, here or by a child, or to be loaded.
    pub(crate) file_begun: Option<SystemTime>,
    /// A file that this process writes.
    pub(crate) saving: Option<Saving>,
    /// A command empties the keyspace and loads a file; the pool keeps its keys.
    pub(crate) reloading: bool,
    /// Looks at all keys that are under way: records are not moved without need.
    pub(crate) looks: u32,
    /// A timer for compaction runs.
    pub(crate) compaction_ticks: bool,
    /// What the log says of how full the pool is.
    pub(crate) fullness: Fullness,
    /// What is known of the next look-up.
    pub(crate) prefetch: Prefetch,
    /// The kernel does not take pages of the pool back, and the log has told of it.
    pub(crate) keeps_pages: bool,
}

/// The one engine of the process.
pub static ENGINE: MainCell<Engine> = MainCell::empty();

impl Engine {
    /// Opens the pool.
    pub fn open(options: &PoolOptions) -> pobj::Result<Engine> {
        Engine::open_if(options, |_, _, _| Ok(()))
    }

    /// Opens the pool, if `admits` does not fail for it, the LSN at which it was found, and the run
    /// that begins.
    fn open_if(
        options: &PoolOptions,
        admits: impl FnOnce(&mut Pool, RunLsn, u64) -> pobj::Result<()>,
    ) -> pobj::Result<Engine> {
        let store = Store::open(options, admits)?;
        let mut engine = Engine {
            startup: Some(Startup::new(store.found, store.dbs.is_unused())),
            store,
            arrivals: Arrivals::default(),
            removing: Removing::default(),
            gone: None,
            placeholders: 0,
            loads_aof: false,
            aof_knows: false,
            aof_marker: false,
            leaving: None,
            take_loaded: false,
            filled: false,
            filling: None,
            flushing: false,
            between_cycles: false,
            cycles: Cycles::default(),
            sees_output: false,
            output_watched: false,
            jobs_run: false,
            postponed: 0,
            reclaim_ticks: false,
            unmapped: 0,
            no_room_for_copy: false,
            copies: false,
            afterwards: Afterwards::default(),
            failed_while_loading: 0,
            rdb_path: None,
            pulse: None,
            file_begun: None,
            saving: None,
            reloading: false,
            looks: 0,
            compaction_ticks: false,
            fullness: Fullness::default(),
            prefetch: Prefetch::default(),
            keeps_pages: false,
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
            log(
                Level::Warning,
                "the pool is too full for the undo log of a command of many steps: it is made durable in \
                 parts",
            );
        }
        outcome
    }

    /// Reclaims memory for about `budget`, but not while a group is open.
    pub(crate) fn reclaim(&mut self, budget: Duration) {
        let start = Instant::now();
        while let Err(error) = self.store.reclaim(budget.saturating_sub(start.elapsed())) {
            let line = format!("memory of a deleted key is lost: {error}");
            log(Level::Warning, &line);
            if start.elapsed() >= budget {
                break;
            }
        }
    }
}

impl AsMut<Store> for Engine {
    fn as_mut(&mut self) -> &mut Store {
        &mut self.store
    }
}

/// PM keys of a database that Redis's keyspace shows. O(1).
pub fn shown_keys_of(db: i32) -> Result<u64, CmdError> {
    with_engine(|engine| {
        Ok(engine
            .store
            .dbs
            .keys(db)
            .saturating_sub(engine.store.unshown(db)))
    })
}

/// Counts the key of a record that has come into Redis's keyspace.
fn count_shown(record: RecordPtr) {
    durable("a key's count", |engine| engine.store.key_comes(record));
}

/// Counts a key that has just come into Redis's keyspace with its record, which is not looked at:
/// that would wait for the commit.
#[inline]
fn count_new(space: u16, ty: ValueType, name: &[u8]) {
    let counted = ENGINE.with(|engine| engine.store.new_key_comes(space, ty, name));
    debug_assert!(
        counted.is_ok(),
        "no command runs while the engine is in use"
    );
}

/// PM keys of a database. O(1).
pub fn keys_of(db: i32) -> Result<u64, CmdError> {
    with_engine(|engine| Ok(engine.store.dbs.keys(db)))
}

/// The databases that have PM keys, and how many each has.
pub fn dbs_with_keys() -> Result<Vec<(i32, u64)>, CmdError> {
    with_engine(|engine| {
        let dbs = (0..engine.store.dbs.count()).map(|db| (db, engine.store.dbs.keys(db)));
        Ok(dbs.filter(|&(_, keys)| keys > 0).collect())
    })
}

/// Ends all PM keys of a database, or of all, in the pool. Redis's keyspace has to follow at once.
pub fn flush(db: Option<i32>) -> Result<(), CmdError> {
    with_engine(|engine| match engine.filled {
        true => Ok(engine.flush(db)?),
        false => Err(key::LOADING),
    })
}

/// Whether Redis's keyspace is following a [`flush`], or what else is done to the pool's keys:
/// those that go have ended already.
pub fn follow_flush(on: bool) -> Result<(), CmdError> {
    with_engine(|engine| {
        engine.flushing = on;
        Ok(())
    })
}

/// Makes the pool larger by so many bytes, or by a step of its own choice: its new size.
///
/// # Errors
/// Why it cannot; it is as before then.
pub fn grow(bytes: Option<u64>) -> Result<u64, CmdError> {
    let grown = with_engine(|engine| Ok(engine.store.pool.grow(bytes)))?;
    fullness::tell_growth();
    grown.map_err(|error| match error {
        pobj::Error::State(why) => CmdError::Other(format!("ERR {why}").into()),
        pobj::Error::NoSpace { size, .. } => {
            log(Level::Warning, &format!("the pool cannot grow: {error}"));
            CmdError::Other(
                format!(
                    "ERR the file system has no room for {size} bytes more: the pool is as before"
                )
                .into(),
            )
        }
        other => other.into(),
    })
}

/// Runs `copy`, which has the server copy a key, and gets what tells whether that failed for want
/// of room: Redis does not know.
pub fn copying<R>(copy: impl FnOnce(fn() -> Option<CmdError>) -> R) -> R {
    let set = |copies| {
        with_engine(|engine| {
            (engine.copies, engine.no_room_for_copy) = (copies, false);
            Ok(())
        })
    };
    let begun = set(true);
    let result = copy(|| {
        let failed = with_engine(|engine| Ok(engine.no_room_for_copy));
        (failed == Ok(true)).then_some(CmdError::PoolFull)
    });
    let ended = set(false);
    debug_assert!(begun.and(ended).is_ok(), "no command runs within another");
    result
}

/// What OBJECT ENCODING calls the encoding of the value whose record is at `addr`.
pub fn encoding(addr: usize) -> Result<&'static str, CmdError> {
    with_engine(|engine| {
        let record = engine.record_at(addr).ok_or(CmdError::Internal)?;
        let head = record::get(&engine.store.pool, record)?;
        let known = Known {
            listpacks: limits::listpack_sets_and_lists(),
            listpacks_with_times: behaviour::server().family == Family::Redis,
        };
        Ok(structures::of(head.value_type()?).encoding(head.root, known))
    })
}

/// The bytes of the pool that the key takes whose record is at `addr`. O(1) for strings, else
/// O(elements) at most.
pub fn usage_of(addr: usize) -> Result<u64, CmdError> {
    with_engine(|engine| {
        let record = engine.record_at(addr).ok_or(key::LOADING)?;
        let head = *record::get(&engine.store.pool, record)?;
        let own = engine.store.pool.capacity(record)?;
        Ok(own + structures::of(head.value_type()?).memory(&engine.store.pool, head.root)?)
    })
}
