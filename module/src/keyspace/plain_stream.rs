//! The stream to replicas under native names, for replicas without the module: `rdb native`.
//!
//! PM.SET goes as SET, with the words that it would have under its own name: they have one outcome
//! already. What only PM commands do is told by its effect: a command's row says which
//! ([`Stream`]). PM.FLUSHDB and PM.FLUSHALL beside native keys send DEL of the keys
//! (`commands/generic/flush.rs`).
//!
//! In a cluster nothing of this is done: the same stream goes to the new owner of hash slots that
//! move, which has the module, as all nodes have.

use super::ENGINE;
use crate::SETTINGS;
use crate::behaviour::{self, Behaviour, Family};
use crate::config::RdbContent;
use crate::redis::{Arg, Ctx, Kind, Mode, OwnedString, learn_how_to_sync, translate_stream};
use crate::report;
use std::ffi::CStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use store::rdb::{self, Dialect, Value};
use store::record;

/// What replicas without the module get of what a PM command replicates.
#[derive(Clone, Copy, Debug)]
pub enum Stream {
    /// The native command of the same name and words.
    Native,
    /// Nothing: they have the native key.
    Nothing,
    /// Nothing: they are cut off before they get a transaction that was taken back, and sync anew.
    SyncAnew,
    /// SET of each key, with its time.
    SetOfEach,
    /// Nothing, where fields do not expire on this server: a field that expires goes by HDEL.
    OnlyIfFieldsExpire,
    /// HSET, or the whole value, where the server has no HSETEX.
    WithoutHsetex,
    /// RESTORE of the whole value of the key at this place, if the arguments are such that an older
    /// server does not know them; if it cannot be read, they sync anew.
    ValueIf(usize, fn(&[Arg<'_>]) -> bool),
}

/// The commands that are not sent under their native names, by these, in lower case.
static OTHERS: OnceLock<Vec<(&'static str, Stream)>> = OnceLock::new();

/// Learns what replicas without the module get of each command.
pub fn learn_streams(streams: impl Iterator<Item = (&'static str, Stream)>) {
    OTHERS.get_or_init(|| {
        let others = streams.filter(|(_, stream)| !matches!(stream, Stream::Native));
        others.collect()
    });
}

/// What replicas get of the command of this native name.
fn stream(native: &CStr) -> Stream {
    let mut others = OTHERS.get().into_iter().flatten();
    let is = |name: &str| native.to_bytes().eq_ignore_ascii_case(name.as_bytes());
    let found = others.find(|(name, _)| is(name));
    found.map_or(Stream::Native, |&(_, stream)| stream)
}

/// DUMP is to tell PM keys as native ones.
static DUMPS_NATIVELY: AtomicBool = AtomicBool::new(false);

/// Whether DUMP is to tell PM keys as native ones. O(1), one load.
#[inline]
pub fn dumps_natively() -> bool {
    DUMPS_NATIVELY.load(Ordering::Relaxed)
}

/// Has the stream and full syncs be as the settings say, from now on. Not from within a command.
pub fn follow_settings(ctx: &Ctx) {
    let native = SETTINGS.with(|settings| settings.rdb) == Ok(RdbContent::Native);
    DUMPS_NATIVELY.store(native, Ordering::Relaxed);
    let native = native && !ctx.flags().cluster();
    translate_stream(native.then_some(send));
    if learn_how_to_sync(ctx, native) {
        report::notice(
            "repl-diskless-sync is off from now on: with 'rdb native', what replicas get is made as a file first",
        );
    }
}

/// What this server's own files have of fields that expire.
pub fn dialect() -> Dialect {
    if !has_expiring_fields() {
        Dialect::Plain
    } else if behaviour::server().family == Family::Valkey {
        Dialect::Valkey
    } else {
        Dialect::Redis
    }
}

fn has_expiring_fields() -> bool {
    Behaviour::FieldsExpire.here()
}

fn has_hsetex() -> bool {
    Behaviour::HasHsetex.here()
}

/// The payload of a PM key as that of a native one; `None` if there is no such PM key, or nothing
/// of it is left.
///
/// # Errors
/// `Damaged`.
pub fn payload(ctx: &Ctx, name: Arg<'_>, mode: Mode) -> pobj::Result<Option<Vec<u8>>> {
    let Kind::Pm(ty, addr) = ctx.open(name, mode).kind() else {
        return Ok(None);
    };
    let made = ENGINE.with(|engine| {
        let pool = &engine.store.pool;
        let Some(record) = engine.record_at(addr) else {
            return Ok(None);
        };
        let value = Value {
            pool,
            ty,
            root: record::get(pool, record)?.root,
            inline: record::inline(pool, record)?,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_millis() as i64);
        rdb::payload(&value, dialect(), now)
    });
    made.unwrap_or_else(|refused| {
        Err(pobj::Error::State(format!(
            "the pool cannot be reached: {refused:?}"
        )))
    })
}

/// Sends what a PM command has done. Its key has the new value already.
fn send(ctx: &Ctx, command: &CStr, args: &[Arg<'_>]) {
    let Some(native) = native_name(command) else {
        return ctx.send(command, args);
    };
    match (stream(native), args) {
        (Stream::Nothing, _) => {}
        (Stream::SyncAnew, _) => have_them_sync_anew(ctx, "a transaction that was taken back here"),
        (Stream::SetOfEach, [count, rest @ ..]) => set_each(ctx, *count, rest),
        (Stream::OnlyIfFieldsExpire, _) if !has_expiring_fields() => {}
        (Stream::WithoutHsetex, [key, rest @ ..]) if !has_hsetex() => set_fields(ctx, *key, rest),
        (Stream::ValueIf(key, is_new), _) if key < args.len() && is_new(args) => {
            send_value(ctx, args[key]);
        }
        _ => ctx.send(native, args),
    }
}

/// Replicas have what no command tells them to change: that is given up with all else that they
/// have. They could not take back what they have done, nor know that a value is another one now.
fn have_them_sync_anew(ctx: &Ctx, what: &str) {
    if let Err(why) = ctx.have_replicas_sync_anew() {
        report::warn(&format!("replicas keep {what}, as {why}"));
    }
}

/// A command's name without `PM.`, if it has that.
fn native_name(command: &CStr) -> Option<&CStr> {
    let rest = command.to_bytes_with_nul().strip_prefix(b"PM.")?;
    CStr::from_bytes_with_nul(rest).ok()
}

/// `count key value [key value ...] [KEEPTTL | PXAT time]`
fn set_each(ctx: &Ctx, count: Arg<'_>, rest: &[Arg<'_>]) {
    let count = std::str::from_utf8(count.bytes())
        .ok()
        .and_then(|n| n.parse::<usize>().ok());
    let Some((pairs, options)) = count.and_then(|count| rest.split_at_checked(2 * count)) else {
        return;
    };
    for pair in pairs.chunks(2) {
        ctx.send(c"SET", &[pair, options].concat());
    }
}

/// `[KEEPTTL | PXAT time] FIELDS count field value [field value ...]`, on a server without HSETEX.
fn set_fields(ctx: &Ctx, key: Arg<'_>, rest: &[Arg<'_>]) {
    if has_expiring_fields() {
        return send_value(ctx, key);
    }
    let options = match rest.first() {
        Some(word) if word.is(b"KEEPTTL") => 1,
        Some(word) if word.is(b"PXAT") => 2,
        _ => 0,
    };
    if let Some(pairs) = rest.get(options + 2..) {
        ctx.send(c"HSET", &[&[key], pairs].concat());
    }
}

/// Sends the whole value that a key has now, or that it is gone.
fn send_value(ctx: &Ctx, name: Arg<'_>) {
    match payload(ctx, name, Mode::Unseen) {
        Ok(Some(payload)) => {
            let expire_at = ctx.open(name, Mode::Unseen).expire_at_ms().unwrap_or(0);
            let words = [
                expire_at.to_string().as_bytes(),
                payload.as_slice(),
                b"REPLACE".as_slice(),
                b"ABSTTL".as_slice(),
            ]
            .map(OwnedString::new);
            let words = words.each_ref().map(OwnedString::arg);
            ctx.send(c"RESTORE", &[&[name], words.as_slice()].concat());
        }
        Ok(None) => ctx.send(c"DEL", &[name]),
        Err(error) => {
            let name = name.bytes().escape_ascii();
            report::warn(&format!(
                "replicas do not get the value of {name}, and have to sync anew: {error}"
            ));
            have_them_sync_anew(ctx, &format!("the old value of {name}"));
        }
    }
}
