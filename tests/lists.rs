//! What the differential tests do not see of the List type: long lists, large elements, and what is
//! there after a crash.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use testkit::client::Client;
use testkit::processor::processor_time;
use testkit::replication::wait_for;
use testkit::resp::Value;
use testkit::server::{Server, Setup};

fn start() -> (Server, Client) {
    let server = Setup::pmedis("512m").start().unwrap();
    let client = server.client();
    (server, client)
}

/// Kills the server, starts it again, and connects.
fn crash(server: &mut Server) -> Client {
    server.kill9();
    server.restart().unwrap();
    server.client()
}

fn call(client: &mut Client, command: &str) -> Value {
    client.call(&command.split(' ').collect::<Vec<_>>())
}

#[track_caller]
fn expect(client: &mut Client, command: &str, expected: Value) {
    assert_eq!(call(client, command), expected, "{command}");
}

fn bulks<'a>(elements: impl IntoIterator<Item = &'a str>) -> Value {
    let bulk = |element: &str| Value::Bulk(element.into());
    Value::Array(elements.into_iter().map(bulk).collect())
}

/// Pushes so many numbered elements of 16 bytes.
fn fill(client: &mut Client, key: &str, count: usize) {
    let elements: Vec<String> = (0..count).map(|i| format!("{i:016}")).collect();
    for part in elements.chunks(10_000) {
        let mut words = vec!["PM.RPUSH", key];
        words.extend(part.iter().map(String::as_str));
        assert!(client.call(&words).integer().is_some());
    }
}

#[test]
fn a_long_list_is_found_by_index_trimmed_and_there_after_a_crash() {
    let (mut server, mut client) = start();
    fill(&mut client, "k", 300_000);
    expect(&mut client, "PM.LLEN k", Value::Integer(300_000));
    expect(
        &mut client,
        "PM.LINDEX k 150000",
        Value::Bulk("0000000000150000".into()),
    );
    expect(
        &mut client,
        "PM.LSET k 150000 other",
        Value::Simple("OK".into()),
    );
    expect(
        &mut client,
        "PM.LINSERT k AFTER other next",
        Value::Integer(300_001),
    );
    let mut client = crash(&mut server);
    expect(
        &mut client,
        "PM.LRANGE k 149999 150002",
        bulks(["0000000000149999", "other", "next", "0000000000150001"]),
    );
    let usec = processor_time(&mut client, |client| {
        expect(
            client,
            "PM.LTRIM k 149999 150002",
            Value::Simple("OK".into()),
        );
    });
    // It does not visit what goes.
    assert!(usec < 10_000, "{usec} us of the server");
    let mut client = crash(&mut server);
    expect(
        &mut client,
        "PM.LRANGE k 0 -1",
        bulks(["0000000000149999", "other", "next", "0000000000150001"]),
    );
    expect(&mut client, "PM.LREM k 0 other", Value::Integer(1));
    expect(
        &mut client,
        "PM.RPOP k 5",
        bulks(["0000000000150001", "next", "0000000000149999"]),
    );
    expect(&mut client, "EXISTS k", Value::Integer(0));
}

#[test]
fn an_element_may_be_large() {
    let (mut server, mut client) = start();
    let large = vec![b'x'; 40 << 20];
    let commands: [&[&[u8]]; 3] = [
        &[b"PM.RPUSH", b"k", b"small", &large, b"last"],
        &[b"PM.LMOVE", b"k", b"j", b"LEFT", b"LEFT"],
        &[b"PM.LMOVE", b"k", b"j", b"LEFT", b"RIGHT"],
    ];
    for command in commands {
        assert!(!client.call(command).is_error());
    }
    let mut client = crash(&mut server);
    assert_eq!(call(&mut client, "PM.LINDEX j -1").bytes().unwrap(), large);
    expect(&mut client, "PM.LLEN j", Value::Integer(2));
    assert_eq!(call(&mut client, "PM.RPOP j").bytes().unwrap(), large);
    let mut client = crash(&mut server);
    expect(&mut client, "PM.LRANGE j 0 -1", bulks(["small"]));
    expect(&mut client, "PM.LRANGE k 0 -1", bulks(["last"]));
}

#[test]
fn a_transaction_is_there_whole_or_not_at_all() {
    let (mut server, mut client) = start();
    call(&mut client, "PM.RPUSH a 1 2 3");
    for command in [
        "MULTI",
        "PM.RPOPLPUSH a b",
        "PM.RPUSH a 4 5",
        "PM.LPOP a",
        "PM.LMOVE a a LEFT RIGHT",
    ] {
        assert!(!call(&mut client, command).is_error(), "{command}");
    }
    assert!(!call(&mut client, "EXEC").is_error());
    let mut client = crash(&mut server);
    expect(&mut client, "PM.LRANGE a 0 -1", bulks(["4", "5", "2"]));
    expect(&mut client, "PM.LRANGE b 0 -1", bulks(["3"]));
}

#[test]
fn a_kill_during_moves_leaves_each_element_once() {
    let (mut server, mut client) = start();
    const COUNT: usize = 2000;
    fill(&mut client, "a", COUNT);
    for round in 0..5 {
        let mut mover = server.client();
        let moves_made = Arc::new(AtomicUsize::new(0));
        let made = moves_made.clone();
        let worker = thread::spawn(move || {
            let moves = [
                "PM.LMOVE a b LEFT RIGHT",
                "PM.RPOPLPUSH a b",
                "PM.LMOVE b a RIGHT LEFT",
                "PM.LMOVE b b LEFT RIGHT",
            ];
            // Until the server is gone.
            for turn in 0.. {
                made.store(turn, Ordering::Relaxed);
                let words: Vec<&str> = moves[turn % moves.len()].split(' ').collect();
                if mover.try_call(&words).is_err() {
                    return turn;
                }
            }
            0
        });
        wait_for("moves are made", || moves_made.load(Ordering::Relaxed) > 10);
        thread::sleep(Duration::from_millis(37 * round));
        client = crash(&mut server);
        assert!(worker.join().unwrap() > 10, "moves were made");
        let mut all = Vec::new();
        for key in ["a", "b"] {
            let Value::Array(elements) = client.call(&["PM.LRANGE", key, "0", "-1"]) else {
                panic!("an array")
            };
            all.extend(
                elements
                    .iter()
                    .map(|element| element.bytes().unwrap().to_vec()),
            );
        }
        all.sort();
        let expected: Vec<_> = (0..COUNT)
            .map(|i| format!("{i:016}").into_bytes())
            .collect();
        assert_eq!(all, expected, "round {round}");
    }
}

#[test]
fn lpos_from_the_least_rank_is_the_native_one() {
    let (_server, mut client) = start();
    for options in ["", "COUNT 0", "COUNT 2", "COUNT 1 MAXLEN 4", "MAXLEN 3"] {
        let [native, pm] = [("", "native"), ("PM.", "pm")].map(|(prefix, key)| {
            call(
                &mut client,
                &format!("{prefix}RPUSH {key} a b a c a d a a a b"),
            );
            let command = format!("{prefix}LPOS {key} a RANK {} {options}", i64::MIN);
            let reply = call(&mut client, command.trim_end());
            call(&mut client, &format!("{prefix}DEL {key}"));
            reply
        });
        assert_eq!(pm, native, "{options}");
    }
}
