//! A pool on a file system of layers (overlayfs), as in a container's own root. There a mapping
//! keeps another file than the one that was opened, and libpmemobj's lock ends when it closes that.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::disk::{Layers, SmallDisk};
use testkit::script::{crash, expect, run};
use testkit::server::Setup;

#[test]
fn a_pool_has_one_user_at_a_time() {
    let home = Setup::native();
    let Some(disk) = SmallDisk::mount(home.dir().join("disk"), 256) else {
        eprintln!("skipped: nothing can be mounted here");
        return;
    };
    let Some(layers) = Layers::mount(home.dir().join("layers"), disk.path()) else {
        eprintln!("skipped: no overlayfs is to be had here");
        return;
    };
    for arguments in [
        ["durability", "process"].as_slice(),
        &["durability", "disk"],
        &["durability", "process", "max-size", "64m"],
    ] {
        let pool = layers.path().join(format!("{}.pool", arguments.join("-")));
        let path = pool.to_string_lossy().into_owned();
        let words = [&["path", &path, "size", "16m"], arguments].concat();
        let setup = || Setup::native().module(&words);
        // A new one, one that was closed, one that was not.
        let mut server = setup().start().unwrap();
        for round in 0..3 {
            let refusal = setup().refusal();
            assert!(
                refusal.log.contains("in use by another process"),
                "{arguments:?}, {round}: {refusal:?}"
            );
            let mut client = server.client();
            run(&mut client, &format!("PM.SET k {round} -> OK"));
            if round == 0 {
                server.stop();
                server.restart().unwrap();
            } else {
                client = crash(&mut server);
                expect(&mut client, "PM.GET k", &round.to_string());
            }
        }
        assert!(is_held(&pool), "{arguments:?}");
        // A child that is at work when its server dies keeps nobody out.
        let mut client = server.client();
        run(
            &mut client,
            "SET native v -> OK\nCONFIG SET rdb-key-save-delay 100000000 -> OK",
        );
        expect(&mut client, "BGSAVE", "Background saving started");
        let killed = Command::new("kill")
            .args(["-9", &server.pid().to_string()])
            .status();
        assert!(killed.unwrap().success());
        server.wait_for_end();
        server.restart().unwrap();
        server.stop();
        assert!(!is_held(&pool), "{arguments:?}");
        // Who is about to open it has it already.
        let opening = hold(&pool, libc::F_OFD_SETLK);
        assert_eq!(opening.1.l_type, libc::F_WRLCK as libc::c_short);
        let refusal = setup().refusal();
        assert!(
            refusal.log.contains("in use by another process"),
            "{arguments:?}: {refusal:?}"
        );
        drop(opening);
        server.restart().unwrap();
        server.stop();
    }
}

/// The file that stands for a pool when it is locked: a growing one's first part.
fn locked_file(pool: &Path) -> PathBuf {
    let parts = pool.with_extension("pool.parts");
    if parts.is_dir() {
        parts.join("000000.pmem")
    } else {
        pool.to_path_buf()
    }
}

/// Asks for a lock on all of a pool's file, or who has one.
fn hold(pool: &Path, ask: libc::c_int) -> (File, libc::flock) {
    let file = locked_file(pool);
    let file = File::options().read(true).write(true).open(file).unwrap();
    // SAFETY: all zeros are a value of this plain struct.
    let mut lock = unsafe { std::mem::zeroed::<libc::flock>() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    // SAFETY: an open file, and a struct that lives for the call.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), ask, &raw mut lock) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    (file, lock)
}

/// Whether somebody has a pool to itself.
fn is_held(pool: &Path) -> bool {
    hold(pool, libc::F_OFD_GETLK).1.l_type != libc::F_UNLCK as libc::c_short
}
