//! What PM commands take: the one place for descriptions that a server lacks.
//!
//! A command is described as the server describes its native one ([`info_from_native`]). Servers
//! differ, though, and the PM command is the same on all of them: it takes the options of the
//! newest ones. So
//!
//! * a command's row lists the words of the options that it takes, and `options` leaves out what
//!   the description of a server newer than this module has beyond them;
//! * `beyond` adds what an older server's description lacks;
//! * `own` describes the module's own commands;
//! * `whole` describes the commands that the server at hand does not have at all.
//!
//! [`info_from_native`]: super::info_from_native

mod beyond;
mod hashes;
mod options;
mod own;
mod whole;

use crate::redis::{
    Argument, ArgumentType, BeginSearch, CommandInfo, FindKeys, KeySpec, argument_flag, key_flag,
};
use std::ffi::CString;

pub(super) use beyond::complete;
pub(super) use options::take_only_known;

/// The description of a command that the server at hand lacks, if it is one of those that some
/// servers do. The arity is the caller's.
pub(super) fn whole(name: &str) -> Option<CommandInfo> {
    let mut all = whole::COMMANDS.iter().chain(hashes::COMMANDS);
    all.find(|command| command.name == name)
        .map(Description::info)
}

/// The key specifications of such a command, which tell all: if they are marked as incomplete, then
/// for the server's sake.
pub(super) fn whole_keys(name: &str) -> Option<Vec<KeySpec>> {
    let mut specs = whole(name)?.key_specs;
    let incomplete = key_flag("incomplete").unwrap_or(0);
    specs.iter_mut().for_each(|spec| spec.flags &= !incomplete);
    Some(specs)
}

/// The description of one of the module's own commands. The arity is the caller's.
pub(super) fn own(name: &str) -> Option<CommandInfo> {
    let found = own::COMMANDS.iter().find(|command| command.name == name);
    found.map(Description::info)
}

/// Two lines for each of the module's own commands: how it is written, and what it does.
pub(super) fn own_help() -> Vec<String> {
    let lines = |command: &Description| {
        let name = command.name.to_ascii_uppercase().replace('|', " ");
        let words: Vec<_> = command.arguments.iter().map(Arg::written).collect();
        let line = [&[name], &words[..]].concat().join(" ");
        [line, format!("    {}", command.summary)]
    };
    own::COMMANDS.iter().flat_map(lines).collect()
}

/// A command, as data.
struct Description {
    /// Its native name, in lower case.
    name: &'static str,
    summary: &'static str,
    complexity: &'static str,
    /// ACL categories, joined by spaces.
    categories: &'static str,
    /// Hints for clients and proxies, joined by spaces.
    tips: &'static str,
    keys: &'static [Keys],
    arguments: &'static [Arg],
}

/// Where a command's keys are, and what it does with them, in the words of COMMAND INFO.
enum Keys {
    /// One, at this argument.
    At(i32, &'static str),
    /// As many as this argument says, which they follow at this distance from each other.
    Numbered(i32, i32, &'static str),
}

/// An argument, as data.
#[derive(Clone, Copy)]
struct Arg {
    name: &'static str,
    ty: ArgumentType,
    token: Option<&'static str>,
    /// Names of [`argument_flag`], joined by spaces.
    flags: &'static str,
    parts: &'static [Arg],
}

impl Arg {
    const fn new(name: &'static str, ty: ArgumentType) -> Arg {
        Arg {
            name,
            ty,
            token: None,
            flags: "",
            parts: &[],
        }
    }

    /// The key.
    const KEY: Arg = Arg::new("key", ArgumentType::Key);

    /// A string.
    const fn string(name: &'static str) -> Arg {
        Arg::new(name, ArgumentType::String)
    }

    /// An integer.
    const fn integer(name: &'static str) -> Arg {
        Arg::new(name, ArgumentType::Integer)
    }

    /// A word that is an argument itself.
    const fn word(name: &'static str, token: &'static str) -> Arg {
        Arg::new(name, ArgumentType::PureToken).after(token)
    }

    /// One of these.
    const fn one_of(name: &'static str, parts: &'static [Arg]) -> Arg {
        Arg {
            parts,
            ..Arg::new(name, ArgumentType::OneOf)
        }
    }

    /// These, in this order.
    const fn block(name: &'static str, parts: &'static [Arg]) -> Arg {
        Arg {
            parts,
            ..Arg::new(name, ArgumentType::Block)
        }
    }

    /// The same after a word.
    const fn after(self, token: &'static str) -> Arg {
        Arg {
            token: Some(token),
            ..self
        }
    }

    /// The same, which may be left out.
    const fn optional(self) -> Arg {
        Arg {
            flags: "optional",
            ..self
        }
    }

    /// The same, which may be repeated.
    const fn multiple(self) -> Arg {
        Arg {
            flags: "multiple",
            ..self
        }
    }

    /// The same, which may be left out or repeated.
    const fn multiple_optional(self) -> Arg {
        Arg {
            flags: "optional multiple",
            ..self
        }
    }

    /// How it is written, in the manner of COMMAND DOCS.
    fn written(&self) -> String {
        let parts = || self.parts.iter().map(Arg::written).collect::<Vec<_>>();
        let value = match self.ty {
            ArgumentType::PureToken => String::new(),
            ArgumentType::OneOf => parts().join(" | "),
            ArgumentType::Block => parts().join(" "),
            _ => self.name.to_owned(),
        };
        let words = [self.token.unwrap_or(""), &value];
        let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let mut text = words.join(" ");
        if self.flags.contains("multiple") {
            text = format!("{text} ...");
        }
        if self.flags.contains("optional") {
            format!("[{text}]")
        } else {
            text
        }
    }

    fn argument(&self) -> Argument {
        Argument {
            name: text(self.name),
            ty: self.ty,
            key_spec_index: if self.ty == ArgumentType::Key { 0 } else { -1 },
            token: self.token.map(text),
            display_text: None,
            summary: None,
            since: None,
            deprecated_since: None,
            flags: self
                .flags
                .split_whitespace()
                .filter_map(argument_flag)
                .fold(0, |a, b| a | b),
            arguments: self.parts.iter().map(Arg::argument).collect(),
        }
    }
}

impl Keys {
    fn spec(&self) -> KeySpec {
        let (at, flags, find_keys) = match *self {
            Keys::At(at, flags) => {
                let one = FindKeys::Range {
                    last_key: 0,
                    key_step: 1,
                    limit: 0,
                };
                (at, flags, one)
            }
            Keys::Numbered(at, key_step, flags) => {
                let numbered = FindKeys::KeyNum {
                    key_num_idx: 0,
                    first_key: 1,
                    key_step,
                };
                (at, flags, numbered)
            }
        };
        KeySpec {
            notes: None,
            flags: flags
                .split_whitespace()
                .filter_map(key_flag)
                .fold(0, |a, b| a | b),
            begin_search: BeginSearch::Index(at),
            find_keys,
        }
    }
}

impl Description {
    fn info(&self) -> CommandInfo {
        CommandInfo {
            summary: Some(text(self.summary)),
            complexity: Some(text(self.complexity)),
            tips: Some(self.tips).filter(|tips| !tips.is_empty()).map(text),
            acl_categories: Some(self.categories)
                .filter(|categories| !categories.is_empty())
                .map(text),
            key_specs: self.keys.iter().map(Keys::spec).collect(),
            arguments: self.arguments.iter().map(Arg::argument).collect(),
            ..CommandInfo::default()
        }
    }
}

fn text(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

/// The names of all commands that are described here, or whose description is completed.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let own = own::COMMANDS.iter();
    let own = own.map(|command| command.name.strip_prefix("pm.").expect("a PM command"));
    let natives = whole::COMMANDS.iter().chain(hashes::COMMANDS);
    own.chain(natives.map(|command| command.name))
        .chain(beyond::names())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_use_words_that_there_are() {
        for command in whole::COMMANDS.iter().chain(hashes::COMMANDS) {
            for keys in command.keys {
                let (Keys::At(_, flags) | Keys::Numbered(_, _, flags)) = keys;
                let unknown = flags
                    .split_whitespace()
                    .find(|word| key_flag(word).is_none());
                assert_eq!(unknown, None, "{}", command.name);
            }
        }
    }
}
