//! Groups that are taken back: what is kept in DRAM about the pool follows, and what cannot follow
//! keeps the group from being taken back.

use pobj::{Durability, Result};
use std::time::Duration;
use store::Store;
use store::expiry::KEY_NEVER;
use store::layout::pool_at;
use store::slot::SlotRange;
use store::structures::Root;
use store::structures::string::{self, Value};
use store::value::ValueType;
use tempfile::TempDir;

fn open(dir: &TempDir) -> Result<Store> {
    let options = pool_at(dir.path().join("pool")).durability(Durability::Process);
    Store::open(&options.size(16 << 20), |_, _, _| Ok(()))
}

fn directory() -> TempDir {
    tempfile::Builder::new()
        .prefix("pmedis-back-")
        .tempdir_in("/dev/shm")
        .expect("a directory on tmpfs")
}

fn set(store: &mut Store, name: &str, len: usize) {
    let bytes = vec![b'v'; len];
    let value = Value::of(&bytes);
    let inline = value.inline_len();
    let made = store.make(
        ValueType::String,
        name.as_bytes(),
        0,
        inline,
        KEY_NEVER,
        |tx, inline| {
            let mut root = Root::EMPTY;
            string::set(tx, &mut root, inline, value)?;
            Ok(root)
        },
    );
    made.unwrap();
}

const RANGE: SlotRange = SlotRange { first: 3, last: 9 };

type Change = fn(&mut Store, &[SlotRange]) -> Result<()>;

/// What is done to hash slots.
const CHANGES: [Change; 4] = [
    Store::begin_import,
    Store::end_import,
    Store::give_up,
    Store::trim,
];

/// Damaged keys and tables.
fn damaged(store: &Store) -> u64 {
    let mut told = Vec::new();
    let found = store.check_all(|name, error| told.push(format!("{name:?}: {error}")));
    assert_eq!(told.len() as u64, found.damaged);
    found.damaged
}

#[test]
fn a_group_that_changes_hash_slots_stays() {
    for change in CHANGES {
        let dir = directory();
        let mut store = open(&dir).unwrap();
        store.begin_group();
        assert!(!store.group_stays());
        change(&mut store, &[RANGE]).unwrap();
        assert!(store.group_stays());
        store.end_group().unwrap();
        store.begin_group();
        assert!(!store.group_stays());
        store.end_group().unwrap();
        // Not in a group, it says nothing about the next one.
        change(&mut store, &[RANGE]).unwrap();
        assert!(!store.group_stays());
    }
}

/// If one is taken back all the same, the store knows the table that the pool has.
#[test]
fn the_table_of_hash_slots_follows_a_group_that_is_taken_back() {
    for (before, change) in CHANGES
        .into_iter()
        .flat_map(|one| CHANGES.map(|two| (one, two)))
    {
        let dir = directory();
        let mut store = open(&dir).unwrap();
        set(&mut store, "k", 10);
        // Other runs than those that the change makes, in an object of the same size.
        let other = SlotRange {
            first: 70,
            last: 70,
        };
        before(&mut store, &[other]).unwrap();
        let importing = store.importing();
        store.begin_group();
        set(&mut store, "in the group", 10);
        change(&mut store, &[RANGE]).unwrap();
        change(&mut store, &[SlotRange { first: 5, last: 6 }]).unwrap();
        store.roll_back_group().unwrap();
        store.end_group().unwrap();
        assert_eq!(store.importing(), importing);
        assert_eq!(damaged(&store), 0);
        // Where the table of the group was, there is room for others.
        change(&mut store, &[RANGE]).unwrap();
        Store::begin_import(&mut store, &[other]).unwrap();
        for n in 0..20 {
            set(&mut store, &format!("after:{n}"), 10);
        }
        while store.has_garbage() {
            store.reclaim(Duration::from_secs(1)).unwrap();
        }
        assert_eq!(damaged(&store), 0);
        let importing = store.importing();
        drop(store);
        let store = open(&dir).unwrap();
        assert_eq!(store.importing(), importing);
        assert_eq!(damaged(&store), 0);
    }
}

/// A table that is not the one of the store any more is damaged, and nothing is freed by it.
#[test]
fn a_table_that_is_not_there_is_told_of() {
    let dir = directory();
    let mut store = open(&dir).unwrap();
    store.give_up(&[RANGE]).unwrap();
    assert_eq!(damaged(&store), 0);
    let word = store.pool.user_word(5);
    let table = *store.pool.get(word).unwrap();
    store.pool.set_user_word_now(5, table + 16).unwrap();
    assert_eq!(damaged(&store), 1);
    store.pool.set_user_word_now(5, table).unwrap();
    assert_eq!(damaged(&store), 0);
}
