//! MIGRATE.
//!
//! The server's own sends values of modules as they are, which only servers with the module read.
//! With NATIVE the values go as native ones: the module speaks to the other server itself, in the
//! words, and with the replies and errors, of MIGRATE. (Each time over a new connection, and
//! without TLS.)

use super::is_native;
use super::keys::Done;
use super::peer::Peer;
use super::transfer::native_payload;
use crate::commands::integer;
use crate::error::CmdError;
use crate::keyspace;
use crate::redis::{Arg, Args, Class, Ctx, KeyUse, Kind, Mode, Propagate, translates_stream};
use std::ops::Range;
use std::time::Duration;

/// Where the one key is, and where the options begin.
const KEY: usize = 3;
const OPTIONS: usize = 6;

/// `PM.MIGRATE host port key|"" db timeout [COPY] [REPLACE] [NATIVE] [AUTH password | AUTH2 name
/// password] [KEYS key ...]`
///
/// Native keys stay; without others there is nothing to migrate. But with NATIVE they go, too.
/// Under its plain name it is the server's own, unless `rdb native` wants the values to be native
/// ones. In a cluster, slots move from one server with the module to the next, and that is not
/// asked for but with the word.
pub(super) fn migrate(ctx: &Ctx, args: Args<'_>) -> Done {
    let (keys, has_native) = keys_at(args);
    if ctx.asks_for_keys() {
        keys.for_each(|at| ctx.tell_key(at, KeyUse::Take));
        return Ok(());
    }
    if ctx.is_plain() {
        let names = &args.from(0)[keys];
        let is_pm = |name: &Arg<'_>| matches!(ctx.open(*name, Mode::Unseen).kind(), Kind::Pm(..));
        return if translates_stream() && names.iter().any(is_pm) {
            send_native(ctx, args)
        } else {
            Err(CmdError::Native)
        };
    }
    if has_native {
        return send_native(ctx, args);
    }
    let natives: Vec<usize> = keys
        .clone()
        .filter(|&at| is_native(ctx, args[at]))
        .collect();
    if !natives.is_empty() && natives.len() == keys.len() {
        ctx.reply_simple(c"NOKEY");
        return Ok(());
    }
    let words = args.from(1).iter().zip(1..);
    let words: Vec<Arg<'_>> = words
        .filter(|(_, at)| !natives.contains(at))
        .map(|(word, _)| *word)
        .collect();
    ctx.forward(c"MIGRATE", &words, Propagate::Replicas);
    Ok(())
}

/// Where the keys of MIGRATE are, all that follows KEYS if the one key is empty; and whether NATIVE
/// is among its options.
fn keys_at(args: Args<'_>) -> (Range<usize>, bool) {
    let one = args.get(KEY).is_some_and(|key| !key.bytes().is_empty());
    let mut keys = if one { KEY..KEY + 1 } else { 0..0 };
    let mut has_native = false;
    let mut at = OPTIONS;
    while let Some(word) = args.get(at) {
        if word.is(b"KEYS") {
            if !one {
                keys = at + 1..args.len();
            }
            break;
        }
        // The arguments of AUTH and AUTH2 may have any name.
        at += if word.is(b"AUTH") {
            2
        } else if word.is(b"AUTH2") {
            3
        } else {
            has_native |= word.is(b"NATIVE");
            1
        };
    }
    (keys, has_native)
}

/// What MIGRATE is asked for.
struct Request<'a> {
    host: &'a str,
    port: u16,
    keys: &'a [Arg<'a>],
    db: i64,
    timeout: Duration,
    copies: bool,
    replaces: bool,
    /// The password, after the user's name if there is one.
    auth: &'a [Arg<'a>],
}

const KEY_AND_KEYS: CmdError = CmdError::text_only(
    "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
);

impl<'a> Request<'a> {
    /// # Errors
    /// Those of MIGRATE, in its order.
    fn parse(args: Args<'a>) -> Result<Request<'a>, CmdError> {
        let words = args.from(0);
        let mut keys = &words[KEY..KEY + 1];
        let mut auth: &[Arg<'_>] = &[];
        let (mut copies, mut replaces) = (false, false);
        let mut at = OPTIONS;
        while let Some(word) = words.get(at) {
            let takes = |count| words.get(at + 1..at + 1 + count).ok_or(CmdError::Syntax);
            match () {
                _ if word.is(b"COPY") => copies = true,
                _ if word.is(b"REPLACE") => replaces = true,
                _ if word.is(b"NATIVE") => {}
                _ if word.is(b"AUTH") => auth = takes(1)?,
                _ if word.is(b"AUTH2") => auth = takes(2)?,
                _ if word.is(b"KEYS") => {
                    if !words[KEY].bytes().is_empty() {
                        return Err(KEY_AND_KEYS);
                    }
                    keys = &words[at + 1..];
                    break;
                }
                _ => return Err(CmdError::Syntax),
            }
            at += if word.is(b"AUTH") {
                2
            } else if word.is(b"AUTH2") {
                3
            } else {
                1
            };
        }
        let timeout = match integer(words[5])? {
            ms @ 1.. => ms as u64,
            _ => 1000,
        };
        let db = integer(words[4])?;
        // Anything else is no address.
        let host = std::str::from_utf8(words[1].bytes()).unwrap_or("");
        let port = std::str::from_utf8(words[2].bytes()).unwrap_or("");
        Ok(Request {
            host,
            port: port.parse().unwrap_or(0),
            keys,
            db,
            timeout: Duration::from_millis(timeout),
            copies,
            replaces,
            auth,
        })
    }
}

/// A key, and what the other server gets of it.
struct Parcel<'a> {
    name: Arg<'a>,
    payload: Vec<u8>,
    /// In milliseconds; 0 for ever.
    ttl: i64,
}

/// Sends the keys that are there as native ones, and deletes those that the other server has taken,
/// unless they are copied.
fn send_native(ctx: &Ctx, args: Args<'_>) -> Done {
    let request = Request::parse(args)?;
    let mut parcels = Vec::new();
    for &name in request.keys {
        let expire_at = ctx.open(name, Mode::Unseen).expire_at_ms();
        if let Some(payload) = native_payload(ctx, name)? {
            let ttl = expire_at.map_or(0, |at| (at - ctx.now_ms()).max(1));
            parcels.push(Parcel { name, payload, ttl });
        }
    }
    if parcels.is_empty() {
        ctx.reply_simple(c"NOKEY");
        return Ok(());
    }
    if uses_tls(ctx) {
        return Err(CmdError::text_only(
            "ERR MIGRATE of native values does not support TLS, which 'tls-cluster yes' requires",
        ));
    }
    let mut peer = Peer::connect(request.host, request.port, request.timeout)?;
    let auth: Vec<&[u8]> = request.auth.iter().map(|word| word.bytes()).collect();
    if !auth.is_empty() {
        peer.add(&[&[b"AUTH".as_slice()][..], auth.as_slice()].concat());
    }
    peer.add(&[b"SELECT", request.db.to_string().as_bytes()]);
    let restore: &[u8] = if ctx.flags().cluster() {
        b"RESTORE-ASKING"
    } else {
        b"RESTORE"
    };
    let options: &[&[u8]] = if request.replaces { &[b"REPLACE"] } else { &[] };
    for Parcel { name, payload, ttl } in &parcels {
        let ttl = ttl.to_string();
        let words = [restore, name.bytes(), ttl.as_bytes(), payload.as_slice()];
        peer.add(&[&words[..], options].concat());
    }
    let mut replies = peer.send()?;
    // The first error is told; what the other server says to later keys counts all the same.
    let mut error = None;
    let mut note = |reply: Result<(), String>| {
        let is_good = reply.is_ok();
        if let Err(text) = reply {
            error.get_or_insert(text);
        }
        is_good
    };
    let mut is_ready = true;
    for _ in 0..usize::from(!auth.is_empty()) + 1 {
        is_ready &= note(replies.receive()?);
    }
    let mut taken = Vec::new();
    let mut broken = None;
    for Parcel { name, .. } in &parcels {
        match replies.receive() {
            // What is restored into another database than was asked for stays here, too.
            Ok(reply) => {
                if note(reply) && is_ready {
                    taken.push(*name);
                }
            }
            Err(why) => {
                broken = Some(why);
                break;
            }
        }
    }
    if !request.copies {
        delete(ctx, &taken);
    }
    let target = |text: String| {
        CmdError::Other(format!("ERR Target instance replied with error: {text}").into())
    };
    match error.map(target).or(broken) {
        Some(error) => ctx.reply_error(&error),
        None => ctx.reply_ok(),
    }
    Ok(())
}

/// Whether the server's own MIGRATE would speak TLS.
fn uses_tls(ctx: &Ctx) -> bool {
    ctx.setting("tls-cluster")
        .is_some_and(|text| text == b"yes")
}

/// Deletes what is on another server now, as one step.
fn delete(ctx: &Ctx, names: &[Arg<'_>]) {
    if names.len() > 1 {
        keyspace::begin_group();
    }
    let mut gone = Vec::new();
    for &name in names {
        let mut key = ctx.open(name, Mode::Write);
        let kind = key.kind();
        if kind == Kind::Absent {
            continue;
        }
        key.delete();
        key.signal_modified();
        ctx.notify(Class::GENERIC, c"del", name);
        if kind == Kind::Other {
            ctx.forget_in_aof(name);
        }
        gone.push(name);
    }
    if !gone.is_empty() {
        ctx.replicate(c"DEL", &gone);
    }
}
