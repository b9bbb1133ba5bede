//! What the tool writes, and what it must leave alone: files that others have left or made, devices,
//! and the pool itself.

mod made;

use made::{keys, make, text};
use std::process::Command;

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
    let Some(mut first) = first_process() else {
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
