//! Strings: a key each, of four lengths.

use super::{Effect, Form, Operation, Run, delete, read, write};
use pobj::{Error, Pool, Result, Tx};
use store::inline::Inline;
use store::structures::Root;
use store::structures::string::{self, Value};
use store::value::ValueType;

static TEXT: [u8; 64 << 10] = [b'x'; 64 << 10];
static OTHER: [u8; 64 << 10] = [b'y'; 64 << 10];

const fn of<const LEN: usize>(name: &'static str, steps: usize) -> Form {
    Form {
        name,
        ty: ValueType::String,
        elements: Some(1),
        inline: string::inline_len(LEN as u64),
        add: |tx, root, inline, _| string::set(tx, root, inline, Value::Bytes(&TEXT[..LEN])),
        steps,
    }
}

static SHORT: Form = of::<8>("8 B", usize::MAX);
static USUAL: Form = of::<128>("128 B", usize::MAX);
static LONG: Form = of::<1024>("1 KiB", 5_000);
static LARGE: Form = of::<{ 64 << 10 }>("64 KiB", 500);
static NUMBER: Form = Form {
    name: "number",
    ty: ValueType::String,
    elements: Some(1),
    inline: 0,
    add: |tx, root, inline, _| string::set(tx, root, inline, Value::Int(1)),
    steps: usize::MAX,
};

pub(super) fn operations() -> Vec<Operation> {
    let mut all = each::<8>(&SHORT).to_vec();
    all.push(write("INCR", &NUMBER, Effect::Keeps, incr));
    all.push(delete(&NUMBER));
    all.extend(each::<128>(&USUAL));
    all.extend(each::<1024>(&LONG));
    all.extend(each::<{ 64 << 10 }>(&LARGE));
    all
}

fn each<const LEN: usize>(form: &'static Form) -> [Operation; 4] {
    [
        Operation {
            name: "SET new",
            form,
            effect: Effect::Grows,
            run: Run::Make,
            fences_max: 2,
        },
        write("SET overwrite", form, Effect::Keeps, overwrite::<LEN>),
        read("GET", form, get),
        delete(form),
    ]
}

fn overwrite<const LEN: usize>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    inline: Inline,
    _: usize,
) -> Result<()> {
    string::set(tx, root, inline, Value::Bytes(&OTHER[..LEN]))
}

fn get(pool: &Pool, root: Root, inline: Inline, _: usize) -> Result<u64> {
    match string::read(pool, root, inline)? {
        // What a reply copies is in the processor's cache afterwards; here the last byte stands for
        // it.
        Some(Value::Bytes(bytes)) => Ok(bytes.last().map_or(0, |&last| u64::from(last))),
        Some(Value::Int(n)) => Ok(n as u64),
        None => Err(Error::Damaged("an empty string".into())),
    }
}

fn incr(tx: &mut Tx<'_>, root: &mut Root, inline: Inline, _: usize) -> Result<()> {
    let Some(Value::Int(n)) = string::read(tx, *root, inline)? else {
        return Err(Error::Damaged("not a number".into()));
    };
    string::set(tx, root, inline, Value::Int(n + 1))
}
