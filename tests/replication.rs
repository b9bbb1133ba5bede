//! Replicas with pools of their own: full and partial syncs, chains, failover, and what a replica
//! may do. Equal means: the digests of all keys are.

use testkit::client::Client;
use testkit::replication::{assert_same, digest, follow, info, wait_for, wait_in_sync, write_some};
use testkit::script::{ask, expect};
use testkit::server::{Server, Setup};

fn start(directives: &[&str]) -> (Server, Client) {
    let setup = Setup::pmedis("64m")
        .directive("repl-diskless-sync-delay 0")
        .keep_port();
    let setup = directives.iter().fold(setup, |s, line| s.directive(line));
    let server = setup.start().unwrap();
    let client = server.client();
    (server, client)
}

/// A master with some data and a replica in sync with it.
fn pair(directives: &[&str]) -> (Server, Client, Server, Client) {
    let (master, mut of_master) = start(directives);
    write_some(&mut of_master, 1);
    let (replica, mut of_replica) = start(directives);
    follow(&mut of_replica, &master);
    wait_in_sync(&mut of_master, &mut of_replica);
    (master, of_master, replica, of_replica)
}

#[test]
fn full_syncs_of_every_kind_replace_what_the_replica_had() {
    for by in ["no", "yes"] {
        for load in ["disabled", "on-empty-db", "swapdb"] {
            let sync = format!("repl-diskless-sync {by}");
            let load = format!("repl-diskless-load {load}");
            let (master, mut of_master) = start(&[&sync, &load]);
            write_some(&mut of_master, 1);
            let (mut replica, mut of_replica) = start(&[&sync, &load]);
            // Other data, some of it under the same names, and natives beside.
            for round in 2..5 {
                write_some(&mut of_replica, round);
            }
            expect(&mut of_replica, "PM.SET only-here v", "OK");
            follow(&mut of_replica, &master);
            wait_in_sync(&mut of_master, &mut of_replica);
            assert_same(&mut of_master, &mut of_replica);
            write_some(&mut of_master, 5);
            wait_in_sync(&mut of_master, &mut of_replica);
            assert_same(&mut of_master, &mut of_replica);
            assert_eq!(info(&mut of_master, "sync_full"), "1", "{sync}, {load}");

            // What it got is in its own pool.
            let before = ask(&mut of_replica, "PM.DBSIZE");
            replica.kill9();
            replica.restart().unwrap();
            let mut of_replica = replica.client();
            expect(&mut of_replica, "PM.DBSIZE", &before);
            expect(&mut of_replica, "PM.EXISTS only-here", "0");
        }
    }
}

#[test]
fn a_broken_link_is_mended_by_the_missing_commands_only() {
    let (_master, mut of_master, _replica, mut of_replica) = pair(&[]);
    for round in 2..6 {
        expect(&mut of_replica, "CLIENT KILL TYPE master", "1");
        write_some(&mut of_master, round);
        wait_in_sync(&mut of_master, &mut of_replica);
        assert_same(&mut of_master, &mut of_replica);
    }
    assert_eq!(info(&mut of_master, "sync_full"), "1");
    assert_eq!(info(&mut of_master, "sync_partial_ok"), "4");
}

#[test]
fn a_chain_passes_writes_on_and_heals_when_its_middle_dies() {
    let (_master, mut of_master, mut middle, mut of_middle) = pair(&[]);
    let (_last, mut of_last) = start(&[]);
    follow(&mut of_last, &middle);
    wait_in_sync(&mut of_middle, &mut of_last);
    assert_same(&mut of_master, &mut of_last);
    write_some(&mut of_master, 2);
    wait_in_sync(&mut of_master, &mut of_middle);
    wait_in_sync(&mut of_middle, &mut of_last);
    assert_same(&mut of_master, &mut of_last);

    let master = of_master_port(&mut of_middle);
    middle.kill9();
    write_some(&mut of_master, 3);
    middle.restart().unwrap();
    let mut of_middle = middle.client();
    expect(
        &mut of_middle,
        &format!("REPLICAOF 127.0.0.1 {master}"),
        "OK",
    );
    write_some(&mut of_master, 4);
    wait_in_sync(&mut of_master, &mut of_middle);
    wait_in_sync(&mut of_middle, &mut of_last);
    assert_same(&mut of_master, &mut of_middle);
    assert_same(&mut of_master, &mut of_last);
}

fn of_master_port(client: &mut Client) -> String {
    info(client, "master_port")
}

#[test]
fn a_promoted_replica_goes_on_and_the_others_follow_it_without_a_full_sync() {
    let (mut master, mut of_master, second, mut of_second) = pair(&[]);
    let (_third, mut of_third) = start(&[]);
    follow(&mut of_third, &master);
    wait_in_sync(&mut of_master, &mut of_third);
    write_some(&mut of_master, 2);
    expect(&mut of_master, "PM.INCR acknowledged", "1");
    expect(&mut of_master, "WAIT 2 0", "2");
    master.kill9();

    expect(&mut of_second, "REPLICAOF NO ONE", "OK");
    follow(&mut of_third, &second);
    write_some(&mut of_second, 3);
    wait_in_sync(&mut of_second, &mut of_third);
    assert_same(&mut of_second, &mut of_third);
    expect(&mut of_second, "PM.GET acknowledged", "1");
    assert_eq!(info(&mut of_second, "sync_full"), "0");
    assert_eq!(info(&mut of_second, "sync_partial_ok"), "1");

    // The old master comes back as a replica.
    master.restart().unwrap();
    let mut of_master = master.client();
    expect(&mut of_master, "PM.GET acknowledged", "1");
    follow(&mut of_master, &second);
    wait_in_sync(&mut of_second, &mut of_master);
    assert_same(&mut of_second, &mut of_master);
}

#[test]
fn failover_hands_over_without_losing_a_write() {
    let (master, mut of_master, replica, mut of_replica) = pair(&[]);
    let port = replica.address().port();
    write_some(&mut of_master, 2);
    wait_for("the master knows that the replica is online", || {
        info(&mut of_master, "slave0").contains("state=online")
    });
    expect(
        &mut of_master,
        &format!("FAILOVER TO 127.0.0.1 {port} TIMEOUT 300000"),
        "OK",
    );
    wait_for("the replica is the master", || {
        info(&mut of_replica, "role") == "master" && info(&mut of_master, "role") == "slave"
    });
    write_some(&mut of_replica, 3);
    wait_in_sync(&mut of_replica, &mut of_master);
    assert_same(&mut of_replica, &mut of_master);
    drop(master);
}

#[test]
fn a_replica_refuses_writes_unless_it_is_told_to_take_them() {
    let (_master, mut of_master, _replica, mut of_replica) = pair(&[]);
    let refused = "(error) READONLY You can't write against a read only replica.";
    let before = digest(&mut of_replica);
    for write in [
        "PM.SET n 1",
        "PM.INCR n",
        "PM.LPUSH l x",
        "PM.SPOP s",
        "PM.HDEL h f",
        "PM.ZADD z 1 x",
        "PM.GETDEL n",
        "PM.GETEX n PERSIST",
        "PM.EXPIRE n 1",
        "PM.DEL n",
        "PM.RENAME n m",
        "PM.COPY n m",
        "PM.FLUSHALL",
        "PM.BLPOP absent 0",
    ] {
        expect(&mut of_replica, write, refused);
    }
    assert_eq!(digest(&mut of_replica), before);
    assert_same(&mut of_master, &mut of_replica);
    expect(&mut of_replica, "CONFIG SET replica-read-only no", "OK");
    expect(&mut of_replica, "PM.SET own v", "OK");
    expect(&mut of_replica, "PM.GET own", "v");
    expect(&mut of_master, "PM.EXISTS own", "0");
}

#[test]
fn keys_expire_on_a_replica_when_the_master_says_so() {
    let (_master, mut of_master, _replica, mut of_replica) = pair(&[]);
    expect(&mut of_master, "FLUSHALL", "OK");
    expect(&mut of_master, "DEBUG SET-ACTIVE-EXPIRE 0", "OK");
    expect(&mut of_master, "PM.SET k v PX 1", "OK");
    wait_in_sync(&mut of_master, &mut of_replica);
    wait_for("the key is expired", || {
        ask(&mut of_replica, "PM.GET k") == "nil"
    });
    // Nobody reads it any more, but it is there until the master deletes it.
    expect(&mut of_replica, "DBSIZE", "1");
    expect(&mut of_replica, "PM.DBSIZE", "1");
    // By the time of the cycle in which it came, it may live for a moment still.
    wait_for("the master finds it expired", || {
        ask(&mut of_master, "PM.GET k") == "nil"
    });
    wait_for("the replica has deleted the key", || {
        ask(&mut of_replica, "DBSIZE") == "0" && ask(&mut of_replica, "PM.DBSIZE") == "0"
    });
    assert_same(&mut of_master, &mut of_replica);
}

#[test]
fn what_a_master_evicts_and_flushes_stays_equal() {
    let (_master, mut of_master, _replica, mut of_replica) = pair(&[]);
    for command in [
        "SWAPDB 0 3",
        "PM.FLUSHDB",
        "SELECT 3",
        "MOVE n 5",
        "SELECT 0",
    ] {
        let reply = ask(&mut of_master, command);
        assert!(!reply.starts_with("(error)"), "{command}: {reply}");
        wait_in_sync(&mut of_master, &mut of_replica);
        assert_same(&mut of_master, &mut of_replica);
    }
    write_some(&mut of_master, 2);
    wait_in_sync(&mut of_master, &mut of_replica);
    // A replica evicts what its master does, and nothing by itself.
    let keys = |client: &mut Client| info(client, "db0");
    for client in [&mut of_replica, &mut of_master] {
        let before = keys(client);
        assert!(!before.is_empty(), "nothing to evict");
        expect(client, "CONFIG SET maxmemory-policy allkeys-random", "OK");
        expect(client, "CONFIG SET maxmemory 1", "OK");
        let is_replica = info(client, "role") == "slave";
        wait_for("the master evicts", || is_replica || keys(client) != before);
        expect(client, "CONFIG SET maxmemory 0", "OK");
        assert_eq!(info(client, "evicted_keys") == "0", is_replica);
    }
    wait_in_sync(&mut of_master, &mut of_replica);
    assert_same(&mut of_master, &mut of_replica);
    write_some(&mut of_master, 2);
    expect(&mut of_master, "FLUSHALL", "OK");
    write_some(&mut of_master, 3);
    wait_in_sync(&mut of_master, &mut of_replica);
    assert_same(&mut of_master, &mut of_replica);
}
