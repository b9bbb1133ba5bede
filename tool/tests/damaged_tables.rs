//! Pools whose table of hash slots is damaged: no server opens them, and the tool reads their keys.

mod made;

use made::{alone, keys, make, store, text, tool};
use pobj::{Durability, Error, PPtr};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use store::Store;
use store::layout::pool_at;
use store::slot::SlotRange;

/// Where the pool has the offset of the table.
const TABLE: usize = 5;

/// A pool with a table whose offset, or first run, is changed.
fn break_table(pool: &Path, change: impl FnOnce(&mut Store, u64)) {
    make(pool, &["a", "b"]);
    let mut opened = store(pool);
    opened.give_up(&[SlotRange { first: 1, last: 2 }]).unwrap();
    let table = *opened.pool.get(opened.pool.user_word(TABLE)).unwrap();
    change(&mut opened, table);
}

fn run(words: &[&OsStr], status: i32) -> String {
    let output = tool(words);
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    text(&output.stdout) + &text(&output.stderr)
}

fn is_read(pool: &Path) {
    let word = pool.as_os_str();
    let before = fs::read(pool).unwrap();
    let told = "the table of hash slots is damaged";
    let rdb = [OsStr::new("export"), OsStr::new("--rdb"), word];
    for command in [["check"], ["info"], ["compact"]] {
        let said = run(&[OsStr::new(command[0]), word], 1);
        assert!(said.contains(told), "{said}");
    }
    assert!(run(&rdb, 1).contains(told));
    assert_eq!(keys(pool), ["a", "b"]);
    let to = pool.with_extension("copy");
    let said = run(&[OsStr::new("copy"), word, to.as_os_str()], 1);
    assert!(
        said.contains(told) && said.contains("2 keys, 0 damaged"),
        "{said}"
    );
    assert!(fs::read(pool).unwrap() == before, "nothing is changed");
    // What comes of it is whole.
    run(&[OsStr::new("check"), to.as_os_str()], 0);
    assert_eq!(keys(&to), ["a", "b"]);
    drop(store(&to));
}

#[test]
fn keys_beside_a_damaged_table_of_hash_slots_are_read() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let pool = dir.path().join("pool");
    break_table(&pool, |opened, table| {
        let mut tx = opened.pool.begin();
        // From slot 65,535 on.
        let first = PPtr::<u8>::new(table + 8).unwrap();
        tx.write(first, &[0xff, 0xff]).unwrap();
        tx.commit().unwrap();
    });
    let options = pool_at(&pool).durability(Durability::Process);
    let refused = Store::open(&options, |_, _, _| Ok(()));
    assert!(matches!(refused, Err(Error::Damaged(_))));
    is_read(&pool);
}

#[test]
fn keys_beside_a_table_in_free_memory_are_read() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let pool = dir.path().join("pool");
    break_table(&pool, |opened, table| {
        let mut tx = opened.pool.begin();
        tx.free(PPtr::<u8>::new(table).unwrap()).unwrap();
        tx.commit().unwrap();
    });
    is_read(&pool);
}
