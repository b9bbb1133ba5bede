//! Transactions against a model: what was committed is there, what was not is not, nothing leaks.

mod common;

use common::{DATA, Place};
use pobj::{Cursor, PPtr, Pool};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

const POOL: u64 = 32 << 20;

/// A small generator of repeatable pseudo-random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// A length: mostly small, sometimes a page slot's maximum, sometimes large.
    fn length(&mut self) -> u64 {
        match self.below(20) {
            0 => 30_000 + self.below(100_000),
            1..3 => 1000 + self.below(21_000),
            _ => 1 + self.below(300),
        }
    }
}

type Model = BTreeMap<u64, Vec<u8>>;

fn content(seed: u64, len: u64) -> Vec<u8> {
    (0..len).map(|at| (seed ^ at).to_le_bytes()[0]).collect()
}

fn check(pool: &Pool, model: &Model) {
    let mut cursor = Cursor::default();
    let mut seen = 0;
    while let Some((ptr, next)) = pool.next_object(DATA, cursor) {
        let expected = model
            .get(&ptr.offset())
            .expect("only committed objects are enumerated");
        assert_eq!(
            pool.bytes(ptr, expected.len() as u64).unwrap(),
            expected,
            "{ptr:?}"
        );
        assert!(pool.capacity(ptr).unwrap() >= expected.len() as u64);
        (seen, cursor) = (seen + 1, next);
    }
    assert_eq!(seen, model.len(), "every committed object is enumerated");
}

/// One random change inside a transaction, mirrored in `model`.
fn change(tx: &mut pobj::Tx<'_>, model: &mut Model, touched: &mut Vec<u64>, random: &mut Random) {
    let pick = |model: &Model, random: &mut Random| {
        let nth = random.below(model.len().max(1) as u64) as usize;
        model.keys().nth(nth).copied()
    };
    match random.below(10) {
        0..5 => {
            let bytes = content(random.next(), random.length());
            let ptr = tx.alloc(bytes.len() as u64, DATA).unwrap();
            tx.fill(ptr, &bytes).unwrap();
            assert!(
                model.insert(ptr.offset(), bytes).is_none(),
                "fresh memory is nobody else's"
            );
            touched.push(ptr.offset());
        }
        5..8 => {
            // An object changed in this step is left alone: no reading back, no double change.
            let Some(at) = pick(model, random).filter(|at| !touched.contains(at)) else {
                return;
            };
            let old = model.get_mut(&at).unwrap();
            let from = random.below(old.len() as u64);
            let len = 1 + random.below(old.len() as u64 - from);
            let bytes = content(random.next(), len);
            old[from as usize..(from + len) as usize].copy_from_slice(&bytes);
            tx.write(PPtr::new(at + from).unwrap(), &bytes).unwrap();
            touched.push(at);
        }
        _ => {
            let Some(at) = pick(model, random).filter(|at| !touched.contains(at)) else {
                return;
            };
            model.remove(&at);
            tx.free(PPtr::<u8>::new(at).unwrap()).unwrap();
            touched.push(at);
        }
    }
}

fn run(seed: u64, rounds: u64) {
    let place = Place::new();
    let mut pool = place.open(POOL);
    let mut random = Random(seed);
    let mut model = Model::new();
    for round in 0..rounds {
        let before = model.clone();
        let mut touched = Vec::new();
        let used = pool.usage().used;
        let mut tx = pool.begin();
        let steps = if random.below(3) == 0 {
            random.below(6)
        } else {
            0
        };
        for step in 0..=steps {
            if step > 0 {
                tx.step().unwrap();
                touched.clear();
            }
            for _ in 0..=random.below(4) {
                change(&mut tx, &mut model, &mut touched, &mut random);
            }
        }
        if random.below(4) == 0 {
            drop(tx);
            model = before;
            assert_eq!(
                pool.usage().used,
                used,
                "round {round} of seed {seed}: a dropped transaction leaks"
            );
        } else {
            tx.commit().unwrap();
        }
        check(&pool, &model);
        while model.len() > 60 {
            let at = *model.keys().next().unwrap();
            let mut tx = pool.begin();
            tx.free(PPtr::<u8>::new(at).unwrap()).unwrap();
            tx.commit().unwrap();
            model.remove(&at);
        }
        if random.below(40) == 0 {
            let used = pool.usage().used;
            drop(pool);
            pool = place.open(POOL);
            check(&pool, &model);
            assert_eq!(
                pool.usage().used,
                used,
                "the usage is what it was before the reopening"
            );
        }
    }
    for at in std::mem::take(&mut model).into_keys() {
        let mut tx = pool.begin();
        tx.free(PPtr::<u8>::new(at).unwrap()).unwrap();
        tx.commit().unwrap();
    }
    assert_eq!(
        pool.usage().used,
        0,
        "everything is free in the end (seed {seed})"
    );
    assert!(pool.trim(usize::MAX).unwrap() > 0);
    assert_eq!(pool.usage().pages, 0);
}

#[test]
fn random_transactions_match_the_model() {
    for seed in 1..=6 {
        println!("seed {seed}");
        run(seed, 300);
    }
}

#[test]
fn a_held_group_is_undone_by_a_crash_and_kept_by_release() {
    let place = Place::new();
    let mut pool = place.open(POOL);
    let mut tx = pool.begin();
    let word = tx.alloc_value(&1u64, DATA).unwrap();
    tx.commit().unwrap();

    pool.begin_group();
    for value in 2..50u64 {
        let mut tx = pool.begin();
        tx.set(word, value).unwrap();
        let other = tx.alloc(100, DATA).unwrap();
        tx.fill(other, &[7; 100]).unwrap();
        tx.commit().unwrap();
        assert_eq!(*pool.get(word).unwrap(), value, "a step is visible at once");
    }
    // Closing without release is what a crash leaves behind.
    drop(pool);
    let mut pool = place.open(POOL);
    assert_eq!(*pool.get(word).unwrap(), 1, "nothing of the group is there");
    assert_eq!(pool.usage().used, 16);

    pool.begin_group();
    for value in 2..50u64 {
        let mut tx = pool.begin();
        tx.set(word, value).unwrap();
        tx.commit().unwrap();
    }
    pool.end_group().unwrap();
    drop(pool);
    let pool = place.open(POOL);
    assert_eq!(*pool.get(word).unwrap(), 49);
}

#[test]
fn a_failed_command_in_a_held_group_takes_back_only_itself() {
    let place = Place::new();
    let mut pool = place.open(POOL);
    let mut tx = pool.begin();
    let word = tx.alloc_value(&1u64, DATA).unwrap();
    tx.commit().unwrap();
    pool.begin_group();
    let mut tx = pool.begin();
    tx.set(word, 2).unwrap();
    tx.commit().unwrap();
    let used = pool.usage().used;
    {
        let mut tx = pool.begin();
        tx.set(word, 3).unwrap();
        tx.step().unwrap();
        assert_eq!(*tx.get(word).unwrap(), 3);
        tx.alloc(500, DATA).unwrap();
        tx.alloc(500_000, DATA).unwrap();
    }
    assert_eq!(*pool.get(word).unwrap(), 2);
    assert_eq!(pool.usage().used, used);
    let mut tx = pool.begin();
    let next = *tx.get(word).unwrap() + 10;
    tx.set(word, next).unwrap();
    tx.commit().unwrap();
    pool.end_group().unwrap();
    drop(pool);
    assert_eq!(*place.open(POOL).get(word).unwrap(), 12);
}

#[test]
fn a_group_larger_than_the_first_undo_segment() {
    let place = Place::new();
    let mut pool = place.open(POOL);
    let mut tx = pool.begin();
    let big = tx.alloc(4 << 20, DATA).unwrap();
    for at in (0..4 << 20).step_by(1 << 16) {
        tx.fill(big.at(at), &vec![1u8; 1 << 16]).unwrap();
    }
    tx.commit().unwrap();
    let big = big.ptr();
    let used = pool.usage().used;
    for keep in [false, true] {
        let mut tx = pool.begin();
        tx.write(big, &vec![2u8; 3 << 20]).unwrap();
        tx.step().unwrap();
        assert_eq!(tx.bytes(big, 4 << 20).unwrap()[(3 << 20) - 1], 2);
        if keep {
            tx.commit().unwrap()
        } else {
            drop(tx)
        }
        let expected = if keep { 2 } else { 1 };
        drop(pool);
        pool = place.open(POOL);
        let bytes = pool.bytes(big, 4 << 20).unwrap();
        assert!(bytes[..3 << 20].iter().all(|&byte| byte == expected));
        assert!(bytes[3 << 20..].iter().all(|&byte| byte == 1));
        assert_eq!(pool.usage().used, used);
    }
    // The same as one batch, which is too large for a record.
    let mut tx = pool.begin();
    tx.write(big, &vec![3u8; 1 << 20]).unwrap();
    tx.commit().unwrap();
    drop(pool);
    let pool = place.open(POOL);
    assert!(
        pool.bytes(big, 1 << 20)
            .unwrap()
            .iter()
            .all(|&byte| byte == 3)
    );
}

#[test]
fn a_panic_inside_leaves_everything_as_it_was() {
    let place = Place::new();
    let mut pool = place.open(POOL);
    let mut tx = pool.begin();
    let word = tx.alloc_value(&5u64, DATA).unwrap();
    tx.commit().unwrap();
    for steps in [false, true] {
        let used = pool.usage().used;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut tx = pool.begin();
            tx.set(word, 6).unwrap();
            tx.alloc(64, DATA).unwrap();
            if steps {
                tx.step().unwrap();
            }
            panic!("on purpose");
        }));
        assert!(outcome.is_err());
        assert_eq!(*pool.get(word).unwrap(), 5);
        assert_eq!(pool.usage().used, used);
        let tx = pool.begin();
        tx.commit().unwrap();
    }
}

#[test]
fn a_full_pool_refuses_and_goes_on_when_something_is_freed() {
    let place = Place::new();
    let mut pool = place.open(64 << 20);
    let mut kept = Vec::new();
    let full = loop {
        let mut tx = pool.begin();
        match tx.alloc(1000, DATA) {
            Ok(ptr) => {
                tx.fill(ptr, &[1; 1000]).unwrap();
                tx.commit().unwrap();
                kept.push(ptr.ptr());
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(full, pobj::Error::Full(_)), "{full}");
    assert!(
        kept.len() > 59_000,
        "{} objects of 1000 bytes fit 64 MiB",
        kept.len()
    );
    // A large object finds room once pages are empty.
    for ptr in kept.drain(..) {
        let mut tx = pool.begin();
        tx.free(ptr).unwrap();
        tx.commit().unwrap();
    }
    let mut tx = pool.begin();
    tx.alloc(1 << 20, DATA).unwrap();
    tx.commit().unwrap();
}

#[test]
fn wild_pointers_are_errors() {
    let place = Place::new();
    let mut pool = place.open(POOL);
    let mut tx = pool.begin();
    let ptr = tx.alloc(100, DATA).unwrap().ptr();
    tx.commit().unwrap();
    assert!(pool.bytes(PPtr::new(u64::MAX).unwrap(), 8).is_err());
    assert!(pool.bytes(PPtr::new(POOL - 4).unwrap(), 8).is_err());
    assert!(
        pool.get::<u64>(PPtr::new(4097).unwrap()).is_err(),
        "misaligned"
    );
    assert!(
        pool.capacity(ptr.at::<u8>(16)).is_err(),
        "not the start of an object"
    );
    let mut tx = pool.begin();
    assert!(
        tx.write(PPtr::new(64).unwrap(), b"x").is_err(),
        "libpmemobj's own header"
    );
    assert!(tx.free(ptr.at::<u8>(16)).is_err());
    assert!(tx.set(tx.user_word(0), 1u64).is_ok());
}

/// A pointer that was left behind by something that is not there leads to memory that the next
/// allocation may take: who frees what is older does not free that.
#[test]
fn what_a_step_has_allocated_is_not_older_than_it() {
    let place = Place::new();
    let mut pool = place.open(POOL);
    for len in [40, 700, 100_000] {
        let mut tx = pool.begin();
        let stale = tx.alloc(len, DATA).unwrap().ptr();
        drop(tx);
        let mut tx = pool.begin();
        let taken = tx.alloc(len, DATA).unwrap().ptr();
        assert_eq!(taken, stale, "the same memory");
        let refused = tx.free_older(stale);
        assert!(
            matches!(refused, Err(pobj::Error::Damaged(_))),
            "{refused:?}"
        );
        tx.commit().unwrap();
        let mut tx = pool.begin();
        tx.free_older(taken).unwrap();
        assert!(
            tx.free_older(PPtr::<u8>::new(taken.offset() + 8).unwrap())
                .is_err()
        );
        tx.commit().unwrap();
        check(&pool, &Model::new());
    }
}

#[test]
fn no_bytes_behind_an_object_that_ends_with_its_page() {
    let place = Place::new();
    let mut pool = place.open(POOL);
    // Two slots of the largest class but the big pages' fill a page; both ends are tried.
    let mut tx = pool.begin();
    for _ in 0..40 {
        let ptr = tx.alloc(32_640, DATA).unwrap();
        for end in [ptr.at(32_640), ptr.at(32_640 + 64), ptr.at(32_640 + 32)] {
            tx.fill(end, b"").unwrap();
            tx.write(end.ptr(), b"").unwrap();
        }
        assert!(tx.fill(ptr.at(70_000), b"").is_ok(), "nothing is written");
    }
    tx.commit().unwrap();
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "memory is fresh only in the transaction that allocates it")]
fn what_was_allocated_is_not_fresh_after_the_transaction() {
    let place = Place::new();
    let mut pool = place.open(16 << 20);
    let mut tx = pool.begin();
    let object = tx.alloc(100, DATA).unwrap();
    tx.fill(object, b"fresh").unwrap();
    tx.commit().unwrap();
    let mut tx = pool.begin();
    let _ = tx.fill(object, b"stale");
}
