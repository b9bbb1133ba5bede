//! Hash slots of a cluster whose keys are not this pool's any more.
//!
//! ```text
//! user word 5   offset of the runs, 0 if there are none
//! user word 6   number of runs
//! run           16 bytes, by ascending slots, which do not overlap
//!                0  8  word      bits 0–62: a tick; keys of the slots created at or before it are dead
//!                                bit 63: the slots are being imported: their keys are this node's only
//!                                if the cluster's configuration says that the slots are
//!                8  2  first     first slot
//!               10  2  last      last slot
//!               12  4  reserved  zero
//! ```
//!
//! So giving slots up is one step, however many keys they have, as a flush is: a server that is
//! killed before it has removed them does not find them again. So is an import that ends halfway:
//! what came of it is dead at the next start, as the slots are not this node's. A change writes all
//! runs anew, beside the old ones.
//!
//! While the server runs, keys that are dead by this table can still be in Redis's keyspace, out of
//! clients' reach: Redis removes them gradually, and their records must live until then. Their
//! memory is looked for only once Redis has let go of all of them (`trimmed`).

use crate::Store;
use crate::damaged::damaged;
use crate::key_counts::KeyCounts;
use crate::layout::DATA;
use crate::record::{self, RecordPtr};
use crate::slot::{self, SlotRange};
use crate::value::ValueType;
use bytemuck::{Pod, Zeroable};
use pobj::{PPtr, Pool, Result};
use static_assertions::const_assert_eq;

const TABLE: usize = 5;
const TABLE_LEN: usize = 6;
const TABLE_NAME: &str = "the table of hash slots";

/// Hash slots of a cluster.
pub const SLOTS: usize = slot::SLOTS as usize;

/// The bit of a word that tells of an import.
const IMPORTING: u64 = 1 << 63;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
struct Run {
    word: u64,
    first: u16,
    last: u16,
    reserved: u32,
}
const_assert_eq!(size_of::<Run>(), 16);

/// What is known of slots that were given up or are being imported.
pub struct Slots {
    table: Option<PPtr<Run>>,
    /// One word a slot, as on media; none if all are 0.
    words: Vec<u64>,
    /// For each slot the tick up to which no key of it is in Redis's keyspace; none if all are 0.
    trimmed: Vec<u64>,
    /// Keys in Redis's keyspace by space and slot; only in a cluster.
    counts: Option<Vec<Vec<KeyCounts>>>,
}

impl Slots {
    /// Reads the runs of the pool.
    ///
    /// # Errors
    /// `Damaged` if they are not what this code writes.
    pub fn open(pool: &Pool) -> Result<Slots> {
        let table = PPtr::<Run>::new(*pool.get(pool.user_word(TABLE))?);
        let mut words = Vec::new();
        if let Some(table) = table {
            let len = *pool.get(pool.user_word(TABLE_LEN))?;
            let bytes = pool.bytes(table.cast(), len.saturating_mul(size_of::<Run>() as u64))?;
            words = words_of(bytes.chunks_exact(size_of::<Run>()))
                .ok_or_else(|| damaged(TABLE_NAME))?;
        }
        Ok(Slots {
            table,
            words,
            trimmed: Vec::new(),
            counts: None,
        })
    }

    /// What is known of a pool whose runs cannot be read: nothing.
    pub fn unknown() -> Slots {
        Slots {
            table: None,
            words: Vec::new(),
            trimmed: Vec::new(),
            counts: None,
        }
    }

    /// Reads the runs again, after a group that may have changed them was taken back. Keys stay
    /// counted as they are.
    pub(crate) fn reload(&mut self, pool: &Pool) -> Result<()> {
        let found = Slots::open(pool)?;
        (self.table, self.words) = (found.table, found.words);
        Ok(())
    }

    /// Whether the pool has these runs, in an object of theirs. O(slots).
    ///
    /// # Errors
    /// `Damaged` if not.
    pub fn check(&self, pool: &Pool) -> Result<()> {
        let not_there = |_| damaged(TABLE_NAME);
        let found = Slots::open(pool).map_err(not_there)?;
        let (runs, own) = (runs_of(&found.words), runs_of(&self.words));
        let capacity = found.table.map_or(Ok(0), |table| pool.capacity(table));
        let capacity = capacity.map_err(not_there)?;
        if found.table == self.table && runs == own && capacity >= size_of_val(&*runs) as u64 {
            Ok(())
        } else {
            Err(damaged(TABLE_NAME))
        }
    }

    /// True unless the key of a record, `created` at this tick, lies in a slot that was given up
    /// since.
    ///
    /// # Errors
    /// `Damaged` if the record or its key is outside the pool.
    pub fn is_live(&self, pool: &Pool, record: RecordPtr, created: u64) -> Result<bool> {
        is_younger(&self.words, pool, record, created)
    }

    /// True if a record is dead for its slot, and no key of Redis's keyspace shows it.
    pub(crate) fn is_trimmed(&self, pool: &Pool, record: RecordPtr, created: u64) -> Result<bool> {
        Ok(!is_younger(&self.trimmed, pool, record, created)?)
    }

    /// The slots, and whose of them hold no keys that outlive the start.
    pub(crate) fn judge<'s>(&'s self, forbidden: &'s [bool]) -> Judge<'s> {
        Judge {
            words: &self.words,
            forbidden,
        }
    }

    /// The slots that are being imported.
    pub fn importing(&self) -> Vec<SlotRange> {
        let runs = runs_of(&self.words).into_iter();
        let importing = runs.filter(|run| run.word & IMPORTING != 0);
        let ranges = importing.map(|run| SlotRange {
            first: run.first,
            last: run.last,
        });
        ranges.collect()
    }

    /// Whether the keys of slots are counted.
    #[inline]
    pub(crate) fn counts_keys(&self) -> bool {
        self.counts.is_some()
    }

    /// Counts the keys of slots from now on: the server is a node of a cluster.
    pub fn count_keys(&mut self) {
        self.counts = Some(Vec::new());
    }

    /// Counts a key that has come to a slot (1), or left it (-1).
    #[inline]
    pub(crate) fn count(&mut self, space: u16, ty: ValueType, key: &[u8], by: i32) {
        let Some(counts) = &mut self.counts else {
            return;
        };
        let space = usize::from(space);
        if space >= counts.len() {
            counts.resize(space + 1, Vec::new());
        }
        let slots = &mut counts[space];
        slots.resize(SLOTS, KeyCounts::default());
        slots[slot_of(key)].count(ty, by);
    }

    /// Forgets the counts of a space, or of all.
    pub(crate) fn forget_counts(&mut self, space: Option<u16>) {
        let Some(counts) = &mut self.counts else {
            return;
        };
        match space {
            None => counts.clear(),
            Some(space) => {
                if let Some(slots) = counts.get_mut(usize::from(space)) {
                    slots.clear();
                }
            }
        }
    }

    /// Keys in Redis's keyspace, of all spaces, by slot. Outside of a cluster none is counted.
    pub fn keys_by_slot(&self) -> Vec<u64> {
        let mut keys = vec![0; SLOTS];
        for slots in self.counts.iter().flatten() {
            for (sum, counts) in keys.iter_mut().zip(slots) {
                *sum += counts.total();
            }
        }
        keys
    }

    /// Takes the counts of slots out: how many keys each space has in them.
    fn take_counts(&mut self, ranges: &[SlotRange]) -> Vec<(u16, KeyCounts)> {
        let counts = self.counts.iter_mut().flatten().enumerate();
        let taken = counts.map(|(space, slots)| {
            let mut keys = KeyCounts::default();
            for slot in slots_in(ranges) {
                if let Some(count) = slots.get_mut(slot) {
                    keys.add(std::mem::take(count));
                }
            }
            (space as u16, keys)
        });
        taken.collect()
    }

    /// Changes the words of slots, in one atomic, durable step.
    fn change(
        &mut self,
        pool: &mut Pool,
        ranges: &[SlotRange],
        mut f: impl FnMut(u64) -> u64,
    ) -> Result<()> {
        let mut words = self.words.clone();
        words.resize(SLOTS, 0);
        for slot in slots_in(ranges) {
            words[slot] = f(words[slot]);
        }
        if words == self.words || (self.words.is_empty() && words.iter().all(|&word| word == 0)) {
            return Ok(());
        }
        self.store(pool, words)
    }

    /// Moves the runs, if they lie in memory that is to be emptied.
    ///
    /// # Errors
    /// `Full`, which leaves them where they are.
    pub fn relocate(&mut self, pool: &mut Pool) -> Result<()> {
        match self.table {
            Some(table) if pool.evacuating(table) => self.store(pool, self.words.clone()),
            _ => Ok(()),
        }
    }

    /// Writes all words anew, in one atomic, durable step.
    fn store(&mut self, pool: &mut Pool, words: Vec<u64>) -> Result<()> {
        let runs = runs_of(&words);
        let mut tx = pool.begin();
        let table = if runs.is_empty() {
            None
        } else {
            let bytes: &[u8] = bytemuck::cast_slice(&runs);
            let table = tx.alloc(bytes.len() as u64, DATA)?;
            tx.fill(table, bytes)?;
            Some(table.ptr().cast())
        };
        tx.set(tx.user_word(TABLE), table.map_or(0, PPtr::offset))?;
        tx.set(tx.user_word(TABLE_LEN), runs.len() as u64)?;
        if let Some(old) = self.table {
            tx.free_older(old)?;
        }
        tx.commit()?;
        (self.table, self.words) = (table, words);
        Ok(())
    }
}

/// What the hash slot of a key says of it at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing.
    Lives,
    /// It was given up.
    GivenUp,
    /// This one is another node's, where no keys outlive the start.
    Foreign(u16),
}

/// The slots as several threads see them at the start.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'s> {
    words: &'s [u64],
    forbidden: &'s [bool],
}

impl Judge<'_> {
    /// What becomes of a record, `created` at this tick, whose key `key` gives if it is asked for.
    #[inline]
    pub(crate) fn fate<'k>(self, created: u64, key: impl FnOnce() -> Option<&'k [u8]>) -> Fate {
        if self.words.is_empty() && self.forbidden.is_empty() {
            return Fate::Lives;
        }
        let Some(slot) = key().map(slot_of) else {
            return Fate::Lives;
        };
        if self
            .words
            .get(slot)
            .is_some_and(|word| created <= word & !IMPORTING)
        {
            return Fate::GivenUp;
        }
        match self.forbidden.get(slot) {
            Some(true) => Fate::Foreign(slot as u16),
            _ => Fate::Lives,
        }
    }
}

/// True unless `words` has a tick for the slot of a record's key that is not before `created`.
#[inline]
fn is_younger(words: &[u64], pool: &Pool, record: RecordPtr, created: u64) -> Result<bool> {
    if words.is_empty() {
        return Ok(true);
    }
    let word = words[slot_of(record::key(pool, record)?)];
    Ok(created > word & !IMPORTING)
}

/// All slots of ranges; none that a cluster does not have.
fn slots_in(ranges: &[SlotRange]) -> impl Iterator<Item = usize> {
    let slots = ranges.iter().flat_map(|range| range.first..=range.last);
    slots.map(usize::from).filter(|&slot| slot < SLOTS)
}

/// The words that runs on media tell; `None` if they are damaged.
fn words_of<'r>(runs: impl Iterator<Item = &'r [u8]>) -> Option<Vec<u64>> {
    let mut words = vec![0; SLOTS];
    let mut next = 0;
    for bytes in runs {
        let run: Run = bytemuck::pod_read_unaligned(bytes);
        let (first, last) = (usize::from(run.first), usize::from(run.last));
        if first < next || last < first {
            return None;
        }
        words.get_mut(first..=last)?.fill(run.word);
        next = last + 1;
    }
    Some(words)
}

/// The runs of equal words that are not 0.
fn runs_of(words: &[u64]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (slot, &word) in words.iter().enumerate() {
        let slot = slot as u16;
        match runs.last_mut() {
            Some(run) if run.word == word && run.last + 1 == slot => run.last = slot,
            _ if word != 0 => runs.push(Run {
                word,
                first: slot,
                last: slot,
                reserved: 0,
            }),
            _ => {}
        }
    }
    runs
}

fn slot_of(key: &[u8]) -> usize {
    usize::from(slot::of(key))
}

impl Store {
    /// True while the record's key exists: it is not dead, nor flushed, nor in a slot that was
    /// given up since.
    ///
    /// # Errors
    /// `Damaged` if the record or its key is outside the pool.
    pub fn is_live(&self, record: RecordPtr) -> Result<bool> {
        let head = record::get(&self.pool, record)?;
        Ok(self.dbs.is_live(head) && self.slots.is_live(&self.pool, record, head.created)?)
    }

    /// The slots that are being imported.
    pub fn importing(&self) -> Vec<SlotRange> {
        self.slots.importing()
    }

    /// From now on keys will come to these slots that count only if the slots come, too. Durable on
    /// return, or with the group, which is not taken back then: the server takes nothing back.
    ///
    /// # Errors
    /// `Full` if there is no room for the runs although [all](mod@crate::must) was given; those of
    /// [`Tx::commit`](pobj::Tx::commit). Nothing is noted then.
    pub fn begin_import(&mut self, ranges: &[SlotRange]) -> Result<()> {
        self.keep_group();
        self.must(|store| {
            let Store { slots, pool, .. } = store;
            slots.change(pool, ranges, |word| word | IMPORTING)
        })
    }

    /// The slots have come, and their keys count. Durable as [`Store::begin_import`].
    ///
    /// # Errors
    /// As of [`Store::begin_import`].
    pub fn end_import(&mut self, ranges: &[SlotRange]) -> Result<()> {
        self.keep_group();
        self.must(|store| {
            let Store { slots, pool, .. } = store;
            slots.change(pool, ranges, |word| word & !IMPORTING)
        })
    }

    /// All keys of these slots that there are now are dead for a server that starts; an import of
    /// them is over. Durable as [`Store::begin_import`].
    ///
    /// # Errors
    /// As of [`Store::begin_import`].
    pub fn give_up(&mut self, ranges: &[SlotRange]) -> Result<()> {
        self.keep_group();
        self.must(|store| {
            let Store {
                slots, pool, dbs, ..
            } = store;
            let now = dbs.tick(pool)?;
            slots.change(pool, ranges, |_| now)
        })
    }

    /// [`Store::give_up`] of slots whose keys Redis drops at once, unheard: their memory is
    /// reclaimed.
    ///
    /// # Errors
    /// As of [`Store::begin_import`].
    pub fn trim(&mut self, ranges: &[SlotRange]) -> Result<()> {
        self.give_up(ranges)?;
        for (space, keys) in self.slots.take_counts(ranges) {
            self.dbs.uncount_keys(space, keys);
        }
        self.slots.trimmed.resize(SLOTS, 0);
        let Slots { trimmed, words, .. } = &mut self.slots;
        for slot in slots_in(ranges) {
            trimmed[slot] = words[slot];
        }
        self.start_sweep();
        Ok(())
    }

    /// Redis's keyspace is about to be filled: it shows no key that is dead for its slot.
    pub fn trust_slots(&mut self) {
        let words = self.slots.words.iter();
        self.slots.trimmed = words.map(|word| word & !IMPORTING).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_tell_words_and_words_runs() {
        let mut words = vec![0; SLOTS];
        assert_eq!(runs_of(&words), []);
        words[3..7].fill(9);
        words[7] = 9 | IMPORTING;
        words[SLOTS - 1] = 1;
        let runs = runs_of(&words);
        assert_eq!(runs.len(), 3);
        let bytes: &[u8] = bytemuck::cast_slice(&runs);
        assert_eq!(words_of(bytes.chunks_exact(16)), Some(words));
    }

    #[test]
    fn damaged_runs_are_refused() {
        let run = |first, last| Run {
            word: 1,
            first,
            last,
            reserved: 0,
        };
        for runs in [
            vec![run(4, 3)],
            vec![run(0, 16384)],
            vec![run(5, 6), run(6, 7)],
            vec![run(5, 6), run(0, 1)],
        ] {
            let bytes: &[u8] = bytemuck::cast_slice(&runs);
            assert_eq!(words_of(bytes.chunks_exact(16)), None, "{runs:?}");
        }
    }
}
