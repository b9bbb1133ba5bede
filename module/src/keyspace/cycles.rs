//! The event-loop cycles, watched only while there is something to do at their ends.
//!
//! Redis makes a context and a temporary client for each end of a cycle that it tells a module of:
//! some 1,900 instructions, a fifth of what a cycle with one small command takes. So the module
//! listens only until the keyspace is filled, and while a group may be open, memory waits to be
//! reclaimed, or the emergency reserve is lent; and some time longer. Meanwhile the command filter
//! and the server's cron look whether to listen again. Where the module can neither look at what is
//! sent nor be called after commands, as on replicas, groups have no other end than that of a
//! cycle, so it always listens.

use super::events::on_event;
use super::{ENGINE, Engine, durable};
use crate::redis::{Ctx, EventKind, server_flags, subscribe};
use std::time::Duration;

/// How long there must have been nothing to do.
const QUIET: Duration = Duration::from_millis(100);

/// What is known of the cycles.
#[derive(Default)]
pub(crate) struct Cycles {
    /// Redis tells of them.
    watched: bool,
    /// There was something to do since the last look.
    busy: bool,
    /// A timer will look whether there still is.
    timer: bool,
}

impl Engine {
    /// True if the next cycles may end unseen, or are seen.
    #[inline]
    pub(super) fn cycles_are_seen_to(&self) -> bool {
        self.cycles.watched || self.is_quiet()
    }

    /// True if there is nothing to do at the end of a cycle.
    #[inline]
    fn is_quiet(&self) -> bool {
        (self.output_watched || self.jobs_run)
            && self.filled
            && !self.reloading
            && !self.store.pool.is_held()
            && !self.store.has_garbage()
            && self.store.pool.has_reserve()
    }

    /// Has Redis tell of the cycles from now on, as there is something to do at their ends.
    pub(super) fn watch_cycles(&mut self) {
        self.cycles.busy = true;
        if !self.cycles.watched {
            self.cycles.watched = true;
            subscribe(EventKind::EventLoop, on_event);
        }
    }
}

/// At the end of a cycle: looks a while later whether Redis need not tell of them any more.
pub(super) fn rest_later(ctx: &Ctx) {
    let starts = ENGINE
        .with(|engine| engine.is_quiet() && !std::mem::replace(&mut engine.cycles.timer, true));
    if starts == Ok(true) {
        ctx.start_timer(QUIET, 0, |ctx: &Ctx, _| rest(ctx));
    }
}

/// Timers do not run while Redis tells of an event, so this is where a subscription can end.
fn rest(ctx: &Ctx) {
    let ends = ENGINE.with(|engine| {
        engine.cycles.timer = false;
        engine.jobs_run &= server_flags().master();
        let was_busy = std::mem::take(&mut engine.cycles.busy);
        let ends = engine.cycles.watched && !was_busy && engine.is_quiet();
        engine.cycles.watched &= !ends;
        ends
    });
    if ends == Ok(true) {
        ctx.end_subscription(EventKind::EventLoop);
    }
}

/// The server's cron, or something rare has happened: whatever comes of it is seen to.
pub(super) fn look_again() {
    durable("the last commands", |engine| {
        engine.sync();
        if !engine.cycles_are_seen_to() {
            engine.watch_cycles();
        }
        Ok(())
    });
}
