//! The blocking commands of lists against Redis's own: each scenario is played twice on one server,
//! natively in database 0 and with the prefix in database 8, and its transcripts must be equal.

use pmedis_testkit::resp::Value;
use pmedis_testkit::stage::{self, Stage, stream};
use std::time::{Duration, Instant};

/// The commands that have a `PM.` form here; others are native on both sides.
const OWN: &[&str] = &[
    "LPUSH",
    "RPUSH",
    "LPOP",
    "RPOP",
    "LRANGE",
    "LLEN",
    "LMOVE",
    "LMPOP",
    "BLPOP",
    "BRPOP",
    "BLMOVE",
    "BRPOPLPUSH",
    "BLMPOP",
    "SORT",
];

#[track_caller]
fn same(scenario: fn(&mut Stage<'_>)) {
    stage::same(OWN, scenario);
}

#[test]
fn first_come_first_served() {
    same(|stage| {
        let clients: Vec<_> = [
            "BLPOP k 0",
            "BRPOP k 0",
            "BLPOP other k 0",
            "BLMPOP 0 2 k other RIGHT COUNT 2",
        ]
        .into_iter()
        .map(|command| stage.block(command))
        .collect();
        stage.call("RPUSH k 1 2 3 4 5 6");
        for client in clients {
            stage.served(client);
        }
        stage.call("LRANGE k 0 -1");
        stage.call("EXISTS k");
    });
}

#[test]
fn a_list_popped_empty_leaves_the_others_waiting() {
    same(|stage| {
        let first = stage.block("BLPOP k 0");
        let second = stage.block("BLPOP k 0");
        stage.call("LPUSH k one");
        stage.served(first);
        stage.call("EXISTS k");
        stage.call("LPUSH k two three");
        stage.served(second);
        stage.call("LRANGE k 0 -1");
    });
}

#[test]
fn the_key_that_came_first_serves() {
    same(|stage| {
        let client = stage.block("BLPOP a b 0");
        for command in ["MULTI", "RPUSH b 1", "RPUSH a 2", "EXEC"] {
            stage.call(command);
        }
        stage.served(client);
        stage.call("LRANGE a 0 -1");
        stage.call("LRANGE b 0 -1");
    });
}

#[test]
fn moves_are_served_and_serve_others() {
    same(|stage| {
        let mover = stage.block("BLMOVE a b LEFT RIGHT 0");
        let pusher = stage.block("BRPOPLPUSH b c 0");
        let popper = stage.block("BLPOP c 0");
        stage.call("RPUSH a one two");
        stage.served(mover);
        stage.served(pusher);
        stage.served(popper);
        stage.call("LRANGE a 0 -1");
        stage.call("EXISTS b c");
        let rotating = stage.block("BLMOVE r r LEFT RIGHT 0");
        stage.call("RPUSH r 1 2 3");
        stage.served(rotating);
        stage.call("LRANGE r 0 -1");
    });
}

#[test]
fn a_target_of_another_type_is_an_error_and_nothing_is_lost() {
    same(|stage| {
        stage.call("SET string x");
        let mover = stage.block("BLMOVE a string LEFT RIGHT 0");
        let next = stage.block("BLPOP a 0");
        stage.call("RPUSH a one two");
        stage.served(mover);
        stage.served(next);
        stage.call("LRANGE a 0 -1");
    });
}

#[test]
fn another_type_does_not_serve() {
    same(|stage| {
        let client = stage.block("BLPOP k 0");
        stage.call("SET k x");
        stage.call("DEL k");
        stage.call("SADD k x");
        stage.call("BLPOP k 0");
        stage.call("DEL k");
        stage.call("RPUSH k 1");
        stage.served(client);
    });
}

#[test]
fn renaming_copying_and_restoring_serve() {
    same(|stage| {
        let client = stage.block("BLPOP k 0");
        stage.call("RPUSH x 1 2 3");
        stage.call("RENAME x k");
        stage.served(client);
        stage.call("RENAME k x");
        let client = stage.block("BRPOP k 0");
        stage.call("COPY x k");
        stage.served(client);
        stage.call("DEL k");
        let client = stage.block("BRPOP k 0");
        let payload = stage.main.call(&["DUMP", "x"]).bytes().unwrap().to_vec();
        let reply = stage.main.call(&[&b"RESTORE"[..], b"k", b"0", &payload]);
        stage.note("RESTORE", &reply);
        stage.served(client);
        stage.call("LRANGE k 0 -1");
        stage.call("LRANGE x 0 -1");
    });
}

#[test]
fn whatever_else_makes_the_key_serves() {
    same(|stage| {
        let other = (stage.db.parse::<u8>().unwrap() + 1).to_string();
        let client = stage.block("BLPOP k 0");
        stage.call("RPUSH x 3 1 2");
        stage.call("SORT x STORE k");
        stage.served(client);
        stage.call("LRANGE k 0 -1");
        stage.main.call(&["MOVE", "k", &other]);
        let client = stage.block("BLMPOP 0 1 k RIGHT COUNT 9");
        stage.main.call(&["SELECT", &other]);
        stage.main.call(&["MOVE", "k", stage.db]);
        stage.served(client);
        stage.call("RPUSH k swapped");
        stage.main.call(&["SELECT", stage.db]);
        let client = stage.block("BRPOP k 0");
        stage.main.call(&["SWAPDB", stage.db, &other]);
        stage.served(client);
        stage.call("LRANGE x 0 -1");
        stage.main.call(&["SWAPDB", stage.db, &other]);
        stage.call("LRANGE x 0 -1");
        stage.call("EXISTS k");
    });
}

#[test]
fn a_client_that_is_gone_when_the_key_comes_takes_nothing() {
    same(|stage| {
        for how in ["UNBLOCK", "KILL"] {
            let gone = stage.block("BLPOP k 0");
            let mover = stage.block("BLMOVE k j LEFT LEFT 0");
            let ids = [gone, mover].map(|client| stage.id(client));
            let next = stage.block("BLPOP k 0");
            stage.call("MULTI");
            stage.call("RPUSH k 1 2 3");
            for id in &ids {
                match how {
                    "KILL" => stage.main.call(&["CLIENT", "KILL", "ID", id]),
                    _ => stage.main.call(&["CLIENT", "UNBLOCK", id, "ERROR"]),
                };
            }
            stage.call("EXEC");
            match how {
                "KILL" => stage.blocked -= 2,
                _ => [gone, mover].into_iter().for_each(|client| {
                    stage.served(client);
                }),
            }
            stage.served(next);
            stage.call("LRANGE k 0 -1");
            stage.call("EXISTS j");
            stage.call("DEL k");
        }
    });
}

#[test]
fn timeouts_end_the_wait() {
    same(|stage| {
        for command in [
            "BLPOP k 0.05",
            "BRPOP k j 0.001",
            "BLMPOP 0.01 1 k LEFT",
            "BLMOVE k j LEFT LEFT 1e-2",
            "BRPOPLPUSH k j 0.02",
        ] {
            let start = Instant::now();
            stage.call(command);
            assert!(start.elapsed() < Duration::from_secs(5), "{command}");
        }
        stage.call("RPUSH k left");
        stage.call("LRANGE k 0 -1");
    });
}

#[test]
fn bad_arguments_are_refused_before_keys_are_looked_at() {
    same(|stage| {
        stage.call("RPUSH k 1 2 3");
        stage.call("SET s x");
        for timeout in [
            "-1", "-0.001", "x", "nan", "inf", "-inf", "1e400", "", " 1", "1e5000",
        ] {
            stage.call(&format!("BLPOP s {timeout}"));
            stage.call(&format!("BLMOVE s k LEFT RIGHT {timeout}"));
            stage.call(&format!("BRPOPLPUSH s k {timeout}"));
            stage.call(&format!("BLMPOP {timeout} 1 s LEFT"));
        }
        for command in [
            "BLPOP k",
            "BLPOP s k 0",
            "BLMOVE k j LEFT UP 0",
            "BLMOVE k j UP LEFT x",
            "BLMOVE k s LEFT LEFT 0",
            "BLMPOP 0 0 k LEFT",
            "BLMPOP x 0 k LEFT",
            "BLMPOP 0 2 k LEFT",
            "BLMPOP 0 1 k LEFT COUNT 0",
            "BLMPOP 0 1 k LEFT COUNT 1 COUNT 1",
            "BLMPOP 0 1 k LEFT COUNT",
            "BLMPOP 0 9223372036854775807 k LEFT",
            "LRANGE k 0 -1",
        ] {
            stage.call(command);
        }
    });
}

#[test]
fn transactions_and_scripts_do_not_wait() {
    same(|stage| {
        stage.call("MULTI");
        for command in [
            "BLPOP k 0",
            "BLMOVE k j LEFT LEFT 0",
            "BRPOPLPUSH k j 0",
            "BLMPOP 0 1 k LEFT",
        ] {
            stage.call(command);
        }
        stage.call("EXEC");
        let prefix = stage.prefix;
        let script = format!("return redis.call('{prefix}BLMPOP', 0, 1, 'k', 'LEFT')");
        let reply = stage.main.call(&["EVAL", &script, "1", "k"]);
        stage.note("script", &reply);
        let script = format!("return redis.pcall('{prefix}BLPOP', 'k', 0)");
        let reply = stage.main.call(&["EVAL", &script, "1", "k"]);
        // Up to Redis 7.0 it is not allowed in scripts.
        stage.note(
            "script is refused",
            &Value::Integer(reply.is_error().into()),
        );
        let client = stage.block("BLPOP k 0");
        let script = format!(
            "redis.call('{prefix}RPUSH', 'k', 'a', 'b') return redis.call('{prefix}LLEN', 'k')"
        );
        let reply = stage.main.call(&["EVAL", &script, "1", "k"]);
        stage.note("script", &reply);
        stage.served(client);
        stage.call("LRANGE k 0 -1");
    });
}

#[test]
fn unblocked_killed_and_disconnected_clients_take_nothing() {
    same(|stage| {
        for (how, command) in [
            ("TIMEOUT", "BLPOP k 0"),
            ("ERROR", "BLPOP k 0"),
            ("TIMEOUT", "BLMOVE k j LEFT LEFT 0"),
        ] {
            let client = stage.block(command);
            let id = stage.id(client);
            let reply = stage.main.call(&["CLIENT", "UNBLOCK", &id, how]);
            stage.note(how, &reply);
            stage.served(client);
        }
        let killed = stage.block("BLPOP k 0");
        let id = stage.id(killed);
        let reply = stage.main.call(&["CLIENT", "KILL", "ID", &id]);
        stage.note("KILL", &reply);
        stage.blocked -= 1;
        stage.wait_blocked(0);
        stage.block("BLMOVE k j LEFT RIGHT 0");
        stage.clients.pop();
        stage.blocked -= 1;
        stage.wait_blocked(0);
        stage.call("RPUSH k 1 2");
        stage.call("LRANGE k 0 -1");
        stage.call("EXISTS j");
    });
}

#[test]
fn the_events_are_those_of_redis() {
    same(|stage| {
        let mut listener = stage.server.client();
        listener.call(&["CONFIG", "SET", "notify-keyspace-events", "KEA"]);
        let pattern = format!("__keyevent@{}__:*", stage.db);
        listener.call(&["PSUBSCRIBE", &pattern]);
        let popper = stage.block("BLPOP a 0");
        let mover = stage.block("BLMOVE b c RIGHT LEFT 0");
        let many = stage.block("BLMPOP 0 1 d LEFT COUNT 3");
        for command in [
            "RPUSH a 1",
            "RPUSH b 1 2",
            "RPUSH d 1 2",
            "LMOVE b c LEFT LEFT",
        ] {
            stage.call(command);
        }
        for client in [popper, mover, many] {
            stage.served(client);
        }
        stage.call("SET end x");
        loop {
            let event = format!("{:?}", listener.receive().unwrap());
            let event = event.replace(&format!("@{}__", stage.db), "@db__");
            let last = event.contains("end");
            stage.seen.push(event);
            if last {
                break;
            }
        }
    });
}

#[test]
fn a_replica_gets_plain_pops_and_moves() {
    same(|stage| {
        let mut replica = stage.server.client();
        replica.queue(&["SYNC"]);
        replica.send().unwrap();
        replica.receive_snapshot().unwrap();
        let waiting: Vec<_> = [
            "BLPOP k 0",
            "BLMOVE s t LEFT RIGHT 0",
            "BLMPOP 0 2 q r LEFT COUNT 3",
            "BRPOPLPUSH u v 0",
        ]
        .into_iter()
        .map(|command| stage.block(command))
        .collect();
        for command in [
            "RPUSH k a b",
            "RPUSH s x",
            "RPUSH r 1 2",
            "RPUSH u z",
            "BRPOP k 1",
            "LMPOP 2 q t LEFT COUNT 9",
            "LPOP nokey",
            "RPUSH l 1 2 3",
            "BLMOVE l l LEFT RIGHT 1",
            "BRPOPLPUSH l m 1",
            "BLMPOP 1 1 l RIGHT COUNT 2",
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
