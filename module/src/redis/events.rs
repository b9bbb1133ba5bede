//! Server events, delivered to the module.

use std::ffi::{c_int, c_void};

use redis_module::raw as rm;

use super::{Ctx, api, guard, log, note_replication, zero_sized};

/// Families of server events to subscribe to. Each has one handler at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum EventKind {
    /// [`Event::LoadingStarted`], [`Event::LoadingEnded`].
    Loading = rm::REDISMODULE_EVENT_LOADING,
    /// [`Event::FlushStarted`], [`Event::FlushEnded`].
    FlushDb = rm::REDISMODULE_EVENT_FLUSHDB,
    /// [`Event::SwapDb`].
    SwapDb = rm::REDISMODULE_EVENT_SWAPDB,
    /// [`Event::BeforeSleep`], [`Event::AfterSleep`]: both fire at every event-loop cycle.
    EventLoop = rm::REDISMODULE_EVENT_EVENTLOOP,
    /// [`Event::ForkChildBorn`], [`Event::ForkChildDied`].
    ForkChild = rm::REDISMODULE_EVENT_FORK_CHILD,
    /// [`Event::Persistence`].
    Persistence = rm::REDISMODULE_EVENT_PERSISTENCE,
    /// [`Event::Shutdown`].
    Shutdown = rm::REDISMODULE_EVENT_SHUTDOWN,
    /// [`Event::BecameMaster`], [`Event::BecameReplica`].
    Role = rm::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED,
    /// [`Event::ReplicaOnline`], [`Event::ReplicaOffline`].
    ReplicaChange = rm::REDISMODULE_EVENT_REPLICA_CHANGE,
    /// [`Event::Cron`].
    CronLoop = rm::REDISMODULE_EVENT_CRON_LOOP,
    /// [`Event::ConfigChanged`].
    Config = rm::REDISMODULE_EVENT_CONFIG,
}

/// Where data is loaded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loading {
    /// An RDB file.
    Rdb,
    /// An AOF.
    Aof,
    /// A full sync from the master.
    Replication,
}

/// What happens to the data on disk. A start is told in the process that writes, so in the fork
/// child if there is one; it lasts until `Ended` or `Failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// A fork child begins an RDB.
    RdbStarted,
    /// A fork child begins an AOF rewrite.
    AofStarted,
    /// The server itself begins an RDB (SAVE, SHUTDOWN).
    SyncRdbStarted,
    /// The server itself begins an AOF rewrite.
    SyncAofStarted,
    /// It is done.
    Ended,
    /// It has failed.
    Failed,
}

/// A server event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Data is about to be loaded. With neither an RDB nor an AOF at start, this never comes.
    LoadingStarted(Loading),
    /// All has been loaded, or not all that was there.
    LoadingEnded {
        /// Whether it went well.
        complete: bool,
    },
    /// The keys of a database, or of all (`None`), are about to go: FLUSHDB, FLUSHALL, or a full
    /// sync that replaces them.
    FlushStarted {
        /// The database.
        db: Option<i32>,
    },
    /// They are gone, or going on a background thread.
    FlushEnded {
        /// The database.
        db: Option<i32>,
    },
    /// Two databases have changed their numbers.
    SwapDb(i32, i32),
    /// The event-loop cycle ends: the AOF is written and replies are sent after this.
    BeforeSleep,
    /// There are new events to process.
    AfterSleep,
    /// A child was forked; told in the parent, before it does anything else.
    ForkChildBorn,
    /// The child is gone.
    ForkChildDied,
    /// The data on disk.
    Persistence(Persistence),
    /// The server ends, after this.
    Shutdown,
    /// REPLICAOF NO ONE, or a failover.
    BecameMaster,
    /// REPLICAOF, or a failover.
    BecameReplica,
    /// A replica gets the stream from now on.
    ReplicaOnline,
    /// A replica is gone.
    ReplicaOffline,
    /// Some time has passed: `hz` of these make about a second.
    Cron {
        /// The server's `hz`.
        hz: i32,
    },
    /// CONFIG SET has changed something.
    ConfigChanged,
}

impl Event {
    /// Translates; `None` for what Redis may add to a family.
    ///
    /// # Safety
    /// `data` must be what Redis passes for this event.
    unsafe fn from_raw(id: u64, sub: u64, data: *const c_void) -> Option<Self> {
        Some(match (id, sub) {
            (rm::REDISMODULE_EVENT_LOADING, sub) => match sub {
                rm::REDISMODULE_SUBEVENT_LOADING_RDB_START => Self::LoadingStarted(Loading::Rdb),
                rm::REDISMODULE_SUBEVENT_LOADING_AOF_START => Self::LoadingStarted(Loading::Aof),
                rm::REDISMODULE_SUBEVENT_LOADING_REPL_START => {
                    Self::LoadingStarted(Loading::Replication)
                }
                rm::REDISMODULE_SUBEVENT_LOADING_ENDED => Self::LoadingEnded { complete: true },
                rm::REDISMODULE_SUBEVENT_LOADING_FAILED => Self::LoadingEnded { complete: false },
                _ => return None,
            },
            (rm::REDISMODULE_EVENT_FLUSHDB, sub) => {
                // SAFETY: a flush comes with its description, by the contract.
                let db = unsafe { (*data.cast::<rm::RedisModuleFlushInfo>()).dbnum };
                let db = (db >= 0).then_some(db);
                match sub {
                    rm::REDISMODULE_SUBEVENT_FLUSHDB_START => Self::FlushStarted { db },
                    rm::REDISMODULE_SUBEVENT_FLUSHDB_END => Self::FlushEnded { db },
                    _ => return None,
                }
            }
            (rm::REDISMODULE_EVENT_SWAPDB, _) => {
                // SAFETY: a swap comes with its description, by the contract.
                let swap = unsafe { &*data.cast::<rm::RedisModuleSwapDbInfo>() };
                Self::SwapDb(swap.dbnum_first, swap.dbnum_second)
            }
            (rm::REDISMODULE_EVENT_EVENTLOOP, rm::REDISMODULE_SUBEVENT_EVENTLOOP_BEFORE_SLEEP) => {
                Self::BeforeSleep
            }
            (rm::REDISMODULE_EVENT_EVENTLOOP, rm::REDISMODULE_SUBEVENT_EVENTLOOP_AFTER_SLEEP) => {
                Self::AfterSleep
            }
            (rm::REDISMODULE_EVENT_FORK_CHILD, rm::REDISMODULE_SUBEVENT_FORK_CHILD_BORN) => {
                Self::ForkChildBorn
            }
            (rm::REDISMODULE_EVENT_FORK_CHILD, rm::REDISMODULE_SUBEVENT_FORK_CHILD_DIED) => {
                Self::ForkChildDied
            }
            (rm::REDISMODULE_EVENT_PERSISTENCE, sub) => Self::Persistence(match sub {
                rm::REDISMODULE_SUBEVENT_PERSISTENCE_RDB_START => Persistence::RdbStarted,
                rm::REDISMODULE_SUBEVENT_PERSISTENCE_AOF_START => Persistence::AofStarted,
                rm::REDISMODULE_SUBEVENT_PERSISTENCE_SYNC_RDB_START => Persistence::SyncRdbStarted,
                rm::REDISMODULE_SUBEVENT_PERSISTENCE_SYNC_AOF_START => Persistence::SyncAofStarted,
                rm::REDISMODULE_SUBEVENT_PERSISTENCE_ENDED => Persistence::Ended,
                rm::REDISMODULE_SUBEVENT_PERSISTENCE_FAILED => Persistence::Failed,
                _ => return None,
            }),
            (rm::REDISMODULE_EVENT_SHUTDOWN, _) => Self::Shutdown,
            (rm::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, sub) => match sub {
                rm::REDISMODULE_EVENT_REPLROLECHANGED_NOW_MASTER => Self::BecameMaster,
                rm::REDISMODULE_EVENT_REPLROLECHANGED_NOW_REPLICA => Self::BecameReplica,
                _ => return None,
            },
            (rm::REDISMODULE_EVENT_REPLICA_CHANGE, sub) => match sub {
                rm::REDISMODULE_SUBEVENT_REPLICA_CHANGE_ONLINE => Self::ReplicaOnline,
                rm::REDISMODULE_SUBEVENT_REPLICA_CHANGE_OFFLINE => Self::ReplicaOffline,
                _ => return None,
            },
            (rm::REDISMODULE_EVENT_CRON_LOOP, _) => {
                // SAFETY: a run of the cron comes with its description, by the contract.
                let cron = unsafe { &*data.cast::<rm::RedisModuleCronLoopInfo>() };
                Self::Cron { hz: cron.hz }
            }
            (rm::REDISMODULE_EVENT_CONFIG, _) => Self::ConfigChanged,
            _ => return None,
        })
    }

    /// Whether somebody follows this server, or may from now on.
    fn shows_replication(self) -> bool {
        use Event::*;
        matches!(
            self,
            ForkChildBorn | BecameMaster | BecameReplica | ReplicaOnline
        )
    }
}

unsafe extern "C" fn on_event<H: Fn(&Ctx, Event) + Copy + 'static>(
    ctx: *mut rm::RedisModuleCtx,
    event: rm::RedisModuleEvent,
    sub: u64,
    data: *mut c_void,
) {
    // SAFETY: Redis passes a live context, and the event's own data.
    let (ctx, event) = unsafe { (Ctx::from_raw(ctx), Event::from_raw(event.id, sub, data)) };
    let Some(event) = event else { return };
    if event.shows_replication() {
        note_replication();
    }
    guard((), || zero_sized::<H>()(&ctx, event));
}

/// [`Ctx::subscribe`] from where there is no context.
pub fn subscribe<H: Fn(&Ctx, Event) + Copy + 'static>(kind: EventKind, handler: H) {
    // SAFETY: the module's own context lives for good, and belongs to this thread, which is the
    // main one as for every subscription.
    unsafe { Ctx::from_raw(log::module_context()) }.subscribe(kind, handler);
}

impl Ctx {
    /// Hands the events of a kind to `handler`, instead of the handler before it.
    pub fn subscribe<H: Fn(&Ctx, Event) + Copy + 'static>(&self, kind: EventKind, _handler: H) {
        self.set_event_callback(kind, Some(on_event::<H>));
    }

    /// Ends a subscription. Only from a timer: Redis cannot do it while it tells of any event.
    pub fn end_subscription(&self, kind: EventKind) {
        self.set_event_callback(kind, None);
    }

    fn set_event_callback(&self, kind: EventKind, callback: rm::RedisModuleEventCallback) {
        let event = rm::RedisModuleEvent {
            id: kind as u64,
            dataver: 1,
        };
        // SAFETY: live context; the callback is a function, or NULL to end the subscription.
        let status =
            unsafe { api(rm::RedisModule_SubscribeToServerEvent)(self.raw(), event, callback) };
        assert_eq!(
            status,
            rm::REDISMODULE_OK as c_int,
            "Redis 7.0 has the event {kind:?}"
        );
    }
}
