//! What a server does with a pool: opens it, shows its keys, reads, changes and deletes them, frees
//! what is left, closes it and opens it once more.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::commands::Commands;
use pobj::{Cursor, Pool, Tx};
use powercut::{Progress, Recovery};
use store::Store;
use store::layout::{RECORD, pool_at};
use store::place::Place;
use store::record::{self, RecordPtr};
use store::structures::{self, Root};
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
            store.flush(None).ok();
        }
        store.start_sweep();
        while store.has_garbage() && !store.pool.in_group() {
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
    (Commands::of(ty).read)(pool, root, record::inline(pool, record)?)
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
    let commands = Commands::of(ty);
    // The second change starts from what the first has left.
    for change in [Change::Grow, Change::Shrink] {
        let f = |tx: &mut Tx<'_>, root: &mut Root| match change {
            Change::Grow => (commands.grow)(tx, root, inline),
            Change::Shrink => (commands.shrink)(tx, root, inline),
        };
        if ty == ValueType::String {
            store.edit_inline(record, None, &mut None, |tx, root, _| f(tx, root))?;
        } else {
            store.edit(&Place::at(record, ty), &mut None, f)?;
        }
    }
    Ok(())
}
