//! What may happen to a client that waits between its command and its reply: it is unblocked when
//! it has been served already, has said that it touches nothing, loses its rights, or memory runs
//! out; and what it waits for may come as a native value.

use testkit::scenario::{self, Scenario};
use testkit::script::{ask, expect, run};
use testkit::server::Setup;

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

#[test]
fn a_native_value_serves_one_that_waits_under_a_plain_name() {
    let native = Setup::native().start().unwrap();
    let mut there = native.client();
    run(&mut there, "RPUSH list a b\nZADD zset 1 a 2 b");
    let mut payload = |key: &str| {
        let reply = there.call(&["DUMP", key]);
        reply.bytes().expect("a payload").to_vec()
    };
    let (list, zset) = (payload("list"), payload("zset"));
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
        let mut waiting = server.client();
        waiting.queue(&waits.split(' ').collect::<Vec<_>>());
        waiting.send().unwrap();
        testkit::replication::wait_for("it waits", || {
            ask(&mut client, "INFO clients").contains("blocked_clients:1\\r")
        });
        let restore: [&[u8]; 4] = [b"RESTORE", b"k", b"0", payload];
        assert_eq!(testkit::script::words(&client.call(&restore)), "OK");
        let got = testkit::script::words(&waiting.receive().unwrap());
        assert_eq!(got, reply, "{waits}");
        let left = ask(&mut client, "EXISTS k");
        assert_eq!(left, "1", "{waits}: one of two is left");
        expect(&mut client, "DEL k", "1");
        client.call(&["DEL", "j"]);
    }
}
