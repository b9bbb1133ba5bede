//! Nothing that tells of a write leaves the server before the write is durable.
//!
//! The server is killed in the very moment in which it has sent certain words, and must then have
//! what they tell of. What could go wrong needs a client whose output waits for its socket: Redis
//! writes to it right after its command, as soon as the socket takes some, and not at the end of
//! the cycle.

use std::path::PathBuf;
use std::time::Duration;
use testkit::client::Client;
use testkit::packaged::Packaged;
use testkit::preload;
use testkit::script::{ask, expect, run};
use testkit::server::{Server, Setup};

/// What the server dies of sending.
const WORDS: &str = "words-that-tell-of-it";

/// The module does not intercept what the server sends.
const NO_HOOK: [&str; 2] = ["output-hook", "no"];

/// The library that kills the server.
fn killer(setup: &Setup) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kill_after_reply.c");
    preload::compile(source, setup.dir())
}

fn start(directives: &[&str]) -> Server {
    start_with(&[], directives)
}

fn start_with(arguments: &[&str], directives: &[&str]) -> Server {
    let mut setup = Setup::pmedis_with("64m", arguments);
    for line in directives {
        setup = setup.directive(line);
    }
    let library = killer(&setup);
    let setup = setup
        .env("LD_PRELOAD", &library.to_string_lossy())
        .env("KILL_AFTER", WORDS);
    setup.start().unwrap()
}

/// Has output wait in the server for `reader`'s socket: `feed` makes some, which `reader` does not
/// read.
fn block_output(reader: &str, control: &mut Client, mut feed: impl FnMut(&mut Client)) {
    for _ in 0..10_000 {
        feed(control);
        if ask(control, &format!("CLIENT LIST ID {reader}")).contains(" events=rw ") {
            return;
        }
    }
    panic!("the socket takes everything");
}

/// In one event-loop cycle, `writer` (or `reader` itself) sends what it has queued, and `reader`'s
/// socket takes output again. The server must die of it; it is started again.
fn die_in_one_cycle(
    server: &mut Server,
    reader: &mut Client,
    writer: Option<&mut Client>,
) -> Client {
    server.frozen(|| {
        match writer {
            Some(writer) => writer.send().unwrap(),
            None => reader.send().unwrap(),
        }
        let arrived = reader.discard_arrivals(Duration::from_millis(20)).unwrap();
        assert!(arrived > 0, "the socket was full");
    });
    server.wait_for_end();
    server.restart().unwrap();
    server.client()
}

/// A client whose output waits, as it has not read the replies to its own commands.
fn slow_reader(server: &Server, control: &mut Client, before: &[&str]) -> Client {
    let mut reader = server.client();
    let id = ask(&mut reader, "CLIENT ID");
    for command in before {
        reader.queue(&command.split(' ').collect::<Vec<_>>());
    }
    run(control, &format!("SET large {}", "x".repeat(16 << 10)));
    block_output(&id, control, |_| {
        reader.queue(&["GET", "large"]);
        reader.send().unwrap();
    });
    reader
}

fn queue(client: &mut Client, commands: &[&str]) {
    for command in commands {
        client.queue(&command.split(' ').collect::<Vec<_>>());
    }
}

#[test]
fn replies_of_exec_and_scripts() {
    let script =
        format!("redis.call('PM.SET','a','1');redis.call('PM.SET','b','1');return'{WORDS}'");
    let units: [&[&str]; 2] = [
        &[
            "MULTI",
            "PM.SET a 1",
            "PM.SET b 1",
            &format!("ECHO {WORDS}"),
            "EXEC",
        ],
        &[&format!("EVAL {script} 0")],
    ];
    let threads = &["io-threads 3", "io-threads-do-reads yes"];
    let mut settings: Vec<(&[&str], &[&str])> = vec![(&[], &[]), (&[], threads)];
    // Redis 7.0 has nothing but the hook to end groups in time.
    if !Packaged::current().is_redis_7_0() {
        settings.push((&NO_HOOK, &[]));
    }
    for (arguments, directives) in settings {
        for unit in units {
            let mut server = start_with(arguments, directives);
            let mut control = server.client();
            let mut reader = slow_reader(&server, &mut control, &[]);
            queue(&mut reader, unit);
            let mut client = die_in_one_cycle(&mut server, &mut reader, None);
            run(&mut client, "PM.GET a -> 1\nPM.GET b -> 1");
        }
    }
}

/// With a journal the commands of a cycle share a record, which is written before the first of
/// their replies leaves.
#[test]
fn replies_of_single_commands_with_a_journal() {
    let writes = [
        "PM.SET a 1",
        "PM.RPUSH b 1",
        "EXPIRE a 1000",
        &format!("ECHO {WORDS}"),
    ];
    let threads = &["io-threads 3", "io-threads-do-reads yes"];
    let settings: [(&[&str], &[&str]); 3] = [(&[], &[]), (&[], threads), (&NO_HOOK, &[])];
    for (arguments, directives) in settings {
        for slow in [false, true] {
            let arguments = [&["durability", "disk", "journal", "2m"], arguments].concat();
            let mut server = start_with(&arguments, directives);
            let mut control = server.client();
            let mut reader = if slow {
                slow_reader(&server, &mut control, &[])
            } else {
                server.client()
            };
            queue(&mut reader, &writes);
            let mut client = if slow {
                die_in_one_cycle(&mut server, &mut reader, None)
            } else {
                reader.send().unwrap();
                server.wait_for_end();
                server.restart().unwrap();
                server.client()
            };
            run(&mut client, "PM.GET a -> 1\nPM.LLEN b -> 1");
            let left = ask(&mut client, "TTL a");
            assert!(left.parse::<i64>().is_ok_and(|left| left > 0), "{left}");
        }
    }
}

/// Without the hook the module says where that matters, and shows it.
#[test]
fn the_hook_is_there_unless_it_is_refused() {
    let lacks = "the module does not intercept what this server sends";
    for (arguments, hooked) in [(&[][..], "1"), (&NO_HOOK[..], "0")] {
        let server = Setup::pmedis_with("16m", arguments).start().unwrap();
        let told = ask(&mut server.client(), "PM.INFO traffic");
        assert!(told.contains(&format!("output_hook:{hooked}")), "{told}");
        let warns = hooked == "0" && Packaged::current().is_redis_7_0();
        assert_eq!(server.log().contains(lacks), warns, "{}", server.log());
    }
}

/// What others hear of a unit: who waits for its key, listens to keyspace events, or tracks its
/// keys.
#[test]
fn messages_to_others() {
    let tracks = format!("PM.GET {WORDS}");
    let writes = format!("PM.SET {WORDS} 1");
    let pushes = format!("PM.RPUSH list {WORDS}");
    let written = format!("PM.GET {WORDS} -> 1\nPM.GET b -> 1");
    let popped = "EXISTS list -> 0\nPM.GET b -> 1";
    for (before, then, write, left) in [
        (
            &["HELLO 3", "SUBSCRIBE __keyevent@0__:set"][..],
            None,
            &writes,
            written.as_str(),
        ),
        (
            &["HELLO 3", "CLIENT TRACKING on", &tracks],
            None,
            &writes,
            &written,
        ),
        (&[], Some("PM.BLPOP list 0"), &pushes, popped),
    ] {
        let mut server = start(&["notify-keyspace-events KEA"]);
        let mut control = server.client();
        let mut reader = slow_reader(&server, &mut control, before);
        if let Some(then) = then {
            queue(&mut reader, &[then]);
            reader.send().unwrap();
            while !ask(&mut control, "INFO clients").contains("blocked_clients:1") {}
        }
        let mut writer = server.client();
        expect(&mut writer, "PING", "PONG");
        queue(&mut writer, &["MULTI", write, "PM.SET b 1", "EXEC"]);
        let mut client = die_in_one_cycle(&mut server, &mut reader, Some(&mut writer));
        run(&mut client, left);
    }
}

/// What MONITOR and replicas hear of a unit.
#[test]
fn the_stream_of_commands() {
    for command in ["MONITOR", "SYNC"] {
        let mut server = start(&["repl-diskless-sync no"]);
        let mut control = server.client();
        let mut reader = server.client();
        let id = ask(&mut reader, "CLIENT ID");
        queue(&mut reader, &[command]);
        reader.send().unwrap();
        match command {
            "MONITOR" => assert!(!reader.receive().unwrap().is_error()),
            _ => assert!(!reader.receive_snapshot().unwrap().is_empty()),
        }
        let large = "x".repeat(16 << 10);
        block_output(&id, &mut control, |control| {
            run(control, &format!("SET large {large}"));
        });
        let mut writer = server.client();
        expect(&mut writer, "PING", "PONG");
        let write = format!("PM.SET a {WORDS}");
        queue(&mut writer, &["MULTI", &write, "PM.SET b 1", "EXEC"]);
        let mut client = die_in_one_cycle(&mut server, &mut reader, Some(&mut writer));
        run(&mut client, "PM.STRLEN a -> 21\nPM.GET b -> 1");
    }
}

/// Units that Redis runs at the very end of a cycle: the rest of a pipeline whose client had to
/// wait.
#[test]
fn units_at_the_end_of_a_cycle() {
    let unit = [
        "MULTI",
        "PM.SET a 1",
        "PM.SET b 1",
        &format!("ECHO {WORDS}"),
        "EXEC",
    ];
    for threads in ["io-threads 1", "io-threads 3"] {
        let mut server = start(&[threads]);
        let mut client = server.client();
        queue(&mut client, &["BLPOP nobody 0.01"]);
        queue(&mut client, &unit);
        client.send().unwrap();
        server.wait_for_end();
        server.restart().unwrap();
        run(&mut server.client(), "PM.GET a -> 1\nPM.GET b -> 1");
    }
}

/// A unit that dies half-way leaves nothing, wherever in a cycle it ran.
#[test]
fn units_that_die_half_way() {
    let unit = ["MULTI", "PM.SET a 2", "DEL b c", "DEBUG SEGFAULT", "EXEC"];
    for before in ["PING", "BLPOP nobody 0.01", "PM.BLPOP nobody 0.01"] {
        let mut server = start(&["crash-log-enabled no"]);
        let mut client = server.client();
        run(&mut client, "PM.MSET a 1 b 1 c 1");
        queue(&mut client, &[before]);
        queue(&mut client, &unit);
        client.send().unwrap();
        server.wait_for_end();
        server.restart().unwrap();
        expect(&mut server.client(), "PM.MGET a b c", "[1 1 1]");
    }
}

/// Threads that send do so as soon as they have something, not when the cycle ends.
#[test]
fn threads_send_when_they_like() {
    let mut directives = vec!["io-threads 4", "io-threads-do-reads yes"];
    if Packaged::current().has(None, Some((9, 0))) {
        directives.push("io-threads-always-active yes");
    }
    let mut server = start(&directives);
    for round in 0..4 {
        let mut clients: Vec<Client> = (0..16).map(|_| server.client()).collect();
        for client in &mut clients {
            expect(client, "PING", "PONG");
        }
        server.frozen(|| {
            for (n, client) in clients.iter_mut().enumerate() {
                let writes = [
                    format!("PM.SET a{n} {round}"),
                    format!("PM.SET b{n} {round}"),
                ];
                let echo = format!("ECHO {WORDS}");
                queue(client, &["MULTI", &writes[0], &writes[1], &echo, "EXEC"]);
                client.send().unwrap();
            }
        });
        server.wait_for_end();
        let told: Vec<bool> = clients.iter_mut().map(has_all_replies).collect();
        server.restart().unwrap();
        let mut client = server.client();
        for (n, told) in told.into_iter().enumerate() {
            let kept = ask(&mut client, &format!("PM.MGET a{n} b{n}"));
            let new = format!("[{round} {round}]");
            let halves: Vec<&str> = kept.trim_matches(['[', ']']).split(' ').collect();
            assert_eq!(halves[0], halves[1], "{n} is kept in part");
            assert!(kept == new || !told, "{n} was told: {kept}");
        }
    }
}

/// Whether the replies to a whole unit have come before the connection broke.
fn has_all_replies(client: &mut Client) -> bool {
    (0..5).all(|_| client.receive().is_ok())
}
