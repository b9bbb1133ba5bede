//! Commands that delete a key reach replicas as DEL or UNLINK, as the native ones of the same
//! server choose.

use testkit::client::Client;
use testkit::scenario::stream;
use testkit::script::ask;
use testkit::server::{Server, Setup};

/// Commands that have a `PM.` form.
const COMMANDS: &[&str] = &[
    "SET s v",
    "GETDEL s",
    "SET s v",
    "GETEX s PXAT 1000",
    "SET s v",
    "GETEX s EX 1000000",
    "SADD x a b c",
    "SPOP x 3",
    "SADD x a",
    "SPOP x",
    "SADD x a",
    "SPOP x 1",
    "SET s v",
    "DEL s",
    "SET s v",
    "UNLINK s",
];

/// What a replica gets when these run.
fn replicated(server: &Server, prefix: &str, db: u8) -> Vec<String> {
    let mut replica = server.client();
    replica.queue(&["SYNC"]);
    replica.send().unwrap();
    replica.receive_snapshot().unwrap();
    let mut client: Client = server.client();
    assert_eq!(ask(&mut client, &format!("SELECT {db}")), "OK");
    for command in COMMANDS {
        let reply = ask(&mut client, &format!("{prefix}{command}"));
        assert!(!reply.starts_with("(error)"), "{prefix}{command}: {reply}");
    }
    assert_eq!(ask(&mut client, "PUBLISH x END"), "0");
    let commands = stream(replica, "END").into_iter();
    // Expire times are told by the clock.
    commands
        .map(|command| {
            if command.starts_with("PEXPIREAT") {
                "PEXPIREAT".to_owned()
            } else {
                command
            }
        })
        .collect()
}

#[test]
fn deletions_are_told_as_native_ones() {
    for lazily in ["no", "yes"] {
        let setup = [
            "lazyfree-lazy-expire",
            "lazyfree-lazy-server-del",
            "lazyfree-lazy-user-del",
        ]
        .iter()
        .fold(Setup::pmedis("64m"), |setup, name| {
            setup.directive(&format!("{name} {lazily}"))
        });
        let server = setup.start().unwrap();
        let native = replicated(&server, "", 0);
        assert!(native.iter().any(|command| command.contains("DEL S")));
        assert_eq!(replicated(&server, "PM.", 8), native, "lazily: {lazily}");
    }
}
