//! The tool against pools that servers have left: nothing in them changes, all of them comes out,
//! and what is damaged is told of.

use pmedis_testkit::client::Client;
use pmedis_testkit::contents::{Content, contents};
use pmedis_testkit::replication::{pm_digests, wait_for};
use pmedis_testkit::script::run;
use pmedis_testkit::server::{Server, Setup};
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn start() -> (Server, Client) {
    let server = Setup::pmedis("64m").start().unwrap();
    let client = server.client();
    (server, client)
}

/// Runs the tool, and shows that the pool keeps its bytes.
fn pmedis(words: &[&str], pool: &Path) -> Output {
    let before = fs::read(pool).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_pmedis"))
        .args(&words[..1])
        .arg(pool)
        .args(&words[1..])
        .output()
        .expect("the tool runs");
    assert!(
        fs::read(pool).unwrap() == before,
        "{words:?} has changed the pool"
    );
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Keys of all types, small and large, in two databases, some of which expire.
fn fill(client: &mut Client) {
    run(
        client,
        "PM.SET small v
        PM.SET number 12345
        PM.SET expires v PXAT 99999999999999
        PM.RPUSH list a b 3 -7
        PM.HSET hash f v g 12
        PM.HSET times f v g w h x
        PM.HPEXPIREAT times 4102444800000 FIELDS 1 g
        PM.SADD numbers 1 2 3
        PM.SADD words a b 3
        PM.ZADD zset 1.5 a -inf b 1e300 c
        SELECT 3
        PM.SET small other
        PM.SET native:looking v
        SELECT 0",
    );
    let large = vec![b'\0'; 300_000];
    client.call(&[b"PM.SET".as_slice(), b"large", &large]);
    for i in 0..2000 {
        let n = i.to_string();
        client.queue(&["PM.RPUSH", "long list", &n]);
        client.queue(&["PM.HSET", "long hash", &n, "v"]);
        client.queue(&["PM.SADD", "long set", &format!("m{n}")]);
        client.queue(&["PM.ZADD", "long zset", &n, &n]);
    }
    client.send().unwrap();
    for _ in 0..8000 {
        let reply = client.receive().unwrap();
        assert!(!reply.is_error(), "{reply:?}");
    }
}

/// Sends a file of commands to a server.
fn pipe(server: &Server, commands: &Path) {
    let output = Command::new("redis-cli")
        .args(["-p", &server.address().port().to_string(), "--pipe"])
        .stdin(Stdio::from(File::open(commands).unwrap()))
        .output()
        .expect("redis-cli runs");
    let told = text(&output.stdout);
    assert!(
        output.status.success() && told.contains("errors: 0"),
        "{told}{}",
        text(&output.stderr)
    );
}

#[test]
fn what_is_exported_is_what_was_there() {
    let (mut server, mut client) = start();
    fill(&mut client);
    let expected = pm_digests(&mut client);
    assert_eq!(expected.len(), 16);
    // A kill leaves the last steps to be done again.
    server.kill9();
    let pool = server.setup().pool();
    let file = server.setup().dir().join("commands");
    let output = pmedis(&["export", "--output", file.to_str().unwrap()], &pool);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (other, mut client) = start();
    pipe(&other, &file);
    assert_eq!(pm_digests(&mut client), expected);
    // The pool serves as before.
    server.restart().unwrap();
    assert_eq!(pm_digests(&mut server.client()), expected);
}

#[test]
fn natively_exported_keys_need_no_module() {
    let (mut server, mut client) = start();
    run(&mut client, "PM.SET s v\nPM.ZADD z 1.5 a\nPM.RPUSH l a b");
    server.stop();
    let output = pmedis(&["export", "--native"], &server.setup().pool());
    let file = server.setup().dir().join("commands");
    fs::write(&file, output.stdout).unwrap();
    let native = Setup::native().start().unwrap();
    pipe(&native, &file);
    run(
        &mut native.client(),
        "GET s -> v\nZSCORE z a -> 1.5\nLRANGE l 0 -1 -> [a b]\nDBSIZE -> 3",
    );
}

/// Starts a server without the module whose RDB is this file.
fn native_with(rdb: &Path) -> Server {
    let setup = Setup::native();
    fs::copy(rdb, setup.dir().join("dump.rdb")).unwrap();
    setup.start().unwrap()
}

#[test]
fn a_pool_becomes_an_rdb_that_needs_no_module() {
    let (mut server, mut client) = start();
    fill(&mut client);
    run(
        &mut client,
        "SELECT 3
        PM.SET \"\" \"\"
        PM.HSET gone f v
        PM.HPEXPIREAT gone 4102444800000 FIELDS 1 f
        SELECT 0",
    );
    let mut expected = contents(&mut client);
    let lost: u64 = expected.values_mut().map(lose_field_times).sum();
    assert_eq!(lost, 2);
    // A kill leaves the last steps to be done again.
    server.kill9();
    let rdb = server.setup().dir().join("native.rdb");
    let exported = pmedis(
        &["export", "--rdb", "--output", rdb.to_str().unwrap()],
        &server.setup().pool(),
    );
    let told = text(&exported.stderr);
    assert!(exported.status.success(), "{told}");
    assert!(
        told.contains("18 keys written; 2 fields of hashes lost their expire times"),
        "{told}"
    );
    let native = native_with(&rdb);
    assert_eq!(contents(&mut native.client()), expected);
    // Nothing else is left beside it.
    let mut names = fs::read_dir(server.setup().dir()).unwrap();
    assert!(
        names.all(|name| !text(name.unwrap().file_name().as_encoded_bytes()).ends_with(".part"))
    );
}

/// Takes the expire times from a hash's fields; how many there were.
fn lose_field_times(content: &mut Content) -> u64 {
    let mut lost = 0;
    if content.kind == "hash" {
        for field in &mut content.value {
            let end = field.iter().rposition(|&byte| byte == b'@').unwrap();
            if &field[end..] != b"@-1" {
                lost += 1;
                field.truncate(end);
                field.extend(b"@-1");
            }
        }
    }
    lost
}

#[test]
fn damaged_values_are_cut_short_in_an_rdb() {
    let (mut server, mut client) = start();
    run(&mut client, "PM.RPUSH sound a b c -> 3\nPM.SET s v -> OK");
    for n in 0..20 {
        run(&mut client, &format!("PM.HSET damaged-hash f{n} v -> 1"));
    }
    for n in 0..5 {
        run(&mut client, &format!("PM.SET sound-too v{n} -> OK"));
    }
    server.stop();
    damage_count(&server.setup().pool(), b"damaged-hash", 20, 21);
    let rdb = server.setup().dir().join("native.rdb");
    let exported = pmedis(
        &["export", "--rdb", "--output", rdb.to_str().unwrap()],
        &server.setup().pool(),
    );
    let told = text(&exported.stderr);
    assert_eq!(exported.status.code(), Some(1), "{told}");
    assert!(told.contains("damaged-hash is not whole"), "{told}");
    assert!(told.contains("4 keys written, 1 damaged ones"), "{told}");
    let native = native_with(&rdb);
    run(
        &mut native.client(),
        "LRANGE sound 0 -1 -> [a b c]\nGET sound-too -> v4\nGET s -> v\nHLEN damaged-hash -> 20",
    );
}

#[test]
fn copies_hold_what_the_pool_holds() {
    let (mut server, mut client) = start();
    fill(&mut client);
    for n in 0..4000 {
        client.call(&["PM.SET", &format!("gone:{n}"), "v"]);
    }
    for n in 0..4000 {
        client.call(&["PM.DEL", &format!("gone:{n}")]);
    }
    let expected = pm_digests(&mut client);
    server.kill9();
    let (pool, to) = (
        server.setup().pool(),
        server.setup().dir().join("larger.pool"),
    );
    let copied = pmedis(&["copy", to.to_str().unwrap(), "--size", "96m"], &pool);
    assert!(copied.status.success(), "{}", text(&copied.stderr));
    assert!(
        text(&copied.stdout).starts_with("16 keys, 0 damaged; "),
        "{}",
        text(&copied.stdout)
    );
    assert_eq!(fs::metadata(&to).unwrap().len(), 96 << 20);
    // There is nothing to overwrite by mistake.
    let again = pmedis(&["copy", to.to_str().unwrap()], &pool);
    assert_eq!(again.status.code(), Some(2));
    fs::rename(&to, &pool).unwrap();
    server.restart().unwrap();
    assert_eq!(pm_digests(&mut server.client()), expected);
    server.stop();
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let before = inode(&pool);
    let compacted = Command::new(env!("CARGO_BIN_EXE_pmedis"))
        .arg("compact")
        .arg(&pool)
        .args(["--size", "48m"])
        .output()
        .expect("the tool runs");
    assert!(compacted.status.success(), "{}", text(&compacted.stderr));
    assert_ne!(inode(&pool), before);
    assert_eq!(fs::metadata(&pool).unwrap().len(), 48 << 20);
    server.restart().unwrap();
    assert_eq!(pm_digests(&mut server.client()), expected);
}

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
    assert_eq!(text(&imported.stdout), "15 keys\n1 streams are left out\n");
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

#[test]
fn a_copy_that_is_killed_leaves_the_pool_as_it_was() {
    let (mut server, mut client) = start();
    fill(&mut client);
    let large = vec![b'x'; 1 << 20];
    for n in 0..30 {
        client.call(&[
            b"PM.SET".as_slice(),
            format!("large:{n}").as_bytes(),
            &large,
        ]);
    }
    let expected = pm_digests(&mut client);
    server.stop();
    let pool = server.setup().pool();
    let before = fs::read(&pool).unwrap();
    let files = || fs::read_dir(server.setup().dir()).unwrap().count();
    let others = files();
    let mut child = Command::new(env!("CARGO_BIN_EXE_pmedis"))
        .arg("compact")
        .arg(&pool)
        .spawn()
        .expect("the tool runs");
    // The new pool is there, under its other name.
    wait_for("the copy has begun", || {
        files() > others || child.try_wait().unwrap().is_some()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    if fs::read(&pool).unwrap() == before {
        // A part that nobody uses is left.
        assert!(files() > others);
    }
    server.restart().unwrap();
    assert_eq!(pm_digests(&mut server.client()), expected);
}

/// A server that has ended, in whose pool the hash `damaged-hash` of 20 fields claims to have 21.
fn stopped_with_a_damaged_hash() -> Server {
    let (mut server, mut client) = start();
    for n in 0..20 {
        run(&mut client, &format!("PM.HSET damaged-hash f{n} v -> 1"));
    }
    // The last records of the log are done again at the start: these are to be about something
    // else.
    for n in 0..5 {
        run(&mut client, &format!("PM.SET sound v{n} -> OK"));
    }
    server.stop();
    damage_count(&server.setup().pool(), b"damaged-hash", 20, 21);
    server
}

#[test]
fn copies_have_of_damaged_values_what_can_be_read() {
    let mut server = stopped_with_a_damaged_hash();
    let pool = server.setup().pool();
    let to = server.setup().dir().join("other.pool");
    let copied = pmedis(&["copy", to.to_str().unwrap()], &pool);
    assert_eq!(copied.status.code(), Some(1), "{}", text(&copied.stderr));
    assert!(text(&copied.stderr).contains("damaged-hash is not whole"));
    fs::rename(&to, &pool).unwrap();
    server.restart().unwrap();
    run(
        &mut server.client(),
        "PM.HLEN damaged-hash -> 20\nPM.GET sound -> v4\nPM.CHECK -> [sound 2 damaged 0 names []]",
    );
}

#[test]
fn a_file_that_cannot_be_made_leaves_what_was_there() {
    let (mut server, mut client) = start();
    run(&mut client, "PM.SET s v");
    server.stop();
    let other = server.setup().dir().join("other");
    fs::write(&other, "precious").unwrap();
    fs::write(server.setup().dir().join("pool.bad"), vec![7; 1 << 20]).unwrap();
    let failed = pmedis(
        &["export", "--rdb", "--output", other.to_str().unwrap()],
        &server.setup().dir().join("pool.bad"),
    );
    assert_eq!(failed.status.code(), Some(2));
    assert_eq!(fs::read(&other).unwrap(), b"precious");
    let nowhere = server.setup().dir().join("absent/file");
    let failed = pmedis(
        &["export", "--rdb", "--output", nowhere.to_str().unwrap()],
        &server.setup().pool(),
    );
    assert_eq!(failed.status.code(), Some(2), "{failed:?}");
}

#[test]
fn sound_pools_are_told_sound_and_reported() {
    let (mut server, mut client) = start();
    fill(&mut client);
    server.stop();
    let pool = server.setup().pool();
    let checked = pmedis(&["check"], &pool);
    assert!(checked.status.success());
    assert_eq!(text(&checked.stdout), "16 keys are sound, 0 are damaged\n");
    let page = server.setup().dir().join("report.html");
    let told = pmedis(
        &["info", "--html", page.to_str().unwrap(), "--largest", "3"],
        &pool,
    );
    assert!(told.status.success());
    let told = text(&told.stdout);
    for line in [
        "size",
        "67108864",
        "sorted sets",
        "16 keys, 1 of them expire; 0 cannot be read",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let largest = told.split("Largest keys").nth(1).unwrap();
    assert!(
        largest.contains("large") && !largest.contains("small"),
        "{told}"
    );
    let html = fs::read_to_string(page).unwrap();
    assert!(
        html.contains("<td>large</td>") && html.ends_with("</html>\n"),
        "{html}"
    );
}

/// Has the record of a key, whose root ends with a count, tell another one.
fn damage_count(path: &Path, name: &[u8], count: u8, other: u8) {
    let pool = fs::read(path).unwrap();
    let at = (48..pool.len() - name.len())
        .step_by(8)
        .find(|&at| pool[at..].starts_with(name) && pool[at - 16] == count)
        .expect("the key is in the pool");
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at as u64 - 16)).unwrap();
    file.write_all(&[other]).unwrap();
}

#[test]
fn damaged_values_are_named_and_the_rest_comes_out() {
    let server = stopped_with_a_damaged_hash();
    let path = server.setup().pool();
    let checked = pmedis(&["check"], &path);
    let told = text(&checked.stdout);
    assert_eq!(checked.status.code(), Some(1), "{told}");
    assert!(
        told.contains("damaged-hash in database 0: ")
            && told.contains("1 keys are sound, 1 are damaged"),
        "{told}"
    );
    let exported = pmedis(&["export"], &path);
    assert_eq!(exported.status.code(), Some(1));
    assert!(text(&exported.stdout).contains("sound\r\n$2\r\nv4"));
    assert!(
        text(&exported.stderr).contains("damaged-hash is not whole"),
        "{}",
        text(&exported.stderr)
    );
}

#[test]
fn what_is_no_free_pool_is_refused() {
    let (server, _client) = start();
    let pool = server.setup().pool();
    let tool = |path: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pmedis"));
        command
            .arg("check")
            .arg(path)
            .output()
            .expect("the tool runs")
    };
    let busy = tool(&pool);
    assert_eq!(busy.status.code(), Some(2), "{busy:?}");
    let other = server.setup().dir().join("other");
    fs::write(&other, vec![7; 1 << 20]).unwrap();
    for path in [other.as_path(), Path::new("/absent/pool")] {
        let refused = tool(path);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(text(&refused.stderr).starts_with("pmedis: "), "{refused:?}");
    }
}

#[test]
fn the_manual_page_has_all_commands() {
    let output = Command::new(env!("CARGO_BIN_EXE_pmedis"))
        .arg("man")
        .output()
        .expect("the tool runs");
    let manual = text(&output.stdout);
    for word in [
        "check",
        "info",
        "export",
        "import",
        "copy",
        "compact",
        "\\-\\-native",
        "\\-\\-rdb",
        "\\-\\-html",
        "Exit status",
    ] {
        assert!(manual.contains(word), "{word}: {manual}");
    }
}
