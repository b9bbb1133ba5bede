//! Commands are served while Redis's keyspace is still being filled from the pool, and nobody can
//! tell, but by what tells of it.
//!
//! With the module's argument `fill 0` nothing is filled in the background, so that each key stays
//! unshown until a command needs it.

use fastrand::Rng;
use testkit::client::Client;
use testkit::crash::rounds::Rounds;
use testkit::replication::{info, wait_for};
use testkit::script::{ask, crash, expect, run};
use testkit::server::{Server, Setup};

/// A server that shows keys only on demand after a restart.
fn on_demand() -> Setup {
    Setup::pmedis_with("64m", &["fill", "0"])
}

fn start(setup: &Setup) -> (Server, Client) {
    let server = setup.start().unwrap();
    let client = server.client();
    (server, client)
}

/// A number of PM.INFO's section of the filling.
fn progress(client: &mut Client, field: &str) -> u64 {
    let reply = client.call(&["PM.INFO", "filling"]);
    let text = String::from_utf8_lossy(reply.bytes().expect("PM.INFO is text")).into_owned();
    let mut lines = text.lines();
    let found = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let found = found.unwrap_or_else(|| panic!("{field} is not in {text}"));
    found.trim().parse().expect("a number")
}

#[track_caller]
fn expect_to_come(client: &mut Client, keys: u64) {
    assert_eq!(progress(client, "keys_to_come"), keys);
    assert_eq!(progress(client, "filling"), u64::from(keys > 0));
}

/// Writes so many strings: `key:0` holds `0`, and so on.
fn write_strings(client: &mut Client, count: u64) {
    let command = |n: u64| vec!["PM.SET".into(), format!("key:{n}"), n.to_string()];
    let commands: Vec<Vec<String>> = (0..count).map(command).collect();
    for chunk in commands.chunks(1000) {
        for reply in client.pipeline(chunk).unwrap() {
            assert!(!reply.is_error(), "{reply:?}");
        }
    }
}

#[test]
fn a_key_is_there_when_it_is_asked_for_and_only_then() {
    let (mut server, mut client) = start(&on_demand());
    run(
        &mut client,
        "PM.SET s 1
        PM.RPUSH l a b
        PM.HSET h f v
        PM.SADD t 1 2
        PM.ZADD z 1 a
        PM.SET e 1 PX 100000000
        PM.SET only native
        SELECT 3 -> OK
        PM.SET s three
        SELECT 0 -> OK",
    );
    let expires = ask(&mut client, "PEXPIRETIME e");
    let mut client = crash(&mut server);
    expect_to_come(&mut client, 8);
    run(
        &mut client,
        "PING -> PONG\nPM.GET absent -> nil\nGET absent -> nil",
    );
    expect_to_come(&mut client, 8);
    expect(&mut client, "PM.GET s", "1");
    // The filter does not always tell of which database a command is.
    expect_to_come(&mut client, 6);
    run(
        &mut client,
        "EXISTS l absent l -> 2
        TYPE h -> pm-hash--
        PM.SISMEMBER t 2 -> 1
        PM.ZSCORE z a -> 1",
    );
    expect(&mut client, "PEXPIRETIME e", &expires);
    expect_to_come(&mut client, 1);
    run(
        &mut client,
        "SET only other NX -> nil
        SELECT 3 -> OK
        PM.GET s -> three
        PM.READY -> OK",
    );
    expect_to_come(&mut client, 0);
    assert!(
        server
            .log()
            .contains("all keys of the pool are in the keyspace")
    );
}

#[test]
fn keys_are_shown_to_transactions_scripts_and_patterns() {
    let (mut server, mut client) = start(&on_demand());
    run(
        &mut client,
        "PM.MSET a 1 b 2 c 3 w_1 9 w_2 8 w_3 7 v_1 x v_2 y v_3 z last 1
        PM.RPUSH l 1 2 3
        PM.HSET h f 5",
    );
    let mut client = crash(&mut server);
    run(
        &mut client,
        "MULTI -> OK
        PM.GET a -> QUEUED
        DEL b -> QUEUED
        EXEC -> [1 1]
        PM.GET b -> nil",
    );
    expect_to_come(&mut client, 10);
    for (script, reply) in [
        ("return redis.call('PM.GET', 'c')", "3"),
        ("return redis.call('EXISTS', 'h', 'b', 'nowhere')", "1"),
    ] {
        let reply_found = client.call(&["EVAL", script, "0"]);
        assert_eq!(testkit::script::words(&reply_found), reply, "{script}");
    }
    expect_to_come(&mut client, 8);
    expect(
        &mut client,
        "PM.SORT l BY w_* GET v_* GET #",
        "[z 3 y 2 x 1]",
    );
    expect_to_come(&mut client, 1);
    // A key that EXEC would have to find unchanged.
    let mut other = server.client();
    run(&mut client, "WATCH last -> OK\nMULTI -> OK\nPING -> QUEUED");
    run(&mut other, "PM.SET last 2");
    expect(&mut client, "EXEC", "nil");
}

#[test]
fn showing_a_key_changes_no_transaction_that_watches() {
    let (mut server, mut client) = start(&on_demand());
    run(
        &mut client,
        "PM.MSET a 1 b 2\nSELECT 1 -> OK\nPM.MSET a 1 c 3",
    );
    let mut client = crash(&mut server);
    run(
        &mut client,
        "WATCH a b absent -> OK\nMULTI -> OK\nPING -> QUEUED",
    );
    let mut other = server.client();
    run(
        &mut other,
        "PM.GET a -> 1\nSELECT 1\nPM.GET a -> 1\nDBSIZE -> 2\nPM.DBSIZE -> 2",
    );
    expect(&mut client, "EXEC", "[PONG]");
}

#[test]
fn what_needs_all_keys_has_them_all() {
    let (mut server, mut client) = start(&on_demand());
    write_strings(&mut client, 300);
    for (command, sign) in [
        ("DBSIZE", "300"),
        ("KEYS key:*9", "key:299"),
        ("SCAN 0 COUNT 10000", "key:17 "),
        ("RANDOMKEY", "key:"),
        ("INFO keyspace", "db0:keys=300"),
        ("MEMORY STATS", "keys.count 300 "),
        ("DEBUG DIGEST", ""),
        ("PM.KEYS *", "key:299"),
        ("PM.SCAN 0 COUNT 10000", "key:17 "),
        ("PM.RANDOMKEY", "key:"),
        ("CONFIG SET notify-keyspace-events KEn", "OK"),
        ("EVAL return(redis.call('DBSIZE')) 0", "300"),
        ("SAVE", "OK"),
        ("DEBUG RELOAD", "OK"),
        (
            "BGREWRITEAOF",
            "Background append only file rewriting started",
        ),
        ("BGSAVE", "Background saving started"),
    ] {
        let _ = std::fs::remove_file(server.setup().dir().join("dump.rdb"));
        let mut client = crash(&mut server);
        expect_to_come(&mut client, 300);
        let mut reply = ask(&mut client, command);
        reply.push(' ');
        assert!(reply.contains(sign), "{command}: {reply}");
        expect_to_come(&mut client, 0);
        expect(&mut client, "DBSIZE", "300");
    }
}

#[test]
fn what_tells_of_the_filling_does_not_wait_for_it() {
    let (mut server, mut client) = start(&on_demand());
    write_strings(&mut client, 300);
    let mut client = crash(&mut server);
    for command in ["INFO", "INFO all", "INFO everything", "INFO default"] {
        let text = ask(&mut client, command);
        assert!(
            text.contains("redis_version") && text.contains("# Replication"),
            "{text}"
        );
        assert!(!text.contains("# Keyspace"), "never a part: {text}");
    }
    assert!(ask(&mut client, "INFO everything").contains("pmedis_keys_to_come:300"));
    assert!(ask(&mut client, "PM.INFO keys").contains("db0:keys=300"));
    run(
        &mut client,
        "PM.DBSIZE -> 300
        PING -> PONG
        PM.READY -> (error) LOADING the pool's keys are not in the keyspace yet
        PSYNC ? -1 -> (error) LOADING the pool's keys are not in the keyspace yet",
    );
    expect_to_come(&mut client, 300);
    run(&mut client, "DBSIZE -> 300\nPM.READY -> OK");
    assert!(ask(&mut client, "INFO").contains("# Keyspace"));
}

#[test]
fn a_flush_ends_keys_that_were_never_shown() {
    let (mut server, mut client) = start(&on_demand());
    for (flush, left) in [
        ("FLUSHALL", 0),
        ("PM.FLUSHALL", 0),
        ("FLUSHDB", 1),
        ("FLUSHDB ASYNC", 1),
        ("PM.FLUSHDB", 1),
    ] {
        run(
            &mut client,
            "SELECT 0 -> OK\nPM.MSET a 1 b 2 c 3\nSELECT 1 -> OK\nPM.SET d 4",
        );
        client = crash(&mut server);
        expect_to_come(&mut client, 4);
        // A native key beside them, and one that is shown.
        run(
            &mut client,
            "SET native v -> OK\nSET other v -> OK\nPM.GET a -> 1\nSELECT 2 -> OK\nSET native v -> OK\nSELECT 0 -> OK",
        );
        expect(&mut client, flush, "OK");
        expect_to_come(&mut client, left);
        let keeps_native = flush.starts_with("PM.");
        let native = if keeps_native { "1" } else { "0" };
        expect(&mut client, "EXISTS native", native);
        expect(&mut client, "PM.DBSIZE", "0");
        run(
            &mut client,
            "PM.GET a -> nil\nPM.GET b -> nil\nPM.SET b new",
        );
        client = crash(&mut server);
        run(
            &mut client,
            "PM.GET a -> nil\nPM.GET b -> new\nPM.DBSIZE -> 1\nSELECT 1 -> OK",
        );
        expect(&mut client, "PM.DBSIZE", &left.to_string());
        run(&mut client, "FLUSHALL -> OK");
    }
}

#[test]
fn flushed_records_are_reclaimed_while_others_are_not_shown() {
    let (mut server, mut client) = start(&on_demand());
    write_strings(&mut client, 2000);
    run(&mut client, "SELECT 1 -> OK\nPM.SET other 1");
    let used = |client: &mut Client| {
        let text = ask(client, "PM.INFO pool");
        let used = text
            .split("\\r\\n")
            .find_map(|line| line.strip_prefix("used:"));
        used.expect("bytes in use")
            .parse::<u64>()
            .expect("a number")
    };
    let mut client = crash(&mut server);
    let before = used(&mut client);
    run(&mut client, "PM.GET key:7 -> 7\nFLUSHDB -> OK");
    wait_for("the memory comes back", || used(&mut client) < before / 4);
    // The slots are given to other keys, and no stale entry shows those again.
    for n in 0..2000 {
        expect(&mut client, &format!("PM.SET new:{n} {n}"), "OK");
    }
    run(
        &mut client,
        "DEL new:7 -> 1\nDBSIZE -> 1999\nSELECT 1 -> OK\nPM.GET other -> 1",
    );
    let mut client = crash(&mut server);
    run(
        &mut client,
        "DBSIZE -> 1999\nPM.GET new:7 -> nil\nPM.GET new:8 -> 8",
    );
}

#[test]
fn keys_that_expired_unshown_are_told_of_once() {
    let (mut server, mut client) = start(&Setup::pmedis_with("64m", &["fill", "0"]));
    run(&mut client, "PM.SET c 1 -> OK");
    run(
        &mut client,
        "DEBUG SET-ACTIVE-EXPIRE 0 -> OK\nPM.SET a 1 PX 100 -> OK\nPM.SET b 1 PX 100 -> OK",
    );
    std::thread::sleep(std::time::Duration::from_millis(110));
    let mut client = crash(&mut server);
    run(&mut client, "CONFIG SET notify-keyspace-events Ex -> OK");
    let mut events = server.client();
    run(&mut events, "SUBSCRIBE __keyevent@0__:expired");
    run(
        &mut client,
        "PM.GET a -> nil\nEXISTS b c -> 1\nPM.SET end 1 PX 100",
    );
    let mut told = Vec::new();
    while told.last().map(String::as_str) != Some("end") {
        let event = events.receive().unwrap();
        let name = event
            .elements()
            .and_then(|parts| parts[2].bytes())
            .expect("an event");
        told.push(String::from_utf8_lossy(name).into_owned());
    }
    told.sort();
    assert_eq!(told, ["a", "b", "end"]);
    let mut client = crash(&mut server);
    run(&mut client, "EXISTS a b end -> 0\nDBSIZE -> 1");
}

#[test]
fn loaded_keys_meet_those_of_the_pool_before_anyone_is_served() {
    let setup = on_demand();
    let (mut server, mut client) = start(&setup);
    run(
        &mut client,
        "SET both native
        SET mine native
        PM.MSET gone 1 kept 2 third 3
        SAVE -> OK
        PM.SET both pool
        DEL gone -> 1
        PM.SET later 1",
    );
    let mut client = crash(&mut server);
    // Those that the file names are shown: the markers of `kept` and `third`, and the place of
    // `both`.
    expect_to_come(&mut client, 1);
    run(
        &mut client,
        "PM.GET both -> pool
        GET mine -> native
        PM.GET kept -> 2
        EXISTS gone -> 0
        DBSIZE -> 5",
    );
    let log = server.log();
    assert!(
        log.contains("1 native keys that Redis loaded gave way"),
        "{log}"
    );
    assert!(
        log.contains("1 PM keys in the loaded file are not in the pool"),
        "{log}"
    );
}

#[test]
fn a_node_of_a_cluster_counts_all_keys_of_a_slot() {
    let (mut server, mut client) = start(&on_demand().directive("cluster-enabled yes"));
    expect(&mut client, "CLUSTER ADDSLOTSRANGE 0 16383", "OK");
    let serves = |client: &mut Client| ask(client, "CLUSTER INFO").contains("cluster_state:ok");
    wait_for("the cluster serves", || serves(&mut client));
    run(&mut client, "PM.MSET {a}1 1 {a}2 2 {a}3 3\nPM.SET b 1");
    let slot = ask(&mut client, "CLUSTER KEYSLOT a");
    let mut client = crash(&mut server);
    wait_for("the cluster serves", || serves(&mut client));
    expect_to_come(&mut client, 4);
    expect(&mut client, "PM.GET {a}2", "2");
    expect_to_come(&mut client, 3);
    expect(&mut client, &format!("CLUSTER COUNTKEYSINSLOT {slot}"), "3");
    expect_to_come(&mut client, 0);
}

#[test]
fn a_replica_is_put_off_and_then_gets_every_key() {
    let (mut server, mut client) = start(&on_demand());
    write_strings(&mut client, 500);
    let mut client = crash(&mut server);
    let replica_setup = Setup::pmedis("64m");
    let replica_setup =
        replica_setup.directive(&format!("replicaof 127.0.0.1 {}", server.address().port()));
    let (replica, mut replica_client) = start(&replica_setup);
    wait_for("the replica has been put off", || {
        replica
            .log()
            .contains("Master is currently unable to PSYNC")
            || replica.log().contains("currently unable to PSYNC")
    });
    expect_to_come(&mut client, 500);
    expect(&mut client, "DBSIZE", "500");
    wait_for("the replica follows", || {
        info(&mut replica_client, "master_link_status") == "up"
    });
    expect(&mut client, "PM.SET last 1", "OK");
    wait_for("the replica has the last key", || {
        ask(&mut replica_client, "PM.GET last") == "1"
    });
    expect(&mut replica_client, "PM.DBSIZE", "501");
}

#[test]
fn all_keys_come_by_themselves_and_at_the_pace_that_is_asked_for() {
    for (limit, at_least) in [(None, 0), (Some("2000"), 1)] {
        let arguments: Vec<&str> = limit
            .into_iter()
            .flat_map(|limit| ["fill", limit])
            .collect();
        let (mut server, mut client) = start(&Setup::pmedis_with("256m", &arguments));
        write_strings(&mut client, 4000);
        let restarted = std::time::Instant::now();
        let mut client = crash(&mut server);
        wait_for("all keys are shown", || {
            ask(&mut client, "PM.READY") == "OK"
        });
        assert!(restarted.elapsed().as_secs() >= at_least, "{limit:?}");
        assert!(
            server.log().contains("4000 were put there now"),
            "{}",
            server.log()
        );
        expect(&mut client, "DBSIZE", "4000");
    }
}

#[test]
fn a_kill_in_the_midst_of_filling_loses_nothing() {
    let setup = Setup::pmedis_with("256m", &["fill", "500"]);
    let mut server = setup.start().unwrap();
    write_strings(&mut server.client(), 20_000);
    let mut client = server.client();
    for round in 0..10u64 {
        server.restart_and_kill9(std::time::Duration::from_millis(round * 20));
        client = crash(&mut server);
        let left = progress(&mut client, "keys_to_come");
        assert!(left > 0, "the kill is to come in the midst");
        expect(&mut client, &format!("PM.SET key:{round} new"), "OK");
        expect(&mut client, &format!("DEL key:{}", 1000 + round), "1");
    }
    expect(&mut client, "DBSIZE", "19990");
    for n in [0, 9, 10, 999, 1009, 1010, 19_999] {
        let value = match n {
            0..10 => "new".into(),
            1000..1010 => "nil".into(),
            n => n.to_string(),
        };
        expect(&mut client, &format!("PM.GET key:{n}"), &value);
    }
}

#[test]
fn clients_that_write_from_the_first_moment_on_lose_nothing_to_kills() {
    let setup = Setup::pmedis_with("64m", &["fill", "300"]);
    let tally = Rounds::new(&setup, "PM.", 20)
        .run(8)
        .unwrap_or_else(|report| panic!("{report}"));
    assert!(tally.acknowledged > 100, "{tally:?}");
}

/// Commands of all kinds on a few keys, `{k}` and `{j}`; `{n}` is a number, `{d}` a database.
const COMMANDS: [&str; 62] = [
    "PM.SET {k} v{n}",
    "PM.SET {k} v{n} EX 1000000",
    "PM.SET {k} v{n} NX",
    "PM.SET {k} v{n} XX GET",
    "PM.GET {k}",
    "PM.APPEND {k} x{n}",
    "PM.GETDEL {k}",
    "PM.MSET {k} {n} {j} b",
    "PM.MSETNX {k} a {j} {n}",
    "PM.MGET {k} {j} absent",
    "PM.RPUSH {k} a b {n}",
    "PM.LPOP {k}",
    "PM.LRANGE {k} 0 -1",
    "PM.LMOVE {k} {j} LEFT RIGHT",
    "PM.LMPOP 2 {k} {j} LEFT",
    "PM.BLPOP {k} {j} 0.001",
    "PM.HSET {k} f{n} {n}",
    "PM.HGET {k} f1",
    "PM.HLEN {k}",
    "PM.SADD {k} {n} a",
    "PM.SCARD {k}",
    "PM.SMOVE {k} {j} a",
    "PM.SUNIONSTORE {k} {j} {k}",
    "PM.ZADD {k} {n} m{n}",
    "PM.ZRANGE {k} 0 -1",
    "PM.ZUNIONSTORE {k} 2 {j} {k}",
    "PM.SORT {k} BY {j}* ALPHA",
    "PM.SETBIT {k} {n} 1",
    "PM.PFADD {k} {n}",
    "DEL {k} {j}",
    "UNLINK {k}",
    "EXISTS {k} {j} {k}",
    "TOUCH {k} {j}",
    "TYPE {k}",
    "PM.TYPE {k}",
    "PM.DEL {k}",
    "PM.EXISTS {k} {j}",
    "PM.RENAME {k} {j}",
    "PM.COPY {k} {j} DB {d} REPLACE",
    "PM.OBJECT ENCODING {k}",
    "RENAME {k} {j}",
    "RENAMENX {k} {j}",
    "COPY {k} {j}",
    "COPY {k} {j} REPLACE",
    "COPY {k} {k} DB {d}",
    "MOVE {k} {d}",
    "EXPIREAT {k} 4000000{n}",
    "EXPIRETIME {k}",
    "PERSIST {k}",
    "DUMP {k}",
    "SWAPDB 0 1",
    "PM.DBSIZE",
    "EVAL return(redis.call('PM.SET','{k}','{n}')) 0",
    "EVAL return(redis.call('RENAME',KEYS[1],'{j}')) 1 {k}",
    "MULTI;PM.SET {k} {n};RENAME {k} {j};DEL {k} {j};EXEC",
    "MULTI;PM.SADD {k} {n};EXISTS {j};PM.SADD {j} {n};EXEC",
    "SET {k} native;DEL {k}",
    "SET {k} native;RENAME {j} {k};DEL {k}",
    "WATCH {k};PM.SET {k} {n};MULTI;DEL {j};EXEC",
    "FLUSHDB",
    "DBSIZE",
    "KEYS *",
];

/// A step in words: the same on both servers.
fn step(rng: &mut Rng) -> Vec<String> {
    // What changes or shows all keys is rare.
    let template = match rng.u32(..40) {
        0 => COMMANDS[COMMANDS.len() - 1 - rng.usize(..3)],
        _ => COMMANDS[rng.usize(..COMMANDS.len() - 3)],
    };
    let names = ["k0", "k1", "k2", "k3", "k4"];
    let (k, j) = (rng.choice(names).unwrap(), rng.choice(names).unwrap());
    let filled = template.replace("{k}", k).replace("{j}", j);
    let filled = filled.replace("{n}", &rng.u32(1..10).to_string());
    let filled = filled.replace("{d}", &rng.u32(..2).to_string());
    let select = format!("SELECT {}", rng.u32(..2));
    std::iter::once(select)
        .chain(filled.split(';').map(str::to_owned))
        .collect()
}

#[test]
fn a_server_that_restarts_all_the_time_answers_as_one_that_never_does() {
    let seed = std::env::var("PMEDIS_SEED").map_or(20, |seed| seed.parse().expect("a number"));
    let mut rng = Rng::with_seed(seed);
    let (mut restarted, mut one) = start(&on_demand());
    let (_steady, mut other) = start(&Setup::pmedis("64m"));
    let (mut unshown, mut history) = (0, Vec::new());
    for number in 0..3000 {
        if rng.u32(..15) == 0 {
            one = crash(&mut restarted);
            history.push("--- restart ---".to_owned());
        }
        for command in step(&mut rng) {
            let mut replies = [&mut one, &mut other].map(|client| ask(client, &command));
            if command == "KEYS *" {
                for reply in &mut replies {
                    let mut names: Vec<_> = reply.trim_matches(['[', ']']).split(' ').collect();
                    names.sort();
                    *reply = names.join(" ");
                }
            }
            history.push(format!("{command} -> {}", replies[1]));
            let recent = &history[history.len().saturating_sub(60)..];
            assert_eq!(
                replies[0], replies[1],
                "seed {seed}, step {number}: {recent:#?}"
            );
        }
        unshown += u64::from(progress(&mut one, "keys_to_come") > 0);
    }
    assert!(unshown > 500, "keys were unshown at {unshown} steps only");
    for db in 0..2 {
        let select = format!("SELECT {db}");
        expect(&mut one, &select, "OK");
        expect(&mut other, &select, "OK");
    }
    let digests = [&mut one, &mut other].map(|client| ask(client, "DEBUG DIGEST"));
    assert_eq!(digests[0], digests[1]);
}
