//! A round of compaction: the walk over all records, step by step.

use super::{Ended, GAIN_MIN};
use crate::Store;
use crate::layout::RECORD;
use crate::record::{self, Record, RecordPtr};
use crate::structures;
use crate::structures::mover::{Cursor, Mover};
use crate::value::ValueType;
use pobj::{Error, Pool, Result, Scatter};
use std::collections::VecDeque;

/// Records that are looked at before values and records are moved.
const LOOK: usize = 32;
/// The budget of a batch in which objects move: see [`Mover::new`].
const BATCH: u64 = 160;
/// How often a round walks over all records: values that change meanwhile may be passed over.
const PASSES: u32 = 3;
/// Empty pages are given back once there are so many, and at the end of each pass.
const TRIM_FROM: usize = 64;
/// Pages are emptied first, if that gives back so many bytes.
const REGAINS_MIN: u64 = 256 << 10;
/// Regions are emptied before free runs slide if so many bytes are wasted: each emptying is for
/// many of them, but it may part a long run.
const REGIONS_FROM: u64 = 8 << 20;
/// A round empties so often at most what lies beside a free run: while clients change the pool, it
/// might not end otherwise.
const SLIDES: u32 = 200;

/// What is emptied in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Emptied {
    /// Sparse pages, or what was chosen one by one.
    Pages,
    /// Regions.
    Regions,
    /// What lies on the way of a free run to others: so often yet.
    Way(u32),
}

/// Whether free runs slide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sliding {
    /// Not at all: for a writer, who should not wait for that.
    Never,
    /// Where little is moved for what is gained: in the background.
    Cheaply,
    /// Wherever anything is gained: for who asks for it, or cannot be refused.
    Thoroughly,
}

/// A round.
pub(super) struct Round {
    empties: Emptied,
    /// Whether free runs slide wherever anything is gained.
    thorough: bool,
    walk: Option<pobj::Cursor>,
    passes: u32,
    /// Values that were found and are still to be looked at.
    values: VecDeque<PendingValue>,
    /// Records that were found in the way; they move after their values.
    leaving: Vec<(RecordPtr, u64)>,
    /// A value in a batch is damaged: those that were found go one by one.
    alone: bool,
    /// Bytes that it was begun for.
    pub(super) expected: u64,
    /// What was scattered and wasted when it began, in bytes.
    pub(super) unfilled: u64,
    /// The latter alone.
    wasted: u64,
}

/// A value whose objects are still to be looked at, from `cursor` on.
struct PendingValue {
    record: RecordPtr,
    created: u64,
    cursor: Cursor,
}

/// What a step comes to.
pub enum Step {
    /// There is more to be done.
    More,
    /// These records are to be moved, each if its owner can point at the new place; then there is
    /// more to be done.
    Move(Vec<Leaving>),
    /// There is no round, or it has ended like this.
    Over(Ended),
}

/// The record of a living key, which lies in the way.
pub struct Leaving {
    /// The record.
    pub record: RecordPtr,
    /// The database of its key.
    pub db: i32,
    /// The type of its value.
    pub ty: ValueType,
    /// When the key expires, in Unix milliseconds, or [`KEY_NEVER`](crate::expiry::KEY_NEVER).
    pub expire_at: i64,
}

impl Round {
    /// A round that empties sparse pages, or has free runs come together, whichever gives more
    /// back; `None` if nothing can be emptied. The latter is done by regions if much is wasted,
    /// unless that has gained nothing of late (`slides`); those that could not be emptied are tried
    /// again if it begins `anew`.
    pub(super) fn choose(
        pool: &mut Pool,
        anew: bool,
        slides: bool,
        sliding: Sliding,
    ) -> Option<Round> {
        let before = pool.scatter();
        if before.regainable >= REGAINS_MIN || before.regainable > before.wasted {
            let chosen = pool.begin_evacuation();
            return (chosen > 0).then(|| Round::new(Emptied::Pages, before.regainable, before));
        }
        let ways: &[Emptied] = match sliding {
            Sliding::Never => &[Emptied::Regions],
            _ if !slides && before.wasted >= REGIONS_FROM => &[Emptied::Regions, Emptied::Way(0)],
            _ => &[Emptied::Way(0), Emptied::Regions],
        };
        ways.iter().find_map(|&way| {
            let expected = match way {
                Emptied::Regions => pool.begin_gathering(anew),
                _ => pool.begin_sliding(anew, sliding == Sliding::Thoroughly),
            };
            (expected > 0).then(|| Round {
                thorough: sliding == Sliding::Thoroughly,
                ..Round::new(way, expected, before)
            })
        })
    }

    /// A round that empties the pages which were chosen already.
    pub(super) fn of_chosen(pool: &Pool) -> Round {
        Round::new(Emptied::Pages, 0, pool.scatter())
    }

    /// Whether it is one that slides free runs.
    pub(super) fn slides(&self) -> bool {
        matches!(self.empties, Emptied::Way(_))
    }

    /// Whether it is one that empties regions.
    pub(super) fn empties_regions(&self) -> bool {
        self.empties == Emptied::Regions
    }

    fn new(empties: Emptied, expected: u64, before: Scatter) -> Round {
        Round {
            empties,
            thorough: false,
            walk: Some(pobj::Cursor::default()),
            passes: 0,
            values: VecDeque::new(),
            leaving: Vec::new(),
            alone: false,
            expected,
            unfilled: before.slots + before.wasted,
            wasted: before.wasted,
        }
    }
}

impl Store {
    /// A step of this round; `None` at its end.
    pub(super) fn step(&mut self, round: &mut Round) -> Result<Option<Step>> {
        if !self.pool.is_evacuating() {
            return Ok(self.slide_on(round).then_some(Step::More));
        }
        if !round.values.is_empty() {
            self.move_objects(round)?;
            return Ok(Some(Step::More));
        }
        round.alone = false;
        if !round.leaving.is_empty() {
            let leaving = std::mem::take(&mut round.leaving);
            return Ok(Some(Step::Move(self.still_leaving(&leaving))));
        }
        if self.pool.empty_pages() >= TRIM_FROM {
            self.pool.trim(TRIM_FROM)?;
            return Ok(Some(Step::More));
        }
        if let Some(cursor) = round.walk {
            self.look_at_some(round, cursor)?;
            return Ok(Some(Step::More));
        }
        self.dbs.relocate(&mut self.pool)?;
        self.slots.relocate(&mut self.pool)?;
        self.pool.trim(usize::MAX)?;
        round.passes += 1;
        round.walk = Some(pobj::Cursor::default());
        // What has found no place will not find one in another pass.
        let goes_on = round.passes < PASSES && self.pool.stuck() == 0;
        Ok(goes_on.then_some(Step::More))
    }

    /// What lay beside a free run has gone to its other side. Unless enough is gained, the next is
    /// emptied; false if the round ends.
    fn slide_on(&mut self, round: &mut Round) -> bool {
        let Emptied::Way(slides) = &mut round.empties else {
            return false;
        };
        self.pool.end_evacuation();
        *slides += 1;
        let goes_on = *slides < SLIDES
            && self.pool.wasted() + GAIN_MIN > round.wasted
            && self.pool.begin_sliding(false, round.thorough) > 0;
        if goes_on {
            (round.walk, round.passes) = (Some(pobj::Cursor::default()), 0);
            round.values.clear();
            round.leaving.clear();
        }
        goes_on
    }

    /// Finds the next records with values to be looked at, and those that lie in the way.
    fn look_at_some(&mut self, round: &mut Round, cursor: pobj::Cursor) -> Result<()> {
        let mut cursor = cursor;
        for _ in 0..LOOK {
            let Some((object, next)) = self.pool.next_object(RECORD, cursor) else {
                round.walk = None;
                return Ok(());
            };
            cursor = next;
            let record: RecordPtr = object.cast();
            let head = record::get(&self.pool, record)?;
            // What is dead goes soon.
            if !self.dbs.is_live(head) {
                continue;
            }
            round.values.push_back(PendingValue {
                record,
                created: head.created,
                cursor: Cursor::default(),
            });
            if self.pool.evacuating(record) {
                round.leaving.push((record, head.created));
            }
        }
        round.walk = Some(cursor);
        Ok(())
    }

    /// The record's head, if it still is of the key that was created then.
    fn head_of(&self, record: RecordPtr, created: u64) -> Option<Record> {
        self.pool.capacity(record).ok()?;
        let head = *record::get(&self.pool, record).ok()?;
        (head.created == created && self.dbs.is_live(&head)).then_some(head)
    }

    /// Moves objects of the values that were found, in one batch.
    fn move_objects(&mut self, round: &mut Round) -> Result<()> {
        let most = if round.alone { 1 } else { round.values.len() };
        let (mut budget, mut done, mut bytes, mut rest) = (BATCH, 0, 0, None);
        let heads: Vec<_> = (round.values.iter().take(most))
            .map(|found| self.head_of(found.record, found.created))
            .collect();
        let mut tx = self.pool.begin();
        for (found, head) in round.values.iter().zip(heads) {
            let Some(head) = head else {
                done += 1;
                continue;
            };
            let mut root = head.root;
            let mut mover = Mover::new(&mut tx, budget);
            let outcome = head
                .value_type()
                .and_then(|ty| structures::of(ty).relocate(&mut mover, &mut root, found.cursor));
            let (moved, left) = (mover.moved(), mover.left());
            match outcome {
                Ok(next) => rest = next,
                Err(Error::Full(size)) => return Err(Error::Full(size)),
                // What is damaged stays where it is, and is told of when a command reads it.
                Err(_) => {
                    drop(tx);
                    if round.alone {
                        round.values.pop_front();
                    }
                    round.alone = true;
                    return Ok(());
                }
            }
            record::set_root(&mut tx, found.record, head.root, root)?;
            (bytes, budget) = (bytes + moved, left);
            if rest.is_some() {
                break;
            }
            done += 1;
            if budget == 0 {
                break;
            }
        }
        match bytes {
            0 => drop(tx),
            _ => tx.commit()?,
        }
        self.compaction.totals.bytes += bytes;
        round.values.drain(..done);
        if let (Some(next), Some(first)) = (rest, round.values.front_mut()) {
            first.cursor = next;
        }
        Ok(())
    }

    /// Those of the records that are to move.
    fn still_leaving(&self, records: &[(RecordPtr, u64)]) -> Vec<Leaving> {
        let leaving = records.iter().filter_map(|&(record, created)| {
            let head = self.head_of(record, created)?;
            Some(Leaving {
                record,
                db: self.dbs.db_of(head.space)?,
                ty: head.value_type().ok()?,
                expire_at: head.expire_at,
            })
        });
        leaving.collect()
    }
}
