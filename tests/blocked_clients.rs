//! What may happen to a client that waits between its command and its reply: it is unblocked when
//! it has been served already, has said that it touches nothing, loses its rights, or memory runs
//! out; and what it waits for may come as a native value.

use testkit::client::Client;
use testkit::replication::{assert_same, follow, info, wait_for, wait_in_sync};
use testkit::scenario::{self, Scenario};
use testkit::script::{ask, crash, expect, run, words};
use testkit::server::{Server, Setup};

/// The commands that have a `PM.` form here; others are native on both sides.
const OWN: &[&str] = &[
    "RPUSH", "LRANGE", "LLEN", "BLPOP", "BLMOVE", "BLMPOP", "ZADD", "BZPOPMIN", "ZCARD", "RENAME",
];

/// What waits, and what serves it.
const PAIRS: [(&str, &str); 4] = [
    ("BLPOP k 0", "RPUSH k v"),
    ("BLMPOP 0 1 k LEFT", "RPUSH k v"),
    ("BLMOVE k j LEFT RIGHT 0", "RPUSH k v"),
    ("BZPOPMIN z 0", "ZADD z 1 v"),
];

#[track_caller]
fn same(scenario: fn(&mut Scenario<'_>)) {
    scenario::same(OWN, scenario);
}

#[test]
fn one_that_was_served_waits_no_more() {
    same(|scenario| {
        for (waits, serves) in PAIRS {
            for how in ["ERROR", "TIMEOUT"] {
                let client = scenario.block(waits);
                let id = scenario.id(client);
                // Both come in one cycle of the event loop.
                let serves = scenario.words(serves);
                scenario.main.queue(&serves);
                scenario.main.queue(&["client", "unblock", &id, how]);
                scenario.main.send().unwrap();
                for what in ["served", "unblocked"] {
                    let reply = scenario.main.receive().unwrap();
                    scenario.note(what, &reply);
                }
                scenario.served(client);
                // Nothing else has come, and it can wait again.
                let again = scenario.words(waits);
                scenario.clients[client].queue(&["PING"]);
                scenario.clients[client].queue(&again);
                scenario.clients[client].send().unwrap();
                scenario.blocked += 1;
                let pong = scenario.clients[client].receive().unwrap();
                scenario.note("PING", &pong);
                scenario.wait_blocked(1);
                let reply = scenario.main.call(&["CLIENT", "UNBLOCK", &id, how]);
                scenario.note("unblocked again", &reply);
                scenario.served(client);
            }
        }
    });
}

#[test]
fn one_that_touches_nothing_is_served() {
    same(|scenario| {
        for (waits, serves) in PAIRS {
            // Redis 7.0 does not know it.
            let client = scenario.block_after(&["CLIENT NO-TOUCH ON"], waits);
            scenario.call(serves);
            scenario.served(client);
            scenario.call("LLEN k");
            scenario.call("LRANGE j 0 -1");
            scenario.call("ZCARD z");
            scenario.call("DEL j");
        }
        // What comes first is of another type.
        let client = scenario.block_after(&["CLIENT NO-TOUCH ON"], "BLPOP k z 0");
        scenario.call("ZADD z 1 v");
        scenario.call("RPUSH k v");
        scenario.served(client);
        scenario.call("ZCARD z");
    });
}

#[test]
fn one_that_has_lost_its_rights_is_refused() {
    same(|scenario| {
        for (waits, serves) in PAIRS {
            let blocking = waits.split(' ').next().unwrap();
            let own = scenario.words(blocking)[0].to_lowercase();
            for lost in ["resetkeys ~elsewhere", &format!("-{own}")] {
                scenario.call("ACL SETUSER u reset on nopass ~* +@all");
                let client = scenario.block_after(&["AUTH u x"], waits);
                let rules = format!("ACL SETUSER u {lost}");
                let rules: Vec<&str> = rules.split(' ').collect();
                scenario.main.call(&rules);
                scenario.call(serves);
                scenario.served(client);
                scenario.call("LLEN k");
                scenario.call("LLEN j");
                scenario.call("ZCARD z");
                scenario.call("DEL k j z");
            }
        }
    });
}

#[test]
fn one_that_would_take_more_memory_is_refused() {
    same(|scenario| {
        for (waits, ready) in [
            ("BLMOVE k j LEFT RIGHT 0", "RPUSH other v"),
            ("BLPOP k 0", "RPUSH other v"),
        ] {
            let client = scenario.block(waits);
            scenario.call(ready);
            scenario.call("CONFIG SET maxmemory 1");
            scenario.call("RENAME other k");
            scenario.served(client);
            scenario.call("CONFIG SET maxmemory 0");
            scenario.call("LRANGE k 0 -1");
            scenario.call("LRANGE j 0 -1");
            scenario.call("DEL k j");
        }
    });
}

/// The payloads of a native list, a b, and of a native sorted set, a b.
fn payloads() -> (Vec<u8>, Vec<u8>) {
    let native = Setup::native().start().unwrap();
    let mut there = native.client();
    run(&mut there, "RPUSH list a b\nZADD zset 1 a 2 b");
    let mut payload = |key: &str| {
        let reply = there.call(&["DUMP", key]);
        reply.bytes().expect("a payload").to_vec()
    };
    (payload("list"), payload("zset"))
}

/// Lets a client wait that has said something before.
fn waits(server: &Server, client: &mut Client, first: &[&str], command: &str) -> Client {
    let mut waiting = server.client();
    for line in first {
        waiting.call(&line.split(' ').collect::<Vec<_>>());
    }
    waiting.queue(&command.split(' ').collect::<Vec<_>>());
    waiting.send().unwrap();
    wait_for("it waits", || info(client, "blocked_clients") == "1");
    waiting
}

#[track_caller]
fn gets(mut waiting: Client, reply: &str) {
    assert_eq!(words(&waiting.receive().unwrap()), reply);
}

/// A master and a replica of it.
fn pair(arguments: &[&str]) -> (Server, Client, Server, Client) {
    let start = || {
        let server = Setup::pmedis_with("64m", arguments).start().unwrap();
        let client = server.client();
        (server, client)
    };
    let ((master, mut client), (replica, mut follower)) = (start(), start());
    follow(&mut follower, &master);
    wait_in_sync(&mut client, &mut follower);
    (master, client, replica, follower)
}

/// What waits under a prefixed name, the command that makes two elements of it, and the reply.
const SERVED: [(&str, &str, &str); 5] = [
    ("PM.BLPOP k 0", "PM.RPUSH src a b", "[k a]"),
    ("PM.BRPOP absent k 0", "PM.RPUSH src a b", "[k b]"),
    ("PM.BLMPOP 0 1 k LEFT", "PM.RPUSH src a b", "[k [a]]"),
    ("PM.BLMOVE k j LEFT RIGHT 0", "PM.RPUSH src a b", "a"),
    ("PM.BZPOPMIN k 0", "PM.ZADD src 1 a 2 b", "[k a 1]"),
];

#[test]
fn replicas_are_told_of_what_serves_one_that_touches_nothing() {
    let (master, mut client, _replica, mut follower) = pair(&[]);
    for (command, makes, reply) in SERVED {
        let waiting = waits(&master, &mut client, &["CLIENT NO-TOUCH ON"], command);
        let makes = makes.replace("src", "k");
        run(&mut client, &makes);
        gets(waiting, reply);
        wait_in_sync(&mut client, &mut follower);
        assert_same(&mut client, &mut follower);
        run(&mut client, "DEL k -> 1\nDEL j");
    }
}

#[test]
fn replicas_are_told_of_what_serves_one_while_memory_has_run_out() {
    let (master, mut client, _replica, mut follower) = pair(&[]);
    for (command, makes, reply) in SERVED {
        // What takes memory is refused then.
        if command.contains("BLMOVE") {
            continue;
        }
        let waiting = waits(&master, &mut client, &[], command);
        run(&mut client, makes);
        run(
            &mut client,
            "CONFIG SET maxmemory 1 -> OK\nRENAME src k -> OK",
        );
        gets(waiting, reply);
        expect(&mut client, "CONFIG SET maxmemory 0", "OK");
        wait_in_sync(&mut client, &mut follower);
        assert_same(&mut client, &mut follower);
        expect(&mut client, "DEL k", "1");
    }
}

/// How a native value comes to be the one of a key that a client waits for.
const COMES: [(&str, &[&str]); 4] = [
    ("RESTORE", &["RESTORE k 0 PAYLOAD"]),
    ("RENAME", &["RESTORE src 0 PAYLOAD", "RENAME src k"]),
    ("COPY", &["RESTORE src 0 PAYLOAD", "COPY src k", "DEL src"]),
    ("EXEC", &["MULTI", "RESTORE k 0 PAYLOAD", "EXEC"]),
];

#[track_caller]
fn comes(client: &mut Client, lines: &[&str], payload: &[u8]) {
    for line in lines {
        let words = line.split(' ').map(|word| match word {
            "PAYLOAD" => payload,
            word => word.as_bytes(),
        });
        let reply = client.call(&words.collect::<Vec<_>>());
        assert!(!reply.is_error(), "{line}: {reply:?}");
    }
}

#[test]
fn replicas_are_told_of_what_a_native_value_serves() {
    let (list, zset) = payloads();
    let (master, mut client, _replica, mut follower) = pair(&["unprefixed", "yes"]);
    for (how, lines) in COMES {
        for (command, payload, reply, left) in [
            ("BLPOP k 0", &list, "[k a]", "1"),
            ("BLMPOP 0 1 k LEFT", &list, "[k [a]]", "1"),
            ("BLMOVE k j LEFT RIGHT 0", &list, "a", "2"),
            ("BZPOPMIN k 0", &zset, "[k a 1]", "1"),
            ("BLMPOP 0 1 k LEFT COUNT 2", &list, "[k [a b]]", "0"),
        ] {
            let waiting = waits(&master, &mut client, &[], command);
            comes(&mut client, lines, payload);
            gets(waiting, reply);
            wait_in_sync(&mut client, &mut follower);
            let exist = ask(&mut client, "EXISTS k j");
            assert_eq!(exist, left, "{how}, {command}");
            assert_same(&mut client, &mut follower);
            run(&mut client, "DEL k j");
        }
    }
    assert_eq!(info(&mut client, "sync_full"), "1");
}

#[test]
fn the_aof_is_told_of_what_a_native_value_serves() {
    let (list, _) = payloads();
    let setup = Setup::pmedis_with("64m", &["unprefixed", "yes"]);
    let setup = setup.directive("appendonly yes");
    let mut master = setup.directive("appendfsync always").start().unwrap();
    let mut client = master.client();
    for (how, lines) in COMES {
        let waiting = waits(&master, &mut client, &[], "BLMPOP 0 1 k LEFT COUNT 2");
        comes(&mut client, lines, &list);
        gets(waiting, "[k [a b]]");
        client = crash(&mut master);
        assert_eq!(ask(&mut client, "EXISTS k src"), "0", "{how}");
    }
}

#[test]
fn a_native_value_serves_one_that_waits_under_a_plain_name() {
    let (list, zset) = payloads();
    let server = Setup::pmedis_with("64m", &["unprefixed", "yes"])
        .start()
        .unwrap();
    let mut client = server.client();
    for (waits, payload, reply) in [
        ("BLPOP k 0", &list, "[k a]"),
        ("BRPOP absent k 0", &list, "[k b]"),
        ("BLMPOP 0 1 k LEFT", &list, "[k [a]]"),
        ("BLMOVE k j LEFT RIGHT 0", &list, "a"),
        ("BZPOPMIN k 0", &zset, "[k a 1]"),
        ("BZMPOP 0 1 k MAX", &zset, "[k [[b 2]]]"),
    ] {
        let waiting = self::waits(&server, &mut client, &[], waits);
        let restore: [&[u8]; 4] = [b"RESTORE", b"k", b"0", payload];
        assert_eq!(words(&client.call(&restore)), "OK");
        gets(waiting, reply);
        let left = ask(&mut client, "EXISTS k");
        assert_eq!(left, "1", "{waits}: one of two is left");
        expect(&mut client, "DEL k", "1");
        client.call(&["DEL", "j"]);
    }
}
