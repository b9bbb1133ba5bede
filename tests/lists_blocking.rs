//! The blocking commands of lists against Redis's own: each scenario is played twice on one server,
//! natively in database 0 and with the prefix in database 8, and its transcripts must be equal.

use testkit::resp::Value;
use testkit::scenario::{self, Scenario, stream};

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
fn same(scenario: fn(&mut Scenario<'_>)) {
    scenario::same(OWN, scenario);
}

#[test]
fn first_come_first_served() {
    same(|scenario| {
        let clients: Vec<_> = [
            "BLPOP k 0",
            "BRPOP k 0",
            "BLPOP other k 0",
            "BLMPOP 0 2 k other RIGHT COUNT 2",
        ]
        .into_iter()
        .map(|command| scenario.block(command))
        .collect();
        scenario.call("RPUSH k 1 2 3 4 5 6");
        for client in clients {
            scenario.served(client);
        }
        scenario.call("LRANGE k 0 -1");
        scenario.call("EXISTS k");
    });
}

#[test]
fn a_list_popped_empty_leaves_the_others_waiting() {
    same(|scenario| {
        let first = scenario.block("BLPOP k 0");
        let second = scenario.block("BLPOP k 0");
        scenario.call("LPUSH k one");
        scenario.served(first);
        scenario.call("EXISTS k");
        scenario.call("LPUSH k two three");
        scenario.served(second);
        scenario.call("LRANGE k 0 -1");
    });
}

#[test]
fn the_key_that_came_first_serves() {
    same(|scenario| {
        let client = scenario.block("BLPOP a b 0");
        for command in ["MULTI", "RPUSH b 1", "RPUSH a 2", "EXEC"] {
            scenario.call(command);
        }
        scenario.served(client);
        scenario.call("LRANGE a 0 -1");
        scenario.call("LRANGE b 0 -1");
    });
}

#[test]
fn moves_are_served_and_serve_others() {
    same(|scenario| {
        let mover = scenario.block("BLMOVE a b LEFT RIGHT 0");
        let pusher = scenario.block("BRPOPLPUSH b c 0");
        let popper = scenario.block("BLPOP c 0");
        scenario.call("RPUSH a one two");
        scenario.served(mover);
        scenario.served(pusher);
        scenario.served(popper);
        scenario.call("LRANGE a 0 -1");
        scenario.call("EXISTS b c");
        let rotating = scenario.block("BLMOVE r r LEFT RIGHT 0");
        scenario.call("RPUSH r 1 2 3");
        scenario.served(rotating);
        scenario.call("LRANGE r 0 -1");
    });
}

#[test]
fn a_target_of_another_type_is_an_error_and_nothing_is_lost() {
    same(|scenario| {
        scenario.call("SET string x");
        let mover = scenario.block("BLMOVE a string LEFT RIGHT 0");
        let next = scenario.block("BLPOP a 0");
        scenario.call("RPUSH a one two");
        scenario.served(mover);
        scenario.served(next);
        scenario.call("LRANGE a 0 -1");
    });
}

#[test]
fn another_type_does_not_serve() {
    same(|scenario| {
        let client = scenario.block("BLPOP k 0");
        scenario.call("SET k x");
        scenario.call("DEL k");
        scenario.call("SADD k x");
        scenario.call("BLPOP k 0");
        scenario.call("DEL k");
        scenario.call("RPUSH k 1");
        scenario.served(client);
    });
}

#[test]
fn renaming_copying_and_restoring_serve() {
    same(|scenario| {
        let client = scenario.block("BLPOP k 0");
        scenario.call("RPUSH x 1 2 3");
        scenario.call("RENAME x k");
        scenario.served(client);
        scenario.call("RENAME k x");
        let client = scenario.block("BRPOP k 0");
        scenario.call("COPY x k");
        scenario.served(client);
        scenario.call("DEL k");
        let client = scenario.block("BRPOP k 0");
        let payload = scenario.main.call(&["DUMP", "x"]).bytes().unwrap().to_vec();
        let reply = scenario.main.call(&[&b"RESTORE"[..], b"k", b"0", &payload]);
        scenario.note("RESTORE", &reply);
        scenario.served(client);
        scenario.call("LRANGE k 0 -1");
        scenario.call("LRANGE x 0 -1");
    });
}

#[test]
fn whatever_else_makes_the_key_serves() {
    same(|scenario| {
        let other = (scenario.db.parse::<u8>().unwrap() + 1).to_string();
        let client = scenario.block("BLPOP k 0");
        scenario.call("RPUSH x 3 1 2");
        scenario.call("SORT x STORE k");
        scenario.served(client);
        scenario.call("LRANGE k 0 -1");
        scenario.main.call(&["MOVE", "k", &other]);
        let client = scenario.block("BLMPOP 0 1 k RIGHT COUNT 9");
        scenario.main.call(&["SELECT", &other]);
        scenario.main.call(&["MOVE", "k", scenario.db]);
        scenario.served(client);
        scenario.call("RPUSH k swapped");
        scenario.main.call(&["SELECT", scenario.db]);
        let client = scenario.block("BRPOP k 0");
        scenario.main.call(&["SWAPDB", scenario.db, &other]);
        scenario.served(client);
        scenario.call("LRANGE x 0 -1");
        scenario.main.call(&["SWAPDB", scenario.db, &other]);
        scenario.call("LRANGE x 0 -1");
        scenario.call("EXISTS k");
    });
}

#[test]
fn a_client_that_is_gone_when_the_key_comes_takes_nothing() {
    same(|scenario| {
        for how in ["UNBLOCK", "KILL"] {
            let gone = scenario.block("BLPOP k 0");
            let mover = scenario.block("BLMOVE k j LEFT LEFT 0");
            let ids = [gone, mover].map(|client| scenario.id(client));
            let next = scenario.block("BLPOP k 0");
            scenario.call("MULTI");
            scenario.call("RPUSH k 1 2 3");
            for id in &ids {
                match how {
                    "KILL" => scenario.main.call(&["CLIENT", "KILL", "ID", id]),
                    _ => scenario.main.call(&["CLIENT", "UNBLOCK", id, "ERROR"]),
                };
            }
            scenario.call("EXEC");
            match how {
                "KILL" => scenario.blocked -= 2,
                _ => [gone, mover].into_iter().for_each(|client| {
                    scenario.served(client);
                }),
            }
            scenario.served(next);
            scenario.call("LRANGE k 0 -1");
            scenario.call("EXISTS j");
            scenario.call("DEL k");
        }
    });
}

#[test]
fn timeouts_end_the_wait() {
    same(|scenario| {
        for command in [
            "BLPOP k 0.05",
            "BRPOP k j 0.001",
            "BLMPOP 0.01 1 k LEFT",
            "BLMOVE k j LEFT LEFT 1e-2",
            "BRPOPLPUSH k j 0.02",
        ] {
            // One that never ends is ended by the client's own limit.
            scenario.call(command);
        }
        scenario.call("RPUSH k left");
        scenario.call("LRANGE k 0 -1");
    });
}

#[test]
fn bad_arguments_are_refused_before_keys_are_looked_at() {
    same(|scenario| {
        scenario.call("RPUSH k 1 2 3");
        scenario.call("SET s x");
        for timeout in [
            "-1", "-0.001", "x", "nan", "inf", "-inf", "1e400", "", " 1", "1e5000",
        ] {
            scenario.call(&format!("BLPOP s {timeout}"));
            scenario.call(&format!("BLMOVE s k LEFT RIGHT {timeout}"));
            scenario.call(&format!("BRPOPLPUSH s k {timeout}"));
            scenario.call(&format!("BLMPOP {timeout} 1 s LEFT"));
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
            scenario.call(command);
        }
    });
}

#[test]
fn transactions_and_scripts_do_not_wait() {
    same(|scenario| {
        scenario.call("MULTI");
        for command in [
            "BLPOP k 0",
            "BLMOVE k j LEFT LEFT 0",
            "BRPOPLPUSH k j 0",
            "BLMPOP 0 1 k LEFT",
        ] {
            scenario.call(command);
        }
        scenario.call("EXEC");
        let prefix = scenario.prefix;
        let script = format!("return redis.call('{prefix}BLMPOP', 0, 1, 'k', 'LEFT')");
        let reply = scenario.main.call(&["EVAL", &script, "1", "k"]);
        scenario.note("script", &reply);
        let script = format!("return redis.pcall('{prefix}BLPOP', 'k', 0)");
        let reply = scenario.main.call(&["EVAL", &script, "1", "k"]);
        // Up to Redis 7.0 it is not allowed in scripts.
        scenario.note(
            "script is refused",
            &Value::Integer(reply.is_error().into()),
        );
        let client = scenario.block("BLPOP k 0");
        let script = format!(
            "redis.call('{prefix}RPUSH', 'k', 'a', 'b') return redis.call('{prefix}LLEN', 'k')"
        );
        let reply = scenario.main.call(&["EVAL", &script, "1", "k"]);
        scenario.note("script", &reply);
        scenario.served(client);
        scenario.call("LRANGE k 0 -1");
    });
}

#[test]
fn unblocked_killed_and_disconnected_clients_take_nothing() {
    same(|scenario| {
        for (how, command) in [
            ("TIMEOUT", "BLPOP k 0"),
            ("ERROR", "BLPOP k 0"),
            ("TIMEOUT", "BLMOVE k j LEFT LEFT 0"),
        ] {
            let client = scenario.block(command);
            let id = scenario.id(client);
            let reply = scenario.main.call(&["CLIENT", "UNBLOCK", &id, how]);
            scenario.note(how, &reply);
            scenario.served(client);
        }
        let killed = scenario.block("BLPOP k 0");
        let id = scenario.id(killed);
        let reply = scenario.main.call(&["CLIENT", "KILL", "ID", &id]);
        scenario.note("KILL", &reply);
        scenario.blocked -= 1;
        scenario.wait_blocked(0);
        scenario.block("BLMOVE k j LEFT RIGHT 0");
        scenario.clients.pop();
        scenario.blocked -= 1;
        scenario.wait_blocked(0);
        scenario.call("RPUSH k 1 2");
        scenario.call("LRANGE k 0 -1");
        scenario.call("EXISTS j");
    });
}

#[test]
fn the_events_are_those_of_redis() {
    same(|scenario| {
        let mut listener = scenario.server.client();
        listener.call(&["CONFIG", "SET", "notify-keyspace-events", "KEA"]);
        let pattern = format!("__keyevent@{}__:*", scenario.db);
        listener.call(&["PSUBSCRIBE", &pattern]);
        let popper = scenario.block("BLPOP a 0");
        let mover = scenario.block("BLMOVE b c RIGHT LEFT 0");
        let many = scenario.block("BLMPOP 0 1 d LEFT COUNT 3");
        for command in [
            "RPUSH a 1",
            "RPUSH b 1 2",
            "RPUSH d 1 2",
            "LMOVE b c LEFT LEFT",
        ] {
            scenario.call(command);
        }
        for client in [popper, mover, many] {
            scenario.served(client);
        }
        scenario.call("SET end x");
        loop {
            let event = format!("{:?}", listener.receive().unwrap());
            let event = event.replace(&format!("@{}__", scenario.db), "@db__");
            let last = event.contains("end");
            scenario.seen.push(event);
            if last {
                break;
            }
        }
    });
}

#[test]
fn a_replica_gets_plain_pops_and_moves() {
    same(|scenario| {
        let mut replica = scenario.server.client();
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
        .map(|command| scenario.block(command))
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
            scenario.call(command);
        }
        for client in waiting {
            scenario.served(client);
        }
        scenario.seen.extend(stream(replica, "END"));
    });
}
