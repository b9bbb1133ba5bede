//! Hashes of which fields expire, against a model, in pools on tmpfs: whatever is set, kept, taken
//! away and removed, in packed hashes and in tables, nothing else changes and nothing is left
//! behind.

use fastrand::Rng;
use pobj::{Durability, Pool, Tx};
use std::collections::{BTreeMap, BTreeSet};
use store::expiry::{Expiry, FIELD_NEVER};
use store::layout::pool_at;
use store::structures::hash::{self, Field};
use store::structures::limits::AllLimits;
use store::structures::{Root, Structure, table};
use tempfile::TempDir;

type Bytes = Vec<u8>;
type Model = BTreeMap<Bytes, (Bytes, i64)>;

/// A pool with one root in its user words.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let directory = tempfile::Builder::new()
            .prefix("expiry-")
            .tempdir_in("/dev/shm");
        Place(directory.expect("a directory on tmpfs"))
    }

    fn open(&self) -> Pool {
        let options = pool_at(self.0.path().join("test.pool"));
        let options = options.durability(Durability::Process).size(64 << 20);
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
    let mut tx = pool.begin();
    let result = f(&mut tx, &mut new);
    if keep {
        tx.set(tx.user_word(0), new.value).unwrap();
        tx.set(tx.user_word(1), new.form).unwrap();
        tx.commit().unwrap();
    }
    result
}

fn check(pool: &Pool, model: &Model) {
    let root = root(pool);
    let mut owned = BTreeSet::new();
    hash::check(pool, root, &mut |object| {
        assert!(owned.insert(object.offset()), "an object has two owners");
    })
    .unwrap();
    assert_eq!(hash::len(root), model.len() as u64);
    let mut seen = Model::new();
    for field in hash::fields(pool, root).unwrap() {
        let Field {
            name,
            value,
            expire_at,
        } = field.unwrap();
        seen.insert(name.to_vec(), (value.to_vec(), expire_at));
    }
    assert!(seen == *model);
    for (name, (value, expire_at)) in model {
        let (spot, found) = hash::find(pool, root, name).unwrap();
        assert_eq!((found, spot.expire_at), (Some(&value[..]), *expire_at));
    }
    let expires = model
        .values()
        .any(|&(_, expire_at)| expire_at != FIELD_NEVER);
    assert!(!expires || hash::may_expire(root));
}

struct Words {
    random: Rng,
    names: u64,
    long: bool,
}

impl Words {
    fn name(&mut self) -> Bytes {
        match self.random.u64(..self.names) {
            0 => Vec::new(),
            n if self.long && n % 31 == 1 => format!("{n:0100}").into_bytes(),
            n => format!("field {n}").into_bytes(),
        }
    }

    fn value(&mut self) -> Bytes {
        let most = match self.random.u32(..12) {
            0 if self.long => 1500,
            1 => 64,
            _ => 10,
        };
        let len = self.random.usize(..=most);
        std::iter::repeat_with(|| self.random.u8(..))
            .take(len)
            .collect()
    }

    fn names(&mut self) -> BTreeSet<Bytes> {
        let most = if self.random.u8(..4) == 0 { 70 } else { 3 };
        (0..self.random.usize(1..=most))
            .map(|_| self.name())
            .collect()
    }

    fn time(&mut self) -> i64 {
        self.random.i64(0..1 << 45)
    }
}

/// One change of the hash and of the model.
fn change(tx: &mut Tx<'_>, root: &mut Root, words: &mut Words, model: &mut Model) {
    let empties = words.random.u32(..40) == 0;
    match words.random.u32(..9) {
        0..3 => {
            let pairs: Vec<(Bytes, Bytes)> = words
                .names()
                .into_iter()
                .map(|name| (name, words.value()))
                .collect();
            let expiry = match words.random.u32(..4) {
                0 => Expiry::Never,
                1 => Expiry::Keep,
                _ => Expiry::At(words.time()),
            };
            let borrowed = pairs.iter().map(|(name, value)| (&name[..], &value[..]));
            let added = match expiry {
                Expiry::Never => hash::set(tx, root, AllLimits::DEFAULT.hash, borrowed).unwrap(),
                _ => {
                    hash::set_expiring(tx, root, AllLimits::DEFAULT.hash, borrowed, expiry).unwrap()
                }
            };
            let mut new = 0;
            for (name, value) in pairs {
                let old = model.get(&name).map(|&(_, expire_at)| expire_at);
                new += u64::from(old.is_none());
                let expire_at = match expiry {
                    Expiry::Never => FIELD_NEVER,
                    Expiry::Keep => old.unwrap_or(FIELD_NEVER),
                    Expiry::At(time) => time,
                };
                model.insert(name, (value, expire_at));
            }
            assert_eq!(added, new);
        }
        3..6 => {
            let times: Vec<(Bytes, i64)> = words
                .names()
                .into_iter()
                .map(|name| {
                    let time = words.time();
                    (
                        name,
                        if words.random.bool() {
                            time
                        } else {
                            FIELD_NEVER
                        },
                    )
                })
                .collect();
            let borrowed: Vec<(&[u8], i64)> =
                times.iter().map(|(name, at)| (&name[..], *at)).collect();
            hash::expire(tx, root, &borrowed).unwrap();
            for (name, expire_at) in times {
                if let Some(entry) = model.get_mut(&name) {
                    entry.1 = expire_at;
                }
            }
        }
        6 => {
            let (name, value) = (words.name(), words.value());
            let (spot, _) = hash::find(tx, *root, &name).unwrap();
            let is_new = hash::put(tx, root, AllLimits::DEFAULT.hash, spot, &name, &value).unwrap();
            let expire_at = model
                .get(&name)
                .map_or(FIELD_NEVER, |&(_, expire_at)| expire_at);
            assert_eq!(is_new, model.insert(name, (value, expire_at)).is_none());
        }
        7 => {
            let source = *root;
            let copy = hash::copy(tx, source).unwrap();
            hash::Type.dismantle(tx, root, usize::MAX).unwrap();
            *root = copy;
        }
        _ => {
            let names = if empties {
                model.keys().cloned().collect()
            } else {
                words.names()
            };
            let removed = hash::remove(
                tx,
                root,
                names
                    .iter()
                    .map(Vec::as_slice)
                    .collect::<Vec<_>>()
                    .into_iter(),
            );
            let gone = names.iter().filter(|&name| model.remove(name).is_some());
            assert_eq!(removed.unwrap(), gone.count() as u64);
        }
    }
}

fn run(seed: u64, names: u64, long: bool) {
    let place = Place::new();
    let mut pool = place.open();
    let empty = pool.usage().used;
    let mut words = Words {
        random: Rng::with_seed(seed),
        names,
        long,
    };
    let mut model = Model::new();
    for round in 0..600 {
        let before = model.clone();
        let keep = words.random.u32(..8) > 0;
        edit(&mut pool, keep, |tx, root| {
            change(tx, root, &mut words, &mut model)
        });
        if !keep {
            model = before;
        }
        if round % 10 == 0 || names < 10 {
            check(&pool, &model);
        }
        if words.random.u32(..100) == 0 {
            drop(pool);
            pool = place.open();
        }
    }
    check(&pool, &model);
    edit(&mut pool, true, |tx, root| {
        assert!(hash::Type.dismantle(tx, root, usize::MAX).unwrap());
    });
    pool.trim(usize::MAX).unwrap();
    assert_eq!(pool.usage().used, empty, "seed {seed}: memory was lost");
}

#[test]
fn small_hashes_keep_their_expire_times() {
    for seed in 0..6 {
        run(seed, 9, false);
        run(seed, 100, false);
    }
}

#[test]
fn large_hashes_keep_their_expire_times() {
    for seed in 10..14 {
        run(seed, 60, true);
        run(seed, 600, true);
    }
}

/// What the background relies on: where a field is can be told by its name's hash, whatever the
/// table does.
#[test]
fn fields_of_a_table_are_found_by_their_place() {
    let place = Place::new();
    let mut pool = place.open();
    let names: Vec<Bytes> = (0..3000)
        .map(|n| format!("field {n}").into_bytes())
        .collect();
    edit(&mut pool, true, |tx, root| {
        let pairs = names.iter().map(|name| (&name[..], &b"v"[..]));
        hash::set_expiring(tx, root, AllLimits::DEFAULT.hash, pairs, Expiry::At(7)).unwrap()
    });
    let places: Vec<u64> = names.iter().map(|name| hash::place(&pool, name)).collect();
    edit(&mut pool, true, |tx, root| {
        hash::remove(tx, root, names[1000..].iter().map(Vec::as_slice)).unwrap()
    });
    for (n, (name, place)) in names.iter().zip(places).enumerate() {
        let mut found = false;
        hash::of_hash(&pool, root(&pool), place, |field| {
            found |= field.name == &name[..];
            assert_eq!(field.expire_at, 7);
        })
        .unwrap();
        assert_eq!(found, n < 1000);
    }
    let whole = root(&pool);
    assert!(hash::is_table(whole) && table::len(whole) == 1000);
    let lasting = hash::without_expiry(whole);
    assert!(!hash::may_expire(lasting) && hash::len(lasting) == 1000);
}
