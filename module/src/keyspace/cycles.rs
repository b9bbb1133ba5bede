//! The event-loop cycles, watched only while there is something to do at their ends.
//!
//! Redis makes a context and a temporary client for each end of a cycle that it tells a module of:
//! some 1,900 instructions, a fifth of what a cycle with one small command takes. So the module
//! listens only until the keyspace is filled, and while a group may be open, memory waits to be
//! reclaimed, or the emergency reserve is lent; and some time longer. Meanwhile the command filter
//! and the server's cron look whether to listen again. Where the module can neither look at what is
//! sent nor be called after commands, as on replicas, groups have no other end than that of a
//! cycle, so it always listens.

use super::{ENGINE, Engine, apply, durable};
use crate::redis::{Ctx, Event, EventKind, server_flags, spares_replicas, subscribe};
use std::time::Duration;

/// How long there must have been nothing to do.
const QUIET: Duration = Duration::from_millis(100);
/// Runs of the server's cron after which nothing is left of what CLIENT PAUSE has held back.
const CRONS: u8 = 3;

/// The event loop, as far as it is seen, and what waits for it.
#[derive(Default)]
pub(crate) struct EventLoop {
    /// Who hears of its cycles.
    listener: Option<Listener>,
    listening: Listening,
    phase: Phase,
    output: Sight,
    /// The server runs jobs right after commands, as masters do from 7.2 on: groups end there.
    jobs_run: bool,
    /// CLIENT PAUSE may hold commands of several steps back: so many runs of the server's cron
    /// after its end, none is left.
    held_back: u8,
    /// Which timers run.
    timers: [bool; Timer::COUNT],
}

/// Who hears of the cycles.
type Listener = fn(&Ctx, Event);

/// Whether Redis tells of its cycles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Listening {
    /// It does not.
    #[default]
    No,
    /// It does, and there was nothing to do since the last look.
    Idle,
    /// It does, and there was.
    Busy,
}

/// Where the event loop is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// In a cycle, whose end will be told of if Redis tells of cycles.
    #[default]
    InCycle,
    /// Between two cycles: replies are sent, and no end of a cycle is to come first.
    Between,
}

/// Whether the module sees what the server sends, on its main thread, before it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sight {
    /// The server does not let it.
    #[default]
    Never,
    /// It could, but other threads, or TLS, send as the server is set.
    NotNow,
    /// All of it: groups end, and commits are durable, before anything is sent.
    All,
}

/// What has a timer of its own, that runs once at a time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Timer {
    /// To look whether Redis still has to tell of its cycles.
    Listening,
    /// To reclaim memory.
    Reclaiming,
    /// To compact.
    Compacting,
    /// To remove fields of hashes whose time has come.
    Expiring,
    /// To give up the import of hash slots.
    GivingUp,
}

impl Timer {
    /// How many there are.
    const COUNT: usize = Timer::GivingUp as usize + 1;
}

impl EventLoop {
    /// Whether groups end, and commits are durable, before anything is sent, whenever that is.
    #[inline]
    pub(crate) fn output_is_watched(&self) -> bool {
        self.output == Sight::All
    }

    /// Says who hears of its cycles.
    pub(super) fn tell(&mut self, listener: Listener) {
        self.listener = Some(listener);
    }

    /// The module can look at what the server sends, or cannot.
    pub(super) fn can_see_output(&mut self, can: bool) {
        self.output = if can { Sight::NotNow } else { Sight::Never };
    }

    /// All that the server sends is in sight now, or not; gives whether output is watched.
    pub(super) fn watch_output(&mut self, in_sight: bool) -> bool {
        self.output = match self.output {
            Sight::Never => Sight::Never,
            _ if in_sight => Sight::All,
            _ => Sight::NotNow,
        };
        self.output_is_watched()
    }

    /// The server runs jobs after commands from now on, or not any more.
    pub(super) fn jobs_run(&mut self, run: bool) {
        self.jobs_run = run;
    }

    /// A cycle begins.
    pub(super) fn cycle_begins(&mut self) {
        self.phase = Phase::InCycle;
    }

    /// A cycle ends: replies are sent next.
    pub(super) fn cycle_ends(&mut self) {
        self.phase = Phase::Between;
    }

    /// Whether the end of a cycle comes before anything is sent.
    pub(super) fn is_in_cycle(&self) -> bool {
        self.phase == Phase::InCycle
    }

    /// A group that ends had no steps: CLIENT PAUSE may hold its command back.
    pub(super) fn note_held_back(&mut self) {
        self.held_back = CRONS;
    }

    /// Whether a command of several steps may run that no filter sees.
    #[inline]
    pub(super) fn may_be_held_back(&self) -> bool {
        self.held_back > 0
    }

    /// A run of the server's cron: what CLIENT PAUSE has held back has run some time after its end.
    pub(super) fn forget_held_back(&mut self) {
        if self.held_back > 0 && !spares_replicas() {
            self.held_back -= 1;
        }
    }

    /// Calls `then` once, after `delay`, unless this timer runs already.
    pub(super) fn once<F>(&mut self, ctx: &Ctx, timer: Timer, delay: Duration, then: F)
    where
        F: Fn(&Ctx) + Copy + 'static,
    {
        if std::mem::replace(&mut self.timers[timer as usize], true) {
            return;
        }
        ctx.start_timer(delay, timer as usize, move |ctx: &Ctx, timer| {
            apply("a timer", |engine| engine.event_loop.timers[timer] = false);
            then(ctx);
        });
    }
}

impl Engine {
    /// True if the next cycles may end unseen, or are seen.
    #[inline]
    pub(super) fn cycles_are_seen_to(&self) -> bool {
        self.event_loop.listening != Listening::No || self.is_quiet()
    }

    /// True if there is nothing to do at the end of a cycle.
    #[inline]
    fn is_quiet(&self) -> bool {
        (self.event_loop.output_is_watched() || self.event_loop.jobs_run)
            && self.life.shows_keys()
            && !self.life.reloads()
            && !self.store.pool.in_group()
            && !self.store.has_garbage()
            && !self.has_unwritten_notes()
            && self.store.pool.has_reserve()
    }

    /// Has Redis tell of the cycles from now on, as there is something to do at their ends.
    pub(super) fn watch_cycles(&mut self) {
        let was = std::mem::replace(&mut self.event_loop.listening, Listening::Busy);
        if was == Listening::No {
            subscribe(EventKind::EventLoop, hear);
        }
    }
}

/// Hands an event of the event loop on.
fn hear(ctx: &Ctx, event: Event) {
    if let Ok(Some(listener)) = ENGINE.with(|engine| engine.event_loop.listener) {
        listener(ctx, event);
    }
}

/// At the end of a cycle: looks a while later whether Redis need not tell of them any more.
pub(super) fn rest_later(ctx: &Ctx) {
    apply("the event loop", |engine| {
        if engine.is_quiet() {
            engine.event_loop.once(ctx, Timer::Listening, QUIET, rest);
        }
    });
}

/// Timers do not run while Redis tells of an event, so this is where a subscription can end.
fn rest(ctx: &Ctx) {
    let ends = ENGINE.with(|engine| {
        engine.event_loop.jobs_run &= server_flags().master();
        let (listening, is_quiet) = (engine.event_loop.listening, engine.is_quiet());
        engine.event_loop.listening = match listening {
            Listening::Idle if is_quiet => Listening::No,
            Listening::Busy => Listening::Idle,
            other => other,
        };
        listening == Listening::Idle && is_quiet
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
