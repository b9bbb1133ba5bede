//! Native commands in whose place the command filter has one of ours run.
//!
//! | native | ours | where | why |
//! |---|---|---|---|
//! | MEMORY USAGE | PM.USAGE | Redis from 8.3 on | Redis 8.6 looks for the size of a module's value in the wrong place if its key has an expire time, and may end |
//! | DUMP | PM.EXPORT | with `rdb native` | the payload is to be read without the module |
//!
//! What the key holds when the filter sees the command says nothing: in MULTI it runs later. So
//! ours is run in any case, and asks the server about native keys.

use crate::behaviour::Behaviour;
use crate::redis::{Arg, Ctx, FilterArgs, Propagate, stands_in, translates_stream};
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};

/// The command that is being looked at is the module's own question about a native key.
static ASKED_BY_US: AtomicBool = AtomicBool::new(false);

/// Gives what is to run.
#[inline]
pub(super) fn substitute(args: FilterArgs<'_>) -> FilterArgs<'_> {
    let usage = Behaviour::UsageOfExpiringValuesIsUnsafe.here();
    // The module's function in the place of the server's does it by itself.
    let dump = translates_stream() && !stands_in();
    if usage || dump {
        replace(args, usage, dump)
    } else {
        args
    }
}

fn replace(args: FilterArgs<'_>, usage: bool, dump: bool) -> FilterArgs<'_> {
    let is_one = args
        .get(0)
        .is_some_and(|name| usage && name.is(b"memory") || dump && name.is(b"dump"));
    if !is_one || ASKED_BY_US.load(Ordering::Relaxed) {
        return args;
    }
    let words = args.words();
    let (own, rest): (&[u8], &[Arg<'_>]) = match words.as_slice() {
        [_, key] if dump && words[0].is(b"dump") => (b"PM.EXPORT", std::slice::from_ref(key)),
        [_, part, rest @ ..] if usage && part.is(b"usage") && !rest.is_empty() => {
            (b"PM.USAGE", rest)
        }
        _ => return args,
    };
    let rest: Vec<Vec<u8>> = rest.iter().map(|word| word.bytes().to_vec()).collect();
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
