//! Native commands in whose place the command filter has one of ours run.
//!
//! | native | ours | where | why |
//! |---|---|---|---|
//! | MEMORY USAGE | PM.USAGE | Redis from 8.3 on | Redis 8.6 looks for the size of a module's value in the wrong place if its key has an expire time, and may end |
//! | DUMP | PM.EXPORT | with `rdb native` | the payload is to be read without the module |
//! | MIGRATE | PM.MIGRATE with NATIVE | with `rdb native`, not in a cluster | likewise, on the other server |
//!
//! What the key holds when the filter sees the command says nothing: in MULTI it runs later. So
//! ours is run in any case, and asks the server about native keys.

use super::plain_stream::dumps_natively;
use crate::behaviour::Behaviour;
use crate::redis::{Arg, Ctx, FilterArgs, Propagate, Reply, server_flags, stands_in};
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};

/// The words of MIGRATE before its options: host, port, key, database, timeout.
const MIGRATE_WORDS: usize = 5;

/// The command that is being looked at is the module's own question about a native key.
static ASKED_BY_US: AtomicBool = AtomicBool::new(false);

/// Gives what is to run.
#[inline]
pub(super) fn substitute(args: FilterArgs<'_>) -> FilterArgs<'_> {
    let usage = Behaviour::UsageOfExpiringValuesIsUnsafe.here();
    // The module's function in the place of the server's does it by itself.
    let native = dumps_natively() && !stands_in();
    if usage || native {
        replace(args, usage, native)
    } else {
        args
    }
}

fn replace(args: FilterArgs<'_>, usage: bool, native: bool) -> FilterArgs<'_> {
    let is_one = args.get(0).is_some_and(|name| {
        usage && name.is(b"memory") || native && (name.is(b"dump") || name.is(b"migrate"))
    });
    if !is_one || ASKED_BY_US.load(Ordering::Relaxed) {
        return args;
    }
    let words = args.words();
    // Our name, and how many words of the native command it stands for.
    let (own, begun): (&[u8], usize) = match words.as_slice() {
        [name, _] if name.is(b"dump") => (b"PM.EXPORT", 1),
        [name, part, _, ..] if name.is(b"memory") && part.is(b"usage") => (b"PM.USAGE", 2),
        [name, rest @ ..] if name.is(b"migrate") && rest.len() >= MIGRATE_WORDS => {
            if server_flags().cluster() {
                return args;
            } else {
                (b"PM.MIGRATE", 1)
            }
        }
        _ => return args,
    };
    let mut rest: Vec<Vec<u8>> = (words[begun..].iter())
        .map(|word| word.bytes().to_vec())
        .collect();
    if own == b"PM.MIGRATE" {
        rest.insert(MIGRATE_WORDS, b"NATIVE".to_vec());
    }
    let rest = rest.iter().map(Vec::as_slice);
    let words: Vec<&[u8]> = [own].into_iter().chain(rest).collect();
    args.replace_by(&words)
}

/// Replies what a native command tells of a native key.
pub fn ask_native(ctx: &Ctx, command: &CStr, args: &[Arg<'_>]) {
    ASKED_BY_US.store(true, Ordering::Relaxed);
    ctx.forward(command, args, Propagate::Nowhere);
    ASKED_BY_US.store(false, Ordering::Relaxed);
}

/// The payload that the server's own DUMP gives of a native key.
pub fn native_payload(ctx: &Ctx, name: Arg<'_>) -> Option<Vec<u8>> {
    ASKED_BY_US.store(true, Ordering::Relaxed);
    let reply = ctx.call(c"DUMP", &[name.bytes()]);
    ASKED_BY_US.store(false, Ordering::Relaxed);
    match reply {
        Some(Reply::Text(payload)) => Some(payload),
        _ => None,
    }
}
