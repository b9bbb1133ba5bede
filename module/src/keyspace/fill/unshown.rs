//! The keys that are still to be shown: what is known of them, and how it changes.

use super::pace::Pace;
use super::room::Room;
use crate::keyspace::Engine;
use crate::redis::{EveryCycle, OwnedString};
use crate::report;
use pobj::Error;
use std::time::{Duration, Instant};
use store::record::{self, RecordPtr};
use store::unshown::UnshownKey;

/// How often progress is logged.
const PROGRESS: Duration = Duration::from_secs(2);
/// So many damaged records are told of one by one.
const DAMAGES_TOLD: u64 = 10;

/// The filling that is under way.
pub(crate) struct Filling {
    pub(super) progress: Progress,
    started: Instant,
    reported: Instant,
    /// Keys a second at most, in the background.
    pub(super) limit: Option<u64>,
    /// Since when, and how many keys had been shown in the background then.
    limited_since: (Instant, u64),
    /// A timer is running for the limit's pace.
    pub(super) is_timed: bool,
    /// Keys shown in the background.
    in_background: u64,
    pub(super) pace: Pace,
    pub(super) room: Room,
    pub(super) every_cycle: Option<EveryCycle>,
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

impl Filling {
    /// How many keys may be shown in the background now.
    pub(super) fn allowed(&self) -> u64 {
        match self.limit {
            None => u64::MAX,
            Some(limit) => {
                let (since, before) = self.limited_since;
                let due = since.elapsed().as_secs_f64() * limit as f64;
                (due as u64).saturating_sub(self.in_background - before)
            }
        }
    }

    /// Sets the limit; false if it was the same.
    pub(super) fn limit_to(&mut self, limit: Option<u64>) -> bool {
        if self.limit == limit {
            return false;
        }
        self.limit = limit;
        self.limited_since = (Instant::now(), self.in_background);
        true
    }
}

impl Engine {
    /// Surveys the pool; from here on commands are served.
    pub(super) fn begin_filling(
        &mut self,
        is_visible: &[bool],
        forbidden: &[bool],
        started: Instant,
        limit: Option<u64>,
        room: Room,
    ) {
        let surveyed = self.store.survey(is_visible, forbidden);
        if surveyed.foreign > 0 {
            self.drop_foreign(surveyed.foreign, &surveyed.foreign_slots);
        }
        self.life.serve();
        let keys = self.store.left_unshown() + self.store.dbs.unmapped();
        let line = format!(
            "the pool holds {keys} keys in {} bytes; they were found in {:.3} seconds",
            self.store.pool.usage().used,
            started.elapsed().as_secs_f64()
        );
        report::notice(&line);
        let mut filling = Filling {
            progress: Progress::default(),
            started,
            reported: started,
            limit,
            limited_since: (started, 0),
            is_timed: false,
            in_background: 0,
            pace: Pace::new(started),
            room,
            every_cycle: None,
        };
        for (record, error) in &surveyed.damaged {
            filling.leave_out(*record, error);
        }
        self.filling = Some(Box::new(filling));
    }

    /// Any record that is not shown, for the background.
    pub(super) fn next_unshown(&mut self) -> Option<RecordPtr> {
        let record = self.store.next_unshown()?;
        let filling = self.filling.as_mut()?;
        filling.in_background += 1;
        if filling.in_background.is_multiple_of(1024) && filling.reported.elapsed() >= PROGRESS {
            filling.reported = Instant::now();
            let (shown, left) = (filling.progress.shown, self.store.left_unshown());
            let line =
                format!("filling the keyspace from the pool: {shown} keys so far, {left} to come");
            report::notice(&line);
        }
        Some(record)
    }

    /// What is to be shown of a record that has just left the index, and its key; nothing if it was
    /// flushed, or is damaged.
    pub(super) fn found(&mut self, record: RecordPtr) -> Option<(UnshownKey, OwnedString)> {
        let found = self.store.found(record).and_then(|found| match found {
            None => Ok(None),
            Some(found) => {
                let key = record::key(&self.store.pool, record)?;
                Ok(Some((found, OwnedString::new(key))))
            }
        });
        found.unwrap_or_else(|error| {
            if let Some(filling) = &mut self.filling {
                filling.leave_out(record, &error);
            }
            None
        })
    }

    /// Ends the filling if all keys are shown: what is to be said of it.
    pub(super) fn end_filling(&mut self) -> Option<String> {
        if !self.store.all_are_shown() {
            return None;
        }
        let filling = self.filling.take()?;
        if filling.progress.damaged > 0 {
            let line = format!(
                "{} records of the pool are damaged and were left out",
                filling.progress.damaged
            );
            report::warn(&line);
        }
        Some(format!(
            "all keys of the pool are in the keyspace after {:.3} seconds; {} were put there now",
            filling.started.elapsed().as_secs_f64(),
            filling.progress.shown
        ))
    }

    /// After a flush: ends the filling if that has ended all keys that were to come.
    pub(in crate::keyspace) fn end_filling_if_flushed(&mut self) {
        if self.filling.is_some() && self.store.to_come() == 0 {
            self.filling = None;
            let line = "a flush has ended the filling of the keyspace";
            report::notice(line);
        }
    }

    /// How far the filling of the keyspace has come; `None` when it is over. The numbers are keys
    /// that were shown, keys to come, and seconds left, as far as can be said.
    pub fn filling_progress(&self) -> Option<(u64, u64, u64)> {
        let filling = self.filling.as_ref()?;
        let (shown, to_come) = (filling.progress.shown, self.store.to_come());
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
            report::warn(&line);
        }
    }
}
