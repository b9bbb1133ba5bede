//! What INFO counts: a PM command counts as its native one, and the module counts nothing of its
//! own, neither beside its own commands nor beside native ones.

use testkit::client::Client;
use testkit::replication::info;
use testkit::script::ask;
use testkit::server::Setup;

/// Commands that have a `PM.` form; each finds what those before it left.
const COMMANDS: &[&str] = &[
    "GET absent",
    "SET s 1",
    "SET s 2",
    "GET s",
    "INCR s",
    "APPEND s x",
    "SETEX s 100 v",
    "SET s v KEEPTTL",
    "EXPIRE s 200",
    "PERSIST s",
    "TYPE s",
    "TYPE absent",
    "EXISTS s absent",
    "COPY s copy",
    "RENAME copy renamed",
    "GETDEL renamed",
    "GETDEL renamed",
    "GETSET s w",
    "SETRANGE s 3 w",
    "SETBIT s 3 1",
    "LPUSH l 1",
    "LPUSH l 2",
    "LPOP l",
    "LPOP l",
    "LPOP l",
    "RPUSH l a b c",
    "LMOVE l m LEFT RIGHT",
    "LTRIM l 0 0",
    "LRANGE l 0 -1",
    "HSET h f v",
    "HGET h f",
    "HINCRBY h n 1",
    "HDEL h f n",
    "SADD x a b c",
    "SMOVE x y a",
    "SREM x b c",
    "SUNIONSTORE u x y",
    "ZADD z 1 a 2 b",
    "ZINCRBY z 1 a",
    "ZPOPMIN z",
    "ZREM z a b",
    "ZUNIONSTORE zu 1 y",
    "PFADD p a",
    "PFCOUNT p",
    "DEL s",
    "DEL s",
    "UNLINK y u",
    "SADD whole a b c",
    "SPOP whole 3",
    "SADD whole a b c",
    "SPOP whole",
    "SPOP whole 0",
    "SPOP whole 9",
    "SPOP whole 9",
    "SET o v EX 100",
    "SET o v PX 100000 GET",
    "GETEX o EX 100",
    "GETEX o PERSIST",
    "OBJECT ENCODING o",
    "OBJECT REFCOUNT o",
    "OBJECT IDLETIME o",
    "OBJECT ENCODING absent",
    "OBJECT HELP",
    "TTL o",
    "TOUCH o absent",
    "EXPIREAT o 99999999999",
    "EXPIRETIME o",
    "RENAMENX o q",
    "MOVE q 5",
    "DUMP absent",
];

/// Hits and misses so far.
fn counts(client: &mut Client) -> [i64; 2] {
    ["keyspace_hits", "keyspace_misses"].map(|field| info(client, field).parse().unwrap())
}

/// What each command adds to them.
fn added(client: &mut Client, prefix: &str) -> Vec<(&'static str, [i64; 2])> {
    let run = |command: &&'static str| {
        let before = counts(client);
        let reply = ask(client, &format!("{prefix}{command}"));
        assert!(!reply.starts_with("(error)"), "{prefix}{command}: {reply}");
        let after = counts(client);
        (*command, [after[0] - before[0], after[1] - before[1]])
    };
    COMMANDS.iter().map(run).collect()
}

#[test]
fn hits_and_misses_are_those_of_native_commands() {
    let plain = Setup::native().start().unwrap();
    let server = Setup::pmedis("64m").start().unwrap();
    let (native, pm) = (added(&mut server.client(), ""), {
        let mut client = server.client();
        assert_eq!(ask(&mut client, "SELECT 1"), "OK");
        added(&mut client, "PM.")
    });
    assert_eq!(pm, native);
    assert_eq!(native, added(&mut plain.client(), ""));
}

#[test]
fn native_sets_beside_pm_sets_count_once_and_nothing_else_is_seen_to_run() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    for line in ["SADD set a b", "XADD stream 1-1 f v", "ZADD zset 1 a"] {
        assert!(!ask(&mut client, line).starts_with("(error)"), "{line}");
    }
    for command in [
        "SUNION set",
        "SINTERCARD 2 set set",
        "SDIFFSTORE d set absent",
        "SUNION stream",
        "SUNIONSTORE d stream",
        "SINTER zset",
    ] {
        let mut seen = ["", "PM."].map(|prefix| {
            assert_eq!(ask(&mut client, "CONFIG RESETSTAT"), "OK");
            let reply = ask(&mut client, &format!("{prefix}{command}"));
            (counts(&mut client), reply)
        });
        // Members are in no order.
        for (_, reply) in &mut seen {
            *reply = reply.replace("[b a]", "[a b]");
        }
        assert_eq!(seen[0], seen[1], "{command}");
        assert_eq!(info(&mut client, "cmdstat_smembers"), "", "{command}");
    }
}

/// Commands on a string `k` that is there.
const LOOKS: &[&str] = &[
    "GET k",
    "STRLEN k",
    "EXISTS k",
    "TYPE k",
    "TOUCH k",
    "TTL k",
    "PTTL k",
    "EXPIRETIME k",
    "PEXPIRETIME k",
    "EXPIRE k 100",
    "EXPIRE k 100 NX",
    "EXPIRE k 100 XX",
    "PEXPIREAT k 33177117420000",
    "PERSIST k",
    "OBJECT FREQ k",
    "OBJECT REFCOUNT k",
    "OBJECT ENCODING k",
    "KEYS *",
    "SCAN 0",
    "RANDOMKEY",
    "APPEND k w",
    "DUMP k",
    "COPY k copy",
    "GETEX k",
    "GETRANGE k 0 -1",
    "SETRANGE k 0 w",
    "SET k w",
];

/// How often a key counts as used after each of these commands, and it was made before.
fn uses(client: &mut Client, prefix: &str) -> Vec<(&'static str, String)> {
    let run = |command: &&'static str| {
        assert_eq!(ask(client, "FLUSHDB"), "OK");
        assert_eq!(ask(client, &format!("{prefix}SET k v")), "OK");
        let reply = ask(client, &format!("{prefix}{command}"));
        assert!(!reply.starts_with("(error)"), "{prefix}{command}: {reply}");
        (*command, ask(client, "OBJECT FREQ k"))
    };
    LOOKS.iter().map(run).collect()
}

/// Else a look at all keys would take from the eviction policy what it knows.
#[test]
fn what_is_an_access_natively_is_one() {
    let setup = Setup::pmedis("64m")
        .directive("maxmemory-policy allkeys-lfu")
        .directive("lfu-log-factor 0")
        .directive("lfu-decay-time 0");
    let server = setup.start().unwrap();
    let native = uses(&mut server.client(), "");
    let mut client = server.client();
    assert_eq!(ask(&mut client, "SELECT 1"), "OK");
    assert_eq!(uses(&mut client, "PM."), native);
}
