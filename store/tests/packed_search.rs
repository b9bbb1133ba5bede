//! Packed hashes and sets that are large enough to be searched before they are walked, against
//! models: names that stand in other names, in values and in expire times are told apart.

use fastrand::Rng;
use pobj::{Durability, Pool};
use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use store::expiry::{Expiry, FIELD_NEVER};
use store::layout::pool_at;
use store::structures::hash::Field;
use store::structures::limits::{AllLimits, Limits, SetLimits};
use store::structures::{Root, hash, set};
use tempfile::TempDir;

fn pool() -> (TempDir, Pool) {
    let directory = tempfile::Builder::new()
        .prefix("packed-")
        .tempdir_in("/dev/shm");
    let directory = directory.expect("a directory on tmpfs");
    let options = pool_at(directory.path().join("test.pool"));
    let options = options.durability(Durability::Process).size(16 << 20);
    let pool = Pool::open(&options).expect("the pool opens");
    (directory, pool)
}

/// A name: few enough for some to come twice, of bytes that are also lengths, and some of which
/// begin with the length and bytes of another.
fn name(random: &mut Rng) -> Vec<u8> {
    let number = random.u8(..60).to_string().into_bytes();
    match random.u8(..6) {
        0 => Vec::new(),
        1 => vec![random.u8(1..4); random.usize(1..4)],
        2 => [&[number.len() as u8][..], &number].concat(),
        3 => [b"a longer name, of which there are ", &number[..]].concat(),
        _ => number,
    }
}

#[test]
fn fields_are_found_whatever_else_has_their_bytes() {
    let (_directory, mut pool) = pool();
    let mut random = Rng::with_seed(11);
    let limits = AllLimits::DEFAULT.hash;
    let mut searched = 0;
    for round in 0..6 {
        let mut model: BTreeMap<Vec<u8>, (Vec<u8>, i64)> = BTreeMap::new();
        let mut root = Root::EMPTY;
        for step in 0..400 {
            let names: Vec<_> = (0..random.usize(1..3)).map(|_| name(&mut random)).collect();
            let pairs: Vec<_> = names
                .iter()
                .map(|n| (n.clone(), name(&mut random)))
                .collect();
            let borrowed = pairs.iter().map(|(n, v)| (n.as_slice(), v.as_slice()));
            // The bytes of an expire time, too, may be those of a name.
            let time = i64::from_le_bytes([1, 2, b'1', b'7', 1, 1, 2, 0]);
            let mut tx = pool.begin();
            let (added, expire_at) = match random.u8(..8) {
                0 if round > 2 => {
                    let expiry = Expiry::At(time);
                    let added = hash::set_expiring(&mut tx, &mut root, limits, borrowed, expiry);
                    (added.unwrap(), time)
                }
                1 | 2 => {
                    let gone = names.iter().map(Vec::as_slice);
                    let removed = hash::remove(&mut tx, &mut root, gone).unwrap();
                    tx.commit().unwrap();
                    let before = model.len();
                    names.iter().for_each(|name| drop(model.remove(name)));
                    assert_eq!(removed, (before - model.len()) as u64, "{round} {step}");
                    continue;
                }
                _ => {
                    let pairs: Vec<_> = borrowed.collect();
                    let added = hash::set(&mut tx, &mut root, limits, pairs.into_iter());
                    (added.unwrap(), FIELD_NEVER)
                }
            };
            tx.commit().unwrap();
            let before = model.len();
            model.extend(
                pairs
                    .into_iter()
                    .map(|(name, value)| (name, (value, expire_at))),
            );
            assert_eq!(added, (model.len() - before) as u64, "{round} {step}");
            assert_eq!(hash::len(root), model.len() as u64);
            assert!(!hash::is_table(root));
            let wanted = name(&mut random);
            let (spot, value) = hash::find_to_set(&pool, root, &wanted).unwrap();
            let known = model.get(&wanted);
            assert_eq!(
                value,
                known.map(|(value, _)| value.as_slice()),
                "{wanted:?}"
            );
            assert_eq!(spot.expire_at, known.map_or(FIELD_NEVER, |&(_, at)| at));
            searched += u64::from(root.rest() >> 16 > 512);
        }
        let fields = hash::fields(&pool, root).unwrap();
        let fields: BTreeMap<_, _> = fields
            .map(|field| {
                let Field {
                    name,
                    value,
                    expire_at,
                } = field.unwrap();
                (name.to_vec(), (value.to_vec(), expire_at))
            })
            .collect();
        assert_eq!(fields, model, "{round}");
    }
    assert!(searched > 1000, "{searched}");
}

#[test]
fn members_are_found_whatever_else_has_their_bytes() {
    let (_directory, mut pool) = pool();
    let mut random = Rng::with_seed(12);
    let limits = SetLimits {
        members: Limits::new(512, 64),
        ..AllLimits::DEFAULT.set
    };
    let (mut root, mut model) = (Root::EMPTY, BTreeSet::new());
    let mut tx = pool.begin();
    set::add(&mut tx, &mut root, limits, iter::once(&b"x"[..])).unwrap();
    tx.commit().unwrap();
    model.insert(b"x".to_vec());
    for step in 0..2000 {
        let names: Vec<_> = (0..random.usize(1..3)).map(|_| name(&mut random)).collect();
        let borrowed: Vec<_> = names.iter().map(Vec::as_slice).collect();
        let mut tx = pool.begin();
        let before = model.len();
        let changed = if random.u8(..4) == 0 {
            model.retain(|name| !names.contains(name));
            set::remove(&mut tx, &mut root, borrowed.into_iter()).unwrap()
        } else {
            model.extend(names.iter().cloned());
            set::add(&mut tx, &mut root, limits, borrowed.into_iter()).unwrap()
        };
        tx.commit().unwrap();
        assert_eq!(changed, model.len().abs_diff(before) as u64, "{step}");
        assert_eq!(set::len(root), model.len() as u64, "{step}");
    }
    assert!(root.rest() >> 16 > 512, "it is searched");
    let mut digits = itoa::Buffer::new();
    let members = set::members(&pool, root).unwrap();
    let members: BTreeSet<_> = members
        .map(|member| member.unwrap().bytes(&mut digits).to_vec())
        .collect();
    assert_eq!(members, model);
}
