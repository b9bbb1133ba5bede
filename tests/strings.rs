//! What the differential tests do not see of the String type: what is there after a restart.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use testkit::client::Client;
use testkit::packaged::Packaged;
use testkit::resp::Value;
use testkit::server::{Server, Setup};

fn start() -> (Server, Client) {
    let server = Setup::pmedis("256m").start().unwrap();
    let client = server.client();
    (server, client)
}

/// Kills the server, starts it again, and connects.
fn crash(server: &mut Server) -> Client {
    server.kill9();
    server.restart().unwrap();
    server.client()
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.into())
}

#[track_caller]
fn expect(client: &mut Client, command: &str, expected: Value) {
    let words: Vec<&str> = command.split(' ').collect();
    assert_eq!(client.call(&words), expected, "{command}");
}

#[track_caller]
fn ok(client: &mut Client, command: &str) {
    expect(client, command, Value::Simple("OK".into()));
}

#[test]
fn the_first_transcript_works() {
    let (mut server, mut client) = start();
    ok(&mut client, "PM.SET pmedis success");
    expect(&mut client, "PM.GET pmedis", bulk("success"));
    expect(
        &mut client,
        "TYPE pmedis",
        Value::Simple("pm-string".into()),
    );
    let mut client = crash(&mut server);
    expect(&mut client, "PM.GET pmedis", bulk("success"));
    assert!(server.stop().success());
    server.restart().unwrap();
    expect(&mut server.client(), "PM.GET pmedis", bulk("success"));
}

#[test]
fn deletions_are_durable() {
    let (mut server, mut client) = start();
    let deletions = [
        ("DEL a", Value::Integer(1)),
        ("UNLINK a", Value::Integer(1)),
        ("PM.GETDEL a", bulk("1")),
        ("PEXPIREAT a 1", Value::Integer(1)),
        ("PM.GETEX a PXAT 1", bulk("1")),
        ("SET a native", Value::Simple("OK".into())),
        ("FLUSHDB", Value::Simple("OK".into())),
        ("FLUSHDB ASYNC", Value::Simple("OK".into())),
        ("FLUSHALL SYNC", Value::Simple("OK".into())),
        ("FLUSHALL ASYNC", Value::Simple("OK".into())),
    ];
    for (deletion, reply) in deletions {
        ok(&mut client, "PM.MSET a 1 b 2");
        ok(&mut client, "SELECT 3");
        ok(&mut client, "PM.SET a other");
        ok(&mut client, "SELECT 0");
        expect(&mut client, deletion, reply);
        client = crash(&mut server);
        let b = if deletion.starts_with("FLUSH") {
            Value::NullBulk
        } else {
            bulk("2")
        };
        expect(
            &mut client,
            "PM.MGET a b",
            Value::Array(vec![Value::NullBulk, b]),
        );
        ok(&mut client, "SELECT 3");
        let other = if deletion.starts_with("FLUSHALL") {
            Value::NullBulk
        } else {
            bulk("other")
        };
        expect(&mut client, "PM.GET a", other);
        ok(&mut client, "SELECT 0");
        // The space is usable: the key can be made again.
        ok(&mut client, "PM.SET a again");
        client = crash(&mut server);
        expect(&mut client, "PM.GET a", bulk("again"));
        ok(&mut client, "FLUSHALL");
    }
}

#[test]
fn expiry_times_are_durable() {
    let (mut server, mut client) = start();
    let time = Value::Integer(4_102_444_800_123);
    for (command, reply) in [
        (
            "PM.SET set v PXAT 4102444800123",
            Value::Simple("OK".into()),
        ),
        ("PEXPIREAT pexpireat 4102444800123", Value::Integer(1)),
        ("PM.GETEX getex PXAT 4102444800123", bulk("v")),
        ("PERSIST persist", Value::Integer(1)),
        ("PM.GETEX getex-persist PERSIST", bulk("v")),
        ("PM.SET keepttl w KEEPTTL", Value::Simple("OK".into())),
        ("PM.APPEND append w", Value::Integer(2)),
        ("PM.SET plain w", Value::Simple("OK".into())),
    ] {
        let key = command.split(' ').nth(1).unwrap();
        let before = match key {
            "set" | "pexpireat" | "getex" => format!("PM.SET {key} v"),
            _ => format!("PM.SET {key} v PXAT 4102444800123"),
        };
        ok(&mut client, &before);
        expect(&mut client, command, reply);
    }
    let mut client = crash(&mut server);
    for key in ["set", "pexpireat", "getex", "keepttl", "append"] {
        expect(&mut client, &format!("PEXPIRETIME {key}"), time.clone());
    }
    for key in ["persist", "getex-persist", "plain"] {
        expect(
            &mut client,
            &format!("PEXPIRETIME {key}"),
            Value::Integer(-1),
        );
    }
}

#[test]
fn what_expires_stays_gone() {
    let (mut server, mut client) = start();
    // Until none has expired before all are written, on a machine however busy.
    let soon = (0..10)
        .find_map(|doublings| {
            expect(&mut client, "FLUSHALL", Value::Simple("OK".into()));
            let soon = SystemTime::now() + Duration::from_millis(500 << doublings);
            let at = soon.duration_since(UNIX_EPOCH).unwrap().as_millis();
            for n in 0..100 {
                ok(&mut client, &format!("PM.SET short:{n} v PXAT {at}"));
            }
            ok(&mut client, "PM.SET long v PX 10000000");
            (client.call(&["DBSIZE"]) == Value::Integer(101)).then_some(soon)
        })
        .expect("101 keys are written in four minutes");
    // They expire while the server is down.
    server.kill9();
    thread::sleep(soon.duration_since(SystemTime::now()).unwrap_or_default());
    server.restart().unwrap();
    let mut client = server.client();
    for n in 0..50 {
        expect(&mut client, &format!("PM.GET short:{n}"), Value::NullBulk);
    }
    let mut client = crash(&mut server);
    expect(
        &mut client,
        "EXISTS short:0 short:99 long",
        Value::Integer(1),
    );
    expect(&mut client, "PM.GET long", bulk("v"));
}

#[test]
fn large_values_come_back() {
    let (mut server, mut client) = start();
    let sizes = [32 << 10, (32 << 10) + 1, 65_536, 1 << 20, 64 << 20];
    let value = |len: usize| -> Vec<u8> { (0..len).map(|i| (i % 251) as u8).collect() };
    for len in sizes {
        let reply = client.call(&[b"PM.SET".to_vec(), len.to_string().into_bytes(), value(len)]);
        assert_eq!(reply, Value::Simple("OK".into()), "{len}");
    }
    let mut client = crash(&mut server);
    for len in sizes {
        assert_eq!(
            client.call(&["PM.GET", &len.to_string()]),
            Value::Bulk(value(len))
        );
    }
}

#[test]
fn the_limit_of_a_value_is_redis_own() {
    let (_server, mut client) = start();
    let too_long = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    let error = || Value::Error(too_long.into());
    expect(&mut client, "PM.SETRANGE k 536870912 x", error());
    ok(&mut client, "CONFIG SET proto-max-bulk-len 2mb");
    expect(&mut client, "PM.SETRANGE k 2097152 x", error());
    expect(
        &mut client,
        "PM.SETRANGE k 2097151 x",
        Value::Integer(2_097_152),
    );
    expect(&mut client, "PM.APPEND k x", error());
    expect(&mut client, "PM.STRLEN k", Value::Integer(2_097_152));
}

#[test]
fn every_database_comes_back() {
    let (mut server, mut client) = start();
    for db in 0..16 {
        ok(&mut client, &format!("SELECT {db}"));
        ok(&mut client, &format!("PM.SET db {db}"));
    }
    let mut client = crash(&mut server);
    for db in 0..16 {
        ok(&mut client, &format!("SELECT {db}"));
        expect(&mut client, "PM.GET db", bulk(&db.to_string()));
        expect(&mut client, "DBSIZE", Value::Integer(1));
    }
}

#[test]
fn what_is_imported_from_another_server_keeps_times_that_are_over() {
    for name in ["valkey-8.1", "valkey-9.1"] {
        let packaged = Packaged::named(name);
        let setup = Setup::pmedis("64m").on(&packaged);
        let server = setup.directive("import-mode yes").start().unwrap();
        let play = |prefix: &str| -> Vec<Value> {
            let mut client = server.client();
            ok(&mut client, "CLIENT IMPORT-SOURCE ON");
            let commands = [
                "SET k v PXAT 1",
                "EXISTS k",
                "GET k",
                "SET k w EXAT 1",
                "GET k",
                "GETEX k PXAT 1",
                "EXISTS k",
                "SET k v",
                "EXPIRE k -1",
                "EXISTS k",
                "DEL k",
            ];
            let call = |command: &str| {
                let words: Vec<&str> = command.split(' ').collect();
                let name = format!("{prefix}{}", words[0]);
                client.call(&[&[name.as_str()], &words[1..]].concat())
            };
            commands.into_iter().map(call).collect()
        };
        let native = play("");
        assert_eq!(native[1], Value::Integer(1), "{name}");
        assert_eq!(play("PM."), native, "{name}");
        // It can be switched off again.
        let mut client = server.client();
        ok(&mut client, "CONFIG SET import-mode no");
        ok(&mut client, "PM.SET k v PXAT 1");
        expect(&mut client, "PM.EXISTS k", Value::Integer(0));
    }
}
