//! Pools that the tool makes: of an RDB file of a server without the module, and of what it has
//! exported itself.

mod pools;

use pools::{fill, pmedis, start, text};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use testkit::client::Client;
use testkit::contents::contents;
use testkit::replication::pm_digests;
use testkit::script::run;
use testkit::server::{Server, Setup};

/// Runs the tool with a file, another one, and a size.
fn import(file: &Path, to: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pmedis"))
        .arg("import")
        .args([file, to])
        .args(["--size", "64m"])
        .output()
        .expect("the tool runs")
}

/// A server on a pool that was made by the tool.
fn serving(pool: &Path) -> (Server, Client) {
    let setup = Setup::pmedis("64m");
    fs::copy(pool, setup.pool()).unwrap();
    let server = setup.start().unwrap();
    let client = server.client();
    (server, client)
}

#[test]
fn a_pool_is_made_of_an_rdb_of_a_server_without_the_module() {
    let native = Setup::native().start().unwrap();
    let mut client = native.client();
    run(
        &mut client,
        "SET s v PXAT 4102444800000
        SET number -77
        RPUSH list a b 300 -7 70000
        HSET hash f v g 12
        SADD numbers 1 2 70000
        SADD words a b 3
        ZADD zset 1.5 a -inf b 1e300 c 3 d
        XADD stream 1-1 f v
        SELECT 3
        SET s other
        SELECT 0",
    );
    if native.setup().packaged().has(Some((7, 4)), Some((9, 0))) {
        run(
            &mut client,
            "HPEXPIREAT hash 4102444800000 FIELDS 1 g -> [1]",
        );
    }
    client.call(&["SET", "compressed", &"ab".repeat(5000)]);
    client.call(&[
        "RPUSH",
        "long elements",
        &"x".repeat(9000),
        &"y".repeat(70_000),
        "z",
    ]);
    for n in 0..1500 {
        let n = n.to_string();
        client.queue(&["RPUSH", "long list", &n]);
        client.queue(&["HSET", "long hash", &n, "v"]);
        client.queue(&["SADD", "long set", &format!("m{n}")]);
        client.queue(&["SADD", "large integers", &format!("{n}00000000000")]);
        client.queue(&["ZADD", "long zset", &n, &n]);
    }
    client.send().unwrap();
    for _ in 0..7500 {
        client.receive().unwrap();
    }
    run(&mut client, "SAVE -> OK");
    run(&mut client, "DEL stream");
    let expected = contents(&mut client);
    let dir = native.setup().dir();
    let pool = dir.join("made.pool");
    let imported = import(&dir.join("dump.rdb"), &pool);
    assert_eq!(text(&imported.stdout), "15 keys\n1 stream left out\n");
    assert_eq!(
        imported.status.code(),
        Some(1),
        "{}",
        text(&imported.stderr)
    );
    let (_server, mut client) = serving(&pool);
    assert_eq!(contents(&mut client), expected);
    // A file with a byte changed is not taken, nor is one that is cut, and no pool is left.
    let mut rdb = fs::read(dir.join("dump.rdb")).unwrap();
    let middle = rdb.len() / 2;
    for damage in [middle, rdb.len()] {
        let (other, to) = (dir.join("other.rdb"), dir.join("other.pool"));
        if damage < rdb.len() {
            rdb[middle] ^= 1
        } else {
            rdb.truncate(middle)
        }
        fs::write(&other, &rdb).unwrap();
        let refused = import(&other, &to);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(!to.exists());
    }
}

#[test]
fn a_pool_is_made_of_what_was_exported() {
    let (mut server, mut client) = start();
    fill(&mut client);
    let expected = pm_digests(&mut client);
    server.stop();
    let dir = server.setup().dir();
    for (at, format) in ["--output", "--native", "--rdb=any"].iter().enumerate() {
        let (file, pool) = (dir.join(format!("file{at}")), dir.join(format!("pool{at}")));
        let file_name = file.to_str().unwrap();
        let exported = match *format {
            "--output" => pmedis(&["export", "--output", file_name], &server.setup().pool()),
            form => pmedis(
                &["export", form, "--output", file_name],
                &server.setup().pool(),
            ),
        };
        assert!(exported.status.success(), "{}", text(&exported.stderr));
        let imported = import(&file, &pool);
        assert!(
            imported.status.success(),
            "{format}: {}",
            text(&imported.stderr)
        );
        assert_eq!(text(&imported.stdout), "16 keys\n");
        let (_server, mut client) = serving(&pool);
        let same = pm_digests(&mut client) == expected;
        // That file has no expire times of fields.
        assert_eq!(same, *format != "--rdb=any", "{format}");
        // It is there already.
        assert_eq!(import(&file, &pool).status.code(), Some(2));
    }
    let odd = dir.join("odd");
    for commands in [
        "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        "*1\r\n$9",
        "*3\r\n$3\r\nSET\r\n$1\r\na\r\n",
    ] {
        fs::write(&odd, commands).unwrap();
        let refused = import(&odd, &dir.join("odd.pool"));
        assert_eq!(refused.status.code(), Some(2), "{commands}");
        assert!(!dir.join("odd.pool").exists());
    }
}
