//! Where room comes from.
//!
//! Memory of dead records is reclaimed in the background, and, where little is left, before a
//! change. A command that finds no room all the same waits for some: keys are evicted, memory of
//! the open group is reclaimed, or scattered room is gathered; then it is tried again.

use super::cycles::Timer;
use super::{ENGINE, Engine, compact, durable, evict, failure, undo};
use crate::redis::{Ctx, Latency, OnFailure, server_flags};
use crate::report;
use std::time::{Duration, Instant};

/// How long the memory of dead records may take of one event-loop cycle, and of one tick of the
/// timer that runs while there are some.
const RECLAIM_PER_CYCLE: Duration = Duration::from_micros(100);
const RECLAIM_TICK: Duration = Duration::from_micros(200);
/// From one tick to the next.
const TICK: Duration = Duration::from_millis(1);

/// How long a command waits that finds no room.
const ROOM_BUDGET: Duration = Duration::from_millis(50);
/// Of that, how long memory is reclaimed before the command is tried again.
const RECLAIM_SLICE: Duration = Duration::from_millis(5);
/// How long a command of a master waits, which cannot be told that there is none.
const FOLLOWING_BUDGET: Duration = Duration::from_secs(60);
/// How long a command waits while keys are evicted: each is progress, however busy the machine is.
const EVICTING_BUDGET: Duration = Duration::from_secs(1);

/// When memory is reclaimed before a change, rather than in the background.
struct Urgency {
    /// If less than this fraction of the pool is free.
    below: u64,
    /// How long at most.
    budget: Duration,
}

/// For clients, who can be told that the pool is full.
const SERVING: Urgency = Urgency {
    below: 8,
    budget: Duration::from_millis(2),
};

/// To follow a master, or to load a file, which cannot be told: what was there before goes first.
const FOLLOWING: Urgency = Urgency {
    below: 2,
    budget: Duration::from_secs(60),
};

impl Engine {
    /// Reclaims memory for about `budget`, but not while a group is open.
    pub(crate) fn reclaim(&mut self, budget: Duration) {
        let start = Instant::now();
        while let Err(error) = self.store.reclaim(budget.saturating_sub(start.elapsed())) {
            report::failure("memory of a deleted key is lost", &error);
            if start.elapsed() >= budget {
                break;
            }
        }
    }

    /// Reclaims memory before a change, if little is left and there is some to reclaim.
    pub(super) fn make_room(&mut self) {
        let usage = self.store.pool.usage();
        let is_urgent =
            |urgency: &Urgency| usage.size.saturating_sub(usage.used) < usage.size / urgency.below;
        if !self.store.has_garbage() || !is_urgent(&FOLLOWING) {
            return;
        }
        if server_flags().loading() || failure::follows() {
            self.reclaim(FOLLOWING.budget);
        } else if is_urgent(&SERVING) {
            self.reclaim(SERVING.budget);
        }
    }
}

/// A cycle ends: memory is reclaimed for a short time.
pub(super) fn cycle_ends(ctx: &Ctx) {
    reclaim(ctx, RECLAIM_PER_CYCLE);
}

/// Reclaims memory, and sees to it that the event loop does not sleep for long while there is more.
fn reclaim(ctx: &Ctx, budget: Duration) {
    let starts_timer = ENGINE.with(|engine| {
        engine.reclaim(budget);
        engine.store.has_garbage() && engine.event_loop.start(Timer::Reclaiming)
    });
    if starts_timer == Ok(true) {
        ctx.start_timer(TICK, 0, |ctx: &Ctx, _| {
            durable("reclaiming", |engine| {
                engine.event_loop.has_run(Timer::Reclaiming);
                Ok(())
            });
            reclaim(ctx, RECLAIM_TICK);
        });
    }
}

/// After a command has found no room: finds some. True if the command, which has waited for so long
/// already, is to be tried again.
fn find_room(ctx: &Ctx, waited: Duration) -> bool {
    let _latency = Latency::of(c"pm-find-room");
    let (budget, evicting_budget) = if failure::follows() {
        (FOLLOWING_BUDGET, FOLLOWING_BUDGET)
    } else {
        (ROOM_BUDGET, EVICTING_BUDGET)
    };
    if waited >= evicting_budget {
        return false;
    }
    let gained = ENGINE.with(|engine| {
        let store = &mut engine.store;
        store.pool.is_held() && (store.reclaim_in_group() || store.pool.lend_to_group())
    });
    if gained == Ok(true) || evict::evict(ctx) {
        return true;
    }
    if waited >= budget {
        return false;
    }
    // What is dead gives its room back before anything is moved.
    let reclaimed = ENGINE.with(|engine| {
        let before = engine.store.pool.usage().unused();
        engine.reclaim(RECLAIM_SLICE);
        engine.store.pool.usage().unused() > before
    });
    reclaimed == Ok(true) || compact::gather_some(ctx)
}

/// What becomes of a command that fails.
pub static ON_FAILURE: OnFailure = OnFailure {
    find_room,
    refused: undo::refuse,
    refuses: undo::refuses,
    failed: failure::of_command,
};
