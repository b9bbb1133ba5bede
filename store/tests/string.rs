//! The string structure against `Vec<u8>`: random changes, dropped transactions, groups that are
//! kept and groups that a restart undoes, and nothing left over in the end.

use pobj::{Durability, Pool, Result, Tx};
use store::layout::pool_at;
use store::record::{self, Creation, RecordPtr};
use store::structures::string::{self, Value};
use store::structures::{Root, Structure};
use store::value::ValueType;
use tempfile::TempDir;

const KEYS: usize = 12;

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let dir = tempfile::Builder::new()
            .prefix("pmedis-string-")
            .tempdir_in("/dev/shm");
        Place(dir.expect("a directory on tmpfs"))
    }

    fn open(&self) -> Pool {
        let options = pool_at(self.0.path().join("pool")).durability(Durability::Process);
        Pool::open(&options.size(64 << 20)).expect("the pool opens")
    }
}

/// A key's record, and what its string should be.
type Strings = Vec<Option<(RecordPtr, Vec<u8>)>>;

/// One change.
#[derive(Clone, Debug)]
enum Change {
    Set(Vec<u8>),
    Append(Vec<u8>),
    SetRange(u64, Vec<u8>),
    /// A few bytes at positions that these give, and another length now and then.
    Rewrite(Vec<u8>),
    Delete,
}

struct Random(fastrand::Rng);

impl Random {
    fn len(&mut self) -> usize {
        match self.0.u8(..10) {
            0 => self.0.usize(..3),
            1..7 => self.0.usize(..60),
            7 => self.0.usize(480..560),
            8 => self.0.usize(..5_000),
            _ => self.0.usize(..200_000),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        if self.0.u8(..4) == 0 {
            return (self.0.i64(..) >> self.0.u8(..64)).to_string().into_bytes();
        }
        let start = self.0.u8(..);
        (0..self.len())
            .map(|i| start.wrapping_add(i as u8))
            .collect()
    }

    fn change(&mut self) -> Change {
        match self.0.u8(..20) {
            0..8 => Change::Set(self.bytes()),
            8..13 => Change::Append(self.bytes()),
            13..16 => Change::SetRange(self.len() as u64, self.bytes()),
            16..18 => Change::Rewrite(self.bytes()),
            _ => Change::Delete,
        }
    }
}

/// A text with a few bytes changed, some added or some cut off.
fn rewritten(old: &[u8], places: &[u8]) -> Vec<u8> {
    let mut new = old.to_vec();
    for place in places.iter().take(40).map(|&byte| usize::from(byte)) {
        if let Some(byte) = new.get_mut(place * place) {
            *byte = byte.wrapping_add(1);
        }
    }
    match places {
        [0..30, ..] => new.extend_from_slice(places),
        [30..60, ..] => new.truncate(old.len() / 2),
        _ => {}
    }
    new
}

/// What the change makes of a string.
fn model(old: Option<&[u8]>, change: &Change) -> Option<Vec<u8>> {
    let mut new = old.unwrap_or_default().to_vec();
    match change {
        Change::Delete => return None,
        Change::Set(bytes) => new.clone_from(bytes),
        Change::Rewrite(places) => new = rewritten(&new, places),
        Change::Append(bytes) => new.extend(bytes),
        Change::SetRange(_, bytes) if bytes.is_empty() => return old.map(<[u8]>::to_vec),
        Change::SetRange(offset, bytes) => {
            let offset = *offset as usize;
            new.resize(new.len().max(offset + bytes.len()), 0);
            new[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
    }
    Some(new)
}

fn apply(
    tx: &mut Tx<'_>,
    root: &mut Root,
    inline: store::inline::Inline,
    change: &Change,
) -> Result<()> {
    match change {
        Change::Set(bytes) => string::set(tx, root, inline, Value::of(bytes)),
        Change::Append(bytes) if *root == Root::EMPTY => {
            string::set(tx, root, inline, Value::of(bytes))
        }
        Change::Append(bytes) => string::append(tx, root, inline, bytes),
        Change::Rewrite(places) => {
            let old = string::read(tx, *root, inline)?;
            let old = old.map(|value| value.text(&mut itoa::Buffer::new()).to_vec());
            let new = rewritten(&old.unwrap_or_default(), places);
            string::rewrite(tx, root, inline, &new)
        }
        Change::SetRange(_, bytes) if bytes.is_empty() => Ok(()),
        Change::SetRange(offset, bytes) => {
            let len = string::set_range(tx, root, inline, *offset, bytes)?;
            assert_eq!(len, root.rest());
            Ok(())
        }
        Change::Delete => unreachable!("the record goes too"),
    }
}

/// Makes the change in one transaction, or drops it halfway.
fn change(
    pool: &mut Pool,
    key: &[u8],
    old: Option<RecordPtr>,
    change: &Change,
    new_len: u64,
    commit: bool,
) -> Option<RecordPtr> {
    let mut tx = pool.begin();
    let record = match (old, change) {
        (Some(record), Change::Delete) => {
            let root = record::get(&tx, record).unwrap().root;
            string::Type.destroy(&mut tx, root).unwrap();
            tx.free(record).unwrap();
            None
        }
        (Some(record), _) => {
            let inline = record::inline(&tx, record).unwrap();
            let old = record::get(&tx, record).unwrap().root;
            let mut root = old;
            apply(&mut tx, &mut root, inline, change).unwrap();
            record::set_root(&mut tx, record, old, root).unwrap();
            Some(record)
        }
        (None, Change::Delete) => None,
        (None, Change::SetRange(_, bytes)) if bytes.is_empty() => None,
        (None, _) => {
            let needed = match change {
                Change::Set(bytes) | Change::Append(bytes) => Value::of(bytes).inline_len(),
                _ => string::inline_len(new_len),
            };
            let creation = (key, ValueType::String, Creation::FIRST);
            let record = record::create(&mut tx, creation, needed, |tx, inline| {
                let mut root = Root::EMPTY;
                apply(tx, &mut root, inline, change).unwrap();
                Ok(root)
            });
            Some(record.unwrap())
        }
    };
    if commit {
        tx.commit().unwrap();
    }
    record
}

#[track_caller]
fn check(pool: &Pool, strings: &Strings, what: &str) {
    for (key, string) in strings.iter().enumerate() {
        let Some((record, expected)) = string else {
            continue;
        };
        let root = record::get(pool, *record).unwrap().root;
        let inline = record::inline(pool, *record).unwrap();
        let value = string::read(pool, root, inline).unwrap().expect("a value");
        let mut digits = itoa::Buffer::new();
        let text = value.text(&mut digits);
        assert!(
            text == expected,
            "{what}: key {key}: {} bytes, not {}",
            text.len(),
            expected.len()
        );
        assert_eq!(value.text_len(), expected.len() as u64);
    }
}

fn step(pool: &mut Pool, strings: &mut Strings, random: &mut Random, commit: bool) -> String {
    let key = random.0.usize(..KEYS);
    let name = format!("key:{key}");
    let wanted = random.change();
    let old = strings[key].clone();
    let new = model(old.as_ref().map(|(_, text)| text.as_slice()), &wanted);
    let new_len = new.as_ref().map_or(0, |text| text.len() as u64);
    let record = change(
        pool,
        name.as_bytes(),
        old.as_ref().map(|(record, _)| *record),
        &wanted,
        new_len,
        commit,
    );
    if commit {
        strings[key] = record.zip(new);
    }
    let shown = format!("{wanted:?}");
    format!("{name}: {}", &shown[..shown.len().min(60)])
}

fn campaign(seed: u64) {
    let place = Place::new();
    let mut pool = place.open();
    let mut strings: Strings = vec![None; KEYS];
    let mut random = Random(fastrand::Rng::with_seed(seed));
    for round in 0..400 {
        match random.0.u8(..20) {
            0 => {
                drop(pool);
                pool = place.open();
            }
            // EXEC, or a crash before it: then all its steps are undone.
            1..4 => {
                let before = strings.clone();
                pool.begin_group();
                for _ in 0..random.0.u8(1..12) {
                    let commit = random.0.u8(..8) > 0;
                    let what = step(&mut pool, &mut strings, &mut random, commit);
                    check(
                        &pool,
                        &strings,
                        &format!("seed {seed}, round {round}, in a group, {what}"),
                    );
                }
                if random.0.bool() {
                    pool.end_group().unwrap();
                } else {
                    strings = before;
                    drop(pool);
                    pool = place.open();
                }
                check(
                    &pool,
                    &strings,
                    &format!("seed {seed}, round {round}, after a group"),
                );
            }
            _ => {
                let commit = random.0.u8(..8) > 0;
                let what = step(&mut pool, &mut strings, &mut random, commit);
                check(
                    &pool,
                    &strings,
                    &format!("seed {seed}, round {round}, {what}"),
                );
            }
        }
    }
    for string in strings {
        let old = string.map(|(record, _)| record);
        change(&mut pool, b"", old, &Change::Delete, 0, true);
    }
    assert_eq!(pool.usage().used, 0, "seed {seed}: something leaks");
}

#[test]
fn strings_are_what_the_model_says() {
    for seed in 0..12 {
        campaign(seed);
    }
}
