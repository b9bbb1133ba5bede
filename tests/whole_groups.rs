//! EXEC or a script for which the pool has no room fails as a whole: nothing of it stays, and
//! nobody is told otherwise.

use testkit::client::Client;
use testkit::replication::{assert_same, follow, info, wait_in_sync};
use testkit::resp::Value;
use testkit::script::{ask, crash, expect, run};
use testkit::server::{Server, Setup};

/// What is in the pool before.
const BEFORE: &str = "
    PM.SET string before -> OK
    PM.SET expires before PXAT 33177117420000 -> OK
    PM.SET renamed before -> OK
    PM.SET target before -> OK
    PM.SET moved before -> OK
    PM.SET deleted before -> OK
    PM.SET replaced before -> OK
    PM.SET overwritten before -> OK
    PM.RPUSH list a b c -> 3
    PM.RPUSH emptied a -> 1
    PM.HSET hash f v -> 1
    PM.ZADD zset 1 a 2 b -> 2
    PM.SADD set a b -> 2";

/// Commands that change all of this in every way, by PM commands and by native ones.
const CHANGES: &[&str] = &[
    "PM.SET string after",
    "PM.PERSIST expires",
    "EXPIRE list 100",
    "RENAME renamed target",
    "MOVE moved 3",
    "DEL deleted",
    "PM.RPUSH list d",
    "PM.LPOP emptied",
    "PM.HSET hash f w g v",
    "PM.HDEL hash f",
    "PM.ZREM zset a",
    "PM.SPOP set 2",
    "PM.DEL replaced",
    "PM.RPUSH replaced x",
    "COPY list copied",
    "PM.SINTERSTORE overwritten set set",
    "PM.SET made after",
    "PM.HSET made2 f v",
];

/// Commands that change PM keys, native ones, too, and come when the group has failed already.
const AFTERWARDS: &[&str] = &[
    "DEL deleted",
    "UNLINK hash set",
    "RENAME renamed elsewhere",
    "RENAME elsewhere target",
    "RENAME zset list",
    "MOVE moved 4",
    "EXPIRE string 100",
    "PERSIST expires",
    "PEXPIRE replaced 1",
    "SET overwritten natively",
    "COPY list copied",
    "SWAPDB 4 5",
    "PM.DEL string",
    "PM.LPOP emptied",
    "PM.ZREMRANGEBYRANK zset 0 -1",
    "PM.LTRIM list 5 9",
    "PM.SPOP set 2",
    "PM.SINTERSTORE target absent absent",
    "PM.UNLINK moved",
    "PM.RENAME deleted elsewhere2",
    "PM.EXPIRE deleted 100",
];

/// A value of which no two fit into the pool.
fn huge() -> String {
    "x".repeat(8_000_000)
}

/// A value of which a few do not fit into the pool.
fn large() -> String {
    "x".repeat(2_000_000)
}

fn start() -> (Server, Client) {
    start_with(&[])
}

fn start_with(arguments: &[&str]) -> (Server, Client) {
    let server = Setup::pmedis_with("16m", arguments).start().unwrap();
    let mut client = server.client();
    run(&mut client, BEFORE);
    // Large enough to be reclaimed in the background.
    for n in 0..5_000 {
        client.queue(&["PM.HSET", "large", &n.to_string(), "value"]);
    }
    client.send().unwrap();
    for _ in 0..5_000 {
        assert_eq!(client.receive().unwrap(), Value::Integer(1));
    }
    (server, client)
}

/// Sets a PM key.
fn expect_set(client: &mut Client, key: &str, value: &str) {
    let reply = client.call(&["PM.SET", key, value]);
    assert_eq!(reply, Value::Simple("OK".into()));
}

/// All that is in the pool and in the databases.
fn state(client: &mut Client) -> Vec<String> {
    let asked = ["DEBUG DIGEST", "DBSIZE", "PM.CHECK"];
    asked.iter().map(|line| ask(client, line)).collect()
}

/// Queues a transaction that changes everything, and then needs more room than there is.
fn queue_too_much(client: &mut Client) {
    client.queue(&["MULTI"]);
    for line in CHANGES {
        client.queue(&line.split(' ').collect::<Vec<_>>());
    }
    client.queue(&["PM.DEL", "large"]);
    for n in 0..20 {
        client.queue(&["PM.SET", &format!("large:{n}"), &large()]);
    }
    // None of these needs room, and all would change a key.
    for line in AFTERWARDS {
        client.queue(&line.split(' ').collect::<Vec<_>>());
    }
    client.queue(&["PM.SET", "last", "small"]);
    client.queue(&["EXEC"]);
    client.send().unwrap();
}

/// Reads what comes until the connection ends.
fn read_to_the_end(client: &mut Client) -> Vec<Value> {
    std::iter::from_fn(|| client.receive().ok()).collect()
}

#[test]
fn a_transaction_without_room_leaves_nothing_and_is_not_told_of() {
    leaves_nothing_and_is_not_told_of(start());
}

#[test]
fn the_same_with_a_journal() {
    leaves_nothing_and_is_not_told_of(start_with(&["durability", "disk"]));
}

fn leaves_nothing_and_is_not_told_of((mut server, mut client): (Server, Client)) {
    let before = state(&mut client);
    let mut writer = server.client();
    queue_too_much(&mut writer);
    // Replies to earlier commands may still arrive; that of EXEC never does.
    let replies = read_to_the_end(&mut writer);
    let told = replies.iter().any(|reply| reply.elements().is_some());
    assert!(!told, "{replies:?}");
    assert_eq!(state(&mut client), before);
    let log = server.log();
    assert!(log.contains("nothing of it is done"), "{log}");

    // The pool goes on as if nothing had been, and after a crash, too.
    let mut client = crash(&mut server);
    assert_eq!(state(&mut client), before);
    expect(&mut client, "PM.HLEN large", "5000");
    expect(&mut client, "PM.SET string after", "OK");
    expect(&mut client, "PM.DEL large", "1");
}

#[test]
fn a_script_without_room_leaves_nothing_and_gets_the_error() {
    let (mut server, mut client) = start();
    let before = state(&mut client);
    let calls = CHANGES.iter().map(|line| {
        let words: Vec<_> = line.split(' ').map(|word| format!("'{word}'")).collect();
        format!("redis.call({}) ", words.join(", "))
    });
    let calls: String = calls.collect();
    let too_much = "for n = 1, 20 do redis.call('PM.SET', 'large:' .. n, ARGV[1]) end ";
    let value = large();
    let script = format!("{calls}{too_much} return 1");
    let reply = client.call(&["EVAL", &script, "0", &value]);
    let Value::Error(text) = &reply else {
        panic!("{reply:?}")
    };
    assert!(text.contains("nothing of it is done"), "{text}");
    assert_eq!(state(&mut client), before);

    // A script that goes on in spite of the error does nothing more.
    let script = format!(
        "{calls} local failed = false \
         for n = 1, 20 do failed = failed or redis.pcall('PM.SET', 'large:' .. n, ARGV[1]).err ~= nil end \
         local last = redis.pcall('PM.SET', 'last', 'x') \
         return {{failed and 1 or 0, last.err or 'none', redis.call('PM.GET', 'string'), \
         #redis.call('PM.ZUNION', 1, 'zset'), redis.call('PM.SINTERCARD', 1, 'set')}}"
    );
    let reply = client.call(&["EVAL", &script, "0", &value]);
    let reply = reply.elements().expect("an array");
    assert_eq!(reply[0], Value::Integer(1));
    let Value::Bulk(last) = &reply[1] else {
        panic!("{reply:?}")
    };
    let last = String::from_utf8_lossy(last);
    assert!(last.contains("nothing of it is done"), "{last}");
    assert_eq!(reply[2], Value::Bulk(b"before".to_vec()));
    // Commands that read go on, those whose keys are numbered, too.
    assert_eq!(reply[3..], [Value::Integer(2), Value::Integer(2)]);
    assert_eq!(state(&mut client), before);

    // Within a transaction, what was told before is false, too.
    let mut writer = server.client();
    writer.queue(&["MULTI"]);
    writer.queue(&["PM.SET", "string", "after"]);
    writer.queue(&["EVAL", too_much, "0", &value]);
    writer.queue(&["EXEC"]);
    writer.send().unwrap();
    let replies = read_to_the_end(&mut writer);
    let told = replies.iter().any(|reply| reply.elements().is_some());
    assert!(!told, "{replies:?}");
    let mut client = crash(&mut server);
    assert_eq!(state(&mut client), before);
}

#[test]
fn a_transaction_that_has_done_nothing_yet_answers() {
    let (server, mut client) = start();
    let before = state(&mut client);
    let value = "x".repeat(20_000_000);
    client.call(&["MULTI"]);
    client.call(&["PM.GET", "string"]);
    client.call(&["PM.SET", "new", &value]);
    client.call(&["PM.SET", "string", "after"]);
    let replies = client.call(&["EXEC"]);
    let replies = replies.elements().expect("an array");
    assert_eq!(replies[0], Value::Bulk(b"before".to_vec()));
    for reply in &replies[1..] {
        assert!(
            matches!(reply, Value::Error(text) if text.starts_with("OOM ")),
            "{reply:?}"
        );
    }
    assert_eq!(state(&mut client), before);
    expect(&mut client, "PM.SET string after", "OK");
    drop(server);
}

#[test]
fn native_keys_stay_as_the_transaction_left_them() {
    let (mut server, mut client) = start();
    let mut writer = server.client();
    let lines = [
        "MULTI",
        "SET native after",
        "PM.SET string after",
        "SET overwritten natively",
        "SET new natively",
        "PM.SET new2 after",
    ];
    for line in lines {
        writer.queue(&line.split(' ').collect::<Vec<_>>());
    }
    for n in 0..20 {
        writer.queue(&["PM.SET", &format!("large:{n}"), &large()]);
    }
    writer.queue(&["DEL", "deleted"]);
    writer.queue(&["EXEC"]);
    writer.send().unwrap();
    read_to_the_end(&mut writer);
    let after = "
        GET native -> after
        GET new -> natively
        PM.GET string -> before
        PM.GET overwritten -> before
        PM.GET new2 -> nil
        PM.GET large:0 -> nil
        PM.GET deleted -> before";
    run(&mut client, after);
    let mut client = crash(&mut server);
    run(
        &mut client,
        "PM.GET overwritten -> before\nPM.GET deleted -> before",
    );
}

#[test]
fn what_native_commands_do_after_the_failure_is_no_change_and_not_told_of() {
    let (mut server, mut client) = start();
    let replica = Setup::pmedis("64m").start().unwrap();
    let mut follower = replica.client();
    follow(&mut follower, &server);
    wait_in_sync(&mut client, &mut follower);
    let before = state(&mut client);
    // Nothing had been done when the group failed: what comes then is the only change.
    let value = "x".repeat(20_000_000);
    for line in AFTERWARDS.iter().filter(|line| !line.starts_with("PM.")) {
        let mut writer = server.client();
        writer.queue(&["MULTI"]);
        writer.queue(&["PM.SET", "new", &value]);
        writer.queue(&line.split(' ').collect::<Vec<_>>());
        writer.queue(&["EXEC"]);
        writer.send().unwrap();
        read_to_the_end_or_exec(&mut writer, line);
        assert_eq!(state(&mut client), before, "{line}");
    }
    // In a script, too, which sees it until its end.
    let script = "redis.pcall('PM.SET', 'new', ARGV[1]) redis.call('RENAME', 'renamed', 'elsewhere') \
         redis.call('DEL', 'deleted', 'list') return redis.call('EXISTS', 'renamed', 'deleted', 'list')";
    assert_eq!(
        client.call(&["EVAL", script, "0", &value]),
        Value::Integer(0)
    );
    assert_eq!(state(&mut client), before);
    expect(&mut client, "PM.SET then on", "OK");
    wait_in_sync(&mut client, &mut follower);
    assert_same(&mut client, &mut follower);
    assert_eq!(info(&mut client, "sync_full"), "1");
    let before = state(&mut client);
    let mut client = crash(&mut server);
    assert_eq!(state(&mut client), before);
}

/// Reads what comes until the connection ends, or until EXEC answers that nothing was done.
fn read_to_the_end_or_exec(client: &mut Client, line: &str) {
    while let Ok(reply) = client.receive() {
        let Some(replies) = reply.elements() else {
            continue;
        };
        let is_harmless = match &replies[1] {
            Value::Error(_) | Value::Integer(0) => true,
            _ => line.starts_with("SWAPDB"),
        };
        assert!(is_harmless, "{line}: {replies:?}");
        return;
    }
}

#[test]
fn native_copies_and_payloads_without_room_are_the_end_of_their_group() {
    let (mut server, mut client) = start();
    let payload = {
        let other = Setup::pmedis("64m").start().unwrap();
        let mut other = other.client();
        expect_set(&mut other, "huge", &huge());
        other.call(&["DUMP", "huge"])
    };
    let payload = payload.bytes().expect("a payload");
    expect_set(&mut client, "huge", &huge());
    let before = state(&mut client);
    let failing: [&[&[u8]]; 4] = [
        &[b"COPY", b"huge", b"copied"],
        &[b"PM.COPY", b"huge", b"list", b"REPLACE"],
        &[b"RESTORE", b"restored", b"0", payload],
        &[b"RESTORE", b"string", b"0", payload, b"REPLACE"],
    ];
    let early = [
        "PM.SET string after",
        "RENAME renamed target",
        "MOVE moved 3",
    ];
    for command in failing {
        let name = String::from_utf8_lossy(command[0]).into_owned();
        let mut writer = server.client();
        writer.queue(&["MULTI"]);
        for line in early {
            writer.queue(&line.split(' ').collect::<Vec<_>>());
        }
        writer.queue(command);
        for line in ["PM.SET made after", "DEL deleted", "COPY list copied"] {
            writer.queue(&line.split(' ').collect::<Vec<_>>());
        }
        writer.queue(&["EXEC"]);
        writer.send().unwrap();
        let replies = read_to_the_end(&mut writer);
        let told = replies.iter().any(|reply| reply.elements().is_some());
        assert!(!told, "{name}: {replies:?}");
        assert_eq!(state(&mut client), before, "{name}");

        let script = "redis.call('PM.SET', 'string', 'after') redis.call('RENAME', 'renamed', 'target') \
             redis.call('MOVE', 'moved', 3) return redis.call(unpack(ARGV))";
        let words = [&[&b"EVAL"[..], script.as_bytes(), b"0"], command].concat();
        let reply = client.call(&words);
        assert!(reply.is_error(), "{name}: {reply:?}");
        assert_eq!(state(&mut client), before, "{name} in a script");
    }
    let mut client = crash(&mut server);
    assert_eq!(state(&mut client), before);
    // Alone, each is refused as ever, and changes nothing.
    for command in failing {
        assert!(client.call(command).is_error());
    }
    assert_eq!(state(&mut client), before);
    expect(&mut client, "PM.SET string after", "OK");
}

#[test]
fn a_flush_is_not_taken_back() {
    let (server, mut client) = start();
    client.call(&["MULTI"]);
    client.call(&["FLUSHALL"]);
    client.call(&["PM.SET", "string", "after"]);
    client.call(&["PM.SET", "large", &"x".repeat(20_000_000)]);
    client.call(&["PM.SET", "list", "after"]);
    let replies = client.call(&["EXEC"]);
    let replies = replies.elements().expect("an array");
    assert!(matches!(&replies[2], Value::Error(text) if text.starts_with("OOM ")));
    run(
        &mut client,
        "DBSIZE -> 2\nPM.GET string -> after\nPM.GET list -> after",
    );
    drop(server);
}

#[test]
fn replicas_do_not_keep_what_their_master_takes_back() {
    let (master, mut client) = start();
    let replica = Setup::pmedis("64m").start().unwrap();
    let mut follower = replica.client();
    follow(&mut follower, &master);
    wait_in_sync(&mut client, &mut follower);
    let before = state(&mut client);
    let mut writer = master.client();
    queue_too_much(&mut writer);
    read_to_the_end(&mut writer);
    assert_eq!(state(&mut client), before);
    expect(&mut client, "PM.SET then on", "OK");
    wait_in_sync(&mut client, &mut follower);
    expect(&mut follower, "PM.GET string", "before");
    expect(&mut follower, "PM.GET then", "on");
    assert_same(&mut client, &mut follower);

    // A script, too; and native commands change nothing there, as they do not on the master.
    let script = "redis.call('PM.SET', 'string', 'after') redis.call('DEL', 'moved')
        for n = 1, 20 do redis.pcall('PM.SET', 'large:' .. n, ARGV[1]) end
        redis.call('DEL', 'deleted') return 1";
    assert_eq!(
        client.call(&["EVAL", script, "0", &large()]),
        Value::Integer(1)
    );
    wait_in_sync(&mut client, &mut follower);
    run(
        &mut follower,
        "PM.GET string -> before\nPM.GET moved -> before\nPM.GET deleted -> before",
    );
    assert_same(&mut client, &mut follower);
    assert_eq!(info(&mut client, "sync_full"), "1");
}

#[test]
fn replicas_live_on_where_a_native_command_finds_no_room() {
    let (master, mut client) = start();
    let replica = Setup::pmedis("64m").start().unwrap();
    let mut follower = replica.client();
    assert!(!client.call(&["PM.SET", "huge", &huge()]).is_error());
    let payload = client.call(&["DUMP", "huge"]);
    let payload = payload.bytes().expect("a payload");
    follow(&mut follower, &master);
    wait_in_sync(&mut client, &mut follower);
    let before = state(&mut client);
    let copy: &[&[u8]] = &[b"COPY", b"huge", b"copied"];
    let early = ["PM.ZADD made 1 z", "RENAME renamed target"];
    let mut expect_same = |client: &mut Client, what: &str| {
        assert_eq!(state(client), before, "{what}");
        let alive = format!("PM.SET alive {}", what.len());
        expect(client, &alive, "OK");
        wait_in_sync(client, &mut follower);
        assert_same(client, &mut follower);
        expect(client, "PM.DEL alive", "1");
    };
    for command in [
        copy,
        &[b"COPY", b"huge", b"list", b"REPLACE"],
        &[b"RESTORE", b"restored", b"0", payload],
        &[b"RESTORE", b"string", b"0", payload, b"REPLACE"],
    ] {
        let name = String::from_utf8_lossy(command[0]).into_owned();
        for early in [&early[..1], &early[1..], &early] {
            let mut writer = master.client();
            writer.queue(&["MULTI"]);
            for line in early {
                writer.queue(&line.split(' ').collect::<Vec<_>>());
            }
            // Again, when the group has failed already.
            for command in [command, command, copy] {
                writer.queue(command);
            }
            writer.queue(&["EXEC"]);
            writer.send().unwrap();
            let replies = read_to_the_end(&mut writer);
            let told = replies.iter().any(|reply| reply.elements().is_some());
            assert!(!told, "{name}: {replies:?}");
            expect_same(&mut client, &name);
        }
        let script = "redis.call('PM.SET', 'string', 'after') redis.call('RENAME', 'renamed', 'target') \
             local failed = redis.pcall(unpack(ARGV)).err redis.pcall(unpack(ARGV)) return failed";
        let words = [&[&b"EVAL"[..], script.as_bytes(), b"0"], command].concat();
        let reply = client.call(&words);
        assert!(!reply.is_error(), "{name}: {reply:?}");
        expect_same(&mut client, &format!("{name} in a script"));
    }
    assert_eq!(info(&mut client, "sync_full"), "1");
}

#[test]
fn a_replica_without_room_ends_in_a_transaction() {
    let huge = huge();
    for command in [&["COPY", "huge", "copied"], &["PM.SET", "new", &huge]] {
        let master = Setup::pmedis("64m").start().unwrap();
        let mut client = master.client();
        assert!(!client.call(&["PM.SET", "huge", &huge]).is_error());
        let mut replica = Setup::pmedis("16m").start().unwrap();
        let mut follower = replica.client();
        follow(&mut follower, &master);
        wait_in_sync(&mut client, &mut follower);
        client.call(&["MULTI"]);
        client.call(&["PM.SET", "string", "after"]);
        client.call(command);
        assert!(client.call(&["EXEC"]).elements().is_some());
        replica.wait_for_end();
        let log = replica.log();
        assert!(log.contains("this replica cannot hold"), "{log}");
    }
}

#[test]
fn replicas_without_the_module_never_get_it() {
    let (master, mut client) = start_with(&["rdb", "native"]);
    let replica = Setup::native().start().unwrap();
    let mut follower = replica.client();
    follow(&mut follower, &master);
    wait_in_sync(&mut client, &mut follower);
    let mut writer = master.client();
    queue_too_much(&mut writer);
    read_to_the_end(&mut writer);
    expect(&mut client, "PM.SET then on", "OK");
    wait_in_sync(&mut client, &mut follower);
    run(
        &mut follower,
        "GET string -> before\nGET then -> on\nLRANGE list 0 -1 -> [a b c]\nEXISTS made large:0 -> 0",
    );
    assert_eq!(info(&mut client, "sync_full"), "2");
}
