//! `pmedis check`: whether all values hold what their structures promise.

use crate::keys::Keys;
use crate::output::count;
use crate::{Failure, Outcome};
use std::io::{self, Write};
use std::path::Path;

/// Reads every value of the pool, and writes what is damaged, and how much is sound. O(pool).
pub(crate) fn check(path: &Path) -> Result<Outcome, Failure> {
    let keys = Keys::open(path)?;
    let mut out = io::stdout().lock();
    for fault in keys.faults() {
        writeln!(out, "{fault}")?;
    }
    let (mut sound, mut damaged) = (0u64, 0u64);
    keys.each("checking", |key| {
        let checked = key.map(|key| match keys.check(&key) {
            Ok(()) => None,
            Err(error) => Some((key.name, key.db, error)),
        });
        match checked {
            Ok(None) => {
                sound += 1;
                return Ok(());
            }
            Ok(Some((name, db, error))) => {
                writeln!(out, "{} in database {db}: {error}", name.escape_ascii())?;
            }
            Err(error) => writeln!(out, "a key without a readable name: {error}")?,
        }
        damaged += 1;
        Ok(())
    })?;
    writeln!(out, "{} sound, {damaged} damaged", count(sound, "key"))?;
    Ok(keys.outcome(damaged))
}
