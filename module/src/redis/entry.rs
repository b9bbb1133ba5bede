//! Where Redis loads the module.

use std::ffi::{CStr, c_int};

use redis_module::raw as rm;

use super::{Args, Ctx, Level, cell, guard, log, signal, unknown_settings};

const NAME: &CStr = c"pmedis";

/// Called by Redis when it loads the module, with the words after the file name as arguments.
///
/// Everything that can go wrong is one line in the log, and the module is refused.
///
/// # Safety
/// Only for Redis, with a live context and `argc` strings.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn RedisModule_OnLoad(
    ctx: *mut rm::RedisModuleCtx,
    argv: *mut *mut rm::RedisModuleString,
    argc: c_int,
) -> c_int {
    if unknown_settings::is_probe() {
        // SAFETY: the contract of this function is that of `load_probe`.
        return unsafe { unknown_settings::load_probe(ctx) };
    }
    // SAFETY: the contract of this function is that of `attach`.
    if let Err(line) = unsafe { attach(ctx) } {
        log::log(Level::Warning, &line);
        return rm::REDISMODULE_ERR as c_int;
    }
    // SAFETY: the context and the arguments live until this function returns.
    let (ctx, args) = unsafe { (Ctx::from_raw(ctx), Args::from_raw(argv, argc)) };
    match guard(Err("internal error".to_string()), || {
        crate::load(&ctx, args)
    }) {
        Ok(()) => rm::REDISMODULE_OK as c_int,
        Err(line) => {
            log::log(Level::Warning, &line);
            rm::REDISMODULE_ERR as c_int
        }
    }
}

/// Called by the server before it takes the module away, which it must not: there are keys of its
/// types, and functions of the library are called from all over the server. MODULE UNLOAD is
/// refused for the types alone, but MODULE LOADEX with an unknown setting is not, from Redis 8.0
/// on (see `unknown_settings.rs`).
///
/// # Safety
/// Only for Redis.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn RedisModule_OnUnload(_ctx: *mut rm::RedisModuleCtx) -> c_int {
    let status = if unknown_settings::is_probe() {
        rm::REDISMODULE_OK
    } else {
        rm::REDISMODULE_ERR
    };
    status as c_int
}

/// Makes this library a module of the server: the API, the thread, the options, the panic hook.
///
/// # Safety
/// As for [`RedisModule_OnLoad`].
unsafe fn attach(ctx: *mut rm::RedisModuleCtx) -> Result<(), String> {
    // SAFETY: `ctx` is the live context of OnLoad; the name is a C string that Redis copies.
    let status = unsafe {
        rm::Export_RedisModule_Init(
            ctx,
            NAME.as_ptr(),
            version(),
            rm::REDISMODULE_APIVER_1 as c_int,
        )
    };
    if status != rm::REDISMODULE_OK as c_int {
        return Err("a module named pmedis is loaded already".to_string());
    }
    let missing = missing_api();
    if !missing.is_empty() {
        return Err(format!(
            "this server lacks module API functions of Redis 7.0: {missing:?}"
        ));
    }
    cell::claim_main_thread();
    // SAFETY: Init has succeeded, and the API was checked.
    unsafe {
        log::attach(ctx);
        signal::set_options(ctx, signal::Closing::IsSilent);
    }
    std::panic::set_hook(Box::new(|panic| {
        log::log(
            Level::Warning,
            &format!("internal error, please report: {panic}"),
        );
    }));
    Ok(())
}

/// The module's version as Redis shows it: 1.2.3 is 10203.
fn version() -> c_int {
    env!("CARGO_PKG_VERSION")
        .split('.')
        .map(|part| part.parse::<c_int>().unwrap_or(0))
        .fold(0, |version, part| version * 100 + part)
}

/// Which of the functions that the module cannot do without are absent. All are in Redis 7.0.0.
fn missing_api() -> Vec<&'static str> {
    macro_rules! absent {
        ($($function:ident)*) => {
            [$((
                stringify!($function),
                // SAFETY: a copy of a pointer that Init wrote before, on this thread.
                unsafe { rm::$function }.is_none(),
            )),*]
        };
    }
    absent![
        RedisModule_ACLAddLogEntry
        RedisModule_ACLCheckCommandPermissions
        RedisModule_ACLCheckKeyPermissions
        RedisModule_AbortBlock
        RedisModule_BlockClient
        RedisModule_BlockClientOnKeys
        RedisModule_CallReplyArrayElement
        RedisModule_CallReplyInteger
        RedisModule_CallReplyLength
        RedisModule_CallReplyStringPtr
        RedisModule_CallReplyType
        RedisModule_CloseKey
        RedisModule_CommandFilterArgDelete
        RedisModule_CommandFilterArgGet
        RedisModule_CommandFilterArgInsert
        RedisModule_CommandFilterArgReplace
        RedisModule_CommandFilterArgsCount
        RedisModule_Call
        RedisModule_CreateCommand
        RedisModule_CreateDataType
        RedisModule_CreateString
        RedisModule_CreateStringFromDouble
        RedisModule_CreateSubcommand
        RedisModule_CreateTimer
        RedisModule_DbSize
        RedisModule_DeleteKey
        RedisModule_DigestAddStringBuffer
        RedisModule_DigestEndSequence
        RedisModule_EmitAOF
        RedisModule_EventLoopAdd
        RedisModule_EventLoopDel
        RedisModule_Free
        RedisModule_GetBlockedClientPrivateData
        RedisModule_FreeCallReply
        RedisModule_FreeModuleUser
        RedisModule_FreeServerInfo
        RedisModule_FreeString
        RedisModule_GetAbsExpire
        RedisModule_GetBlockedClientReadyKey
        RedisModule_GetClientId
        RedisModule_GetCommandKeysWithFlags
        RedisModule_GetContextFlags
        RedisModule_GetCurrentCommandName
        RedisModule_GetCurrentUserName
        RedisModule_GetDbIdFromIO
        RedisModule_GetDbIdFromModuleKey
        RedisModule_GetDbIdFromOptCtx
        RedisModule_GetDetachedThreadSafeContext
        RedisModule_GetKeyNameFromIO
        RedisModule_GetKeyNameFromOptCtx
        RedisModule_GetLFU
        RedisModule_GetLRU
        RedisModule_GetModuleUserFromUserName
        RedisModule_GetSelectedDb
        RedisModule_GetServerInfo
        RedisModule_GetToDbIdFromOptCtx
        RedisModule_GetToKeyNameFromOptCtx
        RedisModule_InfoAddFieldCString
        RedisModule_InfoAddFieldULongLong
        RedisModule_InfoAddSection
        RedisModule_InfoBeginDictField
        RedisModule_InfoEndDictField
        RedisModule_IsBlockedReplyRequest
        RedisModule_IsIOError
        RedisModule_IsKeysPositionRequest
        RedisModule_ListGet
        RedisModule_KeyAtPosWithFlags
        RedisModule_KeyType
        RedisModule_LatencyAddSample
        RedisModule_LoadConfigs
        RedisModule_LoadDouble
        RedisModule_LoadSigned
        RedisModule_LoadStringBuffer
        RedisModule_LoadUnsigned
        RedisModule_Log
        RedisModule_Milliseconds
        RedisModule_ModuleTypeGetType
        RedisModule_ModuleTypeGetValue
        RedisModule_ModuleTypeReplaceValue
        RedisModule_ModuleTypeSetValue
        RedisModule_NotifyKeyspaceEvent
        RedisModule_OpenKey
        RedisModule_RandomKey
        RedisModule_RegisterCommandFilter
        RedisModule_RegisterInfoFunc
        RedisModule_RegisterStringConfig
        RedisModule_Replicate
        RedisModule_ReplyWithArray
        RedisModule_ReplyWithCallReply
        RedisModule_ReplyWithDouble
        RedisModule_ReplyWithError
        RedisModule_ReplyWithLongLong
        RedisModule_ReplyWithMap
        RedisModule_ReplyWithNull
        RedisModule_ReplyWithNullArray
        RedisModule_ReplyWithSet
        RedisModule_ReplyWithSimpleString
        RedisModule_ReplyWithString
        RedisModule_ReplyWithStringBuffer
        RedisModule_ReplyWithVerbatimStringType
        RedisModule_SaveDouble
        RedisModule_SaveSigned
        RedisModule_SaveStringBuffer
        RedisModule_SaveUnsigned
        RedisModule_Scan
        RedisModule_ScanCursorCreate
        RedisModule_ScanCursorDestroy
        RedisModule_ScanKey
        RedisModule_SelectDb
        RedisModule_ServerInfoGetFieldC
        RedisModule_ServerInfoGetFieldSigned
        RedisModule_SetAbsExpire
        RedisModule_SetModuleOptions
        RedisModule_SetDisconnectCallback
        RedisModule_SignalModifiedKey
        RedisModule_StringDMA
        RedisModule_StringPtrLen
        RedisModule_SubscribeToKeyspaceEvents
        RedisModule_SubscribeToServerEvent
        RedisModule_UnblockClient
        RedisModule_ValueLength
    ]
    .into_iter()
    .filter_map(|(name, absent)| absent.then_some(name))
    .collect()
}
