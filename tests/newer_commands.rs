//! Commands and options that only newer servers have natively, on every server: the replies are
//! those that Redis 8.6.2 and Valkey 9.1.2 gave to the native commands. Where a server has these
//! itself, the differential tests compare many more.

use testkit::client::Client;
use testkit::packaged::{Family, Packaged};
use testkit::replication::{assert_same, follow, wait_in_sync};
use testkit::resp::Value;
use testkit::script::{ask, crash, expect, run, words};
use testkit::server::{Server, Setup};

const WRONG_TYPE: &str =
    "(error) WRONGTYPE Operation against a key holding the wrong kind of value";

fn start() -> (Server, Client) {
    let server = Setup::pmedis("64m").start().unwrap();
    let client = server.client();
    (server, client)
}

#[test]
fn set_compares_the_value() {
    let (mut server, mut client) = start();
    run(
        &mut client,
        "PM.SET k v
         PM.SET k w IFEQ other -> nil
         PM.SET k w IFEQ other GET -> v
         PM.SET k w GET IFEQ v -> v
         PM.GET k -> w
         PM.SET k x IFNE w -> nil
         PM.SET k x IFNE w GET -> w
         PM.SET k x IFNE other -> OK
         PM.SET absent v IFEQ v -> nil
         PM.SET absent v IFDEQ f7042be43fb80714 -> nil
         PM.SET absent v IFNE v -> OK
         PM.GET absent -> v
         PM.SET k y IFDEQ f7042be43fb80714 -> nil
         PM.SET absent y IFDEQ F7042BE43FB80714 -> OK
         PM.SET absent v IFDNE f7042be43fb80714 -> OK
         PM.SET absent w IFDNE f7042be43fb80714 -> nil
         PM.SET absent w IFDEQ short -> (error) ERR must be exactly 16 hexadecimal characters
         PM.SET nothing w IFDEQ short -> nil
         PM.SET k v EXAT 4102444800 IFEQ x -> OK
         PM.SET k w KEEPTTL IFEQ v -> OK
         PM.PEXPIRETIME k -> 4102444800000
         PM.SET k v EX 0 IFEQ w -> (error) ERR invalid expire time in 'pm.set' command
         PM.SET k v IFEQ -> (error) ERR syntax error
         PM.SET k v NX IFEQ v -> (error) ERR syntax error
         PM.SET k v IFEQ v IFNE v -> (error) ERR syntax error
         PM.RPUSH l a",
    );
    // Valkey takes no condition on the value beside NX.
    let beside = match Packaged::current().family {
        Family::Redis => "nil",
        Family::Valkey => "(error) ERR syntax error",
    };
    expect(&mut client, "PM.SET absent w IFDEQ short NX", beside);
    for line in [
        "PM.SET l v IFEQ v",
        "PM.SET l v IFNE v",
        "PM.SET l v GET IFEQ v",
    ] {
        expect(&mut client, line, WRONG_TYPE);
    }
    expect(&mut client, "SET native v", "OK");
    expect(&mut client, "PM.SET native v IFNE v", WRONG_TYPE);
    let mut client = crash(&mut server);
    expect(&mut client, "PM.MGET k absent", "[w v]");
}

#[test]
fn keys_are_deleted_if_their_value_is_what_it_was() {
    let (mut server, mut client) = start();
    run(
        &mut client,
        "PM.SET k v
         PM.DIGEST k -> f7042be43fb80714
         PM.DIGEST absent -> nil
         PM.DELEX k IFEQ w -> 0
         PM.DELEX k IFNE v -> 0
         PM.DELEX k IFDEQ 0000000000000000 -> 0
         PM.DELEX k IFDEQ short -> (error) ERR must be exactly 16 hexadecimal characters
         PM.DELEX k IFLIKE v -> (error) ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE
         PM.DELEX absent IFLIKE v -> 0
         PM.DELEX absent IFNE v -> 0
         PM.DELEX k IFEQ -> (error) ERR wrong number of arguments for 'pm.delex' command
         PM.DELEX k IFDEQ F7042BE43FB80714 -> 1
         PM.EXISTS k -> 0
         PM.RPUSH l a
         PM.DELEX l IFLIKE v -> (error) ERR Key should be of string type if conditions are specified
         PM.DELEX l -> 1
         PM.DELEX l -> 0
         PM.SET k v
         PM.DELIFEQ k w -> 0
         PM.DELIFEQ k v -> 1
         PM.DELIFEQ k v -> 0
         PM.RPUSH l a",
    );
    expect(&mut client, "PM.DELIFEQ l a", WRONG_TYPE);
    expect(&mut client, "PM.DIGEST l", WRONG_TYPE);
    expect(&mut client, "SET native v", "OK");
    expect(&mut client, "PM.DELEX native", "0");
    expect(&mut client, "GET native", "v");
    let mut client = crash(&mut server);
    expect(&mut client, "PM.EXISTS k l", "1");
}

#[test]
fn several_strings_get_one_time() {
    let (mut server, mut client) = start();
    let [numkeys, pairs] = match Packaged::current().family {
        Family::Redis => [
            "(error) ERR invalid numkeys value",
            "(error) ERR wrong number of key-value pairs",
        ],
        Family::Valkey => [
            "(error) ERR invalid numkeys value or out of range",
            "(error) ERR syntax error",
        ],
    };
    run(
        &mut client,
        "PM.MSETEX 2 a 1 b 2 EXAT 4102444800 -> 1
         PM.PEXPIRETIME a -> 4102444800000
         PM.PEXPIRETIME b -> 4102444800000
         PM.MSETEX 2 b 3 c 4 NX -> 0
         PM.MSETEX 2 b 3 c 4 XX -> 0
         PM.EXISTS c -> 0
         PM.MSETEX 2 b 3 c 4 KEEPTTL -> 1
         PM.PEXPIRETIME b -> 4102444800000
         PM.TTL c -> -1
         PM.MSETEX 2 b 3 c 5 XX PXAT 9999999999999 -> 1
         PM.PEXPIRETIME c -> 9999999999999
         PM.MSETEX 1 c 6 -> 1
         PM.TTL c -> -1
         PM.MSETEX 2 c 7 c 8 EX 100000 -> 1
         PM.GET c -> 8
         PM.MSETEX 2 d 1 e 2 EXAT 1 -> 1
         PM.EXISTS d e -> 0
         PM.RPUSH l a
         PM.EXPIREAT l 4102444800
         PM.MSETEX 1 l v KEEPTTL -> 1
         PM.PEXPIRETIME l -> 4102444800000
         PM.MSETEX 1 a b EX 1 PX 1 -> (error) ERR syntax error
         PM.MSETEX 1 a b GET -> (error) ERR syntax error
         PM.MSETEX 1 a b EX 0 -> (error) ERR invalid expire time in 'pm.msetex' command
         PM.MSETEX 1 a b c d -> (error) ERR syntax error
         COMMAND GETKEYS PM.MSETEX 2 a 1 b 2 EX 100 -> [a b]",
    );
    for wrong in ["0", "-1", "x", "2147483648"] {
        expect(&mut client, &format!("PM.MSETEX {wrong} a b"), numkeys);
    }
    expect(&mut client, "PM.MSETEX 2 a b c", pairs);
    let mut client = crash(&mut server);
    run(
        &mut client,
        "PM.MGET a b c l -> [1 3 8 v]
         PM.EXPIRETIME c",
    );
    assert_ne!(ask(&mut client, "PM.TTL c"), "-1");
}

#[test]
fn bits_are_compared_in_more_ways() {
    let (_server, mut client) = start();
    run(
        &mut client,
        "PM.SETBIT a 0 1
         PM.SETBIT a 1 1
         PM.SETBIT a 15 1
         PM.SETBIT b 1 1
         PM.SETBIT b 2 1
         PM.SETBIT c 2 1
         PM.BITOP DIFF d a b c -> 2
         PM.BITFIELD_RO d GET u8 0 GET u8 8 -> [128 1]
         PM.BITOP DIFF1 d a b c -> 2
         PM.BITFIELD_RO d GET u8 0 GET u8 8 -> [32 0]
         PM.BITOP ANDOR d a b c -> 2
         PM.BITFIELD_RO d GET u8 0 GET u8 8 -> [64 0]
         PM.BITOP ONE d a b c -> 2
         PM.BITFIELD_RO d GET u8 0 GET u8 8 -> [128 1]
         PM.BITOP ONE d a -> 2
         PM.BITOP DIFF d a -> (error) ERR BITOP DIFF must be called with at least two source keys.
         PM.BITOP ANDOR d a -> (error) ERR BITOP ANDOR must be called with at least two source keys.
         PM.BITOP DIFF d absent absent -> 0
         PM.EXISTS d -> 0",
    );
}

/// As the server's own command does.
#[test]
fn bits_are_counted_from_a_start_where_the_server_does() {
    let (_server, mut client) = start();
    for bit in [0, 1, 15] {
        expect(&mut client, &format!("SETBIT native {bit} 1"), "0");
        expect(&mut client, &format!("PM.SETBIT ours {bit} 1"), "0");
    }
    for start in [0, 1, -1, 2] {
        let native = ask(&mut client, &format!("BITCOUNT native {start}"));
        expect(&mut client, &format!("PM.BITCOUNT ours {start}"), &native);
        let native = ask(&mut client, &format!("BITCOUNT absent {start}"));
        expect(&mut client, &format!("PM.BITCOUNT absent {start}"), &native);
    }
}

#[test]
fn scans_show_names_alone() {
    let (_server, mut client) = start();
    run(
        &mut client,
        "PM.HSET h f v g w
         PM.HSCAN h 0 NOVALUES -> [0 [f g]]
         PM.HSCAN h 0 NOVALUES MATCH g COUNT 10 -> [0 [g]]
         PM.HSCAN absent 0 NOVALUES -> [0 []]
         PM.ZADD z 1 a 2 b
         PM.ZSCAN z 0 NOSCORES -> [0 [a b]]
         PM.ZSCAN z 0 NOSCORES MATCH b -> [0 [b]]
         PM.SADD s a",
    );
    let server = Packaged::current();
    let novalues = if server.has(Some((7, 4)), Some((8, 0))) {
        "(error) ERR NOVALUES option can only be used in HSCAN"
    } else {
        "(error) ERR syntax error"
    };
    let noscores = if server.has(None, Some((8, 1))) {
        "(error) ERR NOSCORES option can only be used in ZSCAN"
    } else {
        "(error) ERR syntax error"
    };
    for line in ["PM.ZSCAN z 0 NOVALUES", "PM.SSCAN s 0 NOVALUES"] {
        expect(&mut client, line, novalues);
    }
    for line in ["PM.HSCAN h 0 NOSCORES", "PM.SSCAN s 0 NOSCORES"] {
        expect(&mut client, line, noscores);
    }
}

#[test]
fn ranks_come_with_scores() {
    let (_server, mut client) = start();
    run(
        &mut client,
        "PM.ZADD z 1 a 2.5 b
         PM.ZRANK z b WITHSCORE -> [1 2.5]
         PM.ZREVRANK z b withscore -> [0 2.5]
         PM.ZRANK z b -> 1
         PM.ZRANK z c WITHSCORE -> nil
         PM.ZRANK absent c WITHSCORE -> nil",
    );
    assert_eq!(
        client.call(&["PM.ZRANK", "z", "c", "WITHSCORE"]),
        Value::NullArray
    );
    let other = if Packaged::current().is_redis_7_0() {
        "(error) ERR wrong number of arguments for 'pm.zrank' command"
    } else {
        "(error) ERR syntax error"
    };
    expect(&mut client, "PM.ZRANK z b WITHSCORES", other);
    expect(
        &mut client,
        "PM.ZRANK z b WITHSCORE b",
        "(error) ERR wrong number of arguments for 'pm.zrank' command",
    );
}

#[test]
fn places_are_found_in_polygons() {
    let (_server, mut client) = start();
    run(
        &mut client,
        "PM.GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
         PM.GEOADD g 12.758489 38.788135 edge1 17.241510 38.788135 edge2 14.5 38 mid
         PM.RPUSH l a",
    );
    const BOX: &str = "BYPOLYGON 4 12 37 16 37 16 39 12 39";
    let search = |rest: &str| format!("PM.GEOSEARCH g {rest}");
    for (line, reply) in [
        (search(BOX), "[Palermo edge1 Catania mid]"),
        (
            search(&format!("{BOX} WITHDIST ASC")),
            "[[mid 43858.9353] [Palermo 56987.4933] [Catania 111411.0839] [edge1 138085.5878]]",
        ),
        (search(&format!("{BOX} DESC COUNT 1")), "[edge1]"),
        (search("BYPOLYGON 3 12 37 16 37 16 39"), "[Catania mid]"),
        (search("BYPOLYGON 3 12 37 12 37 12 37"), "[]"),
        (search(&format!("{BOX} FROMMEMBER mid")), SYNTAX),
        (search(&format!("FROMMEMBER mid {BOX}")), SYNTAX),
        (search(&format!("BYRADIUS 1 m {BOX}")), SYNTAX),
        (search("BYPOLYGON 3 12 37 16 37 16 39 12 39"), SYNTAX),
        (search("BYPOLYGON 2 12 37 16 37"), CORNERS),
        (search("BYPOLYGON 5 12 37 16 37 16 39"), CORNERS),
        (
            search("BYPOLYGON x 12 37 16 37"),
            "(error) ERR invalid number of vertices",
        ),
        (
            search("BYPOLYGON 3 12 37 16 37 16 99"),
            "(error) ERR invalid longitude,latitude pair 16.000000,99.000000",
        ),
        (format!("PM.GEOSEARCH absent {BOX}"), "[]"),
        (format!("PM.GEOSEARCH l {BOX}"), WRONG_TYPE),
        (format!("PM.GEOSEARCHSTORE d g {BOX}"), "4"),
        (format!("PM.GEOSEARCHSTORE d g {BOX} STOREDIST"), "4"),
        ("PM.ZRANGE d 0 -1".into(), "[mid Palermo Catania edge1]"),
    ] {
        expect(&mut client, &line, reply);
    }
}

#[test]
fn a_missing_member_is_named_as_the_server_does() {
    let (_server, mut client) = start();
    let mut about = |prefix: &str, member: &str| {
        let [add, search] = ["GEOADD", "GEOSEARCH"].map(|name| format!("{prefix}{name}"));
        let key = format!("{prefix}key");
        client.call(&[&*add, &key, "0", "0", "m"]);
        client.call(&[&*search, &key, "FROMMEMBER", member, "BYRADIUS", "1", "m"])
    };
    for member in ["absent", "", "\0", "begins\0ends", "two\r\nlines"] {
        let [native, pm] = ["", "PM."].map(|prefix| about(prefix, member));
        assert!(native.is_error(), "{member:?}: {native:?}");
        assert_eq!(pm, native, "{member:?}");
    }
}

const SYNTAX: &str = "(error) ERR syntax error";
const CORNERS: &str = "(error) ERR GEOSEARCH BYPOLYGON must have at least 3 vertices";

/// Keys go elsewhere and come back; a native key is none.
#[test]
fn prefixed_commands_bring_keys_elsewhere() {
    let (_server, mut client) = start();
    run(
        &mut client,
        "PM.SET k v
         SET native v
         PM.DUMP absent -> nil
         PM.DUMP native -> nil
         PM.MOVE native 1 -> 0
         PM.MOVE k 1 -> 1
         PM.MOVE k 1 -> 0
         SELECT 1
         PM.GET k -> v
         SELECT 0",
    );
    let native = client.call(&["DUMP", "native"]);
    let refused = client.call(&[&b"PM.RESTORE"[..], b"copy", b"0", native.bytes().unwrap()]);
    assert_eq!(
        words(&refused),
        "(error) ERR DUMP payload version or checksum are wrong"
    );
    run(&mut client, "PM.SET k v");
    let ours = client.call(&["PM.DUMP", "k"]);
    let ours = ours.bytes().unwrap();
    let restored = client.call(&[&b"PM.RESTORE"[..], b"copy", b"0", ours]);
    assert_eq!(words(&restored), "OK");
    run(&mut client, "PM.GET copy -> v");

    let other = Setup::pmedis("64m").start().unwrap();
    let port = other.address().port().to_string();
    let migrate = ["PM.MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
    let mut with_keys = |keys: &[&str]| words(&client.call(&[&migrate[..], keys].concat()));
    assert_eq!(with_keys(&["native"]), "NOKEY");
    assert_eq!(with_keys(&["k", "native", "copy"]), "OK");
    run(
        &mut client,
        "PM.EXISTS k copy -> 0
         GET native -> v",
    );
    run(
        &mut other.client(),
        "PM.MGET k copy -> [v v]
         EXISTS native -> 0",
    );
}

/// What was decided on the master is not asked again on the replica.
#[test]
fn replicas_follow() {
    let [master, follower] = [(); 2].map(|()| Setup::pmedis("64m").start().unwrap());
    let (mut client, mut replica) = (master.client(), follower.client());
    follow(&mut replica, &master);
    wait_in_sync(&mut client, &mut replica);
    run(
        &mut client,
        "PM.SET k v
         PM.SET k w IFEQ v
         PM.SET k x EX 1000 IFNE v
         PM.SET k y KEEPTTL IFDNE 0000000000000000
         PM.SET k z IFEQ other
         PM.MSETEX 2 a 1 b 2 NX EX 1000
         PM.MSETEX 2 a 3 c 4 KEEPTTL
         PM.MSETEX 1 d 4
         PM.SET e v
         PM.DELEX e IFEQ v
         PM.SET f v
         PM.DELIFEQ f v
         PM.BITOP ONE g a b
         PM.GEOADD p 14 38 m
         PM.GEOSEARCHSTORE q p BYPOLYGON 3 12 37 16 37 16 39",
    );
    wait_in_sync(&mut client, &mut replica);
    assert_same(&mut client, &mut replica);
}
