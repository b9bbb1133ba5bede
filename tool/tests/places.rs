//! What the tool writes, and what it must leave alone: files that others have left or made,
//! devices, and the pool itself.

mod made;

use made::{alone, keys, make, text, tool};
use pobj::Durability;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::process::Command;
use store::Store;
use store::layout::pool_at;

/// The tool in a process namespace of its own, where it has the number 1; `None` if the machine
/// does not allow that.
fn first_process() -> Option<Command> {
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork"]);
    let mut probe = Command::new("unshare");
    let probe = probe.args(["--pid", "--fork", "true"]).output().ok()?;
    unshare.arg(env!("CARGO_BIN_EXE_pmedis"));
    probe.status.success().then_some(unshare)
}

#[test]
fn what_a_killed_run_of_the_same_number_has_left_is_left() {
    let _alone = alone();
    let Some(mut first) = first_process() else {
        eprintln!("skipped: it needs a namespace of processes");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (pool, part) = (dir.path().join("pool"), dir.path().join("pool.1.part"));
    make(&pool, &["a", "b", "c"]);
    make(&part, &["half"]);
    let compacted = first.arg("compact").arg(&pool).output().unwrap();
    assert!(compacted.status.success(), "{}", text(&compacted.stderr));
    assert_eq!(keys(&pool), ["a", "b", "c"]);
    assert_eq!(keys(&part), ["half"]);
}

#[test]
fn errors_name_the_file_that_they_are_about() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let pool = dir.path().join("pool");
    make(&pool, &["a"]);
    let (pool, nowhere) = (pool.to_str().unwrap(), dir.path().join("no"));
    let none = nowhere.join("file");
    let (nowhere, none) = (nowhere.to_str().unwrap(), none.to_str().unwrap());
    for (words, named) in [
        (&["import", "--size=16m", none, "new"][..], none),
        (&["export", "-o", none, pool], none),
        (&["export", "--rdb", "-o", none, pool], none),
        (&["export", "-o", "/dev/full", pool], "/dev/full"),
        (&["export", "--rdb", "-o", "/dev/full", pool], "/dev/full"),
        (&["info", "--html", none, pool], none),
        (&["info", none], none),
        (&["compact", none], none),
        (&["copy", pool, none], nowhere),
    ] {
        let output = tool(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
        let told = text(&output.stderr);
        assert_eq!(told.matches(named).count(), 1, "{words:?}: {told}");
        assert!(!told.contains("no size was given"), "{told}");
    }
}

#[test]
fn what_is_exported_does_not_replace_the_pool() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let pool = path("pool");
    make(&pool, &["a"]);
    symlink(&pool, path("link")).unwrap();
    fs::hard_link(&pool, path("other name")).unwrap();
    fs::write(path("pool.journal"), "a journal's").unwrap();
    let before = fs::read(&pool).unwrap();
    for name in ["pool", "link", "other name", "pool.journal"] {
        let to = path(name);
        for words in [
            &["export", "--output"][..],
            &["export", "--rdb", "--output"],
            &["info", "--html"],
        ] {
            let words = words.iter().map(OsStr::new);
            let refused = tool(words.chain([to.as_os_str(), pool.as_os_str()]));
            assert_eq!(refused.status.code(), Some(2), "{name}: {refused:?}");
            assert!(text(&refused.stderr).contains("is a file of the pool"));
        }
    }
    assert!(fs::read(&pool).unwrap() == before);
    assert_eq!(fs::read(path("pool.journal")).unwrap(), b"a journal's");
}

#[test]
fn what_is_exported_goes_through_a_pipe_that_is_there() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let (pool, pipe) = (dir.path().join("pool"), dir.path().join("pipe"));
    make(&pool, &["a"]);
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    // Open for both, so that nobody waits for the other end.
    let mut end = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .unwrap();
    let words = ["export", "--output"].map(OsStr::new);
    let output = tool(
        words
            .into_iter()
            .chain([pipe.as_os_str(), pool.as_os_str()]),
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    let mut first = [0; 4];
    end.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"*3\r\n");
}

#[test]
fn what_is_exported_through_a_link_leaves_the_link() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    make(&path("pool"), &["a"]);
    fs::write(path("file"), "").unwrap();
    symlink(path("file"), path("link")).unwrap();
    let (pool, link) = (path("pool"), path("link"));
    let words = ["export", "--output"].map(OsStr::new);
    let output = tool(
        words
            .into_iter()
            .chain([link.as_os_str(), pool.as_os_str()]),
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert!(fs::read(path("file")).unwrap().starts_with(b"*3"));
}

#[test]
fn a_compacted_pool_has_the_owner_and_the_mode_of_the_former_one() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let pool = dir.path().join("pool");
    make(&pool, &["a"]);
    // Only root may give a file away.
    let is_root = chown(&pool, Some(4001), Some(4002)).is_ok();
    fs::set_permissions(&pool, Permissions::from_mode(0o640)).unwrap();
    let before = fs::metadata(&pool).unwrap();
    let compacted = tool([OsStr::new("compact"), pool.as_os_str()]);
    assert!(compacted.status.success(), "{}", text(&compacted.stderr));
    let after = fs::metadata(&pool).unwrap();
    assert_ne!(after.ino(), before.ino());
    assert_eq!(after.mode() & 0o7777, 0o640);
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    assert!(!is_root || after.uid() == 4001);
}

#[test]
fn what_is_exported_has_the_owner_and_the_mode_of_the_file_whose_place_it_takes() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let (pool, file) = (dir.path().join("pool"), dir.path().join("file"));
    make(&pool, &["a"]);
    fs::write(&file, "").unwrap();
    let is_root = chown(&file, Some(4001), Some(4002)).is_ok();
    for (words, mode) in [
        (&["export", "--output"][..], 0o600),
        (&["export", "--rdb", "--output"], 0o640),
        (&["info", "--html"], 0o400),
    ] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let before = fs::metadata(&file).unwrap();
        let words = words.iter().map(OsStr::new);
        let output = tool(words.chain([file.as_os_str(), pool.as_os_str()]));
        assert!(output.status.success(), "{}", text(&output.stderr));
        let after = fs::metadata(&file).unwrap();
        assert_ne!(after.ino(), before.ino());
        assert_eq!(after.mode() & 0o7777, mode);
        assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
        assert!(!is_root || after.uid() == 4001);
    }
}

#[test]
fn a_poolset_is_not_replaced_by_a_file() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let pool = dir.path().join("pool");
    let options = pool_at(&pool).size(16 << 20).max_size(32 << 20);
    let options = options.durability(Durability::Process);
    drop(Store::open(&options, |_, _, _| Ok(())).unwrap());
    let before = fs::read(&pool).unwrap();
    assert!(before.starts_with(b"PMEMPOOLSET"));
    let refused = tool([OsStr::new("compact"), pool.as_os_str()]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(text(&refused.stderr).contains("use copy"), "{refused:?}");
    assert!(fs::read(&pool).unwrap() == before);
}
