//! Lists against a model, in pools on tmpfs.

use super::*;
use crate::layout::pool_at;
use pobj::{Durability, PPtr};
use std::collections::VecDeque;
use tempfile::TempDir;

const POOL: u64 = 128 << 20;

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let directory = tempfile::Builder::new()
            .prefix("list-")
            .tempdir_in("/dev/shm");
        Place(directory.expect("a directory on tmpfs"))
    }

    fn open(&self) -> Pool {
        let options = pool_at(self.0.path().join("test.pool"));
        Pool::open(&options.durability(Durability::Process).size(POOL)).expect("the pool opens")
    }
}

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

    fn side(&mut self) -> Side {
        if self.below(2) == 0 {
            Side::Left
        } else {
            Side::Right
        }
    }

    /// An element: mostly small and often the same, sometimes wide, sometimes an object.
    fn element(&mut self) -> Vec<u8> {
        let len = match self.below(40) {
            0 => 513 + self.below(4000),
            1 => 40_000,
            2..6 => 180 + self.below(333),
            6..16 => return vec![b'a' + self.below(3) as u8],
            _ => self.below(30),
        };
        let seed = self.next();
        (0..len).map(|at| (seed ^ at) as u8).collect()
    }
}

type Model = VecDeque<Vec<u8>>;

/// Where the root lies in the pool.
fn root(pool: &Pool) -> Root {
    Root {
        value: *pool.get(pool.user_word(0)).unwrap(),
        form: *pool.get(pool.user_word(1)).unwrap(),
    }
}

/// One transaction on the root.
fn edit<R>(pool: &mut Pool, keep: bool, f: impl FnOnce(&mut Tx<'_>, &mut Root) -> Result<R>) -> R {
    let mut root = root(pool);
    let mut tx = pool.begin();
    let result = f(&mut tx, &mut root).unwrap();
    tx.set(tx.user_word(0), root.value).unwrap();
    tx.set(tx.user_word(1), root.form).unwrap();
    if keep {
        tx.commit().unwrap();
    }
    result
}

/// One transaction that may take an element out: its bytes.
fn edit_taking(
    pool: &mut Pool,
    keep: bool,
    f: impl FnOnce(&mut Tx<'_>, &mut Root, &mut Element) -> Result<bool>,
) -> Option<Vec<u8>> {
    let mut element = Element::default();
    edit(pool, keep, |tx, root| f(tx, root, &mut element)).then(|| element.to_vec())
}

fn collect(pool: &Pool, root: Root, side: Side, skip: u64) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    each(pool, root, side, skip, |value| {
        all.push(value.bytes(pool)?.to_vec());
        Ok(true)
    })
    .unwrap();
    all
}

/// The list is the model, and its memory is all there is.
fn check(pool: &Pool, model: &Model, random: &mut Random, full: bool) {
    let root = root(pool);
    assert_eq!(len(pool, root).unwrap(), model.len() as u64);
    if model.is_empty() {
        assert_eq!(root, Root::EMPTY);
        assert_eq!(pool.usage().used, 0, "nothing leaks");
        return;
    }
    for _ in 0..5 {
        let index = random.below(model.len() as u64);
        assert_eq!(
            get(pool, root, index).unwrap().unwrap(),
            model[index as usize],
            "element {index}"
        );
    }
    assert_eq!(get(pool, root, model.len() as u64).unwrap(), None);
    if !full {
        return;
    }
    assert!(collect(pool, root, Side::Left, 0).iter().eq(model.iter()));
    let skip = random.below(model.len() as u64);
    let back = collect(pool, root, Side::Right, skip);
    assert!(
        back.iter().eq(model.iter().rev().skip(skip as usize)),
        "backwards from {skip}"
    );
    let nodes = |levels: u64| levels * 64 * 1024;
    let memory = memory(pool, root).unwrap();
    let used = pool.usage().used;
    assert!(
        memory.abs_diff(used) <= nodes(4),
        "{memory} counted, {used} in use"
    );
}

/// Lets the freed part of a list go, as the keyspace does.
fn reclaim(pool: &mut Pool, mut gone: Root, budget: usize) {
    while gone != Root::EMPTY {
        let mut tx = pool.begin();
        let done = release::dismantle(&mut tx, &mut gone, budget).unwrap();
        tx.commit().unwrap();
        assert_eq!(done, gone == Root::EMPTY);
    }
}

fn remove_from_model(model: &mut Model, side: Side, value: &[u8], limit: u64) -> u64 {
    let mut matching: Vec<usize> = (0..model.len()).filter(|&at| model[at] == value).collect();
    if side == Side::Right {
        matching.reverse();
    }
    matching.truncate(limit as usize);
    matching.sort();
    for &at in matching.iter().rev() {
        model.remove(at);
    }
    matching.len() as u64
}

/// One random change, on the list and on the model.
fn change(pool: &mut Pool, model: &mut Model, random: &mut Random, keep: bool, growing: bool) {
    let mut after = model.clone();
    let some = |random: &mut Random, model: &Model| random.below(model.len().max(1) as u64);
    let put = |model: &mut Model, side: Side, value: Vec<u8>| match side {
        Side::Left => model.push_front(value),
        Side::Right => model.push_back(value),
    };
    let take = |model: &mut Model, side: Side| match side {
        Side::Left => model.pop_front(),
        Side::Right => model.pop_back(),
    };
    let mut gone = Root::EMPTY;
    match random.below(if growing { 10 } else { 16 }) {
        0..4 => {
            let side = random.side();
            let count = match random.below(6) {
                0 => 1 + random.below(400),
                1 => 1 + random.below(10),
                _ => 1,
            };
            let values: Vec<_> = (0..count).map(|_| random.element()).collect();
            let len = edit(pool, keep, |tx, root| {
                push(tx, root, side, values.iter().map(Vec::as_slice))
            });
            values
                .into_iter()
                .for_each(|value| put(&mut after, side, value));
            assert_eq!(len, after.len() as u64);
        }
        4..6 => {
            let (index, value) = (random.below(model.len() as u64 + 1), random.element());
            edit(pool, keep, |tx, root| insert(tx, root, index, &value));
            after.insert(index as usize, value);
        }
        6..8 => {
            let (from, to) = (random.side(), random.side());
            let moved = edit_taking(pool, keep, |tx, root, element| {
                rotate(tx, root, from, to, element)
            });
            let expected = take(&mut after, from);
            assert_eq!(moved.as_deref(), expected.as_deref());
            expected
                .into_iter()
                .for_each(|value| put(&mut after, to, value));
        }
        8..10 if !model.is_empty() => {
            let (index, value) = (some(random, model), random.element());
            edit(pool, keep, |tx, root| set(tx, root, index, &value));
            after[index as usize] = value;
        }
        10..12 => {
            let side = random.side();
            let popped = edit_taking(pool, keep, |tx, root, element| pop(tx, root, side, element));
            assert_eq!(popped.as_deref(), take(&mut after, side).as_deref());
        }
        12..14 => {
            let side = random.side();
            let n = match random.below(6) {
                0 => random.below(model.len() as u64 + 20),
                1 => some(random, model) / 8,
                _ => random.below(5),
            };
            gone = edit(pool, keep, |tx, root| drop_end(tx, root, side, n));
            (0..n).for_each(|_| drop(take(&mut after, side)));
        }
        14..16 => {
            let value = match random.below(3) {
                0 => random.element(),
                _ => model
                    .get(some(random, model) as usize)
                    .cloned()
                    .unwrap_or_default(),
            };
            let (side, limit) = (
                random.side(),
                [1, 2, 20, u64::MAX][random.below(4) as usize],
            );
            let removed = edit(pool, keep, |tx, root| remove(tx, root, side, &value, limit));
            assert_eq!(removed, remove_from_model(&mut after, side, &value, limit));
        }
        _ => {}
    }
    if keep {
        *model = after;
        reclaim(pool, gone, 1 + random.below(40) as usize);
    }
}

fn run(seed: u64, rounds: u64, groups: bool) {
    println!("seed {seed}, groups {groups}");
    let place = Place::new();
    let mut pool = place.open();
    let mut random = Random(seed);
    let mut model = Model::new();
    for round in 0..rounds {
        let growing = (round / 100) % 3 != 2;
        let before = (model.clone(), pool.usage().used);
        if groups && random.below(4) == 0 {
            // Some changes as one group, which a crash then undoes, or not.
            pool.begin_group();
            for _ in 0..random.below(12) {
                change(&mut pool, &mut model, &mut random, true, growing);
                check(&pool, &model, &mut random, false);
            }
            if random.below(2) == 0 {
                pool.end_group().unwrap();
            } else {
                drop(pool);
                pool = place.open();
                model = before.0.clone();
                assert_eq!(
                    pool.usage().used,
                    before.1,
                    "round {round}: an undone group leaks"
                );
            }
        } else {
            let keep = random.below(5) > 0;
            change(&mut pool, &mut model, &mut random, keep, growing);
            if !keep {
                assert_eq!(
                    pool.usage().used,
                    before.1,
                    "round {round}: a dropped transaction leaks"
                );
            }
        }
        check(&pool, &model, &mut random, round % 16 == 0);
        if random.below(100) == 0 {
            drop(pool);
            pool = place.open();
            check(&pool, &model, &mut random, true);
        }
    }
    let n = model.len() as u64;
    println!("{n} elements in the end");
    let gone = edit(&mut pool, true, |tx, root| {
        drop_end(tx, root, Side::Left, n)
    });
    reclaim(&mut pool, gone, 16);
    assert_eq!(pool.usage().used, 0, "everything is free in the end");
}

#[test]
fn random_changes_match_the_model() {
    for seed in 1..=4 {
        run(seed, 800, false);
    }
}

#[test]
fn groups_are_kept_or_undone_whole() {
    for seed in 11..=13 {
        run(seed, 600, true);
    }
}

#[test]
fn moves_between_lists_are_one_step() {
    let place = Place::new();
    let mut pool = place.open();
    let mut random = Random(5);
    let mut models = [Model::new(), Model::new()];
    let mut roots = [Root::EMPTY; 2];
    for value in (0..3000).map(|_| random.element()) {
        let mut tx = pool.begin();
        push(
            &mut tx,
            &mut roots[0],
            Side::Right,
            [value.as_slice()].into_iter(),
        )
        .unwrap();
        tx.commit().unwrap();
        models[0].push_back(value);
    }
    for round in 0..6000 {
        let (from, to) = (random.side(), random.side());
        let source = usize::from(round % 3000 >= 1500);
        let [first, second] = &mut roots;
        let (a, b) = if source == 0 {
            (first, second)
        } else {
            (second, first)
        };
        let used = pool.usage().used;
        let mut tx = pool.begin();
        let mut element = Element::default();
        let moved = transfer(&mut tx, a, from, b, to, &mut element).unwrap();
        tx.commit().unwrap();
        let expected = match from {
            Side::Left => models[source].pop_front(),
            Side::Right => models[source].pop_back(),
        };
        assert_eq!(moved.then_some(&*element), expected.as_deref());
        if let Some(value) = expected {
            match to {
                Side::Left => models[1 - source].push_front(value),
                Side::Right => models[1 - source].push_back(value),
            }
        }
        assert!(
            pool.usage().used.abs_diff(used) < 3 * CHUNK_MAX as u64,
            "an object is copied"
        );
    }
    for (root, model) in roots.into_iter().zip(&models) {
        assert!(collect(&pool, root, Side::Left, 0).iter().eq(model.iter()));
        let mut tx = pool.begin();
        release::destroy(&mut tx, root).unwrap();
        tx.commit().unwrap();
    }
    assert_eq!(pool.usage().used, 0);
}

#[test]
fn copies_are_equal_and_their_own() {
    let place = Place::new();
    let mut pool = place.open();
    let mut random = Random(9);
    let values: Vec<_> = (0..5000).map(|_| random.element()).collect();
    edit(&mut pool, true, |tx, root| {
        push(tx, root, Side::Left, values.iter().map(Vec::as_slice))
    });
    let source = root(&pool);
    let used = pool.usage().used;
    let mut tx = pool.begin();
    let twin = copy(&mut tx, source).unwrap();
    tx.commit().unwrap();
    assert!(pool.usage().used > used + used / 2);
    assert_eq!(
        collect(&pool, twin, Side::Left, 0),
        collect(&pool, source, Side::Left, 0)
    );
    reclaim(&mut pool, twin, 7);
    assert_eq!(pool.usage().used, used);
}

/// Fences and space, as the head of this file promises them.
#[test]
fn pushes_and_pops_cost_one_fence_and_little_space() {
    let place = Place::new();
    let mut pool = place.open();
    let fences = |pool: &Pool| pool.traffic().fences;
    let count = 200_000u64;
    let start = fences(&pool);
    for i in 0..count {
        let value = format!("{i:016}");
        edit(&mut pool, true, |tx, root| {
            push(tx, root, Side::Right, [value.as_bytes()].into_iter())
        });
    }
    let per_push = (fences(&pool) - start) as f64 / count as f64;
    let per_byte = pool.usage().used as f64 / (16 * count) as f64;
    println!("{per_push:.3} fences a push, {per_byte:.3} bytes a byte");
    assert!(per_push < 1.05, "{per_push}");
    assert!(per_byte < 1.25, "{per_byte}");

    let mut random = Random(1);
    let start = fences(&pool);
    for i in 0..2000u64 {
        let index = random.below(count + i);
        edit(&mut pool, true, |tx, root| {
            insert(tx, root, index, b"0123456789abcdef")
        });
    }
    let per_insert = (fences(&pool) - start) as f64 / 2000.0;
    println!("{per_insert:.3} fences an insertion");
    assert!(per_insert < 2.0, "{per_insert}");

    let start = fences(&pool);
    for _ in 0..count / 2 {
        for side in [Side::Left, Side::Right] {
            let popped = edit_taking(&mut pool, true, |tx, root, element| {
                pop(tx, root, side, element)
            });
            assert_eq!(popped.map(|element| element.len()), Some(16));
        }
    }
    let per_pop = (fences(&pool) - start) as f64 / count as f64;
    println!("{per_pop:.3} fences a pop");
    assert!(per_pop < 1.05, "{per_pop}");
}

#[test]
fn trimming_a_long_list_takes_few_frees_at_once() {
    let place = Place::new();
    let mut pool = place.open();
    let values: Vec<_> = (0..300_000)
        .map(|i| format!("{i:016}").into_bytes())
        .collect();
    edit(&mut pool, true, |tx, root| {
        push(tx, root, Side::Right, values.iter().map(Vec::as_slice))
    });
    let used = pool.usage().used;
    let left = edit(&mut pool, true, |tx, root| {
        drop_end(tx, root, Side::Left, 100_000)
    });
    let right = edit(&mut pool, true, |tx, root| {
        drop_end(tx, root, Side::Right, 100_000)
    });
    assert!(
        left != Root::EMPTY && right != Root::EMPTY,
        "the parts are detached"
    );
    assert!(
        pool.usage().used + 4 * 1024 * 1024 > used,
        "and not freed yet"
    );
    assert!(
        collect(&pool, root(&pool), Side::Left, 0)
            .iter()
            .eq(&values[100_000..200_000])
    );
    reclaim(&mut pool, left, 64);
    reclaim(&mut pool, right, 64);
    let rest = edit(&mut pool, true, |tx, root| {
        drop_end(tx, root, Side::Right, 100_000)
    });
    reclaim(&mut pool, rest, 64);
    assert_eq!(pool.usage().used, 0);
}

/// Whatever a single flipped bit does to the list's own bytes, nothing panics or hangs.
#[test]
fn damage_is_an_error_not_a_panic() {
    let place = Place::new();
    let mut pool = place.open();
    let mut random = Random(3);
    let values: Vec<_> = (0..4000).map(|_| random.element()).collect();
    edit(&mut pool, true, |tx, root| {
        push(tx, root, Side::Right, values.iter().map(Vec::as_slice))
    });
    let home = root(&pool);
    let list = List::open(&pool, home).unwrap();
    let Form::Deep { head, tree, tail } = &list.form else {
        panic!("a deep list")
    };
    let spots = [
        home.value,
        tree.root,
        head.unwrap().at.offset(),
        tail.unwrap().at.offset(),
    ];
    let mut errors = 0;
    for round in 0..600 {
        let spot = spots[round % 4] + random.below(64);
        let at: PPtr<u8> = PPtr::new(spot).unwrap();
        let old = pool.bytes(at, 1).unwrap()[0];
        let mut tx = pool.begin();
        tx.write(at, &[old ^ 1 << random.below(8)]).unwrap();
        tx.commit().unwrap();
        let mut failed = false;
        for side in [Side::Left, Side::Right] {
            let mut seen = 0;
            failed |= each(&pool, home, side, 3, |value| {
                seen += 1;
                assert!(seen < 1_000_000, "a walk ends");
                value.bytes(&pool).map(|_| true)
            })
            .is_err();
            let mut root = home;
            let mut tx = pool.begin();
            failed |= pop(&mut tx, &mut root, side, &mut Element::default()).is_err();
            drop(tx);
        }
        let mut root = home;
        let mut tx = pool.begin();
        failed |= set(&mut tx, &mut root, 2000, b"other").is_err();
        drop(tx);
        let mut root = home;
        let mut tx = pool.begin();
        failed |= drop_end(&mut tx, &mut root, Side::Right, 2500).is_err();
        drop(tx);
        errors += u64::from(failed);
        let mut tx = pool.begin();
        tx.write(at, &[old]).unwrap();
        tx.commit().unwrap();
    }
    assert!(errors > 100, "{errors} of 600 flipped bits are noticed");
    assert!(collect(&pool, home, Side::Left, 0).iter().eq(&values));
}
