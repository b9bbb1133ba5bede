//! What the tool only reads it does not change: neither the length of a file, nor its holes, nor
//! which files there are; and where there is no pool, it makes none.

mod made;

use made::{alone, make, text, tool};
use pobj::Durability;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use store::Store;
use store::content::{Content, Item};
use store::expiry::KEY_NEVER;
use store::layout::pool_at;
use store::structures::limits::AllLimits;
use store::value::ValueType;

/// What there is to know of a file: length, blocks, content.
type Look = (u64, u64, Vec<u8>);

/// All files of a directory and its directories.
fn looks(directory: &Path) -> BTreeMap<PathBuf, Look> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::metadata(&path).unwrap();
        if metadata.is_dir() {
            all.extend(looks(&path));
        } else {
            let content = fs::read(&path).unwrap();
            all.insert(path, (metadata.len(), metadata.blocks(), content));
        }
    }
    all
}

/// Runs the commands that read a pool, of which all end with this status; what they write.
fn read_all(pool: &Path, status: i32) -> Vec<String> {
    let elsewhere = tempfile::tempdir().unwrap();
    let exported = elsewhere.path().join("exported");
    fs::write(&exported, "yesterday's").unwrap();
    let to = elsewhere.path().join("to");
    let words: [&[&OsStr]; 4] = [
        &["check".as_ref(), pool.as_ref()],
        &["info".as_ref(), pool.as_ref()],
        &[
            "export".as_ref(),
            "--output".as_ref(),
            exported.as_ref(),
            pool.as_ref(),
        ],
        &["copy".as_ref(), pool.as_ref(), to.as_ref()],
    ];
    let told = words.map(|words| {
        let output = tool(words);
        let told = text(&output.stderr) + &text(&output.stdout);
        assert_eq!(output.status.code(), Some(status), "{words:?}: {told}");
        told
    });
    let is_kept = fs::read(&exported).unwrap() == b"yesterday's";
    assert_eq!(is_kept, status == 2);
    assert_eq!(to.exists(), status != 2);
    told.to_vec()
}

/// A pool in directories, with a key.
fn grown(pool: &Path) {
    let options = pool_at(pool).size(16 << 20).max_size(64 << 20);
    let options = options.durability(Durability::Process);
    let mut store = Store::open(&options, |_, _, _| Ok(())).unwrap();
    let content = Content {
        ty: ValueType::String,
        elements: vec![Item::Bytes(b"v".as_slice())],
    };
    let limits = AllLimits::DEFAULT;
    store
        .make_from(b"k", 0, KEY_NEVER, limits, &content)
        .unwrap();
    store.pool.grow(Some(8 << 20)).unwrap();
    store.close().unwrap();
}

#[test]
fn a_file_keeps_its_length_and_its_holes() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let pool = dir.path().join("pool");
    make(&pool, &["a", "b"]);
    let content = fs::read(&pool).unwrap();
    fs::remove_file(&pool).unwrap();
    let file = File::create(&pool).unwrap();
    file.set_len(content.len() as u64 + (8 << 20)).unwrap();
    for (nth, page) in (0..).zip(content.chunks(4096)) {
        if page.iter().any(|&byte| byte != 0) {
            file.write_all_at(page, nth * 4096).unwrap();
        }
    }
    file.sync_all().unwrap();
    let before = looks(dir.path());
    let told = read_all(&pool, 0);
    assert!(told[0].contains("2 keys sound, 0 damaged"), "{told:?}");
    assert!(looks(dir.path()) == before, "files have changed");
}

#[test]
fn a_part_that_the_pool_does_not_know_stays() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let pool = dir.path().join("pool");
    grown(&pool);
    let unknown = dir.path().join("pool.parts/000002.pmem");
    File::create(&unknown).unwrap().set_len(8 << 20).unwrap();
    let before = looks(dir.path());
    assert_eq!(before.len(), 4);
    let told = read_all(&pool, 0);
    assert!(told[0].contains("1 key sound, 0 damaged"), "{told:?}");
    assert!(looks(dir.path()) == before, "files have changed");
}

#[test]
fn no_pool_is_made_where_the_directory_of_one_is_empty() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let pool = dir.path().join("pool");
    grown(&pool);
    let parts = dir.path().join("pool.parts");
    fs::rename(&parts, dir.path().join("elsewhere")).unwrap();
    fs::create_dir(&parts).unwrap();
    let before = looks(dir.path());
    for told in read_all(&pool, 2) {
        let is_said = told.contains("a poolset without a pool: are its devices mounted?");
        assert!(is_said, "{told}");
    }
    assert!(looks(dir.path()) == before, "files have changed");
}

#[test]
fn nothing_is_removed_where_a_first_part_is_lost() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let pool = dir.path().join("pool");
    grown(&pool);
    let first = dir.path().join("pool.parts/000000.pmem");
    let file = File::options().write(true).open(&first).unwrap();
    file.write_all_at(&[0; 4096], 0).unwrap();
    let before = looks(dir.path());
    for told in read_all(&pool, 2) {
        assert!(told.contains("no libpmemobj header"), "{told}");
    }
    fs::rename(&first, dir.path().join("aside")).unwrap();
    for told in read_all(&pool, 2) {
        assert!(told.contains("000000.pmem does not exist"), "{told}");
    }
    fs::rename(dir.path().join("aside"), &first).unwrap();
    assert!(looks(dir.path()) == before, "files have changed");
}
