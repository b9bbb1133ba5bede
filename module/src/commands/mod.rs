//! The commands: parse and validate arguments, call the keyspace, reply.

mod adopt;
mod announce;
mod bitmap;
mod check;
mod defrag;
mod generic;
mod geo;
mod hash;
mod hyperloglog;
mod info_from_native;
mod list;
pub mod plain;
mod pool;
mod row;
mod sample;
mod scan;
mod sections;
mod server;
mod set;
mod sort;
mod string;
mod syntax;
mod time_unit;
mod wait;
mod zset;

use crate::behaviour::Behaviour;
use crate::error::CmdError;
use crate::keyspace::plain_stream::Stream;
use crate::redis::{Arg, CommandInfo, Ctx, KeysAt, Registrar, StandIn};
pub use info_from_native::Native;
use row::{
    ADMIN, Form, IN_FRONT, KeyRange, Keys, NONE, ONE, READ, Row, SERVED_ALWAYS, SERVED_ANYONE_FAST,
    WRITE_ALWAYS,
};
use store::number::parse_i64;
use store::value::ValueType;

const FROM_SECOND: KeyRange = (2, -1, 1);

/// Commands that Redis does not have. Each row is made so by `own()`.
const OWN: &[Row] = &[
    Row::command("info", server::info, -1, SERVED_ALWAYS, NONE).own(),
    Row::command("ready", server::ready, 1, SERVED_ANYONE_FAST, NONE).own(),
    Row::command("stats", server::stats, 1, SERVED_ALWAYS, NONE).own(),
    Row::command("help", server::help, 1, SERVED_ALWAYS, NONE).own(),
    Row::command("export", generic::export, 2, READ, ONE).own(),
    Row::command("usage", server::usage, -2, READ, ONE).own(),
    Row::command("pool", pool::pool, -2, ADMIN, NONE)
        .own()
        .stream(Stream::SyncAnew),
    Row::command("refused", pool::refused, -2, IN_FRONT, NONE).own(),
    Row::command("check", check::check, -1, READ, ONE).own(),
    Row::command("defrag", defrag::defrag, -1, "admin deny-script", NONE).own(),
    Row::container("adopt", -2).own().stream(Stream::Nothing),
    Row::part("adopt", "keys", adopt::keys, -3, WRITE_ALWAYS, FROM_SECOND).own(),
    Row::part("adopt", "match", adopt::matching, 3, WRITE_ALWAYS, NONE).own(),
    Row::part("adopt", "all", adopt::all, 2, WRITE_ALWAYS, NONE).own(),
    Row::part("adopt", "stop", adopt::stop, 2, WRITE_ALWAYS, NONE).own(),
    Row::part("adopt", "status", adopt::status, 2, READ, NONE).own(),
];

/// Commands about values, under whose native names the module can stand in for the server, and the
/// types of these values.
const OF_VALUES: [(&[ValueType], &[Row]); 9] = [
    (&[ValueType::String], string::ROWS),
    (&[ValueType::String], bitmap::ROWS),
    (&[ValueType::String], hyperloglog::ROWS),
    (&[ValueType::List], list::ROWS),
    (&[ValueType::Hash], hash::ROWS),
    (&[ValueType::Set], set::ROWS),
    (&[ValueType::ZSet], zset::ROWS),
    (&[ValueType::ZSet], geo::ROWS),
    (
        &[ValueType::List, ValueType::Set, ValueType::ZSet],
        sort::ROWS,
    ),
];

/// All commands.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    let of_values = OF_VALUES.into_iter().flat_map(|(_, rows)| rows);
    OWN.iter().chain(generic::ROWS).chain(of_values)
}

/// Adds all commands to the server. Those are returned that have a native counterpart.
pub fn register(ctx: &Ctx) -> Result<Vec<Native>, String> {
    let registrar = Registrar::new(ctx);
    for row in OWN {
        debug_assert!(!row.is_native, "{} in OWN lacks own()", row.name);
    }
    for row in rows() {
        add(&registrar, row)?;
        if !row.is_native {
            describe_own(ctx, row)?;
        }
    }
    ctx.add_info::<sections::InServer>();
    let of_values = OF_VALUES.into_iter();
    let natives: Vec<Native> = (generic::ROWS.iter().map(|row| native(row, &[])))
        .chain(of_values.flat_map(|(of, rows)| rows.iter().map(|row| native(row, of))))
        .collect();
    info_from_native::describe(ctx, &natives);
    Ok(natives)
}

/// Adds a command to the server.
fn add(registrar: &Registrar<'_>, row: &Row) -> Result<(), String> {
    let name = format!("pm.{}", row.name);
    let flags = if row.is_native && Behaviour::BlockingRunsInScripts.here() {
        row.flags.replace("deny-script ", "")
    } else {
        row.flags.to_owned()
    };
    match (row.form, row.keys) {
        (Form::Container, _) => registrar.add_container(&name),
        (Form::Command(runner), Keys::At(keys)) => registrar.add(&name, runner, &flags, keys),
        (Form::Command(runner), Keys::Told(keys)) => {
            registrar.add_telling(&name, runner, &flags, keys)
        }
        (Form::Command(runner), Keys::Numbered(keys)) => {
            registrar.add_numbered(&name, runner, &flags, keys)
        }
        (Form::Part(container, runner), keys) => {
            let keys = match keys {
                Keys::At(keys) => keys,
                Keys::Told(_) | Keys::Numbered(_) => NONE,
            };
            registrar.add_part(&format!("pm.{container}"), row.name, runner, &flags, keys)
        }
    }
}

/// Describes a command that Redis does not have, from `syntax/own.rs`. A container's parts are
/// described there; to an ACL it is what native containers are.
fn describe_own(ctx: &Ctx, row: &Row) -> Result<(), String> {
    let name = format!("pm.{}", row.full_name());
    let info = match row.form {
        Form::Container => CommandInfo {
            acl_categories: Some(c"slow".into()),
            ..CommandInfo::default()
        },
        Form::Command(_) | Form::Part(..) => syntax::own(&name).unwrap_or_default(),
    };
    let info = CommandInfo {
        arity: row.arity,
        ..info
    };
    let set = ctx.set_command_info(&name, &info);
    set.map_err(|error| format!("{name}: {error:?}"))
}

/// The native command of a row, for which the module can stand in, if it is about values of the
/// types `of`.
fn native(row: &Row, of: &'static [ValueType]) -> Native {
    debug_assert!(row.is_native, "{} is own: its row belongs in OWN", row.name);
    let tells_keys = matches!(row.keys, Keys::Told(_) | Keys::Numbered(_));
    let (keys, takes) = if row.takes_any_key {
        (KeysAt::Any, ValueType::ALL.as_slice())
    } else if row.keys == Keys::At(ONE) {
        (KeysAt::First, of)
    } else {
        (KeysAt::Elsewhere, of)
    };
    let name = row.full_name();
    Native {
        arity: row.arity,
        tells_keys,
        stand_in: (!takes.is_empty()).then(|| StandIn {
            native: name.clone(),
            own: format!("pm.{name}"),
            keys,
            writes: row.flags.contains("write") && !row.takes_any_key,
            takes,
            takes_too: row.takes_too,
            first_key_only: row.first_key_only,
        }),
        key_flags: row.key_flags,
        options: row.options,
        name,
    }
}

/// An argument that is an integer.
fn integer(arg: Arg<'_>) -> Result<i64, CmdError> {
    parse_i64(arg.bytes()).ok_or(CmdError::NotAnInteger)
}

/// An argument that is an integer from `min` on, which is not negative; any other is the error
/// `text`.
fn at_least(arg: Arg<'_>, min: u32, text: &'static str) -> Result<u64, CmdError> {
    match parse_i64(arg.bytes()) {
        Some(n) if n >= i64::from(min) => Ok(n as u64),
        _ => Err(CmdError::text_only(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_of_commands_that_there_are_and_of_their_options() {
        let names: Vec<String> = rows().map(Row::full_name).collect();
        for name in syntax::names() {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
        for row in rows() {
            let info = row.is_native.then(|| syntax::whole(&row.full_name()));
            let Some(info) = info.flatten() else {
                continue;
            };
            let mut known = info.arguments.clone();
            syntax::take_only_known(row.options, &mut known);
            assert_eq!(known, info.arguments, "{}", row.name);
        }
    }

    #[test]
    fn options_are_words() {
        for row in rows() {
            let is_word = |word: &str| {
                !word.is_empty()
                    && word
                        .bytes()
                        .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
            };
            assert!(
                row.options.is_empty() || row.options.split(' ').all(is_word),
                "{}",
                row.name
            );
        }
    }

    #[test]
    fn commands_that_redis_lacks_are_in_own() {
        for row in OWN {
            assert!(!row.is_native, "{} lacks own()", row.name);
        }
        let of_values = OF_VALUES.into_iter().flat_map(|(_, rows)| rows);
        for row in generic::ROWS.iter().chain(of_values) {
            assert!(row.is_native, "{} belongs in OWN", row.name);
        }
    }
}
