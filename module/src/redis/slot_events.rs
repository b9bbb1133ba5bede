//! Hash slots that come and go while a cluster runs: what newer servers tell a module of their own
//! ways to move them.
//!
//! | | Redis 8.4 on | Valkey 9.0 on |
//! |---|---|---|
//! | started by | `CLUSTER MIGRATION IMPORT`, at the target | `CLUSTER MIGRATESLOTS`, at the source |
//! | event of a migration | number 18 | number 19 |
//! | event of a *trim*, the removal of keys in slots of others | number 19 | none: keys are deleted one by one |
//! | the snapshot is made by | `rdb_save`, in a child | `aof_rewrite`, in a child |
//!
//! The numbers mean different things, so only what the server at hand has is subscribed to.

use std::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;

use redis_module::raw as rm;

use super::{Ctx, Reply, api, guard, newer, zero_sized};
use store::slot::SlotRange;

/// What happens to hash slots, at a master or at its replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotEvent {
    /// Keys of these slots will come from their owner. They count only once the slots have.
    ImportStarted,
    /// The slots stay with their owner; what came of their keys goes, or has gone already.
    ImportFailed,
    /// The slots are this node's now. Its file of the cluster's configuration says so later.
    ImportCompleted,
    /// The slots are another node's now; their keys go, one by one or at once, or have gone
    /// already.
    GivenUp,
    /// The keys of these slots leave the keyspace at once, after this: their values are freed on
    /// another thread, unheard.
    Trimmed,
    /// Told in a fork child: it is about to save the keys of these slots for their new owner.
    Sending,
}

impl SlotEvent {
    fn of_redis(trim: bool, sub: u64) -> Option<Self> {
        use rm as r;
        Some(match (trim, sub) {
            (false, r::REDISMODULE_SUBEVENT_CLUSTER_SLOT_MIGRATION_IMPORT_STARTED) => {
                Self::ImportStarted
            }
            (false, r::REDISMODULE_SUBEVENT_CLUSTER_SLOT_MIGRATION_IMPORT_FAILED) => {
                Self::ImportFailed
            }
            (false, r::REDISMODULE_SUBEVENT_CLUSTER_SLOT_MIGRATION_IMPORT_COMPLETED) => {
                Self::ImportCompleted
            }
            (false, r::REDISMODULE_SUBEVENT_CLUSTER_SLOT_MIGRATION_MIGRATE_COMPLETED) => {
                Self::GivenUp
            }
            (false, r::REDISMODULE_SUBEVENT_CLUSTER_SLOT_MIGRATION_MIGRATE_MODULE_PROPAGATE) => {
                Self::Sending
            }
            (true, r::REDISMODULE_SUBEVENT_CLUSTER_SLOT_MIGRATION_TRIM_STARTED) => Self::GivenUp,
            (true, r::REDISMODULE_SUBEVENT_CLUSTER_SLOT_MIGRATION_TRIM_BACKGROUND) => Self::Trimmed,
            _ => return None,
        })
    }

    fn of_valkey(sub: u64) -> Option<Self> {
        Some(match sub {
            0 => Self::ImportStarted,
            2 => Self::ImportFailed,
            4 => Self::ImportCompleted,
            5 => Self::GivenUp,
            _ => return None,
        })
    }
}

/// Valkey's number of the event.
const VALKEY_EVENT: u64 = 19;

/// What comes with Valkey's event.
#[repr(C)]
struct ValkeyInfo {
    version: u64,
    job_name: [c_char; 41],
    ranges: *const ValkeyRange,
    count: u32,
}

#[repr(C)]
struct ValkeyRange {
    start: c_int,
    end: c_int,
}

/// Whether the server is a Valkey, which knows its API by its own name as well.
pub(super) fn is_valkey() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    let look_up = || {
        // SAFETY: a pointer to a function, which is not called.
        unsafe { newer::look_up::<unsafe extern "C" fn()>(c"ValkeyModule_SetModuleOptions") }
    };
    *ANSWER.get_or_init(|| look_up().is_some())
}

/// Whether the server moves slots as Redis 8.4 does.
fn trims() -> bool {
    // SAFETY: a copy of a pointer written before the module ran; NULL before Redis 8.4, and in
    // Valkey.
    unsafe { rm::RedisModule_ClusterCanAccessKeysInSlot }.is_some()
}

impl Ctx {
    /// Whether keys in slots of other nodes do not outlive the start of this server: Valkey deletes
    /// them, Redis keeps them for an administrator to see.
    pub fn drops_foreign_keys(&self) -> bool {
        is_valkey()
    }

    /// Whether the server moves slots as Redis from 8.4 on does.
    pub fn moves_slots_as_redis(&self) -> bool {
        trims()
    }

    /// Ends migrations of hash slots to other nodes, if there are any: the slots stay here. Whether
    /// there were some. On Redis this ends imports, too.
    ///
    /// What is replicated and names no key does not reach the node that gets the slots.
    pub fn end_exports(&self) -> bool {
        let flags = self.flags();
        if !flags.cluster() || !flags.master() {
            return false;
        }
        if trims() {
            let ended = self.call(c"CLUSTER", &[b"MIGRATION", b"CANCEL", b"ALL"]);
            matches!(ended, Some(Reply::Integer(count)) if count > 0)
        } else {
            // Servers that do not move slots so do not know the word.
            let ended = is_valkey().then(|| self.call(c"CLUSTER", &[b"CANCELSLOTMIGRATIONS"]));
            matches!(ended, Some(Some(Reply::Text(_))))
        }
    }

    /// Ends imports of hash slots on Valkey, if there are any: the slots stay with their owner.
    /// Whether there were some. On Redis, [`Ctx::end_exports`] has done that.
    ///
    /// Nothing that can be called ends an import where it arrives, but losing its connection does.
    pub fn end_imports(&self) -> bool {
        if !is_valkey() || !self.flags().master() {
            return false;
        }
        let Some(Reply::Text(clients)) = self.call(c"CLIENT", &[b"LIST"]) else {
            return false;
        };
        let clients = String::from_utf8_lossy(&clients);
        let ended = importing_clients(&clients).map(|id| {
            let killed = self.call(c"CLIENT", &[b"KILL", b"ID", id.as_bytes()]);
            matches!(killed, Some(Reply::Integer(count)) if count > 0)
        });
        ended.fold(false, |any, one| any | one)
    }

    /// Those among slots whose keys this node does not serve, on servers that say; on others none.
    pub fn foreign_among(&self, ranges: &[SlotRange]) -> Vec<SlotRange> {
        // SAFETY: a copy of a pointer written before the module ran; NULL before Redis 8.4, and in
        // Valkey.
        let Some(can_access) = (unsafe { rm::RedisModule_ClusterCanAccessKeysInSlot }) else {
            return Vec::new();
        };
        let slots = ranges.iter().flat_map(|range| range.first..=range.last);
        // SAFETY: the function takes any number.
        let foreign = slots.filter(|&slot| unsafe { can_access(c_int::from(slot)) } == 0);
        let foreign = foreign.map(|slot| SlotRange {
            first: slot,
            last: slot,
        });
        foreign.collect()
    }

    /// Hands what happens to hash slots to `handler`, on servers that tell.
    pub fn subscribe_slots<H>(&self, _handler: H)
    where
        H: Fn(&Ctx, SlotEvent, &[SlotRange]) + Copy + 'static,
    {
        let subscribe = |id, callback: rm::RedisModuleEventCallback| {
            let event = rm::RedisModuleEvent { id, dataver: 1 };
            // SAFETY: live context; the callback is a function. A server without the event refuses,
            // which leaves nothing behind.
            unsafe { api(rm::RedisModule_SubscribeToServerEvent)(self.raw(), event, callback) };
        };
        if is_valkey() {
            subscribe(VALKEY_EVENT, Some(on_valkey::<H>));
        } else if trims() {
            subscribe(
                rm::REDISMODULE_EVENT_CLUSTER_SLOT_MIGRATION,
                Some(on_migration::<H>),
            );
            subscribe(
                rm::REDISMODULE_EVENT_CLUSTER_SLOT_MIGRATION_TRIM,
                Some(on_trim::<H>),
            );
        }
    }
}

/// The numbers of the clients through which Valkey imports hash slots, in what CLIENT LIST tells.
fn importing_clients(list: &str) -> impl Iterator<Item = &str> {
    fn value<'l>(line: &'l str, name: &str) -> Option<&'l str> {
        line.split(' ').find_map(|word| word.strip_prefix(name))
    }
    list.lines().filter_map(move |line| {
        let imports = value(line, "flags=")?.contains('i');
        imports.then(|| value(line, "id="))?
    })
}

/// Tells the handler of an event.
fn tell<H>(raw: *mut rm::RedisModuleCtx, event: SlotEvent, ranges: &[SlotRange])
where
    H: Fn(&Ctx, SlotEvent, &[SlotRange]) + Copy + 'static,
{
    // SAFETY: the context that Redis has passed to the calling trampoline, live for its time.
    let ctx = unsafe { Ctx::from_raw(raw) };
    guard((), || zero_sized::<H>()(&ctx, event, ranges));
}

/// # Safety
/// `slots` must be NULL or a live array of Redis.
unsafe fn ranges_of(slots: *const rm::RedisModuleSlotRangeArray) -> Vec<SlotRange> {
    if slots.is_null() {
        return Vec::new();
    }
    // SAFETY: by the contract; the ranges follow the number of them.
    let ranges = unsafe {
        let count = usize::try_from((*slots).num_ranges).unwrap_or(0);
        (*slots).ranges.as_slice(count)
    };
    let ranges = ranges.iter().map(|range| SlotRange {
        first: range.start,
        last: range.end,
    });
    ranges.collect()
}

unsafe extern "C" fn on_migration<H>(
    ctx: *mut rm::RedisModuleCtx,
    _event: rm::RedisModuleEvent,
    sub: u64,
    data: *mut c_void,
) where
    H: Fn(&Ctx, SlotEvent, &[SlotRange]) + Copy + 'static,
{
    let Some(event) = SlotEvent::of_redis(false, sub) else {
        return;
    };
    // SAFETY: Redis passes this description with this event.
    let ranges =
        unsafe { ranges_of((*data.cast::<rm::RedisModuleClusterSlotMigrationInfo>()).slots) };
    tell::<H>(ctx, event, &ranges);
}

unsafe extern "C" fn on_trim<H>(
    ctx: *mut rm::RedisModuleCtx,
    _event: rm::RedisModuleEvent,
    sub: u64,
    data: *mut c_void,
) where
    H: Fn(&Ctx, SlotEvent, &[SlotRange]) + Copy + 'static,
{
    let Some(event) = SlotEvent::of_redis(true, sub) else {
        return;
    };
    // SAFETY: Redis passes this description with this event.
    let ranges =
        unsafe { ranges_of((*data.cast::<rm::RedisModuleClusterSlotMigrationTrimInfo>()).slots) };
    tell::<H>(ctx, event, &ranges);
}

unsafe extern "C" fn on_valkey<H>(
    ctx: *mut rm::RedisModuleCtx,
    _event: rm::RedisModuleEvent,
    sub: u64,
    data: *mut c_void,
) where
    H: Fn(&Ctx, SlotEvent, &[SlotRange]) + Copy + 'static,
{
    let Some(event) = SlotEvent::of_valkey(sub) else {
        return;
    };
    // SAFETY: Valkey passes this description with this event; its ranges are as many as it says.
    let ranges = unsafe {
        let info = &*data.cast::<ValkeyInfo>();
        if info.ranges.is_null() {
            &[]
        } else {
            std::slice::from_raw_parts(info.ranges, info.count as usize)
        }
    };
    let slot = |number: c_int| u16::try_from(number).unwrap_or(0);
    let ranges: Vec<SlotRange> = ranges
        .iter()
        .map(|range| SlotRange {
            first: slot(range.start),
            last: slot(range.end),
        })
        .collect();
    tell::<H>(ctx, event, &ranges);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn the_description_of_valkey_lies_where_valkey_puts_it() {
        assert_eq!(offset_of!(ValkeyInfo, job_name), 8);
        assert_eq!(offset_of!(ValkeyInfo, ranges), 56);
        assert_eq!(offset_of!(ValkeyInfo, count), 64);
        assert_eq!(size_of::<ValkeyRange>(), 8);
    }

    #[test]
    fn clients_that_import_are_told_by_a_flag() {
        let list = "id=188 addr=127.0.0.1:39802 name=i flags=i db=0\n\
                    id=189 addr=127.0.0.1:37490 name=flags=i flags=N db=0\n";
        assert_eq!(importing_clients(list).collect::<Vec<_>>(), ["188"]);
    }

    #[test]
    fn only_what_matters_is_told() {
        assert_eq!(
            SlotEvent::of_redis(false, 0),
            Some(SlotEvent::ImportStarted)
        );
        assert_eq!(SlotEvent::of_redis(false, 5), Some(SlotEvent::GivenUp));
        assert_eq!(SlotEvent::of_redis(true, 2), Some(SlotEvent::Trimmed));
        assert_eq!(SlotEvent::of_redis(true, 1), None);
        assert_eq!(SlotEvent::of_valkey(1), None);
        assert_eq!(SlotEvent::of_valkey(4), Some(SlotEvent::ImportCompleted));
    }
}
