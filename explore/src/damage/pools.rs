//! Valid pools with keys of all five types, in all their forms.

use std::fs;
use std::path::Path;
use store::expiry::KEY_NEVER;

use fastrand::Rng;
use pobj::Tx;
use store::Store;
use store::layout::{RECORD, pool_at};

use store::structures::limits::AllLimits;
use store::structures::list::{self, Side};
use store::structures::{Root, hash, set, string, zset};
use store::value::ValueType;

use crate::LANES;

const POOL_BYTES: u64 = 24 << 20;

/// A record's value: its type, how many inline bytes it wants, and what makes it.
type Build<'a> = dyn Fn(&mut Tx<'_>, store::inline::Inline, &mut Rng) -> pobj::Result<Root> + 'a;

/// Makes a pool at `path` and gives its bytes, as a server that is killed leaves them: it is not
/// closed.
///
/// # Panics
/// If it cannot be made.
pub(super) fn make(path: &Path, mut rng: Rng) -> Vec<u8> {
    fs::remove_file(path).ok();
    let maker = powercut::fork(|| {
        let mut store = Store::open(&pool_at(path).size(POOL_BYTES), |_, _, _| Ok(()))
            .expect("the pool can be made");
        fill(&mut store, &mut rng);
        std::mem::forget(store);
    });
    maker.wait().expect("the pool can be filled");
    powercut::limit_lanes(path, LANES).expect("it is a pool");
    fs::read(path).expect("it was made")
}

fn fill(store: &mut Store, rng: &mut Rng) {
    for len in [0, 5, 100, 300, 5_000, 40_000, 200_000, 600_000] {
        let inline = string::inline_len(len);
        add(store, rng, ValueType::String, inline, &|tx, inline, rng| {
            let bytes = text(rng, len as usize);
            let mut root = Root::EMPTY;
            string::set(tx, &mut root, inline, string::Value::of(&bytes))?;
            Ok(root)
        });
    }
    add(store, rng, ValueType::String, 0, &|tx, inline, _| {
        let mut root = Root::EMPTY;
        string::set(tx, &mut root, inline, string::Value::Int(-7))?;
        Ok(root)
    });
    for (count, len) in [(3, 5), (60, 30), (900, 20), (20, 3_000), (3, 150_000)] {
        each_collection(store, rng, count, len);
    }
    // Numbers only: sets and lists have forms of their own for them.
    add(store, rng, ValueType::Set, 0, &|tx, _, rng| {
        let numbers: Vec<String> = (0..100).map(|_| rng.i32(..).to_string()).collect();
        let mut root = Root::EMPTY;
        set::add(
            tx,
            &mut root,
            AllLimits::DEFAULT.set,
            numbers.iter().map(|number| number.as_bytes()),
        )?;
        Ok(root)
    });
    for _ in 0..40 {
        add(store, rng, ValueType::String, 64, &|tx, inline, rng| {
            let bytes = text(rng, 40);
            let mut root = Root::EMPTY;
            string::set(tx, &mut root, inline, string::Value::of(&bytes))?;
            Ok(root)
        });
    }
    churn(store, rng);
}

/// One collection of each type with `count` elements of about `len` bytes.
fn each_collection(store: &mut Store, rng: &mut Rng, count: usize, len: usize) {
    let elements = move |rng: &mut Rng| -> Vec<Vec<u8>> {
        let element = |nth: usize| {
            let mut bytes = format!("{nth}:").into_bytes();
            let more = rng.usize(..=len);
            bytes.extend(text(rng, more));
            bytes
        };
        (0..count).map(element).collect()
    };
    add(store, rng, ValueType::List, 0, &|tx, _, rng| {
        let (elements, mut root) = (elements(rng), Root::EMPTY);
        list::push(tx, &mut root, Side::Right, elements.iter().map(|e| &e[..]))?;
        Ok(root)
    });
    add(store, rng, ValueType::Hash, 0, &|tx, _, rng| {
        let (elements, mut root) = (elements(rng), Root::EMPTY);
        let pairs = elements.iter().map(|e| (&e[..e.len().min(200)], &e[..]));
        hash::set(tx, &mut root, AllLimits::DEFAULT.hash, pairs)?;
        Ok(root)
    });
    add(store, rng, ValueType::Set, 0, &|tx, _, rng| {
        let (elements, mut root) = (elements(rng), Root::EMPTY);
        set::add(
            tx,
            &mut root,
            AllLimits::DEFAULT.set,
            elements.iter().map(|e| &e[..]),
        )?;
        Ok(root)
    });
    add(store, rng, ValueType::ZSet, 0, &|tx, _, rng| {
        let elements = elements(rng);
        let mut scored: Vec<_> = elements
            .iter()
            .map(|e| (&e[..], f64::from(rng.i16(..))))
            .collect();
        zset::sort(&mut scored);
        zset::build(tx, AllLimits::DEFAULT.zset, &scored)
    });
}

fn text(rng: &mut Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| rng.u8(b' '..=b'~')).collect()
}

fn add(store: &mut Store, rng: &mut Rng, ty: ValueType, inline: u64, build: &Build<'_>) {
    let mut key = b"key:".to_vec();
    let more = rng.usize(8..40);
    key.extend(text(rng, more));
    let expire_at = if rng.bool() {
        KEY_NEVER
    } else {
        4_000_000_000_000
    };
    let db = rng.i32(..3);
    let added = store.make(ty, &key, db, inline, expire_at, |tx, area| {
        build(tx, area, rng)
    });
    added.expect("the pool has room");
}

/// Leaves traces of life: freed slots, half-empty pages, records in the log, and sometimes an open
/// group.
fn churn(store: &mut Store, rng: &mut Rng) {
    let nth = rng.usize(..8);
    let mut cursor = pobj::Cursor::default();
    let mut records = Vec::new();
    while let Some((record, next)) = store.pool.next_object(RECORD, cursor) {
        records.push(record.cast());
        cursor = next;
    }
    if rng.bool() {
        store.pool.begin_group();
    }
    for record in records.into_iter().skip(nth).step_by(9) {
        store.retire(record).expect("the pool is sound");
    }
}
