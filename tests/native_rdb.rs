//! The way back: files, full syncs and a stream that servers without the module read (`rdb
//! native`), and payloads of single keys.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;
use testkit::client::Client;
use testkit::contents::{Content, assert_equal, contents};
use testkit::disk::SmallDisk;
use testkit::load::Load;
use testkit::replication::{follow, info, save, wait_for, wait_in_sync, write_some};
use testkit::resp::Value;
use testkit::script::{ask, expect, run};
use testkit::server::{Server, Setup, module_path};

fn start(arguments: &[&str]) -> (Server, Client) {
    let setup = Setup::pmedis_with("64m", arguments);
    let server = setup.start().unwrap();
    let client = server.client();
    (server, client)
}

fn rdb(server: &Server) -> PathBuf {
    server.setup().dir().join("dump.rdb")
}

/// Starts a server without the module, of the same kind, with a copy of this file.
fn plain_with(file: &Path) -> Server {
    let setup = Setup::native();
    fs::copy(file, setup.dir().join("dump.rdb")).unwrap();
    setup.start().unwrap()
}

/// PM keys of all types, large and small, and native keys, in two databases. Fields that expire
/// only where native ones can.
fn fill(client: &mut Client) {
    write_some(client, 1);
    run(
        client,
        "PM.SET expires v PXAT 4102444800000
        PM.SET number 12345
        PM.SET bytes \u{1}
        SADD native:set 1 2 3
        PEXPIREAT native 4102444800000
        SELECT 3
        PM.ZADD z 1.5 a -inf b 1e300 c
        XADD native:stream 1-1 f v
        SELECT 0",
    );
    if Setup::native().packaged().has(Some((7, 4)), Some((9, 0))) {
        run(
            client,
            "PM.HSET times a 1 b 2 c 3
            PM.HPEXPIREAT times 4102444800000 FIELDS 1 a
            PM.HPEXPIREAT times 4102444900000 FIELDS 1 c",
        );
        for n in 0..600 {
            client.call(&["PM.HSET", "largetimes", &n.to_string(), "v"]);
        }
        expect(
            client,
            "PM.HPEXPIREAT largetimes 4102444800000 FIELDS 1 7",
            "[1]",
        );
    }
    // It has no reader in these tests.
    run(client, "SELECT 3\nDEL native:stream\nSELECT 0");
}

/// What a server has, when every key came from a pool: to compare files made at different times.
type All = std::collections::BTreeMap<(u32, Vec<u8>), Content>;

#[test]
fn files_need_no_module() {
    let (server, mut client) = start(&["rdb", "native"]);
    fill(&mut client);
    let expected: All = contents(&mut client);
    for save in ["SAVE", "BGSAVE"] {
        let before = ask(&mut client, "LASTSAVE");
        client.call(&["PM.SET", "by", save]);
        ask(&mut client, save);
        wait_for("it is saved", || {
            info(&mut client, "rdb_bgsave_in_progress") == "0"
        });
        assert_eq!(
            info(&mut client, "rdb_last_bgsave_status"),
            "ok",
            "{}",
            server.log()
        );
        assert!(ask(&mut client, "LASTSAVE") >= before);
        let plain = plain_with(&rdb(&server));
        let mut plain = plain.client();
        expect(&mut plain, "GET by", save);
        expect(&mut plain, "DEL by", "1");
        assert_eq!(contents(&mut plain), expected, "{save}");
    }
}

#[test]
fn the_pool_is_the_truth_beside_its_own_file() {
    let (mut server, mut client) = start(&["rdb", "native"]);
    run(
        &mut client,
        "PM.SET stays 1
        PM.SET goes 1
        PM.RPUSH list a b
        SET native 1
        SELECT 2
        PM.SET other 1
        SELECT 0
        SAVE -> OK
        PM.INCR stays
        PM.DEL goes
        PM.RPUSH list c",
    );
    server.kill9();
    server.restart().unwrap();
    let log = server.log();
    assert!(log.contains("they are removed from the file"), "{log}");
    let transcript = "PM.GET stays -> 2
        EXISTS goes -> 0
        PM.LRANGE list 0 -1 -> [a b c]
        TYPE list -> pm-list--
        GET native -> 1
        DBSIZE -> 3
        SELECT 2
        PM.GET other -> 1
        SELECT 0";
    run(&mut server.client(), transcript);
    save(&mut server.client());
    server.stop();
    let plain = plain_with(&rdb(&server));
    run(
        &mut plain.client(),
        "GET stays -> 2\nLRANGE list 0 -1 -> [a b c]\nGET native -> 1\nDBSIZE -> 3",
    );
    server.restart().unwrap();
    run(&mut server.client(), transcript);
}

#[test]
fn reloads_leave_pm_keys_as_the_pool_has_them() {
    let (_server, mut client) = start(&["rdb", "native"]);
    fill(&mut client);
    let expected = contents(&mut client);
    expect(&mut client, "DEBUG RELOAD", "OK");
    assert_eq!(contents(&mut client), expected);
    expect(&mut client, "TYPE l", "pm-list--");
}

#[test]
fn a_file_makes_a_pool_and_the_pool_a_file_again() {
    let origin = Setup::native().start().unwrap();
    let mut client = origin.client();
    run(
        &mut client,
        "SET s v PXAT 4102444800000
        SET n 12345
        RPUSH l a b 3
        HSET h f v g 12
        SADD numbers 1 2 3
        SADD words a b 3
        ZADD z 1.5 a -inf b 1e300 c
        XADD stream 1-1 f v
        SELECT 5
        SET other v
        SELECT 0",
    );
    if origin.setup().packaged().has(Some((7, 4)), Some((9, 0))) {
        run(&mut client, "HPEXPIREAT h 4102444800000 FIELDS 1 g -> [1]");
    }
    for n in 0..700 {
        let n = n.to_string();
        client.call(&["RPUSH", "long", &n]);
        client.call(&["HSET", "wide", &n, "v"]);
        client.call(&["SADD", "many", &format!("m{n}")]);
        client.call(&["ZADD", "ranked", &n, &n]);
    }
    run(&mut client, "SAVE -> OK");
    let digest = ask(&mut client, "DEBUG DIGEST");
    let setup = Setup::pmedis_with(
        "64m",
        &["unprefixed", "yes", "adopt", "yes", "rdb", "native"],
    );
    fs::copy(rdb(&origin), setup.dir().join("dump.rdb")).unwrap();
    let mut server = setup.start().unwrap();
    let mut client = server.client();
    wait_for("all is adopted", || {
        ask(&mut client, "PM.ADOPT STATUS").contains("state idle")
    });
    assert_eq!(info(&mut client, "pmedis_keys"), "12", "all but the stream");
    save(&mut client);
    let dump = client.call(&["DUMP", "h"]).bytes().unwrap().to_vec();
    server.stop();
    let plain = plain_with(&rdb(&server));
    let mut plain = plain.client();
    assert_eq!(ask(&mut plain, "DEBUG DIGEST"), digest);
    let restore = [b"RESTORE".as_slice(), b"h", b"0", &dump, b"REPLACE"];
    assert!(!plain.call(&restore).is_error());
    assert_eq!(ask(&mut plain, "DEBUG DIGEST"), digest);
    // The same by the script, which starts the system's server.
    if origin.setup().packaged().is_redis_7_0() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("ci/round-trip");
        let output = Command::new(script)
            .arg(rdb(&origin))
            .env("PMEDIS_MODULE", module_path())
            .env("PMEDIS_SIZE", "64m")
            .output()
            .expect("the script runs");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && told.contains(&digest),
            "{output:?}"
        );
    }
}

#[test]
fn single_keys_are_restored_without_the_module() {
    let (_server, mut client) = start(&[]);
    fill(&mut client);
    let expected = contents(&mut client);
    let plain = Setup::native().start().unwrap();
    let mut plain_client = plain.client();
    for ((db, name), content) in &expected {
        expect(&mut client, &format!("SELECT {db}"), "OK");
        expect(&mut plain_client, &format!("SELECT {db}"), "OK");
        let payload = client.call(&[b"PM.EXPORT".as_slice(), name]);
        let payload = payload.bytes().unwrap().to_vec();
        let time = content.expire_at.max(0).to_string();
        let words = [
            b"RESTORE".as_slice(),
            name,
            time.as_bytes(),
            &payload,
            b"ABSTTL",
        ];
        assert_eq!(plain_client.call(&words), Value::Simple("OK".into()));
    }
    assert_eq!(contents(&mut plain_client), expected);
    run(
        &mut client,
        "SELECT 0
        PM.EXPORT absent -> nil
        SET native v",
    );
    let dump = client.call(&["DUMP", "native"]);
    assert_eq!(client.call(&["PM.EXPORT", "native"]), dump);
}

#[test]
fn dump_needs_no_module_where_files_need_none() {
    for unprefixed in [&[][..], &["unprefixed", "yes"]] {
        let (_server, mut client) = start(&[&["rdb", "native"], unprefixed].concat());
        let plain = Setup::native().start().unwrap();
        let mut plain_client = plain.client();
        run(
            &mut client,
            "PM.RPUSH l a b c
            PM.HSET h f v
            XADD native 1-1 f v",
        );
        let mut restore = |name: &str, payload: &Value| {
            let payload = payload.bytes().expect("a payload");
            let words: [&[u8]; 5] = [b"RESTORE", name.as_bytes(), b"0", payload, b"REPLACE"];
            assert_eq!(
                plain_client.call(&words),
                Value::Simple("OK".into()),
                "{name}"
            );
        };
        for name in ["l", "h", "native"] {
            restore(name, &client.call(&["DUMP", name]));
        }
        // In a transaction and in a script, too.
        run(&mut client, "MULTI\nDUMP l -> QUEUED");
        let replies = client.call(&["EXEC"]);
        restore("l", &replies.elements().expect("replies")[0]);
        let script = "return redis.call('DUMP', KEYS[1])";
        restore("h", &client.call(&["EVAL", script, "1", "h"]));
        expect(&mut client, "DUMP absent", "nil");
        let wrong = "(error) ERR wrong number of arguments for 'dump' command";
        expect(&mut client, "DUMP", wrong);
        expect(&mut client, "DUMP a b", wrong);
        run(
            &mut plain_client,
            "LRANGE l 0 -1 -> [a b c]
            HGETALL h -> [f v]
            XLEN native -> 1",
        );
    }
}

#[test]
fn replicas_need_no_module() {
    let (master, mut client) = start(&["rdb", "native"]);
    assert_eq!(
        ask(&mut client, "CONFIG GET repl-diskless-sync"),
        "[repl-diskless-sync no]"
    );
    fill(&mut client);
    let load = Load::start(master.address(), 2, 7);
    let plain = Setup::native().start().unwrap();
    let mut replica = plain.client();
    follow(&mut replica, &master);
    wait_for("the link is up", || {
        info(&mut replica, "master_link_status") == "up"
    });
    // In the stream now, and with commands of every kind.
    let done = load.commands();
    wait_for("there are changes", || load.commands() > done + 3000);
    write_some(&mut client, 2);
    effects(&mut client);
    load.stop();
    wait_in_sync(&mut client, &mut replica);
    assert_equal(&mut client, &mut replica);
    run(&mut client, "SET beside 1\nPM.FLUSHDB -> OK");
    wait_in_sync(&mut client, &mut replica);
    assert_equal(&mut client, &mut replica);
    run(
        &mut client,
        "SELECT 3\nPM.SET v 1\nSELECT 0\nPM.SET v 1\nPM.FLUSHALL -> OK\nGET beside -> 1",
    );
    wait_in_sync(&mut client, &mut replica);
    assert_equal(&mut client, &mut replica);
    run(
        &mut client,
        "DEL beside native nativelist native:set\nPM.SET v 1\nPM.FLUSHALL -> OK\nDBSIZE -> 0",
    );
    wait_in_sync(&mut client, &mut replica);
    assert_equal(&mut client, &mut replica);
    assert_eq!(info(&mut replica, "master_link_status"), "up");
}

/// What native commands have no words for on some server.
fn effects(client: &mut Client) {
    run(
        client,
        "PM.MSETEX 2 me1 a me2 b PX 100000000
        PM.MSETEX 1 me1 c KEEPTTL
        PM.SET cmp a
        PM.SET cmp b IFEQ a
        PM.SET op1 abc
        PM.SET op2 abd
        PM.BITOP DIFF opd op1 op2
        PM.BITOP ONE opo op1 op2
        PM.BITOP DIFF opd absent op2
        PM.HSETEX hx PX 100000000 FIELDS 2 a 1 b 2
        PM.HSETEX hx KEEPTTL FIELDS 1 a 3
        PM.HINCRBYFLOAT hx a 1.5
        PM.HPERSIST hx FIELDS 1 b
        PM.HGETDEL hx FIELDS 1 b
        PM.GEOADD places 13.361389 38.115556 a 15.087269 37.502669 b
        PM.GEOSEARCHSTORE found places FROMLONLAT 15 37 BYBOX 400 400 km
        SET adopted v
        PM.ADOPT KEYS adopted -> 1
        PM.APPEND adopted w
        PM.SORT l ALPHA STORE sorted
        PM.DEL hx",
    );
}

#[test]
fn a_payload_that_replicas_could_not_read_is_refused() {
    let (_server, mut client) = start(&[]);
    run(&mut client, "PM.SET s v");
    let payload = client.call(&["DUMP", "s"]).bytes().unwrap().to_vec();
    let restore = [b"RESTORE".as_slice(), b"t", b"0", &payload, b"REPLACE"];
    assert!(!client.call(&restore).is_error());
    expect(&mut client, "CONFIG SET pmedis.rdb native", "OK");
    assert!(client.call(&restore).is_error());
    expect(
        &mut client,
        "CONFIG GET repl-diskless-sync",
        "[repl-diskless-sync no]",
    );
    let payload = client.call(&["PM.EXPORT", "s"]).bytes().unwrap().to_vec();
    let restore = [b"RESTORE".as_slice(), b"u", b"0", &payload];
    assert!(!client.call(&restore).is_error());
    expect(&mut client, "GET u", "v");
    expect(&mut client, "CONFIG SET pmedis.rdb markers", "OK");
}

#[test]
fn a_save_that_cannot_be_made_native_is_not_acknowledged() {
    let setup = Setup::pmedis_with("64m", &["rdb", "native"]);
    let setup = setup.directive("enable-protected-configs yes");
    let server = setup.start().unwrap();
    let mut client = server.client();
    let Some(small) = SmallDisk::mount(server.setup().dir().join("small"), 2) else {
        eprintln!("skipped: nothing can be mounted here");
        return;
    };
    run(&mut client, "SET native v\nPM.SET k v\nSAVE -> OK");
    let large = "x".repeat(4 << 20);
    assert!(!client.call(&["PM.SET", "large", &large]).is_error());
    let directory = small.path().to_str().expect("a readable path");
    expect(&mut client, &format!("CONFIG SET dir {directory}"), "OK");
    // The server writes a marker only.
    let mut saver = server.client();
    saver.queue(&["SAVE"]);
    saver.send().unwrap();
    let reply = saver.receive();
    assert!(reply.is_err(), "{reply:?}");
    assert!(server.log().contains("cannot be made native values"));
    // Nor does a client hear of it whose words came long before.
    let mut saver = server.client();
    saver.queue(&["DEBUG", "SLEEP", "1.1"]);
    saver.queue(&["SAVE"]);
    saver.send().unwrap();
    let replies = [saver.receive(), saver.receive()];
    assert!(replies[1].is_err(), "{replies:?}");
    // Another client stays, and a BGSAVE tells that it has failed.
    expect(&mut client, "GET native", "v");
    expect(&mut client, "BGSAVE", "Background saving started");
    wait_for("the end of BGSAVE", || {
        info(&mut client, "rdb_bgsave_in_progress") == "0"
    });
    assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "err");
    let left: Vec<_> = fs::read_dir(small.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    // With room again, it is done.
    expect(&mut client, "DEL large", "1");
    expect(&mut client, "SAVE", "OK");
    let plain = plain_with(&small.path().join("dump.rdb"));
    expect(&mut plain.client(), "GET k", "v");
    let home = server.setup().dir().to_str().expect("a readable path");
    expect(&mut client, &format!("CONFIG SET dir {home}"), "OK");
}

#[test]
fn a_save_that_is_killed_between_its_steps_leaves_a_file_that_the_server_takes() {
    let (mut server, mut client) = start(&["rdb", "native"]);
    let value = "x".repeat(1000);
    for n in 0..20_000 {
        client.queue(&["PM.SET", &format!("key:{n}"), &value]);
    }
    client.send().unwrap();
    for _ in 0..20_000 {
        assert!(!client.receive().unwrap().is_error());
    }
    run(&mut client, "SET native v");
    for delay in [0, 5, 20, 60] {
        let mut client = server.client();
        // Of before: the file is there as soon as the markers are.
        let file = rdb(&server);
        let _ = fs::remove_file(&file);
        expect(&mut client, "BGSAVE", "Background saving started");
        wait_for("the first step", || file.exists());
        thread::sleep(Duration::from_millis(delay));
        server.kill9();
        server.restart().unwrap();
        let mut client = server.client();
        run(
            &mut client,
            "DBSIZE -> 20001\nPM.DBSIZE -> 20000\nGET native -> v",
        );
        assert_eq!(
            client.call(&["PM.GET", "key:7"]).bytes(),
            Some(value.as_bytes())
        );
    }
}

/// What comes after its full syncs is what its master sends: PM commands.
#[test]
fn a_replica_passes_values_on_whatever_its_own_files_have() {
    let (master, mut client) = start(&[]);
    run(&mut client, "PM.SET n 5\nPM.HSET h f 1\nSET native v");
    let (middle, mut between) = start(&["rdb", "native"]);
    follow(&mut between, &master);
    wait_in_sync(&mut client, &mut between);
    let (_last, mut last) = start(&[]);
    follow(&mut last, &middle);
    wait_in_sync(&mut between, &mut last);
    run(
        &mut client,
        "PM.INCR n -> 6\nPM.HINCRBY h f 1 -> 2\nPM.SET new 1",
    );
    wait_in_sync(&mut client, &mut between);
    wait_in_sync(&mut between, &mut last);
    for replica in [&mut between, &mut last] {
        run(
            replica,
            "TYPE n -> pm-string\nPM.GET n -> 6\nPM.HGET h f -> 2\nPM.GET new -> 1",
        );
    }
    // Its files are what they are to be.
    save(&mut between);
    let plain = plain_with(&rdb(&middle));
    expect(&mut plain.client(), "GET n", "6");
}
