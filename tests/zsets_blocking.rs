//! The blocking commands of sorted sets against Redis's own.

use testkit::scenario::{self, Scenario, stream};

/// The commands that have a `PM.` form here; others are native on both sides.
const OWN: &[&str] = &[
    "ZADD",
    "ZINCRBY",
    "ZRANGE",
    "ZCARD",
    "ZPOPMIN",
    "ZMPOP",
    "ZUNIONSTORE",
    "ZRANGESTORE",
    "ZREM",
    "BZPOPMIN",
    "BZPOPMAX",
    "BZMPOP",
    "RPUSH",
];

#[track_caller]
fn same(scenario: fn(&mut Scenario<'_>)) {
    scenario::same(OWN, scenario);
}

#[test]
fn elements_that_are_there_are_taken_at_once() {
    same(|scenario| {
        scenario.call("ZADD k 1 a 2 b 2 c 3 d 4 e 5 f 6 g");
        for command in [
            "BZPOPMIN none k 0",
            "BZPOPMAX k none 0",
            "BZMPOP 0 2 none k MIN",
            "BZMPOP 0.1 1 k MAX COUNT 2",
            "BZMPOP 0 1 k MIN COUNT 20",
            "EXISTS k",
        ] {
            scenario.call(command);
        }
    });
}

#[test]
fn first_come_first_served() {
    same(|scenario| {
        let clients: Vec<_> = [
            "BZPOPMIN k 0",
            "BZPOPMAX k 0",
            "BZPOPMIN other k 0",
            "BZMPOP 0 2 k other MAX COUNT 2",
        ]
        .into_iter()
        .map(|command| scenario.block(command))
        .collect();
        scenario.call("ZADD k 1 a 2 b 3 c 4 d 5 e 6 f");
        for client in clients {
            scenario.served(client);
        }
        scenario.call("ZRANGE k 0 -1 WITHSCORES");
    });
}

#[test]
fn one_popped_empty_leaves_the_others_waiting() {
    same(|scenario| {
        let first = scenario.block("BZPOPMIN k 0");
        let second = scenario.block("BZPOPMAX k 0");
        scenario.call("ZADD k 1 one");
        scenario.served(first);
        scenario.call("EXISTS k");
        scenario.call("ZINCRBY k 7 two");
        scenario.served(second);
        scenario.call("EXISTS k");
    });
}

#[test]
fn whatever_makes_the_key_serves() {
    same(|scenario| {
        scenario.call("ZADD source 1 a 2 b");
        let client = scenario.block("BZPOPMIN k 0");
        scenario.call("ZUNIONSTORE k 1 source");
        scenario.served(client);
        let client = scenario.block("BZMPOP 0 1 other MAX");
        scenario.call("ZRANGESTORE other source 0 -1");
        scenario.served(client);
        let client = scenario.block("BZPOPMAX renamed 0");
        scenario.call("RENAME source renamed");
        scenario.served(client);
        let client = scenario.block("BZPOPMAX copied 0");
        scenario.call("COPY renamed copied");
        scenario.served(client);
        for command in ["MULTI", "ZADD gone 1 a", "ZREM gone a", "EXEC"] {
            scenario.call(command);
        }
    });
}

#[test]
fn another_type_does_not_serve() {
    same(|scenario| {
        let client = scenario.block("BZPOPMIN k 0");
        scenario.call("RPUSH k a");
        scenario.call("DEL k");
        scenario.call("ZADD k -1.5 a");
        scenario.served(client);
    });
}

#[test]
fn timeouts_and_bad_arguments() {
    same(|scenario| {
        scenario.call("BZPOPMIN k 0.05");
        scenario.call("BZMPOP 0.05 1 k MIN");
        scenario.call("XADD s 1-1 a b");
        for command in [
            "BZPOPMIN k x",
            "BZPOPMIN k -1",
            "BZPOPMAX s 0",
            "BZMPOP x 1 k MIN",
            "BZMPOP 0 0 k MIN",
            "BZMPOP 0 1 k MID",
            "BZMPOP 0 2 k MIN",
            "BZMPOP 0 1 k MIN COUNT 0",
            "BZMPOP 0 1 k MIN COUNT",
            "BZMPOP -1 1 k MIN COUNT 1",
            "BZMPOP 0 1 s MIN",
            "MULTI",
            "BZPOPMIN k 0",
            "BZMPOP 0 1 k MAX",
            "EXEC",
        ] {
            scenario.call(command);
        }
    });
}

#[test]
fn a_replica_gets_plain_pops() {
    same(|scenario| {
        let mut replica = scenario.server.client();
        replica.queue(&["SYNC"]);
        replica.send().unwrap();
        replica.receive_snapshot().unwrap();
        let waiting: Vec<_> = ["BZPOPMIN k 0", "BZPOPMAX l 0", "BZMPOP 0 2 q r MAX COUNT 3"]
            .into_iter()
            .map(|command| scenario.block(command))
            .collect();
        for command in [
            "ZADD k 1 a 2 b",
            "ZADD l 1 x",
            "ZADD r 1 a 2 b",
            "ZADD k XX GT 1 b",
            "ZADD k GT 5 b",
            "ZINCRBY k 1.5 c",
            "BZPOPMAX k 1",
            "ZMPOP 2 none k MIN COUNT 9",
            "ZPOPMIN none",
            "ZADD m 1 a 2 b 3 c",
            "ZREM m b nobody",
            "ZREM m nobody",
            "BZMPOP 1 1 m MIN COUNT 1",
            "ZUNIONSTORE n 1 m WEIGHTS 2",
            "SET the end",
        ] {
            scenario.call(command);
        }
        for client in waiting {
            scenario.served(client);
        }
        scenario.seen.extend(stream(replica, "END"));
    });
}
