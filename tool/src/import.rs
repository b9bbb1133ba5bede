//! `pmedis import`: a new pool of an RDB file, or of commands as `pmedis export` writes them.

use crate::copy::{Name, finish, is_there, new_pool, there_already};
use crate::output::{Place, count, of, sum_up};
use crate::{Failure, Outcome};
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Deref;
use std::path::Path;
use store::Store;
use store::content::Content;
use store::expiry::KEY_NEVER;
use store::rdb::copy::{Copy, Edit, Fate, ModuleKey, NativeKey};
use store::rdb::{self, CRC};
use store::structures::limits::AllLimits;

/// Makes a pool at `to`, of this size, with all keys of a file. The pool gets its name when it is
/// whole and durable. O(file); a large value is in memory as a whole.
pub(crate) fn import(file: &Path, to: &Path, size: u64) -> Result<Outcome, Failure> {
    if is_there(to)? {
        return Err(there_already(to));
    }
    let named = |why: Failure| Failure::from(format!("{}: {why}", file.display()));
    let open = || Ok::<_, io::Error>(BufReader::with_capacity(1 << 20, File::open(file)?));
    let mut first = open().map_err(of(Some(file)))?;
    // Nothing is no command, as `export` writes of a pool without keys.
    let begin = first.fill_buf().map_err(of(Some(file)))?.first();
    let is_rdb = begin.is_some_and(|&byte| byte != b'*');
    if is_rdb {
        if !first.get_ref().metadata()?.is_file() {
            return Err(named(
                "an RDB is read twice, so it has to be a file (a pipe may have commands)".into(),
            ));
        }
        check_sum(file).map_err(named)?;
    }
    let place = Place::of(to)?;
    let mut pool = NewKeys {
        store: new_pool(place.beside(), size, None)?,
        keys: 0,
        hashers: [RandomState::new(), RandomState::new()],
        seen: HashSet::new(),
        left_out: BTreeMap::new(),
        failed: None,
    };
    if is_rdb {
        let read = Copy::begin(open()?, io::sink()).and_then(|mut file| file.entries(&mut pool));
        if let Some(failed) = pool.failed.take() {
            return Err(named(failed.into()));
        }
        read.map_err(of(Some(file)))?;
    } else {
        crate::commands::read(first, &mut pool).map_err(named)?;
    }
    let NewKeys {
        store,
        keys,
        left_out,
        ..
    } = pool;
    finish(store, place, Name::Free)?;
    let mut told = count(keys, "key");
    for (what, number) in &left_out {
        told += &format!("\n{} left out", count(*number, what));
    }
    sum_up(told);
    if left_out.is_empty() {
        Ok(Outcome::Sound)
    } else {
        Ok(Outcome::Damaged)
    }
}

/// Compares a file with its checksum, if it has one.
fn check_sum(file: &Path) -> Result<(), Failure> {
    let mut file = File::open(file)?;
    let len = file.metadata()?.len();
    let body = len.checked_sub(8).ok_or("the file is too short")?;
    let (mut sum, mut bytes) = (CRC.digest(), vec![0; 1 << 20]);
    let mut head = (&mut file).take(body);
    loop {
        match head.read(&mut bytes)? {
            0 => break,
            read => sum.update(&bytes[..read]),
        }
    }
    let mut told = [0; 8];
    file.read_exact(&mut told)?;
    match u64::from_le_bytes(told) {
        0 => Ok(()),
        told if told == sum.finalize() => Ok(()),
        _ => Err("the file does not have the checksum that it tells, or is no RDB file".into()),
    }
}

/// The keys of a pool that is being made.
pub(crate) struct NewKeys {
    store: Store,
    keys: u64,
    /// Hashes of their databases and names.
    hashers: [RandomState; 2],
    seen: HashSet<[u64; 2]>,
    /// How much of which kind there is that no pool holds.
    left_out: BTreeMap<&'static str, u64>,
    /// Why the pool cannot be made.
    failed: Option<String>,
}

impl NewKeys {
    /// Makes a key.
    ///
    /// # Errors
    /// If the pool has no room for it, if it is none, or if it was made before.
    pub(crate) fn add<B: Deref<Target = [u8]>>(
        &mut self,
        name: &[u8],
        db: i32,
        expire_at: Option<i64>,
        content: &Content<B>,
    ) -> Result<(), String> {
        let hashes = self.hashers.each_ref().map(|to| to.hash_one((db, name)));
        if !self.seen.insert(hashes) {
            let name = name.escape_ascii();
            return Err(format!("the key {name} of database {db} is there twice"));
        }
        let made = self.store.make_from(
            name,
            db,
            expire_at.unwrap_or(KEY_NEVER),
            AllLimits::DEFAULT,
            content,
        );
        made.map_err(|error| match error {
            pobj::Error::Full(_) => {
                "the keys do not fit into the pool: give a larger --size".to_owned()
            }
            other => format!("the key {}: {other}", name.escape_ascii()),
        })?;
        self.keys += 1;
        Ok(())
    }

    fn leave_out(&mut self, what: &'static str) {
        *self.left_out.entry(what).or_default() += 1;
    }

    fn take(&mut self, key: &NativeKey<'_>) -> Result<(), String> {
        let malformed = || "a key is malformed".to_owned();
        let name = rdb::string(key.name).ok_or_else(malformed)?;
        let expire_at = rdb::expire_at(key.before).ok_or_else(malformed)?;
        let db = u16::try_from(key.db).map_err(|_| {
            format!(
                "the key {} is in database {}: a pool has databases 0 to 65535",
                name.escape_ascii(),
                key.db
            )
        })?;
        match rdb::content(key.ty, key.value) {
            Some(content) if content.is_empty() => Ok(()),
            Some(content) => self.add(&name, db.into(), expire_at, &content),
            None => {
                match key.ty {
                    15 | 19 | 21 | 26 => self.leave_out("stream"),
                    9 | 10 | 12..=14 => self.leave_out("pre-7.0 Redis value"),
                    other => {
                        return Err(format!(
                            "the key {}, of type {other}, is malformed",
                            name.escape_ascii()
                        ));
                    }
                }
                Ok(())
            }
        }
    }
}

impl Edit for NewKeys {
    fn wants(&self, _: u64) -> bool {
        true
    }

    fn value(&mut self, _: &ModuleKey<'_>) -> io::Result<Fate> {
        self.leave_out("PM or other module key");
        Ok(Fate::Goes)
    }

    fn takes_natives(&self) -> bool {
        true
    }

    fn native(&mut self, key: &NativeKey<'_>) -> io::Result<()> {
        self.take(key).map_err(|why| {
            self.failed = Some(why);
            io::Error::other("given up")
        })
    }

    fn library(&mut self) {
        self.leave_out("function library");
    }

    fn sizes(&mut self, _: u64, keys: u64, expiring: u64) -> (u64, u64) {
        (keys, expiring)
    }
}
