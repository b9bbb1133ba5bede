//! Commands that report on the pool and on the module.

use super::sections::{SECTIONS, Section};
use super::{integer, syntax};
use crate::error::CmdError;
use crate::keyspace::{substitutes, usage_of, with_engine};
use crate::redis::{Args, Collection, Ctx, InfoValue, Kind, Mode, OwnedString};
use std::ffi::CString;
use std::fmt::Write;

/// Words that ask for all sections.
const ALL: [&[u8]; 3] = [b"all", b"everything", b"default"];

/// `PM.INFO [section ...]`: the pool and what is in force, in the form of INFO.
pub(super) fn info(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let mut wanted: Vec<&Section> = Vec::new();
    let words = args.from(1);
    for word in words {
        let is = |name: &[u8]| word.bytes().eq_ignore_ascii_case(name);
        let named = SECTIONS.iter().find(|section| is(section.name.as_bytes()));
        match named {
            Some(section) => wanted.push(section),
            None if ALL.iter().any(|all| is(all)) => wanted.extend(&SECTIONS),
            None => return Err(unknown_section(word.bytes())),
        }
    }
    let is_wanted = |section: &&Section| {
        words.is_empty() || wanted.iter().any(|wanted| wanted.name == section.name)
    };
    let mut text = String::new();
    with_engine(|engine| {
        for section in SECTIONS.iter().filter(is_wanted) {
            let gap = if text.is_empty() { "" } else { "\r\n" };
            write!(text, "{gap}# {}\r\n", section.name).map_err(|_| CmdError::Internal)?;
            for (name, value) in (section.fields)(engine) {
                write_field(&mut text, &name, &value).map_err(|_| CmdError::Internal)?;
            }
        }
        Ok(())
    })?;
    ctx.reply_verbatim(c"txt", text.as_bytes());
    Ok(())
}

fn unknown_section(word: &[u8]) -> CmdError {
    let names = SECTIONS.map(|section| section.name.to_ascii_lowercase());
    CmdError::Other(
        format!(
            "ERR unknown section '{}': expected all, {}",
            word.escape_ascii(),
            names.join(", ")
        )
        .into(),
    )
}

fn write_field(text: &mut String, name: &str, value: &InfoValue) -> std::fmt::Result {
    match value {
        InfoValue::Text(value) => write!(text, "{name}:{value}\r\n"),
        InfoValue::Count(count) => write!(text, "{name}:{count}\r\n"),
        InfoValue::Ratio(ratio) => write!(text, "{name}:{ratio:.3}\r\n"),
        InfoValue::Counts(counts) => {
            let counts: Vec<_> = counts
                .iter()
                .map(|(name, count)| format!("{name}={count}"))
                .collect();
            write!(text, "{name}:{}\r\n", counts.join(","))
        }
    }
}

/// `PM.STATS`: the numbers of PM.INFO, as a map.
pub(super) fn stats(ctx: &Ctx, _args: Args<'_>) -> Result<(), CmdError> {
    let fields: Vec<_> = with_engine(|engine| {
        let fields = SECTIONS.iter().flat_map(|section| (section.fields)(engine));
        let number = |(name, value)| match value {
            InfoValue::Count(count) => Some((name, count)),
            _ => None,
        };
        Ok(fields.filter_map(number).collect::<Vec<(String, u64)>>())
    })?;
    ctx.reply_collection(Collection::Map, fields.len());
    for (name, count) in fields {
        ctx.reply_bulk(name.as_bytes());
        ctx.reply_integer(i64::try_from(count).unwrap_or(i64::MAX));
    }
    Ok(())
}

/// `PM.USAGE key [SAMPLES count]`: the bytes that the key takes in the pool, its name and what
/// allocation rounds up among them; of a native key, what MEMORY USAGE tells. O(1) for strings,
/// else O(elements) at most, as all are counted: SAMPLES is for native keys. Null if there is no
/// such key; to replies, not to the key's last use, it matters as MEMORY USAGE.
pub(super) fn usage(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    for option in args.from(2).chunks(2) {
        let count = match option {
            [word, count] if word.is(b"SAMPLES") => integer(*count)?,
            _ => return Err(CmdError::Syntax),
        };
        if count < 0 {
            return Err(CmdError::Syntax);
        }
    }
    match ctx.open(args[1], Mode::Unseen).kind() {
        Kind::Pm(_, addr) => {
            let bytes = usage_of(addr)?;
            ctx.reply_integer(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        Kind::Absent => ctx.reply_null(),
        Kind::Other => {
            let usage = OwnedString::new(b"USAGE");
            let words = [&[usage.arg()], args.from(1)].concat();
            substitutes::ask_native(ctx, c"MEMORY", &words);
        }
    }
    Ok(())
}

/// `PM.HELP`: the module's own commands, a line of syntax and a line of what it does each.
pub(super) fn help(ctx: &Ctx, _args: Args<'_>) -> Result<(), CmdError> {
    let mut lines = vec![
        "Redis's commands work under their names with PM. in front; COMMAND DOCS describes each. The module's own commands:".to_owned(),
    ];
    lines.extend(syntax::own_help());
    ctx.reply_array(lines.len());
    for line in lines {
        ctx.reply_simple(&CString::new(line).unwrap_or_default());
    }
    Ok(())
}

/// `PM.READY`: whether all keys of the pool are in Redis's keyspace. It takes the place of a PSYNC
/// that has to wait for them, whatever the replica's user may run.
pub(super) fn ready(ctx: &Ctx, _args: Args<'_>) -> Result<(), CmdError> {
    if with_engine(|engine| Ok(engine.life.shows_keys() && engine.filling.is_none()))? {
        ctx.reply_ok();
        Ok(())
    } else {
        Err(CmdError::text_only(
            "LOADING the pool's keys are not in the keyspace yet",
        ))
    }
}
