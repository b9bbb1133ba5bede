//! Two accounts of the same keys: the pool's, and that of an RDB or an AOF beside it. The pool is
//! the truth; what gives way does so with a line in the log.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use testkit::client::Client;
use testkit::packaged::Packaged;
use testkit::replication::wait_for;
use testkit::script::{ask, crash, expect, pm_keys, run};
use testkit::server::{Server, Setup};

fn start(setup: Setup) -> (Server, Client) {
    let server = setup.start().unwrap();
    let client = server.client();
    (server, client)
}

#[track_caller]
fn told(server: &Server, what: &str) {
    let log = server.log();
    let line = |line: &str| line.contains("<pmedis>") && line.contains(what);
    assert!(log.lines().any(line), "no line tells of {what:?}:\n{log}");
}

#[test]
fn a_pm_key_outlives_the_native_key_it_replaced() {
    let (mut server, mut client) = start(Setup::pmedis("64m"));
    run(
        &mut client,
        "
        SET k native -> OK
        SET other native -> OK
        PM.SET back 1 -> OK
        SAVE -> OK
        PM.SET k pm -> OK
        SET back native -> OK
        SAVE -> OK
        PM.SET other pm -> OK
        ",
    );
    let mut client = crash(&mut server);
    // `k` was saved as a PM key already, `other` as a native one, and `back` is a native key for
    // good.
    run(
        &mut client,
        "PM.GET k -> pm\nPM.GET other -> pm\nGET back -> native\nDBSIZE -> 3\nPM.DBSIZE -> 2",
    );
    told(&server, "1 native keys that Redis loaded gave way");
}

#[test]
fn what_a_file_says_of_pm_keys_is_passed_over() {
    let (mut server, mut client) = start(Setup::pmedis("64m"));
    run(
        &mut client,
        "
        PM.SET changes old -> OK
        PM.SET goes v -> OK
        PM.RPUSH moves a -> 1
        PM.SET becomes-native v -> OK
        SAVE -> OK
        PM.SET changes new PXAT 33177117420000 -> OK
        DEL goes -> 1
        MOVE moves 2 -> 1
        SET becomes-native v -> OK
        PM.SET comes v -> OK
        ",
    );
    let before = pm_keys(&mut client, 3);
    let mut client = crash(&mut server);
    assert_eq!(pm_keys(&mut client, 3), before);
    run(
        &mut client,
        "
        EXISTS goes moves becomes-native -> 0
        PM.DBSIZE -> 2
        DBSIZE -> 2
        PM.SET goes again -> OK
        ",
    );
    told(
        &server,
        "3 PM keys in the loaded file are not in the pool any more",
    );
    // Keys of the pool that were all deleted do not come back either.
    run(&mut client, "FLUSHALL -> OK");
    let mut client = crash(&mut server);
    run(&mut client, "DBSIZE -> 0\nPM.DBSIZE -> 0");
}

/// Fills a server with keys of all types and saves them; returns the state.
fn saved(client: &mut Client, keys: usize) -> Vec<String> {
    run(
        client,
        "
        PM.SET s v -> OK
        PM.SET ttl v PXAT 33177117420000 -> OK
        PM.RPUSH l a b -> 2
        PM.HSET h f v -> 1
        PM.SADD set x -> 1
        PM.ZADD z 1 a -> 1
        SELECT 1 -> OK
        PM.SET one v PXAT 33177117420001 -> OK
        SELECT 0 -> OK
        ",
    );
    for n in 0..keys {
        client.queue(&["PM.SET".to_owned(), format!("key:{n}"), format!("{n:0100}")]);
    }
    client.send().unwrap();
    for _ in 0..keys {
        assert!(!client.receive().unwrap().is_error());
    }
    expect(client, "SAVE", "OK");
    pm_keys(client, 2)
}

#[test]
fn a_new_pool_takes_a_backup_over() {
    let (mut server, mut client) = start(Setup::pmedis_with("64m", &["rdb", "full"]));
    let before = saved(&mut client, 100);
    server.stop();
    fs::remove_file(server.setup().pool()).unwrap();
    server.restart().unwrap();
    let mut client = server.client();
    assert_eq!(pm_keys(&mut client, 2), before, "from the file");
    expect(&mut client, "PM.DBSIZE", "106");
    // Now they are the pool's, the expire times too.
    fs::remove_file(server.setup().dir().join("dump.rdb")).unwrap();
    let mut client = crash(&mut server);
    assert_eq!(pm_keys(&mut client, 2), before, "from the pool");
    expect(&mut client, "PM.DBSIZE", "106");
}

#[test]
fn a_backup_is_taken_over_wholly_though_the_server_dies_meanwhile() {
    let (mut server, _) = start(Setup::pmedis_with("64m", &["rdb", "full"]));
    server.stop();
    let pool = server.setup().pool();
    let unused = server.setup().dir().join("unused.pool");
    fs::copy(&pool, &unused).unwrap();
    server.restart().unwrap();
    let mut client = server.client();
    saved(&mut client, 60_000);
    let digest = ask(&mut client, "DEBUG DIGEST");
    server.stop();
    let (mut undone, mut round) = (false, 0);
    while !undone {
        assert!(round < 100, "no server died while it took the backup over");
        fs::copy(&unused, &pool).unwrap();
        for kill in 0..3 {
            server.restart_and_kill9(Duration::from_millis(30 + 25 * (round + kill)));
        }
        server.restart().unwrap();
        undone = server.log().contains("what it has of them is dropped");
        let mut client = server.client();
        expect(&mut client, "DEBUG DIGEST", &digest);
        expect(&mut client, "PM.DBSIZE", "60006");
        server.stop();
        round += 1;
    }
}

/// Redis loads the file's native keys and the pool gives its own, expire times on both sides,
/// whichever way the server went.
#[test]
fn an_rdb_with_native_keys_and_the_pool_make_the_whole() {
    let (mut server, mut client) = start(Setup::pmedis("64m"));
    let before = saved(&mut client, 10);
    run(
        &mut client,
        "
        SET native v -> OK
        SET native-ttl v PXAT 33177117420002 -> OK
        RPUSH native-list a b -> 2
        PEXPIREAT native-list 33177117420003 -> 1
        ",
    );
    for round in 0..3 {
        match round {
            0 => {
                client.queue(&["SHUTDOWN", "SAVE"]);
                client.send().unwrap();
                client
                    .receive()
                    .expect_err("no reply from a server that went");
            }
            1 => server.stop().success().then_some(()).expect("a good end"),
            _ => {
                expect(&mut client, "SAVE", "OK");
                server.kill9();
            }
        }
        server.restart().unwrap();
        client = server.client();
        assert_eq!(pm_keys(&mut client, 2), before, "round {round}");
        run(
            &mut client,
            "
            GET native -> v
            PEXPIRETIME native-ttl -> 33177117420002
            PEXPIRETIME native-list -> 33177117420003
            LRANGE native-list 0 -1 -> [a b]
            PM.DBSIZE -> 16
            DBSIZE -> 19
            ",
        );
    }
}

/// An AOF of its own kind beside the pool.
fn with_aof(preamble: &str) -> Setup {
    Setup::pmedis("64m")
        .directive("appendonly yes")
        .directive("appendfsync always")
        .directive(&format!("aof-use-rdb-preamble {preamble}"))
}

#[test]
fn an_aof_does_nothing_to_pm_keys_again() {
    for preamble in ["yes", "no"] {
        let (mut server, mut client) = start(with_aof(preamble));
        run(
            &mut client,
            "
            PM.SET gone v -> OK
            SET native 1 -> OK
            FLUSHALL -> OK
            SWAPDB 0 1 -> OK
            PM.INCR n -> 1
            PM.SET moves v -> OK
            MOVE moves 1 -> 1
            PM.RPUSH l a -> 1
            RENAME l m -> OK
            PM.SET ttl v -> OK
            PEXPIREAT ttl 33177117420000 -> 1
            INCR native -> 1
            ",
        );
        for rewrites in [false, true] {
            if rewrites {
                run(&mut client, "BGREWRITEAOF");
                wait_for("the rewrite ends", || {
                    !ask(&mut client, "INFO persistence").contains("aof_rewrite_in_progress:1")
                });
                run(
                    &mut client,
                    "PM.INCR n\nDEL m\nRENAME ttl ttl2 -> OK\nFLUSHALL -> OK\nSWAPDB 0 1 -> OK\nPM.INCR n -> 1\nINCR native -> 1\nPM.RPUSH m x",
                );
            }
            let before = pm_keys(&mut client, 2);
            client = crash(&mut server);
            assert_eq!(
                pm_keys(&mut client, 2),
                before,
                "preamble {preamble}, {rewrites}"
            );
            expect(&mut client, "GET native", "1");
        }
    }
}

#[test]
fn a_native_key_in_the_aof_does_not_come_back() {
    let (mut server, mut client) = start(with_aof("yes"));
    run(
        &mut client,
        "
        SET a native -> OK
        SET b native -> OK
        SET c native -> OK
        SET d native -> OK
        SET stays native -> OK
        PM.SET a v -> OK
        PM.SET v v -> OK
        RENAME v b -> OK
        COPY b c REPLACE -> 1
        PM.MSET d v e v -> OK
        PM.GETDEL a -> v
        PM.GETDEL b -> v
        PM.GETDEL c -> v
        PM.GETDEL d -> v
        SET e native -> OK
        ",
    );
    let mut client = crash(&mut server);
    run(
        &mut client,
        "EXISTS a b c d -> 0\nGET e -> native\nGET stays -> native\nPM.DBSIZE -> 0",
    );
}

#[test]
fn pm_commands_in_an_aof_are_passed_over() {
    let (mut server, mut client) = start(with_aof("yes"));
    run(&mut client, "SET native 1 -> OK\nPM.SET n 5 -> OK");
    server.kill9();
    let dir = server.setup().dir().join("appendonlydir");
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let is_increments = |path: &PathBuf| path.to_string_lossy().ends_with(".incr.aof");
    let aof = files.into_iter().find(is_increments).expect("an AOF");
    let mut file = OpenOptions::new().append(true).open(aof).unwrap();
    for command in [
        "PM.INCR n",
        "PM.SET new v",
        "PM.DEL n",
        "PM.FLUSHALL",
        "INCR native",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        write!(file, "*{}\r\n", words.len()).unwrap();
        for word in words {
            write!(file, "${}\r\n{word}\r\n", word.len()).unwrap();
        }
    }
    server.restart().unwrap();
    let mut client = server.client();
    run(
        &mut client,
        "PM.GET n -> 5\nPM.DBSIZE -> 1\nEXISTS new -> 0\nGET native -> 2",
    );
    told(&server, "passed over");
}

#[test]
fn keys_of_databases_that_the_server_does_not_have_wait() {
    let (mut server, mut client) = start(Setup::pmedis("64m").directive("databases 40"));
    run(
        &mut client,
        "PM.SET k zero -> OK\nSELECT 30 -> OK\nPM.SET k thirty -> OK\nPM.RPUSH l a -> 1",
    );
    server.stop();
    let fewer = server.setup().clone().directive("databases 16");
    let (mut small, mut client) = start(fewer);
    run(
        &mut client,
        "PM.GET k -> zero\nPM.DBSIZE -> 1\nPM.SET new v -> OK\nDEL k -> 1",
    );
    told(
        &small,
        "2 keys of the pool belong to databases this server does not have",
    );
    small.stop();
    server.restart().unwrap();
    let mut client = server.client();
    run(
        &mut client,
        "DBSIZE -> 1\nSELECT 30 -> OK\nPM.GET k -> thirty\nPM.DBSIZE -> 2\nDBSIZE -> 2",
    );
    server.stop();
    // FLUSHALL is about all keys, these too, and says so.
    let (mut small, mut client) = start(server.setup().clone().directive("databases 16"));
    run(&mut client, "FLUSHALL -> OK");
    told(&small, "2 keys of databases this server does not have");
    small.stop();
    server.restart().unwrap();
    run(&mut server.client(), "SELECT 30 -> OK\nDBSIZE -> 0");
}

#[test]
fn keys_in_slots_of_others_stay() {
    let setup = Setup::pmedis("64m").directive("cluster-enabled yes");
    let (mut server, mut client) = start(setup);
    run(&mut client, "CLUSTER ADDSLOTSRANGE 0 16383 -> OK");
    let serves = |client: &mut Client| {
        wait_for("the cluster is up", || ask(client, "PM.SET a v") == "OK");
    };
    serves(&mut client);
    let slot = ask(&mut client, "CLUSTER KEYSLOT b");
    run(&mut client, "PM.SET b v -> OK\nPM.RPUSH {b}l x -> 1");
    run(
        &mut client,
        &format!("CLUSTER DELSLOTS {slot} -> OK\nCLUSTER SAVECONFIG -> OK"),
    );
    let mut client = crash(&mut server);
    told(
        &server,
        "2 keys lie in 1 hash slots that are not this node's",
    );
    // Redis 8.4 on does not count keys that it does not serve.
    let counted = if Packaged::current().has(Some((8, 4)), None) {
        0
    } else {
        2
    };
    run(
        &mut client,
        &format!("CLUSTER COUNTKEYSINSLOT {slot} -> {counted}"),
    );
    assert!(ask(&mut client, "PM.GET b").contains("CLUSTERDOWN"));
    run(&mut client, &format!("CLUSTER ADDSLOTS {slot} -> OK"));
    serves(&mut client);
    run(
        &mut client,
        "PM.GET b -> v\nPM.LLEN {b}l -> 1\nPM.GET a -> v",
    );
}
