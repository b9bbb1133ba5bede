//! The description of a command: what COMMAND INFO, DOCS and GETKEYS tell of it.

use std::ffi::{CString, c_char, c_int};
use std::ptr::{null, null_mut};

use redis_module::raw as rm;

use super::{Ctx, log};

/// A command's description.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommandInfo {
    /// What it does, in a few words.
    pub summary: Option<CString>,
    /// How long it takes.
    pub complexity: Option<CString>,
    /// The version that brought it.
    pub since: Option<CString>,
    /// Versions, and what each changed.
    pub history: Vec<(CString, CString)>,
    /// Hints for clients and proxies, joined by spaces.
    pub tips: Option<CString>,
    /// The number of arguments with the command's name; `-n` for at least n.
    pub arity: i32,
    /// The ACL categories, joined by spaces. Up to Redis 7.0, commands of modules have none.
    pub acl_categories: Option<CString>,
    /// Where its keys are and what it does with them; if none, what was registered stays.
    pub key_specs: Vec<KeySpec>,
    /// Its arguments.
    pub arguments: Vec<Argument>,
}

/// Where keys are among the arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct KeySpec {
    /// A remark.
    pub notes: Option<CString>,
    /// Of [`key_flag`].
    pub flags: u64,
    /// Where to begin.
    pub begin_search: BeginSearch,
    /// What follows there.
    pub find_keys: FindKeys,
}

/// Where the search for keys begins.
#[derive(Clone, Debug, PartialEq)]
pub enum BeginSearch {
    /// Not to be told.
    Unknown,
    /// At this argument.
    Index(i32),
    /// After this word.
    Keyword {
        /// The word.
        keyword: CString,
        /// The argument from which on it is looked for; negative ones count from the end,
        /// backwards.
        start_from: i32,
    },
}

/// Which arguments are keys, from where the search began.
#[derive(Clone, Debug, PartialEq)]
pub enum FindKeys {
    /// Not to be told.
    Unknown,
    /// A range.
    Range {
        /// The last one; negative ones count from the end.
        last_key: i32,
        /// The distance from one to the next.
        key_step: i32,
        /// With `last_key` -1: the range ends after 1/limit of the arguments.
        limit: i32,
    },
    /// As many as an argument says.
    KeyNum {
        /// That argument.
        key_num_idx: i32,
        /// The first key.
        first_key: i32,
        /// The distance from one to the next.
        key_step: i32,
    },
}

/// What a command does with a key; the names are those of COMMAND INFO.
pub fn key_flag(name: &str) -> Option<u64> {
    Some(u64::from(match name {
        "RO" => rm::REDISMODULE_CMD_KEY_RO,
        "RW" => rm::REDISMODULE_CMD_KEY_RW,
        "OW" => rm::REDISMODULE_CMD_KEY_OW,
        "RM" => rm::REDISMODULE_CMD_KEY_RM,
        "access" => rm::REDISMODULE_CMD_KEY_ACCESS,
        "update" => rm::REDISMODULE_CMD_KEY_UPDATE,
        "insert" => rm::REDISMODULE_CMD_KEY_INSERT,
        "delete" => rm::REDISMODULE_CMD_KEY_DELETE,
        "not_key" => rm::REDISMODULE_CMD_KEY_NOT_KEY,
        "incomplete" => rm::REDISMODULE_CMD_KEY_INCOMPLETE,
        "variable_flags" => rm::REDISMODULE_CMD_KEY_VARIABLE_FLAGS,
        _ => return None,
    }))
}

/// An argument.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// Its name.
    pub name: CString,
    /// Its type.
    pub ty: ArgumentType,
    /// The key specification it belongs to; -1 if it is no key.
    pub key_spec_index: i32,
    /// The word before it, or it itself for a pure token.
    pub token: Option<CString>,
    /// What it is called where people read, if not by its name.
    pub display_text: Option<CString>,
    /// What it is for.
    pub summary: Option<CString>,
    /// The version that brought it.
    pub since: Option<CString>,
    /// The version that made it obsolete.
    pub deprecated_since: Option<CString>,
    /// Of [`argument_flag`].
    pub flags: i32,
    /// The parts of a block, or the choices of a one-of.
    pub arguments: Vec<Argument>,
}

/// Types of arguments; the numbers are the module API's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ArgumentType {
    /// A string.
    String = rm::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING,
    /// An integer.
    Integer = rm::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER,
    /// A floating-point number.
    Double = rm::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_DOUBLE,
    /// A key's name.
    Key = rm::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY,
    /// A glob-style pattern.
    Pattern = rm::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PATTERN,
    /// A Unix time.
    UnixTime = rm::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_UNIX_TIME,
    /// A word.
    PureToken = rm::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN,
    /// One of several.
    OneOf = rm::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF,
    /// Several together.
    Block = rm::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK,
}

impl ArgumentType {
    /// The type of this name in COMMAND DOCS.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "string" => Self::String,
            "integer" => Self::Integer,
            "double" => Self::Double,
            "key" => Self::Key,
            "pattern" => Self::Pattern,
            "unix-time" => Self::UnixTime,
            "pure-token" => Self::PureToken,
            "oneof" => Self::OneOf,
            "block" => Self::Block,
            _ => return None,
        })
    }
}

/// How often an argument may come; the names are those of COMMAND DOCS.
pub fn argument_flag(name: &str) -> Option<i32> {
    Some(match name {
        "optional" => rm::REDISMODULE_CMD_ARG_OPTIONAL,
        "multiple" => rm::REDISMODULE_CMD_ARG_MULTIPLE,
        "multiple_token" => rm::REDISMODULE_CMD_ARG_MULTIPLE_TOKEN,
        _ => return None,
    } as i32)
}

/// Why a command was not described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InfoError {
    /// The server has no `RM_SetCommandInfo`.
    Unsupported,
    /// The module has no command of that name.
    NoSuchCommand,
    /// The server refused the description; its log says why.
    Refused,
}

impl Ctx {
    /// Describes one of the module's commands, once.
    pub fn set_command_info(&self, name: &str, info: &CommandInfo) -> Result<(), InfoError> {
        // SAFETY: a copy of a pointer written before the module ran.
        let set = unsafe { rm::RedisModule_SetCommandInfo }.ok_or(InfoError::Unsupported)?;
        let command = self
            .command(&log::c_string(name))
            .ok_or(InfoError::NoSuchCommand)?;
        let version = rm::RedisModuleCommandInfoVersion {
            version: 1,
            sizeof_historyentry: size_of::<rm::RedisModuleCommandHistoryEntry>(),
            sizeof_keyspec: size_of::<rm::RedisModuleCommandKeySpec>(),
            sizeof_arg: size_of::<rm::RedisModuleCommandArg>(),
        };
        let mut history = history(&info.history);
        let mut key_specs = key_specs(&info.key_specs);
        // Each array of arguments has an owner here, so that it lives through the call.
        let mut arrays = Vec::new();
        let args = arguments(&info.arguments, &mut arrays);
        let raw = rm::RedisModuleCommandInfo {
            version: &version,
            summary: text(&info.summary),
            complexity: text(&info.complexity),
            since: text(&info.since),
            history: if info.history.is_empty() {
                null_mut()
            } else {
                history.as_mut_ptr()
            },
            tips: text(&info.tips),
            arity: info.arity,
            key_specs: if info.key_specs.is_empty() {
                null_mut()
            } else {
                key_specs.as_mut_ptr()
            },
            args: if info.arguments.is_empty() {
                null_mut()
            } else {
                args
            },
        };
        // SAFETY: a live command; all that `raw` points to lives until the end of this function,
        // and Redis copies it; each array ends with a zeroed element, as the API wants it.
        done(unsafe { set(command, &raw) })?;
        // SAFETY: a copy of a pointer written before the module ran; NULL before Redis 7.2.
        let set_categories = unsafe { rm::RedisModule_SetCommandACLCategories };
        match (set_categories, &info.acl_categories) {
            // SAFETY: a live command and a C string.
            (Some(set), Some(categories)) => done(unsafe { set(command, categories.as_ptr()) }),
            _ => Ok(()),
        }
    }
}

fn done(status: c_int) -> Result<(), InfoError> {
    if status == rm::REDISMODULE_OK as c_int {
        Ok(())
    } else {
        Err(InfoError::Refused)
    }
}

fn text(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(null(), |text| text.as_ptr())
}

fn history(history: &[(CString, CString)]) -> Vec<rm::RedisModuleCommandHistoryEntry> {
    let entries = history
        .iter()
        .map(|(since, changes)| rm::RedisModuleCommandHistoryEntry {
            since: since.as_ptr(),
            changes: changes.as_ptr(),
        });
    entries
        .chain([rm::RedisModuleCommandHistoryEntry {
            since: null(),
            changes: null(),
        }])
        .collect()
}

fn key_specs(specs: &[KeySpec]) -> Vec<rm::RedisModuleCommandKeySpec> {
    // SAFETY: the type is made of integers and pointers, for which zeroes are values; zeroes mean
    // "none" to the API.
    let none = || unsafe { std::mem::zeroed::<rm::RedisModuleCommandKeySpec>() };
    let filled = specs.iter().map(|spec| {
        let mut raw = none();
        raw.notes = text(&spec.notes);
        raw.flags = spec.flags;
        match &spec.begin_search {
            BeginSearch::Unknown => {
                raw.begin_search_type =
                    rm::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_UNKNOWN;
            }
            BeginSearch::Index(pos) => {
                raw.begin_search_type =
                    rm::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX;
                raw.bs.index.pos = *pos;
            }
            BeginSearch::Keyword {
                keyword,
                start_from,
            } => {
                raw.begin_search_type =
                    rm::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_KEYWORD;
                raw.bs.keyword.keyword = keyword.as_ptr();
                raw.bs.keyword.startfrom = *start_from;
            }
        }
        match spec.find_keys {
            FindKeys::Unknown => {
                raw.find_keys_type =
                    rm::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_UNKNOWN;
            }
            FindKeys::Range {
                last_key,
                key_step,
                limit,
            } => {
                raw.find_keys_type = rm::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE;
                raw.fk.range.lastkey = last_key;
                raw.fk.range.keystep = key_step;
                raw.fk.range.limit = limit;
            }
            FindKeys::KeyNum {
                key_num_idx,
                first_key,
                key_step,
            } => {
                raw.find_keys_type = rm::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_KEYNUM;
                raw.fk.keynum.keynumidx = key_num_idx;
                raw.fk.keynum.firstkey = first_key;
                raw.fk.keynum.keystep = key_step;
            }
        }
        raw
    });
    filled.chain([none()]).collect()
}

/// Fills an array of arguments, and those within, and leaves them all in `arrays`.
fn arguments(
    list: &[Argument],
    arrays: &mut Vec<Vec<rm::RedisModuleCommandArg>>,
) -> *mut rm::RedisModuleCommandArg {
    // SAFETY: as for key specifications.
    let none = || unsafe { std::mem::zeroed::<rm::RedisModuleCommandArg>() };
    let mut array: Vec<_> = list
        .iter()
        .map(|argument| rm::RedisModuleCommandArg {
            name: argument.name.as_ptr(),
            type_: argument.ty as rm::RedisModuleCommandArgType,
            key_spec_index: argument.key_spec_index,
            token: text(&argument.token),
            summary: text(&argument.summary),
            since: text(&argument.since),
            flags: argument.flags,
            deprecated_since: text(&argument.deprecated_since),
            subargs: match argument.arguments.as_slice() {
                [] => null_mut(),
                parts => arguments(parts, arrays),
            },
            display_text: text(&argument.display_text),
        })
        .collect();
    array.push(none());
    let start = array.as_mut_ptr();
    arrays.push(array);
    start
}
