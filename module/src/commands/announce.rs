//! What a change of a key tells the rest of the server, in one order: WATCH and client tracking,
//! those who listen for events, the replicas.
//!
//! Clients that are blocked on a key need not be told: the server sees a key come to be.

use crate::keyspace::PmKey;
use crate::redis::{Arg, Class, Ctx};
use std::ffi::CStr;

/// Tells that the key has changed, the event of the type's `class` and, if the key is gone, that it
/// is. For what is replicated otherwise, or not at all.
pub(super) fn announce(ctx: &Ctx, key: &PmKey<'_>, class: Class, event: &CStr) {
    key.signal();
    ctx.notify(class, event, key.name());
    if !key.exists() {
        ctx.notify(Class::GENERIC, c"del", key.name());
    }
}

/// Deletes the key, whatever it holds, and tells that it is gone.
pub(super) fn delete(ctx: &Ctx, key: &mut PmKey<'_>) {
    key.delete();
    key.signal();
    ctx.notify(Class::GENERIC, c"del", key.name());
}

/// What is to be stored under the key is empty: whatever is there goes, and replicas are sent the
/// command, with its words.
pub(super) fn clear(ctx: &Ctx, key: &mut PmKey<'_>, (command, words): (&CStr, &[Arg<'_>])) {
    if key.occupied() {
        delete(ctx, key);
        ctx.replicate(command, words);
    }
}

/// [`announce`], and the command that replicas are sent, with its words.
pub(super) fn announce_and_replicate(
    ctx: &Ctx,
    key: &PmKey<'_>,
    (class, event): (Class, &CStr),
    (command, words): (&CStr, &[Arg<'_>]),
) {
    announce(ctx, key, class, event);
    ctx.replicate(command, words);
}
