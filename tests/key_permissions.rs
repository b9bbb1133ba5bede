//! What a user may do with keys holds for PM commands as for their native ones.

use testkit::packaged::Packaged;
use testkit::script::{ask, expect, run};
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

/// Users, and what they may do in which databases.
const DATABASES: [(&str, &str); 7] = [
    ("first", "~* +@all db=0"),
    ("other", "~* +@all db=0,1"),
    ("every", "~* +@all alldbs"),
    ("selected", "~* +@all db=0 (~* +@all db=1)"),
    ("elsewhere", "~* +@all db=0 (~x +@all db=1)"),
    (
        "listed",
        "~* +@all db=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    ),
    ("none", "~* +@all db=1"),
];

/// Commands that name databases, or use all.
const NAMING: &[&str] = &[
    "COPY k k2",
    "COPY k k2 DB 0",
    "COPY k k2 DB 1",
    "COPY k k2 REPLACE DB 1",
    "COPY k k2 DB 0 DB 1",
    "COPY k k2 DB 99",
    "COPY k k2 DB x",
    "COPY k k2 DB",
    "COPY absent k2 DB 1",
    "MOVE k 1",
    "MOVE k 99",
    "MOVE k x",
    "MOVE absent 1",
    "FLUSHALL",
    "FLUSHALL ASYNC",
    "FLUSHDB",
];

/// Valkey 9.1 knows such rules, and which databases a command uses of its own commands only.
#[test]
fn users_reach_the_databases_that_they_reach_natively() {
    if !Packaged::current().has(None, Some((9, 1))) {
        eprintln!("skipped: this server knows no such rules");
        return;
    }
    let server = Setup::pmedis("64m").start().unwrap();
    let mut admin = server.client();
    for (name, rules) in DATABASES {
        let rules = format!("ACL SETUSER {name} on nopass {rules} -> OK");
        run(&mut admin, &rules);
        let mut client = server.client();
        run(&mut client, &format!("AUTH {name} any -> OK"));
        for command in NAMING {
            for words in [vec![], vec!["MULTI"]] {
                let [native, pm] = ["", "PM."].map(|prefix| {
                    run(
                        &mut admin,
                        &format!("FLUSHALL -> OK\n{prefix}SET k v -> OK"),
                    );
                    run(&mut admin, "ACL LOG RESET -> OK");
                    for word in &words {
                        ask(&mut client, word);
                    }
                    let mut told = ask(&mut client, &format!("{prefix}{command}"));
                    if !words.is_empty() {
                        let done = ask(&mut client, "EXEC");
                        // What the server refuses at once, a module refuses when it runs.
                        if told == "QUEUED" {
                            told = done;
                        }
                    }
                    let log = ask(&mut admin, "ACL LOG");
                    (refused(&told), log.contains(" database "))
                });
                assert_eq!(pm, native, "{name}: {words:?} {command}");
            }
        }
    }
    run(
        &mut admin,
        "ACL SETUSER part on nopass ~* +@all -copy -flushall db=0 -> OK",
    );
    let mut part = server.client();
    run(
        &mut part,
        "AUTH part any -> OK\nPM.SET k v -> OK\nPM.COPY k k2 -> 1",
    );
    for refusal in ["PM.COPY k k3 DB 1", "PM.FLUSHALL", "PM.ADOPT ALL"] {
        assert!(refused(&ask(&mut part, refusal)), "{refusal}");
    }
    expect(&mut admin, "SELECT 1", "OK");
    expect(&mut admin, "DBSIZE", "0");
}
