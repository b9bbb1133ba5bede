//! Whether anybody follows this server.
//!
//! `RM_Replicate` looks up the command, copies the argument vector and counts a change even if nobody
//! listens. A lone server saves that: nothing is replicated until the first sign of replication, and
//! everything from then on.
//!
//! Redis propagates to replicas only while it is a master with a replication backlog or a replica.
//! Both begin with something a module can see: a fork (the snapshot of a full sync carries what was
//! written before it), a change of role, a replica that comes online, or a backlog restored from the
//! RDB at start, for which `INFO replication` is asked once, at the first write after loading.
//!
//! Without `RM_Replicate`, `server.dirty` stays. Redis uses it for `save` points (which PM data does
//! not need, as the pool holds it) and for `rdb_changes_since_last_save`; the propagation of native
//! commands, its third user, passes module commands by.

use std::ffi::CStr;
use std::sync::atomic::{AtomicU8, Ordering};

use redis_module::raw as rm;

use super::{Ctx, api};

const UNKNOWN: u8 = 0;
const ALONE: u8 = 1;
const FOLLOWED: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);

/// From now on, everything is replicated.
pub fn note_replication() {
    STATE.store(FOLLOWED, Ordering::Relaxed);
}

/// Whether a write has to be passed to [`Ctx::replicate`]; commands that rewrite themselves for
/// replication ask before they make strings. `true` until it is known. O(1), one load.
#[inline]
pub fn may_replicate(ctx: &Ctx) -> bool {
    match STATE.load(Ordering::Relaxed) {
        ALONE => false,
        FOLLOWED => true,
        _ => find_out(ctx),
    }
}

#[cold]
fn find_out(ctx: &Ctx) -> bool {
    // While it loads, a server has a provisional backlog, and propagates nothing.
    if ctx.flags().loading() {
        return true;
    }
    let alone = ctx.flags().master()
        && info_field(ctx, c"repl_backlog_active") == Some(0)
        && info_field(ctx, c"connected_slaves") == Some(0);
    STATE.store(if alone { ALONE } else { FOLLOWED }, Ordering::Relaxed);
    !alone
}

/// A number in `INFO replication`.
fn info_field(ctx: &Ctx, field: &CStr) -> Option<i64> {
    let mut error = 0;
    // SAFETY: the context is live; the section is freed once, after its last use.
    let value = unsafe {
        let info = api(rm::RedisModule_GetServerInfo)(ctx.raw(), c"replication".as_ptr());
        let value = api(rm::RedisModule_ServerInfoGetFieldSigned)(info, field.as_ptr(), &mut error);
        api(rm::RedisModule_FreeServerInfo)(ctx.raw(), info);
        value
    };
    (error == 0).then_some(value)
}
