//! Hashes of fields of 16 bytes, each a number of eight digits.

use super::{Effect, Form, Operation, delete, read, text, write};
use pobj::{Error, Pool, Result, Tx};
use store::inline::Inline;
use store::structures::Root;
use store::structures::hash;
use store::structures::limits::AllLimits;
use store::value::ValueType;

static SMALL: Form = Form {
    name: "hash of 16",
    ty: ValueType::Hash,
    elements: Some(16),
    inline: 0,
    add: |tx, root, _, i| set(tx, root, i, FIRST + i),
    steps: usize::MAX,
};
static LARGE: Form = Form {
    name: "one hash",
    elements: None,
    ..SMALL
};

pub(super) fn operations() -> Vec<Operation> {
    let each = |form| {
        [
            write("HSET new", form, Effect::Grows, |tx, root, _, i| {
                set(tx, root, i, FIRST + i)
            }),
            write("HSET overwrite", form, Effect::Keeps, |tx, root, _, i| {
                set(tx, root, i, 2 * FIRST + i)
            }),
            read("HGET", form, get),
            write("HINCRBY", form, Effect::Keeps, incr),
            write("HDEL", form, Effect::Drains, |tx, root, _, i| {
                hash::remove(tx, root, std::iter::once(&text(i)[..])).map(|_| ())
            }),
        ]
    };
    let mut all = each(&SMALL).to_vec();
    all.push(delete(&SMALL));
    all.extend(each(&LARGE));
    all
}

const FIRST: usize = 10_000_000;

fn set(tx: &mut Tx<'_>, root: &mut Root, i: usize, value: usize) -> Result<()> {
    let mut digits = itoa::Buffer::new();
    let value = digits.format(value).as_bytes();
    hash::set(
        tx,
        root,
        AllLimits::DEFAULT.hash,
        std::iter::once((&text(i)[..], value)),
    )
    .map(|_| ())
}

fn get(pool: &Pool, root: Root, _: Inline, i: usize) -> Result<u64> {
    let value = hash::get(pool, root, &text(i))?;
    let value = value.ok_or_else(|| Error::Damaged("no such field".into()))?;
    Ok(u64::from(value[7]))
}

fn incr(tx: &mut Tx<'_>, root: &mut Root, _: Inline, i: usize) -> Result<()> {
    let field = text(i);
    let (spot, value) = hash::find(tx, *root, &field)?;
    let number = value.and_then(|value| std::str::from_utf8(value).ok()?.parse::<u64>().ok());
    let number = number.ok_or_else(|| Error::Damaged("not a number".into()))?;
    let mut digits = itoa::Buffer::new();
    let number = digits.format(number + 1).as_bytes();
    hash::put(tx, root, AllLimits::DEFAULT.hash, spot, &field, number).map(|_| ())
}
