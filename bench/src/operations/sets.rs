//! Sets of members of 16 bytes.

use super::{Effect, Form, Operation, delete, read, text, write};
use pobj::{Result, Tx};
use store::structures::limits::AllLimits;
use store::structures::{Root, set};
use store::value::ValueType;

static SMALL: Form = Form {
    name: "set of 16",
    ty: ValueType::Set,
    elements: Some(16),
    inline: 0,
    add: |tx, root, _, i| add(tx, root, i),
    steps: usize::MAX,
};
static LARGE: Form = Form {
    name: "one set",
    elements: None,
    ..SMALL
};

pub(super) fn operations() -> Vec<Operation> {
    let each = |form| {
        [
            write("SADD", form, Effect::Grows, |tx, root, _, i| {
                add(tx, root, i)
            }),
            read("SISMEMBER", form, |pool, root, _, i| {
                set::contains(pool, root, &text(i)).map(u64::from)
            }),
            write("SREM", form, Effect::Drains, |tx, root, _, i| {
                set::remove(tx, root, std::iter::once(&text(i)[..])).map(|_| ())
            }),
            write("SPOP", form, Effect::Drains, |tx, root, _, _| {
                set::pop(tx, root).map(|_| ())
            }),
        ]
    };
    let mut all = each(&SMALL).to_vec();
    all.push(delete(&SMALL));
    all.extend(each(&LARGE));
    all
}

fn add(tx: &mut Tx<'_>, root: &mut Root, i: usize) -> Result<()> {
    set::add(
        tx,
        root,
        AllLimits::DEFAULT.set,
        std::iter::once(&text(i)[..]),
    )
    .map(|_| ())
}
