//! A pool where the system begins no threads: what they would help with is done without them.

mod common;

use common::{DATA, Place};
use pobj::{PPtr, Pool, Reader};
use std::process::Command;

/// Set in the process that is refused threads.
const REFUSED: &str = "POBJ_REFUSED_THREADS";
/// So many pages are many at the opening.
const PAGES: u64 = 4200;

/// The objects of the pool, as a survey by several threads finds them.
fn surveyed(pool: &Pool) -> Vec<u64> {
    let threads = 4;
    let visit = |found: &mut Vec<u64>, at: PPtr<u64>, _: &u64, _: Reader<'_>| {
        found.push(at.offset());
    };
    let mut found = pool.survey(DATA, threads, visit).concat();
    found.sort_unstable();
    found
}

fn refused() {
    let begun = std::thread::Builder::new().spawn(|| ());
    assert!(begun.is_err(), "threads are not refused");
    let place = Place::new();
    let mut pool = place.open(400 << 20);
    let mut objects = Vec::new();
    while pool.usage().pages < PAGES {
        let mut tx = pool.begin();
        // Nobody writes to most of its bytes, so they cost no memory.
        let object = tx.alloc_value(&0u64, DATA).expect("there is room");
        let large = tx.alloc(32_000, DATA).expect("there is room");
        tx.commit().expect("it is small");
        objects.extend([object.offset(), large.ptr().offset()]);
    }
    objects.sort_unstable();
    drop(pool);
    let pool = place.open(400 << 20);
    assert_eq!(surveyed(&pool), objects);
}

#[test]
fn a_pool_is_opened_and_surveyed_without_threads() {
    if std::env::var_os(REFUSED).is_some() {
        return refused();
    }
    let place = Place::new();
    let library = place.path().with_file_name("fail_threads.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fail_threads.c");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(source)
        .status()
        .expect("a C compiler is installed");
    assert!(compiled.success(), "{compiled}");
    let this = std::env::current_exe().expect("it is running");
    let done = Command::new(&this)
        .args(["--exact", "a_pool_is_opened_and_surveyed_without_threads"])
        .args(["--nocapture", "--test-threads=1"])
        .env(REFUSED, "1")
        .env("FAIL_THREADS", &this)
        .env("LD_PRELOAD", &library)
        .output()
        .expect("it can be started");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{}: {said}", done.status);
    assert!(!said.contains("panicked"), "{said}");
}
