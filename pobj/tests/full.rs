//! A pool without room: what must not fail finds the space that is kept for it.

mod common;

use common::no_room::a_step_without_room;
use common::{DATA, Place};
use pobj::{Durability, Error, Pool};

/// Allocates objects until none fits.
fn fill(pool: &mut Pool, len: u64) -> usize {
    for n in 0.. {
        let mut tx = pool.begin();
        match tx.alloc(len, DATA) {
            Ok(_) => tx.commit().unwrap(),
            Err(Error::Full(_)) => return n,
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("a pool is not infinite")
}

#[test]
fn a_lent_reserve_has_room_for_small_objects() {
    for (size, len) in [
        (16 << 20, 50),
        (16 << 20, 300),
        (96 << 20, 300),
        (96 << 20, 3000),
    ] {
        let place = Place::new();
        let mut pool = place.open(size);
        pool.keep_reserve().unwrap();
        for len in [100_000, 20_000, 1000] {
            fill(&mut pool, len);
        }
        let mut tx = pool.begin();
        assert!(
            matches!(tx.alloc(len, DATA), Err(Error::Full(_))),
            "{len} bytes fit into a full pool of {size}"
        );
        drop(tx);
        pool.lend_reserve();
        let mut tx = pool.begin();
        if let Err(error) = tx.alloc(len, DATA) {
            panic!("{len} bytes, a pool of {size}: {error}");
        }
        tx.commit().unwrap();
        pool.keep_reserve().unwrap();
    }
}

#[test]
fn a_step_without_room_for_its_undo_log_leaves_nothing_to_undo() {
    a_step_without_room(Durability::Process);
}
