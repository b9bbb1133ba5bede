//! Hashes and sets against models, in pools on tmpfs: what was committed is there, what was not is
//! not, and what is removed leaves no memory behind.

use fastrand::Rng;
use pobj::{Durability, Pool, Tx};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use store::layout::pool_at;
use store::structures::limits::AllLimits;
use store::structures::set::Member;
use store::structures::{Root, Structure, hash, set};
use tempfile::TempDir;

/// A pool with one root in its user words.
struct Place {
    directory: TempDir,
    size: u64,
}

impl Place {
    fn new(size: u64) -> Place {
        let directory = tempfile::Builder::new()
            .prefix("hash-")
            .tempdir_in("/dev/shm");
        Place {
            directory: directory.expect("a directory on tmpfs"),
            size,
        }
    }

    fn open(&self) -> Pool {
        let options = pool_at(self.directory.path().join("test.pool"));
        let options = options.durability(Durability::Process).size(self.size);
        Pool::open(&options).expect("the pool opens")
    }
}

fn root(pool: &Pool) -> Root {
    let word = |index| *pool.get(pool.user_word(index)).unwrap();
    Root {
        value: word(0),
        form: word(1),
    }
}

fn edit<R>(pool: &mut Pool, keep: bool, f: impl FnOnce(&mut Tx<'_>, &mut Root) -> R) -> R {
    let mut new = root(pool);
    let old = new;
    let mut tx = pool.begin();
    let result = f(&mut tx, &mut new);
    if !keep {
        return result;
    }
    if new.value != old.value {
        tx.set(tx.user_word(0), new.value).unwrap();
    }
    if new.form != old.form {
        tx.set(tx.user_word(1), new.form).unwrap();
    }
    tx.commit().unwrap();
    result
}

type Bytes = Vec<u8>;

/// What is written about: a few numbers of keys, so that they meet again.
struct Words {
    random: Rng,
    keys: u64,
    integers: bool,
    long: bool,
}

impl Words {
    fn key(&mut self) -> Bytes {
        let n = self.random.u64(..self.keys);
        if self.integers {
            return (n as i64 - 100).to_string().into_bytes();
        }
        match n {
            0 => Vec::new(),
            1 => vec![0, 255, 10, 13],
            _ if self.long && n.is_multiple_of(97) => format!("{n:0300}").into_bytes(),
            _ => format!("field {n}").into_bytes(),
        }
    }

    fn value(&mut self) -> Bytes {
        let most = match self.random.u32(..if self.long { 20 } else { 10 }) {
            0 => 64,
            19 => 100_000,
            15..19 => 2000,
            _ => 12,
        };
        let len = self.random.usize(..=most);
        std::iter::repeat_with(|| self.random.u8(..))
            .take(len)
            .collect()
    }

    fn some(&mut self, most: usize) -> usize {
        if self.random.u32(..4) == 0 {
            self.random.usize(1..=most)
        } else {
            1
        }
    }
}

fn check_hash(pool: &Pool, model: &BTreeMap<Bytes, Bytes>) {
    let root = root(pool);
    assert_eq!(hash::len(root), model.len() as u64);
    let mut seen = BTreeMap::new();
    for pair in hash::pairs(pool, root).unwrap() {
        let (field, value) = pair.unwrap();
        assert_eq!(
            seen.insert(field.to_vec(), value.to_vec()),
            None,
            "{field:?} twice"
        );
    }
    assert!(seen == *model);
    for (field, value) in model {
        assert_eq!(
            hash::get(pool, root, field).unwrap(),
            Some(value.as_slice())
        );
    }
    assert_eq!(hash::get(pool, root, b"never there").unwrap(), None);
}

fn run_hash(seed: u64, keys: u64, long: bool, rounds: u32) {
    let place = Place::new(192 << 20);
    let mut pool = place.open();
    let mut words = Words {
        random: Rng::with_seed(seed),
        keys,
        integers: false,
        long,
    };
    let mut model = BTreeMap::new();
    let empty = pool.usage().used;
    let mut committed = None;
    for round in 0..rounds {
        // The weather: filling, emptying, or neither.
        let filling = [8, 5, 2][(round / 400 % 3) as usize];
        let keep = words.random.u32(..10) > 0;
        let before = model.clone();
        if words.random.u32(..10) < filling {
            let count = words.some(100);
            let pairs: Vec<(Bytes, Bytes)> =
                (0..count).map(|_| (words.key(), words.value())).collect();
            let added = edit(&mut pool, keep, |tx, root| {
                hash::set(
                    tx,
                    root,
                    AllLimits::DEFAULT.hash,
                    pairs.iter().map(|(f, v)| (f.as_slice(), v.as_slice())),
                )
            });
            let new: u64 = pairs
                .into_iter()
                .map(|(f, v)| u64::from(model.insert(f, v).is_none()))
                .sum();
            assert_eq!(added.unwrap(), new, "seed {seed}, round {round}");
        } else {
            let count = words.some(100);
            let fields: Vec<Bytes> = (0..count).map(|_| words.key()).collect();
            let removed = edit(&mut pool, keep, |tx, root| {
                hash::remove(tx, root, fields.iter().map(Vec::as_slice))
            });
            let gone: u64 = fields
                .iter()
                .map(|f| u64::from(model.remove(f).is_some()))
                .sum();
            assert_eq!(removed.unwrap(), gone, "seed {seed}, round {round}");
        }
        if !keep {
            model = before;
        }
        // Groups that are undone by a crash, or end.
        match words.random.u32(..if keys > 1000 { 600 } else { 60 }) {
            0 if committed.is_none() => {
                pool.begin_group();
                committed = Some(model.clone());
            }
            1..4 if committed.is_some() => {
                pool.end_group().unwrap();
                committed = None;
            }
            4 => {
                drop(pool);
                pool = place.open();
                model = committed.take().unwrap_or(model);
                check_hash(&pool, &model);
            }
            5..9 => check_hash(&pool, &model),
            _ => {}
        }
    }
    if committed.is_some() {
        pool.end_group().unwrap();
    }
    check_hash(&pool, &model);
    loop {
        let mut rest = root(&pool);
        let done = edit(&mut pool, true, |tx, root| {
            let done = hash::Type.dismantle(tx, root, 64).unwrap();
            rest = *root;
            done
        });
        if done {
            assert_eq!(rest, Root::EMPTY);
            break;
        }
    }
    assert_eq!(pool.usage().used, empty, "seed {seed}: memory is lost");
}

#[test]
fn a_small_hash_is_what_its_model_is() {
    (0..6).for_each(|seed| run_hash(seed, 60, false, 3000));
}

#[test]
fn a_hash_that_changes_its_form_is_what_its_model_is() {
    (10..14).for_each(|seed| run_hash(seed, 400, true, 3000));
}

#[test]
fn a_large_hash_is_what_its_model_is() {
    run_hash(20, 10_000, false, 3_000);
}

fn check_set(pool: &Pool, model: &BTreeSet<Bytes>) {
    let root = root(pool);
    assert_eq!(set::len(root), model.len() as u64);
    let mut seen = BTreeSet::new();
    for member in set::members(pool, root).unwrap() {
        let member = member.unwrap();
        assert!(set::contains_member(pool, root, member).unwrap());
        let bytes = member.bytes(&mut itoa::Buffer::new()).to_vec();
        assert!(set::contains(pool, root, &bytes).unwrap());
        assert!(seen.insert(bytes), "{member:?} twice");
    }
    assert!(seen == *model);
    assert!(!set::contains(pool, root, b"never there").unwrap());
}

fn run_set(seed: u64, keys: u64, integers: bool, rounds: u32) {
    let place = Place::new(64 << 20);
    let mut pool = place.open();
    let mut words = Words {
        random: Rng::with_seed(seed),
        keys,
        integers,
        long: true,
    };
    let mut model = BTreeSet::new();
    let empty = pool.usage().used;
    for round in 0..rounds {
        let filling = [8, 5, 2][(round / 400 % 3) as usize];
        let keep = words.random.u32(..10) > 0;
        let before = model.clone();
        match words.random.u32(..11) {
            10 if !model.is_empty() => {
                let member = edit(&mut pool, keep, set::pop).unwrap();
                assert!(model.remove(&member), "{member:?}");
            }
            dice => {
                let count = words.some(100);
                words.integers = integers && words.random.u32(..2000) > 0;
                let members: Vec<Bytes> = (0..count).map(|_| words.key()).collect();
                let slices = || members.iter().map(Vec::as_slice);
                let (changed, expected): (_, u64) = if dice < filling {
                    let added = edit(&mut pool, keep, |tx, root| {
                        set::add(tx, root, AllLimits::DEFAULT.set, slices())
                    });
                    (
                        added,
                        members
                            .iter()
                            .map(|m| u64::from(model.insert(m.clone())))
                            .sum(),
                    )
                } else {
                    let gone = edit(&mut pool, keep, |tx, root| set::remove(tx, root, slices()));
                    (
                        gone,
                        members.iter().map(|m| u64::from(model.remove(m))).sum(),
                    )
                };
                assert_eq!(changed.unwrap(), expected, "seed {seed}, round {round}");
            }
        }
        if !keep {
            model = before;
        }
        if words.random.u32(..20) == 0 {
            check_set(&pool, &model);
        }
        if words.random.u32(..100) == 0 {
            drop(pool);
            pool = place.open();
        }
    }
    check_set(&pool, &model);
    let members: Vec<Bytes> = model.into_iter().collect();
    let removed = edit(&mut pool, true, |tx, root| {
        set::remove(tx, root, members.iter().map(Vec::as_slice)).unwrap()
    });
    assert_eq!((removed, root(&pool)), (members.len() as u64, Root::EMPTY));
    assert_eq!(pool.usage().used, empty, "seed {seed}: memory is lost");
}

#[test]
fn a_set_of_words_is_what_its_model_is() {
    (0..4).for_each(|seed| run_set(seed, 120, false, 2000));
    run_set(5, 5000, false, 5000);
}

#[test]
fn a_set_of_integers_is_what_its_model_is() {
    (0..4).for_each(|seed| run_set(seed, 300, true, 2000));
    run_set(5, 3000, true, 5000);
}

/// A pool with a set of these many members, added one by one.
fn set_of(place: &Place, count: u64) -> Pool {
    let mut pool = place.open();
    for n in 0..count {
        let member = format!("member {n}");
        edit(&mut pool, true, |tx, root| {
            set::add(
                tx,
                root,
                AllLimits::DEFAULT.set,
                std::iter::once(member.as_bytes()),
            )
            .unwrap()
        });
    }
    pool
}

#[test]
fn random_picks_are_uniform() {
    // Other picks would be as good, but one run in many would be beyond any bound.
    fastrand::seed(7);
    for count in [5, 100, 129, 700, 3000] {
        let place = Place::new(64 << 20);
        let pool = set_of(&place, count);
        let mut hits: HashMap<Bytes, u64> = HashMap::new();
        let picks = 100 * count;
        for _ in 0..picks {
            let Member::Bytes(member) = set::random(&pool, root(&pool)).unwrap() else {
                panic!("not a set of integers");
            };
            *hits.entry(member.to_vec()).or_default() += 1;
        }
        // Chi-squared with count - 1 degrees of freedom: mean count - 1, variance twice that.
        let expected = picks as f64 / count as f64;
        let square = |hits: u64| (hits as f64 - expected).powi(2) / expected;
        let missing = count - hits.len() as u64;
        let chi = hits.values().map(|&n| square(n)).sum::<f64>() + missing as f64 * expected;
        let freedom = (count - 1) as f64;
        let sigmas = (chi - freedom) / (2.0 * freedom).sqrt();
        assert!(
            sigmas.abs() < 6.0,
            "{count} members: {sigmas} standard deviations off"
        );
    }
}

#[test]
fn a_scan_returns_whatever_is_there_throughout() {
    let mut random = Rng::with_seed(7);
    for round in 0..30 {
        let place = Place::new(64 << 20);
        let stable = random.u64(1..600);
        let mut pool = set_of(&place, stable);
        let passing = |n: u64| format!("passing {n}").into_bytes();
        let mut present = BTreeSet::new();
        let mut found = BTreeSet::new();
        let mut cursor = 0;
        // Grows, then shrinks, or the other way round, while the scan goes on.
        let grows_first = random.bool();
        if !grows_first {
            for n in 0..3000 {
                present.insert(n);
            }
            let all: Vec<Bytes> = present.iter().map(|&n| passing(n)).collect();
            edit(&mut pool, true, |tx, root| {
                set::add(
                    tx,
                    root,
                    AllLimits::DEFAULT.set,
                    all.iter().map(Vec::as_slice),
                )
                .unwrap()
            });
        }
        loop {
            cursor = set::scan(&pool, root(&pool), cursor, |member| {
                found.insert(member.bytes(&mut itoa::Buffer::new()).to_vec());
            })
            .unwrap();
            if cursor == 0 {
                break;
            }
            let burst = random.u64(..200);
            for _ in 0..burst {
                let n = random.u64(..3000);
                let grow = random.u32(..10) < if grows_first { 8 } else { 2 };
                edit(&mut pool, true, |tx, root| {
                    let member = passing(n);
                    let member = std::iter::once(member.as_slice());
                    if grow {
                        set::add(tx, root, AllLimits::DEFAULT.set, member)
                    } else {
                        set::remove(tx, root, member)
                    }
                    .unwrap()
                });
            }
        }
        for n in 0..stable {
            let member = format!("member {n}");
            assert!(
                found.contains(member.as_bytes()),
                "round {round}: {member} is missed"
            );
        }
    }
}

#[test]
fn one_field_costs_one_fence() {
    let place = Place::new(64 << 20);
    let mut pool = place.open();
    let (mut fences, mut worst) = (HashMap::new(), 0);
    for n in 0..5000 {
        let (field, value) = (format!("{n:016}"), [b'v'; 16]);
        let before = pool.traffic().fences;
        edit(&mut pool, true, |tx, root| {
            hash::set(
                tx,
                root,
                AllLimits::DEFAULT.hash,
                std::iter::once((field.as_bytes(), value.as_slice())),
            )
            .unwrap()
        });
        let spent = pool.traffic().fences - before;
        *fences.entry(spent).or_insert(0) += 1;
        worst = worst.max(spent);
    }
    assert!(fences[&1] > 4800, "{fences:?}");
    for n in (0..5000).step_by(7) {
        let field = format!("{n:016}");
        let before = pool.traffic().fences;
        edit(&mut pool, true, |tx, root| {
            let (spot, old) = hash::find(tx, *root, field.as_bytes()).unwrap();
            assert!(old.is_some());
            hash::put(
                tx,
                root,
                AllLimits::DEFAULT.hash,
                spot,
                field.as_bytes(),
                b"another value",
            )
            .unwrap()
        });
        assert_eq!(pool.traffic().fences - before, 1);
    }
}

#[test]
fn many_fields_take_less_than_twice_their_bytes() {
    let place = Place::new(160 << 20);
    let mut pool = place.open();
    let mut longest = std::time::Duration::ZERO;
    let start = std::time::Instant::now();
    const COUNT: u64 = if cfg!(debug_assertions) {
        100_000
    } else {
        1_000_000
    };
    for n in 0..COUNT {
        let (field, value) = (format!("{n:016}"), format!("{n:016}"));
        let begin = std::time::Instant::now();
        edit(&mut pool, true, |tx, root| {
            hash::set(
                tx,
                root,
                AllLimits::DEFAULT.hash,
                std::iter::once((field.as_bytes(), value.as_bytes())),
            )
            .unwrap()
        });
        longest = longest.max(begin.elapsed());
    }
    println!(
        "{:?} a field, longest {longest:?}",
        start.elapsed() / COUNT as u32
    );
    let usage = pool.usage();
    println!(
        "{} bytes a field used, {} in pages",
        usage.used / COUNT,
        usage.pages * 65_536 / COUNT
    );
    assert!(usage.used < 2 * 32 * COUNT, "{usage:?}");
    // With few fields, pages that are not full yet weigh too much.
    if COUNT == 1_000_000 {
        assert!(usage.pages * 65_536 < 2 * 32 * COUNT, "{usage:?}");
    }
    let root = root(&pool);
    let start = std::time::Instant::now();
    for n in 0..COUNT {
        let field = format!("{:016}", n * 7919 % COUNT);
        assert!(hash::get(&pool, root, field.as_bytes()).unwrap().is_some());
    }
    println!("{:?} a lookup", start.elapsed() / COUNT as u32);
}

#[test]
fn built_ones_are_like_grown_ones() {
    for count in [1usize, 100, 129, 513, 8000, 70_000] {
        let place = Place::new(64 << 20);
        let mut pool = place.open();
        let mut model: BTreeMap<Bytes, Bytes> = (0..count)
            .map(|n| {
                (
                    format!("field {n}").into_bytes(),
                    n.to_string().into_bytes(),
                )
            })
            .collect();
        let pairs = || model.iter().map(|(f, v)| (f.as_slice(), v.as_slice()));
        edit(&mut pool, false, |tx, _| {
            hash::build(tx, AllLimits::DEFAULT.hash, pairs()).unwrap()
        });
        assert_eq!(pool.usage().used, 0, "a dropped transaction leaks");
        edit(&mut pool, true, |tx, root| {
            *root = hash::build(tx, AllLimits::DEFAULT.hash, pairs()).unwrap()
        });
        drop(pool);
        let mut pool = place.open();
        check_hash(&pool, &model);
        // It grows, shrinks and ends as any other.
        for n in count..count + 300 {
            let (field, value) = (format!("field {n}").into_bytes(), b"v".to_vec());
            edit(&mut pool, true, |tx, root| {
                hash::set(
                    tx,
                    root,
                    AllLimits::DEFAULT.hash,
                    std::iter::once((&field[..], &value[..])),
                )
                .unwrap()
            });
            model.insert(field, value);
        }
        for n in (0..count).step_by(2) {
            let field = format!("field {n}").into_bytes();
            edit(&mut pool, true, |tx, root| {
                hash::remove(tx, root, std::iter::once(field.as_slice())).unwrap()
            });
            model.remove(&field);
        }
        check_hash(&pool, &model);
        while root(&pool) != Root::EMPTY {
            edit(&mut pool, true, |tx, root| {
                hash::Type.dismantle(tx, root, 1000).unwrap()
            });
        }
        assert_eq!(pool.usage().used, 0, "{count} fields");
        let members = model.keys().map(Vec::as_slice);
        edit(&mut pool, true, |tx, root| {
            *root = set::build(tx, AllLimits::DEFAULT.set, members).unwrap()
        });
        assert_eq!(set::len(root(&pool)), model.len() as u64);
        for field in model.keys() {
            assert!(set::contains(&pool, root(&pool), field).unwrap());
        }
    }
}
