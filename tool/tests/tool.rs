//! The tool against pools that servers have left: nothing in them changes, all of them comes out,
//! and what is damaged is told of.

mod pools;

use pools::{fill, pmedis, start, text};
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use testkit::contents::{Content, contents};
use testkit::replication::{pm_digests, wait_for};
use testkit::script::run;
use testkit::server::{Server, Setup};

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
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    let file = server.setup().dir().join("commands");
    fs::write(&file, output.stdout).unwrap();
    let native = Setup::native().start().unwrap();
    pipe(&native, &file);
    run(
        &mut native.client(),
        "GET s -> v\nZSCORE z a -> 1.5\nLRANGE l 0 -1 -> [a b]\nDBSIZE -> 3",
    );
}

/// Not every server knows the command.
#[test]
fn expire_times_of_fields_in_native_commands_are_told_of() {
    let (mut server, mut client) = start();
    run(
        &mut client,
        "PM.HSET h f v g w\nPM.HEXPIRE h 1000 FIELDS 1 f",
    );
    server.stop();
    let output = pmedis(&["export", "--native"], &server.setup().pool());
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).contains("HPEXPIREAT"));
    let told = text(&output.stderr);
    assert!(
        told.contains("1 hash field with an expire time: HPEXPIREAT"),
        "{told}"
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
        told.contains("18 keys written; 2 hash fields lost their expire times"),
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
fn a_damaged_pool_is_not_replaced() {
    let server = stopped_with_a_damaged_hash();
    let files = || fs::read_dir(server.setup().dir()).unwrap().count();
    let before = files();
    // It keeps its bytes.
    let compacted = pmedis(&["compact"], &server.setup().pool());
    let told = text(&compacted.stderr);
    assert_eq!(compacted.status.code(), Some(1), "{told}");
    assert!(told.contains("damaged-hash is not whole") && told.contains("use copy"));
    assert_eq!(files(), before);
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
    assert_eq!(text(&checked.stdout), "16 keys sound, 0 damaged\n");
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
        "16 keys, 1 with an expire time; 0 unreadable",
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
        told.contains("damaged-hash in database 0: ") && told.contains("1 key sound, 1 damaged"),
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
        "EXIT STATUS",
    ] {
        assert!(manual.contains(word), "{word}: {manual}");
    }
}
