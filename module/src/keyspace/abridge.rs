//! A file with many markers is made short: the first marker stands for all others.
//!
//! Redis writes every key into an RDB, and reads every key of it at a start: a microsecond each,
//! before anybody is served. A module can leave no key out of that. But a marker says only that a
//! key is there, which the pool knows better. So when a file is done, still in the process that
//! wrote it, it is copied without the markers: all but the first, which has the LSN of the pool,
//! and now the number of the others, and takes the file's place. What is native stays as it is. If
//! the process dies before that, the file has all markers, which is as correct, and only takes
//! longer to load.

use super::serialize;
use crate::report;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;
use store::lsn::RunLsn;
use store::rdb::copy::{self as rdb_file, Edit, Fate, ModuleKey, VERSION_BITS, module_id};
use store::value::ValueType;

/// Fewer markers are loaded in some milliseconds.
const MANY: u64 = 10_000;
/// Bytes of a file for each marker, at most: copying them takes as long as loading it.
const WORTH: u64 = 4096;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It is the server's RDB.
    Rdb,
    /// It becomes the base of the AOF.
    AofBase,
}

/// The markers that a file got.
#[derive(Debug, Default)]
pub(super) struct Markers {
    /// How many in each database.
    by_db: BTreeMap<u64, u64>,
    /// All of them.
    count: u64,
}

impl Markers {
    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// How many there are in a database.
    pub(super) fn of(&self, db: u64) -> u64 {
        self.by_db.get(&db).copied().unwrap_or(0)
    }

    /// Counts one.
    pub(super) fn add(&mut self, db: i32) {
        *self.by_db.entry(db.unsigned_abs().into()).or_default() += 1;
        self.count += 1;
    }
}

/// Where the file is, in the server's directory, and the name that its copy has until it is done:
/// those of Redis's own, which removes them if a child dies.
pub(super) fn places(purpose: Purpose, rdb: &Path) -> (PathBuf, PathBuf) {
    let pid = process::id();
    match purpose {
        Purpose::Rdb => (
            rdb.to_owned(),
            rdb.with_file_name(format!("temp-{pid}.rdb")),
        ),
        Purpose::AofBase => (
            rdb.with_file_name(format!("temp-rewriteaof-bg-{pid}.aof")),
            rdb.with_file_name(format!("temp-rewriteaof-{pid}.aof")),
        ),
    }
}

/// Makes the file short that was just written, if it is worth it; `rdb` is where the server's RDB
/// is.
pub(super) fn abridge(purpose: Purpose, rdb: &Path, markers: Markers, lsn: RunLsn) {
    let (file, copy) = places(purpose, rdb);
    let len = fs::metadata(&file).map_or(u64::MAX, |file| file.len());
    if markers.count < MANY || len / markers.count > WORTH {
        return;
    }
    let count = markers.count;
    let done = rewrite(&file, &copy, markers, lsn);
    let done = done.and_then(|()| fs::rename(&copy, &file));
    if let Err(why) = done {
        let _ = fs::remove_file(&copy);
        let line = format!(
            "{} keeps its {count} markers of PM keys, and takes as long to load: {why}",
            file.display()
        );
        return report::notice(&line);
    }
    let directory = file.parent().map_or(Ok(()), sync_directory);
    if let Err(why) = directory {
        report::failure("the directory of the RDB cannot be synced", &why);
    }
}

pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The identifiers of our types, without a version.
pub(super) fn our_types() -> [u64; 5] {
    ValueType::ALL.map(|ty| module_id(ty.module_name().to_bytes(), 0) >> VERSION_BITS)
}

/// The identifier of a marker that stands for others, of the type with this identifier.
pub(super) fn abridged_id(id: u64) -> u64 {
    id >> VERSION_BITS << VERSION_BITS | serialize::ABRIDGED as u64
}

fn rewrite(file: &Path, copy: &Path, markers: Markers, lsn: RunLsn) -> io::Result<()> {
    let input = BufReader::with_capacity(1 << 20, File::open(file)?);
    let output = File::create(copy)?;
    output.set_permissions(input.get_ref().metadata()?.permissions())?;
    let mut output = BufWriter::with_capacity(1 << 20, output);
    let mut edit = Abridging {
        ids: our_types(),
        others: markers.count - 1,
        markers,
        lsn,
        kept: false,
        has_the_lsn: false,
    };
    rdb_file::copy(input, &mut output, &mut edit)?;
    if !edit.has_the_lsn {
        return Err(io::Error::other("it is of another LSN"));
    }
    output.flush()?;
    output.get_ref().sync_all()
}

/// What a short file lacks.
struct Abridging {
    /// Identifiers of the types, without a version.
    ids: [u64; 5],
    markers: Markers,
    /// Markers that go.
    others: u64,
    lsn: RunLsn,
    kept: bool,
    has_the_lsn: bool,
}

impl Edit for Abridging {
    fn wants(&self, id: u64) -> bool {
        self.ids.contains(&(id >> VERSION_BITS))
    }

    fn value(&mut self, key: &ModuleKey<'_>) -> io::Result<Fate> {
        if self.kept {
            return Ok(if serialize::is_marker(key.value) {
                Fate::Goes
            } else {
                Fate::Stays
            });
        }
        self.kept = true;
        Ok(
            match serialize::for_others(key.value, self.lsn, self.others) {
                Some(bytes) => {
                    self.has_the_lsn = true;
                    Fate::Changes(abridged_id(key.id), bytes)
                }
                None => Fate::Stays,
            },
        )
    }

    /// Hints, by which the server makes its tables.
    fn sizes(&mut self, db: u64, keys: u64, expiring: u64) -> (u64, u64) {
        let keys = keys.saturating_sub(self.markers.of(db));
        (keys, expiring.min(keys))
    }
}
