//! Pools that need their journal, and do not have it.

mod made;

use made::{keys, make, text, tool};
use pobj::{Durability, Pool};
use std::ffi::{OsStr, OsString};
use std::fs;
use store::Store;
use store::content::{Content, Item};
use store::expiry::KEY_NEVER;
use store::layout::pool_at;
use store::lifetime;
use store::structures::limits::AllLimits;
use store::value::ValueType;

/// A pool whose server has died with `durability disk`, after a checkpoint, is without its journal.
#[test]
fn a_pool_without_its_journal_is_read_as_far_as_its_file_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (pool, left) = (dir.path().join("pool"), dir.path().join("left"));
    make(&pool, &["a", "b"]);
    let options = pool_at(&pool).durability(Durability::Disk);
    let admit = |opened: &mut Pool, found, run| {
        lifetime::begin_use(opened, &pool, found, run)?;
        Ok(())
    };
    let mut server = Store::open(&options, admit).unwrap();
    server.pool.checkpoint().unwrap();
    let late = Content {
        ty: ValueType::String,
        elements: vec![Item::Bytes(b"late".to_vec())],
    };
    let made = server.make_from(b"late", 0, KEY_NEVER, AllLimits::DEFAULT, &late);
    made.unwrap();
    server.pool.sync().unwrap();
    // What a crash leaves of it.
    fs::copy(&pool, &left).unwrap();
    drop(server);
    let before = fs::read(&left).unwrap();
    let name = left.as_os_str();
    let words = |words: &[&str]| -> Vec<OsString> {
        let words = words.iter().map(OsString::from);
        words.chain([name.to_owned()]).collect()
    };
    let refused = dir.path().join("refused");
    let copy = [words(&["copy"]), vec![refused.clone().into()]].concat();
    for (words, status) in [
        (words(&["check"]), 1),
        (words(&["info"]), 1),
        (words(&["export"]), 1),
        (words(&["export", "--rdb"]), 1),
        (words(&["compact"]), 2),
        (copy, 2),
    ] {
        let output = tool(words);
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        let told = text(&output.stdout) + &text(&output.stderr);
        let missing = "the pool lacks what came after its last checkpoint";
        assert!(told.contains(missing), "{told}");
    }
    assert!(fs::read(&left).unwrap() == before && !refused.exists());
    let to = dir.path().join("made");
    let words = ["copy", "--accept-torn"].map(OsStr::new);
    let copied = tool(words.into_iter().chain([left.as_os_str(), to.as_os_str()]));
    assert_eq!(copied.status.code(), Some(1), "{copied:?}");
    assert!(text(&copied.stderr).contains("left.journal"), "{copied:?}");
    assert_eq!(keys(&to), ["a", "b"]);
    assert_eq!(keys(&left), ["a", "b"]);
    let checked = tool([OsStr::new("check"), to.as_os_str()]);
    assert!(checked.status.success(), "{checked:?}");
}
