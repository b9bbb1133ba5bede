//! The keys that are still to be shown: what is known of them, and how it changes.

use super::index::Index;
use super::{BUSY, IDLE, LULL};
use crate::keyspace::Engine;
use crate::keyspace::record::{self, RecordPtr};
use crate::redis::{EveryTurn, Level, OwnedString, log};
use crate::value::ValueType;
use pobj::{Error, Result};
use std::time::{Duration, Instant};

/// How often progress is logged.
const PROGRESS: Duration = Duration::from_secs(2);
/// So many damaged records are told of one by one.
const DAMAGES_TOLD: u64 = 10;

/// The filling that is under way.
pub(crate) struct Filling {
    pub(super) index: Index,
    /// The types of the records in the index.
    types: Vec<ValueType>,
    /// Living keys of each key space that are not shown.
    to_come: Vec<u64>,
    pub(super) progress: Progress,
    started: Instant,
    reported: Instant,
    /// Keys a second at most, in the background.
    pub(super) limit: Option<u64>,
    /// Keys shown in the background.
    in_background: u64,
    pub(super) last_command: Option<Instant>,
    pub(super) every_turn: Option<EveryTurn>,
}

/// How far a filling has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Keys that were put into the keyspace.
    pub(super) shown: u64,
    /// Keys that were left out, as their records are damaged.
    pub(super) damaged: u64,
    /// Native keys that gave way.
    pub(super) overwritten: u64,
}

/// A record that is to become a key.
pub(super) struct Found {
    pub(super) addr: usize,
    pub(super) space: u16,
    pub(super) db: i32,
    pub(super) name: OwnedString,
    pub(super) expire_at: i64,
    pub(super) birth: u64,
    pub(super) ty: ValueType,
}

impl Filling {
    /// How long keys may be shown in one turn.
    pub(super) fn budget(&self) -> Duration {
        match self.last_command {
            Some(last) if last.elapsed() < LULL => BUSY,
            _ => IDLE,
        }
    }

    /// How many keys may be shown in the background now.
    pub(super) fn allowed(&self) -> u64 {
        match self.limit {
            None => u64::MAX,
            Some(limit) => {
                let due = self.started.elapsed().as_secs_f64() * limit as f64;
                (due as u64).saturating_sub(self.in_background)
            }
        }
    }

    /// Keys that are not shown.
    pub(super) fn to_come(&self) -> u64 {
        self.to_come.iter().sum()
    }
}

impl Engine {
    /// The keyspace shows the pool's keys from now on. `flushed` tells whether there are records that a
    /// flush has ended.
    pub fn serve(&mut self, flushed: bool) {
        self.filled = true;
        if flushed {
            self.start_sweep();
        }
    }

    /// Surveys the pool; from here on commands are served.
    pub(super) fn begin_filling(
        &mut self,
        is_visible: &[bool],
        forbidden: &[bool],
        started: Instant,
        limit: Option<u64>,
    ) {
        self.trust_slots();
        let survey = self.survey(is_visible, forbidden);
        if survey.foreign > 0 {
            self.drop_foreign(survey.foreign, &survey.foreign_slots);
        }
        self.homeless = survey.homeless;
        self.reloading = false;
        self.serve(survey.has_flushed);
        let keys = survey.index.left() + survey.homeless;
        let line = format!(
            "the pool holds {keys} keys in {} bytes; they were found in {:.3} seconds",
            self.pool.usage().used,
            started.elapsed().as_secs_f64()
        );
        log(Level::Notice, &line);
        let mut filling = Filling {
            index: survey.index,
            types: survey.types,
            to_come: survey.to_show,
            progress: Progress::default(),
            started,
            reported: started,
            limit,
            in_background: 0,
            last_command: None,
            every_turn: None,
        };
        for record in survey.damaged {
            let error = match record::verify(&self.pool, record) {
                Err(error) => error,
                Ok(()) => Error::Damaged("it is of a database that the pool does not have".into()),
            };
            filling.leave_out(record, &error);
        }
        self.filling = Some(Box::new(filling));
    }

    /// Any record that is not shown, for the background.
    pub(super) fn next_unshown(&mut self) -> Option<RecordPtr> {
        let filling = self.filling.as_mut()?;
        let next = filling.index.next()?;
        filling.in_background += 1;
        if let Some(soon) = next.soon {
            self.pool.prefetch(soon);
        }
        if filling.in_background.is_multiple_of(1024) && filling.reported.elapsed() >= PROGRESS {
            filling.reported = Instant::now();
            let (shown, left) = (filling.progress.shown, filling.index.left());
            let line =
                format!("filling the keyspace from the pool: {shown} keys so far, {left} to come");
            log(Level::Notice, &line);
        }
        Some(next.record)
    }

    /// The records of this key that are not shown, of one key space or of all; they are not in the index any more.
    pub(super) fn unshown_of(&mut self, name: &[u8], space: Option<u16>) -> Vec<RecordPtr> {
        let mut found = Vec::new();
        let (pool, Some(filling)) = (&self.pool, &mut self.filling) else {
            return found;
        };
        for &ty in &filling.types {
            filling.index.take(record::hash(pool, ty, name), |record| {
                let is_it = record::key(pool, record).is_ok_and(|key| key == name)
                    && record::get(pool, record)
                        .is_ok_and(|head| space.is_none_or(|space| space == head.space));
                if is_it {
                    found.push(record);
                }
                is_it
            });
        }
        found
    }

    /// What is to be shown of a record that has just left the index; nothing if it was flushed, or is damaged.
    pub(super) fn found(&mut self, record: RecordPtr) -> Option<Found> {
        let head = *record::get(&self.pool, record).ok()?;
        if !self.dbs.is_live(&head) {
            return None;
        }
        if let Some(filling) = &mut self.filling
            && let Some(to_come) = filling.to_come.get_mut(usize::from(head.space))
        {
            *to_come = to_come.saturating_sub(1);
        }
        let found: Result<Found> = (|| {
            record::verify(&self.pool, record)?;
            let db = self.dbs.db_of(head.space);
            Ok(Found {
                addr: self.pool.address_of(record),
                space: head.space,
                db: db.ok_or_else(|| Error::Damaged("its database is not there".into()))?,
                name: OwnedString::new(record::key(&self.pool, record)?),
                expire_at: head.expire_at,
                birth: head.birth,
                ty: head.value_type()?,
            })
        })();
        found
            .inspect_err(|error| {
                self.dbs.key_goes(head.space);
                if let Some(filling) = &mut self.filling {
                    filling.leave_out(record, error);
                }
            })
            .ok()
    }

    /// Ends the filling if all keys are shown: what is to be said of it.
    pub(super) fn end_filling(&mut self) -> Option<String> {
        let filling = self.filling.take_if(|filling| filling.index.left() == 0)?;
        if filling.progress.damaged > 0 {
            let line = format!(
                "{} records of the pool are damaged and were left out",
                filling.progress.damaged
            );
            log(Level::Warning, &line);
        }
        Some(format!(
            "all keys of the pool are in the keyspace after {:.3} seconds; {} were put there now",
            filling.started.elapsed().as_secs_f64(),
            filling.progress.shown
        ))
    }

    /// A record will be freed, which the keyspace may not show.
    pub(in crate::keyspace) fn forget_unshown(&mut self, record: RecordPtr) {
        if let Some(filling) = &mut self.filling
            && let Ok(head) = record::get(&self.pool, record)
        {
            filling
                .index
                .take(head.check(), |unshown| unshown == record);
        }
    }

    /// A key is gone; so is any other record of it.
    pub(in crate::keyspace) fn bury_twins(&mut self, record: RecordPtr) -> Result<()> {
        if self.filling.is_none() {
            return Ok(());
        }
        let space = record::get(&self.pool, record)?.space;
        let name = record::key(&self.pool, record)?.to_vec();
        for twin in self.unshown_of(&name, Some(space)) {
            if self.found(twin).is_some() {
                self.dbs.key_goes(space);
                self.bury(twin)?;
            }
        }
        Ok(())
    }

    /// The keys of a database, or of all, have ended.
    pub(in crate::keyspace) fn forget_flushed(&mut self, db: Option<i32>) {
        let Some(filling) = &mut self.filling else {
            return;
        };
        match db {
            None => filling.to_come.fill(0),
            Some(db) => {
                let space = self.dbs.space_of(db).map(usize::from);
                if let Some(to_come) = space.and_then(|space| filling.to_come.get_mut(space)) {
                    *to_come = 0;
                }
            }
        }
        if filling.to_come() == 0 {
            self.filling = None;
            log(
                Level::Notice,
                "a flush has ended the filling of the keyspace",
            );
        }
    }

    /// Keys of database `db` that are not shown.
    pub fn unshown(&self, db: i32) -> u64 {
        let Some(filling) = &self.filling else {
            return 0;
        };
        let space = self.dbs.space_of(db).map(usize::from);
        space
            .and_then(|space| filling.to_come.get(space))
            .copied()
            .unwrap_or(0)
    }

    /// How far the filling of the keyspace has come; `None` when it is over. The numbers are keys that were shown,
    /// keys to come, and seconds left, as far as can be said.
    pub fn filling_progress(&self) -> Option<(u64, u64, u64)> {
        let filling = self.filling.as_ref()?;
        let (shown, to_come) = (filling.progress.shown, filling.to_come());
        let a_key = filling.started.elapsed().as_secs_f64() / shown.max(1) as f64;
        Some((shown, to_come, (a_key * to_come as f64).ceil() as u64))
    }
}

impl Filling {
    /// A damaged record is left out.
    pub(super) fn leave_out(&mut self, record: RecordPtr, error: &Error) {
        self.progress.damaged += 1;
        if self.progress.damaged <= DAMAGES_TOLD {
            let line = format!("a record at {:#x}: {error}", record.offset());
            log(Level::Warning, &line);
        }
    }
}
