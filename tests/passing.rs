//! Keys that pass between PM and native ones, with an AOF on and a replica attached: after a kill
//! -9 the server has what it had before, and so has the replica.

use testkit::client::Client;
use testkit::replication::{assert_same, digest, follow, info, wait_for, wait_in_sync};
use testkit::script::{crash, run};
use testkit::server::Setup;

/// What is there before: native keys, PM keys, in two databases.
const BEFORE: &str = "
    SET d:1 old
    SET d:2 old
    SET d:3 old
    SET d:4 old
    SET d:5 old
    SET d:6 old
    SET d:7 old
    SET d:8 old
    SET d:9 old
    SET d:10 old
    SET d:11 old
    SET d:12 old
    SET r:1 native
    SET r:2 native EX 5000
    SADD r:3 native
    RPUSH r:4 native
    SET stays native
    PM.SET t:1 v PXAT 33177117420000
    PM.RPUSH t:2 a b
    PEXPIREAT t:2 33177117420001
    PM.SET t:3 v
    PM.SADD t:4 a
    PM.ZADD t:5 1 a
    PM.HSET t:6 f v
    PM.SET t:7 v PXAT 33177117420002
    PM.SET t:8 v PXAT 33177117420003
    PM.SET t:9 v
    PM.SET t:10 v PXAT 33177117420004
    PM.RPUSH e:1 a
    PM.SADD e:2 a
    PM.ZADD e:3 1 a
    PM.HSET e:4 f v
    PM.SET e:5 v
    PM.RPUSH e:6 a
    PM.SET e:7 v
    PM.SADD e:8 a
    PM.SET m:1 pm
    PM.SET m:2 pm PXAT 33177117420005
    PM.SET m:3 pm
    SET m:4 native PXAT 33177117420006
    SET m:5 native
    SELECT 1
    SET m:6 native
    PM.SET m:7 pm
    SELECT 0
";

/// Results that are empty, over native keys.
const EMPTY_RESULTS: &str = "
    PM.SUNIONSTORE d:1 absent -> 0
    PM.SINTERSTORE d:2 absent -> 0
    PM.SDIFFSTORE d:3 absent -> 0
    PM.ZUNIONSTORE d:4 1 absent -> 0
    PM.ZINTERSTORE d:5 1 absent -> 0
    PM.ZDIFFSTORE d:6 1 absent -> 0
    PM.ZRANGESTORE d:7 absent 0 -1 -> 0
    PM.GEOSEARCHSTORE d:8 absent FROMLONLAT 1 1 BYRADIUS 1 km -> 0
    PM.GEORADIUS absent 1 1 1 km STORE d:9 -> 0
    PM.SORT absent STORE d:10 -> 0
    PM.BITOP AND d:11 absent -> 0
    PM.GEORADIUS absent 1 1 1 km STOREDIST d:12 -> 0
";

/// PM keys in place of native ones, of all types.
const OVER_NATIVE: &str = "
    PM.SET r:1 pm -> OK
    PM.SET r:2 pm KEEPTTL -> OK
    PM.RPUSH src a b -> 2
    PM.SORT src ALPHA STORE r:3 -> 2
    RENAME src r:4 -> OK
";

/// Native keys in place of PM ones, by commands whose outcome depends on what was there.
const OVER_PM: &str = "
    SET t:1 w KEEPTTL -> OK
    SET t:2 w XX KEEPTTL -> OK
    SET t:3 w XX -> OK
    SADD src:4 x y -> 2
    SUNIONSTORE t:4 src:4 -> 2
    MSET t:5 w t:6 w -> OK
    MULTI -> OK
    SET t:7 w XX KEEPTTL -> QUEUED
    APPEND t:7 w -> QUEUED
    EXEC -> [OK 2]
    SET t:8 w XX -> OK
    PERSIST t:8 -> 0
    SETEX t:9 6000000000 w -> OK
";

/// Native keys under the names of PM keys that went by PM commands: the AOF's base may still have
/// these.
const AFTER_PM: &str = "
    PM.LPOP e:1 -> a
    SADD e:1 native -> 1
    PM.SPOP e:2 -> a
    RPUSH e:2 native -> 1
    PM.ZPOPMIN e:3 -> [a 1]
    HSET e:3 f native -> 1
    PM.HDEL e:4 f -> 1
    SETNX e:4 native -> 1
    PM.GETDEL e:5 -> v
    APPEND e:5 native -> 6
    PM.LPOP e:6 -> a
    SET from:6 native -> OK
    RENAMENX from:6 e:6 -> 1
    PM.GETDEL e:7 -> v
    INCR e:7 -> 1
    PM.SREM e:8 a -> 1
    COPY stays e:8 -> 1
";

/// Keys that change places.
const MOVES: &str = "
    COPY m:1 m:5 REPLACE -> 1
    RENAME m:2 m:4 -> OK
    MOVE m:3 1 -> 1
    SELECT 1 -> OK
    RENAME m:6 m:7 -> OK
    SELECT 0 -> OK
    COPY stays m:1 REPLACE -> 1
    SWAPDB 0 1 -> OK
    SET only native -> OK
    SWAPDB 0 1 -> OK
";

/// With an AOF that is written before each reply, always: with `everysec`, Redis sends replies
/// ahead of it while it waits for the disk.
fn setup() -> Setup {
    Setup::pmedis("64m")
        .directive("appendonly yes")
        .directive("appendfsync always")
        .directive("repl-diskless-sync-delay 0")
}

fn wait_for_rewrite(client: &mut Client) {
    wait_for("the AOF is rewritten", || {
        assert_eq!(info(client, "aof_enabled"), "1");
        info(client, "aof_rewrite_in_progress") == "0"
            && info(client, "aof_rewrite_scheduled") == "0"
    });
}

#[test]
fn what_passes_between_native_and_pm_keys_is_in_the_aof_and_at_the_replicas() {
    for rewrites in [false, true] {
        let mut server = setup().keep_port().start().unwrap();
        let mut client = server.client();
        let mut replica = setup().start().unwrap();
        let mut follower = replica.client();
        follow(&mut follower, &server);
        run(&mut client, BEFORE);
        if rewrites {
            run(&mut client, "BGREWRITEAOF");
            wait_for_rewrite(&mut client);
        }
        for (act, what) in [
            (EMPTY_RESULTS, "empty results"),
            (OVER_NATIVE, "PM over native"),
            (OVER_PM, "native over PM"),
            (AFTER_PM, "native after PM"),
            (MOVES, "moves"),
        ] {
            run(&mut client, act);
            let before = digest(&mut client);
            client = crash(&mut server);
            assert_eq!(digest(&mut client), before, "{what}, rewritten: {rewrites}");
            wait_in_sync(&mut client, &mut follower);
            assert_same(&mut client, &mut follower);
        }
        run(
            &mut client,
            "
            PEXPIRETIME t:1 -> 33177117420000
            PEXPIRETIME t:2 -> 33177117420001
            PEXPIRETIME t:7 -> 33177117420002
            TTL t:3 -> -1
            GET t:7 -> ww
            EXISTS d:1 d:2 d:3 d:4 d:5 d:6 d:7 d:8 d:9 d:10 d:11 d:12 -> 0
            LRANGE e:2 0 -1 -> [native]
            GET e:6 -> native
            ",
        );
        // The replica's own AOF tells the same, once it is that of the last full sync.
        wait_for_rewrite(&mut follower);
        let before = digest(&mut client);
        run(&mut follower, "REPLICAOF NO ONE -> OK");
        let mut follower = crash(&mut replica);
        assert_eq!(digest(&mut follower), before, "the replica's AOF");
    }
}

#[test]
fn a_pm_key_that_a_native_one_replaces_in_a_script_is_in_the_aof() {
    let mut server = setup().start().unwrap();
    let mut client = server.client();
    run(&mut client, "PM.SET k v PXAT 33177117420000 -> OK");
    let script = "redis.call('SET',KEYS[1],'a','XX','KEEPTTL') redis.call('APPEND',KEYS[1],'b') \
                  return redis.call('PM.SET',KEYS[2],'v')";
    let reply = client.call(&["EVAL", script, "2", "k", "other"]);
    assert!(!reply.is_error(), "{reply:?}");
    let mut client = crash(&mut server);
    run(
        &mut client,
        "GET k -> ab\nPEXPIRETIME k -> 33177117420000\nPM.GET other -> v\nDBSIZE -> 2",
    );
}
