//! Commands run by the module itself, off the hot path; and a reply of one, kept for it.

use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicPtr, Ordering};

use redis_module::raw as rm;

use crate::error::CmdError;

use super::{Arg, Args, Ctx, OwnedString, api, called};

/// A reply of [`Ctx::call`], in RESP2 terms: a map is a flat array of names and values.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A null.
    Null,
    /// An integer.
    Integer(i64),
    /// A simple or a bulk string.
    Text(Vec<u8>),
    /// An error's text.
    Error(Vec<u8>),
    /// An array, a set, or a map as a flat array.
    Array(Vec<Reply>),
}

impl Ctx {
    /// Runs a command and copies its reply; nothing is replicated. `None` if there is no such
    /// command, or not with so many arguments.
    pub fn call(&self, command: &CStr, args: &[&[u8]]) -> Option<Reply> {
        let strings: Vec<OwnedString> = args.iter().map(|bytes| OwnedString::new(bytes)).collect();
        let argv: Vec<_> = strings.iter().map(OwnedString::arg).collect();
        // SAFETY: live context; `v` takes a vector of strings, which Arg is, and its length as
        // size_t. A reply that is not NULL is ours to free, after the last look at it.
        unsafe {
            let call = api(rm::RedisModule_Call);
            let raw = call(
                self.raw(),
                command.as_ptr(),
                c"v".as_ptr(),
                argv.as_ptr(),
                argv.len(),
            );
            if raw.is_null() {
                return None;
            }
            let reply = copy(raw);
            api(rm::RedisModule_FreeCallReply)(raw);
            Some(reply)
        }
    }
}

impl Ctx {
    /// The value of one of the server's settings, by CONFIG GET. `None` if the server has none of
    /// that name, or does not tell, as its CONFIG is renamed.
    pub fn setting(&self, name: &str) -> Option<Vec<u8>> {
        let Reply::Array(pair) = self.call(c"CONFIG", &[b"GET", name.as_bytes()])? else {
            return None;
        };
        match pair.into_iter().nth(1)? {
            Reply::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A reply of the server's own that is `OK`, for as long as the module lives.
///
/// The API sends a simple string in three parts, each of which costs as much as a whole reply that
/// was received from a command.
static OK: AtomicPtr<rm::RedisModuleCallReply> = AtomicPtr::new(std::ptr::null_mut());

impl Ctx {
    /// Keeps a reply for [`Ctx::reply_ok`]. While the module is being loaded.
    pub fn keep_ok(&self) {
        // SAFETY: live context and C strings. This command, without arguments, replies OK and does
        // nothing for a client that watches no key, which the client of a call never does. The
        // reply is kept for good; its context is not used for what it is kept for.
        unsafe {
            let reply = api(rm::RedisModule_Call)(self.raw(), c"UNWATCH".as_ptr(), c"".as_ptr());
            if reply.is_null() {
                return;
            }
            if copy(reply) == Reply::Text(b"OK".to_vec()) {
                OK.store(reply, Ordering::Relaxed);
            } else {
                api(rm::RedisModule_FreeCallReply)(reply);
            }
        }
    }

    /// Replies with `OK`.
    #[inline]
    pub fn reply_ok(&self) {
        let reply = OK.load(Ordering::Relaxed);
        if reply.is_null() {
            return self.reply_simple(c"OK");
        }
        // SAFETY: live context; a live reply that stays as it is, with bytes that Redis copies.
        unsafe { api(rm::RedisModule_ReplyWithCallReply)(self.replying(), reply) };
    }
}

/// Who else gets a command that the module runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagate {
    /// Nobody.
    Nowhere,
    /// The replicas, but not the AOF: what it changes is in the pool.
    Replicas,
}

impl Ctx {
    /// Runs a command and replies as it does, in the client's protocol, errors included. Keyspace
    /// events, expiry and everything else are those of that command.
    pub fn forward(&self, command: &CStr, args: &[Arg<'_>], to: Propagate) {
        // Without another explanation there is no error.
        let _ = self.forward_explained(command, args, to, || None);
    }

    /// [`Ctx::forward`], but where the command fails and `why` has an error to tell, nothing is
    /// replied.
    ///
    /// # Errors
    /// That error.
    pub fn forward_explained(
        &self,
        command: &CStr,
        args: &[Arg<'_>],
        to: Propagate,
        why: impl FnOnce() -> Option<CmdError>,
    ) -> Result<(), CmdError> {
        let format = match to {
            Propagate::Nowhere => c"v0E",
            Propagate::Replicas => c"v0E!A",
        };
        let (argv, argc) = (args.as_ptr(), args.len());
        // SAFETY: live context; `v` takes a vector of strings, which Arg is, and its length as
        // size_t. With `E`, errors are replies, so there always is one, which is ours to free.
        unsafe {
            let call = api(rm::RedisModule_Call);
            let reply = called::in_database(self.db(), || {
                call(self.raw(), command.as_ptr(), format.as_ptr(), argv, argc)
            });
            let failed =
                api(rm::RedisModule_CallReplyType)(reply) as isize == rm::REDISMODULE_REPLY_ERROR;
            let explained = failed.then(why).flatten();
            if explained.is_none() {
                api(rm::RedisModule_ReplyWithCallReply)(self.replying(), reply);
            }
            api(rm::RedisModule_FreeCallReply)(reply);
            explained.map_or(Ok(()), Err)
        }
    }
}

impl Ctx {
    /// Runs the command of a client that waits once more, as its user, and without waiting; replies
    /// as it does, errors of the server's own checks included. False if it would wait again: then
    /// nothing is replied.
    ///
    /// Replicas and the AOF get what the command itself has replicated: without `!` in the format,
    /// the server drops that. By itself it propagates no command of a module, nor one under a plain
    /// name that the module has stood in for.
    pub(super) fn run_again(&self, args: Args<'_>) -> bool {
        let name = args.get(0).map(|name| CString::new(name.bytes()));
        let Some(Ok(name)) = name else {
            return false;
        };
        let format = if self.has_user() { c"v0E!MC" } else { c"v0E!M" };
        let args = args.from(1);
        // SAFETY: as in `forward_explained`.
        unsafe {
            let call = api(rm::RedisModule_Call);
            let (argv, argc) = (args.as_ptr(), args.len());
            let reply = call(self.raw(), name.as_ptr(), format.as_ptr(), argv, argc);
            if reply.is_null() {
                return false;
            }
            let ty = api(rm::RedisModule_CallReplyType)(reply) as isize;
            let has_replied = ty != rm::REDISMODULE_REPLY_NULL;
            if has_replied {
                api(rm::RedisModule_ReplyWithCallReply)(self.replying(), reply);
            }
            api(rm::RedisModule_FreeCallReply)(reply);
            has_replied
        }
    }
}

/// # Safety
/// `raw` must be a live reply.
unsafe fn copy(raw: *mut rm::RedisModuleCallReply) -> Reply {
    // SAFETY: a live reply, by the contract; elements live as long as their array.
    unsafe {
        match api(rm::RedisModule_CallReplyType)(raw) as isize {
            rm::REDISMODULE_REPLY_STRING => Reply::Text(bytes(raw)),
            rm::REDISMODULE_REPLY_ERROR => Reply::Error(bytes(raw)),
            rm::REDISMODULE_REPLY_INTEGER => {
                Reply::Integer(api(rm::RedisModule_CallReplyInteger)(raw))
            }
            rm::REDISMODULE_REPLY_ARRAY => {
                let element = api(rm::RedisModule_CallReplyArrayElement);
                let len = api(rm::RedisModule_CallReplyLength)(raw);
                Reply::Array((0..len).map(|i| copy(element(raw, i))).collect())
            }
            _ => Reply::Null,
        }
    }
}

/// # Safety
/// `raw` must be a live reply that is a string or an error.
unsafe fn bytes(raw: *mut rm::RedisModuleCallReply) -> Vec<u8> {
    let mut len = 0;
    // SAFETY: by the contract; the bytes live as long as the reply.
    unsafe {
        let start = api(rm::RedisModule_CallReplyStringPtr)(raw, &mut len);
        std::slice::from_raw_parts(start.cast(), len).to_vec()
    }
}
