//! `pmedis export --rdb`: all keys as an RDB file with native values.

use crate::keys::{Key, Keys};
use crate::output::{Output, count, of, tell};
use crate::{Failure, Outcome};
use std::io::BufWriter;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use store::rdb::{self, Dialect, FileWriter, Value, WriteError};

/// The servers that are to read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Reader {
    /// Every server since Redis 7.0. It gets no expire times of hash fields.
    Any,
    /// Redis since 7.4.
    Redis,
    /// Valkey since 9.0.
    Valkey,
}

impl From<Reader> for Dialect {
    fn from(reader: Reader) -> Dialect {
        match reader {
            Reader::Any => Dialect::Plain,
            Reader::Redis => Dialect::Redis,
            Reader::Valkey => Dialect::Valkey,
        }
    }
}

/// What was written.
#[derive(Default)]
struct Counts {
    keys: u64,
    damaged: u64,
    times_lost: u64,
}

/// Writes all keys of the pool as an RDB file. Of a damaged value there is what comes before the
/// damage. O(pool).
pub(crate) fn export(
    path: &Path,
    reader: Reader,
    output: Option<&Path>,
) -> Result<Outcome, Failure> {
    let keys = Keys::open(path)?;
    let dialect = Dialect::from(reader);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let now = i64::try_from(now)?;
    let out = BufWriter::with_capacity(1 << 20, Output::to(output, path)?);
    let mut file = FileWriter::begin(out, dialect).map_err(of(output))?;
    let mut counts = Counts::default();
    keys.each("exporting", |key| {
        let told = match key {
            Ok(key) => {
                let name = key.name.escape_ascii().to_string();
                let written = write(&keys, &key, &mut file, dialect, now, &mut counts);
                let damage = written.map_err(|error| match error {
                    WriteError::Io(error) => of(output)(error),
                    // It was looked at a moment ago.
                    WriteError::Pool(error) => error.into(),
                })?;
                damage.map(|error| (name, error))
            }
            Err(error) => Some(("a key without a readable name".to_owned(), error)),
        };
        if let Some((name, error)) = told {
            counts.damaged += 1;
            tell(format_args!("{name} is not whole: {error}"));
        }
        Ok(())
    })?;
    let written = file.end().and_then(|out| {
        let out = out.into_inner().map_err(|error| error.into_error())?;
        out.finish()
    });
    written.map_err(of(output))?;
    let mut told = format!("{} written", count(counts.keys, "key"));
    if counts.damaged > 0 {
        told += &format!(", {} damaged ones left out or cut short", counts.damaged);
    }
    if counts.times_lost > 0 {
        let why = match reader {
            Reader::Redis => "Redis has none after the year 4199",
            Reader::Any | Reader::Valkey => "see --rdb=redis and --rdb=valkey",
        };
        let fields = count(counts.times_lost, "hash field");
        told += &format!("; {fields} lost their expire times: {why}");
    }
    tell(told);
    keys.tell_faults();
    Ok(keys.outcome(counts.damaged))
}

/// Writes a key, and tells what is damaged in it.
fn write(
    keys: &Keys,
    key: &Key<'_>,
    file: &mut FileWriter<BufWriter<Output>>,
    dialect: Dialect,
    now: i64,
    counts: &mut Counts,
) -> Result<Option<pobj::Error>, WriteError> {
    let value = Value {
        pool: &keys.pool,
        ty: key.ty,
        root: key.root,
        inline: key.inline,
    };
    let checked = keys.check(key).and_then(|()| value.plan(dialect, now));
    let (plan, damage) = match checked {
        Ok(plan) => (plan, None),
        Err(error) => (value.plan_readable(dialect, now).0, Some(error)),
    };
    if let Some(plan) = plan {
        let entry = rdb::Key {
            name: key.name,
            db: key.db,
            expire_at: key.expire_at,
        };
        file.key(entry, &value, &plan)?;
        counts.keys += 1;
        counts.times_lost += plan.times_lost;
    }
    Ok(damage)
}
