//! The selected database is the client's own: nothing that the module hears of, and nothing that it
//! does, may leave another one selected.
//!
//! In each database, the key `here` holds the database's number. After each command, the client
//! must still read the number of the one that it selected.

use testkit::client::Client;
use testkit::replication::{info, wait_for};
use testkit::script::{ask, crash, expect, words};
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

/// Copies between databases within one EXEC: whatever ran before, each command runs where the
/// client, or its script, is.
#[test]
fn exec_stays_where_it_was_whatever_ran_before() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    let library = "#!lua name=l\nredis.register_function('away', function() \
        return redis.call('COPY', 'here', 'away', 'DB', '7', 'REPLACE') end)";
    assert!(!client.call(&["FUNCTION", "LOAD", library]).is_error());
    let reads = ["EVAL", "return redis.call('SCARD', 'absent')", "0"];
    let copies = [
        "EVAL",
        "return redis.call('COPY', 'here', 'away', 'DB', '7', 'REPLACE')",
        "0",
    ];
    let selects = [
        "EVAL",
        "redis.call('SELECT', '5') redis.pcall('SELECT', '99') \
         return redis.call('COPY', 'here', 'away', 'DB', '7', 'REPLACE')",
        "0",
    ];
    let calls = ["FCALL", "away", "0"];
    let copy = ["COPY", "here", "elsewhere", "DB", "8", "REPLACE"];
    let pm_copy = ["PM.COPY", "pmhere", "elsewhere", "DB", "8", "REPLACE"];
    let absent = ["COPY", "absent", "elsewhere", "DB", "8", "REPLACE"];
    let moves = ["MOVE", "native", "8"];
    let pm_moves = ["PM.MOVE", "pm", "8"];
    let (to_4, to_99) = (["SELECT", "4"], ["SELECT", "99"]);
    let home = ["SELECT", &HOME.to_string()];
    let sequences: &[&[&[&str]]] = &[
        &[&reads, &copy],
        &[&reads, &moves],
        &[&copies, &copy],
        &[&copy, &copies, &copy],
        &[&calls, &copy, &calls],
        &[&selects, &copy],
        &[&selects, &copies],
        &[&selects, &calls, &copy],
        &[&copy, &selects, &reads, &copies, &copy, &moves],
        &[&to_4, &reads, &copy],
        &[&copy, &to_4, &copies],
        &[&copies, &to_4, &copies],
        &[&selects, &to_4, &copies, &home, &copy, &to_4],
        &[&absent, &to_4, &copy],
        &[&to_99, &copy],
        &[&to_4, &to_99, &copy],
        &[&pm_copy],
        &[&pm_moves, &copy],
        &[&reads, &pm_copy, &copy],
        &[&to_4, &pm_copy, &reads, &copy],
    ];
    for sequence in sequences {
        fill(&mut client);
        let mut at = HOME;
        client.call(&["MULTI"]);
        let mut marked = Vec::new();
        for command in *sequence {
            client.call(command);
            if command[0] == "SELECT" && command[1] != "99" {
                at = command[1].parse().unwrap();
            }
            client.call(&["SETNX", "marked", "1"]);
            marked.push(at);
        }
        let reply = words(&client.call(&["EXEC"]));
        is_in(&mut client, at, &format!("{sequence:?}: {reply}"));
        for db in 0..10 {
            expect(&mut client, &format!("SELECT {db}"), "OK");
            let expected = if marked.contains(&db) { "1" } else { "0" };
            let found = ask(&mut client, "EXISTS marked");
            assert_eq!(found, expected, "{sequence:?}, database {db}: {reply}");
        }
    }
}

/// Two scripts, of which the first selects another database, and the second copies to a third one.
#[test]
fn a_script_begins_where_its_caller_is() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    fill(&mut client);
    let selects = "redis.call('SELECT', '5') return redis.call('GET', 'here')";
    let copies = "redis.call('COPY', 'here', 'away', 'DB', '7', 'REPLACE') \
                  return redis.call('GET', 'here')";
    let back = "redis.call('SELECT', '5') redis.call('COPY', 'here', 'away', 'DB', '7', 'REPLACE') \
                return redis.call('GET', 'here')";
    expect(&mut client, "MULTI", "OK");
    for script in [selects, copies, back, copies] {
        client.call(&["EVAL", script, "0"]);
    }
    let expected = format!("[5 {HOME} 5 {HOME}]");
    expect(&mut client, "EXEC", &expected);
    is_in(&mut client, HOME, "the scripts");
}

/// A replica is told of a copy where the source is.
#[test]
fn copies_are_replicated_where_they_were_made() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    fill(&mut client);
    let mut replica = server.client();
    replica.queue(&["SYNC"]);
    replica.send().unwrap();
    replica.receive_snapshot().unwrap();
    for command in [
        "PM.COPY pm a DB 6",
        "COPY native b DB 6",
        "MULTI",
        "PM.COPY pm c DB 6",
        "COPY native d DB 6",
        "EXEC",
        "PM.MOVE pm 6",
        "MOVE native 6",
    ] {
        let reply = ask(&mut client, command);
        assert!(!reply.starts_with("(error)"), "{command}: {reply}");
    }
    assert_eq!(ask(&mut client, "PUBLISH x END"), "0");
    let told: Vec<String> = std::iter::repeat_with(|| words(&replica.receive().unwrap()))
        .take_while(|command| !command.ends_with("END]"))
        .filter(|command| command.to_uppercase().starts_with("[SELECT"))
        .collect();
    assert_eq!(told, [format!("[SELECT {HOME}]")]);
}

/// Nor does MOVE within EXEC move the client that loads it from an AOF.
#[test]
fn an_aof_is_loaded_into_the_databases_it_names() {
    // By default the server may put off what it writes while it syncs.
    let setup = Setup::pmedis("64m")
        .directive("appendonly yes")
        .directive("appendfsync always");
    let mut server = setup.start().unwrap();
    let mut client = server.client();
    for command in [
        "SET moved v",
        "MULTI",
        "MOVE moved 6",
        "SET kept 1",
        "EXEC",
        "SET later 2",
    ] {
        ask(&mut client, command);
    }
    let mut client = crash(&mut server);
    expect(&mut client, "MGET moved kept later", "[nil 1 2]");
}

/// What is done for keys whose time has come, or that have to give way, is done in their database.
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
    for n in 0..50 {
        expect(&mut other, &format!("SET n{n} v EX 100000"), "OK");
        expect(&mut other, &format!("PM.SET p{n} v EX 100000"), "OK");
    }
    expect(
        &mut client,
        "CONFIG SET maxmemory-policy volatile-ttl",
        "OK",
    );
    expect(&mut client, "CONFIG SET maxmemory 1", "OK");
    wait_for("keys are evicted", || {
        expect(&mut client, "GET here", &HOME.to_string());
        expect(&mut client, "PM.GET pmhere", &HOME.to_string());
        expect(&mut other, "GET here", "5");
        ask(&mut other, "DBSIZE") == "2"
    });
    assert_eq!(info(&mut other, "evicted_keys"), "100");
}
