//! A large sorted set: a tree of the elements by order, and a hash table of them by name.
//!
//! It hangs from an object that points to both (`head.rs`).
//!
//! After the removal of a long range, the encoding is another one and the head has two words more;
//! see `garbage.rs`. Until the garbage is gone, the table also has entries of members that are no
//! elements: what it finds is an element only if the tree has it, too.
//!
//! The root's 56 bits are the number of elements (48 bits) and the tree's height (8 bits); the
//! table has as many entries. A member is one object, to which the table and a leaf point; so a new
//! score is written to the member and to its leaf.
//!
//! One element inserted, moved or removed is one batch, one fence in general: the member's bytes, a
//! word of a bucket, a slot and the order of one or two leaves, a count in each node above, the
//! root.

use super::bulk;
use super::edit;
use super::head::{Garbage, Head, PLAIN, WITH_GARBAGE};
use super::node::{Bound, Element, Leaf, Member, MemberPtr, NAME_AT, member, name_of, there};
use super::single;
use super::tree::Tree;
use crate::damaged::damaged;
use crate::layout::DATA;
use crate::structures::Root;
use crate::structures::table;
use pobj::{PPtr, Pool, Result, Tx, field};

/// The encoding in the root of the table of its members, which is made up from the head.
pub(super) const TABLE_ENCODING: u8 = 1;
const COUNT_BITS: u32 = 48;

/// Elements changed in one batch.
pub(super) const BATCH: usize = table::BATCH;

/// A large sorted set, as a transaction's reads show it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Large {
    pub(super) head: PPtr<Head>,
    pub(super) table: Root,
    /// The elements in order.
    pub tree: Tree,
    pub(super) garbage: Option<Garbage>,
}

/// Whether a root is of one of the encodings of this file.
#[inline]
pub(crate) fn is_large(root: Root) -> bool {
    matches!(root.encoding(), PLAIN | WITH_GARBAGE)
}

/// The table of a root of one of these encodings, as the words there lie: see
/// `structures::table_to_prefetch`.
#[inline]
pub fn table_to_prefetch(pool: &Pool, root: Root) -> Option<u64> {
    let head: PPtr<Head> = PPtr::new(root.value).filter(|_| is_large(root))?;
    Some(pool.peek(head)?.top)
}

/// Number of elements. O(1).
#[inline]
pub(super) fn len(root: Root) -> u64 {
    root.rest() & ((1 << COUNT_BITS) - 1)
}

impl Large {
    /// The sorted set behind a root of this encoding. O(1).
    #[inline]
    pub(super) fn open(pool: &Pool, root: Root) -> Result<Large> {
        let head: PPtr<Head> = there(PPtr::new(root.value))?;
        let Head { top, tree } = *pool.get(head)?;
        let len = len(root);
        let height = (root.rest() >> COUNT_BITS) as usize;
        let garbage = match root.encoding() {
            PLAIN if len == 0 => return Err(damaged("a sorted set: a length of zero")),
            PLAIN => None,
            _ => Some(Garbage::of(pool, head)?),
        };
        let entries = garbage.map_or(Some(len), |garbage| len.checked_add(garbage.entries));
        let table = match entries.filter(|&entries| entries >> COUNT_BITS == 0) {
            Some(0) => Root::EMPTY,
            Some(entries) => Root::new(TABLE_ENCODING, entries, top),
            None => return Err(damaged("a sorted set: a count of garbage")),
        };
        Ok(Large {
            head,
            garbage,
            table,
            tree: Tree {
                root: tree,
                height,
                len,
            },
        })
    }

    pub(super) fn contents(&self) -> Head {
        Head {
            top: self.table.value,
            tree: self.tree.root,
        }
    }

    pub(super) fn root(&self) -> Root {
        let rest = self.tree.len | (self.tree.height as u64) << COUNT_BITS;
        let encoding = match self.garbage {
            Some(_) => WITH_GARBAGE,
            None => PLAIN,
        };
        Root::new(encoding, rest, self.head.offset())
    }

    /// Writes what changed since `before`, and the new root.
    pub(super) fn close(self, tx: &mut Tx<'_>, before: Large, root: &mut Root) -> Result<()> {
        if self.tree.len == 0 && self.garbage.is_none() {
            if self.table != Root::EMPTY {
                return Err(damaged("a sorted set: the table holds more than the tree"));
            }
            *root = Root::EMPTY;
            return tx.free(self.head);
        }
        let entries = self.garbage.map_or(0, |garbage| garbage.entries) + self.tree.len;
        if self.table.rest() != entries {
            return Err(damaged(
                "a sorted set: the table and the tree differ in length",
            ));
        }
        let (old, new) = (before.contents(), self.contents());
        if old.top != new.top {
            tx.set(field!(self.head, Head, top), new.top)?;
        }
        if old.tree != new.tree {
            tx.set(field!(self.head, Head, tree), new.tree)?;
        }
        if let (Some(old), Some(new)) = (before.garbage, self.garbage) {
            old.write_changes(tx, self.head, new)?;
        }
        *root = self.root();
        Ok(())
    }

    /// The member of this name, and its score. O(1).
    #[inline]
    pub(super) fn find(&self, pool: &Pool, name: &[u8]) -> Result<Option<(MemberPtr, f64)>> {
        let hash = table::hash(pool, name);
        let Some(found) = self.found(pool, name, hash)? else {
            return Ok(None);
        };
        let ptr: MemberPtr = found.entry.cast();
        Ok(Some((ptr, pool.get(ptr)?.score())))
    }

    /// The table's place of an element.
    #[inline]
    fn found(&self, pool: &Pool, name: &[u8], hash: u64) -> Result<Option<table::EntryPlace>> {
        match self.entry(pool, name, hash)? {
            Some(found) if !self.is_element(pool, found.entry.cast())? => Ok(None),
            entry => Ok(entry),
        }
    }

    /// The table's place of this name, be it an element's or garbage.
    #[inline]
    fn entry(&self, pool: &Pool, name: &[u8], hash: u64) -> Result<Option<table::EntryPlace>> {
        if self.table == Root::EMPTY {
            return Ok(None);
        }
        table::find::<NAME_AT>(pool, self.table, name, hash)
    }

    /// Takes a member that the tree does not have any more out of the table, and frees it.
    #[inline]
    fn forget(&mut self, tx: &mut Tx<'_>, found: table::EntryPlace) -> Result<()> {
        table::remove::<NAME_AT>(tx, &mut self.table, found)?;
        tx.free(found.entry)
    }

    /// Whether what the table points to is an element, and not garbage. O(1) without garbage, else
    /// O(log n).
    #[inline]
    pub(super) fn is_element(&self, pool: &Pool, ptr: MemberPtr) -> Result<bool> {
        if self.garbage.is_none() {
            return Ok(true);
        }
        let (name, score) = member(pool, ptr)?;
        self.tree.holds(pool, score, name, ptr)
    }

    /// The rank of an element. O(log n).
    pub(super) fn rank(&self, pool: &Pool, name: &[u8]) -> Result<Option<u64>> {
        match self.find(pool, name)? {
            Some((_, score)) => self.tree.rank(pool, &Bound::Before(score, name)).map(Some),
            None => Ok(None),
        }
    }

    /// Visits the members at a cursor; see `table::scan`.
    pub(super) fn scan<'p>(
        &self,
        pool: &'p Pool,
        cursor: u64,
        mut visit: impl FnMut(&'p [u8], f64),
    ) -> Result<u64> {
        table::scan(pool, self.table, cursor, |entry| {
            if self.is_element(pool, entry.cast())? {
                let (name, score) = member(pool, entry.cast())?;
                visit(name, score);
            }
            Ok(())
        })
    }
}

/// Builds a sorted set of elements in ascending order, at least one. O(n); several steps.
pub(super) fn build<'e>(
    tx: &mut Tx<'_>,
    elements: impl ExactSizeIterator<Item = (&'e [u8], f64)>,
) -> Result<Root> {
    let mut builder = table::Builder::with_capacity(elements.len());
    let mut sorted = Vec::with_capacity(elements.len());
    for (name, score) in elements {
        let ptr = Member::create(tx, name, score)?;
        let hash = table::hash(tx, name);
        builder.push(tx, ptr.cast(), hash)?;
        sorted.push(Element {
            score,
            member: Some(ptr),
        });
    }
    let table = builder.finish(tx, TABLE_ENCODING)?;
    let tree = bulk::build(tx, &sorted)?;
    let contents = Head {
        top: table.value,
        tree: tree.root,
    };
    let large = Large {
        head: tx.alloc_value(&contents, DATA)?,
        table,
        tree,
        garbage: None,
    };
    Ok(large.root())
}

/// Adds one element, or changes its score. `score` is asked for the new score, given the old one;
/// `None` leaves things as they are. `guess` is what it will be in general: its place in the tree
/// is loaded while the table is searched. O(log n).
pub(super) fn add(
    tx: &mut Tx<'_>,
    root: &mut Root,
    name: &[u8],
    guess: Option<f64>,
    score: impl FnOnce(Option<f64>) -> Option<f64>,
) -> Result<()> {
    let before = Large::open(tx, *root)?;
    let hash = table::hash(tx, name);
    let guessed = match guess.filter(|_| before.tree.len > 0) {
        Some(guess) => {
            let _ = table::Prefetch::of(tx, before.table.value, hash);
            let path = before.tree.path(tx, &Bound::Before(guess, name))?;
            Leaf::prefetch(tx, path.leaf);
            Some(path)
        }
        None => None,
    };
    let lookup = table::look_up::<NAME_AT>(tx, before.table, name, hash)?;
    let found = match lookup.found {
        Some(found) if before.is_element(tx, found.entry.cast())? => {
            let ptr: MemberPtr = found.entry.cast();
            Some((ptr, tx.get(ptr)?.score()))
        }
        _ => None,
    };
    let Some(score) = score(found.map(|(_, old)| old)) else {
        return Ok(());
    };
    let guessed = guessed.filter(|_| guess == Some(score));
    let mut after = before;
    if let Some((ptr, old)) = found {
        let element = Element {
            score: old,
            member: Some(ptr),
        };
        after.tree = single::rescore(tx, before.tree, element, name, score, guessed)?;
        Member::set_score(tx, ptr, score)?;
        return after.close(tx, before, root);
    }
    let ptr = Member::create(tx, name, score)?;
    match (lookup.found, &mut after.garbage) {
        (Some(stale), Some(garbage)) => {
            table::replace(tx, stale, ptr.cast(), hash)?;
            garbage.lose_entries(1)?;
        }
        _ => table::insert::<NAME_AT>(tx, &mut after.table, &lookup, ptr.cast())?,
    }
    let member = Some(ptr);
    after.tree = single::insert(tx, before.tree, Element { score, member }, name, guessed)?;
    after.close(tx, before, root)
}

/// Adds one batch of elements, at most `BATCH`, of different names. `score` is asked for the new
/// score, given the old one; `None` leaves things as they are. O(log n) each.
pub(crate) fn add_batch<'e>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    elements: &[(&'e [u8], f64)],
    mut score: impl FnMut(f64, Option<f64>) -> Option<f64>,
) -> Result<()> {
    let before = Large::open(tx, *root)?;
    let mut after = before;
    let mut changes: Vec<(&'e [u8], MemberPtr, Option<f64>, f64)> =
        Vec::with_capacity(elements.len());
    let mut editor = table::Editor::<NAME_AT>::begin(tx, &mut after.table)?;
    for &(name, given) in elements {
        let hash = table::hash(editor.tx, name);
        let found = editor.find(name, hash)?;
        let old = match found {
            Some(place) if before.is_element(editor.tx, place.entry.cast())? => {
                Some(editor.tx.get::<Member>(place.entry.cast())?.score())
            }
            _ => None,
        };
        let Some(new) = score(given, old) else {
            continue;
        };
        let entry = match (found, old) {
            (Some(place), Some(_)) => place.entry.cast(),
            (found, _) => {
                let ptr = Member::create(editor.tx, name, new)?;
                match (found, &mut after.garbage) {
                    (Some(place), Some(garbage)) => {
                        editor.replace(place, ptr.cast(), hash)?;
                        garbage.lose_entries(1)?;
                    }
                    _ => editor.insert(ptr.cast(), hash)?,
                }
                ptr
            }
        };
        changes.push((name, entry, old, new));
    }
    editor.finish()?;
    let mut editor = edit::Editor::new(tx, before.tree);
    for &(name, member, old, score) in &changes {
        if let Some(old) = old {
            editor.remove(old, name)?;
        }
        let member = Some(member);
        editor.insert(Element { score, member }, name)?;
    }
    after.tree = editor.finish()?;
    for (_, entry, old, score) in changes {
        if old.is_some() {
            Member::set_score(tx, entry, score)?;
        }
    }
    after.close(tx, before, root)
}

/// Removes the element of a name; false if there is none. O(log n).
pub(super) fn remove(tx: &mut Tx<'_>, root: &mut Root, name: &[u8]) -> Result<bool> {
    let before = Large::open(tx, *root)?;
    let hash = table::hash(tx, name);
    let Some(found) = before.found(tx, name, hash)? else {
        return Ok(false);
    };
    let ptr: MemberPtr = found.entry.cast();
    let element = Element {
        score: tx.get(ptr)?.score(),
        member: Some(ptr),
    };
    let mut after = before;
    after.tree = single::remove(tx, before.tree, element, name)?;
    after.forget(tx, found)?;
    after.close(tx, before, root)?;
    Ok(true)
}

/// Takes the first element, or the last one, and gives its name and score. O(log n).
pub(super) fn pop(tx: &mut Tx<'_>, root: &mut Root, last: bool) -> Result<(Vec<u8>, f64)> {
    let before = Large::open(tx, *root)?;
    if before.tree.len == 0 {
        return Err(damaged("a sorted set: a length of zero"));
    }
    let place = before.tree.end(tx, last)?;
    let node = tx.get(place.path.leaf)?;
    let element = node.element(place.at)?;
    // Who pops one element mostly pops its neighbour next.
    let next = if last {
        place.at.checked_sub(1)
    } else {
        Some(place.at + 1).filter(|&next| next < place.path.len)
    };
    if let Some(next) = next {
        let next = there(node.element(next)?.member)?;
        tx.prefetch(next);
    }
    let name = name_of(tx, element.member)?.to_vec();
    let hash = table::hash(tx, &name);
    let Some(found) = before
        .entry(tx, &name, hash)?
        .filter(|found| Some(found.entry.cast()) == element.member)
    else {
        return Err(damaged("a sorted set: the table misses a member"));
    };
    let mut after = before;
    after.tree = single::pop(tx, before.tree, &place)?;
    after.forget(tx, found)?;
    after.close(tx, before, root)?;
    Ok((name, element.score))
}

/// Removes `count` elements from rank `from` on, at most `BATCH` and not all there are. O(log n)
/// each.
pub(crate) fn remove_batch(
    tx: &mut Tx<'_>,
    root: &mut Root,
    from: u64,
    count: usize,
) -> Result<()> {
    let before = Large::open(tx, *root)?;
    let mut after = before;
    let mut gone: Vec<(MemberPtr, f64)> = Vec::with_capacity(count);
    let mut walk = before.tree.walk(tx, from, false)?;
    for _ in 0..count {
        let element = walk
            .next_element()?
            .ok_or_else(|| damaged("a sorted set: a tree's counts"))?;
        gone.push((there(element.member)?, element.score));
    }
    let mut editor = table::Editor::<NAME_AT>::begin(tx, &mut after.table)?;
    for &(ptr, _) in &gone {
        let name = member(editor.tx, ptr)?.0.to_vec();
        let hash = table::hash(editor.tx, &name);
        match editor.find(&name, hash)? {
            Some(place) if place.entry == ptr.cast() => editor.remove(place)?,
            _ => return Err(damaged("a sorted set: the table misses a member")),
        }
    }
    editor.finish()?;
    let mut editor = edit::Editor::new(tx, before.tree);
    for &(ptr, score) in &gone {
        let name = editor.name(ptr)?.to_vec();
        editor.remove(score, &name)?;
    }
    after.tree = editor.finish()?;
    for (ptr, _) in gone {
        tx.free(ptr)?;
    }
    after.close(tx, before, root)
}

/// Bytes of the pool that the sorted set takes: exact but for the members, which are estimated from
/// a few. O(n / 16).
pub(super) fn memory(pool: &Pool, root: Root) -> Result<u64> {
    let large = Large::open(pool, root)?;
    let own = pool.capacity(large.head)?;
    let members = table::entries_memory(pool, large.table)?;
    Ok(own + members + bulk::memory(pool, large.tree)? + table::memory(pool, large.table)?)
}
