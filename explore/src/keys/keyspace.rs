//! A keyspace over the store, without a server: what Redis and the module's callbacks do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use store::expiry::KEY_NEVER;

use fastrand::Rng;
use pobj::{Error, PPtr, Pool, PoolOptions, Result};
use store::Store;
use store::edit::Plan;
use store::key_counts::KeyCounts;
use store::layout::pool_at;
use store::must::must;
use store::place::{Outcome, Place};
use store::record::{self, RecordPtr};
use store::slot::{self, SlotRange};
use store::structures::Root;
use store::value::ValueType;

use super::content::{self, Content};
use crate::check::Opened;
use crate::states::Description;
use crate::structures::Owned;

/// Databases in use.
const DBS: i32 = 3;
/// Names in use.
const NAMES: u8 = 5;
/// Those that a start asks for by name; all others are shown as they come.
const ASKED_FOR: [&[u8]; 2] = [b"a", b"d"];
/// Where the pool's table of databases hangs, and the runs of hash slots that were given up: the
/// objects that are no value's.
const TABLES: [usize; 2] = [1, 5];
/// A time that does not come.
const FAR: i64 = 4_000_000_000_000;

pub(super) type Name = (i32, Vec<u8>);

pub(super) struct Key {
    pub record: RecordPtr,
    pub content: Box<dyn Content>,
    pub expire_at: i64,
}

/// A line of a description.
fn line((db, name): &Name, content: &str, expire_at: i64) -> String {
    let name = String::from_utf8_lossy(name);
    format!("{db} {name} {content} {expire_at}")
}

/// The keys, as Redis keeps them, over the store.
pub struct Keyspace {
    pub(super) store: Store,
    pub(super) keys: BTreeMap<Name, Key>,
}

impl Opened for Keyspace {
    fn of(image: &Path) -> std::result::Result<Keyspace, String> {
        Keyspace::open(&pool_at(image)).map_err(|error| error.to_string())
    }

    fn pool(&self) -> &Pool {
        &self.store.pool
    }
}

impl Keyspace {
    /// Opens the pool and shows its keys, as the module does at start-up.
    pub fn open(options: &PoolOptions) -> Result<Keyspace> {
        let mut store = Store::open(options, |_, _, _| Ok(()))?;
        store.undo_take_over()?;
        store.slots.count_keys();
        // The slots of an import that was interrupted are another node's.
        let marked = store.importing();
        store.give_up(&marked)?;
        let is_visible = vec![true; store.dbs.count() as usize];
        let surveyed = store.survey(&is_visible, &[]);
        if let Some((_, error)) = surveyed.damaged.into_iter().next() {
            return Err(error);
        }
        let mut keyspace = Keyspace {
            store,
            keys: BTreeMap::new(),
        };
        for name in ASKED_FOR {
            for record in keyspace.store.take_unshown(name, None) {
                keyspace.show(record)?;
            }
        }
        while let Some(record) = keyspace.store.next_unshown() {
            keyspace.show(record)?;
        }
        assert!(keyspace.store.all_are_shown(), "the index is empty");
        Ok(keyspace)
    }

    /// Shows a record that has left the index.
    fn show(&mut self, record: RecordPtr) -> Result<()> {
        let Some(found) = self.store.found(record)? else {
            return Ok(());
        };
        let pool = &self.store.pool;
        let name = (found.db, record::key(pool, record)?.to_vec());
        let (root, inline) = (
            record::get(pool, record)?.root,
            record::inline(pool, record)?,
        );
        let key = Key {
            record,
            content: content::read(pool, found.ty, root, inline)?,
            expire_at: found.expire_at,
        };
        // Of two records of one key the younger one counts.
        if let Some(other) = self.keys.get(&name) {
            let older = other.record;
            if !self.store.displaces(&found, older) {
                return self.store.leave_out(&found);
            }
            self.free(older)?;
        }
        self.store.note_shown(&found, &name.1);
        self.keys.insert(name, key);
        Ok(())
    }

    /// Redis lets go of a value for good.
    fn free(&mut self, record: RecordPtr) -> Result<()> {
        self.store.let_go(record, false)
    }

    /// True for a key that would not outlive the server: its slot may yet turn out to be another
    /// node's.
    fn is_arriving(&self, (_, name): &Name) -> bool {
        let slot = slot::of(name);
        let imports = self.store.importing();
        imports.iter().any(|r| (r.first..=r.last).contains(&slot))
    }

    /// What the keys must be.
    pub fn expected(&self) -> Description {
        let keys = self.keys.iter();
        keys.filter(|(name, _)| !self.is_arriving(name))
            .map(|(name, key)| line(name, &key.content.line(), key.expire_at))
            .collect()
    }

    /// What the keys are, after a check of every value and of their counts; and of every object, if
    /// nothing waits for being reclaimed.
    pub fn describe(&self) -> Result<Description> {
        let pool = &self.store.pool;
        let (mut state, mut owned) = (Vec::new(), Owned::default());
        for table in TABLES {
            let at = *pool.get(pool.user_word(table))?;
            if at != 0 {
                owned.add(at);
            }
        }
        for (name, key) in &self.keys {
            let head = record::get(pool, key.record)?;
            let inline = record::inline(pool, key.record)?;
            owned.check(pool, head, inline)?;
            let content = content::read_line(pool, head.value_type()?, head.root, inline)?;
            if self.is_arriving(name) {
                continue;
            }
            state.push(line(name, &content, head.expire_at));
        }
        for db in 0..DBS {
            let (counted, there) = (self.store.dbs.keys_by_type(db), self.keys_of(db)?);
            if counted != there {
                let what = format!("{counted:?} are counted in database {db}, not {there:?}");
                return Err(Error::Damaged(what));
            }
        }
        if !self.store.has_garbage() && !self.keys.is_empty() {
            owned.must_be_all(pool)?;
        }
        Ok(state)
    }

    fn keys_of(&self, db: i32) -> Result<KeyCounts> {
        let mut counts = KeyCounts::default();
        for (_, key) in self.keys.iter().filter(|((own, _), _)| *own == db) {
            let head = record::get(&self.store.pool, key.record)?;
            counts.count(head.value_type()?, 1);
        }
        Ok(counts)
    }

    /// The pool itself.
    pub(crate) fn pool_mut(&mut self) -> &mut Pool {
        &mut self.store.pool
    }

    /// Does one step.
    pub fn act(&mut self, rng: &mut Rng) -> Result<()> {
        match rng.u32(..26) {
            0..4 => {
                self.store.begin_group();
                for _ in 0..rng.usize(2..5) {
                    self.change(rng)?;
                }
                self.store.end_group()
            }
            _ => self.act_alone(rng),
        }
    }

    /// Does one step that is no group of commands.
    pub(super) fn act_alone(&mut self, rng: &mut Rng) -> Result<()> {
        match rng.u32(4..26) {
            4..8 => self.store.reclaim(Duration::ZERO),
            8 => self.store.pool.trim(usize::MAX).map(drop),
            9..12 => self.compact(rng),
            _ => self.change(rng),
        }
    }

    /// One command.
    fn change(&mut self, rng: &mut Rng) -> Result<()> {
        match rng.u32(..47) {
            0..2 => self.swap(rng),
            2..5 => self.move_slot(rng),
            5 => self.flush(rng),
            _ => self.change_key(rng),
        }
    }

    /// One command that changes single keys.
    pub(super) fn change_key(&mut self, rng: &mut Rng) -> Result<()> {
        match rng.u32(..44) {
            0..8 => self.put(rng),
            8..20 => self.edit(rng),
            20..24 => self.delete(rng),
            24..28 => self.rename(rng),
            28..32 => self.copy(rng),
            32..35 => self.expire(rng),
            35..37 => self.move_to(rng),
            37..39 => self.create(rng),
            41.. => self.adopt(rng),
            _ => self.put_several(rng),
        }
    }

    pub(super) fn name(rng: &mut Rng) -> Name {
        (rng.i32(0..DBS), vec![b'a' + rng.u8(..NAMES)])
    }

    pub(super) fn any_time(rng: &mut Rng) -> i64 {
        *rng.choice(&[KEY_NEVER, FAR]).expect("not empty")
    }

    pub(super) fn existing(&self, rng: &mut Rng) -> Option<Name> {
        let nth = rng.usize(..self.keys.len().max(1));
        self.keys.keys().nth(nth).cloned()
    }

    /// What a command has done to a key's record is done to the key.
    pub(super) fn follow(
        &mut self,
        name: Name,
        outcome: Outcome,
        content: Box<dyn Content>,
        expire_at: i64,
    ) {
        if let Outcome::Created(space, addr) = outcome {
            let record = self.store.record_at(addr).expect("it was made");
            let head = record::get(&self.store.pool, record).expect("it was made");
            let ty = head.value_type().expect("it was made");
            self.store.count_new_key(space, ty, &name.1);
            let key = Key {
                record,
                content,
                expire_at,
            };
            self.keys.insert(name, key);
        }
    }

    /// A new value, whatever the key held: SET, RESTORE, SUNIONSTORE and others.
    pub fn put(&mut self, rng: &mut Rng) -> Result<()> {
        let name = Self::name(rng);
        let ty = *rng.choice(&ValueType::ALL).expect("not empty");
        let mut content = content::empty(ty);
        let old = self.keys.get(&name).map(|key| key.record);
        let creation = self.store.creation(name.0, KEY_NEVER)?;
        let (inline, mut outcome) = (content.inline(rng), Outcome::Nothing);
        let key = (name.1.as_slice(), ty, creation);
        (self.store).put(key, old, inline, &mut outcome, |tx, inline| {
            content.build(tx, rng, inline)
        })?;
        self.keys.remove(&name);
        self.follow(name, outcome, content, KEY_NEVER);
        old.map_or(Ok(()), |old| self.free(old))
    }

    /// The first element of a key that there is not: LPUSH, SADD and others.
    fn create(&mut self, rng: &mut Rng) -> Result<()> {
        let name = Self::name(rng);
        let ty = *rng.choice(&ValueType::ALL).expect("not empty");
        if self.keys.contains_key(&name) || ty == ValueType::String {
            return Ok(());
        }
        // Some area: no collection uses it.
        let Some(area) = self.keys.values().next() else {
            return Ok(());
        };
        let area = record::inline(&self.store.pool, area.record)?;
        let mut content = content::empty(ty);
        let creation = self.store.creation(name.0, KEY_NEVER)?;
        let (place, mut done) = (Place::absent(&name.1, ty, creation), None);
        self.store.edit(&place, &mut done, |tx, root| {
            *root = content.build(tx, rng, area)?;
            Ok(())
        })?;
        let ((), outcome) = done.expect("it was done");
        self.follow(name, outcome, content, KEY_NEVER);
        Ok(())
    }

    /// Strings for several keys of a database: MSET.
    fn put_several(&mut self, rng: &mut Rng) -> Result<()> {
        let db = rng.i32(0..DBS);
        let names: BTreeSet<Vec<u8>> = (0..rng.usize(2..4)).map(|_| Self::name(rng).1).collect();
        let names: Vec<Name> = names.into_iter().map(|name| (db, name)).collect();
        let (mut plans, mut contents, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for name in &names {
            let old = self.keys.get(name);
            let is_string = old.is_some_and(|key| key.content.ty() == ValueType::String);
            let (plan, content, at) = match old.filter(|_| is_string) {
                Some(key) => {
                    let plan = Plan::Edit(key.record, key.expire_at);
                    (plan, key.content.again(), key.expire_at)
                }
                None => {
                    let old = old.map(|key| key.record);
                    let creation = self.store.creation(db, KEY_NEVER)?;
                    let plan = Plan::Make(creation, ValueType::String, old);
                    (plan, content::empty(ValueType::String), KEY_NEVER)
                }
            };
            plans.push((name.1.as_slice(), plan));
            contents.push(content);
            times.push(at);
        }
        let room: Vec<u64> = contents.iter().map(|content| content.inline(rng)).collect();
        let plans = plans.into_iter();
        let outcomes = self.store.put_all(
            plans,
            |i| room[i],
            |i, tx, root, inline| match *root {
                Root::EMPTY => {
                    *root = contents[i].build(tx, rng, inline)?;
                    Ok(())
                }
                _ => contents[i].change(tx, rng, root, inline).map(drop),
            },
        )?;
        for (((name, outcome), content), at) in
            names.into_iter().zip(outcomes).zip(contents).zip(times)
        {
            match outcome {
                Outcome::Created(..) => {
                    let old = self.keys.remove(&name).map(|key| key.record);
                    self.follow(name, outcome, content, at);
                    old.map_or(Ok(()), |old| self.free(old))?;
                }
                _ => self.keys.get_mut(&name).expect("it exists").content = content,
            }
        }
        Ok(())
    }

    fn edit(&mut self, rng: &mut Rng) -> Result<()> {
        let Some(name) = self.existing(rng) else {
            return Ok(());
        };
        let Key {
            record, content, ..
        } = self.keys.get_mut(&name).expect("it exists");
        let (record, ty) = (*record, content.ty());
        if ty == ValueType::String {
            let mut done = None;
            return (self.store).edit_inline(record, None, &mut done, |tx, root, inline| {
                content.change(tx, rng, root, inline).map(drop)
            });
        }
        let (place, mut done) = (Place::at(record, ty), None);
        self.store.edit_leaving(&place, &mut done, |tx, root| {
            let inline = record::inline(tx, record)?;
            let given_up = content.change(tx, rng, root, inline)?;
            Ok(((), [given_up]))
        })?;
        if let Some(((), Outcome::Emptied(_))) = done {
            self.keys.remove(&name);
            self.store.let_go(record, true)?;
        }
        Ok(())
    }

    pub(super) fn delete(&mut self, rng: &mut Rng) -> Result<()> {
        match self.existing(rng) {
            Some(name) => self.retire(&name),
            None => Ok(()),
        }
    }

    pub(super) fn retire(&mut self, name: &Name) -> Result<()> {
        let key = self.keys.remove(name);
        key.map_or(Ok(()), |key| self.free(key.record))
    }

    /// Does what one native command does, in a group unless there is one.
    fn as_one(&mut self, f: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if self.store.pool.in_group() {
            return f(self);
        }
        self.store.begin_group();
        f(self)?;
        self.store.end_group()
    }

    fn rename(&mut self, rng: &mut Rng) -> Result<()> {
        let (name, source) = (Self::name(rng).1, self.existing(rng));
        let Some(source) = source.filter(|(_, source)| *source != name) else {
            return Ok(());
        };
        let target = (source.0, name);
        self.as_one(|this| {
            this.retire(&target)?;
            let mut key = this.keys.remove(&source).expect("it exists");
            let old = key.record;
            key.record = must(&mut this.store, |store| {
                store.rename(old, &target.1, target.0)
            })?;
            this.keys.insert(target, key);
            Ok(())
        })
    }

    fn copy(&mut self, rng: &mut Rng) -> Result<()> {
        let (target, source) = (Self::name(rng), self.existing(rng));
        let Some(source) = source.filter(|source| *source != target) else {
            return Ok(());
        };
        let copy = |this: &mut Self| {
            let key = &this.keys[&source];
            let copy = Key {
                record: this.store.copy(key.record, &target.1, target.0)?,
                content: key.content.again(),
                expire_at: key.expire_at,
            };
            this.retire(&target)?;
            this.keys.insert(target, copy);
            Ok(())
        };
        // Between two event-loop cycles there are no groups.
        if rng.bool() {
            self.as_one(copy)
        } else {
            copy(self)
        }
    }

    fn expire(&mut self, rng: &mut Rng) -> Result<()> {
        let Some(name) = self.existing(rng) else {
            return Ok(());
        };
        let key = self.keys.get_mut(&name).expect("it exists");
        key.expire_at = Self::any_time(rng);
        self.store.set_expire(key.record, key.expire_at)
    }

    fn move_to(&mut self, rng: &mut Rng) -> Result<()> {
        let Some(source) = self.existing(rng) else {
            return Ok(());
        };
        let target = (rng.i32(0..DBS), source.1.clone());
        if self.keys.contains_key(&target) {
            return Ok(());
        }
        let key = self.keys.remove(&source).expect("it exists");
        self.store.move_to(key.record, target.0)?;
        self.keys.insert(target, key);
        Ok(())
    }

    fn swap(&mut self, rng: &mut Rng) -> Result<()> {
        let (a, b) = (rng.i32(0..DBS), rng.i32(0..DBS));
        self.store.dbs.swap(&mut self.store.pool, a, b)?;
        let keys = std::mem::take(&mut self.keys);
        let swapped = |db| match db {
            _ if db == a => b,
            _ if db == b => a,
            _ => db,
        };
        let keys = keys.into_iter();
        self.keys = keys
            .map(|((db, name), key)| ((swapped(db), name), key))
            .collect();
        Ok(())
    }

    fn flush(&mut self, rng: &mut Rng) -> Result<()> {
        let db = (rng.u8(..3) > 0).then(|| rng.i32(0..DBS));
        self.store.flush(db)?;
        self.keys
            .retain(|(own, _), _| db.is_some_and(|db| db != *own));
        Ok(())
    }

    /// A hash slot comes, has come, does not come after all, or goes.
    fn move_slot(&mut self, rng: &mut Rng) -> Result<()> {
        let (_, name) = Self::name(rng);
        let slot = slot::of(&name);
        let range = [SlotRange {
            first: slot,
            last: slot,
        }];
        if self.is_arriving(&(0, name.clone())) && rng.bool() {
            return self.store.end_import(&range);
        }
        self.store.trim(&range)?;
        self.keys.retain(|(_, own), _| *own != name);
        if rng.bool() {
            self.store.begin_import(&range)
        } else {
            Ok(())
        }
    }

    /// Reclaims all memory that waits for it.
    pub(crate) fn reclaim_all(&mut self) -> Result<()> {
        while self.store.has_garbage() {
            self.store.reclaim(Duration::from_secs(1))?;
        }
        Ok(())
    }

    /// Ends all keys and the tables: a pool without anything.
    pub fn end(mut self) -> Result<Pool> {
        self.store.end_round();
        self.store.flush(None)?;
        self.reclaim_all()?;
        let mut pool = self.store.pool;
        let mut tx = pool.begin();
        for table in TABLES {
            let table = PPtr::<u8>::new(*tx.get(tx.user_word(table))?);
            table.map_or(Ok(()), |table| tx.free(table))?;
        }
        tx.commit()?;
        Ok(pool)
    }
}
