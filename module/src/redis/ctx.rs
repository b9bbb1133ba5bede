//! The context of a callback: what a handler can ask of Redis and tell it.

use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::sync::atomic::{AtomicU64, Ordering};

use redis_module::raw as rm;

use super::{Arg, OwnedString, api, log, on_main_thread, replication};
use crate::error::CmdError;

/// The context of one callback: the client, its database, the reply under construction.
///
/// It lives as long as the callback and stays on its thread.
pub struct Ctx {
    raw: *mut rm::RedisModuleCtx,
    /// Replies that are still to come: one, and as many as the collections begun have elements.
    owed: Cell<i64>,
    /// The command was called by its native name.
    plain: Cell<bool>,
}

/// The replies that hold others. In RESP2 a map is a flat array and a set an array; Redis sees to
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// An array of replies.
    Array,
    /// A map; its length counts pairs.
    Map,
    /// A set.
    Set,
}

impl Collection {
    /// How many replies `len` elements are.
    fn replies(self, len: i64) -> i64 {
        match self {
            Collection::Map => 2 * len,
            Collection::Array | Collection::Set => len,
        }
    }
}

/// The module's own context, for what the main thread does where no callback brings one: it belongs
/// to no client, and what is selected stays so. `None` on other threads, and before the module is
/// loaded.
pub fn module_ctx() -> Option<Ctx> {
    let raw = log::module_context();
    // SAFETY: the module's own context lives for good, and only the main thread uses it.
    (!raw.is_null() && on_main_thread()).then(|| unsafe { Ctx::from_raw(raw) })
}

/// Commands that failed while Redis loaded its files.
static FAILED_WHILE_LOADING: AtomicU64 = AtomicU64::new(0);

/// How many commands of the module have failed while Redis loaded an RDB or an AOF: nobody reads
/// what is replied to an AOF.
pub fn failed_while_loading() -> u64 {
    FAILED_WHILE_LOADING.load(Ordering::Relaxed)
}

impl Ctx {
    /// # Safety
    /// `raw` must be a live context, for as long as the result lives.
    pub(super) unsafe fn from_raw(raw: *mut rm::RedisModuleCtx) -> Self {
        Self {
            raw,
            owed: Cell::new(1),
            plain: Cell::new(false),
        }
    }

    /// Runs `f` with the module's own context and a database selected in it: for callbacks that
    /// bring none. Only on the main thread; replies go nowhere.
    pub fn with_own<R>(db: i32, f: impl FnOnce(&Ctx) -> R) -> R {
        // SAFETY: the module's own context lives for good, and belongs to the main thread.
        let ctx = unsafe { Self::from_raw(log::module_context()) };
        ctx.select_db(db);
        f(&ctx)
    }

    pub(super) fn raw(&self) -> *mut rm::RedisModuleCtx {
        self.raw
    }

    /// Whether the running command was called by its native name, for which the module stands in.
    /// Its handler can return [`CmdError::Native`] then.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.plain.get()
    }

    pub(super) fn set_plain(&self) {
        self.plain.set(true);
    }

    /// The context, noting that one reply, or the head of a collection, goes out through it.
    #[inline]
    pub(super) fn replying(&self) -> *mut rm::RedisModuleCtx {
        self.owed.set(self.owed.get() - 1);
        self.raw
    }

    /// Replies with a simple string, such as `+OK`.
    #[inline]
    pub fn reply_simple(&self, text: &CStr) {
        // SAFETY: live context (from_raw); Redis copies the C string.
        unsafe { api(rm::RedisModule_ReplyWithSimpleString)(self.replying(), text.as_ptr()) };
    }

    /// Replies with an integer.
    #[inline]
    pub fn reply_integer(&self, n: i64) {
        // SAFETY: live context.
        unsafe { api(rm::RedisModule_ReplyWithLongLong)(self.replying(), n) };
    }

    /// Replies with a bulk string; the bytes are copied once, into the client's output.
    #[inline]
    pub fn reply_bulk(&self, bytes: &[u8]) {
        let ctx = self.replying();
        // SAFETY: live context; the bytes are readable for their length and copied by Redis.
        unsafe {
            let reply = api(rm::RedisModule_ReplyWithStringBuffer);
            reply(ctx, bytes.as_ptr().cast(), bytes.len())
        };
    }

    /// Replies with a string of Redis, such as an argument, as a bulk string.
    #[inline]
    pub fn reply_arg(&self, arg: Arg<'_>) {
        // SAFETY: live context and string.
        unsafe { api(rm::RedisModule_ReplyWithString)(self.replying(), arg.raw()) };
    }

    /// Replies with a null: the null bulk string in RESP2.
    #[inline]
    pub fn reply_null(&self) {
        // SAFETY: live context.
        unsafe { api(rm::RedisModule_ReplyWithNull)(self.replying()) };
    }

    /// Replies with a null array (RESP2) or a null (RESP3).
    #[inline]
    pub fn reply_null_array(&self) {
        // SAFETY: live context.
        unsafe { api(rm::RedisModule_ReplyWithNullArray)(self.replying()) };
    }

    /// Replies with a double, formatted as this server's native commands do it.
    #[inline]
    pub fn reply_double(&self, n: f64) {
        // SAFETY: live context.
        unsafe { api(rm::RedisModule_ReplyWithDouble)(self.replying(), n) };
    }

    /// Replies with a verbatim string (RESP3) of a three-letter format, or a bulk string (RESP2).
    pub fn reply_verbatim(&self, format: &CStr, bytes: &[u8]) {
        let ctx = self.replying();
        // SAFETY: live context; the bytes are readable for their length, the format is a C string,
        // and Redis copies both.
        unsafe {
            let reply = api(rm::RedisModule_ReplyWithVerbatimStringType);
            reply(ctx, bytes.as_ptr().cast(), bytes.len(), format.as_ptr())
        };
    }

    /// Begins a collection of `len` elements (pairs, for a map); the elements follow as replies.
    #[inline]
    pub fn reply_collection(&self, kind: Collection, len: usize) {
        self.begin_collection(kind, len as i64);
        self.owed.set(self.owed.get() + kind.replies(len as i64));
    }

    /// Begins an array of `len` elements, which follow as replies.
    #[inline]
    pub fn reply_array(&self, len: usize) {
        self.reply_collection(Collection::Array, len);
    }

    #[inline]
    fn begin_collection(&self, kind: Collection, len: i64) {
        // SAFETY: live context.
        unsafe {
            let begin = match kind {
                Collection::Array => api(rm::RedisModule_ReplyWithArray),
                Collection::Map => api(rm::RedisModule_ReplyWithMap),
                Collection::Set => api(rm::RedisModule_ReplyWithSet),
            };
            begin(self.replying(), len);
        }
    }

    /// True if no part of the reply has gone out.
    pub(super) fn has_not_replied(&self) -> bool {
        self.owed.get() == 1
    }

    /// Replies with an error. What a handler returns as `Err` gets here by itself.
    #[cold]
    pub fn reply_error(&self, error: &CmdError) {
        if self.flags().loading() {
            FAILED_WHILE_LOADING.fetch_add(1, Ordering::Relaxed);
        }
        let text = log::c_string(error.text(&self.command_name()).into_owned());
        // SAFETY: live context; Redis copies the C string.
        unsafe { api(rm::RedisModule_ReplyWithError)(self.replying(), text.as_ptr()) };
    }

    /// What the client gets when a handler fails: the error. If a part of the reply is on its way,
    /// the error takes the place of what comes next in it, and nulls that of the rest.
    #[cold]
    pub(super) fn reply_failure(&self, error: &CmdError) {
        if self.owed.get() > 0 {
            self.reply_error(error);
        }
        while self.owed.get() > 0 {
            self.reply_null();
        }
    }

    /// The running command's name as Redis shows it in errors, `pm.set`; empty outside a command.
    pub fn command_name(&self) -> String {
        // SAFETY: live context; the name, NULL outside a command, lives as long as the command.
        unsafe {
            let name = api(rm::RedisModule_GetCurrentCommandName)(self.raw);
            if name.is_null() {
                return String::new();
            }
            CStr::from_ptr(name).to_string_lossy().into_owned()
        }
    }

    /// The number of the selected database.
    #[inline]
    pub fn db(&self) -> i32 {
        // SAFETY: live context.
        unsafe { api(rm::RedisModule_GetSelectedDb)(self.raw) }
    }

    /// Selects a database for what follows in this context; `false` if the server has none of that
    /// number.
    pub fn select_db(&self, db: i32) -> bool {
        // SAFETY: live context.
        unsafe { api(rm::RedisModule_SelectDb)(self.raw, db) == rm::REDISMODULE_OK as c_int }
    }

    /// The time from which relative expire times count, in Unix milliseconds.
    ///
    /// Up to Redis 7.0 that is the clock (native `SET EX` calls `mstime()`, and so does this). From
    /// 7.2 on it is the time at which the command or script began, hence the cached clock there.
    #[inline]
    pub fn now_ms(&self) -> i64 {
        // SAFETY: a copy of a pointer written before the module ran; neither function has
        // preconditions.
        unsafe {
            match rm::RedisModule_CachedMicroseconds {
                Some(microseconds) => microseconds() / 1000,
                None => api(rm::RedisModule_Milliseconds)(),
            }
        }
    }

    /// What is going on around this callback. Some 20 ns: ask once, then look at the answer.
    #[inline]
    pub fn flags(&self) -> Flags {
        // SAFETY: live context.
        Flags(unsafe { api(rm::RedisModule_GetContextFlags)(self.raw) } as u32)
    }

    /// Whether the command comes from the master or the AOF and must not be refused for a limit.
    pub fn must_obey(&self) -> bool {
        const CLIENT_ID_AOF: u64 = u64::MAX;
        // SAFETY: live context.
        self.flags().replicated()
            || unsafe { api(rm::RedisModule_GetClientId)(self.raw) } == CLIENT_ID_AOF
    }

    /// Sends `command` with `args` (its name not among them) to the replicas, but not to the AOF:
    /// what it changes is in the pool. Costs nothing while [`replication::may_replicate`] says no.
    #[inline]
    pub fn replicate(&self, command: &CStr, args: &[Arg<'_>]) {
        if !replication::may_replicate(self) {
            return;
        }
        match replication::translator() {
            None => self.send(command, args),
            Some(translate) => translate(self, command, args),
        }
    }

    /// [`Ctx::replicate`] of just this command.
    pub fn send(&self, command: &CStr, args: &[Arg<'_>]) {
        let (argv, argc) = (args.as_ptr(), args.len());
        // SAFETY: live context; `v` takes a vector of strings, which Arg is, and its length as
        // size_t. Redis takes references to the strings.
        let status = unsafe {
            let replicate = api(rm::RedisModule_Replicate);
            replicate(self.raw, command.as_ptr(), c"vA".as_ptr(), argv, argc)
        };
        assert_eq!(
            status,
            rm::REDISMODULE_OK as c_int,
            "{command:?} is not a command"
        );
    }

    /// Tells the AOF, but not the replicas, that a key of the selected database is gone: what it
    /// says of a native key must not come back once a PM key has taken its place, or has made it
    /// go.
    pub fn forget_in_aof(&self, key: Arg<'_>) {
        if !self.flags().aof() {
            return;
        }
        // SAFETY: live context; `s` takes a string, which Arg is; DEL is a command.
        unsafe {
            let replicate = api(rm::RedisModule_Replicate);
            replicate(self.raw, c"DEL".as_ptr(), c"sR".as_ptr(), key.raw())
        };
    }

    /// Writes a command to the AOF, but does not send it to the replicas.
    pub fn tell_aof(&self, command: &CStr, args: &[&[u8]]) {
        let strings: Vec<OwnedString> = args.iter().map(|bytes| OwnedString::new(bytes)).collect();
        let argv: Vec<_> = strings.iter().map(OwnedString::arg).collect();
        // SAFETY: live context; `v` takes a vector of strings, which Arg is, and its length as
        // size_t. Redis takes references to the strings.
        unsafe {
            let replicate = api(rm::RedisModule_Replicate);
            let (raw, argc) = (self.raw, argv.len());
            replicate(raw, command.as_ptr(), c"vR".as_ptr(), argv.as_ptr(), argc)
        };
    }

    /// Tells the AOF, but not the replicas, that there was a key of the selected database, which
    /// expires at a time in Unix milliseconds, or never: the command that runs has found it there,
    /// and the AOF, which knows no PM keys, is about to get that command. What it held does not
    /// matter; it gets an empty string.
    pub fn stand_in_aof(&self, key: Arg<'_>, expire_at: Option<i64>) {
        let time = expire_at.map(|at| OwnedString::new(at.to_string().as_bytes()));
        let empty = OwnedString::new(b"");
        // SAFETY: live context; `s` takes a string, which Arg is, `c` a C string; SET is a command.
        unsafe {
            let replicate = api(rm::RedisModule_Replicate);
            let (raw, set, value) = (self.raw, c"SET".as_ptr(), empty.arg());
            match &time {
                None => replicate(raw, set, c"ssR".as_ptr(), key.raw(), value.raw()),
                Some(time) => replicate(
                    raw,
                    set,
                    c"sscsR".as_ptr(),
                    key.raw(),
                    value.raw(),
                    c"PXAT".as_ptr(),
                    time.arg().raw(),
                ),
            }
        };
    }

    /// The version of the server as the module API gives it: of Redis, or of the Redis that a
    /// server is compatible with; zeros if it does not tell.
    pub fn server_version(&self) -> (u16, u16, u16) {
        // SAFETY: a copy of a pointer written before the module ran; the function has no
        // preconditions.
        let version = unsafe { rm::RedisModule_GetServerVersion.map_or(0, |version| version()) };
        let [_, major, minor, patch] = version.to_be_bytes();
        (major.into(), minor.into(), patch.into())
    }
}

/// The state of the server and of the client, as of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    fn any(self, mask: u32) -> bool {
        self.0 & mask != 0
    }

    /// Inside EXEC, a script or a function: further commands follow in the same atomic unit.
    pub fn in_multi_or_script(self) -> bool {
        self.any(rm::REDISMODULE_CTX_FLAGS_MULTI | rm::REDISMODULE_CTX_FLAGS_LUA)
    }

    /// Inside EXEC.
    pub fn in_multi(self) -> bool {
        self.any(rm::REDISMODULE_CTX_FLAGS_MULTI)
    }

    /// Inside a script or a function.
    pub fn script(self) -> bool {
        self.any(rm::REDISMODULE_CTX_FLAGS_LUA)
    }

    /// Blocking is not allowed: in EXEC, in a script, or called by a module.
    pub fn deny_blocking(self) -> bool {
        self.any(rm::REDISMODULE_CTX_FLAGS_DENY_BLOCKING)
    }

    /// More than `maxmemory` is in use.
    pub fn oom(self) -> bool {
        self.any(rm::REDISMODULE_CTX_FLAGS_OOM)
    }

    /// The server is a master.
    pub fn master(self) -> bool {
        self.any(rm::REDISMODULE_CTX_FLAGS_MASTER)
    }

    /// The server is a replica.
    pub fn replica(self) -> bool {
        self.any(rm::REDISMODULE_CTX_FLAGS_SLAVE)
    }

    /// A replica that refuses its clients' writes.
    pub fn read_only(self) -> bool {
        self.any(rm::REDISMODULE_CTX_FLAGS_READONLY)
    }

    /// The command comes over the link from the master.
    pub fn replicated(self) -> bool {
        self.any(rm::REDISMODULE_CTX_FLAGS_REPLICATED)
    }

    /// An RDB or an AOF is being loaded, and no clients are served meanwhile.
    pub fn loading(self) -> bool {
        self.any(rm::REDISMODULE_CTX_FLAGS_LOADING)
    }

    /// A full sync is being loaded beside the old data, which goes on being served.
    pub fn async_loading(self) -> bool {
        self.any(rm::REDISMODULE_CTX_FLAGS_ASYNC_LOADING)
    }

    /// This process is a fork child that saves.
    pub fn fork_child(self) -> bool {
        self.any(rm::REDISMODULE_CTX_FLAGS_IS_CHILD)
    }

    /// The AOF is on.
    pub fn aof(self) -> bool {
        self.any(rm::REDISMODULE_CTX_FLAGS_AOF)
    }

    /// The server has a limit of memory.
    pub fn limits_memory(self) -> bool {
        self.any(rm::REDISMODULE_CTX_FLAGS_MAXMEMORY)
    }

    /// The server is a node of a cluster.
    pub fn cluster(self) -> bool {
        self.any(rm::REDISMODULE_CTX_FLAGS_CLUSTER)
    }

    /// The client speaks RESP3. Replies adapt themselves; this is for those that differ in shape.
    pub fn resp3(self) -> bool {
        self.any(rm::REDISMODULE_CTX_FLAGS_RESP3)
    }
}

/// The state of the server, where there is no context: what concerns a client is not in it.
pub fn server_flags() -> Flags {
    // SAFETY: the function takes a null context for "none".
    Flags(unsafe { api(rm::RedisModule_GetContextFlags)(std::ptr::null_mut()) } as u32)
}
