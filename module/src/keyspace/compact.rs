//! Compaction of the pool, in the server's time: the [`store`](store::compact) chooses and moves, a
//! step at a time, and here the keys in Redis's keyspace are pointed at the new place of their
//! records.
//!
//! * In the background it takes a bounded share of the event loop's time, as reclaiming does, and
//!   only while there is nothing to reclaim; a smaller one while requests wait.
//! * Not while a fork child lives: for that, every page that is touched is kept a second time. Nor
//!   while writes are paused: somebody may be copying the pool's file (`rest.rs`).
//! * A command that finds no room waits for it a little, and is tried again (`room.rs`).

use super::cycles::Timer;
use super::following::{follows, loads_a_file};
use super::rest::writes_are_paused;
use super::{ENGINE, Engine, apply, durable};
use crate::redis::{Ctx, Kind, Latency, Mode, OwnedString, Requests, server_flags};
use crate::report;
use pobj::{Result, Scatter};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use store::compact::{Ended, IDLE_ROUNDS, Leaving, Sliding, Step, Totals};
use store::expiry::KEY_NEVER;
use store::record::{self, RecordPtr};
use store::value::ValueType;

/// Of each tick of the timer that runs during a round.
const IN_A_TICK: Budget = Budget {
    least: Duration::from_micros(50),
    most: Duration::from_micros(200),
};
/// From one tick to the next.
const TICK: Duration = Duration::from_millis(1);
/// How long it works at a time for a command that finds no room.
const FOR_ROOM: Budget = Budget::whole(Duration::from_millis(5));
/// A key is left where it is if it expires within so many milliseconds.
const EXPIRES_SOON_MS: i64 = 10_000;

/// How long compaction may work at a stretch, but for its last step.
#[derive(Clone, Copy, Debug)]
struct Budget {
    /// So long, though a client's request may wait.
    least: Duration,
    /// So long if none does.
    most: Duration,
}

impl Budget {
    /// So long, whoever waits.
    const fn whole(time: Duration) -> Budget {
        Budget {
            least: time,
            most: time,
        }
    }

    /// Whether it is used up.
    fn is_spent(self, spent: Duration) -> bool {
        spent >= self.most || spent >= self.least && Requests::of_event_loop().wait() == Some(true)
    }
}

/// Whether compaction is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No round.
    Idle,
    /// A round is under way.
    Running,
    /// A round is under way, or is wanted, but a fork child lives, writes are paused, or memory is
    /// to be reclaimed first.
    Waiting,
}

impl State {
    /// A word for it.
    pub fn word(self) -> &'static str {
        match self {
            State::Idle => "idle",
            State::Running => "running",
            State::Waiting => "waiting",
        }
    }
}

/// What there is to say of compaction.
pub struct Status {
    /// Whether it is at work.
    pub state: State,
    /// How scattered the free room is.
    pub scatter: Scatter,
    /// What it has done.
    pub totals: Totals,
}

/// A key of Redis whose record lies in the way.
struct Shown {
    record: RecordPtr,
    addr: usize,
    db: i32,
    ty: ValueType,
    name: OwnedString,
}

/// What the steps of a round come to, here.
enum Work {
    /// There is more to be done.
    More,
    /// The records of these keys are to be moved; then there is more to be done.
    Move(Vec<Shown>),
    /// Nothing may move now.
    Wait,
    /// There is no round, or it has ended.
    Over,
}

impl Engine {
    /// Whether objects may move now.
    fn may_compact(&self) -> bool {
        let flags = server_flags();
        self.life.shows_keys()
            && !self.life.reloads()
            && !self.pending.keys_have_ended()
            && self.store.may_move()
            && self.store.pool.failure().is_none()
            && !writes_are_paused()
            && !flags.loading()
            && !flags.async_loading()
            && !flags.in_multi_or_script()
    }

    /// Records that were moved since the pool was opened. O(1).
    pub(super) fn records_moved(&self) -> u64 {
        self.store.compacted().records
    }

    /// What there is to say of compaction. O(pages).
    pub fn compaction(&self) -> Status {
        let state = if !self.store.is_compacting() {
            State::Idle
        } else if self.may_compact() && self.checks == 0 {
            State::Running
        } else {
            State::Waiting
        };
        Status {
            state,
            scatter: self.store.pool.scatter(),
            totals: self.store.compacted(),
        }
    }

    /// Begins a round if there is none and one pays; whether there is one.
    fn begin_if_it_pays(&mut self) -> bool {
        self.store.is_compacting()
            || self.may_compact() && self.checks == 0 && begun(self.store.begin_round_if_it_pays())
    }

    fn begin_round(&mut self, sliding: Sliding) -> bool {
        self.store.is_compacting() || begun(self.store.begin_round(sliding))
    }

    /// A step of the round, if there is one.
    fn compact_some(&mut self) -> Work {
        if !self.may_compact() {
            return Work::Wait;
        }
        match self.store.compact_step() {
            Step::More => Work::More,
            Step::Move(leaving) => {
                Work::Move(leaving.iter().filter_map(|key| self.shown(key)).collect())
            }
            Step::Over(ended) => {
                tell(&ended);
                Work::Over
            }
        }
    }

    /// The key of a record that is to be moved, unless opening the key might expire it.
    fn shown(&self, leaving: &Leaving) -> Option<Shown> {
        if expires_soon(leaving.expire_at) {
            return None;
        }
        let Leaving { record, db, ty, .. } = *leaving;
        Some(Shown {
            record,
            addr: self.store.pool.address_of(record),
            db,
            ty,
            name: OwnedString::new(record::key(&self.store.pool, record).ok()?),
        })
    }

    /// [`Store::move_records`](store::Store::move_records): where each is now.
    fn move_records(&mut self, records: &[RecordPtr]) -> Result<Vec<Option<usize>>> {
        let moved = self.store.move_records(records)?;
        let address = |new: &Option<RecordPtr>| new.map(|new| self.store.pool.address_of(new));
        Ok(moved.iter().map(address).collect())
    }
}

fn expires_soon(expire_at: i64) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(i64::MAX, |now| now.as_millis() as i64);
    expire_at != KEY_NEVER && expire_at <= now.saturating_add(EXPIRES_SOON_MS)
}

/// Whether a round was begun; why not is for the log.
fn begun(outcome: Result<bool>) -> bool {
    outcome.unwrap_or_else(|error| {
        report::failure("compaction does not begin", &error);
        false
    })
}

/// Tells the log how a round has ended.
fn tell(ended: &Ended) {
    if let Some(error) = &ended.error {
        report::failure("compaction ends", error);
    }
    let line = format!(
        "compaction has given back {} bytes of the pool",
        ended.regained
    );
    report::verbose(&line);
}

/// Once a tick of the server's clock: begins a round if one pays, and works at it.
pub(super) fn look(ctx: &Ctx) {
    if ENGINE.with(Engine::begin_if_it_pays) == Ok(true) {
        keep_ticking(ctx);
    }
}

/// Has a timer go on with the round.
fn keep_ticking(ctx: &Ctx) {
    apply("compaction", |engine| {
        if engine.store.is_compacting() {
            engine.event_loop.once(ctx, Timer::Compacting, TICK, tick);
        }
    });
}

/// A tick of the timer that compacts.
fn tick(ctx: &Ctx) {
    if ENGINE.with(|engine| engine.checks) == Ok(0) {
        compact(ctx, IN_A_TICK);
    }
    keep_ticking(ctx);
}

/// Goes on with the round within `budget`; false if there is none any more.
fn compact(ctx: &Ctx, budget: Budget) -> bool {
    let (start, _home) = (Instant::now(), ctx.keep_db());
    loop {
        match ENGINE.with(Engine::compact_some) {
            Ok(Work::More) => {}
            Ok(Work::Move(keys)) => move_records(ctx, &keys),
            Ok(Work::Wait) => break true,
            Ok(Work::Over) | Err(_) => break false,
        }
        if budget.is_spent(start.elapsed()) {
            break true;
        }
    }
}

/// Moves records, and points their keys at them.
///
/// Whether a key shows the record is seen before anything moves, and the key stays open until it
/// shows the new one. Opened like this, a key is neither expired (the caller leaves out those that
/// might be) nor touched, and nothing is told of it.
fn move_records(ctx: &Ctx, leaving: &[Shown]) {
    let mut keys = Vec::with_capacity(leaving.len());
    for leaver in leaving {
        if ctx.db() != leaver.db && !ctx.select_db(leaver.db) {
            continue;
        }
        let key = ctx.open(leaver.name.arg(), Mode::Quiet);
        if key.kind() == Kind::Pm(leaver.ty, leaver.addr) {
            keys.push((key, leaver));
        }
    }
    let records: Vec<_> = keys.iter().map(|(_, leaver)| leaver.record).collect();
    let moved = ENGINE.with(|engine| engine.move_records(&records));
    match moved {
        Ok(Ok(moved)) => {
            for ((mut key, leaver), moved) in keys.into_iter().zip(moved) {
                if let Some(addr) = moved {
                    key.replace_value(leaver.ty, addr);
                }
            }
        }
        Ok(Err(pobj::Error::Full(_))) => durable("compaction", |engine| {
            tell(&engine.store.end_round());
            Ok(())
        }),
        Ok(Err(error)) => report::failure("records cannot be moved", &error),
        Err(refused) => report::failure("records cannot be moved", format_args!("{refused:?}")),
    }
}

/// Works at a round for a short time, for a command that has found no room. True if something has
/// moved. Free runs slide only for who cannot be refused: others would wait for what moves many
/// times their bytes, again and again in a pool that stays full.
pub(super) fn gather_some(ctx: &Ctx) -> bool {
    let may_slide = follows() || loads_a_file();
    let sliding = if may_slide {
        Sliding::Thoroughly
    } else {
        Sliding::Never
    };
    let begun = ENGINE.with(|engine| {
        let store = &engine.store;
        let is_vain = !may_slide && (store.is_compact() || store.is_sliding());
        if !engine.may_compact() || is_vain {
            return None;
        }
        let begun = engine.begin_round(sliding);
        begun.then(|| engine.store.compacted())
    });
    let Ok(Some(before)) = begun else {
        return false;
    };
    compact(ctx, FOR_ROOM);
    keep_ticking(ctx);
    ENGINE.with(|engine| engine.store.compacted() != before) == Ok(true)
}

/// Compacts now, for at most `budget`, whether it pays or not.
///
/// False if nothing may move at this time.
pub fn compact_now(ctx: &Ctx, budget: Duration) -> bool {
    let _latency = Latency::of(c"pm-defrag");
    if writes_are_paused() {
        return false;
    }
    let start = Instant::now();
    durable("reclaiming", |engine| {
        engine.reclaim(budget);
        Ok(())
    });
    let mut idle_rounds = 0;
    while idle_rounds < IDLE_ROUNDS && start.elapsed() < budget {
        let begun = ENGINE.with(|engine| {
            if engine.may_compact() {
                Some(engine.begin_round(Sliding::Thoroughly))
            } else {
                None
            }
        });
        match begun {
            Ok(Some(true)) => {}
            Ok(Some(false)) => return true,
            _ => return false,
        }
        if compact(ctx, Budget::whole(budget.saturating_sub(start.elapsed()))) {
            break;
        }
        let fruitless = ENGINE.with(|engine| engine.store.idle_rounds());
        idle_rounds = if fruitless == Ok(0) {
            0
        } else {
            idle_rounds + 1
        };
    }
    keep_ticking(ctx);
    true
}
