//! Compaction: room that lies scattered in sparse pages is gathered, so that it serves values of any size.
//!
//! It goes in *rounds*. A round chooses what is to be emptied (`pobj::Pool::begin_evacuation`), walks over all records,
//! and moves what lies there: the objects of values (`structures::relocate`), then the records themselves, whose
//! keys in Redis's keyspace are pointed at the new place. Each move is one atomic step; a crash ends the round, and
//! leaves every key as it was.
//!
//! * In the background it takes a bounded share of the event loop's time, as reclaiming does, and only while there
//!   is nothing to reclaim.
//! * Not while a fork child lives: for that, every page that is touched is kept a second time.
//! * A command that finds no room waits for it a little, and is tried again ([`find_room`]).

mod round;

use super::{ENGINE, Engine, cluster, durable, evict, follower, fullness};
use crate::redis::{
    Ctx, Kind, Latency, Level, Mode, OwnedString, PmType, WhenFull, log, server_flags,
};
use pobj::{Result, Scatter};
use round::{Round, Step};
use std::time::{Duration, Instant};
use store::record::RecordPtr;

/// Of each tick of the timer that runs during a round, and from one tick to the next.
const TICK_BUDGET: Duration = Duration::from_micros(200);
const TICK: Duration = Duration::from_millis(1);
/// How long a command waits that finds no room, and one of a master, which cannot be told; and how long before it is
/// tried again.
const ROOM_BUDGET: Duration = Duration::from_millis(50);
const FOLLOWING_BUDGET: Duration = Duration::from_secs(60);
const ROOM_SLICE: Duration = Duration::from_millis(5);
/// How long after a round the next one may begin; twice as long after one that gave little back.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(64);
/// What a round must gain to count as one that does, in bytes.
const GAIN_MIN: u64 = 64 << 10;
/// So large a part of the pool must come or go for compaction to try again.
const USE_PART: u64 = 128;
/// So many rounds in a row that gain nothing are enough, until something changes.
const IDLE_ROUNDS: u32 = 6;
/// A round begins by itself if it gives back so large a part of what is free, and so many bytes at least.
const PAYS_PART: u64 = 32;
const PAYS_BYTES: u64 = 256 << 10;

/// What compaction does, and has done since the pool was opened.
pub(crate) struct Compaction {
    round: Option<Round>,
    /// Not before that a round begins by itself.
    next_look: Option<Instant>,
    pause: Duration,
    /// Bytes in use when the next two were begun anew.
    used: u64,
    /// The least that was scattered and wasted after a round.
    least: u64,
    /// Rounds in a row that gained nothing.
    fruitless: u32,
    /// A timer runs.
    ticks: bool,
    totals: Totals,
}

/// What compaction has done since the pool was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rounds that have ended.
    pub rounds: u64,
    /// Records that were moved.
    pub records: u64,
    /// Bytes of objects and records that were moved.
    pub bytes: u64,
    /// Bytes of pages that were emptied and given back.
    pub regained: u64,
}

/// Whether compaction is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No round.
    Idle,
    /// A round is under way.
    Running,
    /// A round is under way, or is wanted, but a fork child lives or memory is to be reclaimed first.
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

impl Default for Compaction {
    fn default() -> Compaction {
        Compaction {
            round: None,
            next_look: None,
            pause: PAUSE_MIN,
            used: 0,
            least: u64::MAX,
            fruitless: 0,
            ticks: false,
            totals: Totals::default(),
        }
    }
}

impl Compaction {
    /// Begins anew if a good part of the pool has come or gone since.
    fn note_use(&mut self, used: u64, capacity: u64) {
        if used.abs_diff(self.used) >= capacity / USE_PART {
            (self.used, self.least, self.fruitless) = (used, u64::MAX, 0);
        }
    }
}

/// A record that lies in the way, and its key.
struct Leaving {
    record: RecordPtr,
    addr: usize,
    db: i32,
    ty: PmType,
    name: OwnedString,
}

impl Engine {
    /// Whether objects may move now.
    fn may_compact(&self) -> bool {
        let flags = server_flags();
        self.filled
            && !self.reloading
            && !self.flushing
            && !self.store.pool.is_held()
            && !self.store.has_garbage()
            && !self.store.pool.has_snapshot()
            && !flags.loading()
            && !flags.async_loading()
            && !flags.in_multi_or_script()
    }

    /// Records that were moved since the pool was opened. O(1).
    pub(super) fn records_moved(&self) -> u64 {
        self.compaction.totals.records
    }

    /// What there is to say of compaction. O(pages).
    pub fn compaction(&self) -> Status {
        let state = match self.compaction.round {
            None => State::Idle,
            Some(_) if self.may_compact() && self.looks == 0 => State::Running,
            Some(_) => State::Waiting,
        };
        Status {
            state,
            scatter: self.store.pool.scatter(),
            totals: self.compaction.totals,
        }
    }

    /// Begins a round if there is none and one pays; whether there is one.
    fn begin_if_it_pays(&mut self) -> bool {
        if self.compaction.round.is_some() {
            return true;
        }
        if !self.may_compact() || self.looks > 0 {
            return false;
        }
        let now = Instant::now();
        if self.compaction.next_look.is_some_and(|next| now < next) {
            return false;
        }
        self.compaction.next_look = Some(now + self.compaction.pause);
        let usage = self.store.pool.usage();
        self.compaction.note_use(usage.used, usage.capacity);
        if self.compaction.fruitless >= IDLE_ROUNDS {
            return false;
        }
        let free = usage.free + usage.scattered;
        let pays = |bytes: u64| bytes >= PAYS_BYTES && bytes >= free / PAYS_PART;
        self.give_back_pages();
        let scatter = self.store.pool.scatter();
        (pays(scatter.regainable) || pays(scatter.wasted)) && self.begin_round()
    }

    fn begin_round(&mut self) -> bool {
        let usage = self.store.pool.usage();
        self.compaction.note_use(usage.used, usage.capacity);
        let begun = Round::begin(self);
        self.compaction.round = begun;
        self.compaction.round.is_some()
    }

    /// Ends a round.
    fn end_round(&mut self) {
        let Some(round) = self.compaction.round.take() else {
            return;
        };
        self.store.pool.end_evacuation();
        self.give_back_pages();
        let scatter = self.store.pool.scatter();
        let unfilled = scatter.slots + scatter.wasted;
        let regained = round.unfilled.saturating_sub(unfilled);
        let compaction = &mut self.compaction;
        compaction.totals.rounds += 1;
        compaction.totals.regained += regained;
        // Rounds may undo each other's gain: what counts is the least that was reached.
        compaction.least = compaction.least.min(round.unfilled);
        match unfilled.saturating_add(GAIN_MIN) <= compaction.least {
            true => (compaction.least, compaction.fruitless) = (unfilled, 0),
            false => compaction.fruitless += 1,
        }
        self.compaction.pause = match regained >= round.expected / 2 {
            true => PAUSE_MIN,
            false => PAUSE_MAX.min(self.compaction.pause * 2),
        };
        self.compaction.next_look = Some(Instant::now() + self.compaction.pause);
        log(
            Level::Verbose,
            &format!("compaction has given back {regained} bytes of the pool"),
        );
    }
}

/// Once a tick of the server's clock: begins a round if one pays, and works at it.
pub(super) fn look(ctx: &Ctx) {
    if ENGINE.with(Engine::begin_if_it_pays) == Ok(true) {
        keep_ticking(ctx);
    }
}

/// Has a timer go on with the round.
fn keep_ticking(ctx: &Ctx) {
    let starts = ENGINE.with(|engine| {
        engine.compaction.round.is_some() && !std::mem::replace(&mut engine.compaction.ticks, true)
    });
    if starts == Ok(true) {
        ctx.start_timer(TICK, 0, |ctx: &Ctx, _| {
            durable("compaction", |engine| {
                engine.compaction.ticks = false;
                Ok(())
            });
            if ENGINE.with(|engine| engine.looks) == Ok(0) {
                compact(ctx, TICK_BUDGET);
            }
            keep_ticking(ctx);
        });
    }
}

/// Goes on with the round for about `budget`; false if there is none any more.
fn compact(ctx: &Ctx, budget: Duration) -> bool {
    let (start, home) = (Instant::now(), ctx.db());
    let goes_on = loop {
        let step = ENGINE.with(|engine| match engine.may_compact() {
            true => engine.compact_some(),
            false => Step::Wait,
        });
        match step {
            Ok(Step::More) => {}
            Ok(Step::Leaving(leaving)) => move_records(ctx, &leaving),
            Ok(Step::Wait) => break true,
            Ok(Step::Over) | Err(_) => break false,
        }
        if start.elapsed() >= budget {
            break true;
        }
    };
    ctx.select_db(home);
    goes_on
}

/// Moves records, and points their keys at them.
///
/// Whether a key shows the record is seen before anything moves, and the key stays open until it shows the new
/// one. Opened like this, a key is neither expired (the caller leaves out those that might be) nor touched, and
/// nothing is told of it.
fn move_records(ctx: &Ctx, leaving: &[Leaving]) {
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
            engine.end_round();
            Ok(())
        }),
        Ok(Err(error)) => log(Level::Warning, &format!("records cannot be moved: {error}")),
        Err(refused) => log(
            Level::Warning,
            &format!("records cannot be moved: {refused:?}"),
        ),
    }
}

/// After a command has found no room: gathers some, if enough lies scattered. True if the command, which has waited
/// for so long already, is to be tried again.
fn find_room(ctx: &Ctx, waited: Duration) -> bool {
    let _latency = Latency::of(c"pm-find-room");
    let budget = match follower::follows() {
        true => FOLLOWING_BUDGET,
        false => ROOM_BUDGET,
    };
    if waited >= budget {
        return false;
    }
    let gained =
        ENGINE.with(|engine| engine.store.pool.is_held() && engine.store.reclaim_in_group());
    if gained == Ok(true) || evict::evict(ctx) {
        return true;
    }
    let begun = ENGINE.with(|engine| {
        if !engine.may_compact() {
            return None;
        }
        let begun = engine.compaction.round.is_some() || engine.begin_round();
        begun.then_some(engine.compaction.totals)
    });
    let Ok(Some(before)) = begun else {
        return false;
    };
    compact(ctx, ROOM_SLICE);
    keep_ticking(ctx);
    ENGINE.with(|engine| engine.compaction.totals != before) == Ok(true)
}

/// A command is refused, as there is no room for it.
fn refused() {
    follower::end_if_following();
    let _ = ENGINE.with(cluster::give_up_import);
    fullness::refused();
}

/// What becomes of a command that finds no room.
pub static WHEN_FULL: WhenFull = WhenFull { find_room, refused };

/// Compacts now, for at most `budget`, whether it pays or not.
///
/// False if nothing may move at this time.
pub fn compact_now(ctx: &Ctx, budget: Duration) -> bool {
    let _latency = Latency::of(c"pm-defrag");
    let start = Instant::now();
    durable("reclaiming", |engine| {
        engine.reclaim(budget);
        Ok(())
    });
    let mut idle_rounds = 0;
    while idle_rounds < IDLE_ROUNDS && start.elapsed() < budget {
        let begun = ENGINE.with(|engine| match engine.may_compact() {
            true => Some(engine.compaction.round.is_some() || engine.begin_round()),
            false => None,
        });
        match begun {
            Ok(Some(true)) => {}
            Ok(Some(false)) => return true,
            _ => return false,
        }
        if compact(ctx, budget.saturating_sub(start.elapsed())) {
            break;
        }
        let fruitless = ENGINE.with(|engine| engine.compaction.fruitless);
        idle_rounds = if fruitless == Ok(0) {
            0
        } else {
            idle_rounds + 1
        };
    }
    keep_ticking(ctx);
    true
}

impl Engine {
    /// [`Store::move_records`](store::Store::move_records): where each is now.
    fn move_records(&mut self, records: &[RecordPtr]) -> Result<Vec<Option<usize>>> {
        let moved = self.store.move_records(records)?;
        let totals = &mut self.compaction.totals;
        for record in moved.iter().flatten() {
            totals.records += 1;
            totals.bytes += self.store.pool.capacity(*record)?;
        }
        let address = |new: &Option<RecordPtr>| new.map(|new| self.store.pool.address_of(new));
        Ok(moved.iter().map(address).collect())
    }
}
