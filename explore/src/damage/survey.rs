//! What a server does with a pool: opens it, shows its keys, reads, changes and deletes them, frees
//! what is left, closes it and opens it once more.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pobj::{Cursor, Pool, Tx};
use powercut::{Progress, Recovery};
use store::Store;
use store::layout::{RECORD, pool_at};
use store::place::Place;
use store::record::{self, RecordPtr};
use store::structures::limits::AllLimits;
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

fn open(path: &Path) -> pobj::Result<Store> {
    Store::open(&pool_at(path), |_, _, _| Ok(()))
}

impl Recovery for Survey {
    type Pool = pobj::Result<Store>;

    fn recover(&self, image: &Path) -> Result<Self::Pool, String> {
        if !self.is_quiet.replace(true) {
            crate::silence_stderr();
        }
        Ok(open(image))
    }

    fn check(&self, store: Self::Pool, image: &Path, _: Progress) -> Result<(), String> {
        let Ok(mut store) = store else {
            self.note(Outcome::Refused);
            return Ok(());
        };
        let partial = !store.pool.damages().is_empty();
        show_all(&mut store);
        let (mut read, mut damaged) = (0_u64, 0_u64);
        let records = records(&store.pool);
        for &record in &records {
            match read_key(&store, record) {
                Ok(()) => read += 1,
                Err(_) => damaged += 1,
            }
        }
        for &record in &records {
            // A change may fail; it must fail with an error.
            change_key(&mut store, record).ok();
        }
        if read.is_multiple_of(2) {
            for &record in &records {
                store.retire(record).ok();
            }
        } else {
            let Store { dbs, pool, .. } = &mut store;
            dbs.flush(pool, None).ok();
        }
        store.start_sweep();
        while store.has_garbage() && !store.pool.is_held() {
            store.reclaim(Duration::from_millis(100)).ok();
        }
        store.pool.trim(usize::MAX).ok();
        drop(store);
        drop(open(image));
        self.note(Outcome::Opened {
            partial,
            read,
            damaged,
        });
        Ok(())
    }
}

/// Finds the keys of a pool, as a start does. What is damaged is left out.
fn show_all(store: &mut Store) {
    let is_visible = vec![true; store.dbs.count() as usize];
    store.survey(&is_visible, &[]);
    while let Some(record) = store.next_unshown() {
        store.found(record).ok();
    }
    store.all_are_shown();
}

fn records(pool: &Pool) -> Vec<RecordPtr> {
    let mut records = Vec::new();
    let mut cursor = Cursor::default();
    while let Some((record, next)) = pool.next_object(RECORD, cursor) {
        records.push(record.cast());
        cursor = next;
    }
    records
}

/// Reads a key and every element of its value, in the ways commands do.
fn read_key(store: &Store, record: RecordPtr) -> pobj::Result<()> {
    let pool = &store.pool;
    record::verify(pool, record)?;
    let head = *record::get(pool, record)?;
    record::key(pool, record)?;
    if !store.dbs.is_live(&head) {
        return Ok(());
    }
    store.dbs.db_of(head.space);
    let (ty, root) = (head.value_type()?, head.root);
    structures::of(ty).memory(pool, root)?;
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
fn change_key(store: &mut Store, record: RecordPtr) -> pobj::Result<()> {
    record::verify(&store.pool, record)?;
    let head = *record::get(&store.pool, record)?;
    let ty = head.value_type()?;
    let inline = record::inline(&store.pool, record)?;
    // The second change starts from what the first has left.
    for change in [Change::Grow, Change::Shrink] {
        let f = |tx: &mut Tx<'_>, root: &mut Root| match change {
            Change::Grow => grow(tx, ty, root, inline),
            Change::Shrink => shrink(tx, ty, root, inline),
        };
        match ty {
            ValueType::String => {
                store.edit_inline(record, None, &mut None, |tx, root, _| f(tx, root))?;
            }
            _ => store.edit(&Place::at(record, ty), &mut None, f)?,
        }
    }
    Ok(())
}

const NEW: &[u8] = b"an element that was not there";

fn grow(
    tx: &mut Tx<'_>,
    ty: ValueType,
    root: &mut Root,
    inline: store::inline::Inline,
) -> pobj::Result<()> {
    match ty {
        ValueType::String => string::append(tx, root, inline, NEW),
        ValueType::List => {
            let len = list::push(tx, root, Side::Left, [NEW, NEW].into_iter())?;
            tx.step()?;
            list::insert(tx, root, len / 2, NEW).map(|_| ())
        }
        ValueType::Hash => {
            hash::set(tx, root, AllLimits::DEFAULT.hash, [(NEW, NEW)].into_iter()).map(|_| ())
        }
        ValueType::Set => set::add(tx, root, AllLimits::DEFAULT.set, [NEW].into_iter()).map(|_| ()),
        ValueType::ZSet => zset::add(
            tx,
            root,
            AllLimits::DEFAULT.zset,
            NEW,
            1.5,
            zset::Rule::default(),
        )
        .map(|_| ()),
    }
}

fn shrink(
    tx: &mut Tx<'_>,
    ty: ValueType,
    root: &mut Root,
    inline: store::inline::Inline,
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
