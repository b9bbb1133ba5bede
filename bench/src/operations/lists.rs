//! Lists of elements of 16 bytes.

use super::{Effect, Form, Operation, delete, read, text, write};
use pobj::{Pool, Result, Tx};
use store::inline::Inline;
use store::structures::Root;
use store::structures::list::{self, Element, Side};
use store::value::ValueType;

static SMALL: Form = Form {
    name: "list of 16",
    ty: ValueType::List,
    elements: Some(16),
    inline: 0,
    add: |tx, root, _, i| push(tx, root, Side::Right, i),
    steps: usize::MAX,
};
static LARGE: Form = Form {
    name: "one list",
    elements: None,
    ..SMALL
};

pub(super) fn operations() -> Vec<Operation> {
    let each = |form, range| {
        [
            write("LPUSH", form, Effect::Grows, |tx, root, _, i| {
                push(tx, root, Side::Left, i)
            }),
            write("RPUSH", form, Effect::Grows, |tx, root, _, i| {
                push(tx, root, Side::Right, i)
            }),
            write("LPOP", form, Effect::Drains, |tx, root, _, _| {
                pop(tx, root, Side::Left)
            }),
            write("RPOP", form, Effect::Drains, |tx, root, _, _| {
                pop(tx, root, Side::Right)
            }),
            read("LINDEX", form, index),
            read("LRANGE of 16", form, range),
        ]
    };
    let mut all = each(&SMALL, |pool, root, _, _| range(pool, root, 0)).to_vec();
    all.push(delete(&SMALL));
    all.extend(each(&LARGE, |pool, root, _, i| range(pool, root, i)));
    all
}

fn push(tx: &mut Tx<'_>, root: &mut Root, side: Side, i: usize) -> Result<()> {
    list::push(tx, root, side, std::iter::once(&text(i)[..])).map(|_| ())
}

fn pop(tx: &mut Tx<'_>, root: &mut Root, side: Side) -> Result<()> {
    list::pop(tx, root, side, &mut Element::default()).map(|_| ())
}

fn index(pool: &Pool, root: Root, _: Inline, i: usize) -> Result<u64> {
    let element = list::get(pool, root, i as u64)?;
    Ok(element.map_or(0, |element| u64::from(element[15])))
}

fn range(pool: &Pool, root: Root, start: usize) -> Result<u64> {
    let (mut left, mut sum) = (16, 0);
    list::each(pool, root, Side::Left, start as u64, |value| {
        sum += u64::from(value.bytes(pool)?[15]);
        left -= 1;
        Ok(left > 0)
    })?;
    Ok(sum)
}
