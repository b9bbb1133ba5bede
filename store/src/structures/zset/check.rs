//! Whether a sorted set is sound: its order, its counts, and the tree against the table.

use super::large::Large;
use super::node::{Element, Inner, LEAF_MAX, Leaf, NAME_AT, NodePtr, compare, member, there};
use super::small::{self, Small};
use super::tree::Tree;
use super::{head, is_sound, len, walk};
use crate::damaged::damaged;
use crate::structures::{Owns, Root, table};
use crate::value::ValueType;
use pobj::{PPtr, Pool, Result};
use std::collections::HashSet;

/// Checks a sorted set, and shows `owns` every object of it. O(n).
///
/// # Errors
/// `Damaged` at the first invariant that does not hold.
pub(super) fn check(pool: &Pool, root: Root, owns: Owns<'_>) -> Result<()> {
    match root.encoding() {
        0 => Ok(()),
        small::ENCODING => {
            owns(there(PPtr::new(root.value))?);
            let elements = Small::open(pool, root)?.elements()?;
            if is_sound(elements.into_iter()) {
                Ok(())
            } else {
                Err(damaged("a sorted set: a packed one's order"))
            }
        }
        head::PLAIN | head::WITH_GARBAGE => check_large(pool, root, owns),
        _ => Err(root.unknown(ValueType::ZSet)),
    }
}

fn check_large(pool: &Pool, root: Root, owns: Owns<'_>) -> Result<()> {
    let large = Large::open(pool, root)?;
    owns(large.head.cast());
    // The table owns the members of its entries: the elements, and garbage.
    let mut entries = HashSet::new();
    if large.table != Root::EMPTY {
        table::check::<NAME_AT>(pool, large.table, &mut |object| {
            entries.insert(object.offset());
            owns(object);
        })?;
    }
    if let Some(garbage) = large.garbage {
        let (mut cut, mut listed) = (Vec::new(), 0);
        garbage.each(pool, owns, &mut |member| cut.push(member))?;
        for member in cut {
            if entries.contains(&member.offset()) {
                listed += 1
            } else {
                owns(member.cast())
            }
        }
        if listed != garbage.entries {
            return Err(damaged("a sorted set: a count of garbage"));
        }
    }
    if large.tree.len == 0 {
        return Ok(());
    }
    check_tree(pool, large.tree, owns)?;
    // As many elements in the tree as in the table, all different by their order, each of them
    // found by its name: the two hold the same.
    let mut walk = walk(pool, root, 0, false)?;
    let (mut count, mut before) = (0, None);
    while let Some((name, score)) = walk.step()? {
        if large.find(pool, name)?.is_none_or(|(_, own)| own != score) {
            return Err(damaged("a sorted set: the table misses a member"));
        }
        if before.is_some_and(|before| compare(before, (score, name)).is_ge()) {
            return Err(damaged("a sorted set: the order of the tree"));
        }
        before = Some((score, name));
        count += 1;
    }
    let stale = large.garbage.map_or(0, |garbage| garbage.entries);
    if count == len(root) && count + stale == table::len(large.table) {
        Ok(())
    } else {
        Err(damaged("a sorted set: the number of elements"))
    }
}

/// Checks the nodes of a tree, without its members.
pub(crate) fn check_tree(pool: &Pool, tree: Tree, owns: Owns<'_>) -> Result<()> {
    check_node(pool, there(tree.root)?, tree.height, tree.len, true, owns).map(drop)
}

/// Checks the nodes below one, which has `count` elements; gives the first of them.
fn check_node(
    pool: &Pool,
    at: NodePtr,
    height: usize,
    count: u64,
    is_root: bool,
    owns: Owns<'_>,
) -> Result<Element> {
    owns(at.cast());
    if height == 0 {
        return check_leaf(pool, at.cast(), count as usize);
    }
    let inner: &Inner = pool.get(at.cast())?;
    let n = inner.len()?;
    if n < 1 + usize::from(is_root) || inner.counts()?.iter().sum::<u64>() != count {
        return Err(damaged("a sorted set: an inner node's children"));
    }
    let mut first = None;
    for i in 0..n {
        let child = inner.child(i);
        let own = check_node(
            pool,
            there(child.node)?,
            height - 1,
            child.count,
            false,
            owns,
        )?;
        if i > 0 && own != child.first {
            return Err(damaged("a sorted set: a separator"));
        }
        first.get_or_insert(own);
    }
    first.ok_or_else(|| damaged("a sorted set: an empty node"))
}

fn check_leaf(pool: &Pool, at: PPtr<Leaf>, count: usize) -> Result<Element> {
    let leaf = pool.get(at)?;
    let slots: HashSet<_> = leaf.order().iter().collect();
    if !(1..=LEAF_MAX).contains(&count) || slots.len() != LEAF_MAX {
        return Err(damaged("a sorted set: a leaf's order"));
    }
    for i in 0..count {
        let element = leaf.element(i)?;
        if member(pool, there(element.member)?)?.1 != element.score {
            return Err(damaged("a sorted set: a leaf's copy of a score"));
        }
    }
    leaf.element(0)
}
