//! A plan: changes of fields' expire times, and removals, before any of it is done.

use super::{expire_and_remove, find};
use crate::structures::Root;
use pobj::{Pool, Result, Tx};
use std::collections::HashMap;

/// What a command does to fields, one after the other, before any of it is done.
pub struct Plan<'a> {
    /// Fields that expire before this time count as absent.
    from: i64,
    /// Fields that are changed: their new expire times; `None` for those that go.
    changes: HashMap<&'a [u8], Option<i64>>,
    /// In the order of the command.
    order: Vec<&'a [u8]>,
}

impl<'a> Plan<'a> {
    /// Nothing yet. Fields that expire before `from` are taken as absent.
    pub fn new(from: i64) -> Plan<'a> {
        Plan {
            from,
            changes: HashMap::new(),
            order: Vec::new(),
        }
    }

    /// The value and the expire time of a field, as the plan leaves it; `None` if it is not there.
    ///
    /// # Errors
    /// [`Damaged`](crate::structures#errors).
    pub fn look<'p>(
        &self,
        pool: &'p Pool,
        root: Root,
        field: &[u8],
    ) -> Result<Option<(&'p [u8], i64)>> {
        let (spot, value) = find(pool, root, field)?;
        let there = value.filter(|_| spot.expire_at >= self.from);
        Ok(match self.changes.get(field) {
            Some(Some(changed)) => there.map(|value| (value, *changed)),
            Some(None) => None,
            None => there.map(|value| (value, spot.expire_at)),
        })
    }

    /// A field gets this expire time.
    pub fn set(&mut self, field: &'a [u8], expire_at: i64) {
        if self.changes.insert(field, Some(expire_at)).is_none() {
            self.order.push(field);
        }
    }

    /// A field goes.
    pub fn remove(&mut self, field: &'a [u8]) {
        if self.changes.insert(field, None).is_none() {
            self.order.push(field);
        }
    }

    /// Carries the plan out. It either sets or removes.
    ///
    /// # Errors
    /// [`Damaged`, `Full`](crate::structures#errors).
    pub fn carry_out(self, tx: &mut Tx<'_>, root: &mut Root) -> Result<Done<'a>> {
        let was = *root;
        let change = |field: &&'a [u8]| self.changes.get(*field).copied().flatten();
        let times: Vec<(&[u8], i64)> = self
            .order
            .iter()
            .filter_map(|field| Some((*field, change(field)?)))
            .collect();
        let removed: Vec<&[u8]> = self
            .order
            .iter()
            .copied()
            .filter(|field| change(field).is_none())
            .collect();
        expire_and_remove(tx, root, &times, &removed)?;
        Ok(Done {
            was,
            times,
            removed,
        })
    }
}

/// What was done to fields.
pub struct Done<'a> {
    /// The root before.
    pub was: Root,
    /// New expire times.
    pub times: Vec<(&'a [u8], i64)>,
    /// Fields that are gone.
    pub removed: Vec<&'a [u8]>,
}
