//! Where room comes from.
//!
//! Memory of dead records is reclaimed in the background, and, where little is left, before a
//! change. A command that finds no room all the same waits for some: keys are evicted, memory of
//! the open group is reclaimed, or scattered room is gathered; then it is tried again.

use super::cycles::Timer;
use super::following::follows;
use super::groups::undo;
use super::rest::writes_are_paused;
use super::{ENGINE, Engine, apply, compact, durable, evict, failure, undurable};
use crate::error::CmdError;
use crate::redis::{Ctx, Latency, OnFailure, Requests, Tried, server_flags};
use crate::report;
use pobj::Result;
use std::time::{Duration, Instant};
use store::reclaim::is_passing;

/// How long the memory of dead records may take of one event-loop cycle, and of one tick of the
/// timer that runs while there are some: there twice so long if no request waits.
const RECLAIM_PER_CYCLE: Duration = Duration::from_micros(100);
/// From one tick to the next; and from one look to the next while it has to rest.
const TICK: Duration = Duration::from_millis(1);
const REST: Duration = Duration::from_millis(10);

/// How long a command waits that finds no room.
const ROOM_BUDGET: Duration = Duration::from_millis(50);
/// Of that, how long memory is reclaimed before the command is tried again.
const RECLAIM_SLICE: Duration = Duration::from_millis(5);
/// How long a command of a master waits, which cannot be told that there is none.
const FOLLOWING_BUDGET: Duration = Duration::from_secs(60);
/// How long a command waits while keys are evicted: each is progress, however busy the machine is.
const EVICTING_BUDGET: Duration = Duration::from_secs(1);
/// How often a command is tried again.
const TRIES_MAX: u32 = 32;
/// What small objects need in one piece, if there is no other of their size.
const PAGE: u64 = 64 << 10;
/// After so many tries small objects find no room as it is scattered; large ones, after one.
const SCATTERED_FROM: u32 = 4;
/// Bytes that a command of a group is tried again for, at least.
const GROUP_MIN: u64 = 1 << 20;

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

/// To follow a master, or to load a file, which cannot be told: what was there before goes first,
/// of a file all of it, of a master until there is as much as clients have.
const FOLLOWING: Urgency = Urgency {
    below: 2,
    budget: Duration::from_secs(60),
};

impl Engine {
    /// Reclaims memory for about `budget`, but not while a group is open, nor while nothing can be
    /// made durable.
    pub(crate) fn reclaim(&mut self, budget: Duration) {
        let start = Instant::now();
        // What fails for now is tried again behind the others: each of them once.
        let (mut left, _) = self.store.backlog();
        while let Err(error) = self.store.reclaim(budget.saturating_sub(start.elapsed())) {
            if is_passing(&error) {
                left = left.saturating_sub(1);
            } else {
                report::failure("memory of a deleted key is lost", &error);
            }
            if left == 0 || start.elapsed() >= budget {
                break;
            }
        }
    }

    /// Whether less is free than this calls for.
    fn is_scarce(&self, urgency: &Urgency) -> bool {
        let usage = self.store.pool.usage();
        usage.size.saturating_sub(usage.used) < usage.size / urgency.below
    }

    /// Reclaims memory before a change, if little is left and there is some to reclaim.
    pub(super) fn make_room(&mut self) {
        if !self.store.has_garbage() || !self.is_scarce(&FOLLOWING) {
            return;
        }
        if server_flags().loading() {
            self.reclaim(FOLLOWING.budget);
        } else if follows() {
            // What comes next finds room; a command that needs more waits for it (`find_room`).
            let start = Instant::now();
            let goes_on = || start.elapsed() < FOLLOWING.budget;
            while self.is_scarce(&SERVING) && goes_on() && self.reclaim_gains(SERVING.budget) {}
        } else if self.is_scarce(&SERVING) && !writes_are_paused() {
            self.reclaim(SERVING.budget);
        }
    }
}

/// Reclaims memory for a short time, unless that has to rest, and sees to it that the event loop
/// does not sleep for long while there is more. At the end of each cycle.
pub(super) fn reclaim_some(ctx: &Ctx) {
    let is_paused = writes_are_paused();
    apply("reclaiming", |engine| {
        if !is_paused {
            engine.reclaim(RECLAIM_PER_CYCLE);
        }
        let rests = is_paused || engine.store.pool.failure().is_some();
        if engine.store.has_garbage() {
            let delay = if rests { REST } else { TICK };
            engine.event_loop.once(ctx, Timer::Reclaiming, delay, tick);
        }
    });
}

/// A tick of the timer that reclaims.
fn tick(ctx: &Ctx) {
    reclaim_some(ctx);
    if Requests::of_event_loop().wait() == Some(false) {
        reclaim_some(ctx);
    }
}

impl Engine {
    /// Ends a group that a single command has left open which had the server run another one: the
    /// next try begins one of its own, so what this one got would be of no use to it.
    fn end_group_of_try(&mut self) -> Result<()> {
        if server_flags().in_multi_or_script() || !self.store.pool.in_group() {
            return Ok(());
        }
        self.store.pool.end_group()?;
        self.store.pool.keep_reserve()
    }

    /// Finds room within the open group of EXEC or a script: what the group itself has given up,
    /// or, once, a part of the reserve.
    fn find_in_group(&mut self, enough: u64) -> bool {
        let store = &mut self.store;
        store.pool.in_group()
            && (store.reclaim_in_group(enough.max(GROUP_MIN)) || store.pool.lend_to_group())
    }

    /// Reclaims memory of what is gone for so long; whether that gained some.
    pub(super) fn reclaim_gains(&mut self, budget: Duration) -> bool {
        let before = self.store.pool.usage().unused();
        self.reclaim(budget);
        self.store.pool.usage().unused() > before
    }

    /// Whether an object of so many bytes finds no room in the pool even if nothing else is there.
    fn never_holds(&self, bytes: u64) -> bool {
        let usage = self.store.pool.usage();
        bytes > usage.capacity.saturating_sub(usage.reserved) && !self.may_grow()
    }
}

/// The bytes that are to be found before a command is tried again that has lacked so many last: a
/// half more each time. So the tries are few, whatever a command needs in all, and it takes no more
/// from others than half as much as it needs. From [`TRIES_MAX`] on, which only a replica comes to,
/// it stays what it is.
fn enough(lacked: u64, again: u32) -> u64 {
    (0..again.min(TRIES_MAX)).fold(lacked, |bytes, _| bytes.saturating_add(bytes / 2))
}

/// Gathers room for an object of so many bytes, if there is enough of it. False if there is some in
/// one piece already, or it cannot be gathered within [`ROOM_BUDGET`].
fn gather_for(ctx: &Ctx, bytes: u64) -> bool {
    let start = Instant::now();
    let usage = || ENGINE.with(|engine| engine.store.pool.usage());
    let is_scattered = || usage().is_ok_and(|usage| usage.largest_free < bytes);
    if !is_scattered() || usage().is_ok_and(|usage| usage.unused() < bytes) {
        return false;
    }
    while is_scattered() {
        if start.elapsed() >= ROOM_BUDGET || !compact::gather_some(ctx) {
            return false;
        }
    }
    true
}

/// After a command has found no room: finds some. True if it is to be tried again.
fn find_room(ctx: &Ctx, Tried { waited, again }: Tried) -> bool {
    let _latency = Latency::of(c"pm-find-room");
    let (budget, evicting_budget, most) = if follows() {
        (FOLLOWING_BUDGET, FOLLOWING_BUDGET, u32::MAX)
    } else {
        (ROOM_BUDGET, EVICTING_BUDGET, TRIES_MAX)
    };
    durable("the last commands", Engine::end_group_of_try);
    let lacked = ENGINE.with(|engine| {
        let lacked = engine.store.pool.take_lacked();
        (!engine.never_holds(lacked)).then_some(lacked.max(1))
    });
    let Ok(Some(lacked)) = lacked else {
        return false;
    };
    if waited >= evicting_budget || again >= most {
        return false;
    }
    let enough = enough(lacked, again);
    if ENGINE.with(|engine| engine.find_in_group(enough)) == Ok(true) {
        return true;
    }
    // What was evicted already may do, but for that it is scattered.
    let is_scattered = again >= if lacked > PAGE { 1 } else { SCATTERED_FROM };
    if is_scattered && evict::may_evict(ctx) && gather_for(ctx, lacked.max(PAGE)) {
        return true;
    }
    if evict::evict(ctx, enough, evicting_budget - waited) {
        return true;
    }
    if waited >= budget {
        return false;
    }
    // What is dead gives its room back before anything is moved.
    let is_gained = ENGINE.with(|engine| engine.reclaim_gains(RECLAIM_SLICE));
    is_gained == Ok(true) || compact::gather_some(ctx)
}

/// The error of a command that is refused.
fn refused(ctx: &Ctx) -> CmdError {
    if undurable::refuses() {
        undurable::refusal()
    } else {
        undo::refuse(ctx)
    }
}

/// What becomes of a command that fails.
pub static ON_FAILURE: OnFailure = OnFailure {
    find_room,
    refused,
    refuses: || undurable::refuses() || undo::refuses(),
    failed: failure::of_command,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_tries_find_any_amount_and_not_much_more() {
        for lacked in [16, 64 << 10, 1 << 20] {
            let found = |tries: u32| (0..tries).map(|again| enough(lacked, again)).sum::<u64>();
            assert_eq!(found(1), lacked);
            assert!(found(TRIES_MAX) > lacked * 100_000);
            for tries in 2..TRIES_MAX {
                // The command needs more than was found the time before.
                assert!(
                    found(tries) <= found(tries - 1) * 5 / 2,
                    "{tries} of {lacked}"
                );
            }
        }
        assert_eq!(
            enough(1, TRIES_MAX),
            1,
            "the least is what is evicted at a time"
        );
        assert!(enough(u64::MAX, TRIES_MAX) == u64::MAX);
    }
}
