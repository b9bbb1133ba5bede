//! What a user may do with keys holds for PM commands as for their native ones.

use testkit::script::{ask, run};
use testkit::server::Setup;

/// Users who may run everything, on keys that they may only read, or only write.
const USERS: [(&str, &str); 3] = [("reader", "%R~*"), ("writer", "%W~*"), ("nobody", "~none")];

/// Forms of commands that use their key differently from others of the same command, and some that
/// all use alike.
const FORMS: &[&str] = &[
    "SET k v",
    "SET k v EX 100",
    "SET k v GET",
    "SET k v EX 100 GET",
    "GET k",
    "GETSET k v",
    "GETDEL k",
    "GETEX k PERSIST",
    "APPEND k v",
    "INCR n",
    "SETRANGE k 0 v",
    "STRLEN k",
    "MSET k v m w",
    "BITFIELD k GET u8 0",
    "BITFIELD k OVERFLOW SAT GET u8 0",
    "BITFIELD k SET u8 0 1",
    "BITFIELD k GET u8 0 INCRBY u8 8 1",
    "BITFIELD_RO k GET u8 0",
    "BITOP NOT d k",
    "PFADD p a",
    "PFCOUNT p",
    "PFMERGE d p",
    "DEL k",
    "EXISTS k",
    "TTL k",
    "EXPIRE k 100",
    "RENAME k r",
    "COPY k c",
    "LPUSH l a",
    "LRANGE l 0 -1",
    "LPOP l",
    "LMOVE l m LEFT LEFT",
    "LTRIM l 0 -1",
    "HSET h f v",
    "HGET h f",
    "HGETALL h",
    "HDEL h f",
    "SADD u a",
    "SMEMBERS u",
    "SPOP u",
    "SMOVE u v a",
    "SINTERSTORE d u v",
    "ZADD z 1 a",
    "ZADD z INCR 1 a",
    "ZRANGE z 0 -1",
    "ZPOPMIN z",
    "ZRANGESTORE d z 0 -1",
    "ZUNIONSTORE d 1 z",
    "SORT u ALPHA",
    "SORT u ALPHA STORE d",
    "GEOADD g 1 2 m",
    "GEORADIUS g 1 2 3 m",
    "GEORADIUS g 1 2 3 m STORE d",
    "GEOSEARCHSTORE d g FROMLONLAT 1 2 BYRADIUS 1 m",
];

fn refused(reply: &str) -> bool {
    reply.contains("NOPERM")
}

#[test]
fn users_may_do_what_they_may_do_natively() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut admin = server.client();
    let mut both = Vec::new();
    for (name, keys) in USERS {
        let rules = format!("ACL SETUSER {name} on nopass +@all {keys} -> OK");
        run(&mut admin, &rules);
        let mut client = server.client();
        run(&mut client, &format!("AUTH {name} any -> OK"));
        for form in FORMS {
            run(&mut admin, "FLUSHALL -> OK");
            let native = ask(&mut client, form);
            run(&mut admin, "FLUSHALL -> OK");
            let pm = ask(&mut client, &format!("PM.{form}"));
            assert_eq!(
                refused(&pm),
                refused(&native),
                "{name}: {form}: {pm}, {native}"
            );
            if refused(&native) {
                assert_eq!(pm, native, "{name}: {form}");
            }
            both.push(refused(&native));
        }
    }
    assert!(both.contains(&true) && both.contains(&false));
}

/// Commands of the module's own, each with a native one that does with its key what it does.
const OWN_FORMS: [(&str, &str); 4] = [
    ("PM.EXPORT k", "DUMP k"),
    ("PM.USAGE k", "MEMORY USAGE k"),
    ("PM.CHECK k", "MEMORY USAGE k"),
    ("PM.ADOPT KEYS k", "GETSET k v"),
];

#[test]
fn own_commands_need_what_the_nearest_native_ones_do() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut admin = server.client();
    for (name, keys) in USERS {
        let rules = format!("ACL SETUSER {name} on nopass +@all {keys} -> OK");
        run(&mut admin, &rules);
        let mut client = server.client();
        run(&mut client, &format!("AUTH {name} any -> OK"));
        for set in ["SET k v -> OK", "PM.SET k v -> OK"] {
            for (own, native) in OWN_FORMS {
                run(&mut admin, set);
                let told = ask(&mut client, own);
                let expected = ask(&mut client, native);
                assert_eq!(refused(&told), refused(&expected), "{name}: {own}: {told}");
            }
        }
    }
}

#[test]
fn whoever_may_only_write_reads_nothing() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut admin = server.client();
    run(
        &mut admin,
        "ACL SETUSER writer on nopass +@all %W~* -> OK\nPM.SET k secret -> OK",
    );
    let mut writer = server.client();
    run(&mut writer, "AUTH writer any -> OK");
    for form in ["SET k v GET", "SET k v NX GET", "SET k v IFEQ w GET"] {
        let told = ask(&mut writer, &format!("PM.{form}"));
        assert!(refused(&told), "{form}: {told}");
    }
    run(&mut writer, "MULTI -> OK\nPM.SET k v GET -> QUEUED");
    let told = ask(&mut writer, "EXEC");
    assert!(refused(&told), "{told}");
    run(&mut admin, "PM.GET k -> secret");
    let logged = ask(&mut admin, "ACL LOG 1");
    assert!(
        logged.contains("writer") && logged.contains(" k "),
        "{logged}"
    );
    run(&mut writer, "PM.SET k v -> OK\nPM.DELEX k -> 1");
    run(&mut admin, "PM.EXISTS k -> 0");
}
