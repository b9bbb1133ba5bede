//! A whole file, key by key, and the payload of a single key.

use super::number::{write_number, write_string};
use super::{CRC, Dialect, Plan, Value, WriteError};
use crc::{Digest, Table};
use std::io::{self, Write};

/// Bytes that stand before an entry, by what they tell.
mod op {
    pub(crate) const EXPIRES_MS: u8 = 252;
    pub(super) const DATABASE: u8 = 254;
    pub(super) const END: u8 = 255;
}

/// What a file says of a key besides its value.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    /// The key's name.
    pub name: &'k [u8],
    /// Its database.
    pub db: i32,
    /// When it expires, in Unix milliseconds.
    pub expire_at: Option<i64>,
}

/// Writes an RDB file from its beginning to its end.
pub struct FileWriter<W> {
    out: W,
    sum: Digest<'static, u64, Table<16>>,
    db: Option<i32>,
}

impl<W: Write> Write for FileWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> FileWriter<W> {
    /// Begins a file. What it is written to should have a buffer.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn begin(out: W, dialect: Dialect) -> io::Result<FileWriter<W>> {
        let mut file = FileWriter {
            out,
            sum: CRC.digest(),
            db: None,
        };
        file.write_all(dialect.magic())?;
        Ok(file)
    }

    /// Writes a key and as much of its value as was planned. O(n).
    ///
    /// # Errors
    /// As [`Value::write`]: nothing more can be written to this file then.
    pub fn key(&mut self, key: Key<'_>, value: &Value<'_>, plan: &Plan) -> Result<(), WriteError> {
        if self.db != Some(key.db) {
            self.db = Some(key.db);
            self.write_all(&[op::DATABASE])?;
            write_number(self, key.db.unsigned_abs().into())?;
        }
        if let Some(at) = key.expire_at {
            self.write_all(&[op::EXPIRES_MS])?;
            self.write_all(&at.to_le_bytes())?;
        }
        self.write_all(&[plan.type_number()])?;
        write_string(self, key.name)?;
        value.write(self, plan)
    }

    /// Ends the file, and hands back what it was written to, flushed.
    ///
    /// # Errors
    /// Those of what it is written to.
    pub fn end(mut self) -> io::Result<W> {
        self.write_all(&[op::END])?;
        let sum = self.sum.finalize();
        self.out.write_all(&sum.to_le_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// The payload that DUMP has for a native key of this value, for RESTORE; `None` as in
/// [`Value::plan`]. O(n).
///
/// # Errors
/// `Damaged`.
pub fn payload(value: &Value<'_>, dialect: Dialect, now: i64) -> pobj::Result<Option<Vec<u8>>> {
    let Some(plan) = value.plan(dialect, now)? else {
        return Ok(None);
    };
    let mut bytes = vec![plan.type_number()];
    value
        .write(&mut bytes, &plan)
        .map_err(|error| match error {
            WriteError::Pool(error) => error,
            WriteError::Io(error) => pobj::Error::State(error.to_string()),
        })?;
    // The lowest version that has this form.
    let version = if plan.needs_dialect() {
        dialect.version()
    } else {
        Dialect::Plain.version()
    };
    bytes.extend(version.to_le_bytes());
    let sum = CRC.checksum(&bytes);
    bytes.extend(sum.to_le_bytes());
    Ok(Some(bytes))
}
