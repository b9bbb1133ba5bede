//! What must not fail for want of room: Redis has done it to its keys already, and does not ask.
//!
//! Deletions, expiry, RENAME, MOVE need little: a new record at most, and in a group room in the undo log.
//! The pool keeps some space free for them. If even that does not suffice, an open group is made durable
//! in parts: a command that is wholly done has then not been atomic, but none of it is lost.

use super::Engine;
use crate::redis::{Level, log};
use pobj::{Error, Result};

impl Engine {
    /// Runs `f`, which leaves nothing behind when it fails, with all the room that can be found.
    pub(super) fn must<R>(&mut self, mut f: impl FnMut(&mut Engine) -> Result<R>) -> Result<R> {
        let mut outcome = f(self);
        if !is_full(&outcome) {
            return outcome;
        }
        self.pool.lend_spare();
        outcome = f(self);
        if is_full(&outcome) && self.pool.is_held() {
            log(
                Level::Warning,
                "the pool is too full for the undo log of a command of many steps: it is made durable in \
                 parts",
            );
            self.pool.release()?;
            outcome = f(self);
            self.pool.hold();
        }
        if !self.pool.is_held() {
            self.pool.keep_spare()?;
        }
        outcome
    }
}

fn is_full<R>(outcome: &Result<R>) -> bool {
    matches!(outcome, Err(Error::Full(_)))
}
