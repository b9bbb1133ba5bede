//! What others are told of changes of PM keys by native commands, as of native keys: who watches a
//! key, who tracks it, who listens to events.

use testkit::client::Client;
use testkit::packaged::Packaged;
use testkit::replication::{info, wait_for};
use testkit::script::{ask, expect, run, words};
use testkit::server::{Server, Setup};

/// What is there before each change.
const KEYS: &str = "
    FLUSHALL -> OK
    PM.SET s string -> OK
    PM.SET n 42 -> OK
    PM.SET ttl v EX 1000 -> OK
    PM.RPUSH l a b c -> 3
    SET native nv -> OK
    SELECT 1 -> OK
    PM.SET s other -> OK
    SELECT 0 -> OK
";

#[test]
fn watch_and_tracking_see_each_change() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    let mut other = server.client();
    for change in [
        "PM.SET s new",
        "DEL s",
        "EXPIRE s 100",
        "PERSIST ttl",
        "RENAME s t",
        "RENAME l s",
        "COPY l s REPLACE",
        "MOVE n 2",
        "SET s native",
        "FLUSHALL",
        "PM.FLUSHDB",
        "SWAPDB 0 1",
        "PM.DEL s",
        "PM.EXPIRE s 100",
        "PM.PERSIST ttl",
        "PM.RENAME s t",
    ] {
        run(&mut client, KEYS);
        run(
            &mut client,
            "WATCH s ttl n -> OK\nMULTI -> OK\nPING -> QUEUED",
        );
        run(&mut other, change);
        expect(&mut client, "EXEC", "nil");
    }
    // Reads, and changes of others, are none.
    run(&mut client, KEYS);
    run(&mut client, "WATCH s -> OK\nMULTI -> OK\nPING -> QUEUED");
    run(
        &mut other,
        "PM.GET s -> string\nPM.TTL s -> -1\nPM.SET n 1\nPM.KEYS *\nPM.EXISTS s -> 1",
    );
    expect(&mut client, "EXEC", "[PONG]");

    let mut tracker = server.client();
    tracker.call(&["HELLO", "3"]);
    run(&mut tracker, "CLIENT TRACKING ON -> OK");
    for change in [
        "PM.SET s new",
        "EXPIRE s 100",
        "DEL s",
        "RENAME l s",
        "COPY l s REPLACE",
        "PM.UNLINK s",
    ] {
        run(&mut client, KEYS);
        tracker.queue(&["PING"]);
        tracker.send().unwrap();
        while words(&tracker.receive().expect("what KEYS did")) != "PONG" {}
        expect(&mut tracker, "PM.TYPE s", "string");
        run(&mut other, change);
        let told = words(&tracker.receive().expect("an invalidation"));
        assert_eq!(told, "[invalidate [s]]", "{change}");
        run(&mut client, "FLUSHALL -> OK");
        let told = words(&tracker.receive().expect("a flush"));
        assert_eq!(told, "[invalidate nil]", "{change}");
    }
}

#[test]
fn events_are_those_of_native_keys() {
    let setup = Setup::pmedis("64m").directive("notify-keyspace-events EA");
    let server = setup.start().unwrap();
    let mut client = server.client();
    let mut listener = server.client();
    listener.call(&["PSUBSCRIBE", "__keyevent@*"]);
    let mut events = |commands: &str| -> String {
        run(&mut client, commands);
        listener.queue(&["PING"]);
        listener.send().unwrap();
        let mut told = Vec::new();
        loop {
            let message = words(&listener.receive().unwrap());
            if message == "[pong ]" {
                return told.join(" ");
            }
            let words: Vec<&str> = message.trim_matches(['[', ']']).split(' ').collect();
            let event = words[2]
                .trim_start_matches("__keyevent@")
                .replace("__:", ":");
            told.push(format!("{event}:{}", words[3]));
        }
    };
    // What a time that is over makes of a key.
    let past = if Packaged::current().has(None, Some((8, 1))) {
        "0:set:k 0:expired:k"
    } else {
        "0:set:k 0:del:k"
    };
    for (commands, expected) in [
        ("PM.SET k v", "0:set:k"),
        ("EXPIRE k 100", "0:expire:k"),
        ("PERSIST k", "0:persist:k"),
        ("RENAME k m", "0:rename_from:k 0:rename_to:m"),
        ("COPY m k", "0:copy_to:k"),
        ("MOVE k 1", "0:move_from:k 1:move_to:k"),
        ("DEL m", "0:del:m"),
        (
            "PM.SET k v\nPM.SET m v\nPM.DEL k m",
            "0:set:k 0:set:m 0:del:k 0:del:m",
        ),
        ("PM.SET k v\nPEXPIRE k -1", past),
        (
            "PM.SET k v\nPM.EXPIRE k 100\nPM.PERSIST k",
            "0:set:k 0:expire:k 0:persist:k",
        ),
        (
            "PM.RENAME k m\nPM.COPY m k\nSET m native",
            "0:rename_from:k 0:rename_to:m 0:copy_to:k 0:set:m",
        ),
        ("PM.FLUSHALL", ""),
        ("FLUSHALL", ""),
    ] {
        assert_eq!(events(commands), expected, "{commands}");
    }
}

/// What a client is told until it gets a reply, and the reply.
fn told_until_reply(client: &mut Client) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        told.push(words(&client.receive().expect("a message")));
        if !told[told.len() - 1].starts_with("[invalidate") {
            return told;
        }
    }
}

/// What a client has been told until now.
fn told(client: &mut Client) -> Vec<String> {
    client.queue(&["PING"]);
    client.send().unwrap();
    let mut told = told_until_reply(client);
    assert_eq!(told.pop().as_deref(), Some("PONG"));
    told
}

/// What clients that track keys are told when one is served that waits: itself, who pushes, and a
/// third one.
fn told_of_serving(
    server: &Server,
    prefix: &str,
    mode: &str,
    waits: &str,
    adds: &str,
) -> [Vec<String>; 3] {
    let mut other = server.client();
    run(&mut other, "FLUSHALL -> OK");
    let mut clients = [0; 3].map(|_| server.client());
    for client in &mut clients {
        client.call(&["HELLO", "3"]);
        expect(client, &format!("CLIENT TRACKING ON{mode}"), "OK");
        // Where it is not for all keys.
        for key in ["k", "t"] {
            expect(client, &format!("{prefix}EXISTS {key}"), "0");
        }
    }
    let with_prefix = |command: &str| format!("{prefix}{command}");
    clients[0].queue(&with_prefix(waits).split(' ').collect::<Vec<_>>());
    clients[0].send().unwrap();
    wait_for("the client waits", || {
        info(&mut other, "blocked_clients") == "1"
    });
    let [waiting, adding, third] = &mut clients;
    let mut told_adding = Vec::new();
    for command in adds.split('\n') {
        let native = command.starts_with("SELECT") || command.starts_with("SWAPDB");
        let command = if native {
            command.to_owned()
        } else {
            with_prefix(command)
        };
        adding.queue(&command.split(' ').collect::<Vec<_>>());
        adding.send().unwrap();
        told_adding.extend(told_until_reply(adding));
    }
    let mut told_waiting = told_until_reply(waiting);
    told_waiting.extend(told(waiting));
    told_adding.extend(told(adding));
    [told_waiting, told_adding, told(third)]
}

#[test]
fn serving_a_client_that_waits_is_told_as_of_native_keys() {
    let server = Setup::pmedis("64m").start().unwrap();
    for (waits, adds) in [
        ("BLPOP k 0", "LPUSH k a"),
        ("BRPOP k 0", "LPUSH k a b"),
        ("BLMPOP 0 1 k LEFT", "RPUSH k a b"),
        ("BLMPOP 0 1 k LEFT COUNT 2", "RPUSH k a b"),
        ("BRPOPLPUSH k t 0", "LPUSH k a b"),
        ("BRPOPLPUSH k k 0", "LPUSH k a b"),
        ("BLMOVE k t LEFT LEFT 0", "LPUSH k a"),
        ("BZPOPMIN k 0", "ZADD k 1 a 2 b"),
        ("BZPOPMAX k 0", "ZADD k 1 a"),
        ("BZMPOP 0 1 k MIN COUNT 2", "ZADD k 1 a 2 b"),
        ("BRPOP k 0", "SELECT 1\nLPUSH k a b\nSWAPDB 0 1"),
        ("BRPOPLPUSH k t 0", "SELECT 1\nLPUSH k a b\nSWAPDB 0 1"),
        ("BZPOPMIN k 0", "SELECT 1\nZADD k 1 a 2 b\nSWAPDB 0 1"),
    ] {
        for mode in ["", " NOLOOP", " BCAST", " BCAST NOLOOP"] {
            let [native, pm] =
                ["", "PM."].map(|prefix| told_of_serving(&server, prefix, mode, waits, adds));
            assert_eq!(pm, native, "{waits}, {adds}, tracking{mode}");
        }
    }
}

#[test]
fn sort_has_nobody_remember_what_it_finds_no_value_in() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    let mut all = Vec::new();
    for prefix in ["", "PM."] {
        run(&mut client, "FLUSHALL -> OK");
        let mut tracker = server.client();
        tracker.call(&["HELLO", "3"]);
        run(&mut tracker, "CLIENT TRACKING ON -> OK");
        let mut seen = Vec::new();
        for pattern in ["GET w_*", "GET w_*->f", "BY w_*", "BY w_*->f GET # GET x_*"] {
            for line in ["RPUSH l 1", "RPUSH w_1 x", "SADD x_1 y"] {
                ask(&mut client, &format!("{prefix}{line}"));
            }
            seen.push(ask(&mut tracker, &format!("{prefix}SORT_RO l {pattern}")));
            for line in ["SADD x_1 z", "RPUSH w_1 z", "RPUSH l 1"] {
                ask(&mut client, &format!("{prefix}{line}"));
            }
            seen.extend(told(&mut tracker));
            ask(&mut client, &format!("{prefix}DEL l"));
        }
        all.push(seen);
    }
    assert_eq!(all[1], all[0]);
}
