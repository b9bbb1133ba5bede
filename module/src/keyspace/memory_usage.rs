//! MEMORY USAGE on servers that may end at it.
//!
//! Redis 8.6 looks for the size of a module's value in the wrong place if its key has an expire
//! time, and may end. There the command filter makes each MEMORY USAGE a PM.USAGE, which asks the
//! server about native keys only. What the key holds when the filter sees the command says nothing:
//! in MULTI it runs later.

use crate::behaviour::Behaviour;
use crate::redis::{Arg, Ctx, FilterArgs, OwnedString, Propagate};
use std::sync::atomic::{AtomicBool, Ordering};

/// The command that is being looked at is the module's own question about a native key.
static ASKED_BY_US: AtomicBool = AtomicBool::new(false);

/// Puts PM.USAGE in the place of MEMORY USAGE, where that has to be. Gives what is to run.
#[inline]
pub(super) fn guard(args: FilterArgs<'_>) -> FilterArgs<'_> {
    if Behaviour::UsageOfExpiringValuesIsUnsafe.here() {
        replace(args)
    } else {
        args
    }
}

fn replace(args: FilterArgs<'_>) -> FilterArgs<'_> {
    let words = args.words();
    let [name, part, rest @ ..] = words.as_slice() else {
        return args;
    };
    let is_asked = name.is(b"memory") && part.is(b"usage") && !rest.is_empty();
    if !is_asked || ASKED_BY_US.load(Ordering::Relaxed) {
        return args;
    }
    let rest: Vec<Vec<u8>> = rest.iter().map(|word| word.bytes().to_vec()).collect();
    let rest = rest.iter().map(Vec::as_slice);
    let words: Vec<&[u8]> = [b"PM.USAGE".as_slice()].into_iter().chain(rest).collect();
    args.replace_by(&words)
}

/// Replies what MEMORY USAGE tells of a native key; the arguments are those that follow USAGE.
pub fn of_native(ctx: &Ctx, args: &[Arg<'_>]) {
    let usage = OwnedString::new(b"USAGE");
    let words = [&[usage.arg()], args].concat();
    ASKED_BY_US.store(true, Ordering::Relaxed);
    ctx.forward(c"MEMORY", &words, Propagate::Nowhere);
    ASKED_BY_US.store(false, Ordering::Relaxed);
}
