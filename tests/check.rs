//! PM.CHECK of all keys, while clients are served.

use testkit::client::Client;
use testkit::replication::{info, wait_for};
use testkit::script::{ask, expect, run, words};
use testkit::server::{Server, Setup};

const KEYS: usize = 60_000;

/// A server with `KEYS` strings: enough for a look at all of them to take many slices.
fn start() -> (Server, Client) {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    let names = (0..KEYS).map(|n| format!("key:{n}"));
    let command: Vec<String> = ["PM.MSET".into()]
        .into_iter()
        .chain(names.flat_map(|name| [name, "v".into()]))
        .collect();
    assert_eq!(words(&client.call(&command)), "OK");
    (server, client)
}

/// Begins a look at all keys, and waits until it is under way.
fn begin(server: &Server, other: &mut Client, waiting: usize) -> Client {
    let mut client = server.client();
    client.queue(&["PM.CHECK"]);
    client.send().unwrap();
    wait_for("the client waits", || {
        info(other, "blocked_clients") == waiting.to_string()
    });
    client
}

fn sound(reply: &str) -> usize {
    let words: Vec<&str> = reply.split(' ').collect();
    assert_eq!(
        (words[0], words[2], words[3], words[4]),
        ("[sound", "damaged", "0", "names"),
        "{reply}"
    );
    words[1].parse().unwrap()
}

#[test]
fn others_are_served_meanwhile() {
    let (server, mut other) = start();
    let mut first = begin(&server, &mut other, 1);
    // Served while the first waits.
    expect(&mut other, "PM.SET new v", "OK");
    expect(&mut other, "DEL key:0 key:1", "2");
    let mut second = begin(&server, &mut other, 2);
    let found = sound(&words(&first.receive().unwrap()));
    // Whether those that went in between were met before is left open; the new one is not.
    assert!((KEYS - 2..=KEYS).contains(&found), "{found}");
    assert_eq!(sound(&words(&second.receive().unwrap())), KEYS - 1);
    expect(&mut other, "PING", "PONG");
    assert_eq!(info(&mut other, "blocked_clients"), "0");
}

#[test]
fn a_client_that_goes_ends_its_look() {
    let (server, mut other) = start();
    drop(begin(&server, &mut other, 1));
    wait_for("the server has noticed", || {
        info(&mut other, "blocked_clients") == "0"
    });
    let mut killed = server.client();
    let id = ask(&mut killed, "CLIENT ID");
    killed.queue(&["PM.CHECK"]);
    killed.send().unwrap();
    wait_for("it waits", || info(&mut other, "blocked_clients") == "1");
    expect(&mut other, &format!("CLIENT KILL ID {id}"), "1");
    assert!(killed.receive().is_err());
    assert_eq!(sound(&ask(&mut other, "PM.CHECK")), KEYS);
}

#[test]
fn a_flush_meanwhile_leaves_nothing_to_look_at() {
    let (server, mut other) = start();
    let mut client = begin(&server, &mut other, 1);
    expect(&mut other, "FLUSHALL", "OK");
    expect(&mut other, "PM.SET new v", "OK");
    assert!(sound(&words(&client.receive().unwrap())) <= KEYS);
    assert_eq!(sound(&ask(&mut other, "PM.CHECK")), 1);
}

#[test]
fn a_server_that_ends_does_not_wait_for_a_look() {
    let (mut server, mut other) = start();
    let _client = begin(&server, &mut other, 1);
    assert!(server.stop().success());
    server.restart().unwrap();
    assert_eq!(sound(&ask(&mut server.client(), "PM.CHECK")), KEYS);
}

#[test]
fn where_nobody_can_wait_the_answer_comes_at_once() {
    let (_server, mut client) = start();
    run(&mut client, "MULTI -> OK\nPM.CHECK -> QUEUED");
    let answer = ask(&mut client, "EXEC");
    assert_eq!(answer, format!("[[sound {KEYS} damaged 0 names []]]"));
    let script = client.call(&["EVAL", "return redis.call('PM.CHECK')[2]", "0"]);
    assert_eq!(words(&script), KEYS.to_string());
}
