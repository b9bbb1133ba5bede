//! What clients and operators are told of a PM command, once and as of its native one: SLOWLOG,
//! invalidations of a flush, the event and the replies of DEL and its like.

use testkit::client::Client;
use testkit::script::{ask, crash, run, words};
use testkit::server::Setup;

/// The commands in SLOWLOG that have the key among their words, oldest first.
fn logged(client: &mut Client, key: &str) -> Vec<String> {
    let reply = client.call(&["SLOWLOG", "GET", "-1"]);
    let entries = reply.elements().expect("a list").iter();
    let lines = entries.map(|entry| words(&entry.elements().expect("an entry")[3]));
    let mut lines: Vec<String> = lines.filter(|line| line.contains(key)).collect();
    lines.reverse();
    lines
}

#[test]
fn slowlog_shows_a_command_once() {
    // Nothing else is logged, however slow the machine is.
    let setup = Setup::pmedis("64m").directive("slowlog-log-slower-than -1");
    let server = setup.start().unwrap();
    let mut client = server.client();
    run(
        &mut client,
        "PM.SET gone v -> OK\nPM.SET kept v -> OK\nCONFIG SET slowlog-log-slower-than 0 -> OK",
    );
    let lines = [
        "pm.exists gone kept",
        "pm.touch gone",
        "pm.ttl gone",
        "pm.pexpiretime gone",
        "pm.expire gone 1000",
        "pm.pexpire gone 1000000",
        "pm.expireat gone 4102444800",
        "pm.pexpireat gone 4102444800000",
        "pm.persist gone",
        "pm.persist gone",
        "pm.unlink other gone",
        "pm.del gone",
    ];
    for line in lines {
        ask(&mut client, line);
    }
    let told = logged(&mut client, "gone");
    assert_eq!(told, lines.map(|line| format!("[{line}]")));
}

#[test]
fn deleting_is_one_step_and_passes_over_native_keys() {
    let setup = Setup::pmedis("64m").directive("notify-keyspace-events Eg");
    let mut server = setup.start().unwrap();
    let mut client = server.client();
    let mut listener = server.client();
    run(&mut listener, "SUBSCRIBE __keyevent@0__:del");
    run(
        &mut client,
        "PM.SET a v -> OK
        PM.RPUSH b v -> 1
        PM.SET c v PXAT 4102444800000 -> OK
        SET native v -> OK
        PM.EXISTS a b b native absent -> 3
        PM.TOUCH a native -> 1
        PM.PEXPIRETIME c -> 4102444800000
        PM.TTL a -> -1
        PM.TTL native -> -2
        PM.PTTL absent -> -2
        PM.DEL a b native absent a -> 2
        PM.DEL a b native -> 0
        PM.UNLINK native c -> 1
        GET native -> v",
    );
    for key in ["a", "b", "c"] {
        let told = words(&listener.receive().expect("an event"));
        assert_eq!(told, format!("[message __keyevent@0__:del {key}]"));
    }
    run(
        &mut client,
        "PM.SET a v\nPM.SET b v\nMULTI -> OK\nPM.DEL a b -> QUEUED\nPM.SET d v -> QUEUED\nEXEC -> [2 OK]",
    );
    let mut client = crash(&mut server);
    run(&mut client, "PM.KEYS * -> [d]\nDBSIZE -> 1");
}

/// A flush is everybody's, as a native one is, whatever the client does not want to hear of its own
/// changes.
#[test]
fn a_flush_is_told_to_whoever_asked_for_it() {
    let server = Setup::pmedis("64m").start().unwrap();
    for flush in ["FLUSHDB", "FLUSHALL", "PM.FLUSHDB", "PM.FLUSHALL"] {
        let mut client = server.client();
        client.call(&["HELLO", "3"]);
        run(
            &mut client,
            "FLUSHALL -> OK
             PM.SET k v -> OK
             CLIENT TRACKING ON NOLOOP -> OK
             PM.GET k -> v",
        );
        client.queue(&[flush]);
        client.send().unwrap();
        // The reply comes first on some servers, and second on others.
        let mut told = [(); 2].map(|()| words(&client.receive().expect("two messages")));
        told.sort();
        assert_eq!(told, ["OK", "[invalidate nil]"], "{flush}");
    }
}

/// Beside native keys, PM keys go one by one, which another client that tracks one of them hears,
/// and then all forget all.
#[test]
fn a_flush_beside_native_keys_is_told_to_whoever_asked_for_it() {
    let mut server = Setup::pmedis("64m").start().unwrap();
    for (flush, empty) in [("PM.FLUSHDB", 1), ("PM.FLUSHALL", 1), ("PM.FLUSHALL", 2)] {
        let (mut client, mut other) = (server.client(), server.client());
        run(
            &mut client,
            "FLUSHALL -> OK\nSET native v -> OK\nPM.SET k v -> OK",
        );
        for db in 1..empty {
            run(
                &mut client,
                &format!("SELECT {db}\nPM.SET k v\nSET native v\nSELECT 0"),
            );
        }
        for client in [&mut client, &mut other] {
            client.call(&["HELLO", "3"]);
            run(client, "CLIENT TRACKING ON NOLOOP -> OK\nPM.GET k -> v");
        }
        client.queue(&[flush]);
        client.queue(&["ECHO", "end"]);
        client.send().unwrap();
        let mut told = [(); 3].map(|()| words(&client.receive().expect("a message")));
        told.sort();
        assert_eq!(told, ["OK", "[invalidate nil]", "end"], "{flush}");
        let told = [(); 2].map(|()| words(&other.receive().expect("a message")));
        assert_eq!(told, ["[invalidate [k]]", "[invalidate nil]"], "{flush}");
        run(&mut client, "GET native -> v\nPM.DBSIZE -> 0\nSELECT 1");
        assert_eq!(words(&client.call(&["PM.DBSIZE"])), "0");
    }
    let mut client = crash(&mut server);
    run(&mut client, "PM.KEYS * -> []\nPM.SET k v\nPM.GET k -> v");
}
