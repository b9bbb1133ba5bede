//! Databases, the key spaces they show, and the pool's own clock.
//!
//! ```text
//! user word 0   clock limit: no tick at or above it was ever given out
//! user word 1   offset of the table, 0 before the first key
//! user word 2   entries in the table
//! user word 3   2 while the pool takes over the keys of a file, 1 those of a master, else 0
//! user word 4   number of the run that has the pool open, or had it last (see `lsn`)
//! user word 5   and 6: hash slots of a cluster that were given up (see `slots`)
//! table         one entry of 16 bytes per database number d
//!                 0  8  space    the key space that database d shows
//!                 8  8  flushed  tick of the last flush of *space* d: records created before are dead
//! ```
//!
//! So FLUSHDB is one word, FLUSHALL one word a database, SWAPDB two words, whatever the number of
//! keys; the memory of flushed records is reclaimed in the background.

use super::key_counts::KeyCounts;
use super::record::Record;
use super::value::ValueType;
use crate::damaged::damaged;
use crate::layout::DATA;
use bytemuck::{Pod, Zeroable};
use pobj::{Error, PPtr, Pool, Result, Tx, field};
use static_assertions::const_assert_eq;

const CLOCK_LIMIT: usize = 0;
const TABLE: usize = 1;
const TABLE_LEN: usize = 2;
const TABLE_NAME: &str = "the table of databases";
const TAKING_OVER: usize = 3;
const FROM_MASTER: u64 = 1;
const FROM_FILE: u64 = 2;

/// Databases a pool can have: the number of a space has 16 bits on media.
pub const DBS_MAX: usize = 1 << 16;
/// Entries of the first table.
const DBS_MIN: usize = 16;

/// Ticks claimed from the pool at a time.
const CLAIM: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Entry {
    space: u64,
    flushed: u64,
}
const_assert_eq!(size_of::<Entry>(), 16);

/// Whose keys a pool takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Those of an RDB or an AOF: nobody else has them.
    File,
    /// A master's, which can be had again.
    Master,
}

/// The databases of an open pool, mirrored in DRAM.
pub struct Dbs {
    table: Option<PPtr<Entry>>,
    entries: Vec<Entry>,
    /// Live keys of each *space*; in DRAM only, counted as keys come and go in Redis's keyspace.
    keys: Vec<KeyCounts>,
    /// Keys of databases that nobody sees, as the last survey has found them.
    unmapped: u64,
    now: u64,
    limit: u64,
}

impl Dbs {
    /// Reads the databases of the pool.
    ///
    /// # Errors
    /// `Damaged` if the table lies outside the pool, or names a key space that it does not have.
    pub fn open(pool: &Pool) -> Result<Dbs> {
        let limit = *pool.get(pool.user_word(CLOCK_LIMIT))?;
        let table = PPtr::<Entry>::new(*pool.get(pool.user_word(TABLE))?);
        let mut entries = Vec::new();
        if let Some(table) = table {
            let len = *pool.get(pool.user_word(TABLE_LEN))?;
            let bytes = pool.bytes(table.cast(), len.saturating_mul(size_of::<Entry>() as u64))?;
            entries = bytes
                .chunks_exact(size_of::<Entry>())
                .map(bytemuck::pod_read_unaligned)
                .collect();
            let len = entries.len() as u64;
            if entries.iter().any(|entry: &Entry| entry.space >= len) {
                return Err(damaged(TABLE_NAME));
            }
        }
        Ok(Dbs {
            table,
            keys: vec![KeyCounts::default(); entries.len()],
            unmapped: 0,
            entries,
            now: limit,
            limit,
        })
    }

    /// Reads the table again, after a group that may have changed it was taken back. Keys stay
    /// counted as they are, and the clock where it is.
    pub(crate) fn reload(&mut self, pool: &Pool) -> Result<()> {
        let found = Dbs::open(pool)?;
        self.keys.resize(found.entries.len(), KeyCounts::default());
        (self.table, self.entries, self.limit) = (found.table, found.entries, found.limit);
        Ok(())
    }

    /// Whether the pool has this table, in an object of its own. O(databases).
    ///
    /// # Errors
    /// `Damaged` if not.
    pub fn check(&self, pool: &Pool) -> Result<()> {
        let not_there = |_| damaged(TABLE_NAME);
        let found = Dbs::open(pool).map_err(not_there)?;
        let bytes: &[u8] = bytemuck::cast_slice(&found.entries);
        let own: &[u8] = bytemuck::cast_slice(&self.entries);
        let capacity = found.table.map_or(Ok(0), |table| pool.capacity(table));
        let capacity = capacity.map_err(not_there)?;
        if found.table == self.table && bytes == own && capacity >= bytes.len() as u64 {
            Ok(())
        } else {
            Err(damaged(TABLE_NAME))
        }
    }

    /// The next tick of the pool's clock: later than every tick before, also across restarts.
    ///
    /// # Errors
    /// Those of [`Tx::commit`](pobj::Tx::commit): one in a million ticks is noted in the pool.
    pub fn tick(&mut self, pool: &mut Pool) -> Result<u64> {
        if self.now + 1 >= self.limit {
            let mut tx = pool.begin();
            let limit = self.now + CLAIM;
            tx.set(tx.user_word(CLOCK_LIMIT), limit)?;
            tx.commit()?;
            self.limit = limit;
        }
        self.now += 1;
        Ok(self.now)
    }

    /// The tick that was given out last.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// True if the pool has never had a key.
    pub fn is_unused(&self) -> bool {
        self.table.is_none()
    }

    /// Whose keys the pool began to take over, if it has not been told that these were all.
    ///
    /// # Errors
    /// `Damaged` if the pool has no such word.
    pub fn taking_over(pool: &Pool) -> Result<Option<Origin>> {
        Ok(match *pool.get(pool.user_word(TAKING_OVER))? {
            0 => None,
            FROM_FILE => Some(Origin::File),
            _ => Some(Origin::Master),
        })
    }

    /// Notes, durably, that such a take-over begins, or is complete (`None`).
    ///
    /// # Errors
    /// Those of [`Tx::commit`](pobj::Tx::commit).
    pub fn set_taking_over(pool: &mut Pool, origin: Option<Origin>) -> Result<()> {
        let word = match origin {
            None => 0,
            Some(Origin::Master) => FROM_MASTER,
            Some(Origin::File) => FROM_FILE,
        };
        let mut tx = pool.begin();
        tx.set(tx.user_word(TAKING_OVER), word)?;
        tx.commit()
    }

    /// Keys of database `db`. O(1).
    pub fn keys(&self, db: i32) -> u64 {
        self.keys_by_type(db).total()
    }

    /// Keys of database `db`, by the type of their values. O(1).
    pub fn keys_by_type(&self, db: i32) -> KeyCounts {
        let space = self.entries.get(db.max(0) as usize).map(|e| e.space);
        space.map_or(KeyCounts::default(), |space| self.keys[space as usize])
    }

    /// How many databases the pool knows; those with keys are among them.
    pub fn count(&self) -> i32 {
        self.entries.len() as i32
    }

    /// Counts a key that has come to a space.
    #[inline]
    pub(crate) fn count_key(&mut self, space: u16, ty: ValueType) {
        if let Some(keys) = self.keys.get_mut(usize::from(space)) {
            keys.count(ty, 1);
        }
    }

    /// Counts a key that has left a space.
    #[inline]
    pub(crate) fn uncount_key(&mut self, space: u16, ty: ValueType) {
        if let Some(keys) = self.keys.get_mut(usize::from(space)) {
            keys.count(ty, -1);
        }
    }

    /// Counts several keys that have left a space.
    pub(crate) fn uncount_keys(&mut self, space: u16, keys: KeyCounts) {
        if let Some(counts) = self.keys.get_mut(usize::from(space)) {
            counts.subtract(keys);
        }
    }

    /// The key space that database `db` shows, which gets a table entry if it has none.
    ///
    /// # Errors
    /// `TooLarge` for a database beyond 65,535.
    pub fn space(&mut self, pool: &mut Pool, db: i32) -> Result<u16> {
        let db = db.max(0) as usize;
        if db >= self.entries.len() {
            self.grow(pool, db + 1)?;
        }
        Ok(self.entries[db].space as u16)
    }

    /// The database that shows key space `space`; `None` for a space that the table does not have.
    pub fn db_of(&self, space: u16) -> Option<i32> {
        self.entries
            .iter()
            .position(|entry| entry.space == u64::from(space))
            .map(|db| db as i32)
    }

    /// True while the record's key exists.
    #[inline]
    pub fn is_live(&self, record: &Record) -> bool {
        let flushed = self
            .entries
            .get(usize::from(record.space))
            .map_or(0, |entry| entry.flushed);
        record.created > flushed
    }

    fn grow(&mut self, pool: &mut Pool, len: usize) -> Result<()> {
        if len > DBS_MAX {
            return Err(Error::TooLarge(len as u64));
        }
        let len = len.next_power_of_two().max(DBS_MIN);
        let fresh = (self.entries.len()..len).map(|db| Entry {
            space: db as u64,
            flushed: 0,
        });
        let entries: Vec<Entry> = self.entries.iter().copied().chain(fresh).collect();
        let mut tx = pool.begin();
        let bytes: &[u8] = bytemuck::cast_slice(&entries);
        let table = tx.alloc(bytes.len() as u64, DATA)?;
        tx.fill(table, bytes)?;
        tx.set(tx.user_word(TABLE), table.offset())?;
        tx.set(tx.user_word(TABLE_LEN), len as u64)?;
        if let Some(old) = self.table {
            tx.free_older(old)?;
        }
        tx.commit()?;
        (self.table, self.entries) = (Some(table.ptr().cast()), entries);
        self.keys.resize(len, KeyCounts::default());
        Ok(())
    }

    /// Moves the table out of the way of an evacuation.
    ///
    /// # Errors
    /// `Damaged` if no object starts where the table is said to be; those of
    /// [`Tx::commit`](pobj::Tx::commit). The table stays where it is then.
    pub fn relocate(&mut self, pool: &mut Pool) -> Result<()> {
        let Some(table) = self.table else {
            return Ok(());
        };
        let mut tx = pool.begin();
        if let Some(moved) = tx.relocate(table.cast(), DATA)? {
            tx.set(tx.user_word(TABLE), moved.offset())?;
            tx.commit()?;
            self.table = Some(moved.ptr().cast());
        }
        Ok(())
    }

    fn entry(&self, index: usize) -> Option<PPtr<Entry>> {
        self.table
            .map(|table| table.at((index * size_of::<Entry>()) as u64))
    }

    /// Counts no key any more: Redis's keyspace has been emptied.
    pub(crate) fn forget_counts(&mut self) {
        self.keys.fill(KeyCounts::default());
    }

    /// Sets how many keys each *space* has.
    pub(crate) fn set_counts(&mut self, counts: &[KeyCounts]) {
        let none = std::iter::repeat(KeyCounts::default());
        let counts = counts.iter().copied().chain(none);
        for (keys, count) in self.keys.iter_mut().zip(counts) {
            *keys = count;
        }
    }

    /// The key space that database `db` shows, if it has an entry in the table.
    pub fn space_of(&self, db: i32) -> Option<u16> {
        let entry = self.entries.get(usize::try_from(db).ok()?)?;
        Some(entry.space as u16)
    }

    /// Keys of databases that whoever had the pool surveyed does not have: they stay, until all are
    /// flushed.
    pub fn unmapped(&self) -> u64 {
        self.unmapped
    }

    /// A survey has found so many keys of databases that nobody sees.
    pub(crate) fn note_unmapped(&mut self, keys: u64) {
        self.unmapped = keys;
    }

    /// Ends the life of every key of `db`, or of all databases, in one atomic step.
    pub(crate) fn flush(&mut self, pool: &mut Pool, db: Option<i32>) -> Result<()> {
        let now = self.tick(pool)?;
        let spaces: Vec<usize> = match db {
            None => (0..self.entries.len()).collect(),
            Some(db) => self
                .entries
                .get(db.max(0) as usize)
                .map(|e| e.space as usize)
                .filter(|&space| space < self.entries.len())
                .into_iter()
                .collect(),
        };
        let mut tx = pool.begin();
        for &space in &spaces {
            if let Some(entry) = self.entry(space) {
                tx.set(field!(entry, Entry, flushed), now)?;
            }
        }
        tx.commit()?;
        for space in spaces {
            self.entries[space].flushed = now;
            self.keys[space] = KeyCounts::default();
        }
        if db.is_none() {
            self.unmapped = 0;
        }
        Ok(())
    }

    /// Exchanges the key spaces of two databases, in one atomic step.
    ///
    /// # Errors
    /// As of [`Dbs::space`], for both; those of [`Tx::commit`](pobj::Tx::commit). Nothing is
    /// exchanged then.
    pub fn swap(&mut self, pool: &mut Pool, a: i32, b: i32) -> Result<()> {
        let (space_a, space_b) = (self.space(pool, a)?, self.space(pool, b)?);
        let mut tx = pool.begin();
        self.set_space(&mut tx, a, space_b)?;
        self.set_space(&mut tx, b, space_a)?;
        tx.commit()?;
        self.entries[a as usize].space = u64::from(space_b);
        self.entries[b as usize].space = u64::from(space_a);
        Ok(())
    }

    fn set_space(&self, tx: &mut Tx<'_>, db: i32, space: u16) -> Result<()> {
        match self.entry(db as usize) {
            Some(entry) => tx.set(field!(entry, Entry, space), u64::from(space)),
            None => Ok(()),
        }
    }
}
