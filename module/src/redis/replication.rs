//! Whether this server has replicas, and its position in the replication history.
//!
//! `RM_Replicate` looks up the command, copies the argument vector and counts a change even if
//! nobody listens. A lone server saves that: nothing is replicated until the first sign of
//! replication, and everything from then on.
//!
//! Redis propagates to replicas only while it is a master with a replication backlog or a replica.
//! Both begin with something a module can see: a fork (the snapshot of a full sync carries what was
//! written before it), a change of role, a replica that comes online, or a backlog restored from
//! the RDB at start, for which `INFO replication` is asked once, at the first write after loading.
//!
//! Without `RM_Replicate`, `server.dirty` stays. Redis uses it for `save` points (which PM data
//! does not need, as the pool holds it) and for `rdb_changes_since_last_save`; its third use, the
//! propagation of native commands, does not concern module commands.

use std::ffi::CStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use redis_module::raw as rm;

use super::{Arg, Ctx, Reply, api, log};

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

/// Sends what a command has done in another form.
pub(super) type Translator = fn(&Ctx, &CStr, &[Arg<'_>]);

static TRANSLATOR: OnceLock<Translator> = OnceLock::new();
static TRANSLATES: AtomicBool = AtomicBool::new(false);

/// Has what is replicated from now on be sent by `translator`, or as it is. It is always the same
/// one.
pub fn translate_stream(translator: Option<Translator>) {
    if let Some(translator) = translator {
        TRANSLATOR.get_or_init(|| translator);
    }
    TRANSLATES.store(translator.is_some(), Ordering::Relaxed);
}

/// What sends what is replicated, if it is not sent as it is. O(1), one load.
#[inline]
pub(super) fn translator() -> Option<Translator> {
    if TRANSLATES.load(Ordering::Relaxed) {
        TRANSLATOR.get().copied()
    } else {
        None
    }
}

/// Whether the stream to replicas is translated for those without the module.
#[inline]
pub fn translates_stream() -> bool {
    TRANSLATES.load(Ordering::Relaxed)
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

/// Whether nothing may be sent to replicas now that no client's write has caused: writes are paused
/// by CLIENT PAUSE or a failover.
pub fn spares_replicas() -> bool {
    // SAFETY: the function has no preconditions; a copy of a pointer written before the module ran.
    unsafe { rm::RedisModule_AvoidReplicaTraffic.is_some_and(|avoid| avoid() != 0) }
}

/// Whether a command that the master has sent runs, on a replica: more was received from it than
/// was done. In doubt, yes. Tens of microseconds.
pub fn masters_command_runs(ctx: &Ctx) -> bool {
    let received = info_field(ctx, c"slave_read_repl_offset");
    let done = info_field(ctx, c"slave_repl_offset");
    received.is_none() || done.is_none() || received != done
}

/// Whether a replica waits for a full sync, be it the one that just begins.
pub(super) fn replica_waits(ctx: &Ctx) -> bool {
    let replicas = (0..).map_while(|n| info_text(ctx, &format!("slave{n}")));
    replicas
        .into_iter()
        .any(|about| about.contains("state=wait_bgsave"))
}

impl Ctx {
    /// Makes the server forget at which offset of which history its data is, as it has just read
    /// that in an RDB: no partial resync will be asked for, nor granted. Only at start, before it
    /// has connected to its master.
    ///
    /// # Errors
    /// Which command the server lacks for that.
    pub fn forget_offset(&self) -> Result<(), String> {
        let run = |command: &CStr, args: &[&[u8]]| match self.call(command, args) {
            Some(Reply::Text(_)) => Ok(()),
            other => Err(format!("{command:?} answers {other:?}")),
        };
        // A replica has made the state of its link out of the RDB, which only a change of role
        // drops. In a cluster, the link is made later, out of what the server knows itself to be.
        let host = info_text(self, "master_host").filter(|_| !self.flags().cluster());
        let port = info_text(self, "master_port");
        if host.is_some() {
            run(c"REPLICAOF", &[b"NO", b"ONE"])?;
        }
        run(c"DEBUG", &[b"CHANGE-REPL-ID"])?;
        if let (Some(host), Some(port)) = (host, port) {
            run(c"REPLICAOF", &[host.as_bytes(), port.as_bytes()])?;
        }
        Ok(())
    }
}

impl Ctx {
    /// Cuts the replicas off before they are sent what the running command has had replicated, and
    /// sees to it that they sync anew: the history goes on under another number. On a master.
    ///
    /// # Errors
    /// What the server answers, if not that.
    pub fn have_replicas_sync_anew(&self) -> Result<(), String> {
        let run = |command: &CStr, args: &[&[u8]]| match self.call(command, args) {
            Some(Reply::Text(_) | Reply::Integer(_)) => Ok(()),
            other => Err(format!("{command:?} answers {other:?}")),
        };
        run(c"DEBUG", &[b"CHANGE-REPL-ID"])?;
        run(c"CLIENT", &[b"KILL", b"TYPE", b"replica"])
    }

    /// Whether a replica that knows the history of this number may go on from where it is, without
    /// a full sync.
    pub fn has_history(&self, id: &[u8]) -> bool {
        let own = ["master_replid", "master_replid2"];
        let mut own = own.iter().filter_map(|field| info_text(self, field));
        own.any(|own| own.as_bytes().eq_ignore_ascii_case(id))
    }
}

/// A text in `INFO replication`.
fn info_text(ctx: &Ctx, field: &str) -> Option<String> {
    let field = log::c_string(field);
    // SAFETY: the context is live; the text, NULL if there is no such field, is copied before the
    // section is freed, which happens once.
    unsafe {
        let info = api(rm::RedisModule_GetServerInfo)(ctx.raw(), c"replication".as_ptr());
        let text = api(rm::RedisModule_ServerInfoGetFieldC)(info, field.as_ptr());
        let text = (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned());
        api(rm::RedisModule_FreeServerInfo)(ctx.raw(), info);
        text
    }
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
