//! RDB files and bases of AOFs that have many markers of PM keys keep one of them, so that a server
//! starts as fast with them as without; what is native in them is all there.

use std::fs;
use std::path::{Path, PathBuf};
use testkit::client::Client;
use testkit::packaged::Packaged;
use testkit::replication::{info, wait_for, wait_in_sync};
use testkit::script::{ask, crash, expect, run};
use testkit::server::{Server, Setup};

/// More markers than a file keeps.
const KEYS: u64 = 12_000;
/// What a file with all of them has at least.
const LONG: u64 = 20 * KEYS;

/// A server that shows keys only on demand after a restart.
fn setup(more: &[&str]) -> Setup {
    Setup::pmedis_with("64m", &[&["fill", "0"], more].concat())
}

fn start(setup: &Setup) -> (Server, Client) {
    let server = setup.start().unwrap();
    let client = server.client();
    (server, client)
}

fn write_pm_keys(client: &mut Client) {
    let command = |n: u64| match n % 100 {
        0 => vec!["PM.RPUSH".into(), format!("list:{n}"), "a".into()],
        1 => {
            let words = ["EX", "100000"].map(str::to_owned);
            [
                vec!["PM.SET".into(), format!("key:{n}"), n.to_string()],
                words.to_vec(),
            ]
            .concat()
        }
        _ => vec!["PM.SET".into(), format!("key:{n}"), n.to_string()],
    };
    let commands: Vec<Vec<String>> = (0..KEYS).map(command).collect();
    for chunk in commands.chunks(1000) {
        for reply in client.pipeline(chunk).unwrap() {
            assert!(!reply.is_error(), "{reply:?}");
        }
    }
}

/// Native keys of every type in every form, in several databases.
fn write_native_keys(client: &mut Client) {
    let many = "for i = 1, 600 do redis.call(ARGV[1], KEYS[1], i, 'element' .. i) end return 1";
    for (command, key) in [
        ("RPUSH", "list"),
        ("SADD", "set"),
        ("ZADD", "zset"),
        ("HSET", "hash"),
    ] {
        let reply = client.call(&["EVAL", many, "1", key, command]);
        assert!(!reply.is_error(), "{reply:?}");
    }
    let function = "#!lua name=native\nredis.register_function('f', function() return 1 end)";
    assert!(!client.call(&["FUNCTION", "LOAD", function]).is_error());
    let long = "compressible ".repeat(100);
    assert!(!client.call(&["SET", "long", &long]).is_error());
    run(
        client,
        "SET short v EX 100000
        SET number -7
        SET large 123456789012345
        RPUSH few a b 3
        SADD numbers 1 2 3
        SADD words a b
        ZADD scores 1 a 2.5 b -inf c
        HSET fields f v g w
        PFADD probably a b c
        SETBIT bits 9 1
        XADD stream 1-1 f v
        XADD stream 1-2 f v
        XADD stream 2-1 other fields x y
        XDEL stream 1-2
        XGROUP CREATE stream group 0
        XGROUP CREATE stream idle $
        XREADGROUP GROUP group alice COUNT 1 STREAMS stream >
        XREADGROUP GROUP group bob COUNT 1 STREAMS stream >
        SELECT 2 -> OK
        SET elsewhere v
        PM.SET elsewhere-too v
        SELECT 5 -> OK
        SET alone v
        SELECT 7 -> OK
        PM.SET one v
        SELECT 0 -> OK",
    );
    if Packaged::current().has(Some((8, 6)), None) {
        run(
            client,
            "XADD sent IDMP producer 1 * f v
            XADD sent IDMP producer 2 * f v
            XADD sent IDMP other 1 * f v",
        );
    }
    // Hashes with fields that expire have forms of their own.
    if Packaged::current().has(Some((7, 4)), Some((9, 0))) {
        run(
            client,
            "HEXPIRE fields 100000 FIELDS 1 f
            HEXPIRE hash 100000 FIELDS 2 1 600",
        );
    }
}

fn len(path: &Path) -> u64 {
    fs::metadata(path).expect("the file").len()
}

fn wait_for_no_child(client: &mut Client) {
    wait_for("no child is at work", || {
        info(client, "rdb_bgsave_in_progress") == "0"
            && info(client, "aof_rewrite_in_progress") == "0"
            && info(client, "aof_rewrite_scheduled") == "0"
    });
}

/// Keys of the pool that the server does not show yet.
fn to_come(client: &mut Client) -> u64 {
    let text = ask(client, "PM.INFO filling");
    let count = text
        .split("\\r\\n")
        .find_map(|line| line.strip_prefix("keys_to_come:"));
    count
        .and_then(|count| count.parse().ok())
        .unwrap_or_else(|| panic!("{text}"))
}

/// All keys are there after a crash, of which the files have named few.
#[track_caller]
fn assert_all_there(server: &mut Server, digest: &str) {
    let mut client = crash(server);
    assert!(to_come(&mut client) >= KEYS, "{}", server.log());
    expect(&mut client, "DEBUG DIGEST", digest);
    expect(&mut client, "FCALL f 0", "1");
    assert_eq!(to_come(&mut client), 0);
}

#[test]
fn an_rdb_of_any_save_is_short_and_has_what_is_native() {
    let (mut server, mut client) = start(&setup(&[]));
    write_pm_keys(&mut client);
    write_native_keys(&mut client);
    let digest = ask(&mut client, "DEBUG DIGEST");
    let rdb = server.setup().dir().join("dump.rdb");
    for save in ["SAVE", "BGSAVE", "SHUTDOWN SAVE", "DEBUG RELOAD"] {
        let mut client = server.client();
        // With the frequency of each key.
        expect(&mut client, "CONFIG SET maxmemory-policy allkeys-lfu", "OK");
        match save {
            "SHUTDOWN SAVE" => {
                client.queue(&["SHUTDOWN", "SAVE"]);
                client.send().unwrap();
                server.wait_for_end();
            }
            _ => {
                assert!(!ask(&mut client, save).starts_with("(error)"));
                wait_for_no_child(&mut client);
                expect(&mut client, "DEBUG DIGEST", &digest);
            }
        }
        assert!(!server.log().contains("keeps its"), "{}", server.log());
        assert!(len(&rdb) < LONG, "{save}: {} bytes", len(&rdb));
        assert_all_there(&mut server, &digest);
        fs::remove_file(&rdb).unwrap();
        // What is native is written again by the next save.
        client = server.client();
        expect(&mut client, "DEBUG DIGEST", &digest);
    }
    assert_eq!(leftovers(server.setup().dir()), [""; 0]);
}

/// Temporary files in a directory.
fn leftovers(dir: &Path) -> Vec<String> {
    let files = fs::read_dir(dir).unwrap();
    let names = files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("temp-")).collect()
}

#[test]
fn the_base_of_an_aof_is_short_and_has_what_is_native() {
    let (mut server, mut client) = start(
        &setup(&[])
            .directive("appendonly yes")
            .directive("appendfsync always"),
    );
    write_pm_keys(&mut client);
    write_native_keys(&mut client);
    let digest = ask(&mut client, "DEBUG DIGEST");
    assert!(!ask(&mut client, "BGREWRITEAOF").starts_with("(error)"));
    wait_for_no_child(&mut client);
    assert_eq!(info(&mut client, "aof_last_bgrewrite_status"), "ok");
    let dir = server.setup().dir().join("appendonlydir");
    let bases = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let bases: Vec<PathBuf> = bases
        .filter(|path| path.to_string_lossy().ends_with(".base.rdb"))
        .collect();
    assert_eq!(bases.len(), 1, "{bases:?}");
    assert!(len(&bases[0]) < LONG, "{} bytes", len(&bases[0]));
    expect(&mut client, "INCR number", "-6");
    let digest_now = ask(&mut client, "DEBUG DIGEST");
    assert_ne!(digest, digest_now);
    assert_all_there(&mut server, &digest_now);
    assert_eq!(leftovers(server.setup().dir()), [""; 0]);
}

#[test]
fn a_file_without_its_pool_is_told_of_with_all_its_keys() {
    for drop in [false, true] {
        let more: &[&str] = if drop { &["orphans", "drop"] } else { &[] };
        let (mut server, mut client) = start(&setup(more));
        write_pm_keys(&mut client);
        run(&mut client, "SET native v -> OK\nSAVE -> OK");
        server.stop();
        fs::remove_file(server.setup().pool()).unwrap();
        if !drop {
            let refusal = server.restart().expect_err("the pool is lost");
            assert!(refusal.log.contains("markers of PM keys"), "{refusal:?}");
            continue;
        }
        server.restart().unwrap();
        run(&mut server.client(), "GET native -> v\nDBSIZE -> 1");
        let lost = format!("{KEYS} PM keys are lost");
        assert!(server.log().contains(&lost), "{}", server.log());
    }
}

#[test]
fn an_orderly_restart_needs_no_full_sync() {
    let saves = || {
        Setup::pmedis("64m")
            .directive("repl-diskless-sync-delay 0")
            .directive("save 3600 1")
            .keep_port()
    };
    let (mut master, mut of_master) = start(&saves());
    write_pm_keys(&mut of_master);
    let port = master.address().port();
    let follows = format!("replicaof 127.0.0.1 {port}");
    let (mut replica, mut of_replica) = start(&saves().directive(&follows));
    wait_in_sync(&mut of_master, &mut of_replica);
    replica.stop();
    expect(&mut of_master, "PM.INCR count", "1");
    replica.restart().unwrap();
    wait_in_sync(&mut of_master, &mut replica.client());
    assert_eq!(info(&mut of_master, "sync_full"), "1");
    master.stop();
    master.restart().unwrap();
    let mut of_master = master.client();
    expect(&mut of_master, "PM.INCR count", "2");
    wait_in_sync(&mut of_master, &mut replica.client());
    assert_eq!(info(&mut of_master, "sync_full"), "0");
    expect(&mut replica.client(), "PM.GET count", "2");
    let rdb = master.setup().dir().join("dump.rdb");
    assert!(len(&rdb) < LONG, "{} bytes", len(&rdb));
}
