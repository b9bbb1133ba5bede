//! The keys of a native command by its key specifications, as the server finds them itself.
//!
//! The function of the module API that finds a command's keys does not look at these, on any
//! server: it asks the function that a command has for this, or counts from the first key to the
//! last, which tells nothing of what becomes of a key. Of commands with neither (MSETEX) it finds
//! no key. So the specifications are kept here, as the server gave them when the module was loaded.

use std::collections::HashMap;
use std::ffi::c_int;

use redis_module::raw as rm;

use super::{Arg, BeginSearch, FindKeys, KeySpec, MainCell};
use store::number::parse_i64;

/// The key specifications of native commands, by their names in lower case.
pub type KeySpecs = HashMap<Vec<u8>, Vec<KeySpec>>;

static KNOWN: MainCell<KeySpecs> = MainCell::empty();

/// Keeps the key specifications of native commands for [`super::keys_of`],
/// [`super::keys_of_native`] and [`super::keys_looked_at`].
pub fn keep_key_specs(specs: KeySpecs) {
    let _ = KNOWN.replace(Some(specs));
}

/// The keys of a native command of this name, in lower case, and what it does with each, in the
/// bits of the API. `None` if there are no specifications of it, if they do not tell all, or if its
/// arguments are not as they say.
pub(super) fn keys_by_specs<'a>(name: &[u8], words: &[Arg<'a>]) -> Option<Vec<(Arg<'a>, c_int)>> {
    let found = KNOWN.with(|known| known.get(name).and_then(|specs| find(specs, words)));
    let keys = found.ok()??.into_iter();
    Some(keys.map(|(at, flags)| (words[at], flags)).collect())
}

/// The positions of the keys, and what is done with each.
fn find(specs: &[KeySpec], words: &[impl AsRef<[u8]>]) -> Option<Vec<(usize, c_int)>> {
    let not_all =
        u64::from(rm::REDISMODULE_CMD_KEY_INCOMPLETE | rm::REDISMODULE_CMD_KEY_VARIABLE_FLAGS);
    let mut found = Vec::new();
    for spec in specs {
        if spec.flags & u64::from(rm::REDISMODULE_CMD_KEY_NOT_KEY) != 0 {
            continue;
        }
        if spec.flags & not_all != 0 {
            return None;
        }
        let Some(begin) = begin(&spec.begin_search, words)? else {
            continue;
        };
        let (first, last, step) = range(&spec.find_keys, begin, words)?;
        if first < 1 || last < first || last >= i64::try_from(words.len()).ok()? {
            return None;
        }
        let flags = c_int::try_from(spec.flags).ok()?;
        let step = usize::try_from(step).ok().filter(|&step| step > 0)?;
        let positions = usize::try_from(first).ok()?..=usize::try_from(last).ok()?;
        found.extend(positions.step_by(step).map(|at| (at, flags)));
    }
    (!found.is_empty()).then_some(found)
}

/// Where a specification begins: nowhere (`Some(None)`) if its word is not among the arguments.
fn begin(search: &BeginSearch, words: &[impl AsRef<[u8]>]) -> Option<Option<i64>> {
    match search {
        BeginSearch::Unknown => None,
        BeginSearch::Index(at) => Some(Some(i64::from(*at))),
        BeginSearch::Keyword {
            keyword,
            start_from,
        } => {
            let is_it = |&at: &usize| {
                let word = words.get(at).map(AsRef::as_ref);
                word.is_some_and(|word| word.eq_ignore_ascii_case(keyword.to_bytes()))
            };
            // The word is not looked for where nothing follows it.
            let at = match usize::try_from(*start_from) {
                Ok(start) => (start.max(1)..words.len().saturating_sub(1)).find(is_it),
                Err(_) => {
                    let back = usize::try_from(start_from.unsigned_abs()).ok()?;
                    let start = words.len().saturating_sub(back);
                    (2..=start).rev().find(is_it)
                }
            };
            Some(at.and_then(|at| i64::try_from(at + 1).ok()))
        }
    }
}

/// The first and the last key of a specification that begins at `begin`, and the step.
fn range(keys: &FindKeys, begin: i64, words: &[impl AsRef<[u8]>]) -> Option<(i64, i64, i64)> {
    let count = i64::try_from(words.len()).ok()?;
    match *keys {
        FindKeys::Unknown => None,
        FindKeys::Range {
            last_key,
            key_step,
            limit,
        } => {
            let last_key = i64::from(last_key);
            let last = match limit {
                _ if last_key >= 0 => begin + last_key,
                ..=0 => count + last_key,
                _ => begin + (count - begin) / i64::from(limit) + last_key,
            };
            Some((begin, last, key_step.into()))
        }
        FindKeys::KeyNum {
            key_num_idx,
            first_key,
            key_step,
        } => {
            let at = usize::try_from(begin + i64::from(key_num_idx)).ok()?;
            let number = parse_i64(words.get(at)?.as_ref())?;
            let first = begin + i64::from(first_key);
            let span = number.checked_sub(1)?.checked_mul(key_step.into())?;
            Some((first, first.checked_add(span)?, key_step.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: i32, find_keys: FindKeys) -> KeySpec {
        KeySpec {
            notes: None,
            flags: u64::from(rm::REDISMODULE_CMD_KEY_RO),
            begin_search: BeginSearch::Index(index),
            find_keys,
        }
    }

    fn after(keyword: &std::ffi::CStr, start_from: i32) -> KeySpec {
        KeySpec {
            begin_search: BeginSearch::Keyword {
                keyword: keyword.into(),
                start_from,
            },
            ..at(0, range_to(0))
        }
    }

    fn range_to(last_key: i32) -> FindKeys {
        FindKeys::Range {
            last_key,
            key_step: 1,
            limit: 0,
        }
    }

    fn numbered(key_step: i32) -> FindKeys {
        FindKeys::KeyNum {
            key_num_idx: 0,
            first_key: 1,
            key_step,
        }
    }

    fn positions(specs: &[KeySpec], line: &str) -> Option<Vec<usize>> {
        let words: Vec<&str> = line.split(' ').collect();
        let found = find(specs, &words)?;
        Some(found.into_iter().map(|(at, _)| at).collect())
    }

    #[test]
    fn specifications_tell_where_keys_are() {
        let some = |positions: &[usize]| Some(positions.to_vec());
        let one = [at(1, range_to(0))];
        assert_eq!(positions(&one, "GET k"), some(&[1]));
        assert_eq!(positions(&one, "GET"), None);
        let but_last = [at(1, range_to(-2))];
        assert_eq!(positions(&but_last, "BLPOP a b 0"), some(&[1, 2]));
        let store = [at(1, range_to(0)), at(2, numbered(1))];
        assert_eq!(
            positions(&store, "ZUNIONSTORE d 2 a b WEIGHTS 1 2"),
            some(&[1, 3, 4])
        );
        assert_eq!(positions(&store, "ZUNIONSTORE d 3 a b"), None);
        assert_eq!(positions(&store, "ZUNIONSTORE d x a b"), None);
        let pairs = [at(1, numbered(2))];
        assert_eq!(positions(&pairs, "MSETEX 2 a 1 b 2 NX"), some(&[2, 4]));
        assert_eq!(positions(&pairs, "MSETEX 2 a 1"), None);
        assert_eq!(positions(&pairs, "MSETEX 0 a 1"), None);
        assert_eq!(
            positions(&pairs, "MSETEX 9223372036854775807 a 1"),
            None,
            "beyond all numbers"
        );
        let georadius = [at(1, range_to(0)), after(c"STORE", 6)];
        assert_eq!(
            positions(&georadius, "GEORADIUS k 1 2 3 m store d"),
            some(&[1, 7])
        );
        assert_eq!(
            positions(&georadius, "GEORADIUS k 1 2 3 m STORE"),
            some(&[1])
        );
        let backwards = [after(c"KEYS", -2)];
        assert_eq!(
            positions(&backwards, "MIGRATE h p x 0 9 KEYS k"),
            some(&[7])
        );
        assert_eq!(positions(&backwards, "MIGRATE h p x 0 9"), None);
    }

    #[test]
    fn what_does_not_tell_all_tells_nothing() {
        let flagged = |flag: u32| {
            let mut spec = at(1, range_to(0));
            spec.flags |= u64::from(flag);
            spec
        };
        let plain = at(1, range_to(0));
        for flag in [
            rm::REDISMODULE_CMD_KEY_INCOMPLETE,
            rm::REDISMODULE_CMD_KEY_VARIABLE_FLAGS,
        ] {
            assert_eq!(positions(&[plain.clone(), flagged(flag)], "X k"), None);
        }
        let no_key = flagged(rm::REDISMODULE_CMD_KEY_NOT_KEY);
        assert_eq!(positions(&[no_key, plain], "X k"), Some(vec![1]));
        assert_eq!(positions(&[at(1, FindKeys::Unknown)], "X k"), None);
    }
}
