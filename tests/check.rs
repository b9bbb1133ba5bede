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

/// Has the server, which stands still meanwhile, find requests of several clients, one behind the
/// other: all come before the first slice of a look that one of them begins.
fn at_once(server: &mut Server, requests: &mut [(&mut Client, &[&str])]) {
    // The kernel keeps, as the first of those that are ready, the last one that was served.
    for (client, _) in requests.iter_mut().rev() {
        expect(client, "PING", "PONG");
    }
    server.frozen(|| {
        for (client, commands) in requests {
            for command in *commands {
                client.queue(&command.split(' ').collect::<Vec<_>>());
            }
            client.send().unwrap();
        }
    });
}

/// How many clients wait, as the reply to INFO says.
fn waiting(client: &mut Client) -> String {
    let reply = client.receive().unwrap();
    let text = String::from_utf8_lossy(reply.bytes().expect("INFO's text")).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("blocked_clients:"));
    line.unwrap_or_default().to_owned()
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
    let (mut server, mut other) = start();
    let (mut first, mut second, mut last) = (server.client(), server.client(), server.client());
    at_once(
        &mut server,
        &mut [
            (&mut first, &["PM.CHECK"]),
            (
                &mut other,
                &["PM.SET new v", "DEL key:0 key:1", "INFO clients"],
            ),
            (&mut second, &["PM.CHECK"]),
            (&mut last, &["INFO clients"]),
        ],
    );
    // Served while the first waits.
    assert_eq!(words(&other.receive().unwrap()), "OK");
    assert_eq!(words(&other.receive().unwrap()), "2");
    assert_eq!(waiting(&mut other), "1");
    assert_eq!(waiting(&mut last), "2");
    let found = sound(&words(&first.receive().unwrap()));
    // Whether those that went in between were met before is left open; the new one is not.
    assert!((KEYS - 2..=KEYS).contains(&found), "{found}");
    assert_eq!(sound(&words(&second.receive().unwrap())), KEYS - 1);
    expect(&mut other, "PING", "PONG");
    assert_eq!(info(&mut other, "blocked_clients"), "0");
}

#[test]
fn a_client_that_goes_ends_its_look() {
    let (mut server, mut other) = start();
    let mut client = server.client();
    at_once(
        &mut server,
        &mut [
            (&mut client, &["PM.CHECK"]),
            (&mut other, &["INFO clients"]),
        ],
    );
    assert_eq!(waiting(&mut other), "1");
    drop(client);
    wait_for("the server has noticed", || {
        info(&mut other, "blocked_clients") == "0"
    });
    let mut killed = server.client();
    let id = ask(&mut killed, "CLIENT ID");
    let kill = format!("CLIENT KILL ID {id}");
    at_once(
        &mut server,
        &mut [
            (&mut killed, &["PM.CHECK"]),
            (&mut other, &["INFO clients", &kill]),
        ],
    );
    assert_eq!(waiting(&mut other), "1");
    assert_eq!(words(&other.receive().unwrap()), "1");
    assert!(killed.receive().is_err());
    assert_eq!(sound(&ask(&mut other, "PM.CHECK")), KEYS);
}

#[test]
fn a_flush_meanwhile_leaves_nothing_to_look_at() {
    let (mut server, mut other) = start();
    let mut client = server.client();
    at_once(
        &mut server,
        &mut [
            (&mut client, &["PM.CHECK"]),
            (&mut other, &["FLUSHALL", "PM.SET new v"]),
        ],
    );
    assert_eq!(words(&other.receive().unwrap()), "OK");
    assert_eq!(words(&other.receive().unwrap()), "OK");
    assert!(sound(&words(&client.receive().unwrap())) <= KEYS);
    assert_eq!(sound(&ask(&mut other, "PM.CHECK")), 1);
}

#[test]
fn a_server_that_ends_does_not_wait_for_a_look() {
    let (mut server, mut other) = start();
    let mut client = server.client();
    at_once(
        &mut server,
        &mut [(&mut client, &["PM.CHECK"]), (&mut other, &["SHUTDOWN"])],
    );
    assert!(server.wait_for_end().success());
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
