//! Start-up: arguments and pools that must be refused, each with one line that names the cause
//! and with the file left as it was; and those that must be taken.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::disk::SmallDisk;
use testkit::resp::Value;
use testkit::server::{Refusal, Setup};

/// Starts a server with these module arguments, which must refuse with one warning that contains
/// all of `causes`.
#[track_caller]
fn refuses(setup: Setup, arguments: &[&str], causes: &[&str]) -> Refusal {
    refused(setup.module(arguments).refusal(), causes)
}

#[track_caller]
fn refused(refusal: Refusal, causes: &[&str]) -> Refusal {
    assert_eq!(
        refusal.status.code(),
        Some(1),
        "an orderly exit: {refusal:?}"
    );
    let warnings = refusal.warnings();
    let [warning] = warnings[..] else {
        panic!("one warning expected: {refusal:?}")
    };
    for cause in causes {
        assert!(warning.contains(cause), "{cause:?} is not in {warning:?}");
    }
    refusal
}

/// The same for a pool file (or what is there in its place), which must not change.
#[track_caller]
fn refuses_pool(pool: &Path, setup: Setup, causes: &[&str]) {
    let before = Fingerprint::of(pool);
    let path = pool.to_str().expect("a path in UTF-8");
    for arguments in [&["path", path][..], &["path", path, "size", "64m"]] {
        refuses(setup.clone(), arguments, causes);
        assert_eq!(Fingerprint::of(pool), before, "{path} has changed");
    }
}

/// All that a refused server could have changed.
#[derive(Debug, PartialEq, Eq)]
enum Fingerprint {
    Nothing,
    Directory(Vec<PathBuf>),
    File {
        mode: u32,
        modified: (i64, i64),
        content: Content,
    },
}

#[derive(PartialEq, Eq)]
struct Content(Vec<u8>);

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Fingerprint {
    fn of(path: &Path) -> Self {
        if path.is_dir() {
            let entries = fs::read_dir(path).expect("a readable directory");
            return Self::Directory(
                entries
                    .map(|entry| entry.expect("an entry").path())
                    .collect(),
            );
        }
        let Ok(metadata) = fs::metadata(path) else {
            return Self::Nothing;
        };
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        let content = Content(fs::read(path).expect("a readable file"));
        Self::File {
            mode: metadata.mode(),
            modified,
            content,
        }
    }
}

/// A native setup under which the module would take every file for persistent memory.
fn forced() -> Setup {
    Setup::native().force_pmem()
}

/// A pool that a server has made, used, and closed.
fn used_pool() -> (Setup, PathBuf) {
    let setup = Setup::pmedis("16m");
    let mut server = setup.start().unwrap();
    assert_eq!(
        server.client().call(&["PM.SET", "k", "v"]),
        Value::Simple("OK".into())
    );
    server.stop();
    let pool = setup.pool();
    (setup, pool)
}

#[test]
fn wrong_arguments_are_named() {
    let dir = Setup::native();
    let path = dir.pool();
    let path = path.to_str().unwrap();
    for (arguments, causes) in [
        (&[][..], &["path"][..]),
        (&["size", "64m"], &["path"]),
        (&["path"], &["path", "value"]),
        (&["path", path, "size"], &["size", "value"]),
        (&["path", path, "size", "tiny"], &["size", "tiny"]),
        (&["path", path, "size", "-64m"], &["size", "-64m"]),
        (&["path", path, "size", "64mm"], &["size", "64mm"]),
        (&["path", path, "size", "0"], &["size"]),
        (&["path", path, "size", "64k"], &["65536", "small"]),
        (
            &["path", path, "size", "64m", "colour", "blue"],
            &["colour"],
        ),
        (
            &["path", path, "size", "64m", "size", "64m"],
            &["size", "twice"],
        ),
        (
            &["path", path, "size", "64m", "durability", "eternal"],
            &["durability", "eternal"],
        ),
        (&["path", path], &[path, "size"]),
    ] {
        refuses(forced(), arguments, causes);
        assert_eq!(
            Fingerprint::of(Path::new(path)),
            Fingerprint::Nothing,
            "{arguments:?}"
        );
    }
}

#[test]
fn a_wrong_path_is_refused() {
    let setup = forced();
    let absent = setup.dir().join("absent");
    let causes = [absent.to_str().unwrap(), "does not exist"];
    refuses_pool(&absent.join("pmedis.pool"), setup, &causes);
}

#[test]
fn a_directory_is_refused() {
    let setup = forced();
    let pool = setup.dir().join("directory");
    fs::create_dir(&pool).unwrap();
    refuses_pool(&pool, setup, &[pool.to_str().unwrap(), "directory"]);
}

#[test]
fn an_empty_file_is_refused() {
    let setup = forced();
    let pool = setup.pool();
    fs::write(&pool, b"").unwrap();
    refuses_pool(&pool, setup, &[pool.to_str().unwrap(), "empty"]);
}

#[test]
fn foreign_files_are_refused() {
    let patterned: Vec<u8> = (0..16 << 20).map(|i| (i % 251) as u8).collect();
    for content in [&b"dear diary\n"[..], &[0; 16 << 20], &patterned] {
        let setup = forced();
        let pool = setup.pool();
        fs::write(&pool, content).unwrap();
        refuses_pool(&pool, setup, &[pool.to_str().unwrap(), "not a", "pool"]);
    }
}

#[test]
fn pools_of_other_programs_are_refused() {
    for (arguments, causes) in [
        (&["obj", "--layout", "other"][..], &["layout", "other"][..]),
        (&["obj"], &["layout"]),
        (&["log"], &["not a", "pool"]),
        (&["blk", "512"], &["not a", "pool"]),
    ] {
        let setup = forced();
        let pool = setup.pool();
        let mut command = Command::new("pmempool");
        let made = command
            .arg("create")
            .args(arguments)
            .args(["--size", "32M"])
            .arg(&pool)
            .output();
        let made = made.expect("pmempool can be started");
        assert!(made.status.success(), "{arguments:?}: {made:?}");
        refuses_pool(&pool, setup, causes);
    }
}

/// Makes the format version in a pool's root object one that this module does not know yet.
fn write_newer_format(pool: &Path) {
    // libpmemobj's descriptor holds the root object's offset; docs/format.md has the root object.
    const ROOT_OFFSET_AT: usize = 4096 + 2048;
    let mut bytes = fs::read(pool).unwrap();
    let word = bytes[ROOT_OFFSET_AT..ROOT_OFFSET_AT + 8]
        .try_into()
        .unwrap();
    let root = u64::from_le_bytes(word) as usize;
    assert!(bytes[root..].starts_with(b"PMEDIS\x01\0"));
    bytes[root + 8..root + 12].copy_from_slice(&3u32.to_le_bytes());
    fs::write(pool, bytes).unwrap();
}

#[test]
fn a_newer_format_is_refused() {
    let (_made, pool) = used_pool();
    write_newer_format(&pool);
    let causes = [pool.to_str().unwrap(), "format 3", "newer module"];
    refuses_pool(&pool, forced(), &causes);
}

/// A poolset of two parts in the setup's directory, made with `pmempool create`: its description
/// and its parts.
fn poolset(setup: &Setup, layout: &str) -> (PathBuf, [PathBuf; 2]) {
    let set = setup.dir().join("pmedis.set");
    let parts = ["first", "second"].map(|name| setup.dir().join(name));
    let [first, second] = parts.each_ref().map(|part| part.display());
    fs::write(&set, format!("PMEMPOOLSET\n16M {first}\n24M {second}\n")).unwrap();
    let made = Command::new("pmempool")
        .args(["create", "--layout", layout, "obj"])
        .arg(&set)
        .output()
        .expect("pmempool is installed");
    assert!(made.status.success(), "{made:?}");
    (set, parts)
}

#[test]
fn a_poolset_serves_and_survives_a_kill() {
    let setup = forced();
    let (set, _) = poolset(&setup, "pmedis");
    let path = set.to_str().unwrap();
    let mut server = setup.module(&["path", path]).start().unwrap();
    // Together more than the first part holds.
    let values: Vec<String> = (0..200).map(|n| n.to_string().repeat(50_000)).collect();
    let mut client = server.client();
    for (n, value) in values.iter().enumerate() {
        let ok = client.call(&["PM.SET", &n.to_string(), value]);
        assert_eq!(ok, Value::Simple("OK".into()));
    }
    server.kill9();
    server.restart().unwrap();
    let mut client = server.client();
    for (n, value) in values.iter().enumerate() {
        let found = client.call(&["PM.GET", &n.to_string()]);
        assert_eq!(found, Value::Bulk(value.clone().into_bytes()));
    }
    server.stop();
    let check = Command::new("pmempool").arg("check").arg(&set).output();
    let check = check.expect("pmempool is installed");
    assert!(check.status.success(), "{check:?}");
}

#[test]
fn foreign_and_newer_poolsets_are_refused() {
    let setup = forced();
    let (set, parts) = poolset(&setup, "another");
    let before = parts.each_ref().map(|part| Fingerprint::of(part));
    let path = set.to_str().unwrap();
    refuses(setup.clone(), &["path", path], &[path, "layout"]);
    assert_eq!(parts.each_ref().map(|part| Fingerprint::of(part)), before);

    let setup = forced();
    let (set, parts) = poolset(&setup, "pmedis");
    let path = set.to_str().unwrap();
    setup
        .clone()
        .module(&["path", path])
        .start()
        .unwrap()
        .stop();
    write_newer_format(&parts[0]);
    let before = parts.each_ref().map(|part| Fingerprint::of(part));
    refuses(
        setup.clone(),
        &["path", path],
        &[path, "format 3", "newer module"],
    );
    assert_eq!(parts.each_ref().map(|part| Fingerprint::of(part)), before);
}

/// What happens to a pool, in words and in bytes.
type Damage = (&'static str, fn(&mut Vec<u8>));

/// What is wrong outside of a pool is not called damage.
#[test]
fn a_missing_part_and_wrong_settings_are_named() {
    let setup = forced();
    let (set, parts) = poolset(&setup, "pmedis");
    let aside = setup.dir().join("aside");
    fs::rename(&parts[1], &aside).unwrap();
    let (set, part) = (set.to_str().unwrap(), parts[1].to_str().unwrap());
    let refusal = refuses(
        setup.clone(),
        &["path", set],
        &[part, set, "does not exist"],
    );
    assert!(!refusal.warnings()[0].contains("damaged"), "{refusal:?}");
    let (_made, pool) = used_pool();
    let misled = forced().env("PMEMOBJ_CONF", "no.such.setting=1");
    let path = pool.to_str().unwrap();
    let refusal = refuses(misled, &["path", path], &[path, "PMEMOBJ_CONF"]);
    assert!(!refusal.warnings()[0].contains("damaged"), "{refusal:?}");
}

#[test]
fn truncated_and_overwritten_pools_are_refused() {
    let damages: [Damage; 5] = [
        ("cut in half", |bytes| bytes.truncate(bytes.len() / 2)),
        ("cut to a page", |bytes| bytes.truncate(4096)),
        ("a byte short", |bytes| bytes.truncate(bytes.len() - 1)),
        ("without its header", |bytes| bytes[..4096].fill(0)),
        ("without its first megabyte but for the header", |bytes| {
            bytes[4096..1 << 20].fill(0)
        }),
    ];
    for (what, damage) in damages {
        let (_made, source) = used_pool();
        let setup = forced();
        let pool = setup.pool();
        let mut bytes = fs::read(source).unwrap();
        damage(&mut bytes);
        fs::write(&pool, bytes).unwrap();
        println!("a pool {what}");
        refuses_pool(&pool, setup, &[]);
    }
}

#[test]
fn a_pool_in_use_is_refused_and_its_owner_goes_on() {
    let owner = Setup::pmedis("16m").start().unwrap();
    let mut client = owner.client();
    assert_eq!(
        client.call(&["PM.SET", "k", "v"]),
        Value::Simple("OK".into())
    );
    let pool = owner.setup().pool();
    refuses_pool(&pool, forced(), &[pool.to_str().unwrap(), "in use"]);
    assert_eq!(client.call(&["PM.GET", "k"]), Value::Bulk(b"v".to_vec()));
}

#[test]
fn a_full_disk_is_refused_where_one_can_be_mounted() {
    let setup = forced();
    let Some(disk) = SmallDisk::mount(setup.dir().join("disk"), 16) else {
        eprintln!("skipped: mounting a small file system needs privileges");
        return;
    };
    let pool = disk.path().join("pmedis.pool");
    let path = pool.to_str().unwrap();
    refuses(
        setup.clone(),
        &["path", path, "size", "64m"],
        &[path, "space"],
    );
    assert_eq!(
        Fingerprint::of(&pool),
        Fingerprint::Nothing,
        "a part of the pool is left"
    );
    // Nothing is left to stand in the way of a pool that fits.
    let mut server = setup
        .module(&["path", path, "size", "12m"])
        .start()
        .unwrap();
    server.stop();
}

#[test]
fn a_file_without_permission_is_refused() {
    let (_made, source) = used_pool();
    let setup = forced();
    let pool = setup.pool();
    fs::copy(source, &pool).unwrap();
    let path = pool.to_str().unwrap();
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let setup = if is_root {
        // Root may do everything, so the server runs as somebody else.
        fs::set_permissions(setup.dir(), Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&pool, Permissions::from_mode(0o600)).unwrap();
        setup.wrapped_in(&[
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ])
    } else {
        fs::set_permissions(&pool, Permissions::from_mode(0o000)).unwrap();
        setup
    };
    let before = fs::metadata(&pool).unwrap();
    refuses(setup.clone(), &["path", path], &[path, "ermission"]);
    let after = fs::metadata(&pool).unwrap();
    assert_eq!(
        (before.mtime_nsec(), before.mode()),
        (after.mtime_nsec(), after.mode())
    );
}

#[test]
fn durability_pmem_is_refused_where_there_is_no_persistent_memory() {
    let setup = Setup::native();
    let pool = setup.pool();
    let path = pool.to_str().unwrap();
    let told = ["durability disk", "durability process", "DAX"];
    let pmem = ["durability", "pmem"];
    let arguments = [&["path", path, "size", "16m"], &pmem[..]].concat();
    refuses(setup.clone(), &arguments, &[&[path], &told[..]].concat());
    assert_eq!(
        Fingerprint::of(&pool),
        Fingerprint::Nothing,
        "a pool is left"
    );
    // An existing pool is not touched either.
    let (_made, used) = used_pool();
    let before = Fingerprint::of(&used);
    let arguments = [&["path", used.to_str().unwrap()], &pmem[..]].concat();
    refuses(Setup::native(), &arguments, &told);
    assert_eq!(Fingerprint::of(&used), before, "the pool is changed");
}

#[test]
fn an_existing_pool_does_not_shrink() {
    let (made, pool) = used_pool();
    let len = fs::metadata(&pool).unwrap().len();
    let path = pool.to_str().unwrap();
    for arguments in [&["path", path][..], &["path", path, "size", "8m"]] {
        let mut server = forced().module(arguments).start().unwrap();
        assert_eq!(
            server.client().call(&["PM.GET", "k"]),
            Value::Bulk(b"v".to_vec())
        );
        let log = server.log();
        assert_eq!(
            log.contains("size 8388608 is not applied"),
            arguments.len() > 2,
            "{log}"
        );
        server.stop();
        assert_eq!(fs::metadata(&pool).unwrap().len(), len);
    }
    drop(made);
}

#[test]
fn the_log_tells_what_was_found() {
    let setup = Setup::pmedis("16m");
    let mut server = setup.start().unwrap();
    let mut client = server.client();
    for n in 0..123 {
        assert_eq!(
            client.call(&["PM.SET", &n.to_string(), "v"]),
            Value::Simple("OK".into())
        );
    }
    server.kill9();
    server.restart().unwrap();
    let log = server.log();
    let told = |line: &str| line.contains("<pmedis>") && line.contains("123 keys");
    assert!(log.lines().any(told), "no line tells of 123 keys:\n{log}");
}
