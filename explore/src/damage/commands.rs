//! What the commands of each type do to a value: they read all of it in their ways, and change it a
//! little.

use pobj::{Pool, Result, Tx};
use store::inline::Inline;
use store::structures::limits::AllLimits;
use store::structures::list::{self, Element, Side};
use store::structures::{Root, hash, set, string, zset};
use store::value::ValueType;

/// A type's commands. The area is that of the value's record.
pub(super) struct Commands {
    ty: ValueType,
    /// Read every element.
    pub(super) read: fn(&Pool, Root, Inline) -> Result<()>,
    /// Add something.
    pub(super) grow: fn(&mut Tx<'_>, &mut Root, Inline) -> Result<()>,
    /// Take something away, or write over it.
    pub(super) shrink: fn(&mut Tx<'_>, &mut Root, Inline) -> Result<()>,
}

/// All types, in the order of their numbers.
const ROWS: [Commands; ValueType::ALL.len()] = [
    Commands {
        ty: ValueType::String,
        read: |pool, root, inline| string::read(pool, root, inline).map(|_| ()),
        grow: |tx, root, inline| string::append(tx, root, inline, NEW),
        shrink: |tx, root, inline| string::set_range(tx, root, inline, 1, b"x").map(|_| ()),
    },
    Commands {
        ty: ValueType::List,
        read: |pool, root, _| read_list(pool, root),
        grow: |tx, root, _| {
            let len = list::push(tx, root, Side::Left, [NEW, NEW].into_iter())?;
            tx.step()?;
            list::insert(tx, root, len / 2, NEW).map(|_| ())
        },
        shrink: |tx, root, _| {
            list::pop(tx, root, Side::Right, &mut Element::default())?;
            tx.step()?;
            list::remove(tx, root, Side::Left, NEW, 1).map(|_| ())
        },
    },
    Commands {
        ty: ValueType::Hash,
        read: |pool, root, _| {
            for pair in hash::pairs(pool, root)? {
                hash::get(pool, root, pair?.0)?;
            }
            hash::random(pool, root).map(|_| ())
        },
        grow: |tx, root, _| {
            hash::set(tx, root, AllLimits::DEFAULT.hash, [(NEW, NEW)].into_iter()).map(|_| ())
        },
        shrink: |tx, root, _| {
            let first = match hash::pairs(tx, *root)?.next() {
                Some(pair) => pair?.0.to_vec(),
                None => NEW.to_vec(),
            };
            hash::remove(tx, root, [&first[..]].into_iter()).map(|_| ())
        },
    },
    Commands {
        ty: ValueType::Set,
        read: |pool, root, _| {
            for member in set::members(pool, root)? {
                let mut digits = itoa::Buffer::new();
                set::contains(pool, root, member?.bytes(&mut digits))?;
            }
            set::random(pool, root).map(|_| ())
        },
        grow: |tx, root, _| {
            set::add(tx, root, AllLimits::DEFAULT.set, [NEW].into_iter()).map(|_| ())
        },
        shrink: |tx, root, _| set::pop(tx, root).map(|_| ()),
    },
    Commands {
        ty: ValueType::ZSet,
        read: |pool, root, _| {
            for reverse in [false, true] {
                let mut walk = zset::walk(pool, root, 0, reverse)?;
                while let Some((name, _)) = walk.step()? {
                    zset::score(pool, root, name)?;
                    zset::rank(pool, root, name)?;
                }
            }
            Ok(())
        },
        grow: |tx, root, _| {
            let (limits, rule) = (AllLimits::DEFAULT.zset, zset::Rule::default());
            zset::add(tx, root, limits, NEW, 1.5, rule).map(|_| ())
        },
        shrink: |tx, root, _| {
            let len = zset::len(*root);
            zset::remove_range(tx, root, len / 2..(len / 2 + 3).min(len))
        },
    },
];

const _: () = {
    let mut at = 0;
    while at < ROWS.len() {
        assert!(ROWS[at].ty.index() == at);
        at += 1;
    }
};

impl Commands {
    /// Those of a type.
    pub(super) fn of(ty: ValueType) -> &'static Commands {
        &ROWS[ty.index()]
    }
}

const NEW: &[u8] = b"an element that was not there";

fn read_list(pool: &Pool, root: Root) -> Result<()> {
    for side in [Side::Left, Side::Right] {
        list::each(pool, root, side, 0, |value| {
            value.bytes(pool)?;
            Ok(true)
        })?;
    }
    let len = list::len(pool, root)?;
    for index in [0, len / 2, len.saturating_sub(1)] {
        list::get(pool, root, index)?;
    }
    Ok(())
}
