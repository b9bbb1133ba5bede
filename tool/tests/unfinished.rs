//! Pools that a server is not done with: what they have is a part of what is meant to be in them.

mod made;

use made::{alone, keys, make, store, text, tool};
use std::fs;
use std::path::Path;
use store::Store;
use store::dbs::{Dbs, Origin};
use store::slot::SlotRange;

/// Every command says of such a pool what is to be done, and no other pool comes of it.
fn is_told_of(pool: &Path, told: &str) {
    let before = fs::read(pool).unwrap();
    let to = pool.with_extension("copy");
    let (pool_word, to_word) = (pool.as_os_str(), to.as_os_str());
    let commands = [
        (tool(["copy".as_ref(), pool_word, to_word]), 2),
        (tool(["compact".as_ref(), pool_word]), 2),
        (tool(["check".as_ref(), pool_word]), 1),
        (tool(["info".as_ref(), pool_word]), 1),
        (tool(["export".as_ref(), pool_word]), 1),
        (tool(["export".as_ref(), "--rdb".as_ref(), pool_word]), 1),
    ];
    for (output, status) in commands {
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        let all = text(&output.stdout) + &text(&output.stderr);
        assert!(all.contains(told), "{all}");
    }
    assert!(fs::read(pool).unwrap() == before);
    assert!(!to.exists());
}

fn unfinished(begin: impl FnOnce(&mut Store), told: &str) {
    let dir = tempfile::tempdir().unwrap();
    let pool = dir.path().join("pool");
    make(&pool, &["a"]);
    let mut opened = store(&pool);
    begin(&mut opened);
    drop(opened);
    is_told_of(&pool, told);
    assert_eq!(keys(&pool), ["a"]);
}

#[test]
fn a_part_of_a_files_keys_is_no_pool_to_copy() {
    let _alone = alone();
    unfinished(
        |store| Dbs::set_taking_over(&mut store.pool, Some(Origin::File)).unwrap(),
        "a part of the keys of an RDB or an AOF",
    );
}

#[test]
fn a_part_of_a_masters_keys_is_no_pool_to_copy() {
    let _alone = alone();
    unfinished(
        |store| Dbs::set_taking_over(&mut store.pool, Some(Origin::Master)).unwrap(),
        "a part of the keys of a master",
    );
}

#[test]
fn a_part_of_imported_slots_is_no_pool_to_copy() {
    let _alone = alone();
    let range = SlotRange { first: 0, last: 9 };
    unfinished(
        |store| store.begin_import(&[range]).unwrap(),
        "a part of the keys of hash slots",
    );
}
