//! Whose a pool is that the tool has made of another: files that the server keeps beside the pool
//! belong to the new one, too.

mod made;

use made::{alone, make, store, text, tool};
use std::ffi::OsStr;
use std::fs;
use testkit::replication::wait_for;
use testkit::script::run;
use testkit::server::{Server, Setup};

fn compact(server: &Server) {
    let pool = server.setup().pool();
    let compacted = tool([OsStr::new("compact"), pool.as_os_str()]);
    assert!(compacted.status.success(), "{}", text(&compacted.stderr));
}

#[test]
fn deleted_keys_stay_deleted_beside_an_rdb_of_native_values() {
    let _alone = alone();
    let setup = Setup::pmedis_with("64m", &["durability", "process", "rdb", "native"]);
    let mut server = setup.start().unwrap();
    run(
        &mut server.client(),
        "PM.SET kept v\nPM.SET gone v\nSAVE -> OK\nPM.DEL gone -> 1",
    );
    server.stop();
    compact(&server);
    server.restart().unwrap();
    run(&mut server.client(), "PM.GET kept -> v\nDBSIZE -> 1");
}

#[test]
fn a_server_with_an_aof_starts_with_the_compacted_pool() {
    let _alone = alone();
    let setup = Setup::pmedis_with("64m", &["durability", "process"]).directive("appendonly yes");
    let mut server = setup.start().unwrap();
    run(&mut server.client(), "PM.SET kept v\nSET native v");
    let files = server.setup().dir().join("appendonlydir");
    wait_for("the AOF tells of the pool", || {
        let mut files = fs::read_dir(&files).unwrap();
        files.any(|file| text(&fs::read(file.unwrap().path()).unwrap()).contains("SEEN"))
    });
    server.stop();
    compact(&server);
    server.restart().unwrap();
    run(&mut server.client(), "PM.GET kept -> v\nGET native -> v");
}

#[test]
fn copies_know_what_the_pool_knows_of_its_rdb() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (pool, rdb) = (path("pool"), path("dump.rdb"));
    make(&pool, &["a"]);
    fs::write(&rdb, "of this pool").unwrap();
    let mut opened = store(&pool);
    let look = store::lifetime::file_look(&rdb);
    opened.note_rdb(look).unwrap();
    opened.close().unwrap();
    let seed = opened.pool.seed();
    drop(opened);
    let copy = path("copy");
    let words = [OsStr::new("copy"), pool.as_os_str(), copy.as_os_str()];
    assert!(tool(words).status.success());
    let compacted = tool([OsStr::new("compact"), pool.as_os_str()]);
    assert!(compacted.status.success(), "{}", text(&compacted.stderr));
    for made in [&pool, &copy] {
        let opened = store(made);
        assert_eq!(opened.pool.seed(), seed);
        assert!(opened.knows_rdb(&rdb, None).unwrap());
        assert!(!opened.knows_rdb(&path("another.rdb"), None).unwrap());
    }
}

#[test]
fn the_journal_of_the_former_pool_is_not_the_copys() {
    let _alone = alone();
    let setup = Setup::pmedis_with("64m", &["durability", "disk"]);
    let mut server = setup.start().unwrap();
    run(&mut server.client(), "PM.SET a 1\nPM.SET b 1\nPM.DEL b");
    server.kill9();
    let (pool, copy) = (server.setup().pool(), server.setup().dir().join("copy"));
    let words = [OsStr::new("copy"), pool.as_os_str(), copy.as_os_str()];
    let copied = tool(words);
    assert!(copied.status.success(), "{}", text(&copied.stderr));
    // The journal is left where it is.
    let journal = pool.with_file_name("pmedis.pool.journal");
    assert!(journal.exists(), "{:?}", fs::read_dir(server.setup().dir()));
    fs::rename(&copy, &pool).unwrap();
    server.restart().unwrap();
    run(
        &mut server.client(),
        "PM.GET a -> 1\nDBSIZE -> 1\nPM.SET a 2\nPM.SET c 2",
    );
    server.kill9();
    server.restart().unwrap();
    run(
        &mut server.client(),
        "PM.GET a -> 2\nPM.GET c -> 2\nDBSIZE -> 2\nPM.CHECK -> [sound 2 damaged 0 names []]",
    );
}
