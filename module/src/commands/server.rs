//! Commands about the pool.

use crate::SETTINGS;
use crate::error::CmdError;
use crate::keyspace::{Engine, with_engine};
use crate::redis::{Args, Ctx, InfoFields};
use std::fmt::Write;

/// Writes a section's lines.
type Section = fn(&mut String, &Engine) -> std::fmt::Result;

const SECTIONS: [(&str, Section); 5] = [
    ("Pool", pool),
    ("Keys", keys),
    ("Filling", filling),
    ("Traffic", traffic),
    ("Reclaim", reclaim),
];

/// Words that ask for all sections.
const ALL: [&[u8]; 3] = [b"all", b"everything", b"default"];

/// `PM.INFO [section ...]`: the pool and what is in force, in the form of INFO.
pub fn info(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let wanted = args.from(1);
    let is_wanted = |name: &str| {
        let says = |word: &[u8]| word.eq_ignore_ascii_case(name.as_bytes());
        let all = |word: &[u8]| ALL.iter().any(|all| word.eq_ignore_ascii_case(all));
        wanted.is_empty()
            || wanted
                .iter()
                .any(|arg| says(arg.bytes()) || all(arg.bytes()))
    };
    let mut text = String::new();
    with_engine(|engine| {
        for (name, section) in SECTIONS.iter().filter(|(name, _)| is_wanted(name)) {
            let gap = if text.is_empty() { "" } else { "\r\n" };
            write!(text, "{gap}# {name}\r\n")
                .and_then(|()| section(&mut text, engine))
                .map_err(|_| CmdError::Internal)?;
        }
        Ok(())
    })?;
    ctx.reply_verbatim(c"txt", text.as_bytes());
    Ok(())
}

/// Where the pool is, and how full: bytes, and slab pages.
fn pool(text: &mut String, engine: &Engine) -> std::fmt::Result {
    let settings = SETTINGS.with(|config| (config.path.display().to_string(), config.durability));
    if let Ok((path, durability)) = settings {
        write!(text, "path:{path}\r\ndurability:{durability}\r\n")?;
    }
    let (usage, wasted) = (engine.pool.usage(), engine.pool.wasted());
    let unfilled = (usage.scattered + wasted) as f64 / (usage.scattered + usage.free).max(1) as f64;
    write!(
        text,
        "is_pmem:{}\r\nsize:{}\r\nused:{}\r\nfree:{}\r\nlargest_free:{}\r\nscattered:{}\r\n\
         wasted:{wasted}\r\nfragmentation:{unfilled:.3}\r\nreserved:{}\r\npages:{}\r\n",
        u8::from(engine.pool.is_pmem()),
        usage.size,
        usage.used,
        usage.free,
        usage.largest_free,
        usage.scattered,
        usage.reserved,
        usage.pages,
    )
}

/// PM keys of each database that has some.
fn keys(text: &mut String, engine: &Engine) -> std::fmt::Result {
    let counts = (0..engine.dbs.count()).map(|db| (db, engine.dbs.keys(db)));
    for (db, keys) in counts.filter(|&(_, keys)| keys > 0) {
        write!(text, "db{db}:keys={keys}\r\n")?;
    }
    Ok(())
}

/// Whether Redis's keyspace is still being filled: keys shown so far, keys to come, seconds left.
fn filling(text: &mut String, engine: &Engine) -> std::fmt::Result {
    let progress = engine.filling_progress();
    let (shown, to_come, seconds) = progress.unwrap_or_default();
    write!(
        text,
        "filling:{}\r\nkeys_shown:{shown}\r\nkeys_to_come:{to_come}\r\nseconds_left:{seconds}\r\n",
        u8::from(progress.is_some())
    )
}

/// The same for the server's INFO.
pub fn info_fields() -> Option<InfoFields> {
    let progress = with_engine(|engine| Ok(engine.filling_progress())).ok()?;
    let (shown, to_come, seconds) = progress.unwrap_or_default();
    Some(vec![
        (c"filling", u64::from(progress.is_some())),
        (c"keys_shown", shown),
        (c"keys_to_come", to_come),
        (c"seconds_left", seconds),
    ])
}

/// `PM.READY`: whether all keys of the pool are in Redis's keyspace.
pub fn ready(ctx: &Ctx, _args: Args<'_>) -> Result<(), CmdError> {
    match with_engine(|engine| Ok(engine.filled && engine.filling.is_none()))? {
        true => {
            ctx.reply_ok();
            Ok(())
        }
        false => Err(CmdError::text_only(
            "LOADING the pool's keys are not in the keyspace yet",
        )),
    }
}

/// Cache lines flushed, and fences, since the pool was opened.
fn traffic(text: &mut String, engine: &Engine) -> std::fmt::Result {
    let traffic = engine.pool.traffic();
    write!(
        text,
        "fences:{}\r\nlines:{}\r\n",
        traffic.fences, traffic.lines
    )
}

/// Deleted values whose memory is still to be given back, and whether flushed keys are being looked for.
fn reclaim(text: &mut String, engine: &Engine) -> std::fmt::Result {
    let (values, sweeping) = engine.backlog();
    write!(
        text,
        "reclaim_values:{values}\r\nreclaim_sweeping:{}\r\n",
        u8::from(sweeping)
    )
}
