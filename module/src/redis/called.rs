//! The database of the command that this module calls, which `home.rs` asks for.

use std::sync::atomic::{AtomicI32, Ordering};

/// No database: no command is being called.
const NONE: i32 = -1;

static CALLED: AtomicI32 = AtomicI32::new(NONE);

/// Calls a command in database `db`.
#[inline]
pub(super) fn in_database<R>(db: i32, call: impl FnOnce() -> R) -> R {
    let outer = CALLED.swap(db, Ordering::Relaxed);
    let result = call();
    CALLED.store(outer, Ordering::Relaxed);
    result
}

/// The database of the command that is being called.
#[inline]
pub(super) fn database() -> Option<i32> {
    Some(CALLED.load(Ordering::Relaxed)).filter(|&db| db != NONE)
}
