//! Describes each `pm.x` as the server describes its own `x`.
//!
//! COMMAND INFO and COMMAND DOCS of the native commands are read once, when the module is loaded:
//! the key specifications with their flags, the documentation and the argument tree are then those
//! of the server at hand, whatever its version; but what a PM command takes is the same everywhere,
//! and said in [`syntax`]. The arity is that of the command's row.
//!
//! Native key flags may depend on the arguments (`variable_flags`: SET reads only with GET); the
//! core has a function that looks at them. A module can have one too, but the command then counts
//! as one with movable keys, and some cluster clients ask the server for the keys of each call of
//! such a command. So BITFIELD has one, and SET has not: its flags are those of most calls, and the
//! handler sees to the rest.

use std::cell::LazyCell;
use std::ffi::CString;

use super::syntax;
use crate::redis::{
    Argument, ArgumentType, BeginSearch, CommandInfo, Ctx, FindKeys, KeySpec, KeySpecs, Reply,
    StandIn, argument_flag, keep_key_specs, key_flag,
};
use crate::report;

/// Fixes the flags of keys which depend on the arguments, unless the handler tells them.
fn fix_flags(native: &Native, specs: &mut [KeySpec]) {
    let flag = |name| key_flag(name).unwrap_or(0);
    for spec in specs {
        if let Some(flags) = native.key_flags {
            spec.flags = flags.split(' ').fold(0, |all, name| all | flag(name));
        } else if !native.tells_keys {
            spec.flags &= !flag("variable_flags");
        }
    }
}

/// Describes the commands of the given native names. What cannot be described gets its arity, and
/// works all the same.
pub(super) fn describe(ctx: &Ctx, natives: &[Native]) {
    let ask = |what: &'static [u8]| {
        let names = natives.iter().map(|native| native.name.as_bytes());
        let args: Vec<&[u8]> = [what].into_iter().chain(names).collect();
        ctx.call(c"COMMAND", &args)
            .and_then(|reply| list(&reply).map(<[Reply]>::to_vec))
    };
    let infos = ask(b"INFO").unwrap_or_default();
    let docs = ask(b"DOCS").unwrap_or_default();
    let all = LazyCell::new(|| ctx.call(c"COMMAND", &[]));
    let mut specs = KeySpecs::new();
    for (i, native) in natives.iter().enumerate() {
        let pm_name = format!("pm.{}", native.name);
        let info = infos
            .get(i)
            .and_then(|info| command_info(info, field(&docs, &native.name)));
        let keys = match &info {
            Some(info) => Some(info.key_specs.clone()),
            None => {
                syntax::whole_keys(&native.name).or_else(|| renamed(all.as_ref(), &native.name))
            }
        };
        specs.extend(keys.map(|keys| (native.name.clone().into_bytes(), keys)));
        let info = info.or_else(|| syntax::whole(&native.name));
        let outcome = match info {
            Some(mut info) => {
                info.arity = native.arity;
                fix_flags(native, &mut info.key_specs);
                syntax::take_only_known(native.options, &mut info.arguments);
                syntax::complete(&native.name, &mut info.arguments);
                match ctx.set_command_info(&pm_name, &info) {
                    Ok(()) => continue,
                    Err(error) => format!("{error:?}"),
                }
            }
            None => "the native command is renamed, or described in an unknown way".to_string(),
        };
        report::notice(&format!("{pm_name} is not described: {outcome}"));
        let bare = CommandInfo {
            arity: native.arity,
            ..CommandInfo::default()
        };
        if let Err(error) = ctx.set_command_info(&pm_name, &bare) {
            report::failure(
                format_args!("{pm_name} has no arity"),
                format_args!("{error:?}"),
            );
        }
    }
    keep_key_specs(specs);
}

/// The key specifications of a command that is called by another name than its own. The list of all
/// commands has both: it is the names of their own that it tells.
fn renamed(all: Option<&Reply>, name: &str) -> Option<Vec<KeySpec>> {
    let mut infos = list(all?)?.iter();
    let info = infos.find(|info| list(info).and_then(|info| text(info.first()?)) == Some(name))?;
    Some(command_info(info, None)?.key_specs)
}

/// A native command which the module has a counterpart of.
pub struct Native {
    /// Its name, in lower case; that of a part follows the container's after a `|`.
    pub name: String,
    /// Its arity: that of the counterpart.
    pub arity: i32,
    /// Whether the counterpart's handler tells its keys, and what it does with them.
    pub tells_keys: bool,
    /// The flags of the counterpart's keys, if they are others.
    pub key_flags: Option<&'static str>,
    /// The words of the options that the counterpart takes.
    pub options: &'static str,
    /// How the module stands in for it, if it does so.
    pub stand_in: Option<StandIn>,
}

/// Joins the two replies about one command. `None` if it is not there, or not as we know it.
fn command_info(info: &Reply, docs: Option<&Reply>) -> Option<CommandInfo> {
    // COMMAND INFO: name, arity, flags, first key, last key, step, ACL categories, tips, key
    // specifications, subcommands.
    let info = list(info)?;
    let arity = i32::try_from(integer(info.get(1)?)?).ok()?;
    let categories = words(info.get(6)?)?.replace('@', "");
    let tips = words(info.get(7)?)?;
    let key_specs = list(info.get(8)?)?
        .iter()
        .map(key_spec)
        .collect::<Option<_>>()?;
    let docs = docs.and_then(list).unwrap_or(&[]);
    Some(CommandInfo {
        summary: string(docs, "summary"),
        complexity: string(docs, "complexity"),
        since: string(docs, "since"),
        history: match field(docs, "history") {
            Some(history) => list(history)?.iter().map(change).collect::<Option<_>>()?,
            None => Vec::new(),
        },
        tips: if tips.is_empty() {
            None
        } else {
            CString::new(tips).ok()
        },
        arity,
        acl_categories: CString::new(categories).ok(),
        key_specs,
        arguments: arguments(docs)?,
    })
}

fn change(reply: &Reply) -> Option<(CString, CString)> {
    match list(reply)? {
        [since, changes] => Some((c_string(since)?, c_string(changes)?)),
        _ => None,
    }
}

fn key_spec(reply: &Reply) -> Option<KeySpec> {
    let spec = list(reply)?;
    let begin = list(field(spec, "begin_search")?)?;
    let find = list(field(spec, "find_keys")?)?;
    Some(KeySpec {
        notes: string(spec, "notes"),
        flags: flags(field(spec, "flags")?, key_flag)?
            .into_iter()
            .fold(0, |a, b| a | b),
        begin_search: match text(field(begin, "type")?)? {
            "index" => BeginSearch::Index(number(list(field(begin, "spec")?)?, "index")?),
            "keyword" => {
                let spec = list(field(begin, "spec")?)?;
                BeginSearch::Keyword {
                    keyword: string(spec, "keyword")?,
                    start_from: number(spec, "startfrom")?,
                }
            }
            _ => BeginSearch::Unknown,
        },
        find_keys: match text(field(find, "type")?)? {
            "range" => {
                let spec = list(field(find, "spec")?)?;
                FindKeys::Range {
                    last_key: number(spec, "lastkey")?,
                    key_step: number(spec, "keystep")?,
                    limit: number(spec, "limit")?,
                }
            }
            "keynum" => {
                let spec = list(field(find, "spec")?)?;
                FindKeys::KeyNum {
                    key_num_idx: number(spec, "keynumidx")?,
                    first_key: number(spec, "firstkey")?,
                    key_step: number(spec, "keystep")?,
                }
            }
            _ => FindKeys::Unknown,
        },
    })
}

fn arguments(docs: &[Reply]) -> Option<Vec<Argument>> {
    match field(docs, "arguments") {
        Some(arguments) => list(arguments)?.iter().map(argument).collect(),
        None => Some(Vec::new()),
    }
}

fn argument(reply: &Reply) -> Option<Argument> {
    let argument = list(reply)?;
    let of_several = match field(argument, "flags") {
        Some(names) => flags(names, argument_flag)?,
        None => Vec::new(),
    };
    let ty = ArgumentType::from_name(text(field(argument, "type")?)?)?;
    // A pattern may name one natively (SORT's BY), but not in the API.
    let key_spec_index = number(argument, "key_spec_index").filter(|_| ty == ArgumentType::Key);
    Some(Argument {
        name: string(argument, "name")?,
        ty,
        key_spec_index: key_spec_index.unwrap_or(-1),
        token: string(argument, "token"),
        display_text: string(argument, "display_text"),
        summary: string(argument, "summary"),
        since: string(argument, "since"),
        deprecated_since: string(argument, "deprecated_since"),
        flags: of_several.into_iter().fold(0, |a, b| a | b),
        arguments: arguments(argument)?,
    })
}

/// The flags that a list of names stands for; `None` if one is unknown.
fn flags<F>(names: &Reply, flag: impl Fn(&str) -> Option<F>) -> Option<Vec<F>> {
    list(names)?
        .iter()
        .map(|name| text(name).and_then(&flag))
        .collect()
}

/// A list of words, joined by spaces.
fn words(reply: &Reply) -> Option<String> {
    let words: Vec<&str> = list(reply)?.iter().map(text).collect::<Option<_>>()?;
    Some(words.join(" "))
}

/// The value of a name in a map, which RESP2 flattens.
fn field<'a>(map: &'a [Reply], name: &str) -> Option<&'a Reply> {
    let mut pairs = map.chunks_exact(2);
    pairs
        .find(|pair| text(&pair[0]) == Some(name))
        .map(|pair| &pair[1])
}

fn list(reply: &Reply) -> Option<&[Reply]> {
    match reply {
        Reply::Array(list) => Some(list),
        _ => None,
    }
}

fn integer(reply: &Reply) -> Option<i64> {
    match reply {
        Reply::Integer(n) => Some(*n),
        _ => None,
    }
}

fn text(reply: &Reply) -> Option<&str> {
    match reply {
        Reply::Text(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn c_string(reply: &Reply) -> Option<CString> {
    CString::new(text(reply)?).ok()
}

fn string(map: &[Reply], name: &str) -> Option<CString> {
    c_string(field(map, name)?)
}

fn number(map: &[Reply], name: &str) -> Option<i32> {
    i32::try_from(integer(field(map, name)?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Reply {
        Reply::Text(text.into())
    }

    fn texts(words: &str) -> Reply {
        Reply::Array(words.split_whitespace().map(text).collect())
    }

    fn map(pairs: &[(&str, Reply)]) -> Reply {
        Reply::Array(
            pairs
                .iter()
                .flat_map(|(name, value)| [text(name), value.clone()])
                .collect(),
        )
    }

    fn key_spec_reply(flags: &str) -> Reply {
        let numbers =
            [("lastkey", 0), ("keystep", 1), ("limit", 0)].map(|(n, i)| (n, Reply::Integer(i)));
        let index = map(&[("index", Reply::Integer(1))]);
        map(&[
            ("flags", texts(flags)),
            (
                "begin_search",
                map(&[("type", text("index")), ("spec", index)]),
            ),
            (
                "find_keys",
                map(&[("type", text("range")), ("spec", map(&numbers))]),
            ),
        ])
    }

    /// COMMAND INFO of a command with one key, which has these flags.
    fn info_reply(key_flags: &str) -> Reply {
        Reply::Array(vec![
            text("set"),
            Reply::Integer(-3),
            texts("write denyoom"),
            Reply::Integer(1),
            Reply::Integer(1),
            Reply::Integer(1),
            texts("@write @string @slow"),
            texts("tip_one tip_two"),
            Reply::Array(vec![key_spec_reply(key_flags)]),
            Reply::Array(Vec::new()),
        ])
    }

    #[test]
    fn both_replies_make_one_description() {
        let token = map(&[
            ("name", text("nx")),
            ("type", text("pure-token")),
            ("token", text("NX")),
            ("flags", texts("optional multiple")),
        ]);
        let block = map(&[
            ("name", text("condition")),
            ("type", text("oneof")),
            ("arguments", Reply::Array(vec![token])),
        ]);
        let docs = map(&[
            ("summary", text("Set it")),
            ("history", Reply::Array(vec![texts("2.6.12 Added")])),
            ("arguments", Reply::Array(vec![block])),
        ]);
        let info = command_info(&info_reply("RW access update variable_flags"), Some(&docs));
        let info = info.expect("well-formed");
        assert_eq!(info.arity, -3);
        assert_eq!(info.summary.as_deref(), Some(c"Set it"));
        assert_eq!(info.history, [(c"2.6.12".into(), c"Added".into())]);
        assert_eq!(info.tips.as_deref(), Some(c"tip_one tip_two"));
        assert_eq!(info.acl_categories.as_deref(), Some(c"write string slow"));
        let [spec] = info.key_specs.as_slice() else {
            panic!("{:?}", info.key_specs)
        };
        let flags = |names: &[&str]| names.iter().fold(0, |a, name| a | key_flag(name).unwrap());
        let native = |tells_keys, key_flags| Native {
            name: "set".into(),
            arity: -3,
            tells_keys,
            key_flags,
            options: "",
            stand_in: None,
        };
        let fixed = |native: Native| {
            let mut specs = [spec.clone()];
            fix_flags(&native, &mut specs);
            specs[0].flags
        };
        let wide = flags(&["RW", "access", "update"]);
        assert_eq!(spec.flags, wide | flags(&["variable_flags"]));
        assert_eq!(fixed(native(true, None)), spec.flags);
        assert_eq!(fixed(native(false, None)), wide);
        assert_eq!(
            fixed(native(false, Some("OW update"))),
            flags(&["OW", "update"])
        );
        assert_eq!(spec.begin_search, BeginSearch::Index(1));
        assert_eq!(
            spec.find_keys,
            FindKeys::Range {
                last_key: 0,
                key_step: 1,
                limit: 0
            }
        );
        let [block] = info.arguments.as_slice() else {
            panic!("{:?}", info.arguments)
        };
        assert_eq!((block.ty, block.key_spec_index), (ArgumentType::OneOf, -1));
        let [token] = block.arguments.as_slice() else {
            panic!("{:?}", block.arguments)
        };
        assert_eq!(token.token.as_deref(), Some(c"NX"));
        assert_eq!(
            token.flags,
            argument_flag("optional").unwrap() | argument_flag("multiple").unwrap()
        );
    }

    #[test]
    fn what_is_unknown_or_absent_is_not_guessed() {
        assert_eq!(command_info(&Reply::Null, None), None, "renamed away");
        assert_eq!(
            command_info(&info_reply("RW sideways"), None),
            None,
            "a flag of the future"
        );
        let undocumented = command_info(&info_reply("RO"), None).expect("DOCS may be missing");
        assert_eq!(
            (undocumented.summary, undocumented.arguments),
            (None, Vec::new())
        );
    }
}
