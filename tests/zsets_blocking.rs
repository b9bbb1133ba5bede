//! The blocking commands of sorted sets against Redis's own.

use pmedis_testkit::stage::{self, Stage, stream};

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
fn same(scenario: fn(&mut Stage<'_>)) {
    stage::same(OWN, scenario);
}

#[test]
fn elements_that_are_there_are_taken_at_once() {
    same(|stage| {
        stage.call("ZADD k 1 a 2 b 2 c 3 d 4 e 5 f 6 g");
        for command in [
            "BZPOPMIN none k 0",
            "BZPOPMAX k none 0",
            "BZMPOP 0 2 none k MIN",
            "BZMPOP 0.1 1 k MAX COUNT 2",
            "BZMPOP 0 1 k MIN COUNT 20",
            "EXISTS k",
        ] {
            stage.call(command);
        }
    });
}

#[test]
fn first_come_first_served() {
    same(|stage| {
        let clients: Vec<_> = [
            "BZPOPMIN k 0",
            "BZPOPMAX k 0",
            "BZPOPMIN other k 0",
            "BZMPOP 0 2 k other MAX COUNT 2",
        ]
        .into_iter()
        .map(|command| stage.block(command))
        .collect();
        stage.call("ZADD k 1 a 2 b 3 c 4 d 5 e 6 f");
        for client in clients {
            stage.served(client);
        }
        stage.call("ZRANGE k 0 -1 WITHSCORES");
    });
}

#[test]
fn one_popped_empty_leaves_the_others_waiting() {
    same(|stage| {
        let first = stage.block("BZPOPMIN k 0");
        let second = stage.block("BZPOPMAX k 0");
        stage.call("ZADD k 1 one");
        stage.served(first);
        stage.call("EXISTS k");
        stage.call("ZINCRBY k 7 two");
        stage.served(second);
        stage.call("EXISTS k");
    });
}

#[test]
fn whatever_makes_the_key_serves() {
    same(|stage| {
        stage.call("ZADD source 1 a 2 b");
        let client = stage.block("BZPOPMIN k 0");
        stage.call("ZUNIONSTORE k 1 source");
        stage.served(client);
        let client = stage.block("BZMPOP 0 1 other MAX");
        stage.call("ZRANGESTORE other source 0 -1");
        stage.served(client);
        let client = stage.block("BZPOPMAX renamed 0");
        stage.call("RENAME source renamed");
        stage.served(client);
        let client = stage.block("BZPOPMAX copied 0");
        stage.call("COPY renamed copied");
        stage.served(client);
        for command in ["MULTI", "ZADD gone 1 a", "ZREM gone a", "EXEC"] {
            stage.call(command);
        }
    });
}

#[test]
fn another_type_does_not_serve() {
    same(|stage| {
        let client = stage.block("BZPOPMIN k 0");
        stage.call("RPUSH k a");
        stage.call("DEL k");
        stage.call("ZADD k -1.5 a");
        stage.served(client);
    });
}

#[test]
fn timeouts_and_bad_arguments() {
    same(|stage| {
        let client = stage.block("BZPOPMIN k 0.05");
        stage.served(client);
        let client = stage.block("BZMPOP 0.05 1 k MIN");
        stage.served(client);
        stage.call("XADD s 1-1 a b");
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
            stage.call(command);
        }
    });
}

#[test]
fn a_replica_gets_plain_pops() {
    same(|stage| {
        let mut replica = stage.server.client();
        replica.queue(&["SYNC"]);
        replica.send().unwrap();
        replica.receive_snapshot().unwrap();
        let waiting: Vec<_> = ["BZPOPMIN k 0", "BZPOPMAX l 0", "BZMPOP 0 2 q r MAX COUNT 3"]
            .into_iter()
            .map(|command| stage.block(command))
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
            stage.call(command);
        }
        for client in waiting {
            stage.served(client);
        }
        stage.seen.extend(stream(replica, "END"));
    });
}
