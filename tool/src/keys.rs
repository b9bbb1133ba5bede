//! The keys of a pool that no server has open.

use crate::output::tell;
use crate::{Failure, Outcome};
use indicatif::{ProgressBar, ProgressStyle};
use pobj::{Cursor, Durability, Error, Pool};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use store::dbs::{Dbs, Origin};
use store::expiry::KEY_NEVER;
use store::inline::Inline;
use store::layout::{RECORD, pool_at};
use store::lifetime;
use store::lsn::RunLsn;
use store::record::{self, RecordPtr};
use store::slots::Slots;
use store::structures::{self, Root};
use store::value::ValueType;

/// Has libpmemobj keep all changes of pools in this process. Before it is loaded, and while there
/// is one thread.
pub(crate) fn change_no_file() {
    const VARIABLE: &str = "PMEMOBJ_CONF";
    let before = std::env::var(VARIABLE).unwrap_or_default();
    let gap = if before.is_empty() || before.ends_with(';') {
        ""
    } else {
        ";"
    };
    // SAFETY: `main` calls this first, before anything has started a thread.
    unsafe { std::env::set_var(VARIABLE, format!("{before}{gap}copy_on_write.at_open=1;")) };
}

/// A pool, open.
pub(crate) struct Keys {
    /// The pool.
    pub pool: Pool,
    dbs: Dbs,
    /// Hash slots that were given up.
    slots: Slots,
    /// What is damaged of that by which it is known which keys there are.
    lost: Vec<String>,
    /// Why the keys that are there are not the whole.
    unfinished: Vec<String>,
    /// Why a part of the pool can be older than the rest, if it can.
    torn: Option<String>,
}

/// A key, as far as its record can be read.
pub(crate) struct Key<'p> {
    /// Its name.
    pub name: &'p [u8],
    /// Its database.
    pub db: i32,
    /// The type of its value.
    pub ty: ValueType,
    /// When it expires, in Unix milliseconds.
    pub expire_at: Option<i64>,
    /// Its value.
    pub root: Root,
    /// The part of its record that the value uses.
    pub inline: Inline,
    record: RecordPtr,
}

impl Keys {
    /// Opens the pool.
    ///
    /// # Errors
    /// If it is none, if a server has it open, or if it cannot be recovered.
    pub(crate) fn open(path: &Path) -> Result<Keys, Failure> {
        // It is not changed, so commits need survive nothing.
        let options = pool_at(path)
            .durability(Durability::Process)
            .without_journal()
            .as_it_is();
        let pool = Pool::open(&options).map_err(|error| match error {
            Error::SizeMissing(path) => format!("{} does not exist", path.display()).into(),
            Error::SetWithoutPool(path) => format!(
                "{} describes a poolset without a pool: are its devices mounted?",
                path.display()
            )
            .into(),
            error => Failure::from(error),
        })?;
        let dbs = Dbs::open(&pool)?;
        let slots = Slots::open(&pool).and_then(|slots| slots.check(&pool).map(|()| slots));
        let mut lost = Vec::new();
        if slots.is_err() {
            lost.push(
                "the table of hash slots is damaged: keys of slots that were given up can be among those that it shows"
                    .to_owned(),
            );
        }
        if dbs.check(&pool).is_err() {
            lost.push("the table of databases lies where nothing is allocated".to_owned());
        }
        let slots = slots.unwrap_or_else(|_| Slots::unknown());
        let unfinished = unfinished(&pool, &slots)?;
        let is_torn = lifetime::is_torn_copy(&pool, path, RunLsn::found(&pool)?)?;
        let torn = match pool.lost_journal() {
            Some(why) => Some(format!(
                "the pool lacks what came after its last checkpoint, and a part of it can be older than the rest: \
                 {why}"
            )),
            None => is_torn.then(|| {
                "the pool is a copy made while a server had it open (or the machine stopped, with \
                 'durability process'): a part of it can be older than the rest"
                    .to_owned()
            }),
        };
        Ok(Keys {
            pool,
            dbs,
            slots,
            lost,
            unfinished,
            torn,
        })
    }

    /// What is wrong with the pool as a whole.
    pub(crate) fn faults(&self) -> impl Iterator<Item = String> {
        let damages = self.pool.damages().iter().chain(&self.lost);
        let all = damages.map(|damage| format!("the pool: {damage}"));
        all.chain(self.unfinished.iter().chain(&self.torn).cloned())
    }

    /// Nothing, if all of the pool is of one moment.
    ///
    /// # Errors
    /// If a part of it can be older than the rest.
    pub(crate) fn require_one_moment(&self) -> Result<(), Failure> {
        match &self.torn {
            Some(torn) => Err(torn.clone().into()),
            None => Ok(()),
        }
    }

    /// Tells, on standard error, what is wrong with the pool as a whole.
    pub(crate) fn tell_faults(&self) {
        self.faults().for_each(tell);
    }

    /// What came of reading all keys, so many of which are damaged.
    pub(crate) fn outcome(&self, damaged: u64) -> Outcome {
        if damaged == 0 && self.faults().next().is_none() {
            Outcome::Sound
        } else {
            Outcome::Damaged
        }
    }

    /// Nothing, if the keys can be another pool's: its server would not know that they are a part
    /// only.
    ///
    /// # Errors
    /// If something that a server had begun with the pool is not at its end.
    pub(crate) fn require_finished(&self) -> Result<(), Failure> {
        match self.unfinished.first() {
            Some(what) => Err(what.clone().into()),
            None => Ok(()),
        }
    }

    /// Shows all keys, in the order of their places in the pool, or what is wrong with a record.
    /// Once before with nothing but their names' hashes, for a progress bar and to know of records
    /// that are out of date. O(keys), 16 bytes of memory each.
    ///
    /// # Errors
    /// What `show` fails with.
    pub(crate) fn each(
        &self,
        what: &str,
        mut show: impl FnMut(pobj::Result<Key<'_>>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut names = Vec::new();
        self.each_record(|record| {
            if let Ok(head) = record::get(&self.pool, record) {
                names.push((head.space, head.check(), record.offset()));
            }
            Ok(())
        })?;
        let bar = progress(what, names.len() as u64);
        let stale = self.stale(names);
        self.each_record(|record| {
            bar.inc(1);
            if stale.contains(&record.offset()) {
                Ok(())
            } else {
                show(self.key(record))
            }
        })?;
        bar.finish_and_clear();
        Ok(())
    }

    /// Records of keys that have a younger one: a crash came between a copy and the end of its
    /// original. Given are the key space, a hash of the key, and the record's place of all.
    fn stale(&self, mut names: Vec<(u16, u32, u64)>) -> HashSet<u64> {
        let mut stale = HashSet::new();
        names.sort_unstable();
        for alike in names.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1)) {
            let mut youngest: HashMap<&[u8], (u64, u64)> = HashMap::new();
            if alike.len() == 1 {
                continue;
            }
            for &(.., place) in alike {
                let Some(record) = RecordPtr::new(place) else {
                    continue;
                };
                let (Ok(head), Ok(name)) = (
                    record::get(&self.pool, record),
                    record::key(&self.pool, record),
                ) else {
                    continue;
                };
                let created = (head.created, place);
                match youngest.insert(name, created) {
                    Some(other) if other > created => {
                        stale.insert(place);
                        youngest.insert(name, other);
                    }
                    Some(other) => {
                        stale.insert(other.1);
                    }
                    None => {}
                }
            }
        }
        stale
    }

    fn each_record(
        &self,
        mut show: impl FnMut(RecordPtr) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut cursor = Cursor::default();
        while let Some((object, after)) = self.pool.next_object(RECORD, cursor) {
            cursor = after;
            let record: RecordPtr = object.cast();
            let is_live = record::get(&self.pool, record).and_then(|head| {
                Ok(self.dbs.is_live(head)
                    && self.slots.is_live(&self.pool, record, head.created)?)
            });
            // What cannot be read is told of.
            if is_live.unwrap_or(true) {
                show(record)?;
            }
        }
        Ok(())
    }

    fn key(&self, record: RecordPtr) -> pobj::Result<Key<'_>> {
        record::verify(&self.pool, record)?;
        let head = record::get(&self.pool, record)?;
        let damaged = || Error::Damaged("a record is of no database".into());
        Ok(Key {
            name: record::key(&self.pool, record)?,
            db: self.dbs.db_of(head.space).ok_or_else(damaged)?,
            ty: head.value_type()?,
            expire_at: (head.expire_at != KEY_NEVER).then_some(head.expire_at),
            root: head.root,
            inline: record::inline(&self.pool, record)?,
            record,
        })
    }

    /// Reads the value to its last element. O(n).
    ///
    /// # Errors
    /// `Damaged`, with what is wrong.
    pub(crate) fn check(&self, key: &Key<'_>) -> pobj::Result<()> {
        let mut lost = None;
        let mut owns = |object| {
            if let Err(error) = self.pool.capacity(object) {
                lost.get_or_insert(error);
            }
        };
        structures::of(key.ty).check(&self.pool, key.root, key.inline, &mut owns)?;
        lost.map_or(Ok(()), Err)
    }

    /// The bytes of the pool that the key takes.
    ///
    /// # Errors
    /// `Damaged`, if that cannot be told.
    pub(crate) fn bytes(&self, key: &Key<'_>) -> pobj::Result<u64> {
        let own = self.pool.capacity(key.record)?;
        Ok(own + structures::of(key.ty).memory(&self.pool, key.root)?)
    }
}

/// What a server had begun with the pool, and has not come to the end of.
fn unfinished(pool: &Pool, slots: &Slots) -> pobj::Result<Vec<String>> {
    let mut unfinished = Vec::new();
    let whose = Dbs::taking_over(pool)?.map(|origin| match origin {
        Origin::File => "an RDB or an AOF, which are",
        Origin::Master => "a master, which are",
    });
    if let Some(whose) = whose {
        unfinished.push(format!(
            "the pool has a part of the keys of {whose} still to be taken over: start the server once with it, until it has \
             all of them"
        ));
    }
    if !slots.importing().is_empty() {
        unfinished.push(
            "the pool has a part of the keys of hash slots, whose import has not ended: start the server once with it"
                .to_owned(),
        );
    }
    Ok(unfinished)
}

/// A bar on the terminal, if standard error is one.
fn progress(what: &str, keys: u64) -> ProgressBar {
    let bar = ProgressBar::new(keys).with_message(what.to_owned());
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos} of {len} keys, {eta} left");
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
