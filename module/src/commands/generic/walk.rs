//! Commands about all keys of a database.

use crate::behaviour::Behaviour;
use crate::error::CmdError;
use crate::keyspace::keys_of;
use crate::redis::{Arg, Args, Ctx, Kind, Mode, OwnedString, Reply};
use store::value::ValueType;

/// Keys that RANDOMKEY draws before it looks for ours one after the other.
const DRAWS: usize = 64;
/// Keys that one step of such a search looks at.
const STEP: &[u8] = b"1000";

/// Whether a key holds a value of ours; that does not count as an access.
fn is_ours(ctx: &Ctx, name: &[u8]) -> bool {
    let name = OwnedString::new(name);
    matches!(ctx.open(name.arg(), Mode::Quiet).kind(), Kind::Pm(..))
}

/// The names of the keys in a reply.
fn names(keys: Vec<Reply>) -> Vec<Vec<u8>> {
    let text = |key| match key {
        Reply::Text(name) => Some(name),
        _ => None,
    };
    keys.into_iter().filter_map(text).collect()
}

/// Those of the keys in a reply that are ours.
fn ours(ctx: &Ctx, keys: Vec<Reply>) -> Vec<Vec<u8>> {
    let names = names(keys).into_iter();
    names.filter(|name| is_ours(ctx, name)).collect()
}

fn reply_keys(ctx: &Ctx, keys: &[Vec<u8>]) {
    ctx.reply_array(keys.len());
    for key in keys {
        ctx.reply_bulk(key);
    }
}

/// The error that a command of Redis has replied with, as ours.
fn failed(reply: Option<Reply>) -> CmdError {
    match reply {
        Some(Reply::Error(text)) => {
            CmdError::Other(String::from_utf8_lossy(&text).into_owned().into())
        }
        _ => CmdError::text_only("ERR the server does not have the native command"),
    }
}

/// `PM.KEYS pattern`
pub(super) fn keys(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    match ctx.call(c"KEYS", &[args[1].bytes()]) {
        Some(Reply::Array(keys)) => {
            reply_keys(ctx, &ours(ctx, keys));
            Ok(())
        }
        other => Err(failed(other)),
    }
}

/// `PM.SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
pub(super) fn scan(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    if ctx.is_plain() {
        return scan_plain(ctx, args);
    }
    let mut words: Vec<&[u8]> = args.from(1).iter().map(|arg| arg.bytes()).collect();
    for pair in args
        .from(2)
        .chunks_exact(2)
        .zip(words[1..].chunks_exact_mut(2))
    {
        if let ([option, ty], [_, word]) = pair
            && option.is(b"TYPE")
        {
            *word = module_name(*ty);
        }
    }
    let (cursor, keys) = scan_step(ctx, &words)?;
    ctx.reply_array(2);
    ctx.reply_bulk(&cursor);
    reply_keys(ctx, &keys);
    Ok(())
}

/// SCAN under its native name. The server runs it, unless the keys of a type are asked for that a
/// PM key can be of.
fn scan_plain(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let mut words: Vec<&[u8]> = args.from(1).iter().map(|arg| arg.bytes()).collect();
    let mut wanted = None;
    let mut at = 1;
    while let Some([option, ty]) = args.from(1).get(at..at + 2) {
        if option.is(b"TYPE") {
            wanted = ValueType::ALL
                .into_iter()
                .find(|own| ty.is(own.name().to_bytes()));
            if wanted.is_none() {
                return Err(CmdError::Native);
            }
        }
        at += 2;
    }
    let wanted = wanted.ok_or(CmdError::Native)?;
    // Without the pairs of TYPE: the server would look for keys of its own only.
    let mut left = words.split_off(1);
    let is_type = |pair: &[&[u8]]| pair[0].eq_ignore_ascii_case(b"TYPE");
    let pairs = left
        .chunks_mut(2)
        .filter(|pair| !(pair.len() == 2 && is_type(pair)));
    words.extend(pairs.flat_map(|pair| pair.to_vec()));
    let (cursor, keys) = scan_all(ctx, &words)?;
    let mode = if Behaviour::ScanOfTypeCountsNothing.here() {
        Mode::Unseen
    } else {
        Mode::Peek
    };
    let mut found = Vec::with_capacity(keys.len());
    for name in keys {
        let string = OwnedString::new(&name);
        let key = ctx.open(string.arg(), mode);
        if matches!(key.kind(), Kind::Pm(ty, _) if ty == wanted)
            || key.native_type() == Some(wanted)
        {
            found.push(name);
        }
    }
    ctx.reply_array(2);
    ctx.reply_bulk(&cursor);
    reply_keys(ctx, &found);
    Ok(())
}

/// The name that our type has in the server, for the name that TYPE gives it here.
fn module_name(ty: Arg<'_>) -> &[u8] {
    let own = ValueType::ALL.into_iter();
    own.map(|own| (own.name(), own.module_name()))
        .find(|(name, _)| ty.is(name.to_bytes()))
        .map_or(ty.bytes(), |(_, module_name)| module_name.to_bytes())
}

/// The next cursor, and keys of ours.
fn scan_step(ctx: &Ctx, words: &[&[u8]]) -> Result<(Vec<u8>, Vec<Vec<u8>>), CmdError> {
    let (cursor, keys) = scan_all(ctx, words)?;
    let keys = keys.into_iter().filter(|name| is_ours(ctx, name));
    Ok((cursor, keys.collect()))
}

/// The next cursor, and keys of any kind.
fn scan_all(ctx: &Ctx, words: &[&[u8]]) -> Result<(Vec<u8>, Vec<Vec<u8>>), CmdError> {
    match ctx.call(c"SCAN", words) {
        Some(Reply::Array(parts)) => match <[Reply; 2]>::try_from(parts) {
            Ok([Reply::Text(cursor), Reply::Array(keys)]) => Ok((cursor, names(keys))),
            _ => Err(CmdError::Internal),
        },
        other => Err(failed(other)),
    }
}

/// `PM.RANDOMKEY`
///
/// Draws among all keys until one is ours. Where ours are rare it then takes one of the first that
/// a walk from a random point meets: O(n) at worst. Where only keys are left whose time has come,
/// and which may not go (on a replica, or during a pause), it is one of these, as natively.
pub(super) fn randomkey(ctx: &Ctx, _args: Args<'_>) -> Result<(), CmdError> {
    match random_key(ctx)? {
        Some(key) => ctx.reply_bulk(&key),
        None => ctx.reply_null(),
    }
    Ok(())
}

fn random_key(ctx: &Ctx) -> Result<Option<Vec<u8>>, CmdError> {
    if keys_of(ctx.db())? == 0 {
        return Ok(None);
    }
    for _ in 0..DRAWS {
        match ctx.call(c"RANDOMKEY", &[]) {
            Some(Reply::Text(key)) if is_ours(ctx, &key) => return Ok(Some(key)),
            Some(Reply::Text(_)) => {}
            Some(Reply::Null) => return Ok(None),
            other => return Err(failed(other)),
        }
    }
    let mut cursor = fastrand::u64(..).to_string().into_bytes();
    let mut rounds = 0;
    while rounds < 2 {
        let (next, mut keys) = scan_step(ctx, &[&cursor, b"COUNT", STEP])?;
        if !keys.is_empty() {
            return Ok(Some(keys.swap_remove(fastrand::usize(..keys.len()))));
        }
        // Once more from the beginning: the walk began somewhere in the middle.
        rounds += usize::from(next == b"0");
        cursor = next;
    }
    if keys_of(ctx.db())? == 0 {
        return Ok(None);
    }
    let (mut seen, mut drawn) = (0, None);
    ctx.scan(|name, kind| {
        if let Kind::Pm(..) = kind {
            seen += 1;
            if fastrand::usize(..seen) == 0 {
                drawn = Some(name.bytes().to_vec());
            }
        }
    });
    Ok(drawn)
}

/// `PM.DBSIZE`: O(1).
pub(super) fn dbsize(ctx: &Ctx, _args: Args<'_>) -> Result<(), CmdError> {
    ctx.reply_integer(keys_of(ctx.db())? as i64);
    Ok(())
}
