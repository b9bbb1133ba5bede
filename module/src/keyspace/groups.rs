//! Commands that change the pool in several steps, as one atomic and durable step.
//!
//! EXEC, scripts, RENAME onto a key, DEL of several keys: each part of them commits. A command
//! filter sees them begin (`before_command`) and opens a group, of which all commits are steps. It
//! ends, and is durable, before the next command of any client runs, before the server sends
//! anything to anybody, and at the latest when the event-loop cycle ends.
//!
//! Where the module does not see what is sent, a group ends with its command on servers from 7.2
//! on, which run a callback right after each. Redis 7.0 has none, and runs commands of clients that
//! were just unblocked, or that CLIENT PAUSE held back, *after* it has told of the end of the
//! cycle, and sends their replies at once, from any thread. No group is opened there then: each
//! step is durable on its own, so that no reply is ahead of it.
//!
//! | file | what |
//! |---|---|
//! | `groups/undo.rs` | a group for which the pool has no room fails as a whole |
//! | `groups/afterwards.rs` | native commands in a group that has failed already |

pub(super) mod afterwards;
pub(super) mod undo;

use super::{Engine, apply, durable};
use crate::redis::{Ctx, after_command, spares_replicas};
use afterwards::restore_keys;
use pobj::{Pool, Result};
use std::sync::atomic::{AtomicI64, Ordering};

/// The moment that the commands of the open group see, in Unix milliseconds; 0 until one asks.
static GROUP_TIME: AtomicI64 = AtomicI64::new(0);

/// The moment that a command sees, in Unix milliseconds: to all commands of EXEC or a script it is
/// the same.
pub(super) fn now(ctx: &Ctx, pool: &Pool) -> i64 {
    if !pool.in_group() {
        return ctx.now_ms();
    }
    match GROUP_TIME.load(Ordering::Relaxed) {
        0 => {
            let now = ctx.now_ms();
            GROUP_TIME.store(now, Ordering::Relaxed);
            now
        }
        seen => seen,
    }
}

/// A command of ours begins that takes several steps, which are one to everybody: all commits from
/// here to its end are a group, or belong to the one that is open.
pub fn begin_group() {
    durable("the last commands", |engine| {
        engine.watch_cycles();
        if !engine.store.pool.in_group() {
            engine.make_room();
            engine.open_group();
        }
        Ok(())
    });
}

/// The end of an event-loop cycle: replies are sent after this.
pub(super) fn cycle_ends() {
    end_group(true);
}

/// The event loop has slept; its next cycle begins.
pub(super) fn cycle_begins() {
    apply("a cycle", |engine| engine.event_loop.cycle_begins());
}

/// The open group is over, if there is one: with what else was committed, it is durable then.
pub(super) fn end_group(between_cycles: bool) {
    restore_keys();
    durable("the last commands", |engine| {
        if between_cycles {
            engine.event_loop.cycle_ends();
        }
        engine.life.end_reload();
        let ended = engine.end_group();
        let tidied = ended
            .and_then(|()| engine.write_notes())
            .and_then(|()| engine.keep_reserve());
        // Whatever has come of that: replies are sent after this.
        engine.sync();
        tidied
    });
}

/// After a command, and all that it ran, on servers that tell.
fn command_ends() {
    restore_keys();
    durable("the last commands", |engine| {
        let mut ended = engine.end_group();
        if !engine.event_loop.output_is_watched() {
            ended = ended.and_then(|()| engine.keep_reserve());
            engine.sync();
        }
        ended
    });
}

impl Engine {
    /// Opens a group, if it will end before anything is sent.
    pub(super) fn open_group(&mut self) {
        let ends_in_time = |engine: &Engine| {
            let events = &engine.event_loop;
            events.output_is_watched() || after_command(command_ends) || events.is_in_cycle()
        };
        if self.life.shows_keys() && ends_in_time(self) {
            GROUP_TIME.store(0, Ordering::Relaxed);
            self.store.begin_group();
        }
    }

    /// Ends the open group, if there is one. One of which nothing has come may be that of a command
    /// that CLIENT PAUSE holds back. The server does not show it to the filter again when it runs:
    /// the first command of ours in it opens its group then.
    pub(super) fn end_group(&mut self) -> Result<()> {
        if !self.store.pool.in_group() {
            return Ok(());
        }
        if !self.store.pool.has_steps() && spares_replicas() {
            self.event_loop.note_held_back();
        }
        self.store.end_group()
    }
}
