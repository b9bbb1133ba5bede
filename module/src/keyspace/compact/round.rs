//! A round of compaction: the walk over all records, step by step.

use super::{Engine, Leaving};
use crate::redis::{Level, OwnedString, log};
use pobj::{Error, Kind, Result};
use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};
use store::record::{self, NEVER, Record, RecordPtr};
use store::structures::relocate::{Cursor, Mover, relocate};

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
/// A key is left where it is if it expires within so many milliseconds.
const EXPIRES_SOON_MS: i64 = 10_000;

/// A round.
pub(super) struct Round {
    walk: Option<pobj::Cursor>,
    passes: u32,
    /// Values that were found and are still to be looked at.
    values: VecDeque<Found>,
    /// Records that were found in the way; they move after their values.
    leaving: Vec<(RecordPtr, u64)>,
    /// A value in a batch is damaged: those that were found go one by one.
    alone: bool,
    /// Bytes that it was begun for.
    pub(super) expected: u64,
    /// What was scattered and wasted when it began, in bytes.
    pub(super) unfilled: u64,
}

struct Found {
    record: RecordPtr,
    birth: u64,
    cursor: Cursor,
}

/// What a step comes to.
pub(super) enum Step {
    /// There is more to be done.
    More,
    /// These records are to be moved; then there is more to be done.
    Leaving(Vec<Leaving>),
    /// Nothing may move now.
    Wait,
    /// There is no round, or it has ended.
    Over,
}

impl Round {
    /// Begins a round, if there is anything to be emptied.
    pub(super) fn begin(engine: &mut Engine) -> Option<Round> {
        engine.give_back_pages();
        let before = engine.store.pool.scatter();
        let empties_pages = before.regainable >= REGAINS_MIN || before.regainable > before.wasted;
        let expected = match empties_pages {
            true if engine.store.pool.begin_evacuation() > 0 => before.regainable,
            true => 0,
            false => engine.store.pool.begin_gathering(),
        };
        if expected == 0 {
            return None;
        }
        Some(Round {
            walk: Some(pobj::Cursor::default()),
            passes: 0,
            values: VecDeque::new(),
            leaving: Vec::new(),
            alone: false,
            expected,
            unfilled: before.slots + before.wasted,
        })
    }
}

/// Whether a key might be expired by opening it.
fn expires_soon(head: &Record) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(i64::MAX, |now| now.as_millis() as i64);
    head.expire_at != NEVER && head.expire_at <= now.saturating_add(EXPIRES_SOON_MS)
}

impl Engine {
    /// Gives empty pages back, so that what is free can be told from what they hold apart.
    pub(super) fn give_back_pages(&mut self) {
        if let Err(error) = self.store.pool.trim(usize::MAX) {
            log(
                Level::Warning,
                &format!("empty pages are not given back: {error}"),
            );
        }
    }

    /// A step of the round, if there is one.
    pub(super) fn compact_some(&mut self) -> Step {
        let Some(mut round) = self.compaction.round.take() else {
            return Step::Over;
        };
        let step = self.step(&mut round);
        self.compaction.round = Some(round);
        match step {
            Ok(Step::Over) => {}
            Ok(step) => return step,
            // Somebody else needs what there is.
            Err(Error::Full(_)) => {}
            Err(error) => log(Level::Warning, &format!("compaction ends: {error}")),
        }
        self.end_round();
        Step::Over
    }

    fn step(&mut self, round: &mut Round) -> Result<Step> {
        if !self.store.pool.is_evacuating() {
            return Ok(Step::Over);
        }
        if !round.values.is_empty() {
            self.move_objects(round)?;
            return Ok(Step::More);
        }
        round.alone = false;
        if !round.leaving.is_empty() {
            let leaving = std::mem::take(&mut round.leaving);
            return Ok(Step::Leaving(self.still_leaving(&leaving)));
        }
        if self.store.pool.empty_pages() >= TRIM_FROM {
            self.store.pool.trim(TRIM_FROM)?;
            return Ok(Step::More);
        }
        if let Some(cursor) = round.walk {
            self.look_at_some(round, cursor)?;
            return Ok(Step::More);
        }
        self.store.dbs.relocate(&mut self.store.pool)?;
        self.store.slots.relocate(&mut self.store.pool)?;
        self.store.pool.trim(usize::MAX)?;
        round.passes += 1;
        round.walk = Some(pobj::Cursor::default());
        // What has found no place will not find one in another pass.
        match round.passes < PASSES && self.store.pool.stuck() == 0 {
            true => Ok(Step::More),
            false => Ok(Step::Over),
        }
    }

    /// Finds the next records with values to be looked at, and those that lie in the way.
    fn look_at_some(&mut self, round: &mut Round, cursor: pobj::Cursor) -> Result<()> {
        let mut cursor = cursor;
        for _ in 0..LOOK {
            let Some((object, next)) = self.store.pool.next_object(Kind::Record, cursor) else {
                round.walk = None;
                return Ok(());
            };
            cursor = next;
            let record: RecordPtr = object.cast();
            let head = record::get(&self.store.pool, record)?;
            // What is dead goes soon.
            if !self.store.dbs.is_live(head) {
                continue;
            }
            round.values.push_back(Found {
                record,
                birth: head.birth,
                cursor: Cursor::default(),
            });
            if self.store.pool.evacuating(record) {
                round.leaving.push((record, head.birth));
            }
        }
        round.walk = Some(cursor);
        Ok(())
    }

    /// The record's head, if it still is of the key that was created then.
    fn head_of(&self, record: RecordPtr, birth: u64) -> Option<Record> {
        self.store.pool.capacity(record).ok()?;
        let head = *record::get(&self.store.pool, record).ok()?;
        (head.birth == birth && self.store.dbs.is_live(&head)).then_some(head)
    }

    /// Moves objects of the values that were found, in one batch.
    fn move_objects(&mut self, round: &mut Round) -> Result<()> {
        let most = if round.alone { 1 } else { round.values.len() };
        let (mut budget, mut done, mut bytes, mut rest) = (BATCH, 0, 0, None);
        let heads: Vec<_> = (round.values.iter().take(most))
            .map(|found| self.head_of(found.record, found.birth))
            .collect();
        let mut tx = self.store.pool.begin();
        for (found, head) in round.values.iter().zip(heads) {
            let Some(head) = head else {
                done += 1;
                continue;
            };
            let mut root = head.root;
            let mut mover = Mover::new(&mut tx, budget);
            let outcome = head
                .value_type()
                .and_then(|ty| relocate(&mut mover, ty, &mut root, found.cursor));
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

    /// Those of the records that are to move, with their keys.
    fn still_leaving(&self, records: &[(RecordPtr, u64)]) -> Vec<Leaving> {
        let leaving = records.iter().filter_map(|&(record, birth)| {
            let head = self.head_of(record, birth)?;
            if expires_soon(&head) {
                return None;
            }
            Some(Leaving {
                record,
                addr: self.store.pool.address_of(record),
                db: self.store.dbs.db_of(head.space)?,
                ty: head.value_type().ok()?.into(),
                name: OwnedString::new(record::key(&self.store.pool, record).ok()?),
            })
        });
        leaving.collect()
    }
}
