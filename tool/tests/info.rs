//! What `info` says of pools that are not as most are.

mod made;

use made::{alone, make, text, tool};
use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn a_long_name_is_shown_in_part() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let (pool, page) = (dir.path().join("pool"), dir.path().join("page"));
    let long = "\u{1}".repeat(70_000);
    make(&pool, &[&long, "short"]);
    let words = [OsStr::new("info"), OsStr::new("--html"), page.as_os_str()];
    let told = tool(words.into_iter().chain([pool.as_os_str()]));
    assert!(told.status.success(), "{}", text(&told.stderr));
    let shown = format!("{}... (70000 bytes)", "\\x01".repeat(100));
    for whole in [text(&told.stdout), std::fs::read_to_string(page).unwrap()] {
        assert!(whole.contains(&shown) && whole.contains("short"), "{whole}");
    }
}

#[test]
fn the_format_is_that_of_the_file() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    make(&new, &["a"]);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/format-1.pool.gz");
    let unpacked = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::from(File::open(kept).unwrap()))
        .stdout(Stdio::from(File::create(&old).unwrap()))
        .status()
        .unwrap();
    assert!(unpacked.success());
    for (pool, format) in [(old, "Format 1, "), (new, "Format 2, ")] {
        let told = tool([OsStr::new("info"), pool.as_os_str()]);
        assert!(text(&told.stdout).contains(format), "{told:?}");
    }
}
