//! Deleting something huge: answered at once, and the space comes back in the background, also
//! after a crash in the middle.
//!
//! `PMEDIS_HUGE=n` makes structures of so many elements, and as many keys.

use testkit::client::Client;
use testkit::env_number;
use testkit::packaged::Packaged;
use testkit::processor::processor_time;
use testkit::replication::wait_for;
use testkit::script::{ask, crash, expect, run};
use testkit::server::{Server, Setup};

const HUGE: u64 = 200_000;
/// Microseconds of the server that a command may take however much it deletes: some 100 of them are
/// what it takes to ask for the time. A native set of as many elements takes 100 ms to free.
const AT_ONCE: u64 = 3000;
/// Microseconds of the server that may pass before a reply meanwhile, slices of what is reclaimed
/// in the background among them.
const STALL_MAX: u64 = 20_000;

/// The same for Redis from 8.2 on, whose own keys stall it as long after FLUSHDB ASYNC: up to 56 ms
/// with 200,000 strings.
const NEWER_STALL_MAX: u64 = 10 * STALL_MAX;

/// Records of 1000 bytes that a page of 64 KiB has, at most.
const RECORDS_OF_A_PAGE: usize = 64;

fn start(elements: u64) -> (Server, Client) {
    let megabytes = 64 + elements * 6 / 1000;
    let server = Setup::pmedis(&format!("{megabytes}m")).start().unwrap();
    let client = server.client();
    (server, client)
}

/// A number in PM.INFO or INFO.
#[track_caller]
fn figure(client: &mut Client, command: &str, name: &str) -> u64 {
    let info = ask(client, command);
    let field = info
        .split("\\r\\n")
        .find_map(|line| line.strip_prefix(name));
    let number = field.map(|rest| rest.split(',').next().unwrap().parse());
    number
        .unwrap_or_else(|| panic!("no {name} in {info}"))
        .expect("a number")
}

fn used(client: &mut Client) -> u64 {
    figure(client, "PM.INFO pool", "used:")
}

/// Makes a structure of so many elements.
fn grow(client: &mut Client, kind: &str, key: &str, elements: u64) {
    const BATCH: u64 = 1000;
    for start in (0..elements).step_by(BATCH as usize) {
        let mut words = vec![format!("PM.{kind}"), key.to_owned()];
        for n in start..start + BATCH {
            match kind {
                "HSET" => words.extend([format!("field:{n}"), format!("value:{n}")]),
                "ZADD" => words.extend([n.to_string(), format!("element:{n}")]),
                _ => words.push(format!("element:{n}")),
            }
        }
        let reply = client.call(&words);
        assert!(!reply.is_error(), "{reply:?}");
    }
}

/// Waits until no more than `left` bytes are in use, and sees to it that the server answers
/// meanwhile.
#[track_caller]
fn space_comes_back(client: &mut Client, left: u64) {
    let most = if Packaged::current().has(Some((8, 2)), None) {
        NEWER_STALL_MAX
    } else {
        STALL_MAX
    };
    wait_for(&format!("no more than {left} bytes are in use"), || {
        let mut in_use = 0;
        let usec = processor_time(client, |client| in_use = used(client));
        assert!(usec < most, "a reply took {usec} us of the server");
        in_use <= left
    });
}

#[test]
fn huge_structures_go_at_once() {
    let elements = env_number("PMEDIS_HUGE", HUGE);
    let (mut server, mut client) = start(elements);
    run(&mut client, "PM.SET stays v -> OK");
    let before = used(&mut client);
    for kind in ["RPUSH", "HSET", "SADD", "ZADD"] {
        for command in [
            "UNLINK huge",
            "DEL huge",
            "PM.UNLINK huge",
            "PEXPIRE huge -1",
            "PM.SET huge v",
        ] {
            grow(&mut client, kind, "huge", elements);
            let usec = processor_time(&mut client, |client| run(client, command));
            println!("{kind}: {command} took {usec} us");
            run(&mut client, "PM.DEL huge");
            if command.starts_with("UNLINK") {
                let mut again = crash(&mut server);
                run(&mut again, "EXISTS huge -> 0\nPM.DBSIZE -> 1");
                space_comes_back(&mut again, before);
                client = server.client();
            } else {
                space_comes_back(&mut client, before);
            }
            assert!(usec < AT_ONCE, "{kind}: {command} took {usec} us");
        }
    }
    expect(&mut client, "PM.GET stays", "v");
}

#[test]
fn many_keys_are_flushed_at_once() {
    let keys = env_number("PMEDIS_HUGE", HUGE);
    let (mut server, mut client) = start(keys);
    for (command, crashes) in [
        ("FLUSHALL ASYNC", true),
        ("FLUSHDB ASYNC", false),
        ("PM.FLUSHALL ASYNC", false),
    ] {
        for n in 0..keys {
            client.queue(&["PM.SET".to_owned(), format!("key:{n}"), format!("{n:0100}")]);
        }
        client.send().unwrap();
        for _ in 0..keys {
            assert!(!client.receive().unwrap().is_error());
        }
        let usec = processor_time(&mut client, |client| expect(client, command, "OK"));
        println!("{command} took {usec} us");
        assert!(usec < AT_ONCE, "{command} took {usec} us");
        expect(&mut client, "PM.DBSIZE", "0");
        expect(&mut client, "PM.SET again v", "OK");
        if crashes {
            client = crash(&mut server);
        }
        space_comes_back(&mut client, 4096);
        run(
            &mut client,
            "PM.DBSIZE -> 1\nDBSIZE -> 1\nPM.GET again -> v\nDEL again -> 1",
        );
    }
}

#[test]
fn a_full_pool_takes_writes_right_after_a_flush() {
    let mut server = Setup::pmedis("32m").start().unwrap();
    let mut client = server.client();
    for flush in ["FLUSHALL ASYNC", "FLUSHDB", "PM.FLUSHALL"] {
        let mut n = 0;
        while !client
            .call(&["PM.SET".to_owned(), format!("k{n}"), "x".repeat(1000)])
            .is_error()
        {
            n += 1;
        }
        assert!(n > 10_000, "the pool is full after {n} keys");
        expect(&mut client, flush, "OK");
        // New pages lie between old ones while these are given back: what is free in the end may
        // be a page in two pieces.
        let n = n - RECORDS_OF_A_PAGE;
        for again in 0..n {
            let set = ["PM.SET".to_owned(), format!("k{again}"), "y".repeat(1000)];
            let reply = client.call(&set);
            assert!(!reply.is_error(), "{flush}: key {again} of {n}: {reply:?}");
        }
        client = crash(&mut server);
        expect(&mut client, "PM.DBSIZE", &n.to_string());
        run(&mut client, "FLUSHALL -> OK");
    }
}
