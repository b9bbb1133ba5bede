//! A keyspace over the module's engine, without a server: what Redis and the callbacks do.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use pmedis::keyspace::Engine;
use pmedis::keyspace::reclaim::entomb;
use pmedis::keyspace::slots::slot_of;
use pmedis::redis::SlotRange;
use pobj::{Cursor, Kind, PPtr, Pool, PoolOptions, Result};
use store::record::{self, Fields, NEVER, RecordPtr};
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
/// Where the pool's table of databases hangs, and the runs of hash slots that were given up: the objects that
/// are no value's.
const TABLES: [usize; 2] = [1, 5];

type Name = (i32, Vec<u8>);

struct Key {
    record: RecordPtr,
    birth: u64,
    content: Box<dyn Content>,
    expire_at: i64,
}

/// A line of a description.
fn line((db, name): &Name, content: &str, expire_at: i64) -> String {
    let name = String::from_utf8_lossy(name);
    format!("{db} {name} {content} {expire_at}")
}

/// The keys, as Redis keeps them, over the engine.
pub struct Keyspace {
    engine: Engine,
    keys: BTreeMap<Name, Key>,
}

impl Opened for Keyspace {
    fn of(image: &Path) -> std::result::Result<Keyspace, String> {
        Keyspace::open(image).map_err(|error| error.to_string())
    }

    fn pool(&self) -> &Pool {
        &self.engine.pool
    }
}

impl Keyspace {
    /// Opens the pool and fills the keyspace, as the module does at start-up.
    fn open(path: &Path) -> Result<Keyspace> {
        let mut engine = Engine::open(&PoolOptions::new(path))?;
        // The slots of an import that was interrupted are another node's.
        let marked = engine.importing();
        engine.give_up(&marked)?;
        engine.trust_slots();
        let mut keyspace = Keyspace {
            engine,
            keys: BTreeMap::new(),
        };
        let (mut cursor, mut flushed) = (Cursor::default(), false);
        while let Some((object, next)) = keyspace.engine.pool.next_object(Kind::Record, cursor) {
            cursor = next;
            flushed |= keyspace.find(object.cast())?;
        }
        keyspace.engine.serve(flushed);
        Ok(keyspace)
    }

    /// Takes one record; true if a flush has ended it.
    fn find(&mut self, record: RecordPtr) -> Result<bool> {
        let engine = &mut self.engine;
        record::verify(&engine.pool, record)?;
        let head = *record::get(&engine.pool, record)?;
        if !engine.is_live(record)? {
            if head.birth == 0 {
                engine.reclaim_later([record]);
            }
            return Ok(head.birth != 0);
        }
        engine.note_waste(Some(record), head.value_type()?, Root::EMPTY, head.root);
        let db = engine.dbs.db_of(head.space).expect("a database shows it");
        let inline = record::inline(&engine.pool, record)?;
        let key = Key {
            record,
            birth: head.birth,
            content: content::read(&engine.pool, head.value_type()?, head.root, inline)?,
            expire_at: head.expire_at,
        };
        let name = (db, record::key(&engine.pool, record)?.to_vec());
        // Of two records of one key the younger one counts.
        let older = match self.keys.get(&name) {
            Some(other) if other.birth >= key.birth => Some(record),
            _ => self.keys.insert(name, key).map(|older| older.record),
        };
        older.map_or(Ok(()), |older| engine.bury(older))?;
        Ok(false)
    }

    /// True for a key that would not outlive the server: its slot may yet turn out to be another node's.
    fn is_arriving(&self, (_, name): &Name) -> bool {
        let slot = slot_of(name) as u16;
        let imports = self.engine.importing();
        imports.iter().any(|r| (r.first..=r.last).contains(&slot))
    }

    /// What the keys must be.
    pub fn expected(&self) -> Description {
        let keys = self.keys.iter();
        keys.filter(|(name, _)| !self.is_arriving(name))
            .map(|(name, key)| line(name, &key.content.line(), key.expire_at))
            .collect()
    }

    /// What the keys are, after a check of every value; and of every object, if nothing waits for
    /// being reclaimed.
    pub fn describe(&self) -> Result<Description> {
        let pool = &self.engine.pool;
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
        if !self.engine.has_garbage() && !self.keys.is_empty() {
            owned.must_be_all(pool)?;
        }
        Ok(state)
    }

    /// Whether commits leave their fence for later.
    pub fn set_lazy(&mut self, lazy: bool) {
        self.engine.pool.set_lazy(lazy);
    }

    /// Makes durable what was done.
    pub fn settle(&self) {
        self.engine.pool.settle();
    }

    /// Does one step.
    pub fn act(&mut self, rng: &mut Rng) -> Result<()> {
        match rng.u32(..26) {
            0..4 => {
                self.engine.pool.hold();
                for _ in 0..rng.usize(2..5) {
                    self.change(rng)?;
                }
                self.engine.pool.release()
            }
            4..8 => {
                self.engine.reclaim(Duration::ZERO);
                Ok(())
            }
            8 => self.engine.pool.trim(usize::MAX).map(drop),
            9..11 => self.move_some(rng),
            _ => self.change(rng),
        }
    }

    /// Moves some records, as compaction does.
    fn move_some(&mut self, rng: &mut Rng) -> Result<()> {
        for key in self.keys.values().filter(|_| rng.bool()) {
            self.engine.pool.evacuate(key.record);
        }
        let records: Vec<_> = self.keys.values().map(|key| key.record).collect();
        let moved = self.engine.move_records(&records)?;
        for (key, moved) in self.keys.values_mut().zip(moved) {
            if let Some(record) = moved.and_then(|addr| self.engine.record_at(addr)) {
                key.record = record;
            }
        }
        self.engine.dbs.relocate(&mut self.engine.pool)?;
        self.engine.pool.end_evacuation();
        Ok(())
    }

    /// One command.
    fn change(&mut self, rng: &mut Rng) -> Result<()> {
        match rng.u32(..43) {
            0..8 => self.put(rng),
            8..20 => self.edit(rng),
            20..24 => self.delete(rng),
            24..28 => self.rename(rng),
            28..32 => self.copy(rng),
            32..35 => self.expire(rng),
            35..37 => self.move_to(rng),
            37..39 => self.swap(rng),
            39..42 => self.move_slot(rng),
            _ => self.flush(rng),
        }
    }

    fn name(rng: &mut Rng) -> Name {
        (rng.i32(0..DBS), vec![b'a' + rng.u8(..NAMES)])
    }

    fn existing(&self, rng: &mut Rng) -> Option<Name> {
        let nth = rng.usize(..self.keys.len().max(1));
        self.keys.keys().nth(nth).cloned()
    }

    /// A new value, whatever the key held: SET, RESTORE, SUNIONSTORE and others.
    pub fn put(&mut self, rng: &mut Rng) -> Result<()> {
        let (db, name) = Self::name(rng);
        let ty = *rng.choice(&ValueType::ALL).expect("not empty");
        let mut content = content::empty(ty);
        let old = self.keys.get(&(db, name.clone())).map(|key| key.record);
        let space = self.engine.dbs.space(&mut self.engine.pool, db)?;
        let birth = self.engine.dbs.tick(&mut self.engine.pool)?;
        let mut tx = self.engine.pool.begin();
        let fields = Fields {
            ty,
            space,
            birth,
            expire_at: NEVER,
            root: Root::EMPTY,
        };
        let inline = content.inline(rng);
        let made = record::make(&mut tx, &name, inline, fields, |tx, inline| {
            content.build(tx, rng, inline)
        })?;
        if let Some(old) = old {
            record::kill(&mut tx, old)?;
        }
        tx.commit()?;
        self.keys.remove(&(db, name.clone()));
        if let Some(record) = made {
            let key = Key {
                record,
                birth,
                content,
                expire_at: NEVER,
            };
            self.keys.insert((db, name), key);
        }
        old.map_or(Ok(()), |old| self.engine.bury(old))
    }

    fn edit(&mut self, rng: &mut Rng) -> Result<()> {
        let Some(name) = self.existing(rng) else {
            return Ok(());
        };
        let key = self.keys.get_mut(&name).expect("it exists");
        let mut tx = self.engine.pool.begin();
        let old = record::get(&tx, key.record)?.root;
        let inline = record::inline(&tx, key.record)?;
        let mut root = old;
        let given_up = key.content.change(&mut tx, rng, &mut root, inline)?;
        let dead = entomb(&mut tx, key.content.ty(), given_up)?;
        match root {
            Root::EMPTY => tx.free(key.record)?,
            _ => record::set_root(&mut tx, key.record, old, root)?,
        }
        tx.commit()?;
        self.engine.reclaim_later(dead);
        let ty = key.content.ty();
        self.engine.note_waste(Some(key.record), ty, old, root);
        if root == Root::EMPTY {
            self.keys.remove(&name);
        }
        Ok(())
    }

    fn delete(&mut self, rng: &mut Rng) -> Result<()> {
        match self.existing(rng) {
            Some(name) => self.bury(&name),
            None => Ok(()),
        }
    }

    fn bury(&mut self, name: &Name) -> Result<()> {
        let key = self.keys.remove(name);
        key.map_or(Ok(()), |key| self.engine.bury(key.record))
    }

    /// Does what one native command does, in a group unless there is one.
    fn as_one(&mut self, f: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if self.engine.pool.is_held() {
            return f(self);
        }
        self.engine.pool.hold();
        f(self)?;
        self.engine.pool.release()
    }

    fn rename(&mut self, rng: &mut Rng) -> Result<()> {
        let (target, source) = (Self::name(rng), self.existing(rng));
        let Some(source) = source.filter(|source| *source != target) else {
            return Ok(());
        };
        self.as_one(|this| {
            this.bury(&target)?;
            let mut key = this.keys.remove(&source).expect("it exists");
            key.record = this.engine.rename(key.record, &target.1, target.0)?;
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
            let (ty, content) = (key.content.ty(), key.content.again());
            let record = this.engine.copy(key.record, ty, &target.1, target.0)?;
            let copy = Key {
                record,
                birth: record::get(&this.engine.pool, record)?.birth,
                content,
                expire_at: key.expire_at,
            };
            this.bury(&target)?;
            this.keys.insert(target, copy);
            Ok(())
        };
        // Between two turns of the event loop there are no groups.
        match rng.bool() {
            true => self.as_one(copy),
            false => copy(self),
        }
    }

    fn expire(&mut self, rng: &mut Rng) -> Result<()> {
        let Some(name) = self.existing(rng) else {
            return Ok(());
        };
        let key = self.keys.get_mut(&name).expect("it exists");
        key.expire_at = *rng.choice(&[NEVER, 4_000_000_000_000]).expect("not empty");
        let mut tx = self.engine.pool.begin();
        record::set_expire(&mut tx, key.record, key.expire_at)?;
        tx.commit()
    }

    fn move_to(&mut self, rng: &mut Rng) -> Result<()> {
        let Some(source) = self.existing(rng) else {
            return Ok(());
        };
        let target = (rng.i32(0..DBS), source.1.clone());
        if self.keys.contains_key(&target) {
            return Ok(());
        }
        let mut key = self.keys.remove(&source).expect("it exists");
        let space = self.engine.dbs.space(&mut self.engine.pool, target.0)?;
        key.birth = self.engine.dbs.tick(&mut self.engine.pool)?;
        let mut tx = self.engine.pool.begin();
        record::set_space(&mut tx, key.record, space, key.birth)?;
        tx.commit()?;
        self.keys.insert(target, key);
        Ok(())
    }

    fn swap(&mut self, rng: &mut Rng) -> Result<()> {
        let (a, b) = (rng.i32(0..DBS), rng.i32(0..DBS));
        self.engine.dbs.swap(&mut self.engine.pool, a, b)?;
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
        self.engine.flush(db)?;
        self.keys
            .retain(|(own, _), _| db.is_some_and(|db| db != *own));
        Ok(())
    }

    /// A hash slot comes, has come, does not come after all, or goes.
    fn move_slot(&mut self, rng: &mut Rng) -> Result<()> {
        let (_, name) = Self::name(rng);
        let slot = slot_of(&name) as u16;
        let range = [SlotRange {
            first: slot,
            last: slot,
        }];
        if self.is_arriving(&(0, name.clone())) && rng.bool() {
            return self.engine.end_import(&range);
        }
        self.engine.trim(&range)?;
        self.keys.retain(|(_, own), _| *own != name);
        match rng.bool() {
            true => self.engine.begin_import(&range),
            false => Ok(()),
        }
    }

    /// Reclaims all memory that waits for it.
    pub fn reclaim_all(&mut self) {
        while self.engine.has_garbage() {
            self.engine.reclaim(Duration::from_secs(1));
        }
    }

    /// Ends all keys and the tables: a pool without anything.
    pub fn end(mut self) -> Result<Pool> {
        self.engine.flush(None)?;
        self.reclaim_all();
        let mut pool = self.engine.pool;
        let mut tx = pool.begin();
        for table in TABLES {
            let table = PPtr::<u8>::new(*tx.get(tx.user_word(table))?);
            table.map_or(Ok(()), |table| tx.free(table))?;
        }
        tx.commit()?;
        Ok(pool)
    }
}
