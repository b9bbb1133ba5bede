//! Pools that contradict themselves are refused or give errors, in ways that random damage seldom
//! hits.

mod common;

use common::{DATA, Place};
use pobj::{Error, PPtr, Pool};
use std::fs::File;
use std::os::unix::fs::FileExt;

const POOL: u64 = 16 << 20;
const SMALL: u64 = 100;
const LARGE: u64 = 300_000;

fn allocate(pool: &mut Pool, size: u64) -> PPtr<u8> {
    let mut tx = pool.begin();
    let object = tx.alloc(size, DATA).expect("there is room");
    tx.fill(object, b"bytes").expect("it is ours");
    tx.commit().expect("it is sound");
    object.ptr()
}

#[test]
fn what_is_freed_twice_in_a_batch_or_in_a_group_is_an_error_and_stays() {
    let place = Place::new();
    let mut pool = place.open(POOL);
    for size in [SMALL, LARGE] {
        for steps in [false, true] {
            let object = allocate(&mut pool, size);
            let used = pool.usage().used;
            let mut tx = pool.begin();
            let twice = (|| {
                tx.free(object)?;
                if steps {
                    tx.step()?;
                }
                tx.free(object)?;
                tx.commit()
            })();
            assert!(
                matches!(twice, Err(Error::Damaged(_))),
                "{size} bytes, steps {steps}: {twice:?}"
            );
            assert_eq!(pool.usage().used, used, "{size} bytes, steps {steps}");
            assert_eq!(pool.bytes(object, 5).expect("it is there"), b"bytes");
        }
    }
    drop(pool);
    let pool = place.open(POOL);
    assert!(pool.damages().is_empty(), "{:?}", pool.damages());
}

fn refused_with(place: &Place, expected: &str) {
    match Pool::open(&place.options()) {
        Err(Error::Damaged(message)) => assert!(message.contains(expected), "{message}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the pool is opened; expected: {expected}"),
    }
}

/// Overwrites the word at `offset` of a closed pool, and gives what it was.
fn overwrite(place: &Place, offset: u64, word: u64) -> u64 {
    let mut options = File::options();
    let file = options.read(true).write(true).open(place.path());
    let file = file.expect("the pool is there");
    let mut old = [0; 8];
    file.read_exact_at(&mut old, offset).expect("it is inside");
    let new = word.to_le_bytes();
    file.write_all_at(&new, offset).expect("it is inside");
    u64::from_le_bytes(old)
}

/// Where libpmemobj notes the offsets of the root object and of the heap.
const ROOT_AT: u64 = 6144;
const HEAP_AT: u64 = 5136;

#[test]
fn libpmemobjs_metadata_is_verified_before_libpmemobj_follows_it() {
    let place = Place::new();
    let mut pool = place.open(POOL);
    allocate(&mut pool, SMALL);
    drop(pool);
    let heap = overwrite(&place, HEAP_AT, 0);
    refused_with(&place, "the heap's place");
    overwrite(&place, HEAP_AT, heap);
    let (zone, lanes) = (heap + 1024, 8192);
    // Behind the chunks of the root object and of the log.
    let extent = zone + (512 << 10) + 2 * (256 << 10) + 16;
    let cases = [
        (lanes + 16, 1 << 20, "a log's header"),
        (lanes + 960 + 64, 1 << 20, "an undo log with entries"),
        (lanes + 8, heap + (1 << 20), "a log's extension"),
        (zone, 0, "a zone's header"),
        (zone + 64, 4, "a chunk's length"),
        (zone + 64 + 8, 7 | 1 << 32, "a chunk"),
        (zone + (512 << 10), 0, "a run's header"),
        (extent - 16, 0, "an object's size"),
        (ROOT_AT, 0, "the root object"),
    ];
    for (offset, word, expected) in cases {
        let old = overwrite(&place, offset, word);
        refused_with(&place, expected);
        overwrite(&place, offset, old);
    }
    // Whatever the extent begins with: it is not blank now.
    let (root, first) = (
        overwrite(&place, ROOT_AT, extent),
        overwrite(&place, extent, 1),
    );
    refused_with(&place, "no pobj test root object");
    overwrite(&place, extent, first);
    overwrite(&place, ROOT_AT, root);
    let pool = place.open(POOL);
    assert!(pool.damages().is_empty(), "{:?}", pool.damages());
}

#[test]
fn a_pool_whose_root_header_is_blank_is_not_taken_for_a_new_one() {
    let place = Place::new();
    let mut pool = place.open(POOL);
    allocate(&mut pool, SMALL);
    drop(pool);
    let root = overwrite(&place, ROOT_AT, 0);
    overwrite(&place, ROOT_AT, root);
    for word in 0..8 {
        overwrite(&place, root + word * 8, 0);
    }
    refused_with(&place, "the root header is blank");
}
