//! Two records of one key, as a crash between a copy and the end of its destination's old value
//! leaves them: the younger one counts, and the other never comes to light.
//!
//! The pools are changed by this process, so there are no tests beside these: a server that is
//! started by another thread meanwhile would inherit the lock of the pool for a moment.

use std::sync::{Mutex, MutexGuard, PoisonError};
use testkit::client::Client;
use testkit::replication::wait_for;
use testkit::script::{ask, crash, expect, run};
use testkit::server::{Server, Setup};

/// One test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server that was killed when `a` and `b` had been copied over, and not yet gone: each has two
/// records.
fn with_duplicates(arguments: &[&str]) -> (Server, Client) {
    // To the server, a pool that something else has changed is a copy.
    let arguments = [arguments, &["copy", "accept"]].concat();
    let mut server = Setup::pmedis_with("64m", &arguments).start().unwrap();
    let mut client = server.client();
    run(
        &mut client,
        "PM.SET a old
        PM.SET b old PX 100000000
        PM.SET new new
        PM.RPUSH list new",
    );
    server.kill9();
    let pairs = [("new", "a"), ("list", "b")];
    explore::duplicates::copy(&server.setup().pool(), &pairs);
    server.restart().unwrap();
    let client = server.client();
    (server, client)
}

#[test]
fn of_two_records_of_a_key_the_younger_one_counts() {
    let _alone = alone();
    for arguments in [&["fill", "0"][..], &[]] {
        for command in [
            "DBSIZE -> 4",
            "EXISTS a b -> 2",
            "PM.GET a -> new\nPM.LRANGE b 0 -1 -> [new]",
        ] {
            let (mut server, mut client) = with_duplicates(arguments);
            run(&mut client, command);
            run(
                &mut client,
                "PM.GET a -> new\nTYPE b -> pm-list--\nPTTL b -> -1\nDBSIZE -> 4\nPM.DBSIZE -> 4",
            );
            let mut client = crash(&mut server);
            run(&mut client, "PM.GET a -> new\nPM.DBSIZE -> 4");
        }
    }
}

#[test]
fn a_key_that_ends_leaves_no_older_record_behind() {
    let _alone = alone();
    for end in [
        "DEL a b",
        "PM.SET b native\nRENAME b a\nDEL a",
        "PEXPIRE a 1\nPEXPIRE b 1",
        "FLUSHDB\nPM.MSET new 1 list 1",
        "RENAME a b\nDEL b",
    ] {
        let (mut server, mut client) = with_duplicates(&["fill", "0"]);
        run(&mut client, end);
        let gone = |client: &mut Client| ask(client, "EXISTS a b") == "0";
        wait_for("the keys are gone", || gone(&mut client));
        run(&mut client, "DBSIZE -> 2\nPM.DBSIZE -> 2");
        let mut client = crash(&mut server);
        assert!(gone(&mut client), "{end}");
        expect(&mut client, "DBSIZE", "2");
    }
}
