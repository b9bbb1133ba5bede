//! What must not fail for want of room: Redis has done it to its keys already, and cannot be
//! refused.
//!
//! Deletions, expiry, RENAME, MOVE need little: a new record at most, and in a group room in the
//! undo log. The pool keeps some space free for them. If even that does not suffice, an open group
//! is made durable in parts: a command that is wholly done has then not been atomic, but none of it
//! is lost. After a group that was rolled back, each is a step of its own.

use crate::Store;
use pobj::{Error, Result};

/// Runs `f` for the owner of a store, with all the room that can be found; `f` leaves nothing
/// behind when it fails.
///
/// # Errors
/// What `f` fails with in the end.
#[inline]
pub fn must<T: AsMut<Store>, R>(
    owner: &mut T,
    mut f: impl FnMut(&mut T) -> Result<R>,
) -> Result<R> {
    let outcome = f(owner);
    if is_full(&outcome) {
        return with_more_room(owner, &mut f);
    }
    outcome
}

/// [`must`] where there was no room.
#[cold]
fn with_more_room<T: AsMut<Store>, R>(
    owner: &mut T,
    f: &mut dyn FnMut(&mut T) -> Result<R>,
) -> Result<R> {
    owner.as_mut().pool.lend_reserve();
    let mut outcome = f(owner);
    if is_full(&outcome) && owner.as_mut().pool.in_group() {
        let store = owner.as_mut();
        let is_refused = store.pool.refuses_group();
        if !is_refused {
            store.parted = true;
            store.keep_group();
        }
        store.end_group()?;
        outcome = f(owner);
        let store = owner.as_mut();
        store.go_on_with_group();
        if is_refused {
            store.pool.refuse_group();
        }
    }
    let pool = &mut owner.as_mut().pool;
    if !pool.in_group() {
        pool.keep_reserve()?;
    }
    outcome
}

impl AsMut<Store> for Store {
    fn as_mut(&mut self) -> &mut Store {
        self
    }
}

impl Store {
    /// Runs `f` with all the room that can be found: see [`must`].
    pub(crate) fn must<R>(&mut self, f: impl FnMut(&mut Store) -> Result<R>) -> Result<R> {
        must(self, f)
    }
}

fn is_full<R>(outcome: &Result<R>) -> bool {
    matches!(outcome, Err(Error::Full(_)))
}
