//! The setting `unprefixed`: a server whose plain names mean PM keys is to its clients what a
//! server without the module is.

use testkit::client::Client;
use testkit::natives::about_values;
use testkit::packaged::Packaged;
use testkit::replication::{follow, info, wait_for, wait_in_sync};
use testkit::resp::Value;
use testkit::script::{ask, crash, expect, run};
use testkit::server::{Server, Setup};

fn start(arguments: &[&str]) -> (Server, Client) {
    let setup = Setup::pmedis_with("64m", arguments);
    let server = setup
        .start()
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let client = server.client();
    (server, client)
}

fn unprefixed() -> (Server, Client) {
    start(&["unprefixed", "yes"])
}

fn native() -> (Server, Client) {
    let server = Setup::native()
        .start()
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let client = server.client();
    (server, client)
}

/// Sends each line to a server without the module and to one that is unprefixed, and expects the
/// same words.
#[track_caller]
fn same(lines: &str) {
    let ((_one, mut native), (_other, mut ours)) = (native(), unprefixed());
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        assert_eq!(ask(&mut ours, line), ask(&mut native, line), "{line}");
    }
}

const OF_ALL_TYPES: &str = "
    SET s v -> OK
    SET n 42 -> OK
    RPUSH l a b c -> 3
    HSET h f v g w -> 2
    SADD u 1 2 3 -> 3
    ZADD z 1 a 2 b -> 2
    PFADD p a b -> 1
    SETBIT b 7 1 -> 0
    GEOADD g 13.361389 38.115556 m -> 1
";

#[test]
fn looks_at_keys_count_as_natively() {
    let ((_one, mut native), (_other, mut ours)) = (native(), unprefixed());
    let counted = |client: &mut Client| {
        let number = |field| info(client, field).parse::<u64>().expect("a number");
        ["keyspace_hits", "keyspace_misses"].map(number)
    };
    let lines = OF_ALL_TYPES
        .lines()
        .map(|line| line.split(" -> ").next().unwrap_or_default());
    let looks = "DUMP s|DUMP absent|TYPE s|TYPE absent|OBJECT ENCODING s|OBJECT ENCODING absent|SCAN 0 COUNT 100 TYPE list|\
                 SCAN 0 COUNT 100 TYPE stream|MEMORY USAGE s|MEMORY USAGE absent|TTL s|EXISTS s absent|RANDOMKEY|KEYS *|COPY s t|COPY absent t|\
                 RENAME t v|SORT l ALPHA|EXPIRE s 100|EXPIRE absent 100|PERSIST s|TOUCH s absent|OBJECT FREQ s";
    for line in lines
        .chain(looks.split('|'))
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let [theirs, our] = [&mut native, &mut ours].map(|client| {
            let before = counted(client);
            ask(client, line);
            let after = counted(client);
            [after[0] - before[0], after[1] - before[1]]
        });
        assert_eq!(our, theirs, "{line}: hits and misses");
    }
}

#[test]
fn a_rename_is_no_further_access() {
    same(
        "CONFIG SET maxmemory-policy allkeys-lfu
         CONFIG SET lfu-log-factor 0
         CONFIG SET lfu-decay-time 0
         SET s v
         XADD x 1-1 f v
         RENAME s t
         RENAMENX t u
         RENAME x y
         OBJECT FREQ u
         OBJECT FREQ y",
    );
}

#[test]
fn plain_names_write_to_the_pool() {
    let (mut server, mut client) = unprefixed();
    run(&mut client, OF_ALL_TYPES);
    run(
        &mut client,
        "XADD x 1-1 f v -> 1-1\nPM.DBSIZE -> 9\nDBSIZE -> 10",
    );
    run(
        &mut client,
        "PM.GET s -> v\nPM.TYPE z -> zset\nMULTI\nSET m 1\nEXEC -> [OK]",
    );
    let script = "EVAL return{redis.call('INCR',KEYS[1]),redis.call('TYPE',KEYS[1])} 1 m";
    expect(&mut client, script, "[2 string]");
    drop(client);
    let mut client = crash(&mut server);
    run(
        &mut client,
        "DBSIZE -> 10\nGET m -> 2\nLRANGE l 0 -1 -> [a b c]\nHGET h g -> w\nZSCORE z b -> 2",
    );
}

#[test]
fn types_and_encodings_have_native_names() {
    same(
        "SET s v
         SET n 42
         RPUSH l a b c
         HSET h f v
         SADD u 1 2 3
         ZADD z 1 a
         XADD x 1-1 f v
         TYPE s
         TYPE n
         TYPE l
         TYPE h
         TYPE u
         TYPE z
         TYPE x
         TYPE absent
         TYPE
         OBJECT ENCODING s
         OBJECT ENCODING n
         OBJECT ENCODING h
         OBJECT ENCODING u
         OBJECT ENCODING z
         OBJECT ENCODING x
         OBJECT ENCODING absent
         OBJECT REFCOUNT s
         SCAN 0 COUNT 100 TYPE list
         SCAN 0 COUNT 100 TYPE stream
         SCAN 0 TYPE zset COUNT 100 MATCH z*
         SCAN 0 TYPE zset COUNT 100 MATCH a*
         SCAN 0 TYPE hash COUNT
         SCAN 0 TYPE hash COUNT x
         SCAN a TYPE hash
         MULTI
         TYPE s
         OBJECT ENCODING l
         SCAN 0 COUNT 100 TYPE hash
         EXEC
         EVAL return(redis.call('TYPE',KEYS[1]).ok) 1 z
         EVAL return(redis.call('SCAN',0,'TYPE','set','COUNT',99)[2]) 0",
    );
}

#[test]
fn errors_name_the_command_that_was_called() {
    same(
        "SET s v
         RPUSH l a
         SET
         SET s
         SET s v EX 0
         SETEX s 0 v
         GETEX s EX -1
         PSETEX s -1 v
         GET l
         LPUSH s v
         INCR l
         HSET h f
         HMSET h f
         MSET a
         ZUNION 0 a
         ZUNIONSTORE d 0 a
         ZINTERCARD 0 a
         GEOSEARCH g FROMMEMBER m
         GEORADIUS g 1 2
         SINTERCARD 0 l
         LMPOP 0 l LEFT
         BITOP NOT a b c
         EXPIRE s 1 NX XX
         OBJECT ENCODING
         OBJECT NOTHING s
         EVAL return(redis.pcall('SET',KEYS[1])) 1 s
         EVAL return(redis.pcall('LPUSH',KEYS[1],1)) 1 s
         SORT l BY
         XADD s * f v
         COPY s l",
    );
}

#[test]
fn acl_rules_of_native_names_hold() {
    same(
        "SET s v
         RPUSH l a
         ACL SETUSER reader on nopass ~* +@all -@write
         ACL SETUSER setter on nopass ~k* -@all +set +auth
         ACL SETUSER strings on nopass ~* -@all +@string +auth
         ACL SETUSER halves on nopass %R~r* %W~w* +@all
         ACL SETUSER chooses on nopass -@all +auth (+get ~g*) (+set ~s*)
         ACL DRYRUN reader SET s v
         ACL DRYRUN setter SET s v
         ACL DRYRUN setter SET k v
         AUTH reader x
         GET s
         SET s v
         LPUSH l b
         SORT l STORE d
         GEORADIUS g 1 1 1 m STORE d
         EVAL return(redis.pcall('SET',KEYS[1],1)) 1 s
         MULTI
         SET s v
         EXEC
         AUTH setter x
         SET k v
         SET s v
         GET k
         AUTH strings x
         SET s v
         GET s
         LPUSH l v
         AUTH halves x
         SET w v
         SET w v GET
         SET r v
         GET r
         GET w
         BITFIELD r GET u8 0
         BITFIELD w SET u8 0 1
         COPY r w
         AUTH chooses x
         GET g
         GET s
         SET s v
         SET g v
         AUTH default x",
    );
}

#[test]
fn what_is_told_of_commands_is_about_native_names() {
    let (_server, mut client) = unprefixed();
    let mut monitor = _server.client();
    expect(&mut monitor, "MONITOR", "OK");
    run(
        &mut client,
        "CONFIG SET slowlog-log-slower-than 0
         SET s v -> OK
         GET s -> v
         INCR s -> (error) ERR value is not an integer or out of range
         CONFIG SET slowlog-log-slower-than -1",
    );
    let info = ask(&mut client, "INFO everything");
    for part in [
        "cmdstat_set:calls=1,",
        "cmdstat_get:calls=1,",
        "cmdstat_incr:calls=1,",
    ] {
        assert!(info.contains(part), "{part}: {info}");
    }
    assert!(!info.contains("cmdstat_pm."), "{info}");
    let slow = ask(&mut client, "SLOWLOG GET 10");
    assert!(
        slow.contains("[SET s v]") && slow.contains("[GET s]"),
        "{slow}"
    );
    assert!(!slow.to_lowercase().contains("pm."), "{slow}");
    let histogram = ask(&mut client, "LATENCY HISTOGRAM set");
    assert!(histogram.contains("calls"), "{histogram}");
    expect(&mut client, "GET s", "v");
    let list = ask(&mut client, "CLIENT LIST");
    assert!(!list.contains("pm."), "{list}");
    let mut lines = Vec::new();
    while !lines.iter().any(|line: &String| line.contains("\"INCR\"")) {
        let line = monitor.receive().expect("a line of MONITOR");
        lines.push(testkit::script::words(&line));
    }
    for command in ["\"SET\" \"s\" \"v\"", "\"GET\" \"s\"", "\"INCR\" \"s\""] {
        assert!(
            lines.iter().any(|line| line.ends_with(command)),
            "{command}: {lines:?}"
        );
    }
}

#[test]
fn what_command_tells_is_what_it_tells_without_the_module() {
    let ((_one, mut native), (_other, mut ours)) = (native(), unprefixed());
    for command in [
        "SET",
        "SORT",
        "GEORADIUS",
        "ZUNIONSTORE",
        "BLMPOP",
        "OBJECT|ENCODING",
        "TYPE",
        "SCAN",
    ] {
        for about in [["COMMAND", "INFO", command], ["COMMAND", "DOCS", command]] {
            assert_eq!(ours.call(&about), native.call(&about), "{about:?}");
        }
    }
    for line in [
        "COMMAND GETKEYS SORT l BY w_* STORE d",
        "COMMAND GETKEYSANDFLAGS SET s v",
        "COMMAND GETKEYSANDFLAGS SET s v GET",
        "COMMAND GETKEYSANDFLAGS BITFIELD b GET u8 0",
    ] {
        assert_eq!(ask(&mut ours, line), ask(&mut native, line), "{line}");
    }
}

#[test]
fn keys_outside_of_the_scope_stay_native() {
    let (mut server, mut client) = start(&[
        "unprefixed",
        "user:*",
        "unprefixed",
        "job[0-9]",
        "unprefixed",
        "db=0",
        "unprefixed",
        "db=2",
    ]);
    run(
        &mut client,
        "SET user:1 a -> OK
         SET cache:1 b -> OK
         RPUSH job7 x -> 1
         MSET user:2 a user:3 b -> OK
         MSET cache:2 a cache:3 b -> OK
         MGET cache:1 cache:2 -> [b a]
         MGET user:1 user:2 -> [a a]
         PM.DBSIZE -> 4
         DBSIZE -> 7
         SELECT 1 -> OK
         SET user:1 native -> OK
         PM.DBSIZE -> 0
         SELECT 2 -> OK
         SET user:1 ours -> OK
         PM.DBSIZE -> 1
         SELECT 0 -> OK",
    );
    let error = "(error) ERR the setting 'unprefixed' keeps some keys of this command in persistent memory, and some not";
    for line in [
        "MSET user:1 a cache:1 b",
        "SUNIONSTORE user:5 cache:9",
        "MGET cache:1 user:1",
    ] {
        expect(&mut client, line, error);
    }
    expect(&mut client, "BITOP AND user:4 user:1 user:2", "1");
    // What runs natively is as without the module.
    run(
        &mut client,
        "RPUSH cache:l a -> 1
         BLMOVE cache:l cache:m LEFT RIGHT 0 -> a
         SORT cache:m ALPHA STORE cache:n -> 1
         TYPE cache:n -> list
         OBJECT ENCODING user:1 -> embstr",
    );
    drop(client);
    let mut client = crash(&mut server);
    run(
        &mut client,
        "GET user:2 -> a\nGET cache:1 -> nil\nDBSIZE -> 5\nSELECT 2 -> OK\nGET user:1 -> ours",
    );
}

#[test]
fn native_keys_can_be_read_by_plain_names() {
    let (_server, mut client) = start(&["unprefixed", "db=0"]);
    run(
        &mut client,
        "SELECT 1 -> OK
         SET s v -> OK
         RPUSH l a b -> 2
         HSET h f v -> 1
         SADD u 1 2 -> 2
         ZADD z 1 a -> 1
         MOVE s 0 -> 1
         MOVE l 0 -> 1
         MOVE h 0 -> 1
         MOVE u 0 -> 1
         MOVE z 0 -> 1
         SELECT 0 -> OK
         PM.DBSIZE -> 0
         GET s -> v
         MGET s s -> [v v]
         LRANGE l 0 -1 -> [a b]
         HGETALL h -> [f v]
         SMEMBERS u -> [1 2]
         SINTERCARD 2 u u -> 2
         ZRANGE z 0 -1 WITHSCORES -> [a 1]
         SORT l ALPHA DESC -> [b a]
         STRLEN s -> 1
         TYPE z -> zset
         SCAN 0 TYPE list COUNT 100 -> [0 [l]]
         OBJECT ENCODING s -> embstr
         GET l -> (error) WRONGTYPE Operation against a key holding the wrong kind of value
         LPUSH s v -> (error) WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

#[test]
fn an_aof_is_about_native_keys() {
    let setup = Setup::pmedis_with("64m", &["unprefixed", "db=0"]);
    let setup = setup
        .directive("appendonly yes")
        .directive("appendfsync always");
    let mut server = setup
        .start()
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let mut client = server.client();
    run(
        &mut client,
        "SET s v -> OK
         RPUSH l a -> 1
         XADD x 1-1 f v -> 1-1
         SELECT 1 -> OK
         SET native v -> OK
         APPEND native w -> 2
         MOVE native 0 -> 1
         SELECT 0 -> OK
         GET native -> vw",
    );
    drop(client);
    let mut client = crash(&mut server);
    run(
        &mut client,
        "DBSIZE -> 4
         PM.DBSIZE -> 2
         GET s -> v
         LRANGE l 0 -1 -> [a]
         GET native -> vw
         XLEN x -> 1",
    );
}

#[test]
fn replicas_get_pm_keys_and_masters_may_lack_the_module() {
    let (master, mut writer) = unprefixed();
    let (_replica, mut reader) = start(&[]);
    follow(&mut reader, &master);
    wait_in_sync(&mut writer, &mut reader);
    run(&mut writer, OF_ALL_TYPES);
    run(
        &mut writer,
        "BLPOP l 0 -> [l a]\nMULTI\nINCR n\nINCR n\nEXEC -> [43 44]",
    );
    wait_in_sync(&mut writer, &mut reader);
    run(
        &mut reader,
        "PM.GET n -> 44\nPM.LRANGE l 0 -1 -> [b c]\nPM.DBSIZE -> 9\nDBSIZE -> 9",
    );

    let (master, mut writer) = native();
    run(&mut writer, "SET old v -> OK");
    let (_replica, mut reader) = unprefixed();
    follow(&mut reader, &master);
    wait_in_sync(&mut writer, &mut reader);
    run(&mut writer, OF_ALL_TYPES);
    run(
        &mut writer,
        "EVAL return(redis.call('APPEND',KEYS[1],'w')) 1 s -> 2",
    );
    wait_in_sync(&mut writer, &mut reader);
    run(
        &mut reader,
        "GET s -> vw\nGET old -> v\nPM.GET s -> vw\nPM.DBSIZE -> 9\nDBSIZE -> 10",
    );
    run(
        &mut reader,
        "SET s x -> (error) READONLY You can't write against a read only replica.",
    );
}

#[test]
fn clients_wait_for_plain_names() {
    let (server, mut client) = unprefixed();
    let mut waiter = server.client();
    waiter.queue(&["BLPOP", "l", "k", "0"]);
    waiter.send().expect("a server");
    let blocked = |client: &mut Client| ask(client, "INFO clients").contains("blocked_clients:1");
    wait_for("it waits", || blocked(&mut client));
    expect(&mut client, "RPUSH k v", "1");
    let served = waiter.receive().expect("a reply");
    assert_eq!(testkit::script::words(&served), "[k v]");
    // Tracking and WATCH go by the same names.
    let mut watcher = server.client();
    run(&mut watcher, "WATCH s -> OK\nMULTI -> OK");
    expect(&mut client, "SET s v", "OK");
    expect(&mut watcher, "EXEC", "nil");
    waiter.call(&["HELLO", "3"]);
    run(&mut waiter, "CLIENT TRACKING ON -> OK\nGET s -> v");
    expect(&mut client, "SET s w", "OK");
    let told = waiter.receive().expect("an invalidation");
    assert!(matches!(told, Value::Push(_)), "{told:?}");
}

#[test]
fn renamed_commands_mean_pm_keys_too() {
    let setup = Setup::pmedis_with("64m", &["unprefixed", "yes"]);
    let setup = setup
        .directive("rename-command SET PUT")
        .directive("rename-command APPEND \"\"");
    let server = setup
        .start()
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let mut client = server.client();
    run(&mut client, "PUT s v -> OK\nGET s -> v\nPM.GET s -> v");
    assert!(ask(&mut client, "SET s v").contains("unknown command"));
    assert!(ask(&mut client, "APPEND s v").contains("unknown command"));
}

#[test]
fn every_counterpart_stands_in() {
    let (server, mut client) = unprefixed();
    let log = server.log();
    assert!(
        log.contains("plain command names now mean PM keys"),
        "{log}"
    );
    let names = about_values(&mut client);
    for name in &names {
        let known = client.call(&["COMMAND", "INFO", &format!("pm.{name}")]);
        assert!(
            !known.elements().expect("an array")[0].is_null(),
            "{name} on {:?}",
            Packaged::current()
        );
    }
    assert!(names.len() > 100, "{}", names.len());
}
