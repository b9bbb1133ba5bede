//! What lies beside a pool, and what a pool is copied from: nothing that has values is passed over
//! in silence, nothing that is torn is served in silence, and nobody waits for a process that is
//! gone.

use pobj::mark::MarkedFile;
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use store::layout::LAYOUT;
use testkit::client::Client;
use testkit::disk::SmallDisk;
use testkit::replication::{digest, info, wait_for};
use testkit::script::{ask, crash, expect, pm_keys, run};
use testkit::server::{Refusal, Server, Setup};

fn start(setup: Setup) -> (Server, Client) {
    let server = setup.start().unwrap();
    let client = server.client();
    (server, client)
}

/// Expects one warning of the module that names all of these causes.
#[track_caller]
fn told(refusal: &Refusal, causes: &[&str]) {
    assert_eq!(refusal.status.code(), Some(1), "{refusal:?}");
    let warnings = refusal.warnings();
    let names_all = |warning: &&str| causes.iter().all(|cause| warning.contains(cause));
    assert!(warnings.iter().any(names_all), "{causes:?}: {refusal:?}");
}

/// Keys of `len` bytes each.
fn fill(client: &mut Client, keys: usize, len: usize) {
    for n in 0..keys {
        client.queue(&[
            "PM.SET".to_owned(),
            format!("key:{n}"),
            format!("{n}:{}", "x".repeat(len)),
        ]);
    }
    client.send().unwrap();
    for _ in 0..keys {
        assert!(!client.receive().unwrap().is_error());
    }
}

/// A full RDB of `keys` keys of 100 kB, made by a server that is gone, and the digest of them.
fn backup(keys: usize) -> (Setup, PathBuf, String) {
    let (mut server, mut client) = start(Setup::pmedis_with("64m", &["rdb", "full"]));
    fill(&mut client, keys, 100_000);
    expect(&mut client, "SAVE", "OK");
    let digest = digest(&mut client);
    server.stop();
    let setup = server.setup().clone();
    let file = setup.dir().join("dump.rdb");
    (setup, file, digest)
}

#[test]
fn a_restore_that_failed_begins_again_until_it_is_whole() {
    let (_made, file, whole) = backup(200);
    let small = Setup::pmedis_with("16m", &["rdb", "full"]).directive("save 1 1");
    let rdb = small.dir().join("dump.rdb");
    fs::copy(&file, &rdb).unwrap();
    let original = fs::read(&rdb).unwrap();
    for attempt in 0..3 {
        told(
            &small.refusal(),
            &["do not fit into the pool", "larger 'size'"],
        );
        assert_eq!(fs::read(&rdb).unwrap(), original, "attempt {attempt}");
    }
    // Without the file there is nothing to begin again from.
    let aside = small.dir().join("aside.rdb");
    fs::rename(&rdb, &aside).unwrap();
    told(
        &small.refusal(),
        &["which is not there any more", "remove the pool"],
    );
    // A file of markers is none either.
    let (mut other, mut client) = start(Setup::pmedis("16m"));
    run(&mut client, "PM.SET k v -> OK\nSAVE -> OK");
    other.stop();
    fs::copy(other.setup().dir().join("dump.rdb"), &rdb).unwrap();
    let refusal = small.refusal();
    assert!(refusal.log.contains("markers of PM keys"), "{refusal:?}");
    // A larger pool takes all of it.
    fs::rename(&aside, &rdb).unwrap();
    fs::remove_file(small.pool()).unwrap();
    let path = small.pool().to_string_lossy().into_owned();
    let whole_again = Setup::native()
        .force_pmem()
        .module(&["path", &path, "size", "64m", "rdb", "full"]);
    fs::rename(&rdb, whole_again.dir().join("dump.rdb")).unwrap();
    let (server, mut client) = start(whole_again);
    assert_eq!(digest(&mut client), whole, "{}", server.log());
}

#[test]
fn a_backup_beside_a_pool_with_keys_is_refused_and_own_files_are_not() {
    let (mut server, mut client) = start(Setup::pmedis_with("64m", &["rdb", "full"]).keep_port());
    fill(&mut client, 100, 100);
    let setup = server.setup().clone();
    let (rdb, backup) = (setup.dir().join("dump.rdb"), setup.dir().join("backup.rdb"));
    take(&server, &backup);
    let saved = |client: &mut Client| {
        wait_for("no child saves", || {
            info(client, "rdb_bgsave_in_progress") == "0"
        });
    };
    saved(&mut client);
    // The server's own files may stay beside the pool: of SAVE, of BGSAVE, of a shutdown, after a
    // kill, too.
    expect(&mut client, "SAVE", "OK");
    run(&mut client, "PM.SET key:0 newer -> OK");
    let mut client = crash(&mut server);
    expect(&mut client, "PM.GET key:0", "newer");
    expect(&mut client, "BGSAVE", "Background saving started");
    wait_for("the save is done", || {
        info(&mut client, "rdb_bgsave_in_progress") == "0"
    });
    run(&mut client, "PM.SET key:0 newest -> OK");
    let mut client = crash(&mut server);
    client.queue(&["SHUTDOWN", "SAVE"]);
    client.send().unwrap();
    client
        .receive()
        .expect_err("no reply from a server that went");
    server.restart().unwrap();
    let mut client = server.client();
    expect(&mut client, "PM.GET key:0", "newest");
    // What somebody puts there is meant to be loaded.
    run(&mut client, "FLUSHALL -> OK\nPM.SET other v -> OK");
    server.stop();
    fs::copy(&backup, &rdb).unwrap();
    let before = fs::read(&rdb).unwrap();
    told(
        &setup.refusal(),
        &["dump.rdb has values of PM keys", "'beside ignore'"],
    );
    assert_eq!(fs::read(&rdb).unwrap(), before);
    // As is one that comes after a start without any.
    fs::remove_file(&rdb).unwrap();
    server.restart().unwrap();
    server.kill9();
    fs::copy(&backup, &rdb).unwrap();
    told(&setup.refusal(), &["dump.rdb has values of PM keys"]);
    // Unless it is asked for; or restored, with a pool of its own.
    let path = setup.pool().to_string_lossy().into_owned();
    let ignoring = |arguments: &[&str]| {
        let next = Setup::native().force_pmem();
        fs::copy(&backup, next.dir().join("dump.rdb")).unwrap();
        next.module(&[&["path", &path], arguments].concat())
    };
    told(
        &ignoring(&[]).refusal(),
        &["dump.rdb has values of PM keys"],
    );
    let (mut lenient, mut client) = start(ignoring(&["beside", "ignore"]));
    run(&mut client, "DBSIZE -> 1\nPM.GET other -> v");
    lenient.stop();
    fs::remove_file(setup.pool()).unwrap();
    server.restart().unwrap();
    run(&mut server.client(), "PM.DBSIZE -> 100");
}

/// A full RDB of a running server, by redis-cli.
fn take(server: &Server, file: &Path) {
    let port = server.address().port().to_string();
    let taken = Command::new("redis-cli")
        .args(["-p", &port, "--rdb"])
        .arg(file)
        .output()
        .unwrap();
    assert!(taken.status.success(), "{taken:?}");
}

/// Nothing may tell the server that it has made it: it has made none since.
#[test]
fn a_backup_of_the_last_fork_is_refused_as_any_other_is() {
    for ends_orderly in [true, false] {
        let setup = Setup::pmedis("16m").keep_port().directive("save 3600 1");
        let (mut server, mut client) = start(setup);
        run(&mut client, "PM.MSET a 1 b 2 c 3 -> OK");
        let setup = server.setup().clone();
        let (rdb, backup) = (setup.dir().join("dump.rdb"), setup.dir().join("backup.rdb"));
        take(&server, &backup);
        wait_for("no child saves", || {
            info(&mut client, "rdb_bgsave_in_progress") == "0"
        });
        run(&mut client, "FLUSHALL -> OK\nPM.SET other v -> OK");
        if ends_orderly {
            server.stop();
        } else {
            server.kill9();
        }
        fs::copy(&backup, &rdb).unwrap();
        told(&setup.refusal(), &["dump.rdb has values of PM keys"]);
    }
}

#[test]
fn what_a_child_has_left_is_known_though_nobody_has_waited_for_the_child() {
    for ends_orderly in [true, false] {
        let setup = Setup::pmedis_with("16m", &["rdb", "full"]).keep_port();
        let (mut server, mut client) = start(setup);
        fill(&mut client, 20, 100);
        run(&mut client, "CONFIG SET rdb-key-save-delay 50000 -> OK");
        expect(&mut client, "BGSAVE", "Background saving started");
        // The child goes on while the server stands still.
        let signal = |name: &str| {
            let sent = Command::new("kill")
                .args([name, &server.pid().to_string()])
                .status();
            assert!(sent.unwrap().success());
        };
        signal("-STOP");
        let rdb = server.setup().dir().join("dump.rdb");
        wait_for("the child is done", || rdb.exists());
        if ends_orderly {
            // It is to end before it looks after its children.
            signal("-TERM");
            signal("-CONT");
            server.wait_for_end();
        } else {
            server.kill9();
        }
        server.restart().unwrap();
        run(&mut server.client(), "PM.DBSIZE -> 20");
    }
}

#[test]
fn a_copy_of_a_live_pool_is_refused_or_looked_through() {
    let (mut server, mut client) = start(Setup::pmedis("64m"));
    fill(&mut client, 1000, 100);
    run(
        &mut client,
        "PM.HSET h f v -> 1\nPM.CHECK h -> OK\nPM.CHECK -> [sound 1001 damaged 0 names []]",
    );
    let live = server.setup().dir().join("live.pool");
    fs::copy(server.setup().pool(), &live).unwrap();
    let path = live.to_string_lossy().into_owned();
    let on_copy = |arguments: &[&str]| {
        Setup::native()
            .force_pmem()
            .module(&[&["path", &path], arguments].concat())
    };
    for _ in 0..2 {
        told(&on_copy(&[]).refusal(), &["is a copy", "'copy accept'"]);
    }
    let keys = pm_keys(&mut client, 1);
    let (mut accepted, mut other) = start(on_copy(&["copy", "accept"]));
    assert!(
        accepted
            .log()
            .contains("0 keys of the pool are damaged, 1001 are sound")
    );
    assert_eq!(pm_keys(&mut other, 1), keys);
    // It is a pool of its own now, also after a kill.
    drop(crash(&mut accepted));
    accepted.stop();
    start(on_copy(&[])).0.stop();
    // A live copy that is put in the place of the original is found out as well, if the server has
    // gone on since.
    fs::copy(server.setup().pool(), &live).unwrap();
    let mark = || {
        let file = MarkedFile::open(&server.setup().pool(), &LAYOUT)
            .unwrap()
            .unwrap();
        file.get().expect("tmpfs keeps marks")
    };
    let before = mark();
    run(&mut client, "PM.SET more v -> OK");
    wait_for("the mark tells of the change", || mark() != before);
    server.kill9();
    fs::copy(&live, server.setup().pool()).unwrap();
    let refusal = server.restart().expect_err("a copy");
    told(&refusal, &["is a copy"]);
    // A copy of a pool that was shut down is as good as the original.
    fs::remove_file(server.setup().pool()).unwrap();
    server.restart().unwrap();
    fill(&mut server.client(), 10, 100);
    server.stop();
    fs::copy(server.setup().pool(), &live).unwrap();
    run(&mut start(on_copy(&[])).1, "PM.DBSIZE -> 10");
}

#[test]
fn damaged_keys_are_told_of() {
    let (mut server, mut client) = start(Setup::pmedis("64m"));
    run(&mut client, "PM.SET sound v -> OK");
    for n in 0..20 {
        run(&mut client, &format!("PM.HSET damaged-hash f{n} v -> 1"));
    }
    // The last records of the log are done again at the start: these are to be about something
    // else.
    for n in 0..5 {
        run(&mut client, &format!("PM.SET sound v{n} -> OK"));
    }
    server.stop();
    let pool = fs::read(server.setup().pool()).unwrap();
    let name = b"damaged-hash";
    let at = (48..pool.len() - name.len())
        .step_by(8)
        .find(|&at| pool[at..].starts_with(name) && pool[at - 16] == 20)
        .expect("the key is in the pool");
    let mut file = OpenOptions::new()
        .write(true)
        .open(server.setup().pool())
        .unwrap();
    file.seek(SeekFrom::Start(at as u64 - 16)).unwrap();
    file.write_all(&[21]).unwrap();
    drop(file);
    server.restart().unwrap();
    let mut client = server.client();
    let about = ask(&mut client, "PM.CHECK damaged-hash");
    assert!(about.contains("damaged"), "{about}");
    run(
        &mut client,
        "
        SET native v -> OK
        PM.CHECK sound -> OK
        PM.CHECK absent -> (error) ERR no such key
        PM.CHECK native -> (error) WRONGTYPE Operation against a key holding the wrong kind of value
        PM.CHECK a b -> (error) ERR wrong number of arguments for 'pm.check' command
        PM.CHECK -> [sound 1 damaged 1 names [damaged-hash]]
        DEL damaged-hash
        PM.CHECK -> [sound 1 damaged 0 names []]
        ",
    );
}

#[test]
fn a_child_ends_with_its_server_and_keeps_nobody_out() {
    let (mut server, mut client) = start(Setup::pmedis_with("256m", &["rdb", "full"]));
    fill(&mut client, 2000, 50_000);
    // A child that would take a minute and more.
    run(&mut client, "CONFIG SET rdb-key-save-delay 100000 -> OK");
    expect(&mut client, "BGSAVE", "Background saving started");
    wait_for("the child is at work", || {
        info(&mut client, "rdb_bgsave_in_progress") == "1"
    });
    let pid = server.pid();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let child = children
        .split_whitespace()
        .next()
        .expect("a child")
        .to_owned();
    let killed = Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    server.wait_for_end();
    // The child would be at work for minutes; the next server waits for it for a minute at most.
    server.restart().unwrap();
    expect(&mut server.client(), "PM.DBSIZE", "2000");
    wait_for("the child is gone", || {
        !Path::new("/proc").join(&child).exists()
    });
}

#[test]
fn a_start_waits_for_the_process_that_has_the_pool() {
    let (mut server, mut client) = start(Setup::pmedis("16m"));
    run(&mut client, "PM.SET k v -> OK");
    let second = Setup::native()
        .force_pmem()
        .module(&["path", server.setup().pool().to_str().unwrap()]);
    let began = Instant::now();
    let refusal = second.refusal();
    told(&refusal, &["in use by another process"]);
    assert!(refusal.log.contains("waiting for"), "{refusal:?}");
    assert!(began.elapsed() >= Duration::from_secs(2));
    // One that ends meanwhile leaves the pool to the next.
    let log = second.dir().join("redis.log");
    fs::remove_file(&log).unwrap();
    let second = std::thread::spawn(move || {
        let server = second
            .start()
            .unwrap_or_else(|refusal| panic!("{refusal:?}"));
        expect(&mut server.client(), "PM.GET k", "v");
        server.log()
    });
    wait_for("the second server waits", || {
        fs::read(&log).is_ok_and(|log| String::from_utf8_lossy(&log).contains("waiting for"))
    });
    server.kill9();
    let log = second.join().expect("the second server serves");
    assert!(log.contains("waiting for"), "{log}");
}

#[test]
fn more_databases_than_a_pool_can_have_are_refused_at_the_start() {
    let refusal = Setup::pmedis("16m").directive("databases 65537").refusal();
    told(&refusal, &["65537 databases", "65536"]);
    let (_server, mut client) = start(Setup::pmedis("16m").directive("databases 65536"));
    run(
        &mut client,
        "SELECT 65535 -> OK\nPM.SET k v -> OK\nPM.GET k -> v",
    );
}

#[test]
fn a_pool_with_holes_gets_its_blocks_or_says_why_not() {
    let (mut server, mut client) = start(Setup::pmedis("16m"));
    fill(&mut client, 10, 100);
    server.stop();
    let home = Setup::native();
    let Some(disk) = SmallDisk::mount(home.dir().join("disk"), 24) else {
        eprintln!("skipped: nothing can be mounted here");
        return;
    };
    let pool = disk.path().join("sparse.pool");
    let copied = Command::new("cp")
        .arg("--sparse=always")
        .args([&server.setup().pool(), &pool])
        .status()
        .unwrap();
    assert!(copied.success());
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![1u8; 20 << 20]).unwrap();
    let setup = Setup::native()
        .force_pmem()
        .module(&["path", pool.to_str().unwrap()]);
    told(&setup.refusal(), &["no space for a pool", "holes"]);
    fs::remove_file(&filler).unwrap();
    let (mut server, mut client) = start(setup);
    fs::write(&filler, vec![1u8; 7 << 20]).unwrap();
    fill(&mut client, 30, 100_000);
    expect(&mut client, "PM.DBSIZE", "30");
    server.stop();
}

#[test]
fn a_pool_that_is_cut_off_ends_the_server_with_a_line_that_says_so() {
    let (mut server, mut client) = start(Setup::pmedis("16m"));
    fill(&mut client, 10, 100);
    let file = OpenOptions::new()
        .write(true)
        .open(server.setup().pool())
        .unwrap();
    file.set_len(1 << 20).unwrap();
    for n in 0..100 {
        client.queue(&["PM.SET".to_owned(), format!("new:{n}"), "x".repeat(100_000)]);
    }
    // The server may be gone before it has read all of them.
    let _ = client.send();
    while client.receive().is_ok() {}
    server.wait_for_end();
    let log = server.log();
    let line = log
        .lines()
        .find(|line| line.contains("does not give a page of the pool"));
    assert!(line.is_some_and(|line| line.contains("<pmedis>")), "{log}");
}

#[test]
fn an_aof_beside_another_pool_is_noticed() {
    let setup = Setup::pmedis("16m")
        .directive("appendonly yes")
        .directive("appendfsync always");
    let (mut server, mut client) = start(setup);
    run(&mut client, "SET native v -> OK\nPM.SET k v -> OK");
    let aof = |server: &Server| {
        let dir = server.setup().dir().join("appendonlydir");
        let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
        let texts = files.map(|file| fs::read(file).unwrap());
        String::from_utf8_lossy(&texts.collect::<Vec<_>>().concat()).into_owned()
    };
    wait_for("the AOF tells of the pool", || {
        aof(&server).contains("PM.POOL")
    });
    let mut client = crash(&mut server);
    run(&mut client, "PM.GET k -> v\nGET native -> v");
    // After a rewrite, too; and no more often than that.
    run(&mut client, "DEL k -> 1\nBGREWRITEAOF");
    wait_for("the AOF is rewritten", || {
        info(&mut client, "aof_rewrite_in_progress") == "0"
    });
    assert!(
        !aof(&server).contains("PM.POOL"),
        "an empty pool is not told of"
    );
    run(&mut client, "PM.SET k v -> OK");
    wait_for("the AOF tells of the pool", || {
        aof(&server).contains("PM.POOL")
    });
    server.kill9();
    fs::rename(
        server.setup().pool(),
        server.setup().dir().join("lost.pool"),
    )
    .unwrap();
    for _ in 0..2 {
        let refusal = server.restart().expect_err("the pool is lost");
        told(
            &refusal,
            &["the AOF tells of a pool with keys", "'orphans drop'"],
        );
    }
    fs::rename(
        server.setup().dir().join("lost.pool"),
        server.setup().pool(),
    )
    .unwrap();
    server.restart().unwrap();
    run(&mut server.client(), "PM.GET k -> v\nGET native -> v");
    server.stop();
    fs::remove_file(server.setup().pool()).unwrap();
    let path = server.setup().pool().to_string_lossy().into_owned();
    let dir = server.setup().dir().to_string_lossy().into_owned();
    let lenient = Setup::native()
        .force_pmem()
        .directive("appendonly yes")
        .directive("appendfsync always")
        .directive(&format!("dir {dir}"))
        .module(&["path", &path, "size", "16m", "orphans", "drop"]);
    let (_lenient, mut client) = start(lenient);
    run(&mut client, "PM.DBSIZE -> 0\nGET native -> v");
}

#[test]
fn keys_move_to_a_larger_pool_elsewhere() {
    let (mut server, mut client) = start(Setup::pmedis("16m").keep_port());
    fill(&mut client, 50, 1000);
    let before = digest(&mut client);
    let rdb = server.setup().dir().join("dump.rdb");
    take(&server, &rdb);
    server.stop();
    let larger = server
        .setup()
        .dir()
        .join("larger.pool")
        .to_string_lossy()
        .into_owned();
    let moved = Setup::native()
        .force_pmem()
        .module(&["path", &larger, "size", "64m"]);
    fs::rename(&rdb, moved.dir().join("dump.rdb")).unwrap();
    let (_moved, mut client) = start(moved);
    assert_eq!(digest(&mut client), before);
}

/// Where the server's RDB is, can change while a child writes one.
#[test]
fn a_backup_is_refused_though_it_lay_where_a_child_could_have_written() {
    let (_made, file, _) = backup(3);
    let setup = Setup::pmedis_with("64m", &["rdb", "full"])
        .keep_port()
        .directive("enable-protected-configs local");
    let (mut server, mut client) = start(setup);
    fill(&mut client, 20, 100);
    let path = |name: &str| server.setup().dir().join(name);
    fs::copy(&file, path("backup.rdb")).unwrap();
    expect(&mut client, "SAVE", "OK");
    run(&mut client, "CONFIG SET rdb-key-save-delay 50000 -> OK");
    expect(&mut client, "BGSAVE", "Background saving started");
    run(&mut client, "CONFIG SET dbfilename backup.rdb -> OK");
    wait_for("the child is done", || {
        info(&mut client, "rdb_bgsave_in_progress") == "0"
    });
    server.kill9();
    server.configure("dbfilename backup.rdb");
    let refusal = server.restart().expect_err("it is no file of this server");
    told(&refusal, &["backup.rdb has values of PM keys"]);
    // What the child has written is known.
    server.configure("");
    server.restart().unwrap();
    run(&mut server.client(), "PM.DBSIZE -> 20");
}
