//! A string that is appended to again and again: how often it is copied, and how much of a pool it
//! can take before there is no room for more.

use pobj::{Durability, Error, Pool};
use store::inline::Inline;
use store::layout::{RECORD, pool_at};
use store::record::{self, Creation};
use store::structures::Root;
use store::structures::string;
use store::value::ValueType;
use tempfile::TempDir;

fn pool(bytes: u64) -> (TempDir, Pool) {
    let dir = tempfile::Builder::new()
        .prefix("pmedis-growing-")
        .tempdir_in("/dev/shm")
        .expect("a directory on tmpfs");
    let options = pool_at(dir.path().join("pool")).durability(Durability::Process);
    let pool = Pool::open(&options.size(bytes)).expect("the pool opens");
    (dir, pool)
}

/// The inline area of a record for a string that is empty at first.
fn inline(pool: &mut Pool) -> Inline {
    let mut tx = pool.begin();
    let record = record::create(
        &mut tx,
        (b"k", ValueType::String, Creation::NONE),
        0,
        |_, _| Ok(Root::EMPTY),
    );
    let record = record.unwrap();
    tx.commit().unwrap();
    assert_eq!(
        pool.next_object(RECORD, Default::default()).unwrap().0,
        record.cast()
    );
    record::inline(pool, record).unwrap()
}

/// Appends pieces of this length until the string has `until` bytes, or the pool is full: its
/// length, and how many bytes were copied into new objects on the way.
fn grow(pool: &mut Pool, piece: usize, until: u64) -> (u64, u64) {
    let (inline, piece) = (inline(pool), vec![b'x'; piece]);
    let (mut root, mut copied) = (Root::EMPTY, 0);
    while root.rest() < until {
        let (mut tx, before) = (pool.begin(), root);
        match string::append(&mut tx, &mut root, inline, &piece) {
            Ok(()) => tx.commit().unwrap(),
            Err(Error::Full(_)) => break,
            Err(error) => panic!("{error}"),
        }
        if root.value != before.value {
            copied += before.rest();
        }
    }
    (root.rest(), copied)
}

#[test]
fn a_growing_string_is_copied_a_few_times_in_all() {
    let (_dir, mut pool) = pool(400 << 20);
    let (len, copied) = grow(&mut pool, 64 << 10, 100 << 20);
    // With a gain of an eighth, the lengths at which it is copied are a row of which each is nine
    // eighths of the one before.
    assert!(copied < 10 * len, "{copied} bytes copied for {len}");
}

#[test]
fn a_growing_string_takes_what_room_there_is() {
    for (piece, size) in [(1000, 64), (64 << 10, 64), (64 << 10, 256), (1 << 20, 256)] {
        let (_dir, mut pool) = pool(size << 20);
        let free = pool.usage().free;
        let (len, _) = grow(&mut pool, piece, u64::MAX);
        // The old copy and the new one: a string of a third fits, wherever the old one lies.
        assert!(len > free * 33 / 100, "{len} of {free}, by {piece}");
    }
}
