//! Servers whose module is refused threads, as by a limit of processes: what they would help with
//! is done without them.

use testkit::packaged::Packaged;
use testkit::preload;
use testkit::script::{ask, crash};
use testkit::server::{Server, Setup};

const KEYS: usize = 60_000;

/// A server with some keys, killed, whose next start refuses threads to the module. `None` if the
/// server loads modules with a symbol scope of their own, in which what is preloaded is not seen.
fn with_keys(arguments: &[&str]) -> Option<(Setup, Server)> {
    if Packaged::current().has(None, Some((8, 0))) {
        eprintln!("skipped: no threads can be refused to a module of this server");
        return None;
    }
    let setup = Setup::pmedis_with("96m", arguments);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/pobj/tests/fail_threads.c");
    let library = preload::compile(source, setup.dir());
    let mut server = setup.start().expect("it starts");
    let mut client = server.client();
    let write = |number: usize| ["PM.SET".into(), format!("k:{number}"), "x".repeat(100)].to_vec();
    let commands: Vec<Vec<String>> = (0..KEYS).map(write).collect();
    for some in commands.chunks(5000) {
        client.pipeline(some).expect("they are served");
    }
    server.kill9();
    let setup = setup
        .env("LD_PRELOAD", &library.to_string_lossy())
        .env("FAIL_THREADS", "libpmedis");
    Some((setup, server))
}

#[test]
fn a_start_and_a_reload_do_without_threads() {
    let Some((setup, _)) = with_keys(&["durability", "process"]) else {
        return;
    };
    let mut server = setup.start().expect("it starts");
    let mut client = server.client();
    let all = KEYS.to_string();
    assert_eq!(ask(&mut client, "DBSIZE"), all);
    assert_eq!(ask(&mut client, "DEBUG RELOAD"), "OK");
    assert_eq!(ask(&mut client, "DBSIZE"), all);
    assert_eq!(ask(&mut client, "PM.STRLEN k:59999"), "100");
    let mut client = crash(&mut server);
    assert_eq!(ask(&mut client, "DBSIZE"), all);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn a_pool_on_a_disk_whose_thread_is_refused_is_not_opened_and_says_why() {
    let Some((setup, mut server)) = with_keys(&["durability", "disk"]) else {
        return;
    };
    // What its journal has is replayed nevertheless.
    let refusal = setup.refusal();
    let why = "the thread that is to write to it cannot be started";
    assert!(refusal.log.contains(why), "{}", refusal.log);
    assert!(!refusal.log.contains("panicked"), "{}", refusal.log);
    server.restart().expect("it starts");
    assert_eq!(ask(&mut server.client(), "DBSIZE"), KEYS.to_string());
}
