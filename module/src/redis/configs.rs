//! Settings of the module in the server's configuration: `CONFIG GET pmedis.*`, `pmedis.name value`
//! in redis.conf.

use std::ffi::{CString, c_char, c_int, c_uint, c_void};

use redis_module::raw as rm;

use super::{Arg, Ctx, MainCell, OwnedString, api, guard, log::c_string};

/// A setting, as the server's configuration knows it.
pub struct ConfigEntry {
    /// Its name, without the module's.
    pub name: &'static str,
    /// The value that it has if the configuration tells none: without zero bytes.
    pub default: Vec<u8>,
    /// It can change while the server runs.
    pub at_run_time: bool,
}

/// The values of settings, by their number in the list that was registered.
pub trait Configs: 'static {
    /// The value as text.
    fn show(at: usize) -> Vec<u8>;

    /// Takes a new value.
    ///
    /// # Errors
    /// What the client, or the log, is told; the old value stays.
    fn change(at: usize, text: &[u8]) -> Result<(), String>;
}

/// What the server was shown last of each setting: the strings stay the module's.
static SHOWN: MainCell<Vec<Option<OwnedString>>> = MainCell::empty();

unsafe extern "C" fn on_get<C: Configs>(
    _name: *const c_char,
    number: *mut c_void,
) -> *mut rm::RedisModuleString {
    let at = number.addr();
    let shown = guard(None, || {
        let text = OwnedString::new(&C::show(at));
        let keep = |shown: &mut Vec<Option<OwnedString>>| {
            shown.resize_with(shown.len().max(at + 1), || None);
            shown[at].insert(text).arg().raw()
        };
        SHOWN.with(keep).ok()
    });
    // The server takes NULL for an empty text.
    shown.unwrap_or(std::ptr::null_mut())
}

unsafe extern "C" fn on_set<C: Configs>(
    _name: *const c_char,
    value: *mut rm::RedisModuleString,
    number: *mut c_void,
    error: *mut *mut rm::RedisModuleString,
) -> c_int {
    // SAFETY: the server's string lives for the call.
    let value = unsafe { Arg::from_raw(value) };
    let changed = guard(Err("internal error".to_owned()), || {
        C::change(number.addr(), value.map_or(&b""[..], Arg::bytes))
    });
    let Err(line) = changed else {
        return rm::REDISMODULE_OK as c_int;
    };
    if !error.is_null() {
        // SAFETY: a place for a string, which is the server's from here on.
        unsafe { *error = OwnedString::new(line.as_bytes()).into_raw() };
    }
    rm::REDISMODULE_ERR as c_int
}

impl Ctx {
    /// Adds settings to the server's configuration, and takes what that tells of them. While the
    /// module is being loaded.
    ///
    /// # Errors
    /// That a setting could not be added, or that one has a value that [`Configs::change`] refused:
    /// the server's log tells which.
    pub fn add_configs<C: Configs>(&self, entries: &[ConfigEntry]) -> Result<(), String> {
        let empty = SHOWN.replace(Some(Vec::new()));
        empty.map_err(|refused| format!("{refused:?}"))?;
        for (at, entry) in entries.iter().enumerate() {
            let (name, default): (CString, CString) =
                (c_string(entry.name), c_string(entry.default.clone()));
            let flags: c_uint = if entry.at_run_time {
                rm::REDISMODULE_CONFIG_DEFAULT
            } else {
                rm::REDISMODULE_CONFIG_IMMUTABLE
            };
            // SAFETY: live context of OnLoad; the server copies the C strings; the callbacks are
            // functions, and what they are given is a number.
            let status = unsafe {
                api(rm::RedisModule_RegisterStringConfig)(
                    self.raw(),
                    name.as_ptr(),
                    default.as_ptr(),
                    flags,
                    Some(on_get::<C>),
                    Some(on_set::<C>),
                    None,
                    std::ptr::without_provenance_mut(at),
                )
            };
            if status != rm::REDISMODULE_OK as c_int {
                return Err(format!("the server refuses the setting {}", entry.name));
            }
        }
        // SAFETY: live context of OnLoad.
        let status = unsafe { api(rm::RedisModule_LoadConfigs)(self.raw()) };
        if status == rm::REDISMODULE_OK as c_int {
            Ok(())
        } else {
            Err("a setting pmedis.* of the configuration is not valid: see above".into())
        }
    }
}
