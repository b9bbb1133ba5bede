//! Values whose objects are moved out of the way of an evacuation: what they hold stays, nothing of
//! them is left in the way, nothing leaks, and a dropped step has moved nothing.

use fastrand::Rng;
use pobj::{Durability, PPtr, Pool, Tx};
use store::layout::{DATA, pool_at};
use store::record::{self, Creation, RecordPtr};
use store::structures::limits::AllLimits;
use store::structures::list::Side;
use store::structures::mover::{Cursor, Mover};
use store::structures::{self, Root, hash, list, set, string, zset};
use store::value::ValueType;
use tempfile::TempDir;

type Bytes = Vec<u8>;

/// A pool whose values hang from records, as keys' do.
struct Scenario {
    _directory: TempDir,
    pool: Pool,
    values: Vec<(ValueType, RecordPtr)>,
    junk: Vec<PPtr<u8>>,
    random: Rng,
}

impl Scenario {
    fn new(seed: u64) -> Scenario {
        let directory = tempfile::Builder::new()
            .prefix("relocation-")
            .tempdir_in("/dev/shm")
            .expect("a directory on tmpfs");
        let options = pool_at(directory.path().join("test.pool"));
        let options = options.durability(Durability::Process).size(128 << 20);
        Scenario {
            pool: Pool::open(&options).expect("the pool opens"),
            _directory: directory,
            values: Vec::new(),
            junk: Vec::new(),
            random: Rng::with_seed(seed),
        }
    }

    /// A value of each type, empty yet.
    fn records(&mut self) {
        let mut tx = self.pool.begin();
        for ty in ValueType::ALL.into_iter().skip(1) {
            let key = (b"key".as_slice(), ty, Creation::FIRST);
            let record = record::create(&mut tx, key, 0, |_, _| Ok(Root::EMPTY)).unwrap();
            self.values.push((ty, record));
        }
        tx.commit().unwrap();
    }

    /// Objects beside the values', of the sizes that those have.
    fn litter(&mut self, count: usize) {
        let mut tx = self.pool.begin();
        for _ in 0..count {
            let size = match self.random.u32(..4) {
                0 => 1 + self.random.u64(..64),
                1 => self.random.u64(64..600),
                2 => [512, 2048, 4096, 1024][self.random.usize(..4)],
                _ => self.random.u64(600..20_000),
            };
            let object = tx.alloc(size, DATA).unwrap();
            tx.fill(object, &[7]).unwrap();
            self.junk.push(object.ptr());
        }
        tx.commit().unwrap();
    }

    /// Frees all but every `n`-th piece of litter.
    fn sweep(&mut self, n: usize) {
        let mut kept = Vec::new();
        for (at, object) in std::mem::take(&mut self.junk).into_iter().enumerate() {
            if at.is_multiple_of(n) {
                kept.push(object);
                continue;
            }
            let mut tx = self.pool.begin();
            tx.free(object).unwrap();
            tx.commit().unwrap();
        }
        self.junk = kept;
    }

    fn edit<R>(&mut self, at: usize, f: impl FnOnce(&mut Tx<'_>, &mut Root) -> R) -> R {
        let record = self.values[at].1;
        let mut tx = self.pool.begin();
        let old = record::get(&tx, record).unwrap().root;
        let mut root = old;
        let result = f(&mut tx, &mut root);
        record::set_root(&mut tx, record, old, root).unwrap();
        tx.commit().unwrap();
        result
    }

    /// Some elements more, or fewer.
    fn change(&mut self, at: usize) {
        let ty = self.values[at].0;
        let mut random = self.random.fork();
        let mut word = || {
            let len = match random.u32(..20) {
                0 => random.usize(600..9000),
                1..4 => random.usize(64..400),
                _ => random.usize(1..20),
            };
            let text = random.u64(..40_000).to_string().into_bytes();
            text.into_iter().cycle().take(len.max(6)).collect::<Bytes>()
        };
        let words: Vec<Bytes> = (0..24).map(|_| word()).collect();
        let score = f64::from(self.random.u32(..50));
        let removes = self.random.u32(..3) == 0;
        let side = [Side::Left, Side::Right][self.random.usize(..2)];
        self.edit(at, |tx, root| match ty {
            ValueType::String => unreachable!("strings are tested for themselves"),
            ValueType::List if removes => {
                let mut element = list::Element::default();
                list::pop(tx, root, side, &mut element).unwrap();
            }
            ValueType::List => {
                list::push(tx, root, side, words.iter().map(|word| &word[..])).unwrap();
            }
            ValueType::Hash if removes => {
                let names = words.iter().map(|word| &word[..]);
                hash::remove(tx, root, names.collect::<Vec<_>>().into_iter()).unwrap();
            }
            ValueType::Hash => {
                let pairs: Vec<_> = words.chunks(2).map(|p| (&p[0][..], &p[1][..])).collect();
                hash::set(tx, root, AllLimits::DEFAULT.hash, pairs.into_iter()).unwrap();
            }
            ValueType::Set if removes => {
                let names: Vec<_> = words.iter().map(|word| &word[..]).collect();
                set::remove(tx, root, names.into_iter()).unwrap();
            }
            ValueType::Set => {
                let names: Vec<_> = words.iter().map(|word| &word[..]).collect();
                set::add(tx, root, AllLimits::DEFAULT.set, names.into_iter()).unwrap();
            }
            ValueType::ZSet if removes => {
                let len = zset::len(*root);
                if len > 4 {
                    zset::remove_range(tx, root, len / 3..len / 3 + 2).unwrap();
                }
            }
            ValueType::ZSet => {
                zset::add(
                    tx,
                    root,
                    AllLimits::DEFAULT.zset,
                    &words[0],
                    score,
                    zset::Rule::default(),
                )
                .unwrap();
            }
        });
    }

    fn root(&self, at: usize) -> Root {
        record::get(&self.pool, self.values[at].1).unwrap().root
    }

    /// What a value holds.
    fn content(&self, at: usize) -> Vec<Bytes> {
        let (pool, root) = (&self.pool, self.root(at));
        let mut all = Vec::new();
        match self.values[at].0 {
            ValueType::String => {}
            ValueType::List => list::each(pool, root, Side::Left, 0, |value| {
                all.push(value.bytes(pool)?.to_vec());
                Ok(true)
            })
            .unwrap(),
            ValueType::Hash => {
                for pair in hash::pairs(pool, root).unwrap() {
                    let (field, value) = pair.unwrap();
                    all.push([field, b"=", value].concat());
                }
                all.sort();
            }
            ValueType::Set => {
                let mut digits = itoa::Buffer::new();
                for member in set::members(pool, root).unwrap() {
                    all.push(member.unwrap().bytes(&mut digits).to_vec());
                }
                all.sort();
            }
            ValueType::ZSet => {
                let mut walk = zset::walk(pool, root, 0, false).unwrap();
                while let Some((name, score)) = walk.step().unwrap() {
                    all.push([name, &score.to_bits().to_le_bytes()].concat());
                }
            }
        }
        all
    }

    fn contents(&self) -> Vec<Vec<Bytes>> {
        (0..self.values.len()).map(|at| self.content(at)).collect()
    }

    /// Checks every value; how many of their objects lie in the way.
    fn in_the_way(&self) -> usize {
        let mut found = 0;
        for &(ty, record) in &self.values {
            let inline = record::inline(&self.pool, record).unwrap();
            let root = record::get(&self.pool, record).unwrap().root;
            structures::of(ty)
                .check(&self.pool, root, inline, &mut |object| {
                    self.pool.capacity(object).expect("an allocated object");
                    found += usize::from(self.pool.evacuating(object));
                })
                .unwrap();
        }
        found
    }

    /// One step of moving a value; where the next one begins.
    fn step(&mut self, at: usize, cursor: Cursor, budget: u64, keep: bool) -> Option<Cursor> {
        let (ty, record) = self.values[at];
        let mut tx = self.pool.begin();
        let old = record::get(&tx, record).unwrap().root;
        let mut root = old;
        let mut mover = Mover::new(&mut tx, budget);
        let next = structures::of(ty)
            .relocate(&mut mover, &mut root, cursor)
            .unwrap();
        record::set_root(&mut tx, record, old, root).unwrap();
        if keep {
            tx.commit().unwrap()
        } else {
            return Some(cursor);
        }
        next
    }
}

#[test]
fn what_moves_keeps_its_content_and_leaves_the_way_free() {
    for (seed, steps) in [(1, 30), (2, 400), (3, 2000)] {
        let mut scenario = Scenario::new(seed);
        scenario.records();
        for round in 0..steps {
            scenario.litter(4);
            for at in 0..scenario.values.len() {
                scenario.change((at + round) % 4);
            }
        }
        scenario.sweep(9);
        let (before, used) = (scenario.contents(), scenario.pool.usage().used);
        let pages = scenario.pool.usage().pages;
        let expected = scenario.pool.scatter();
        assert!(
            scenario.pool.begin_evacuation() > 0,
            "seed {seed}: {expected:?}"
        );
        let moving = scenario.in_the_way();
        assert!(moving > 0, "seed {seed}");
        let budget = [1, 20, 300][seed as usize - 1];
        for at in 0..scenario.values.len() {
            let mut cursor = Some(Cursor::default());
            let mut calls = 0;
            while let Some(from) = cursor {
                if calls % 5 == 0 {
                    scenario.step(at, from, budget, false);
                }
                cursor = scenario.step(at, from, budget, true);
                calls += 1;
                assert!(calls < 1_000_000, "it ends");
            }
        }
        assert_eq!(scenario.in_the_way(), 0, "seed {seed}: of {moving}");
        assert_eq!(scenario.contents(), before, "seed {seed}");
        assert_eq!(
            scenario.pool.usage().used,
            used,
            "seed {seed}: nothing leaks"
        );
        // What is left there is litter, which no value owns.
        for object in std::mem::take(&mut scenario.junk) {
            let mut tx = scenario.pool.begin();
            if tx.relocate(object, DATA).unwrap().is_some() {
                tx.commit().unwrap();
            }
        }
        scenario.pool.trim(usize::MAX).unwrap();
        assert_eq!(scenario.pool.evacuating_pages(), 0, "seed {seed}");
        let gained = (pages - scenario.pool.usage().pages) << 16;
        assert!(
            gained >= expected.regainable * 9 / 10,
            "seed {seed}: {gained} of {expected:?}"
        );
    }
}

#[test]
fn a_value_may_change_while_it_moves() {
    let mut scenario = Scenario::new(4);
    scenario.records();
    for _ in 0..400 {
        scenario.litter(4);
        (0..4).for_each(|at| scenario.change(at));
    }
    scenario.sweep(9);
    let (mut moving, mut passes) = (usize::MAX, 0);
    while moving > 0 {
        assert!(passes < 20, "{moving} objects are still in the way");
        passes += 1;
        if scenario.pool.evacuating_pages() == 0 {
            assert!(scenario.pool.begin_evacuation() > 0);
        }
        let mut cursors = [Some(Cursor::default()); 4];
        while cursors.iter().any(Option::is_some) {
            for (at, cursor) in cursors.iter_mut().enumerate() {
                let Some(from) = *cursor else { continue };
                let before = scenario.content(at);
                *cursor = scenario.step(at, from, 40, true);
                assert_eq!(scenario.content(at), before);
                if scenario.random.u32(..8) == 0 {
                    scenario.change(at);
                }
            }
        }
        moving = scenario.in_the_way();
    }
}

#[test]
fn a_string_moves_with_the_room_behind_it() {
    let mut scenario = Scenario::new(5);
    let mut tx = scenario.pool.begin();
    let mut root = Root::EMPTY;
    let key = (b"key".as_slice(), ValueType::String, Creation::FIRST);
    let record = record::create(&mut tx, key, 0, |tx, inline| {
        string::set(tx, &mut root, inline, string::Value::Bytes(&[3; 3000])).unwrap();
        tx.step().unwrap();
        string::append(tx, &mut root, inline, &[4; 100]).unwrap();
        Ok(root)
    });
    let record = record.unwrap();
    tx.commit().unwrap();
    scenario.values.push((ValueType::String, record));
    let room = structures::of(ValueType::String)
        .memory(&scenario.pool, root)
        .unwrap();
    // Another page of that size, fuller than the string's.
    let mut tx = scenario.pool.begin();
    for _ in 0..17 {
        let object = tx.alloc(room, DATA).unwrap();
        tx.fill(object, &[7]).unwrap();
        scenario.junk.push(object.ptr());
    }
    tx.commit().unwrap();
    for object in std::mem::take(&mut scenario.junk).into_iter().take(9) {
        let mut tx = scenario.pool.begin();
        tx.free(object).unwrap();
        tx.commit().unwrap();
    }
    scenario.pool.begin_evacuation();
    assert_eq!(
        scenario.in_the_way(),
        1,
        "the string's page is the sparser one"
    );
    assert_eq!(scenario.step(0, Cursor::default(), 1, true), None);
    assert_eq!(scenario.in_the_way(), 0);
    let root = scenario.root(0);
    let inline = record::inline(&scenario.pool, record).unwrap();
    let mut text = vec![3; 3000];
    text.extend([4; 100]);
    let value = string::read(&scenario.pool, root, inline).unwrap();
    assert_eq!(value, Some(string::Value::Bytes(&text)));
    let after = structures::of(ValueType::String)
        .memory(&scenario.pool, root)
        .unwrap();
    assert_eq!(after, room);
}
