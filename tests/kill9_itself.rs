//! The kill -9 tests tested, on Redis without the module: an append-only file passes, a server
//! that forgets does not.

use testkit::crash::rounds::Rounds;
use testkit::env_number;
use testkit::server::Setup;

#[test]
fn an_append_only_file_keeps_what_was_acknowledged() {
    let setup = Setup::native()
        .directive("appendonly yes")
        .directive("appendfsync always");
    let rounds = env_number("PMEDIS_NATIVE_ROUNDS", 6);
    let tally = Rounds::new(&setup, "", 1)
        .run(rounds)
        .unwrap_or_else(|violation| panic!("{violation}"));
    assert!(
        tally.acknowledged > 100 * rounds && tally.in_flight > rounds,
        "idle clients: {tally:?}"
    );
}

#[test]
fn a_server_that_forgets_is_found() {
    let violation = Rounds::new(&Setup::native(), "", 1)
        .run(3)
        .expect_err("nothing was kept");
    assert!(
        violation.contains("is what the server holds"),
        "{violation}"
    );
    assert!(violation.contains("found nothing"), "{violation}");
}
