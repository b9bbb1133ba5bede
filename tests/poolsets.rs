//! Poolsets that were made by hand: their files become private, and replicas that do not belong
//! together are told before they are opened.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::resp::Value;
use testkit::script::{ask, expect};
use testkit::server::{Server, Setup};

/// Runs pmempool, which has to succeed; what it prints.
fn pmempool(words: &[&str]) -> String {
    let output = Command::new("pmempool").args(words).output();
    let output = output.expect("pmempool is installed");
    assert!(output.status.success(), "pmempool {words:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn mode(path: &Path) -> u32 {
    let metadata = fs::metadata(path).unwrap();
    metadata.permissions().mode() & 0o7777
}

/// A poolset of two replicas of two parts each, made by pmempool: its description, and the parts of
/// each.
fn replicated(setup: &Setup) -> (PathBuf, [[PathBuf; 2]; 2]) {
    let set = setup.dir().join("pmedis.set");
    let parts = ["one", "two"].map(|replica| {
        ["first", "second"].map(|part| setup.dir().join(format!("{replica}.{part}")))
    });
    let lines = parts
        .each_ref()
        .map(|[first, second]| format!("16M {}\n24M {}\n", first.display(), second.display()));
    fs::write(
        &set,
        format!("PMEMPOOLSET\n{}REPLICA\n{}", lines[0], lines[1]),
    )
    .unwrap();
    pmempool(&["create", "--layout", "pmedis", "obj", set.to_str().unwrap()]);
    (set, parts)
}

fn setup() -> Setup {
    Setup::native().force_pmem()
}

fn with(setup: &Setup, set: &Path) -> Setup {
    setup.clone().module(&["path", set.to_str().unwrap()])
}

/// Writes some values, of which a few take more than a record of the log, and shuts down.
fn write(server: &mut Server, round: &str, count: usize) {
    let mut client = server.client();
    for n in 0..count {
        let value = round.repeat(1 + n * 500 % 20_000);
        let ok = client.call(&["PM.SET", &format!("key:{n}"), &value]);
        assert_eq!(ok, Value::Simple("OK".into()));
    }
}

fn copy(from: &[PathBuf; 2], to: &[PathBuf; 2]) {
    for (from, to) in from.iter().zip(to) {
        fs::copy(from, to).unwrap();
    }
}

/// Other paths beside these.
fn aside(parts: &[PathBuf; 2]) -> [PathBuf; 2] {
    let old = |part: &PathBuf| PathBuf::from(format!("{}.old", part.display()));
    parts.each_ref().map(old)
}

#[test]
fn parts_that_everybody_could_read_become_private() {
    let setup = setup();
    let (set, parts) = replicated(&setup);
    let files: Vec<_> = parts.iter().flatten().collect();
    assert!(files.iter().all(|file| mode(file) == 0o664), "{files:?}");
    let mut server = with(&setup, &set).start().unwrap();
    let log = server.log();
    for file in &files {
        assert_eq!(mode(file), 0o600, "{file:?}");
        let told = format!(
            "{} had mode 0664: everybody could read or write it; it has 0600 now",
            file.display()
        );
        assert!(log.contains(&told), "{told}: {log}");
    }
    // What only the group may do is somebody's choice.
    fs::set_permissions(files[0], Permissions::from_mode(0o640)).unwrap();
    server.restart().unwrap();
    assert!(!server.log().contains("everybody"), "{}", server.log());
    assert_eq!(mode(files[0]), 0o640);
}

#[test]
fn a_pool_and_its_journal_become_private() {
    let setup = Setup::native();
    let pool = setup.pool();
    let setup = setup.module(&[
        "path",
        pool.to_str().unwrap(),
        "size",
        "16m",
        "durability",
        "disk",
    ]);
    let mut server = setup.start().unwrap();
    let journal = pool.with_extension("pool.journal");
    for file in [&pool, &journal] {
        assert_eq!(mode(file), 0o600, "{file:?}");
        fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
    }
    server.restart().unwrap();
    for file in [&pool, &journal] {
        assert_eq!(mode(file), 0o600, "{file:?}");
    }
}

/// The server runs as a user that may write the parts, by their group, and does not own them.
#[test]
fn parts_of_another_user_are_told_of() {
    // SAFETY: no argument, no memory.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("skipped: it needs root, to run a server as somebody else");
        return;
    }
    const NOBODY: u32 = 65_534;
    let setup = setup();
    let (set, parts) = replicated(&setup);
    for part in parts.iter().flatten() {
        chown(part, None, Some(NOBODY)).unwrap();
    }
    chown(setup.dir(), Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(&set, Permissions::from_mode(0o644)).unwrap();
    let id = NOBODY.to_string();
    let as_nobody = ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"];
    let server = with(&setup, &set).wrapped_in(&as_nobody).start().unwrap();
    let log = server.log();
    for part in parts.iter().flatten() {
        assert_eq!(mode(part), 0o664);
        let told = format!(
            "{} had mode 0664: everybody could read or write it, and it stays so",
            part.display()
        );
        assert!(log.contains(&told), "{told}: {log}");
    }
    expect(&mut server.client(), "PM.SET k v", "OK");
}

#[test]
fn a_lost_replica_is_made_anew() {
    let setup = setup();
    let (set, parts) = replicated(&setup);
    let mut server = with(&setup, &set).start().unwrap();
    for (lost, files) in parts.iter().enumerate() {
        write(&mut server, &format!("round {lost} "), 100);
        let before = ask(&mut server.client(), "DEBUG DIGEST");
        // What a kill leaves is not stale. Without the first part, which tells a copy from the
        // original, the pool must be closed.
        match lost {
            0 => drop(server.stop()),
            _ => drop(server.kill9()),
        }
        files.iter().for_each(|part| fs::remove_file(part).unwrap());
        let refusal = server.restart().unwrap_err();
        assert!(refusal.log.contains("does not exist"), "{refusal:?}");
        pmempool(&["sync", set.to_str().unwrap()]);
        server.restart().unwrap();
        assert_eq!(ask(&mut server.client(), "DEBUG DIGEST"), before);
        assert_eq!(
            ask(&mut server.client(), "PM.CHECK").split(' ').nth(1),
            Some("100")
        );
    }
}

#[test]
fn a_stale_replica_is_named_before_anything_changes() {
    for stale in 0..2 {
        let setup = setup();
        let (set, parts) = replicated(&setup);
        let mut server = with(&setup, &set).start().unwrap();
        write(&mut server, "early ", 20);
        server.stop();
        let old = aside(&parts[stale]);
        copy(&parts[stale], &old);
        server.restart().unwrap();
        write(&mut server, "late ", 20);
        let before = ask(&mut server.client(), "DEBUG DIGEST");
        server.stop();

        // pmempool takes the old one for good.
        copy(&old, &parts[stale]);
        let path = set.to_str().unwrap();
        pmempool(&["sync", path]);
        let content = || {
            parts
                .clone()
                .map(|replica| replica.map(|part| fs::read(part).unwrap()))
        };
        let untouched = content();

        let refusal = server.restart().unwrap_err();
        let warning = refusal.warnings().join("\n");
        for word in [
            parts[stale][0].to_str().unwrap(),
            "stale replica",
            "pmempool sync",
        ] {
            assert!(warning.contains(word), "{word}: {refusal:?}");
        }
        assert!(content() == untouched, "a refused pool has changed");

        // What the message says helps.
        parts[stale]
            .iter()
            .for_each(|part| fs::remove_file(part).unwrap());
        pmempool(&["sync", path]);
        server.restart().unwrap();
        assert_eq!(ask(&mut server.client(), "DEBUG DIGEST"), before);
    }
}

#[test]
fn a_plain_kill_leaves_replicas_that_are_equal() {
    let setup = setup();
    let (set, parts) = replicated(&setup);
    let mut server = with(&setup, &set).start().unwrap();
    for round in 0..3 {
        write(&mut server, &format!("round {round} "), 60);
        server.kill9();
        server.restart().unwrap();
    }
    write(&mut server, "last ", 60);
    let before = ask(&mut server.client(), "DEBUG DIGEST");
    server.stop();
    // The second alone has everything.
    parts[0]
        .iter()
        .for_each(|part| fs::remove_file(part).unwrap());
    pmempool(&["sync", set.to_str().unwrap()]);
    server.restart().unwrap();
    assert_eq!(ask(&mut server.client(), "DEBUG DIGEST"), before);
    assert_eq!(
        ask(&mut server.client(), "PM.CHECK").split(' ').nth(1),
        Some("60")
    );
}

#[test]
fn a_pool_in_files_of_given_sizes_says_why_it_does_not_grow() {
    let setup = setup();
    let (set, _) = replicated(&setup);
    let server = with(&setup, &set).start().unwrap();
    let refused = ask(&mut server.client(), "PM.POOL GROW");
    assert!(refused.contains("files of a poolset"), "{refused}");
}
