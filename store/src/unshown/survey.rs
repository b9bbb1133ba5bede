//! The look at all records at the start: which keys there are, and what is to be reclaimed.
//!
//! Only the records' fixed parts are read, by several threads; values are not touched, and keys
//! only where hash slots were given up. Ten million records take some hundred milliseconds.

use super::index::{self, Index};
use crate::Store;
use crate::key_counts::KeyCounts;
use crate::layout::RECORD;
use crate::record::{self, Record, RecordPtr};
use crate::slots::Fate;
use crate::structures;
use crate::value::ValueType;
use pobj::Reader;
use std::collections::BTreeSet;

/// Threads at most.
const THREADS: usize = 16;

/// What there is in the pool.
pub(super) struct Survey {
    /// Records of keys that can be shown.
    pub(super) index: Index,
    /// How many of these there are in each key space.
    pub(super) to_show: Vec<KeyCounts>,
    /// The types that they have.
    pub(super) types: Vec<ValueType>,
    /// Keys of databases that nobody shows.
    pub(super) unmapped: u64,
    /// There are records that a flush has ended, or the giving up of their hash slot.
    pub(super) has_flushed: bool,
    /// Keys of slots that are another node's, where none outlive the start; and these slots.
    pub(super) foreign: u64,
    pub(super) foreign_slots: BTreeSet<u16>,
    /// Records that cannot be what they are to be.
    pub(super) damaged: Vec<RecordPtr>,
}

/// What one thread has seen.
#[derive(Default)]
struct Seen {
    found: index::FoundRecords,
    /// Keys of each key space.
    keys: Vec<KeyCounts>,
    has_type: [bool; ValueType::ALL.len() + 1],
    has_flushed: bool,
    foreign: u64,
    foreign_slots: BTreeSet<u16>,
    dead: Vec<RecordPtr>,
    with_garbage: Vec<RecordPtr>,
    expiring: Vec<RecordPtr>,
    damaged: Vec<RecordPtr>,
}

impl Store {
    /// Looks at all records; notes what is to be reclaimed, and how many keys there are.
    /// `is_visible` tells of each key space whether a database of the server shows it, `forbidden`
    /// which slots, if any, are another node's and hold no keys that outlive the start. O(records).
    pub(super) fn look_at_all(&mut self, is_visible: &[bool], forbidden: &[bool]) -> Survey {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(THREADS);
        let expected = self.pool.count(RECORD) as usize / threads;
        let (dbs, judge) = (&self.dbs, self.slots.judge(forbidden));
        let visit = |seen: &mut Seen, record, head: &Record, reader: Reader<'_>| {
            let mut is_live = dbs.is_live(head);
            if is_live {
                match judge.fate(head.created, || record::key_seen(reader, record, head)) {
                    Fate::Lives => {}
                    Fate::GivenUp => is_live = false,
                    Fate::Foreign(slot) => {
                        is_live = false;
                        seen.foreign += 1;
                        seen.foreign_slots.insert(slot);
                    }
                }
            }
            look(seen, record, head, is_live, is_visible, expected);
        };
        let seen = self.pool.survey(RECORD, threads, visit);
        let mut survey = Survey {
            index: Index::build(Vec::new()),
            to_show: vec![KeyCounts::default(); is_visible.len()],
            types: Vec::new(),
            unmapped: 0,
            has_flushed: false,
            foreign: 0,
            foreign_slots: BTreeSet::new(),
            damaged: Vec::new(),
        };
        let mut found = Vec::with_capacity(seen.len());
        let mut has_type = [false; ValueType::ALL.len() + 1];
        for seen in seen {
            found.push(seen.found);
            for (keys, more) in survey.to_show.iter_mut().zip(seen.keys) {
                keys.add(more);
            }
            for (has, more) in has_type.iter_mut().zip(seen.has_type) {
                *has |= more;
            }
            survey.has_flushed |= seen.has_flushed;
            survey.foreign += seen.foreign;
            survey.foreign_slots.extend(seen.foreign_slots);
            survey.damaged.extend(seen.damaged);
            for record in seen.expiring {
                self.expiring.found(record);
            }
            for (records, listed) in [
                (seen.dead, &mut self.garbage.dead),
                (seen.with_garbage, &mut self.garbage.with_garbage),
            ] {
                for record in records {
                    match record::verify(&self.pool, record) {
                        Ok(()) => listed.push_back(record),
                        // A living one is told of when it is to be shown.
                        Err(_)
                            if record::get(&self.pool, record)
                                .is_ok_and(|head| head.created != 0) => {}
                        Err(_) => survey.damaged.push(record),
                    }
                }
            }
        }
        survey.index = Index::build(found);
        self.dbs.set_counts(&survey.to_show);
        for (keys, _) in survey
            .to_show
            .iter_mut()
            .zip(is_visible)
            .filter(|(_, visible)| !**visible)
        {
            survey.unmapped += std::mem::take(keys).total();
        }
        let types = ValueType::ALL.into_iter();
        survey.types = types.filter(|&ty| has_type[ty as usize]).collect();
        survey
    }
}

/// Looks at one record.
#[inline]
fn look(
    seen: &mut Seen,
    record: RecordPtr,
    head: &Record,
    is_live: bool,
    is_visible: &[bool],
    expected: usize,
) {
    if !is_live {
        match head.created {
            0 => seen.dead.push(record),
            _ => seen.has_flushed = true,
        }
        return;
    }
    let space = usize::from(head.space);
    let (Ok(ty), Some(&is_visible)) = (head.value_type(), is_visible.get(space)) else {
        seen.damaged.push(record);
        return;
    };
    if structures::has_garbage(ty, head.root) {
        seen.with_garbage.push(record);
    }
    if is_visible && structures::may_expire(ty, head.root) {
        seen.expiring.push(record);
    }
    if seen.keys.len() <= space {
        seen.keys.resize(space + 1, KeyCounts::default());
    }
    seen.keys[space].count(ty, 1);
    if is_visible {
        seen.has_type[ty as usize] = true;
        seen.found.add(head.check(), record, expected);
    }
}
