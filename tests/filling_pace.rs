//! While the keyspace is being filled: its pace can be set at run time, and replicas of every user
//! wait for it.

use testkit::client::Client;
use testkit::replication::{info, wait_for};
use testkit::script::{ask, crash, expect, pm_info};
use testkit::server::{Server, Setup};

const KEYS: u64 = 20_000;

/// A server that has restarted with so many keys, of which none is shown by itself.
fn unfilled() -> (Server, Client) {
    let setup = Setup::pmedis_with("64m", &["fill", "0"]);
    let setup = setup.directive("repl-diskless-sync-delay 0");
    let mut server = setup.start().unwrap();
    let commands: Vec<Vec<String>> = (0..KEYS)
        .map(|n| vec!["PM.SET".into(), format!("key:{n}"), n.to_string()])
        .collect();
    for chunk in commands.chunks(1000) {
        for reply in server.client().pipeline(chunk).unwrap() {
            assert!(!reply.is_error(), "{reply:?}");
        }
    }
    let client = crash(&mut server);
    (server, client)
}

fn to_come(client: &mut Client) -> u64 {
    pm_info(client, "filling", "keys_to_come")
}

/// Waits until the server's clock, by which it runs its timers, has gone on by a second.
fn a_second_goes_by(client: &mut Client) {
    let seconds = |client: &mut Client| info(client, "uptime_in_seconds").parse::<u64>().unwrap();
    let begun = seconds(client);
    wait_for("a second goes by", || seconds(client) > begun + 1);
}

#[test]
fn the_pace_of_a_filling_can_be_set_while_it_is_under_way() {
    let (_server, mut client) = unfilled();
    assert_eq!(to_come(&mut client), KEYS);
    expect(&mut client, "CONFIG SET pmedis.fill 50", "OK");
    wait_for("some keys are shown", || to_come(&mut client) < KEYS);
    // Not those that were not shown in the time before.
    assert!(to_come(&mut client) > KEYS / 2);

    expect(&mut client, "CONFIG SET pmedis.fill 0", "OK");
    let left = to_come(&mut client);
    a_second_goes_by(&mut client);
    assert_eq!(to_come(&mut client), left);

    expect(&mut client, "CONFIG SET pmedis.fill 60", "OK");
    wait_for("more keys are shown", || to_come(&mut client) < left);
    let left = to_come(&mut client);
    assert!(left > KEYS / 4, "{left}");
    // To none, and back at once.
    let limits = ["", "0", "70", "", "80", "0"];
    let lines = limits.map(|limit| vec!["CONFIG", "SET", "pmedis.fill", limit]);
    for reply in client.pipeline(&lines).unwrap() {
        assert!(!reply.is_error(), "{reply:?}");
    }
    let left = to_come(&mut client);
    a_second_goes_by(&mut client);
    assert_eq!(to_come(&mut client), left);
    assert!(left > 0);
    let reply = client.call(&["CONFIG", "SET", "pmedis.fill", ""]);
    assert!(!reply.is_error(), "{reply:?}");
    wait_for("all keys are shown", || {
        ask(&mut client, "PM.READY") == "OK"
    });
    expect(&mut client, "DBSIZE", &KEYS.to_string());
}

#[test]
fn a_high_limit_fills_what_none_was_to_fill() {
    let (_server, mut client) = unfilled();
    expect(&mut client, "CONFIG SET pmedis.fill 2000000", "OK");
    wait_for("all keys are shown", || {
        ask(&mut client, "PM.READY") == "OK"
    });
    expect(&mut client, "DBSIZE", &KEYS.to_string());
}

#[test]
fn a_replica_whose_user_may_do_nothing_else_is_put_off_as_others_are() {
    let (master, mut client) = unfilled();
    let rules = "ACL SETUSER repl on >p +psync +replconf +ping";
    expect(&mut client, rules, "OK");
    let replica = Setup::pmedis("64m")
        .directive("masteruser repl")
        .directive("masterauth p")
        .directive(&format!("replicaof 127.0.0.1 {}", master.address().port()));
    let replica = replica.start().unwrap();
    let mut replica_client = replica.client();
    let put_off = |log: &str| log.matches("currently unable to PSYNC").count();
    wait_for("the replica was put off twice", || {
        put_off(&replica.log()) > 1
    });
    let log = replica.log();
    assert!(!log.contains("NOPERM"), "{log}");
    // It comes again when the server says so, not at once.
    let tries = log.matches("fired the event").count();
    assert!(tries <= put_off(&log) + 1, "{tries} connections: {log}");
    assert_eq!(to_come(&mut client), KEYS);
    expect(&mut client, "ACL LOG", "[]");
    expect(&mut client, "DBSIZE", &KEYS.to_string());
    wait_for("the replica follows", || {
        info(&mut replica_client, "master_link_status") == "up"
    });
    expect(&mut replica_client, "PM.DBSIZE", &KEYS.to_string());
}

#[test]
fn whether_all_keys_are_there_is_told_to_everyone() {
    let (server, mut client) = unfilled();
    expect(&mut client, "CONFIG SET requirepass p", "OK");
    let loading = "(error) LOADING the pool's keys are not in the keyspace yet";
    let mut stranger = server.client();
    expect(&mut stranger, "PM.READY", loading);
    expect(&mut client, "DBSIZE", &KEYS.to_string());
    expect(&mut stranger, "PM.READY", "OK");
    assert!(ask(&mut stranger, "PM.INFO").contains("NOAUTH"));
}
