//! The selected database is the client's own: nothing that the module hears of, and nothing that it
//! does, may leave another one selected.
//!
//! In each database, the key `here` holds the database's number. After each command, the client
//! must still read the number of the one that it selected.

use testkit::client::Client;
use testkit::script::{ask, expect};
use testkit::server::Setup;

/// The database that the client selects.
const HOME: u8 = 3;

/// Commands that tell of keys in other databases than the selected one, and some that tell of keys
/// in it, with native keys and PM keys.
const COMMANDS: &[&str] = &[
    "MOVE native 5",
    "MOVE pm 5",
    "COPY native copied DB 5",
    "COPY pm copied DB 5 REPLACE",
    "COPY native copied DB 5",
    "PM.COPY pm other DB 6",
    "EXPIRE native 1000",
    "EXPIRE pm 1000",
    "PERSIST pm",
    "RENAME pm renamed",
    "RENAME pm native",
    "DEL native pm",
    "PM.SET pm 1",
    "PM.EXPIRE pm 1000",
    "SWAPDB 8 9",
    "FLUSHDB",
    "PM.FLUSHDB",
    "DEBUG RELOAD",
    "DEBUG RELOAD NOSAVE",
];

/// Puts into each database what [`COMMANDS`] need.
fn fill(client: &mut Client) {
    expect(client, "FLUSHALL", "OK");
    for db in 0..10 {
        expect(client, &format!("SELECT {db}"), "OK");
        expect(client, &format!("SET here {db}"), "OK");
        expect(client, &format!("PM.SET pmhere {db}"), "OK");
        if db == HOME {
            expect(client, "SET native value", "OK");
            expect(client, "PM.SET pm value", "OK");
        }
    }
    expect(client, "SAVE", "OK");
    expect(client, &format!("SELECT {HOME}"), "OK");
}

/// Expects the client to be in database `db`, as far as its keys tell.
#[track_caller]
fn is_in(client: &mut Client, db: u8, after: &str) {
    // A flush takes what tells.
    expect(client, "SETNX mark 1", "1");
    expect(client, "DEL mark", "1");
    let text = ask(client, "CLIENT INFO");
    assert!(
        text.contains(&format!(" db={db} ")),
        "after {after}: {text}"
    );
}

#[test]
fn commands_leave_the_client_where_it_was() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    for command in COMMANDS {
        fill(&mut client);
        let reply = ask(&mut client, command);
        assert!(!reply.starts_with("(error)"), "{command}: {reply}");
        is_in(&mut client, HOME, command);
    }
}

#[test]
fn exec_runs_each_command_where_it_was_queued_for() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    for command in COMMANDS {
        fill(&mut client);
        let others = [
            "COPY here here DB 7 REPLACE",
            "COPY absent elsewhere DB 8",
            "SELECT 4",
            "COPY here elsewhere DB 7 REPLACE",
            "SET after native",
            "PM.SET pmafter pm",
            &format!("SELECT {HOME}"),
            "COPY here elsewhere DB 8 REPLACE",
        ];
        expect(&mut client, "MULTI", "OK");
        for word in [command].into_iter().chain(&others) {
            expect(&mut client, word, "QUEUED");
        }
        let reply = ask(&mut client, "EXEC");
        assert!(!reply.starts_with("(error)"), "{command}: {reply}");
        is_in(&mut client, HOME, command);
        expect(&mut client, "EXISTS after pmafter", "0");
        expect(&mut client, "SELECT 4", "OK");
        expect(&mut client, "EXISTS after pmafter", "2");
    }
}

#[test]
fn scripts_stay_in_their_database() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    for command in COMMANDS
        .iter()
        .filter(|command| !command.starts_with("DEBUG"))
    {
        fill(&mut client);
        let words: Vec<String> = command.split(' ').map(|word| format!("'{word}'")).collect();
        let script = format!(
            "redis.call({}) redis.call('SET', 'after', '1') \
             redis.call('SELECT', '4') redis.call('COPY', 'here', 'away', 'DB', '7', 'REPLACE') \
             return redis.call('SET', 'later', '1')",
            words.join(", ")
        );
        let reply = client.call(&["EVAL", &script, "0"]);
        assert!(!reply.is_error(), "{command}: {reply:?}");
        is_in(&mut client, HOME, command);
        expect(&mut client, "EXISTS after later", "1");
        expect(&mut client, "SELECT 4", "OK");
        expect(&mut client, "EXISTS after later", "1");
        expect(&mut client, "EXISTS here later", "2");
    }
}

#[test]
fn expiry_and_eviction_elsewhere_move_nobody() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    fill(&mut client);
    let mut other = server.client();
    expect(&mut other, "SELECT 5", "OK");
    for n in 0..50 {
        expect(&mut other, &format!("SET n{n} v PX 1"), "OK");
        expect(&mut other, &format!("PM.SET p{n} v PX 1"), "OK");
        expect(&mut client, "GET here", &HOME.to_string());
        expect(&mut client, "PM.GET pmhere", &HOME.to_string());
        expect(&mut other, "GET here", "5");
    }
}
