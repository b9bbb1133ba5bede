//! Evacuation: what is chosen, what avoids it, and what becomes of the room.

mod common;

use common::{DATA, Place};
use pobj::{Error, Fresh, PPtr, Pool};

const SIZE: u64 = 1000;

fn allocate(pool: &mut Pool, count: usize, len: u64) -> Vec<PPtr<u8>> {
    let mut objects = Vec::new();
    for n in 0..count {
        let mut tx = pool.begin();
        let object = tx.alloc(len, DATA).unwrap();
        tx.fill(object, &[n as u8; 40]).unwrap();
        tx.commit().unwrap();
        objects.push(object.ptr());
    }
    objects
}

/// Leaves every `n`-th of them.
fn thin_out(pool: &mut Pool, objects: Vec<PPtr<u8>>, n: usize) -> Vec<PPtr<u8>> {
    let (kept, gone): (Vec<_>, Vec<_>) = (0..).zip(objects).partition(|(at, _)| at % n == 0);
    for (_, object) in gone {
        let mut tx = pool.begin();
        tx.free(object).unwrap();
        tx.commit().unwrap();
    }
    kept.into_iter().map(|(_, object)| object).collect()
}

#[test]
fn sparse_pages_become_empty_ones() {
    let place = Place::new();
    let mut pool = place.open(32 << 20);
    let objects = allocate(&mut pool, 5000, SIZE);
    assert_eq!(pool.scatter().regainable, 0, "one page has room");
    let mut left = thin_out(&mut pool, objects, 10);
    let (scatter, before) = (pool.scatter(), pool.usage());
    assert!(scatter.slots > 4_000_000, "{scatter:?}");
    assert!(scatter.regainable > 4_000_000, "{scatter:?}");
    assert!(scatter.moves < 700_000, "{scatter:?}");

    let pages = pool.begin_evacuation();
    assert_eq!(
        pages as u64,
        scatter.regainable / ((64 << 10) - 144),
        "{scatter:?}"
    );
    let in_the_way = left.iter().filter(|&&at| pool.evacuating(at)).count();
    assert!(in_the_way > 300, "{in_the_way}");
    let fresh = allocate(&mut pool, 20, SIZE);
    assert!(fresh.iter().all(|&at| !pool.evacuating(at)), "avoided");

    for (n, object) in left.iter_mut().enumerate() {
        let old = pool.bytes(*object, 40).unwrap().to_vec();
        let mut tx = pool.begin();
        let moved = tx.relocate(*object, DATA).unwrap();
        if n % 7 == 3 {
            drop(tx);
            assert_eq!(pool.bytes(*object, 40).unwrap(), old, "dropped");
            let mut tx = pool.begin();
            *object = tx
                .relocate(*object, DATA)
                .unwrap()
                .map_or(*object, Fresh::ptr);
            tx.commit().unwrap();
        } else {
            *object = moved.map_or(*object, Fresh::ptr);
            tx.commit().unwrap();
        }
        assert!(!pool.evacuating(*object));
        assert_eq!(pool.bytes(*object, 40).unwrap(), old);
    }
    assert_eq!(
        pool.usage().used,
        before.used + 20 * pool.capacity(fresh[0]).unwrap()
    );
    let given = pool.trim(usize::MAX).unwrap();
    assert!(given >= pages, "{given} of {pages}");
    assert_eq!(pool.evacuating_pages(), 0);
    assert!(pool.usage().pages < before.pages / 4, "{:?}", pool.usage());
}

#[test]
fn an_evacuation_that_is_given_up_changes_nothing() {
    let place = Place::new();
    let mut pool = place.open(32 << 20);
    let objects = allocate(&mut pool, 2000, SIZE);
    thin_out(&mut pool, objects, 10);
    let (scatter, pages) = (pool.scatter(), pool.usage().pages);
    assert!(pool.begin_evacuation() > 0);
    pool.end_evacuation();
    assert_eq!(pool.evacuating_pages(), 0);
    assert_eq!(pool.scatter(), scatter);
    allocate(&mut pool, 1700, SIZE);
    assert_eq!(pool.usage().pages, pages, "all slots are handed out again");
}

/// Objects of `SIZE` bytes until there is no room for another.
fn fill_up(pool: &mut Pool) -> Vec<PPtr<u8>> {
    let mut objects = Vec::new();
    let full = loop {
        let mut tx = pool.begin();
        match tx.alloc(SIZE, DATA) {
            Ok(object) => {
                tx.commit().unwrap();
                objects.push(object.ptr());
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(full, Error::Full(_)), "{full}");
    objects
}

fn find_no_room(pool: &mut Pool, size: u64) {
    let mut tx = pool.begin();
    assert!(matches!(tx.alloc(size, DATA), Err(Error::Full(_))));
}

#[test]
fn an_allocation_that_it_does_not_help_leaves_it() {
    let place = Place::new();
    let mut pool = place.open(16 << 20);
    let objects = fill_up(&mut pool);
    let mut left = thin_out(&mut pool, objects, 3);
    assert!(pool.begin_evacuation() > 0);
    let pages = pool.evacuating_pages();
    for size in [1 << 20, 4 * SIZE] {
        find_no_room(&mut pool, size);
        assert_eq!(pool.evacuating_pages(), pages, "{size} bytes are refused");
    }
    relocate_all(&mut pool, &mut left);
    pool.trim(usize::MAX).unwrap();
    assert_eq!(pool.evacuating_pages(), 0, "it went to its end");
    allocate(&mut pool, 1, 1 << 20);
}

#[test]
fn an_allocation_that_finds_no_other_room_ends_it() {
    let place = Place::new();
    let mut pool = place.open(16 << 20);
    let objects = fill_up(&mut pool);
    let count = objects.len();
    let mut left = thin_out(&mut pool, objects, 3);
    assert!(pool.begin_evacuation() > 0);
    left.extend(allocate(&mut pool, count - left.len(), SIZE));
    assert_eq!(pool.evacuating_pages(), 0, "it has ended");
    find_no_room(&mut pool, SIZE);
}

/// Moves what lies in the way, with its first bytes.
fn relocate_all(pool: &mut Pool, objects: &mut [PPtr<u8>]) -> usize {
    let mut moved = 0;
    for object in objects {
        let before = pool.bytes(*object, 40).unwrap().to_vec();
        let mut tx = pool.begin();
        if let Some(target) = tx.relocate(*object, DATA).unwrap() {
            tx.commit().unwrap();
            assert_eq!(pool.bytes(target.ptr(), 40).unwrap(), before);
            *object = target.ptr();
            moved += 1;
        }
    }
    moved
}

#[test]
fn free_room_between_large_objects_comes_together() {
    let place = Place::new();
    let mut pool = place.open(96 << 20);
    let mut random = fastrand::Rng::with_seed(7);
    let mut objects = Vec::new();
    while let Some(object) = {
        let mut tx = pool.begin();
        match tx.alloc(random.u64(60_000..400_000), DATA) {
            Ok(object) => {
                tx.fill(object, &[objects.len() as u8; 40]).unwrap();
                tx.commit().unwrap();
                Some(object.ptr())
            }
            Err(Error::Full(_)) => None,
            Err(error) => panic!("{error}"),
        }
    } {
        objects.push(object);
    }
    random.shuffle(&mut objects);
    let gone = objects.split_off(objects.len() / 2);
    for object in gone {
        let mut tx = pool.begin();
        tx.free(object).unwrap();
        tx.commit().unwrap();
    }
    let before = pool.usage();
    let wasted = pool.scatter().wasted;
    assert!(wasted > before.free / 4, "{wasted} of {before:?}");
    let mut rounds = 0;
    while pool.scatter().wasted > before.free / 25 {
        if pool.begin_gathering(true) == 0 {
            break;
        }
        assert!(relocate_all(&mut pool, &mut objects) > 0);
        pool.end_evacuation();
        println!("round {rounds}: {:?}", pool.scatter());
        rounds += 1;
        assert!(rounds < 20, "{:?}", pool.scatter());
    }
    let after = pool.usage();
    assert_eq!((after.used, after.free), (before.used, before.free));
    let wasted = pool.scatter().wasted;
    assert!(
        wasted < after.free / 20,
        "{wasted} of {} after {rounds} rounds",
        after.free
    );
    let large = std::iter::from_fn(|| {
        let mut tx = pool.begin();
        let object = tx.alloc(1 << 20, DATA).ok()?;
        tx.commit().unwrap();
        Some(object)
    });
    let large = (large.count() as u64) << 20;
    assert!(large > after.free * 95 / 100, "{large} of {}", after.free);
}

#[test]
fn free_runs_slide_past_objects_that_are_hardly_shorter() {
    let place = Place::new();
    let mut pool = place.open(64 << 20);
    let mut random = fastrand::Rng::with_seed(9);
    let mut objects = Vec::new();
    loop {
        let mut tx = pool.begin();
        match tx.alloc(random.u64(300_000..900_000), DATA) {
            Ok(object) => {
                tx.fill(object, &[objects.len() as u8; 40]).unwrap();
                tx.commit().unwrap();
                objects.push(object.ptr());
            }
            Err(Error::Full(_)) => break,
            Err(error) => panic!("{error}"),
        }
    }
    // Some of them are hardly large enough for the others.
    let mut numbers: Vec<u8> = (0..objects.len() as u8).collect();
    for _ in 0..8 {
        let at = random.usize(..objects.len());
        numbers.swap_remove(at);
        let mut tx = pool.begin();
        tx.free(objects.swap_remove(at)).unwrap();
        tx.commit().unwrap();
    }
    let before = pool.usage();
    assert!(before.largest_free < before.free / 2, "{before:?}");
    let mut slides = 0;
    while pool.begin_sliding(slides == 0, true) > 0 {
        while relocate_all(&mut pool, &mut objects) > 0 {}
        assert!(!pool.is_evacuating(), "{slides} slides");
        assert_eq!(pool.stuck(), 0);
        pool.end_evacuation();
        slides += 1;
        assert!(slides < 200, "{:?}", pool.scatter());
    }
    let after = pool.usage();
    assert_eq!((after.used, after.free), (before.used, before.free));
    assert!(pool.wasted() < 1 << 20, "{} of {after:?}", pool.wasted());
    for (number, object) in numbers.iter().zip(objects) {
        assert_eq!(pool.bytes(object, 40).unwrap(), [*number; 40]);
    }
}

#[test]
fn regions_that_are_given_up_are_everybodys_again() {
    let place = Place::new();
    let mut pool = place.open(64 << 20);
    let objects = allocate(&mut pool, 200, 200_000);
    let kept = thin_out(&mut pool, objects, 2);
    let before = pool.usage();
    assert!(pool.begin_gathering(true) > 0);
    let held = pool.usage();
    assert_eq!((held.used, held.free), (before.used, before.free));
    assert!(kept.iter().any(|&at| pool.evacuating(at)));
    // An allocation takes them if there is nothing else.
    let mut count = 0;
    loop {
        let mut tx = pool.begin();
        match tx.alloc(200_000, DATA) {
            Ok(_) => tx.commit().unwrap(),
            Err(Error::Full(_)) => break,
            Err(error) => panic!("{error}"),
        }
        count += 1;
    }
    assert!(!pool.is_evacuating());
    assert!(
        count * 200_000 > before.free * 9 / 10,
        "{count} of {before:?}"
    );
}
