//! Compaction: room that lies scattered in sparse pages is gathered, so that it serves values of
//! any size.
//!
//! It goes in *rounds*. A round chooses what is to be emptied
//! ([`Pool::begin_evacuation`](pobj::Pool::begin_evacuation)), walks over all records, and moves
//! what lies there: the objects of values ([`relocate`](crate::structures::Structure::relocate)),
//! then the records themselves. Each move is one atomic step; a crash ends the round, and leaves
//! every key as it was.
//!
//! Whoever owns the store gives a round its time, step by step ([`Store::compact_step`]), while
//! nothing else is under way ([`Store::may_move`]), and moves the records, as it knows where each
//! is pointed to ([`Store::move_records`]).

mod round;

pub use round::{Leaving, Sliding, Step};

use crate::Store;
use pobj::{Error, Result};
use round::Round;
use std::time::{Duration, Instant};

/// How long after a round the next one may begin; twice as long after one that gave little back.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(64);
/// What a round must gain to count as one that does, in bytes.
const GAIN_MIN: u64 = 64 << 10;
/// So large a part of the pool must come or go for compaction to try again.
const USE_PART: u64 = 128;
/// So many rounds in a row that gain nothing are enough, until something changes.
pub const IDLE_ROUNDS: u32 = 6;
/// A round begins by itself if it gives back so large a part of what is free, and so many bytes at
/// least.
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
    /// Rounds in a row that gained nothing, and the bytes in use after the last of them.
    fruitless: u32,
    fruitless_at: u64,
    /// Emptying regions has gained nothing: free runs slide instead.
    slides: bool,
    pub(crate) totals: Totals,
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

/// How a round has ended.
#[derive(Debug, Default)]
pub struct Ended {
    /// Bytes that it has given back.
    pub regained: u64,
    /// What has ended it, or kept empty pages from being given back, but for a want of room.
    pub error: Option<Error>,
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
            fruitless_at: 0,
            slides: false,
            totals: Totals::default(),
        }
    }
}

impl Compaction {
    /// Begins anew if a good part of the pool has come or gone since.
    fn note_use(&mut self, used: u64, capacity: u64) {
        if used.abs_diff(self.used) >= capacity / USE_PART {
            (self.used, self.least, self.fruitless) = (used, u64::MAX, 0);
            self.slides = false;
        }
    }
}

impl Store {
    /// Whether objects may move now: no group is open, nothing is to be reclaimed first, and no
    /// fork child lives, for which every page that is touched would be kept a second time. O(1).
    pub fn may_move(&self) -> bool {
        !self.pool.in_group() && !self.has_garbage() && !self.pool.has_snapshot()
    }

    /// Whether a round is under way. O(1).
    pub fn is_compacting(&self) -> bool {
        self.compaction.round.is_some()
    }

    /// Whether the round that is under way slides free runs. O(1).
    pub fn is_sliding(&self) -> bool {
        let round = self.compaction.round.as_ref();
        round.is_some_and(Round::slides)
    }

    /// What compaction has done since the pool was opened. O(1).
    pub fn compacted(&self) -> Totals {
        self.compaction.totals
    }

    /// Rounds in a row that gained nothing. O(1).
    pub fn idle_rounds(&self) -> u32 {
        self.compaction.fruitless
    }

    /// Whether another round would hardly gain anything: the last ones have not, and as much is in
    /// use as after them. O(1).
    pub fn is_compact(&self) -> bool {
        let compaction = &self.compaction;
        compaction.fruitless >= IDLE_ROUNDS && compaction.fruitless_at == self.pool.usage().used
    }

    /// Begins a round if there is none and one pays; whether there is one. O(1) between two looks,
    /// else O(pages).
    ///
    /// # Errors
    /// `Damaged` if the pool's metadata contradicts itself: there is no round then.
    pub fn begin_round_if_it_pays(&mut self) -> Result<bool> {
        if self.is_compacting() {
            return Ok(true);
        }
        if !self.may_move() {
            return Ok(false);
        }
        let now = Instant::now();
        if self.compaction.next_look.is_some_and(|next| now < next) {
            return Ok(false);
        }
        self.compaction.next_look = Some(now + self.compaction.pause);
        let usage = self.pool.usage();
        self.compaction.note_use(usage.used, usage.capacity);
        if self.compaction.fruitless >= IDLE_ROUNDS {
            return Ok(false);
        }
        let free = usage.unused();
        let pays = |bytes: u64| bytes >= PAYS_BYTES && bytes >= free / PAYS_PART;
        // Whole pages hold little more than their slots: without a look at all pages, this is the
        // most that they give.
        if !pays(usage.scattered + usage.scattered / 4) && !pays(self.pool.wasted()) {
            return Ok(false);
        }
        self.give_back_pages()?;
        let scatter = self.pool.scatter();
        if pays(scatter.regainable) || pays(scatter.wasted) {
            return self.begin_round(Sliding::Cheaply);
        }
        Ok(false)
    }

    /// Begins a round, whether it pays or not, if there is anything to be emptied; whether there is
    /// one. Sliding gains most, but moves much for it. O(pages).
    ///
    /// # Errors
    /// As for [`Store::begin_round_if_it_pays`].
    pub fn begin_round(&mut self, sliding: Sliding) -> Result<bool> {
        let usage = self.pool.usage();
        self.compaction.note_use(usage.used, usage.capacity);
        self.give_back_pages()?;
        let (anew, slides) = (self.compaction.fruitless == 0, self.compaction.slides);
        self.compaction.round = Round::choose(&mut self.pool, anew, slides, sliding);
        if !self.is_compacting() && sliding != Sliding::Never {
            // There is nothing to be gained until something changes.
            self.compaction.fruitless = IDLE_ROUNDS;
            self.compaction.fruitless_at = self.pool.usage().used;
        }
        Ok(self.is_compacting())
    }

    /// Begins a round that empties the pages that were chosen one by one
    /// ([`Pool::evacuate`](pobj::Pool::evacuate)). O(pages).
    pub fn begin_round_of_chosen(&mut self) {
        self.compaction.round = Some(Round::of_chosen(&self.pool));
    }

    /// Ends the round, if there is one. O(pages).
    pub fn end_round(&mut self) -> Ended {
        let Some(round) = self.compaction.round.take() else {
            return Ended::default();
        };
        self.pool.end_evacuation();
        let error = self.give_back_pages().err();
        let scatter = self.pool.scatter();
        let unfilled = scatter.slots + scatter.wasted;
        let used = self.pool.usage().used;
        let regained = round.unfilled.saturating_sub(unfilled);
        let compaction = &mut self.compaction;
        compaction.totals.rounds += 1;
        compaction.totals.regained += regained;
        // Rounds may undo each other's gain: what counts is the least that was reached.
        compaction.least = compaction.least.min(round.unfilled);
        if unfilled.saturating_add(GAIN_MIN) <= compaction.least {
            (compaction.least, compaction.fruitless) = (unfilled, 0);
        } else {
            compaction.fruitless += 1;
            compaction.fruitless_at = used;
            compaction.slides |= round.empties_regions();
        }
        compaction.pause = if regained >= round.expected / 2 {
            PAUSE_MIN
        } else {
            PAUSE_MAX.min(compaction.pause * 2)
        };
        compaction.next_look = Some(Instant::now() + compaction.pause);
        Ended { regained, error }
    }

    /// Gives empty pages back, so that what is free can be told from what they hold apart. If there
    /// is no room for the log of that, they stay.
    fn give_back_pages(&mut self) -> Result<()> {
        match self.pool.trim(usize::MAX) {
            Ok(_) | Err(Error::Full(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A step of the round, if there is one: at most one atomic step of the pool.
    /// [`Store::may_move`] must hold.
    pub fn compact_step(&mut self) -> Step {
        let Some(mut round) = self.compaction.round.take() else {
            return Step::Over(Ended::default());
        };
        let step = self.step(&mut round);
        self.compaction.round = Some(round);
        let failed = match step {
            Ok(Some(step)) => return step,
            // Somebody else needs what there is.
            Ok(None) | Err(Error::Full(_)) => None,
            Err(error) => Some(error),
        };
        let ended = self.end_round();
        Step::Over(Ended {
            error: failed.or(ended.error),
            ..ended
        })
    }
}
