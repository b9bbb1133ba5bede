//! What a write survives: which durability is in force, and pools that change from one to another.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use testkit::replication::info;
use testkit::script::ask;
use testkit::server::{Server, Setup};

/// A server of its own on the pool at `path`, with these further arguments.
fn serve(path: &Path, arguments: &[&str]) -> Server {
    let path = path.to_str().unwrap();
    let setup = Setup::native().module(&[&["path", path, "size", "16m"], arguments].concat());
    setup.start().unwrap()
}

#[test]
fn each_durability_serves_and_says_so() {
    for (given, in_force) in [
        (&["durability", "process"][..], "process"),
        (&["DURABILITY", "Disk"], "disk"),
        (&["durability", "auto"], "disk"),
        (&["durability", "msync"], "disk"),
        (&[], "disk"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool");
        let mut server = serve(&path, given);
        assert_eq!(ask(&mut server.client(), "PM.SET k v"), "OK");
        assert_eq!(
            info(&mut server.client(), "pmedis_durability"),
            in_force,
            "{given:?}"
        );
        let log = server.log();
        assert!(log.contains(&format!("durability {in_force}:")), "{log}");
        let taken = log.contains("'durability msync' is taken as 'durability disk'");
        assert_eq!(taken, given.contains(&"msync"), "{log}");
        let mode = fs::metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600, "others can read the pool");
        assert_eq!(path.with_extension("journal").exists(), in_force == "disk");
        server.kill9();
        server.restart().unwrap();
        assert_eq!(ask(&mut server.client(), "PM.GET k"), "v");
    }
}

#[test]
fn auto_says_why_and_warns_where_nothing_survives_the_machine() {
    let disk = tempfile::tempdir().unwrap();
    let server = serve(&disk.path().join("pool"), &[]);
    let reason = info(&mut server.client(), "pmedis_durability_reason");
    if pobj::is_volatile(disk.path()) {
        println!("the directory for temporary files is on tmpfs, too");
    } else {
        assert!(reason.contains("is not on persistent memory"), "{reason}");
        assert!(!server.log().contains("tmpfs"), "{}", server.log());
    }

    let in_memory = Setup::native();
    let server = serve(&in_memory.pool(), &[]);
    let reason = info(&mut server.client(), "pmedis_durability_reason");
    assert!(reason.contains("tmpfs"), "{reason}");
    assert!(server.log().contains("nothing of it survives the machine"));
    assert_eq!(ask(&mut server.client(), "PM.SET k v"), "OK");
}

#[test]
fn a_pool_opens_with_another_durability_after_a_kill_and_after_an_orderly_end() {
    let ways: [&[&str]; 3] = [
        &["durability", "process"],
        &["durability", "disk"],
        &["durability", "auto"],
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pool");
    let mut written = 0;
    for orderly in [false, true] {
        for from in ways {
            for to in ways {
                for way in [from, to] {
                    let mut server = serve(&path, way);
                    let mut client = server.client();
                    assert_eq!(ask(&mut client, "PM.LLEN log"), format!("{written}"));
                    for _ in 0..20 {
                        written += 1;
                        let length = ask(&mut client, &format!("PM.RPUSH log {written}"));
                        assert_eq!(length, format!("{written}"));
                    }
                    if orderly {
                        assert!(server.stop().success())
                    } else {
                        server.kill9();
                    }
                }
            }
        }
    }
    let server = serve(&path, &[]);
    let last = ask(&mut server.client(), "PM.LRANGE log -1 -1");
    assert!(last.contains(&written.to_string()), "{last}");
    assert_eq!(ask(&mut server.client(), "PM.CHECK log"), "OK");
}

#[test]
fn a_poolset_on_a_disk_is_refused_with_a_word_on_what_to_do() {
    let dir = Setup::native();
    let parts = dir.dir().join("parts");
    fs::create_dir(&parts).unwrap();
    let set = dir.dir().join("pool.set");
    let text = format!("PMEMPOOLSET\nOPTION SINGLEHDR\n1G {}\n", parts.display());
    fs::write(&set, &text).unwrap();
    let path = set.to_str().unwrap();
    for arguments in [&["path", path][..], &["path", path, "durability", "disk"]] {
        let refusal = Setup::native().module(arguments).refusal();
        let warnings = refusal.warnings();
        assert_eq!(warnings.len(), 1, "{refusal:?}");
        for word in [path, "one file", "durability process"] {
            assert!(warnings[0].contains(word), "{word}: {refusal:?}");
        }
        assert_eq!(fs::read_to_string(&set).unwrap(), text);
        assert_eq!(fs::read_dir(&parts).unwrap().count(), 0);
    }
    let server = serve(&set, &["durability", "process"]);
    assert_eq!(ask(&mut server.client(), "PM.SET k v"), "OK");
}
