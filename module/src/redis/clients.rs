//! Connections, known by their numbers: whose command is about to run, and what is known of each.

use std::ffi::{c_int, c_ulonglong};
use std::sync::OnceLock;

use redis_module::raw as rm;

use super::newer::look_up;
use super::{Ctx, FilterArgs, Reply, api};

/// The number of a connection; none is given twice.
pub(super) type ClientId = u64;

/// What is known of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientInfo {
    /// Its selected database.
    pub db: i32,
    /// It queues commands for EXEC.
    pub queues: bool,
}

/// The version of the API's struct of what is known of a client.
const INFO_VERSION: u64 = 1;

type GetClientId = unsafe extern "C" fn(*mut rm::RedisModuleCommandFilterCtx) -> c_ulonglong;

impl FilterArgs<'_> {
    /// Whose command it is; `None` on Redis 7.0, which does not tell.
    pub fn client(&self) -> Option<ClientId> {
        static FUNCTION: OnceLock<Option<GetClientId>> = OnceLock::new();
        // SAFETY: the type is that of the function of this name.
        let function =
            *FUNCTION.get_or_init(|| unsafe { look_up(c"RedisModule_CommandFilterGetClientId") });
        // SAFETY: live for the callback's time.
        function.map(|function| unsafe { function(self.raw()) })
    }
}

impl Ctx {
    /// The number of the context's client.
    pub fn client(&self) -> ClientId {
        // SAFETY: live context.
        unsafe { api(rm::RedisModule_GetClientId)(self.raw()) }
    }

    /// Whether the client has said CLIENT NO-TOUCH ON; `None` if the server does not tell.
    pub fn touches_nothing(&self) -> Option<bool> {
        self.has_flag(b'T')
    }

    /// Whether the server will close the client's connection as soon as it can, say because too
    /// much waits to be sent: nobody gets what else is replied. Some microseconds.
    pub fn is_closing(&self) -> bool {
        self.has_flag(b'A') == Some(true)
    }

    /// Whether the client has a flag of those that CLIENT LIST shows; `None` if the server does not
    /// tell.
    fn has_flag(&self, flag: u8) -> Option<bool> {
        let number = self.client().to_string();
        let Some(Reply::Text(told)) = self.call(c"CLIENT", &[b"LIST", b"ID", number.as_bytes()])
        else {
            return None;
        };
        let mut fields = told.split(|&byte| byte == b' ');
        fields
            .find_map(|field| field.strip_prefix(b"flags="))
            .map(|flags| flags.contains(&flag))
    }
}

/// Whether a connection is still there.
pub(super) fn is_connected(client: ClientId) -> bool {
    // SAFETY: a copy of a pointer written before the module ran.
    let Some(ask) = (unsafe { rm::RedisModule_GetClientInfoById }) else {
        return false;
    };
    // SAFETY: without a place for the answer, the call only looks the number up.
    unsafe { ask(std::ptr::null_mut(), client) == rm::REDISMODULE_OK as c_int }
}

/// What is known of a connection, `None` if it is gone or not of a client. About a microsecond.
pub(super) fn client_info(client: ClientId) -> Option<ClientInfo> {
    // SAFETY: a copy of a pointer written before the module ran.
    let ask = unsafe { rm::RedisModule_GetClientInfoById }?;
    // SAFETY: all zeroes is a value of the struct of numbers and bytes.
    let mut info = unsafe { std::mem::zeroed::<rm::RedisModuleClientInfo>() };
    info.version = INFO_VERSION;
    // SAFETY: the struct is of the version that it names.
    let status = unsafe { ask((&raw mut info).cast(), client) };
    (status == rm::REDISMODULE_OK as c_int).then(|| ClientInfo {
        db: info.db.into(),
        queues: info.flags & u64::from(rm::REDISMODULE_CLIENTINFO_FLAG_MULTI) != 0,
    })
}
