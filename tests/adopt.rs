//! Native keys that become PM keys: when they are written under plain names, by PM.ADOPT, and at a
//! start with `adopt yes`.

use testkit::client::Client;
use testkit::packaged::Packaged;
use testkit::replication::{follow, wait_for, wait_in_sync};
use testkit::script::{ask, crash, expect, run};
use testkit::server::{Server, Setup};

/// A server whose plain names mean PM keys in database 0, and native ones elsewhere.
fn start(size: &str, directives: &[&str]) -> (Server, Client) {
    let setup = Setup::pmedis_with(size, &["unprefixed", "db=0"]);
    let setup = directives
        .iter()
        .fold(setup, |setup, line| setup.directive(line));
    let server = setup
        .start()
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let client = server.client();
    (server, client)
}

const NAMES: [&str; 10] = ["s", "n", "l", "h", "u", "i", "z", "L", "H", "Z"];

/// Native keys of all types, small and large, with and without an expire time.
fn natives(client: &mut Client) {
    run(
        client,
        "SET s string -> OK
         SET n 42 PXAT 33177117420000 -> OK
         RPUSH l a b c -> 3
         HSET h f v g w -> 2
         SADD u a b c -> 3
         SADD i 1 2 3 -> 3
         ZADD z 1 a 2.5 b -inf c 0.5 d -> 4
         PEXPIREAT z 33177117420000 -> 1
         XADD x 1-1 f v -> 1-1",
    );
    let numbers: Vec<String> = (0..1500).map(|n| format!("element:{n}")).collect();
    let words = |before: &[&str], each: &dyn Fn(&str) -> Vec<String>| {
        let before = before.iter().map(|word| (*word).to_owned());
        before
            .chain(numbers.iter().flat_map(|number| each(number)))
            .collect::<Vec<_>>()
    };
    client.call(&words(&["RPUSH", "L"], &|n| vec![n.into()]));
    client.call(&words(&["HSET", "H"], &|n| {
        vec![n.into(), format!("value of {n}")]
    }));
    client.call(&words(&["ZADD", "Z"], &|n| {
        vec![n.len().to_string(), n.into()]
    }));
}

/// What is in the keys of all types, whoever holds them.
fn content(client: &mut Client) -> Vec<String> {
    let mut lines = Vec::new();
    for name in NAMES {
        let ty = ask(client, &format!("TYPE {name}"));
        let read = match ty.as_str() {
            "string" => format!("GET {name}"),
            "list" => format!("LRANGE {name} 0 -1"),
            "hash" => format!("HGETALL {name}"),
            "set" => format!("SMEMBERS {name}"),
            "zset" => format!("ZRANGE {name} 0 -1 WITHSCORES"),
            other => panic!("{name} is {other}"),
        };
        let read = ask(client, &read);
        let mut words: Vec<&str> = read.trim_matches(['[', ']']).split(' ').collect();
        if matches!(ty.as_str(), "hash" | "set") {
            words.sort_unstable();
        }
        let expires = ask(client, &format!("PEXPIRETIME {name}"));
        lines.push(format!("{name} {ty} {expires} {}", words.join(" ")));
    }
    lines
}

fn status(client: &mut Client) -> String {
    ask(client, "PM.ADOPT STATUS")
}

fn wait_until_adopted(client: &mut Client) {
    wait_for("all keys are adopted", || {
        status(client).contains("state idle")
    });
}

#[test]
fn what_is_written_becomes_a_pm_key() {
    let (mut server, mut client) = start("64m", &[]);
    expect(&mut client, "SELECT 1", "OK");
    natives(&mut client);
    for name in NAMES {
        expect(&mut client, &format!("MOVE {name} 0"), "1");
    }
    run(
        &mut client,
        "SELECT 0 -> OK
         PM.DBSIZE -> 0
         APPEND s s -> 7
         INCR n -> 43
         PEXPIRETIME n -> 33177117420000
         RPUSH l d -> 4
         LPOP L -> element:0
         HSET h f x i j -> 1
         HDEL H element:7 -> 1
         SADD u d -> 1
         SREM i 2 -> 1
         ZADD z 7 e -> 1
         ZREM Z element:9 -> 1
         PM.DBSIZE -> 10
         PEXPIRETIME z -> 33177117420000
         TTL s -> -1
         GET s -> strings
         LRANGE l 0 -1 -> [a b c d]
         LLEN L -> 1499
         HLEN H -> 1499
         HGET H element:1499 -> value of element:1499
         SMEMBERS i -> [1 3]
         ZRANGE z 0 -1 WITHSCORES -> [c -inf d 0.5 a 1 b 2.5 e 7]
         ZCARD Z -> 1499",
    );
    drop(client);
    let mut client = crash(&mut server);
    run(
        &mut client,
        "DBSIZE -> 10\nGET s -> strings\nGET n -> 43\nHLEN H -> 1499\nPEXPIRETIME n -> 33177117420000",
    );
}

#[test]
fn keys_of_both_kinds_are_read_together() {
    let (_server, mut client) = start("64m", &[]);
    run(
        &mut client,
        "SELECT 1 -> OK
         SET native n -> OK
         SADD natives a b -> 2
         ZADD ranks 1 a 2 b -> 2
         XADD x 1-1 f v -> 1-1
         MOVE native 0 -> 1
         MOVE natives 0 -> 1
         MOVE ranks 0 -> 1
         MOVE x 0 -> 1
         SELECT 0 -> OK
         SET ours o -> OK
         ZADD own 1 a -> 1
         MGET native absent x -> [n nil nil]
         PM.DBSIZE -> 2
         MGET ours native absent x -> [o n nil nil]
         PM.DBSIZE -> 3
         ZUNION 2 own ranks WITHSCORES -> [a 2 b 2]
         PM.DBSIZE -> 4
         PFADD x a -> (error) WRONGTYPE Operation against a key holding the wrong kind of value
         BITOP OR d ours native x -> (error) WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

#[test]
fn a_command_that_fails_adopts_nothing() {
    let (_server, mut client) = start("64m", &[]);
    let wrong = "(error) WRONGTYPE Operation against a key holding the wrong kind of value";
    run(
        &mut client,
        "SELECT 1 -> OK
         SET text native -> OK
         RPUSH list a b -> 2
         SADD members a -> 1
         MOVE text 0 -> 1
         MOVE list 0 -> 1
         MOVE members 0 -> 1
         SELECT 0 -> OK
         SADD ours a b -> 2
         ZADD ranks 1 a -> 1",
    );
    for line in [
        "LPUSH text a",
        "APPEND list a",
        "SET list v GET",
        "INCR list",
        "LMOVE list text LEFT LEFT",
        "SMOVE ours list a",
        "SUNIONSTORE text ours list",
        "SINTER ours text",
        "ZUNIONSTORE text 2 members list",
        "PFMERGE text list",
        "LMPOP 2 text list LEFT",
        "GEOADD text 1 2 m",
        "SORT text STORE list",
        "BITOP NOT members list",
    ] {
        expect(&mut client, line, wrong);
    }
    run(
        &mut client,
        "PM.DBSIZE -> 2
         LMPOP 3 absent list text LEFT -> [list [a]]
         PM.TYPE list -> list
         ZUNIONSTORE members 2 members ranks -> 1
         PM.TYPE members -> zset",
    );
}

#[test]
fn whoever_watches_sees_no_change() {
    let (server, mut client) = start("64m", &["notify-keyspace-events AKE"]);
    run(
        &mut client,
        "SELECT 1 -> OK\nSET s v -> OK\nMOVE s 0 -> 1\nSELECT 0 -> OK",
    );
    let mut watcher = server.client();
    run(&mut watcher, "WATCH s -> OK\nMULTI -> OK");
    let mut events = server.client();
    events.call(&["PSUBSCRIBE", "__key*"]);
    expect(&mut client, "PM.ADOPT KEYS s absent s", "1");
    expect(&mut client, "PM.GET s", "v");
    expect(&mut watcher, "EXEC", "[]");
    run(&mut client, "PM.SET other v -> OK");
    let first = events.receive().expect("an event");
    assert!(
        testkit::script::words(&first).contains("other"),
        "{first:?}"
    );
}

#[test]
fn all_keys_are_adopted_in_the_background_and_replicas_follow() {
    let (master, mut client) = start("64m", &[]);
    let (_replica, mut reader) = start("64m", &[]);
    expect(&mut client, "SELECT 1", "OK");
    natives(&mut client);
    for name in NAMES {
        expect(&mut client, &format!("MOVE {name} 0"), "1");
    }
    run(
        &mut client,
        "SELECT 0 -> OK\nDEBUG POPULATE 2000 key 20 -> OK\nSELECT 3 -> OK\nSET third v -> OK\nSELECT 0 -> OK",
    );
    follow(&mut reader, &master);
    wait_in_sync(&mut client, &mut reader);
    let before = content(&mut client);
    expect(&mut client, "PM.ADOPT MATCH key:1*", "OK");
    wait_until_adopted(&mut client);
    expect(&mut client, "PM.DBSIZE", "1111");
    expect(&mut client, "PM.ADOPT ALL", "OK");
    wait_until_adopted(&mut client);
    let told = status(&mut client);
    assert!(
        told.contains("adopted 899") && told.contains("refused 0"),
        "{told}"
    );
    expect(&mut client, "PM.DBSIZE", "2010");
    assert_eq!(content(&mut client), before);
    wait_in_sync(&mut client, &mut reader);
    expect(&mut reader, "PM.DBSIZE", "2010");
    assert_eq!(content(&mut reader), before);
    // Outside of the scope nobody would find it.
    run(
        &mut client,
        "SELECT 3 -> OK\nPM.DBSIZE -> 0\nGET third -> v",
    );
    expect(
        &mut reader,
        "PM.ADOPT ALL",
        "(error) READONLY You can't write against a read only replica.",
    );
}

/// A server in the same directory, with a new pool that adopts all keys of the server's files.
fn adopting(setup: &Setup) -> Server {
    let pool = setup.pool().to_string_lossy().into_owned();
    let arguments = [
        "path",
        &pool,
        "size",
        "64m",
        "unprefixed",
        "yes",
        "adopt",
        "yes",
    ];
    let setup = setup.clone().force_pmem().module(&arguments);
    setup
        .start()
        .unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

/// A server without the module leaves its file, and one with it starts from that.
fn from_a_file(directives: &[&str]) {
    let setup = directives
        .iter()
        .fold(Setup::native(), |setup, line| setup.directive(line));
    let mut plain = setup
        .start()
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let mut client = plain.client();
    natives(&mut client);
    let script = "for n = 0, 499 do redis.call('SET', 'key:' .. n, 'v') end";
    client.call(&["EVAL", script, "0"]);
    expect(&mut client, "SAVE", "OK");
    let before = content(&mut client);
    drop(client);
    plain.stop();

    let mut server = adopting(&setup);
    let mut client = server.client();
    wait_until_adopted(&mut client);
    expect(&mut client, "PM.DBSIZE", "510");
    expect(&mut client, "XLEN x", "1");
    assert_eq!(content(&mut client), before);
    run(
        &mut client,
        "DEL s -> 1\nSET s string -> OK\nDEL key:1 -> 1",
    );
    wait_for("the RDB is made", || {
        ask(&mut client, "INFO persistence").contains("rdb_bgsave_in_progress:0")
    });
    drop(client);
    let mut client = crash(&mut server);
    wait_until_adopted(&mut client);
    assert_eq!(content(&mut client), before);
    run(
        &mut client,
        "PM.DBSIZE -> 509\nDBSIZE -> 510\nEXISTS key:1 -> 0\nXLEN x -> 1",
    );
}

#[test]
fn an_rdb_becomes_a_pool() {
    from_a_file(&[]);
}

#[test]
fn an_aof_becomes_a_pool() {
    from_a_file(&["appendonly yes", "appendfsync always"]);
}

#[test]
fn a_kill_in_the_midst_loses_nothing() {
    let setup = Setup::native();
    let mut plain = setup
        .start()
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let mut client = plain.client();
    run(&mut client, "DEBUG POPULATE 60000 key 20 -> OK\nSAVE -> OK");
    drop(client);
    plain.stop();
    let mut server = adopting(&setup);
    let mut seen = false;
    for _ in 0..3 {
        let mut client = server.client();
        let mut told = String::new();
        wait_for("some are adopted", || {
            told = status(&mut client);
            told.contains("state idle") || !told.contains(" adopted 0 ")
        });
        seen |= told.contains("state running");
        let some: u64 = ask(&mut client, "PM.DBSIZE").parse().expect("a number");
        drop(client);
        let mut client = crash(&mut server);
        expect(&mut client, "DBSIZE", "60000");
        let more: u64 = ask(&mut client, "PM.DBSIZE").parse().expect("a number");
        assert!(more >= some, "{more} of {some} are left");
    }
    assert!(seen, "it was never in the midst");
    let mut client = server.client();
    wait_until_adopted(&mut client);
    run(&mut client, "PM.DBSIZE -> 60000\nDBSIZE -> 60000");
}

#[test]
fn an_aof_hears_of_keys_that_were_adopted() {
    let (mut server, mut client) = start("64m", &["appendonly yes", "appendfsync always"]);
    run(
        &mut client,
        "SELECT 1 -> OK
         SET s v -> OK
         SET t v -> OK
         RPUSH l a b -> 2
         MOVE s 0 -> 1
         MOVE t 0 -> 1
         MOVE l 0 -> 1
         SELECT 0 -> OK
         APPEND s w -> 2
         PM.ADOPT KEYS t -> 1
         DEL t -> 1
         LPOP l 2 -> [a b]",
    );
    drop(client);
    let mut client = crash(&mut server);
    run(&mut client, "DBSIZE -> 1\nGET s -> vw\nPM.DBSIZE -> 1");
}

#[test]
fn a_full_pool_takes_no_native_key_and_changes_none() {
    let (_server, mut client) = start("8m", &[]);
    run(&mut client, "SELECT 1 -> OK");
    let long = "x".repeat(9_000_000);
    assert_eq!(ask(&mut client, &format!("SET large {long}")), "OK");
    let full = "(error) OOM command not allowed when the persistent memory pool is full.";
    run(&mut client, "MOVE large 0 -> 1\nSELECT 0 -> OK");
    expect(&mut client, "APPEND large y", full);
    expect(&mut client, "PM.ADOPT KEYS large", full);
    run(
        &mut client,
        "STRLEN large -> 9000000\nPM.DBSIZE -> 0\nSET s v -> OK\nPM.ADOPT ALL -> OK",
    );
    wait_until_adopted(&mut client);
    let told = status(&mut client);
    assert!(told.contains("refused 1") && told.contains("OOM"), "{told}");
    run(
        &mut client,
        "DEL large -> 1\nAPPEND large y -> 1\nPM.DBSIZE -> 2",
    );
}

#[test]
fn expire_times_of_fields_are_kept() {
    if !Packaged::current().has(Some((7, 4)), Some((9, 0))) {
        eprintln!("skipped: fields of this server have no expire times");
        return;
    }
    let (mut server, mut client) = start("64m", &[]);
    run(
        &mut client,
        "SELECT 1 -> OK
         HSET h f v g w i x -> 3
         HPEXPIREAT h 33177117420000 FIELDS 1 g -> [1]
         HPEXPIRE h 1 FIELDS 1 i -> [1]
         MOVE h 0 -> 1
         SELECT 0 -> OK",
    );
    wait_for("a field has expired", || {
        ask(&mut client, "HEXISTS h i") == "0"
    });
    run(
        &mut client,
        "HSET h j y -> 1\nPM.DBSIZE -> 1\nHPEXPIRETIME h FIELDS 3 f g i -> [-1 33177117420000 -2]",
    );
    drop(client);
    let mut client = crash(&mut server);
    run(
        &mut client,
        "HPEXPIRETIME h FIELDS 2 g j -> [33177117420000 -1]\nHMGET h f g j -> [v w y]",
    );
}
