//! Pools that are made of RDB files, of which each has something that is no key of a pool.

mod made;

use made::{alone, keys, text, tool};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use testkit::packaged::Packaged;
use testkit::script::run;
use testkit::server::Setup;

/// An RDB file of these entries, without a checksum.
fn file(entries: &[&[u8]]) -> Vec<u8> {
    [b"REDIS0011", &*entries.concat(), &[255], &[0; 8]].concat()
}

fn import(from: &Path, to: &Path) -> Output {
    let words = [OsStr::new("import"), from.as_os_str(), to.as_os_str()];
    tool(words.into_iter().chain([OsStr::new("--size=16m")]))
}

/// What the tool says of a file of these entries, and the keys that it makes of them.
fn imported(entries: &[&[u8]], status: i32) -> (String, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let (rdb, pool) = (dir.path().join("rdb"), dir.path().join("pool"));
    fs::write(&rdb, file(entries)).unwrap();
    let output = import(&rdb, &pool);
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    let told = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(pool.exists(), status < 2, "{told}");
    let keys = if pool.exists() {
        keys(&pool)
    } else {
        Vec::new()
    };
    (told, keys)
}

const KEY: &[u8] = b"\0\x01k\x01v";

#[test]
fn functions_are_told_of() {
    let _alone = alone();
    let library: &[u8] = b"\xf5\x0d#!lua name=l\n";
    let (told, there) = imported(&[library, KEY], 1);
    assert_eq!(told, "1 key\n1 function library left out\n");
    assert_eq!(there, ["k"]);
    let (told, _) = imported(&[library, library, KEY], 1);
    assert_eq!(told, "1 key\n2 function libraries left out\n");
}

#[test]
fn a_database_that_no_pool_has_is_named() {
    let _alone = alone();
    let (_, there) = imported(&[b"\xfe\x80\0\0\xff\xff", KEY], 0);
    assert_eq!(there, ["k"]);
    for (number, name) in [
        (&b"\x80\0\x01\0\0"[..], "65536"),
        (b"\x81\xff\0\0\0\0\0\0\0", "18374686479671623680"),
    ] {
        let (told, _) = imported(&[b"\xfe", number, KEY], 2);
        let expected = format!("the key k is in database {name}: ");
        assert!(told.contains(&expected), "{told}");
    }
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    let _alone = alone();
    let (told, _) = imported(&[KEY, b"\0\x01k\x01w"], 2);
    let expected = "the key k of database 0 is there twice";
    assert!(told.contains(expected), "{told}");
    let (told, _) = imported(&[KEY, b"\xfe\x01", KEY], 0);
    assert_eq!(told, "2 keys\n");

    let dir = tempfile::tempdir().unwrap();
    let (commands, pool) = (dir.path().join("commands"), dir.path().join("pool"));
    let set = |key| format!("*3\r\n$3\r\nSET\r\n$1\r\n{key}\r\n$1\r\nv\r\n");
    fs::write(&commands, set("k") + &set("l") + &set("k")).unwrap();
    let refused = import(&commands, &pool);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(text(&refused.stderr).contains(expected), "{refused:?}");
}

/// A file is read twice: first, whether it has its checksum.
#[test]
fn a_pipe_has_commands() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let import = |bytes: &[u8], name: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pmedis"))
            .args(["import", "/dev/stdin", name, "--size=16m"])
            .current_dir(&dir)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool runs");
        let mut input = child.stdin.take().unwrap();
        input.write_all(bytes).unwrap();
        drop(input);
        child.wait_with_output().unwrap()
    };
    let taken = import(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n", "one");
    assert!(taken.status.success(), "{taken:?}");
    assert_eq!(keys(&dir.path().join("one")), ["k"]);
    let refused = import(&file(&[KEY]), "other");
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let told = text(&refused.stderr);
    assert!(told.contains("/dev/stdin: an RDB is read twice"), "{told}");
}

/// Valkey has them; Redis would not start with a file that has them.
#[test]
fn fields_that_expire_later_than_redis_can_have_are_permanent_there() {
    let _alone = alone();
    let setup = Setup::native().on(&Packaged::named("redis-8.6"));
    let (pool, rdb) = (setup.dir().join("pool"), setup.dir().join("dump.rdb"));
    let latest = "70368744177663";
    made::make_of(
        &pool,
        &[
            &["PM.HSET", "h", "f", "1", "g", "2", "h", "3"],
            &["PM.HPEXPIREAT", "h", latest, "FIELDS", "1", "f"],
            &["PM.HPEXPIREAT", "h", "900000000000000", "FIELDS", "1", "g"],
            &["PM.HSET", "late", "f", "1"],
            &[
                "PM.HPEXPIREAT",
                "late",
                "900000000000000",
                "FIELDS",
                "1",
                "f",
            ],
        ],
    );
    let words = ["export", "--rdb=redis", "-o"].map(OsStr::new);
    let files = [rdb.as_os_str(), pool.as_os_str()];
    let exported = tool(words.into_iter().chain(files));
    let told = text(&exported.stderr);
    assert!(exported.status.success(), "{told}");
    assert!(
        told.contains("2 hash fields lost their expire times: Redis has none after the year 4199"),
        "{told}"
    );
    let server = setup.start().unwrap();
    run(
        &mut server.client(),
        "HPEXPIRETIME h FIELDS 3 f g h -> [70368744177663 -1 -1]
        HGETALL late -> [f 1]",
    );
}

/// What was done is done, though nobody can be told.
#[test]
fn a_summary_that_cannot_be_written_is_no_failure() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("rdb"), file(&[KEY])).unwrap();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for (words, there) in [
        (&["import", "rdb", "pool", "--size=16m"][..], "pool"),
        (&["copy", "pool", "copied"], "copied"),
        (&["compact", "pool"], "pool"),
        (&["export", "--rdb", "-o", "exported", "pool"], "exported"),
    ] {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_pmedis"));
        tool.args(words).current_dir(&dir);
        let done = tool.stdout(full()).output().unwrap();
        assert_eq!(done.status.code(), Some(0), "{words:?}: {done:?}");
        let is_told = text(&done.stderr).contains("it is done; the standard output: ");
        assert_eq!(is_told, words[0] != "export", "{words:?}: {done:?}");
        assert!(dir.path().join(there).exists());
    }
    let mut tool = Command::new(env!("CARGO_BIN_EXE_pmedis"));
    tool.args(["export", "--rdb", "-o", "other", "pool"]);
    let done = tool.current_dir(&dir).stderr(full()).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(dir.path().join("other").exists());
}
