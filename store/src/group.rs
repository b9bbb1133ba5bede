//! A group of commands, which is one step: its begin, its end, and how it is rolled back as a whole
//! if the pool has no room for all of it.
//!
//! The undo log restores the pool; what is kept in DRAM about it follows here. Which keys the layer
//! above has to restore is found in the log as well: those whose records the group has created,
//! changed or freed.

use crate::Store;
use crate::layout::RECORD;
use crate::record::{self, RecordPtr};
use crate::structures::{self, Root};
use crate::value::ValueType;
use pobj::Result;

/// A key, and where its record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAt {
    /// The database.
    pub db: i32,
    /// Its name.
    pub name: Vec<u8>,
    /// The type of its value.
    pub ty: ValueType,
    /// The address of its record.
    pub addr: usize,
    /// When it expires, in Unix milliseconds, or [`KEY_NEVER`](crate::expiry::KEY_NEVER).
    pub expire_at: i64,
    space: u16,
    root: Root,
}

/// What taking a group back means for the keys that it has made, changed or deleted.
#[derive(Debug, Default)]
pub struct Undone {
    /// As the group has left them.
    pub before: Vec<KeyAt>,
    /// As they are now.
    pub now: Vec<KeyAt>,
}

impl Store {
    /// A group of commands begins, as one step: what they give up can be told from what was given
    /// up before.
    pub fn begin_group(&mut self) {
        self.group_stays = false;
        self.go_on_with_group();
    }

    /// The group goes on after a part of it was made durable: what that gave up is older than what
    /// follows, and whether the group can be taken back stays as it is.
    pub(crate) fn go_on_with_group(&mut self) {
        self.garbage.begin_group();
        self.pool.begin_group();
    }

    /// The open group is over, if there is one: what it has done is durable, as one step.
    ///
    /// # Errors
    /// `Damaged` if the pool's own log contradicts itself; never for want of room.
    pub fn end_group(&mut self) -> Result<()> {
        self.pool.end_group()
    }

    /// Whether something that cannot be taken back has been done in the open group: it is durable
    /// already, or has changed all keys of a database.
    pub fn group_stays(&self) -> bool {
        self.group_stays
    }

    /// The open group does something that [`Store::roll_back_group`] does not take back.
    pub fn keep_group(&mut self) {
        self.group_stays |= self.pool.in_group();
    }

    /// Takes back all that the open group has done, durably. What it still does is refused, until
    /// its end. The keys are counted as they are then. O(what the group has done).
    ///
    /// # Errors
    /// `Damaged`: the pool's log, or a record, contradicts itself.
    pub fn roll_back_group(&mut self) -> Result<Undone> {
        let changed = self.pool.changed_in_group(RECORD)?;
        let mut undone = Undone::default();
        for &(object, is_there) in &changed {
            if is_there {
                undone.before.extend(self.key_at(object.cast())?);
            }
        }
        self.pool.roll_back_group()?;
        for key in &undone.before {
            self.dbs.uncount_key(key.space, key.ty);
            self.slots.count(key.space, key.ty, &key.name, -1);
        }
        let reloaded = self.dbs.reload(&self.pool);
        let reloaded = reloaded.and(self.slots.reload(&self.pool));
        self.garbage.roll_back_group();
        for (object, _) in changed {
            let record: RecordPtr = object.cast();
            self.expiring.forget(record);
            self.garbage.forget_garbage(record);
            if self.pool.capacity(record).is_err() {
                continue;
            }
            // One that is damaged must not keep the others away.
            let Ok(Some(key)) = self.key_at(record) else {
                continue;
            };
            self.count_new_key(key.space, key.ty, &key.name);
            if structures::may_expire(key.ty, key.root) {
                self.expiring.found(record);
            }
            self.note_garbage(Some(record), key.ty, Root::EMPTY, key.root);
            undone.now.push(key);
        }
        reloaded.map(|()| undone)
    }

    /// The key of a record, if it is live.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn key_at(&self, record: RecordPtr) -> Result<Option<KeyAt>> {
        if !self.is_live(record)? {
            return Ok(None);
        }
        let head = record::get(&self.pool, record)?;
        let Some(db) = self.dbs.db_of(head.space) else {
            return Ok(None);
        };
        Ok(Some(KeyAt {
            db,
            name: record::key(&self.pool, record)?.to_vec(),
            ty: head.value_type()?,
            addr: self.pool.address_of(record),
            expire_at: head.expire_at,
            space: head.space,
            root: head.root,
        }))
    }
}
