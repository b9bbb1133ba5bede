//! Pools that a server is not done with: what they have is a part of what is meant to be in them,
//! or of several moments.

mod made;

use made::{alone, keys, make, store, text, tool};
use pobj::{Durability, Pool};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use store::Store;
use store::dbs::{Dbs, Origin};
use store::layout::pool_at;
use store::lifetime;
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

/// Begins to use a pool as a server does, and does not close it.
fn leave_in_use(pool: &Path) {
    let options = pool_at(pool).durability(Durability::Process);
    let admit = |opened: &mut Pool, found, run| {
        lifetime::begin_use(opened, pool, found, run)?;
        Ok(())
    };
    drop(Store::open(&options, admit).unwrap());
}

#[test]
fn a_copy_of_a_pool_in_use_is_told_of_and_copied_only_if_asked_for() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let (pool, torn) = (dir.path().join("pool"), dir.path().join("torn"));
    make(&pool, &["a", "b"]);
    leave_in_use(&pool);
    fs::copy(&pool, &torn).unwrap();
    is_told_of(&torn, "a part of it can be older than the rest");
    let to = dir.path().join("made");
    let words = ["copy", "--accept-torn"].map(OsStr::new);
    let copied = tool(words.into_iter().chain([torn.as_os_str(), to.as_os_str()]));
    assert_eq!(copied.status.code(), Some(1), "{copied:?}");
    assert!(text(&copied.stderr).contains("can be older than the rest"));
    assert_eq!(keys(&to), ["a", "b"]);
    // The pool itself is what its server has left, and what was made of the copy is whole.
    for sound in [&pool, &to] {
        let checked = tool([OsStr::new("check"), sound.as_os_str()]);
        assert!(checked.status.success(), "{checked:?}");
    }
}
