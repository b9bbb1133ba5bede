//! What is exported of damaged values is what `import` takes.

mod made;

use made::{alone, make_of, text, tool};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// Overwrites bytes of a pool, wherever they are.
fn overwrite(pool: &Path, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(pool).unwrap();
    let mut found = 0;
    for at in 0..=bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..][..to.len()].copy_from_slice(to);
            found += 1;
        }
    }
    assert!(found > 0, "they are in the pool");
    fs::write(pool, bytes).unwrap();
}

/// Has the value of a key lie where nothing is.
fn lose_value(pool: &Path, key: &[u8]) {
    let mut bytes = fs::read(pool).unwrap();
    let is_record = |at: &usize| {
        let len = (key.len() as u32).to_le_bytes();
        bytes[*at..].starts_with(key) && bytes[at - 8..].starts_with(&len)
    };
    let mut places = (48..bytes.len() - key.len()).step_by(8);
    let at = places.find(is_record).expect("the key is in the pool");
    bytes[at - 24..at - 16].copy_from_slice(&(1u64 << 40).to_le_bytes());
    fs::write(pool, bytes).unwrap();
}

fn run(words: &[&str], files: &[&Path], status: i32) -> String {
    let words = words.iter().map(OsStr::new);
    let output = tool(words.chain(files.iter().map(|path| path.as_os_str())));
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    text(&output.stdout)
}

/// Damages a pool with these keys, and the key `sound`; what a pool exports that is made of the
/// damaged one, by an export, by an RDB and as a copy.
fn comes_out(commands: &[&[&str]], damage: impl FnOnce(&Path), rest: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (pool, file) = (path("pool"), path("file"));
    make_of(&pool, &[commands, &[&["PM.SET", "sound", "v"]]].concat());
    damage(&pool);
    run(&["check"], &[&pool], 1);
    for (at, words) in [
        &["export", "-o"][..],
        &["export", "--native", "-o"],
        &["export", "--rdb=valkey", "-o"],
        &["copy"],
    ]
    .into_iter()
    .enumerate()
    {
        let made = path(&format!("made{at}"));
        if words[0] == "copy" {
            run(words, &[&pool, &made], 1);
        } else {
            run(words, &[&file, &pool], 1);
            run(&["import", "--size=16m"], &[&file, &made], 0);
        }
        run(&["check"], &[&made], 0);
        let exported = run(&["export"], &[&made], 0);
        let exported: Vec<&str> = exported
            .split("\r\n")
            .filter(|word| !word.starts_with(['*', '$']) && !word.is_empty())
            .collect();
        let expected = [rest, &["PM.SET", "sound", "v"]].concat();
        assert_eq!(exported, expected, "{words:?}");
    }
}

#[test]
fn of_a_value_without_a_readable_element_nothing() {
    let _alone = alone();
    let large = "x".repeat(1000);
    comes_out(
        &[
            &["PM.SET", "damaged!", &large],
            &["PM.PEXPIREAT", "damaged!", "4102444800000"],
        ],
        |pool| lose_value(pool, b"damaged!"),
        &[],
    );
}

#[test]
fn of_a_set_with_a_member_twice_the_beginning() {
    let _alone = alone();
    comes_out(
        &[
            &["PM.SADD", "set", "member-a", "member-b"],
            &["PM.PEXPIREAT", "set", "4102444800000"],
        ],
        |pool| overwrite(pool, b"member-b", b"member-a"),
        &[
            "PM.SADD",
            "set",
            "member-a",
            "PM.PEXPIREAT",
            "set",
            "4102444800000",
        ],
    );
}

#[test]
fn of_a_hash_with_a_field_twice_the_beginning_and_its_times() {
    let _alone = alone();
    let time = |field| {
        [
            "PM.HPEXPIREAT",
            "hash",
            "4102444800000",
            "FIELDS",
            "1",
            field,
        ]
    };
    comes_out(
        &[
            &["PM.HSET", "hash", "field-a", "v", "field-b", "w"],
            &time("field-a"),
            &time("field-b"),
        ],
        |pool| overwrite(pool, b"field-b", b"field-a"),
        &[&["PM.HSET", "hash", "field-a", "v"][..], &time("field-a")].concat(),
    );
}

#[test]
fn of_a_sorted_set_with_a_score_that_is_no_number_the_beginning() {
    let _alone = alone();
    let spoil = |pool: &Path| {
        overwrite(pool, &1234.5f64.to_le_bytes(), &f64::NAN.to_le_bytes());
    };
    comes_out(
        &[&["PM.ZADD", "zset", "1", "a", "1234.5", "b"]],
        spoil,
        &["PM.ZADD", "zset", "1", "a"],
    );
    comes_out(&[&["PM.ZADD", "zset", "1234.5", "b"]], spoil, &[]);
}

#[test]
fn of_a_pool_without_keys_nothing() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    make_of(&path("pool"), &[]);
    for words in [&["export", "-o"][..], &["export", "--rdb", "-o"]] {
        run(words, &[&path("file"), &path("pool")], 0);
        let told = run(
            &["import", "--size=16m"],
            &[&path("file"), &path("made")],
            0,
        );
        assert_eq!(told, "0 keys\n");
        fs::remove_file(path("made")).unwrap();
    }
}
