//! The setting `unprefixed` writes into the server's table of commands, after it has looked at each
//! entry. In a server that is not as expected the module refuses to load, with a word on why, and
//! nothing is written: shown on copies of the server's program that lack a name.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use testkit::packaged::Packaged;
use testkit::script::run;
use testkit::server::Setup;

/// Where the system finds its server.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").expect("PATH");
    std::env::split_paths(&path)
        .map(|directory| directory.join("redis-server"))
        .find(|program| program.is_file())
        .expect("redis-server in PATH")
}

/// A copy of the program that exports something of another name, of the same length, instead of
/// `name`. How often it was found.
fn without(name: &str, to: &Path) -> usize {
    let mut bytes = fs::read(program()).expect("the server's program");
    let wanted = format!("\0{name}\0").into_bytes();
    let places: Vec<usize> = bytes
        .windows(wanted.len())
        .enumerate()
        .filter_map(|(at, window)| (window == wanted).then_some(at))
        .collect();
    for &at in &places {
        bytes[at + name.len()] = b'_';
    }
    fs::write(to, bytes).expect("a copy");
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).expect("a program");
    places.len()
}

#[test]
fn a_server_of_another_form_is_left_alone() {
    if !Packaged::current().is_redis_7_0() {
        // The guard is the same code.
        eprintln!("skipped: packaged servers are started by scripts");
        return;
    }
    for (missing, why) in [
        (
            "lookupCommandByCString",
            "it does not export \"lookupCommandByCString\"",
        ),
        (
            "preventCommandPropagation",
            "it does not export \"preventCommandPropagation\"",
        ),
        (
            "RedisModuleCommandDispatcher",
            "it does not export how it runs a module's command",
        ),
        ("incrCommand", "the entry of incr is of an unknown form"),
    ] {
        let with = |arguments: &[&str]| {
            let setup = Setup::pmedis_with("16m", arguments);
            let copy = setup.dir().join("server");
            assert!(without(missing, &copy) > 0, "the server has no {missing}");
            let start = format!("shift; exec '{}' \"$@\"", copy.display());
            setup.wrapped_in(&["sh", "-c", &start, "sh"])
        };
        let refusal = with(&["unprefixed", "yes"]).refusal();
        let line =
            format!("this server does not let 'unprefixed' be done: {why}; see docs/unprefixed.md");
        assert!(refusal.log.contains(&line), "{missing}: {refusal:?}");
        let server = with(&[])
            .start()
            .unwrap_or_else(|refusal| panic!("{missing}: {refusal:?}"));
        run(
            &mut server.client(),
            "PM.SET k v -> OK\nPM.INCR n -> 1\nSET native v -> OK",
        );
    }
}
