//! Files with native values, which servers without the module read: `rdb native`.
//!
//! A module cannot write a key of a native type: the server has written the type and the name
//! before it asks for the value. So the file is first written with a marker of each PM key, which
//! tells where in the pool its record is. When it is done, still in the process that wrote it, it
//! is copied: first all that is not a PM key, as it is, then each PM key, with its value straight
//! from the pool. Nothing is held in memory but what is written next. The copy takes the file's
//! place; a process that dies before that leaves the markers, which this module loads as any
//! others.
//!
//! ```text
//! head, notes, native keys     as the server has written them
//! keys                         PM keys, as native ones
//! note "pmedis-markers"        what a server has not heard of, it passes over:
//!   one marker                 with its database and name, which stands for all PM keys
//!   8 bytes                    where the keys begin
//!   8 bytes                    the number of the pool
//!   4 bytes                    the length of the marker
//!   4 bytes                    "PMrN"
//! end, checksum
//! ```
//!
//! **At a start** the pool is the truth, also of keys that are gone since. So before the server
//! loads a file of this kind that it has written with this pool, the file is shortened: the PM keys
//! are cut off, and the marker put in their place ([`shorten`]). Beside another pool, or a new one,
//! all its keys are native ones, as in any RDB; no partial resync goes on from there, as in the
//! stream they are PM keys.

use super::abridge::{Markers, abridged_id, our_types, sync_directory};
use super::serialize;
use super::{ENGINE, Engine, apply};
use crate::report;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};
use store::lsn::RunLsn;
use store::rdb::copy::{Copy, Edit, Fate, ModuleKey, VERSION_BITS};
use store::rdb::{CRC, Dialect, Value, WriteError, push_number};
use store::record::{self, RecordPtr};
use store::value::ValueType;

/// The name of the note.
const NOTE: &[u8] = b"pmedis-markers";
const MAGIC: &[u8; 4] = b"PMrN";
/// Bytes of a note behind the marker.
const TAIL: usize = 24;
/// Bytes of a file behind the note: its end, and the checksum.
const END: usize = 9;
/// How long a marker may be, with its name.
const MARKER_MAX: u32 = 1 << 30;

/// Entries of a file.
mod op {
    pub(super) const NOTE: u8 = 250;
    pub(super) const SIZES: u8 = 251;
    pub(super) const DATABASE: u8 = 254;
    pub(super) const END: u8 = 255;
    pub(super) const MODULE_VALUE: u8 = 7;
}

/// Replaces the markers of a file by native values. `copy` is a name for it meanwhile.
///
/// # Errors
/// The file is as it was.
pub(super) fn make(file: &Path, copy: &Path, markers: &Markers, lsn: RunLsn) -> Result<(), String> {
    let made = ENGINE
        .with(|engine| write(engine, file, copy, markers, lsn))
        .map_err(|refused| format!("the pool cannot be reached: {refused:?}"))
        .and_then(|made| made.map_err(|error| error.to_string()));
    let made = made.and_then(|times_lost| {
        let placed = fs::rename(copy, file).and_then(|()| match file.parent() {
            Some(directory) => sync_directory(directory),
            None => Ok(()),
        });
        placed
            .map(|()| times_lost)
            .map_err(|error| error.to_string())
    });
    match made {
        Ok(0) => Ok(()),
        Ok(times_lost) => {
            report::warn(&format!(
                "{times_lost} fields of hashes are without their expire times in {}: this server loads no RDB type that has them",
                file.display()
            ));
            Ok(())
        }
        Err(why) => {
            let _ = fs::remove_file(copy);
            Err(why)
        }
    }
}

/// Writes the copy; how many fields have lost their expire times.
fn write(
    engine: &mut Engine,
    file: &Path,
    copy: &Path,
    markers: &Markers,
    lsn: RunLsn,
) -> io::Result<u64> {
    let open = || Ok::<_, io::Error>(BufReader::with_capacity(1 << 20, File::open(file)?));
    let input = open()?;
    let output = File::create(copy)?;
    output.set_permissions(input.get_ref().metadata()?.permissions())?;
    let pool = engine.pool_id();
    let output = BufWriter::with_capacity(1 << 20, output);
    let mut out = Copy::begin(input, output)?;
    out.entries(&mut Natives {
        ids: our_types(),
        markers,
    })?;
    let begin = out.written();
    let mut keys = Keys {
        ids: our_types(),
        dialect: out.dialect(),
        now: now(),
        engine,
        markers,
        lsn,
        db: None,
        marker: Vec::new(),
        count: 0,
        times_lost: 0,
        out: &mut out,
    };
    Copy::begin(open()?, io::sink())?.entries(&mut keys)?;
    let (marker, count, times_lost) = (keys.marker, keys.count, keys.times_lost);
    if count != markers.count() {
        return Err(io::Error::other(
            "it is another file than the one that was written",
        ));
    }
    if !marker.is_empty() {
        out.write_all(&note(&marker, begin, pool))?;
    }
    let output = out.end()?;
    let output = output.into_inner().map_err(|error| error.into_error())?;
    output.sync_all()?;
    Ok(times_lost)
}

/// What comes behind the keys.
fn note(marker: &[u8], begin: u64, pool: u64) -> Vec<u8> {
    let mut note = vec![op::NOTE];
    push_number(&mut note, NOTE.len() as u64);
    note.extend(NOTE);
    push_number(&mut note, (marker.len() + TAIL) as u64);
    note.extend(marker);
    note.extend(begin.to_le_bytes());
    note.extend(pool.to_le_bytes());
    note.extend((marker.len() as u32).to_le_bytes());
    note.extend(MAGIC);
    note
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as i64)
}

/// Leaves PM keys out.
struct Natives<'m> {
    ids: [u64; 5],
    markers: &'m Markers,
}

impl Edit for Natives<'_> {
    fn wants(&self, id: u64) -> bool {
        self.ids.contains(&(id >> VERSION_BITS))
    }

    fn value(&mut self, _: &ModuleKey<'_>) -> io::Result<Fate> {
        Ok(Fate::Goes)
    }

    fn sizes(&mut self, db: u64, keys: u64, expiring: u64) -> (u64, u64) {
        let keys = keys.saturating_sub(self.markers.of(db));
        (keys, expiring.min(keys))
    }
}

/// Writes PM keys as native ones.
struct Keys<'k, W> {
    ids: [u64; 5],
    dialect: Dialect,
    now: i64,
    engine: &'k mut Engine,
    markers: &'k Markers,
    lsn: RunLsn,
    /// The database of the last one.
    db: Option<u64>,
    /// The marker that stands for all.
    marker: Vec<u8>,
    /// How many there were.
    count: u64,
    times_lost: u64,
    out: &'k mut W,
}

impl<W: Write> Edit for Keys<'_, W> {
    fn wants(&self, id: u64) -> bool {
        self.ids.contains(&(id >> VERSION_BITS))
    }

    fn value(&mut self, key: &ModuleKey<'_>) -> io::Result<Fate> {
        let ty = self
            .ids
            .iter()
            .position(|&id| id == key.id >> VERSION_BITS)
            .map(|at| ValueType::ALL[at]);
        let (Some(ty), Some(place)) = (ty, serialize::place_of(key.value)) else {
            return Err(io::Error::other("a PM key in it cannot be read"));
        };
        if self.marker.is_empty() {
            self.marker = self.marker_of(key);
        }
        self.count += 1;
        self.engine.see_the_fork();
        self.write(key, ty, place).map_err(|error| match error {
            WriteError::Io(error) => error,
            WriteError::Pool(error) => {
                let name = key.name.escape_ascii();
                io::Error::other(format!("the key {name}: {error}"))
            }
        })?;
        Ok(Fate::Goes)
    }

    fn sizes(&mut self, _: u64, keys: u64, expiring: u64) -> (u64, u64) {
        (keys, expiring)
    }
}

impl<W: Write> Keys<'_, W> {
    fn write(
        &mut self,
        key: &ModuleKey<'_>,
        ty: ValueType,
        place: RecordPtr,
    ) -> Result<(), WriteError> {
        let pool = &self.engine.store.pool;
        let value = Value {
            pool,
            ty,
            root: record::get(pool, place)?.root,
            inline: record::inline(pool, place)?,
        };
        let Some(plan) = value.plan(self.dialect, self.now)? else {
            return Ok(());
        };
        if self.db != Some(key.db) {
            self.db = Some(key.db);
            let mut database = vec![op::DATABASE];
            push_number(&mut database, key.db);
            database.push(op::SIZES);
            push_number(&mut database, self.markers.of(key.db));
            push_number(&mut database, 0);
            self.out.write_all(&database)?;
        }
        self.out.write_all(key.before)?;
        self.out.write_all(&[plan.type_number()])?;
        self.out.write_all(key.name)?;
        value.write(self.out, &plan)?;
        self.times_lost += plan.times_lost;
        Ok(())
    }

    /// A marker in the place of this key, for all of them.
    fn marker_of(&self, key: &ModuleKey<'_>) -> Vec<u8> {
        let mut marker = vec![op::DATABASE];
        push_number(&mut marker, key.db);
        marker.push(op::MODULE_VALUE);
        marker.extend(key.name);
        push_number(&mut marker, abridged_id(key.id));
        marker.extend(serialize::marker_for_others(
            self.lsn,
            self.markers.count() - 1,
        ));
        marker
    }
}

/// What the end of a file with native values tells.
struct Note {
    marker: Vec<u8>,
    begin: u64,
    pool: u64,
    has_sum: bool,
}

impl Note {
    /// `None` if it is another file.
    fn of(file: &mut File) -> io::Result<Option<Note>> {
        let len = file.metadata()?.len();
        let Some(end) = len.checked_sub((TAIL + END) as u64) else {
            return Ok(None);
        };
        let mut bytes = [0; TAIL + END];
        file.seek(SeekFrom::Start(end))?;
        file.read_exact(&mut bytes)?;
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        let (begin, pool) = (number(0), number(8));
        let marker = number(16) as u32;
        let is_one = bytes[20..TAIL] == MAGIC[..] && bytes[TAIL] == op::END;
        if !is_one || marker > MARKER_MAX || begin.saturating_add(marker.into()) > end {
            return Ok(None);
        }
        let mut note = vec![0; marker as usize];
        file.seek(SeekFrom::Start(end - u64::from(marker)))?;
        file.read_exact(&mut note)?;
        Ok(Some(Note {
            marker: note,
            begin,
            pool,
            has_sum: bytes[TAIL + 1..] != [0; 8],
        }))
    }
}

/// Whose PM keys a file has as native ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The pool's that the server has.
    ThisPool,
    /// Another pool's.
    OtherPool,
    /// Nobody's, as far as the file tells.
    Unknown,
}

/// Cuts the native values off which a server of this pool has written into its RDB, before the
/// server loads it: the pool has the keys. `copy` is a name for the file meanwhile. Whether it was
/// such a file, or one of another pool.
///
/// # Errors
/// It is as it was.
fn cut(file: &Path, copy: &Path, pool: u64) -> io::Result<Origin> {
    let mut input = match File::open(file) {
        Ok(input) => input,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Origin::Unknown),
        Err(error) => return Err(error),
    };
    let Some(note) = Note::of(&mut input)? else {
        return Ok(Origin::Unknown);
    };
    if note.pool != pool {
        return Ok(Origin::OtherPool);
    }
    input.seek(SeekFrom::Start(0))?;
    let output = File::create(copy)?;
    output.set_permissions(input.metadata()?.permissions())?;
    let mut output = BufWriter::with_capacity(1 << 20, output);
    let mut input = BufReader::with_capacity(1 << 20, input).take(note.begin);
    let (mut sum, mut bytes) = (CRC.digest(), vec![0; 1 << 16]);
    loop {
        let read = input.read(&mut bytes)?;
        if read == 0 {
            break;
        }
        sum.update(&bytes[..read]);
        output.write_all(&bytes[..read])?;
    }
    for part in [note.marker.as_slice(), &[op::END]] {
        sum.update(part);
        output.write_all(part)?;
    }
    let sum = if note.has_sum { sum.finalize() } else { 0 };
    output.write_all(&sum.to_le_bytes())?;
    let output = output.into_inner().map_err(|error| error.into_error())?;
    output.sync_all()?;
    fs::rename(copy, file)?;
    if let Some(directory) = file.parent() {
        sync_directory(directory)?;
    }
    Ok(Origin::ThisPool)
}

/// Makes the server's RDB short, if a server of this pool has written its PM keys as native ones.
/// While the module is being loaded: the server loads the file after that.
///
/// # Errors
/// Why it cannot: the server must not load it then.
pub fn shorten() -> Result<(), String> {
    let known = ENGINE.with(|engine| Some((engine.files.rdb_path.clone()?, engine.pool_id())));
    let Ok(Some((file, pool))) = known else {
        return Ok(());
    };
    let copy = file.with_file_name(format!("temp-{}.rdb", process::id()));
    match cut(&file, &copy, pool) {
        Ok(Origin::Unknown) => Ok(()),
        // They will be native keys, and at its offset in the replication the server had PM keys.
        Ok(Origin::OtherPool) => {
            apply("the setup", |engine| {
                if let Some(startup) = &mut engine.files.startup {
                    startup.dropped = true;
                }
            });
            Ok(())
        }
        Ok(Origin::ThisPool) => {
            report::notice(&format!(
                "{} has this pool's keys as native ones: the pool is authoritative, and they are removed from the file",
                file.display()
            ));
            Ok(())
        }
        Err(why) => {
            let _ = fs::remove_file(&copy);
            Err(format!(
                "{} has this pool's keys as native ones, which cannot be removed from the file: {why}",
                file.display()
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(parts: &[&[u8]]) -> Vec<u8> {
        let mut file = parts.concat();
        let sum = CRC.checksum(&file);
        file.extend(sum.to_le_bytes());
        file
    }

    #[test]
    fn own_keys_are_cut_off_and_the_marker_stays() {
        let directory = std::env::temp_dir().join(format!("pmedis-cut-{}", process::id()));
        fs::create_dir(&directory).unwrap();
        let (file, copy) = (directory.join("dump.rdb"), directory.join("copy"));
        let (head, keys) = (b"REDIS0010\xfe\0\0\x01n\x01v", b"\0\x01p\x01v");
        let (marker, end) = ([9; 70], [op::END]);
        let note = note(&marker, head.len() as u64, 77);
        let whole = sealed(&[head, keys, &note, &end]);
        fs::write(&file, &whole).unwrap();
        // Another pool's stays as it is.
        assert_eq!(cut(&file, &copy, 78).unwrap(), Origin::OtherPool);
        assert_eq!(fs::read(&file).unwrap(), whole);
        assert_eq!(cut(&file, &copy, 77).unwrap(), Origin::ThisPool);
        assert_eq!(fs::read(&file).unwrap(), sealed(&[head, &marker, &end]));
        // Once only; and other files are left alone.
        assert_eq!(cut(&file, &copy, 77).unwrap(), Origin::Unknown);
        for len in 0..whole.len() {
            fs::write(&file, &whole[..len]).unwrap();
            assert_eq!(cut(&file, &copy, 77).unwrap(), Origin::Unknown, "{len}");
        }
        fs::remove_file(&file).unwrap();
        assert_eq!(cut(&file, &copy, 77).unwrap(), Origin::Unknown);
        fs::remove_dir_all(&directory).unwrap();
    }
}
