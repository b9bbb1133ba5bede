//! MIGRATE of PM keys to a server without the module.

use testkit::client::Client;
use testkit::ports::kept_port;
use testkit::script::{ask, crash, expect, run};
use testkit::server::{Server, Setup};

const BUSY: &str =
    "(error) ERR Target instance replied with error: BUSYKEY Target key name already exists.";

/// `MIGRATE 127.0.0.1 port` with the rest.
fn migrate(client: &mut Client, name: &str, to: &Server, rest: &[&str]) -> String {
    let port = to.address().port().to_string();
    let words = [&[name, "127.0.0.1", &port], rest].concat();
    testkit::script::words(&client.call(&words))
}

#[test]
fn keys_go_to_a_server_without_the_module_where_files_need_none() {
    for unprefixed in [&[][..], &["unprefixed", "yes"]] {
        let setup = Setup::pmedis_with("64m", &[&["rdb", "native"], unprefixed].concat());
        let mut server = setup.start().unwrap();
        let mut client = server.client();
        let plain = Setup::native().start().unwrap();
        let mut there = plain.client();
        run(
            &mut client,
            "PM.RPUSH l a b c
            PM.HSET h f v
            PM.SET s v PXAT 4102444800000
            PM.ZADD z 1.5 a
            PM.SADD u a
            PM.SET stays v
            XADD native 1-1 f v",
        );
        let mut go = |rest: &[&str]| migrate(&mut client, "MIGRATE", &plain, rest);
        assert_eq!(go(&["l", "0", "60000"]), "OK");
        let several = [
            "", "3", "60000", "KEYS", "h", "absent", "native", "s", "z", "u",
        ];
        assert_eq!(go(&several), "OK");
        assert_eq!(go(&["absent", "0", "60000"]), "NOKEY");
        assert_eq!(go(&["stays", "0", "60000", "COPY"]), "OK");
        assert_eq!(go(&["stays", "0", "60000"]), BUSY);
        assert_eq!(go(&["stays", "0", "60000", "COPY", "REPLACE"]), "OK");
        assert_eq!(
            go(&["stays", "0", "60000", "SIDEWAYS"]),
            "(error) ERR syntax error"
        );
        let both = "(error) ERR When using MIGRATE KEYS option, the key argument must be set to the empty string";
        assert_eq!(go(&["stays", "0", "60000", "KEYS", "a"]), both);
        let no_integer = "(error) ERR value is not an integer or out of range";
        assert_eq!(go(&["stays", "0", "soon"]), no_integer);
        let nowhere = format!("MIGRATE 127.0.0.1 {} stays 0 60000", kept_port().unwrap());
        let unheard = "(error) IOERR error or timeout connecting to the client";
        expect(&mut client, &nowhere, unheard);
        let port = plain.address().port();
        run(
            &mut client,
            &format!(
                "PM.SET queued v -> OK
                MULTI -> OK
                MIGRATE 127.0.0.1 {port} queued 0 60000 -> QUEUED
                EXEC -> [OK]
                KEYS * -> [stays]"
            ),
        );
        run(
            &mut there,
            "LRANGE l 0 -1 -> [a b c]
            GET stays -> v
            GET queued -> v
            SELECT 3 -> OK
            DBSIZE -> 5
            HGETALL h -> [f v]
            ZRANGE z 0 -1 WITHSCORES -> [a 1.5]
            SMEMBERS u -> [a]
            XLEN native -> 1",
        );
        // What is left of the time goes with the key, so it comes later by the way there.
        let at: u64 = ask(&mut there, "PEXPIRETIME s").parse().expect("a time");
        assert!((4_102_444_800_000..4_102_444_900_000).contains(&at), "{at}");
        let mut client = crash(&mut server);
        run(&mut client, "KEYS * -> [stays]\nPM.DBSIZE -> 1");
    }
}

#[test]
fn one_word_has_it_done_whatever_files_need() {
    let setup = Setup::pmedis("64m")
        .directive("appendonly yes")
        .directive("appendfsync always");
    let mut server = setup.start().unwrap();
    let mut client = server.client();
    let plain = Setup::native().start().unwrap();
    let mut there = plain.client();
    expect(&mut there, "CONFIG SET requirepass secret", "OK");
    run(
        &mut client,
        "PM.SET s v -> OK\nSET native v -> OK\nPM.SET t v -> OK",
    );
    let mut go = |rest: &[&str]| migrate(&mut client, "PM.MIGRATE", &plain, rest);
    let closed = go(&["s", "0", "60000", "NATIVE"]);
    assert!(
        closed.starts_with("(error) ERR Target instance replied with error: NOAUTH"),
        "{closed}"
    );
    let wrong = go(&["s", "0", "60000", "NATIVE", "AUTH", "public"]);
    assert!(wrong.contains("WRONGPASS"), "{wrong}");
    assert_eq!(
        go(&["s", "0", "60000", "NATIVE", "AUTH2", "default"]),
        "(error) ERR syntax error"
    );
    let of_module = go(&["s", "0", "60000", "AUTH", "secret"]);
    assert!(of_module.contains("Bad data format"), "{of_module}");
    let words = [
        "", "0", "60000", "AUTH2", "default", "secret", "NATIVE", "KEYS", "s", "native",
    ];
    assert_eq!(go(&words), "OK");
    run(&mut there, "GET s -> v\nGET native -> v\nEXISTS t -> 0");
    let mut client = crash(&mut server);
    assert_eq!(
        ask(&mut client, "KEYS *"),
        "[t]",
        "neither the pool nor the AOF has them"
    );
}
