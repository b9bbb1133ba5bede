//! Pools that are made without a server, and the tool on them.

#![allow(dead_code, reason = "not every test uses all of it")]

use pobj::Durability;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use store::Store;
use store::layout::pool_at;

/// Keeps the other tests of this process waiting. A pool that a test has open itself is locked
/// also by what another one starts in that moment, for a moment more.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the tool.
pub(crate) fn tool<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pmedis"))
        .args(words)
        .output()
        .expect("the tool runs")
}

/// What a program has written.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Makes a pool with these keys, each a string of its own name.
pub(crate) fn make(pool: &Path, keys: &[&str]) {
    let commands: Vec<[&str; 3]> = keys.iter().map(|&key| ["PM.SET", key, key]).collect();
    let commands: Vec<&[&str]> = commands.iter().map(|words| &words[..]).collect();
    make_of(pool, &commands);
}

/// Makes a pool of commands as `export` writes them.
pub(crate) fn make_of(pool: &Path, commands: &[&[&str]]) {
    let command = |words: &&[&str]| {
        let word = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
        let all: String = words.iter().map(word).collect();
        format!("*{}\r\n{all}", words.len())
    };
    let commands: String = commands.iter().map(command).collect();
    let file = pool.with_extension("commands");
    fs::write(&file, commands).unwrap();
    let size = OsStr::new("--size=16m");
    let made = tool([
        OsStr::new("import"),
        file.as_os_str(),
        pool.as_os_str(),
        size,
    ]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    fs::remove_file(file).unwrap();
}

/// The keys of a pool that [`make`] has made, sorted.
pub(crate) fn keys(pool: &Path) -> Vec<String> {
    let exported = tool([OsStr::new("export"), pool.as_os_str()]);
    let commands = text(&exported.stdout);
    let commands = commands.split("PM.SET\r\n").skip(1);
    let mut keys: Vec<String> = commands
        .filter_map(|command| Some(command.split("\r\n").nth(1)?.to_owned()))
        .collect();
    keys.sort();
    keys
}

/// Opens a pool as a server does.
pub(crate) fn store(pool: &Path) -> Store {
    let options = pool_at(pool).durability(Durability::Process);
    Store::open(&options, |_, _, _| Ok(())).unwrap()
}
