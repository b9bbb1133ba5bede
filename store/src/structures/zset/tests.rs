//! Sorted sets against a sorted vector: small and large, across the conversion, reopened pools and
//! dropped transactions.

use super::node::compare;
use super::*;
use crate::layout::pool_at;
use crate::structures::limits::AllLimits;
use pobj::Durability;
use std::collections::HashSet;
use tempfile::TempDir;

const LIMITS: ZSetLimits = AllLimits::DEFAULT.zset;

struct Bed {
    pool: Option<Pool>,
    root: Root,
    model: Vec<(Vec<u8>, f64)>,
    place: TempDir,
}

fn open(place: &TempDir) -> Pool {
    let options = pool_at(place.path().join("pool")).durability(Durability::Process);
    Pool::open(&options.size(64 << 20)).unwrap()
}

impl Bed {
    fn new() -> Bed {
        let place = tempfile::Builder::new()
            .prefix("zset-")
            .tempdir_in("/dev/shm")
            .unwrap();
        Bed {
            pool: Some(open(&place)),
            root: Root::EMPTY,
            model: Vec::new(),
            place,
        }
    }

    fn pool(&mut self) -> &mut Pool {
        self.pool.as_mut().unwrap()
    }

    /// One transaction; if `keep` is false, it is dropped.
    fn change<R>(&mut self, keep: bool, f: impl FnOnce(&mut Tx<'_>, &mut Root) -> R) -> R {
        let mut root = self.root;
        let used = self.pool().usage().used;
        let mut tx = self.pool().begin();
        let result = f(&mut tx, &mut root);
        if keep {
            tx.commit().unwrap();
            self.root = root;
        } else {
            drop(tx);
            assert_eq!(
                self.pool().usage().used,
                used,
                "a dropped transaction leaks"
            );
        }
        result
    }

    fn apply(&mut self, name: &[u8], given: f64, rule: Rule) -> Added {
        let at = self.model.iter().position(|(n, _)| n == name);
        let added = rule.apply(given, at.map(|at| self.model[at].1));
        if let Added::New(score) | Added::Changed(score) = added {
            if let Some(at) = at {
                self.model.remove(at);
            }
            let at = self
                .model
                .partition_point(|(n, s)| compare((*s, n), (score, name)).is_lt());
            self.model.insert(at, (name.to_vec(), score));
        }
        added
    }

    /// Walks in parts, from anywhere, both ways, and not beyond the end.
    fn check_walks(&self) {
        let (root, pool, len) = (self.root, self.pool.as_ref().unwrap(), self.model.len());
        for start in [0, len / 3, len.saturating_sub(1)] {
            for reverse in [false, true] {
                let expected: Vec<_> = if reverse {
                    self.model.iter().take(start + 1).rev().cloned().collect()
                } else {
                    self.model[start..].to_vec()
                };
                let mut walk = walk(pool, root, start as u64, reverse).unwrap();
                let mut seen = Vec::new();
                let parts = [expected.len() / 2, expected.len() - expected.len() / 2];
                for part in parts {
                    let visit = |name: &[u8], score| seen.push((name.to_vec(), score));
                    walk.each(part as u64, visit).unwrap();
                }
                assert_eq!(seen, expected);
                assert!(walk.each(1, |_, _| ()).is_err());
            }
        }
    }

    fn check(&mut self) {
        let (root, pool) = (self.root, self.pool.as_ref().unwrap());
        assert_eq!(len(root), self.model.len() as u64);
        let mut up = walk(pool, root, 0, false).unwrap();
        for (rank, (name, score)) in self.model.iter().enumerate() {
            assert_eq!(up.step().unwrap(), Some((name.as_slice(), *score)));
            assert_eq!(super::score(pool, root, name).unwrap(), Some(*score));
            assert_eq!(super::rank(pool, root, name).unwrap(), Some(rank as u64));
        }
        assert_eq!(up.step().unwrap(), None);
        self.check_walks();
        let mut seen = HashSet::new();
        let mut cursor = 0;
        loop {
            cursor = scan(pool, root, cursor, |name, _| {
                assert!(seen.insert(name.to_vec()))
            })
            .unwrap();
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen.len(), self.model.len());
    }
}

fn name(random: &mut fastrand::Rng, names: u32) -> Vec<u8> {
    let n = random.u32(..names);
    let mut name = n.to_string().into_bytes();
    if n.is_multiple_of(997) {
        name.resize(65 + n as usize % 300, b'x');
    }
    name
}

fn campaign(seed: u64, rounds: usize, names: u32) {
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bed = Bed::new();
    for round in 0..rounds {
        let keep = random.u8(..10) > 0;
        let before = bed.model.clone();
        let score = |random: &mut fastrand::Rng| match random.u8(..30) {
            0 => f64::INFINITY,
            1 => f64::NEG_INFINITY,
            2 => -0.0,
            n if n < 15 => f64::from(random.i8(..)),
            _ => random.f64() * 100.0,
        };
        let rule = Rule {
            only_new: random.u8(..10) == 0,
            only_old: random.u8(..10) == 0,
            only_up: random.u8(..10) == 0,
            only_down: random.u8(..10) == 0,
            increment: random.u8(..5) == 0,
            expected: 0,
        };
        match random.u8(..12) {
            0..4 => {
                let (name, score) = (name(&mut random, names), score(&mut random));
                let expected = bed.apply(&name, score, rule);
                assert_eq!(
                    bed.change(keep, |tx, root| add(tx, root, LIMITS, &name, score, rule)
                        .unwrap()),
                    expected
                );
            }
            4..7 => {
                let rule = Rule {
                    increment: false,
                    ..rule
                };
                let many = if random.u8(..10) == 0 { 150 } else { 10 };
                let batch: Vec<_> = (0..random.usize(1..many))
                    .map(|_| (name(&mut random, names), score(&mut random)))
                    .collect();
                let expected: Vec<_> = batch
                    .iter()
                    .map(|(name, score)| bed.apply(name, *score, rule))
                    .collect();
                let mut found = Vec::new();
                bed.change(keep, |tx, root| {
                    let elements = batch.iter().map(|(name, score)| (name.as_slice(), *score));
                    add_all(tx, root, LIMITS, elements, rule, |added| found.push(added)).unwrap();
                });
                assert_eq!(found, expected);
            }
            7..10 => {
                let names: Vec<_> = (0..random.usize(1..8))
                    .map(|_| name(&mut random, names))
                    .collect();
                let n = bed.model.len();
                bed.model.retain(|(name, _)| !names.contains(name));
                let expected = (n - bed.model.len()) as u64;
                let removed = bed.change(keep, |tx, root| {
                    remove(tx, root, names.iter().map(Vec::as_slice)).unwrap()
                });
                assert_eq!(removed, expected);
            }
            _ if !bed.model.is_empty() && random.u8(..3) == 0 => {
                let last = random.bool();
                let at = if last { bed.model.len() - 1 } else { 0 };
                let expected = bed.model.remove(at);
                let popped = bed.change(keep, |tx, root| pop(tx, root, last).unwrap());
                assert_eq!(popped, Some(expected));
            }
            _ if !bed.model.is_empty() => {
                let n = bed.model.len();
                let from = random.usize(..n);
                let most = if random.u8(..4) == 0 {
                    n
                } else {
                    n.min(from + 40)
                };
                let to = random.usize(from..=most);
                let from = if random.u8(..20) == 0 { 0 } else { from };
                bed.model.drain(from..to);
                bed.change(keep, |tx, root| {
                    remove_range(tx, root, from as u64..to as u64).unwrap();
                });
            }
            _ => {}
        }
        if !keep {
            bed.model = before;
        }
        if has_garbage(bed.root) && random.u8(..4) == 0 {
            let keep = random.u8(..4) > 0;
            bed.change(keep, |tx, root| assert!(garbage::clean(tx, root).unwrap()));
        }
        while is_over(bed.root) {
            bed.change(true, |tx, root| dismantle_part(tx, root, 50).unwrap());
        }
        if round % 29 == 0 {
            bed.check();
        }
        if random.u16(..400) == 0 {
            bed.pool = None;
            bed.pool = Some(open(&bed.place));
            bed.check();
        }
    }
    bed.check();
    while bed.root != Root::EMPTY {
        bed.change(true, |tx, root| dismantle_part(tx, root, 50).unwrap());
    }
    assert_eq!(
        bed.pool().usage().used,
        0,
        "everything is free in the end (seed {seed})"
    );
}

#[test]
fn random_changes_match_the_model() {
    for (seed, names) in [(1, 20), (2, 140), (3, 140), (4, 2000), (5, 20_000)] {
        campaign(seed, 3000, names);
    }
}

#[test]
fn a_long_range_goes_in_few_steps_and_its_names_can_come_again() {
    const N: usize = 50_000;
    let mut bed = Bed::new();
    bed.model = (0..N)
        .map(|i| (format!("{i:06}").into_bytes(), i as f64))
        .collect();
    let model = bed.model.clone();
    let elements: Vec<_> = model.iter().map(|(n, s)| (n.as_slice(), *s)).collect();
    bed.change(true, |tx, root| {
        *root = build(tx, LIMITS, &elements).unwrap()
    });
    let before = bed.pool().traffic().fences;
    bed.change(true, |tx, root| {
        remove_range(tx, root, 100..40_100).unwrap()
    });
    let fences = bed.pool().traffic().fences - before;
    assert!(fences < 10, "{fences} fences");
    bed.model.drain(100..40_100);
    bed.check();
    for name in ["000100", "020000", "040099"] {
        let rule = Rule::default();
        let expected = bed.apply(name.as_bytes(), 7.5, rule);
        assert_eq!(expected, Added::New(7.5));
        let added = bed.change(true, |tx, root| {
            add(tx, root, LIMITS, name.as_bytes(), 7.5, rule).unwrap()
        });
        assert_eq!(added, expected);
    }
    let mut rounds = 0;
    while has_garbage(bed.root) {
        bed.change(true, |tx, root| assert!(garbage::clean(tx, root).unwrap()));
        rounds += 1;
        if rounds % 500 == 0 {
            bed.check();
        }
    }
    bed.check();
    assert_eq!(bed.root.encoding(), 2);
    while bed.root != Root::EMPTY {
        bed.change(true, |tx, root| dismantle_part(tx, root, 50).unwrap());
    }
    assert_eq!(bed.pool().usage().used, 0);
}

#[test]
fn built_ones_are_like_grown_ones() {
    for n in [1usize, 128, 129, 5000] {
        let mut bed = Bed::new();
        bed.model = (0..n)
            .map(|i| (format!("{i:06}").into_bytes(), (i / 7) as f64))
            .collect();
        let model = bed.model.clone();
        let elements: Vec<_> = model.iter().map(|(n, s)| (n.as_slice(), *s)).collect();
        bed.change(false, |tx, _| build(tx, LIMITS, &elements).unwrap());
        bed.change(true, |tx, root| {
            *root = build(tx, LIMITS, &elements).unwrap()
        });
        bed.check();
        assert_eq!(bed.root.encoding(), if n > 128 { 2 } else { 1 });
        bed.change(true, |tx, root| {
            remove_range(tx, root, 0..n as u64).unwrap()
        });
        assert!(bed.root == Root::EMPTY || is_over(bed.root));
        while bed.root != Root::EMPTY {
            bed.change(true, |tx, root| dismantle_part(tx, root, 50).unwrap());
        }
        assert_eq!((bed.root, bed.pool().usage().used), (Root::EMPTY, 0));
    }
}

#[test]
fn single_changes_take_one_fence_and_little_space() {
    let mut bed = Bed::new();
    let mut random = fastrand::Rng::with_seed(9);
    const N: u32 = 100_000;
    let name = |i: u32| format!("member:{i:09}").into_bytes();
    let rule = Rule::default();
    for i in 0..N {
        let score = random.f64();
        bed.change(true, |tx, root| {
            add(tx, root, LIMITS, &name(i), score, rule).unwrap()
        });
    }
    let used = bed.pool().usage().used;
    assert!(
        used < u64::from(N) * 3 * 24,
        "{used} bytes for members of 16 bytes"
    );
    let cost = |bed: &mut Bed, what: &str, f: &mut dyn FnMut(&mut Bed, u32)| {
        let before = bed.pool().traffic().fences;
        (0..1000).for_each(|i| f(bed, i));
        let fences = bed.pool().traffic().fences - before;
        println!("{what}: {fences} fences for 1000");
        assert!(fences < 1200, "{what}: {fences} fences for 1000");
    };
    cost(&mut bed, "insert", &mut |bed, i| {
        let score = random.f64();
        bed.change(true, |tx, root| {
            add(tx, root, LIMITS, &name(N + i), score, rule).unwrap()
        });
    });
    cost(&mut bed, "move", &mut |bed, _| {
        let (at, score) = (random.u32(..N), random.f64());
        bed.change(true, |tx, root| {
            add(tx, root, LIMITS, &name(at), score, rule).unwrap()
        });
    });
    cost(&mut bed, "remove", &mut |bed, i| {
        let name = name(N + i);
        bed.change(true, |tx, root| {
            remove(tx, root, [name.as_slice()].into_iter()).unwrap()
        });
    });
    cost(&mut bed, "pop", &mut |bed, _| {
        bed.change(true, |tx, root| remove_range(tx, root, 0..1).unwrap());
    });
}
