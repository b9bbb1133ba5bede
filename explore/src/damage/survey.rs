//! What a server does with a pool: opens it, shows its keys, reads, changes and deletes them, frees what is
//! left, closes it and opens it once more.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pmedis::keyspace::Engine;
use pobj::{Cursor, Kind, Pool, PoolOptions, Tx};
use powercut::{Progress, Recovery};
use store::record::{self, RecordPtr};
use store::structures::list::{self, Element, Side};
use store::structures::{self, Root, hash, set, string, zset};
use store::value::ValueType;

/// What came of one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was refused.
    Refused,
    /// It was opened.
    Opened {
        /// Parts of it could not be used.
        partial: bool,
        /// Keys read whole.
        read: u64,
        /// Keys that gave an error.
        damaged: u64,
    },
}

/// Surveys damaged pools. Only a pool that kills, stops or confuses the process is wrong.
pub struct Survey {
    outcomes: PathBuf,
    is_quiet: Cell<bool>,
}

impl Survey {
    /// Notes what becomes of each pool in the file `outcomes`.
    pub fn new(outcomes: PathBuf) -> Survey {
        Survey {
            outcomes,
            is_quiet: Cell::new(false),
        }
    }

    /// What became of the pools so far.
    ///
    /// # Panics
    /// If the file is not what [`Survey`] writes.
    pub fn outcomes(&self) -> Vec<Outcome> {
        let text = fs::read_to_string(&self.outcomes).unwrap_or_default();
        let parse = |line: &str| {
            let mut words = line.split(' ').map(|word| word.parse().expect("a number"));
            let mut word = || words.next().expect("four numbers");
            match word() {
                0 => Outcome::Refused,
                _ => Outcome::Opened {
                    partial: word() != 0,
                    read: word(),
                    damaged: word(),
                },
            }
        };
        text.lines().map(parse).collect()
    }

    fn note(&self, outcome: Outcome) {
        let line = match outcome {
            Outcome::Refused => "0".to_owned(),
            Outcome::Opened {
                partial,
                read,
                damaged,
            } => format!("1 {} {read} {damaged}", u64::from(partial)),
        };
        let mut options = File::options();
        let file = options.append(true).create(true).open(&self.outcomes);
        writeln!(file.expect("the directory is writable"), "{line}").expect("there is room");
    }
}

fn open(path: &Path) -> pobj::Result<Engine> {
    Engine::open(&PoolOptions::new(path))
}

impl Recovery for Survey {
    type Pool = pobj::Result<Engine>;

    fn recover(&self, image: &Path) -> Result<Self::Pool, String> {
        if !self.is_quiet.replace(true) {
            crate::silence_stderr();
        }
        Ok(open(image))
    }

    fn check(&self, engine: Self::Pool, image: &Path, _: Progress) -> Result<(), String> {
        let Ok(mut engine) = engine else {
            self.note(Outcome::Refused);
            return Ok(());
        };
        let partial = !engine.pool.damages().is_empty();
        let (mut read, mut damaged) = (0_u64, 0_u64);
        let records = records(&engine.pool);
        for &record in &records {
            match read_key(&engine, record) {
                Ok(()) => read += 1,
                Err(_) => damaged += 1,
            }
        }
        for &record in &records {
            // A change may fail; it must fail with an error.
            change_key(&mut engine, record).ok();
        }
        if read.is_multiple_of(2) {
            for &record in &records {
                engine.bury(record).ok();
            }
        } else {
            let Engine { dbs, pool, .. } = &mut engine;
            dbs.flush(pool, None).ok();
        }
        engine.start_sweep();
        while engine.has_garbage() && !engine.pool.is_held() {
            engine.reclaim(Duration::from_millis(100));
        }
        engine.pool.trim(usize::MAX).ok();
        drop(engine);
        drop(open(image));
        self.note(Outcome::Opened {
            partial,
            read,
            damaged,
        });
        Ok(())
    }
}

fn records(pool: &Pool) -> Vec<RecordPtr> {
    let mut records = Vec::new();
    let mut cursor = Cursor::default();
    while let Some((record, next)) = pool.next_object(Kind::Record, cursor) {
        records.push(record.cast());
        cursor = next;
    }
    records
}

/// Reads a key and every element of its value, in the ways commands do.
fn read_key(engine: &Engine, record: RecordPtr) -> pobj::Result<()> {
    let pool = &engine.pool;
    record::verify(pool, record)?;
    let head = *record::get(pool, record)?;
    record::key(pool, record)?;
    if !engine.dbs.is_live(&head) {
        return Ok(());
    }
    engine.dbs.db_of(head.space);
    let (ty, root) = (head.value_type()?, head.root);
    structures::memory(pool, ty, root)?;
    match ty {
        ValueType::String => {
            string::read(pool, root, record::inline(pool, record)?)?;
        }
        ValueType::List => read_list(pool, root)?,
        ValueType::Hash => {
            for pair in hash::pairs(pool, root)? {
                hash::get(pool, root, pair?.0)?;
            }
            hash::random(pool, root)?;
        }
        ValueType::Set => {
            for member in set::members(pool, root)? {
                let mut digits = itoa::Buffer::new();
                set::contains(pool, root, member?.bytes(&mut digits))?;
            }
            set::random(pool, root)?;
        }
        ValueType::ZSet => {
            for reverse in [false, true] {
                let mut walk = zset::walk(pool, root, 0, reverse)?;
                while let Some((name, _)) = walk.step()? {
                    zset::score(pool, root, name)?;
                    zset::rank(pool, root, name)?;
                }
            }
        }
    }
    Ok(())
}

fn read_list(pool: &Pool, root: Root) -> pobj::Result<()> {
    for side in [Side::Left, Side::Right] {
        list::each(pool, root, side, 0, |value| {
            value.bytes(pool)?;
            Ok(true)
        })?;
    }
    let len = list::len(pool, root)?;
    for index in [0, len / 2, len.saturating_sub(1)] {
        list::get(pool, root, index)?;
    }
    Ok(())
}

enum Change {
    Grow,
    Shrink,
}

/// Changes a key a little, as commands do.
fn change_key(engine: &mut Engine, record: RecordPtr) -> pobj::Result<()> {
    record::verify(&engine.pool, record)?;
    let head = *record::get(&engine.pool, record)?;
    let ty = head.value_type()?;
    let inline = record::inline(&engine.pool, record)?;
    for change in [Change::Grow, Change::Shrink] {
        let mut tx = engine.pool.begin();
        // The second change starts from what the first has left.
        let before = record::get(&tx, record)?.root;
        let mut root = before;
        match change {
            Change::Grow => grow(&mut tx, ty, &mut root, inline)?,
            Change::Shrink => shrink(&mut tx, ty, &mut root, inline)?,
        }
        record::set_root(&mut tx, record, before, root)?;
        tx.commit()?;
    }
    Ok(())
}

const NEW: &[u8] = b"an element that was not there";

fn grow(
    tx: &mut Tx<'_>,
    ty: ValueType,
    root: &mut Root,
    inline: record::Inline,
) -> pobj::Result<()> {
    match ty {
        ValueType::String => string::append(tx, root, inline, NEW),
        ValueType::List => {
            let len = list::push(tx, root, Side::Left, [NEW, NEW].into_iter())?;
            tx.step()?;
            list::insert(tx, root, len / 2, NEW).map(|_| ())
        }
        ValueType::Hash => hash::set(tx, root, [(NEW, NEW)].into_iter()).map(|_| ()),
        ValueType::Set => set::add(tx, root, [NEW].into_iter()).map(|_| ()),
        ValueType::ZSet => zset::add(tx, root, NEW, 1.5, zset::Rule::default()).map(|_| ()),
    }
}

fn shrink(
    tx: &mut Tx<'_>,
    ty: ValueType,
    root: &mut Root,
    inline: record::Inline,
) -> pobj::Result<()> {
    match ty {
        ValueType::String => string::set_range(tx, root, inline, 1, b"x").map(|_| ()),
        ValueType::List => {
            list::pop(tx, root, Side::Right, &mut Element::default())?;
            tx.step()?;
            list::remove(tx, root, Side::Left, NEW, 1).map(|_| ())
        }
        ValueType::Hash => {
            let first = match hash::pairs(tx, *root)?.next() {
                Some(pair) => pair?.0.to_vec(),
                None => NEW.to_vec(),
            };
            hash::remove(tx, root, [&first[..]].into_iter()).map(|_| ())
        }
        ValueType::Set => set::pop(tx, root).map(|_| ()),
        ValueType::ZSet => {
            let len = zset::len(*root);
            zset::remove_range(tx, root, len / 2..(len / 2 + 3).min(len))
        }
    }
}
