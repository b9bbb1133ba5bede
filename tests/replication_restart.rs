//! Servers that restart: no command is done twice, and none is left out, whatever RDB they find
//! beside the pool.

use testkit::client::Client;
use testkit::replication::{assert_same, follow, info, save, wait_for, wait_in_sync, write_some};
use testkit::script::{ask, expect};
use testkit::server::{Server, Setup};

fn setup() -> Setup {
    Setup::pmedis("64m")
        .directive("repl-diskless-sync-delay 0")
        .keep_port()
}

fn start(setup: Setup) -> (Server, Client) {
    let server = setup.start().unwrap();
    let client = server.client();
    (server, client)
}

/// A master with some data and a replica in sync with it, which stays one over restarts.
fn pair(master: Setup, replica: Setup) -> (Server, Client, Server, Client) {
    let (master, mut of_master) = start(master);
    write_some(&mut of_master, 1);
    let port = master.address().port();
    let replica = replica.directive(&format!("replicaof 127.0.0.1 {port}"));
    let (replica, mut of_replica) = start(replica);
    wait_in_sync(&mut of_master, &mut of_replica);
    (master, of_master, replica, of_replica)
}

fn restart(server: &mut Server) -> Client {
    server.restart().unwrap();
    server.client()
}

#[track_caller]
fn assert_in_sync(of_master: &mut Client, of_replica: &mut Client) {
    wait_in_sync(of_master, of_replica);
    assert_same(of_master, of_replica);
}

const LOADS: &str = "Loading DB in memory";
const FORGOTTEN: &str = "the replication offset in it is forgotten";

#[test]
fn a_replica_with_an_old_rdb_does_nothing_twice() {
    for command in ["SAVE", "BGSAVE"] {
        let (_master, mut of_master, mut replica, mut of_replica) = pair(setup(), setup());
        expect(&mut of_master, "PM.SET count 0", "OK");
        wait_in_sync(&mut of_master, &mut of_replica);
        assert!(!ask(&mut of_replica, command).starts_with("(error)"));
        wait_for("no child saves", || {
            info(&mut of_replica, "rdb_bgsave_in_progress") == "0"
        });
        for _ in 0..100 {
            ask(&mut of_master, "PM.INCR count");
            ask(&mut of_master, "PM.RPUSH list x");
        }
        assert_in_sync(&mut of_master, &mut of_replica);
        replica.kill9();
        expect(&mut of_master, "PM.INCR count", "101");
        let mut of_replica = restart(&mut replica);
        assert!(replica.log().contains(FORGOTTEN), "{}", replica.log());
        assert_in_sync(&mut of_master, &mut of_replica);
        expect(&mut of_replica, "PM.GET count", "101");
        expect(&mut of_replica, "PM.LLEN list", "100");
        assert_eq!(info(&mut of_master, "sync_full"), "2", "{command}");
    }
}

#[test]
fn a_replica_whose_rdb_came_with_the_full_sync_does_nothing_twice() {
    let disk = || {
        setup()
            .directive("repl-diskless-sync no")
            .directive("save 3600 1")
    };
    let (_master, mut of_master, mut replica, mut of_replica) = pair(disk(), disk());
    for round in 2..4 {
        write_some(&mut of_master, round);
        assert_in_sync(&mut of_master, &mut of_replica);
        replica.kill9();
        write_some(&mut of_master, round + 10);
        of_replica = restart(&mut replica);
        assert_in_sync(&mut of_master, &mut of_replica);
    }
    assert_eq!(info(&mut of_master, "sync_full"), "3");
}

#[test]
fn an_orderly_restart_of_the_replica_needs_no_full_sync() {
    let saves = || setup().directive("save 3600 1");
    let (_master, mut of_master, mut replica, _) = pair(setup(), saves());
    for round in 2..5 {
        replica.stop();
        write_some(&mut of_master, round);
        let mut of_replica = restart(&mut replica);
        assert!(!replica.log().contains(FORGOTTEN), "{}", replica.log());
        assert_in_sync(&mut of_master, &mut of_replica);
    }
    assert_eq!(info(&mut of_master, "sync_full"), "1");
    assert_eq!(info(&mut of_master, "sync_partial_ok"), "3");
}

#[test]
fn an_orderly_restart_of_the_master_needs_no_full_sync() {
    let saves = || setup().directive("save 3600 1");
    let (mut master, mut of_master, _replica, mut of_replica) = pair(saves(), setup());
    for round in 2..4 {
        write_some(&mut of_master, round);
        wait_in_sync(&mut of_master, &mut of_replica);
        master.stop();
        of_master = restart(&mut master);
        write_some(&mut of_master, round + 10);
        assert_in_sync(&mut of_master, &mut of_replica);
        assert_eq!(info(&mut of_master, "sync_full"), "0");
    }
}

#[test]
fn a_master_that_crashed_is_not_taken_for_what_its_rdb_says() {
    // The replica leaves at the very offset of the master's RDB, and misses what came after.
    let (mut master, mut of_master, mut replica, mut of_replica) = pair(setup(), setup());
    wait_in_sync(&mut of_master, &mut of_replica);
    save(&mut of_replica);
    replica.stop();
    save(&mut of_master);
    write_some(&mut of_master, 2);
    master.kill9();
    let mut of_master = restart(&mut master);
    assert!(master.log().contains(FORGOTTEN), "{}", master.log());
    let mut of_replica = restart(&mut replica);
    assert_in_sync(&mut of_master, &mut of_replica);
    assert_eq!(info(&mut of_master, "sync_full"), "1");
}

#[test]
fn a_crashed_master_that_rejoins_as_a_replica_does_nothing_twice() {
    let (mut master, mut of_master, replica, mut of_replica) = pair(setup(), setup());
    save(&mut of_master);
    write_some(&mut of_master, 2);
    assert_in_sync(&mut of_master, &mut of_replica);
    master.kill9();
    expect(&mut of_replica, "REPLICAOF NO ONE", "OK");
    write_some(&mut of_replica, 3);
    // Told at its start, and told later.
    let port = replica.address().port();
    let as_replica = master
        .setup()
        .clone()
        .directive(&format!("replicaof 127.0.0.1 {port}"));
    let (mut again, mut of_again) = start(as_replica);
    assert_in_sync(&mut of_replica, &mut of_again);
    again.kill9();
    let mut of_master = restart(&mut master);
    follow(&mut of_master, &replica);
    assert_in_sync(&mut of_replica, &mut of_master);
}

#[test]
fn a_replica_killed_while_it_loads_begins_again() {
    for by in ["no", "yes"] {
        let setup = || {
            setup()
                .directive(&format!("repl-diskless-sync {by}"))
                .directive("repl-diskless-load on-empty-db")
                .directive("key-load-delay 2000")
                .directive("loading-process-events-interval-bytes 1024")
        };
        let (_master, mut of_master, mut replica, mut of_replica) = pair(setup(), setup());
        save(&mut of_replica);
        for round in 2..4 {
            write_some(&mut of_master, round);
            wait_in_sync(&mut of_master, &mut of_replica);
            replica.kill9();
            replica.restart().unwrap();
            wait_for("the replica loads", || replica.log().contains(LOADS));
            replica.kill9();
            of_replica = restart(&mut replica);
            assert_in_sync(&mut of_master, &mut of_replica);
        }
    }
}

#[test]
fn a_failed_full_sync_does_not_hang_over_what_is_written_later() {
    // Killed while it takes over a master's keys, then promoted: what it is told then is its own.
    let (mut master, mut of_master, mut replica, mut of_replica) = pair(
        setup().directive("repl-diskless-sync yes"),
        setup()
            .directive("repl-diskless-load on-empty-db")
            .directive("key-load-delay 2000"),
    );
    save(&mut of_replica);
    write_some(&mut of_master, 2);
    wait_in_sync(&mut of_master, &mut of_replica);
    replica.kill9();
    replica.restart().unwrap();
    wait_for("the replica loads", || replica.log().contains(LOADS));
    replica.kill9();
    master.kill9();
    let mut of_replica = restart(&mut replica);
    expect(&mut of_replica, "REPLICAOF NO ONE", "OK");
    expect(&mut of_replica, "FLUSHALL", "OK");
    expect(&mut of_replica, "PM.SET own v", "OK");
    replica.kill9();
    let mut of_replica = restart(&mut replica);
    // The configuration still names the master that is gone; reads are answered all the same.
    expect(&mut of_replica, "PM.GET own", "v");
}

/// Fills a server with so many values of 100 kB.
fn fill(client: &mut Client, prefix: &str, count: usize) {
    let value = "v".repeat(100_000);
    for n in 0..count {
        let reply = client.call(&["PM.SET", &format!("{prefix}:{n}"), &value]);
        assert!(!reply.is_error(), "{prefix}:{n}: {reply:?}");
        let fields: Vec<String> = (0..20).map(|i| format!("{prefix}-{n}-{i}")).collect();
        let words = ["PM.SADD".to_owned(), format!("{prefix}:set:{n}")];
        client.call(&[&words[..], &fields].concat());
    }
}

#[test]
fn a_full_sync_uses_the_room_of_what_it_replaces() {
    let (master, mut of_master) = start(setup());
    fill(&mut of_master, "master", 300);
    let (_replica, mut of_replica) = start(Setup::pmedis("48m"));
    fill(&mut of_replica, "replica", 300);
    follow(&mut of_replica, &master);
    assert_in_sync(&mut of_master, &mut of_replica);
    for prefix in ["a", "b", "c"] {
        expect(&mut of_master, "FLUSHALL", "OK");
        fill(&mut of_master, prefix, 300);
    }
    assert_in_sync(&mut of_master, &mut of_replica);
}

#[test]
fn a_replica_with_too_small_a_pool_says_so_and_ends() {
    let (master, mut of_master) = start(setup());
    fill(&mut of_master, "k", 50);
    let port = master.address().port();
    let small = Setup::pmedis("16m").directive(&format!("replicaof 127.0.0.1 {port}"));
    let (mut replica, mut of_replica) = start(small);
    assert_in_sync(&mut of_master, &mut of_replica);
    // In the stream, and then in the full sync.
    fill(&mut of_master, "more", 200);
    wait_for("the replica ends", || replica.exited().is_some());
    let told = "the pool is full: this replica cannot hold what its master has";
    assert!(replica.log().contains(told), "{}", replica.log());
    replica.restart().ok();
    wait_for("the replica ends again", || replica.exited().is_some());
    assert!(replica.log().contains(told), "{}", replica.log());
    assert_eq!(info(&mut of_master, "sync_full"), "2");
}

#[test]
fn a_replica_that_fills_its_keyspace_does_nothing_twice() {
    const KEYS: u64 = 11_000;
    const TO_COME: &str = "keys_to_come:";
    let to_come = |client: &mut Client| -> u64 {
        let reply = client.call(&["PM.INFO", "filling"]);
        let about = String::from_utf8_lossy(reply.bytes().expect("text")).into_owned();
        let line = about.lines().find_map(|line| line.strip_prefix(TO_COME));
        line.and_then(|number| number.trim().parse().ok())
            .unwrap_or_else(|| panic!("{about}"))
    };
    let on_demand = Setup::pmedis_with("64m", &["fill", "0"])
        .directive("save 3600 1")
        .keep_port();
    let (_master, mut of_master, mut replica, mut of_replica) = pair(setup(), on_demand);
    let write = |n: u64| vec!["PM.SET".to_owned(), format!("key:{n}"), n.to_string()];
    // So many that an RDB has one marker for all: it shows none of them.
    for batch in (0..KEYS).collect::<Vec<_>>().chunks(1000) {
        let commands: Vec<_> = batch.iter().copied().map(write).collect();
        let replies = of_master.pipeline(&commands).unwrap();
        assert!(replies.iter().all(|reply| !reply.is_error()));
    }
    wait_in_sync(&mut of_master, &mut of_replica);
    // Its RDB is older than the pool: the offset is forgotten, and a full sync brings all keys.
    expect(&mut of_replica, "SAVE", "OK");
    expect(&mut of_master, "PM.INCR key:1", "2");
    wait_in_sync(&mut of_master, &mut of_replica);
    replica.kill9();
    let mut of_replica = restart(&mut replica);
    assert_in_sync(&mut of_master, &mut of_replica);
    assert_eq!(info(&mut of_master, "sync_full"), "2");
    // It is as new as the pool: the replica goes on from there, while its keys are not shown.
    replica.stop();
    expect(&mut of_master, "PM.INCR key:1", "3");
    expect(&mut of_master, "DEL key:2", "1");
    expect(&mut of_master, "RENAME key:3 renamed", "OK");
    expect(&mut of_master, "COPY key:4 key:5 REPLACE", "1");
    let mut of_replica = restart(&mut replica);
    wait_in_sync(&mut of_master, &mut of_replica);
    assert_eq!(info(&mut of_master, "sync_full"), "2");
    let left = to_come(&mut of_replica);
    assert!(left > 10_000, "{left}");
    expect(&mut of_replica, "PM.GET key:1", "3");
    expect(&mut of_replica, "PM.GET key:2", "nil");
    expect(&mut of_replica, "PM.GET renamed", "3");
    expect(&mut of_replica, "PM.GET key:5", "4");
    assert_same(&mut of_master, &mut of_replica);
}

#[test]
fn a_replica_that_has_lost_its_pool_syncs_anew_whatever_its_file_has() {
    for content in ["native", "markers"] {
        let replica = Setup::pmedis_with("64m", &["rdb", content]);
        let replica = replica
            .directive("repl-diskless-sync-delay 0")
            .directive("save 3600 1")
            .keep_port();
        let (_master, mut of_master, mut replica, _) = pair(setup(), replica);
        expect(&mut of_master, "PM.SET count 5", "OK");
        assert_in_sync(&mut of_master, &mut replica.client());
        replica.stop();
        let pool = replica.setup().pool();
        std::fs::remove_file(pool).unwrap();
        let mut of_replica = restart(&mut replica);
        assert!(replica.log().contains(FORGOTTEN), "{}", replica.log());
        expect(&mut of_master, "PM.INCR count", "6");
        assert_in_sync(&mut of_master, &mut of_replica);
        expect(&mut of_replica, "PM.GET count", "6");
        expect(&mut of_replica, "TYPE count", "pm-string");
        assert_eq!(info(&mut of_master, "sync_full"), "2", "{content}");
    }
}
