//! The event `expire` of a native SET, on Redis 7.0: its key is not to be looked at.
//!
//! There, a look-up always deletes a key whose time has come, and tells the replicas. SET can give
//! a time that is over already, and raises its event while it runs: a handler that looked the key
//! up would have replicas be told of the key's end first, and of SET after that, and they would
//! keep what is gone here. What SET has made is a native key, so there is nothing to look at.
//!
//! But the event does not say whose it is. SET raises `set` just before, of the same key; so that
//! event is subscribed to as soon as a SET comes by that could be one. It costs a callback for each
//! event of strings.

use crate::redis::{Arg, Class, Ctx, FilterArgs, is_own_event, knows_unseen, module_ctx};
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use store::number::parse_i64;

/// The words of SET before its options.
const WORDS: usize = 3;
/// From so many milliseconds on, a time to live does not end while its command runs.
const SHORT_MS: i64 = 1000;

/// The event `set` is subscribed to.
static LISTENS: AtomicBool = AtomicBool::new(false);
/// Where the name lies of the key that a native command has just set; 0 if something else came.
static JUST_SET: AtomicUsize = AtomicUsize::new(0);

fn place(name: Arg<'_>) -> usize {
    name.bytes().as_ptr().addr()
}

/// A native SET is about to run, or is queued.
pub(super) fn look_at(args: &FilterArgs<'_>) {
    if knows_unseen() || LISTENS.load(Ordering::Relaxed) || !may_give_a_past_time(args) {
        return;
    }
    let Some(ctx) = module_ctx() else { return };
    LISTENS.store(true, Ordering::Relaxed);
    ctx.subscribe_keyspace(Class::STRING, on_string_event);
}

fn may_give_a_past_time(args: &FilterArgs<'_>) -> bool {
    let mut options = (WORDS..args.len()).filter_map(|at| Some((args.get(at)?, args.get(at + 1)?)));
    options.any(|(word, time)| {
        let is_short = || parse_i64(time.bytes()).is_none_or(|ms| ms < SHORT_MS);
        word.is(b"EXAT") || word.is(b"PXAT") || word.is(b"PX") && is_short()
    })
}

fn on_string_event(_: &Ctx, _class: Class, event: &CStr, name: Arg<'_>) {
    let is_native_set = event.to_bytes() == b"set" && !is_own_event(event);
    let set = if is_native_set { place(name) } else { 0 };
    JUST_SET.store(set, Ordering::Relaxed);
}

/// Something else happens: what comes is not of the last SET.
#[inline]
pub(super) fn forget() {
    JUST_SET.store(0, Ordering::Relaxed);
}

/// Whether an event of a key follows the event of a native SET that has just made the key.
#[inline]
pub(super) fn is_of_set(name: Arg<'_>) -> bool {
    let set = JUST_SET.swap(0, Ordering::Relaxed);
    set != 0 && set == place(name)
}
