//! Instructions and cache misses of each operation, by callgrind: the same on a busy machine as on
//! an idle one.
//!
//! The program runs itself anew under callgrind, which counts only inside [`region`] and writes a
//! file at each [`end_of_region`]. The caches that it simulates have a fixed size, whatever the
//! machine's.

use crate::operations::{Operation, Store};
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, io};

/// Steps of an operation.
const STEPS: usize = 4_000;

/// What one operation takes, on average.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Instructions.
    pub instructions: f64,
    /// Loads and stores that miss the first-level cache of 32 KiB.
    pub first_level_misses: f64,
    /// Those that miss the last one, of 2 MiB, too.
    pub last_level_misses: f64,
}

/// Runs the operation as the callgrind process does.
///
/// # Errors
/// Those of the operation.
pub fn run(operation: &Operation) -> pobj::Result<()> {
    let mut store = Store::new(operation, STEPS)?;
    let steps = store.steps();
    region(&mut store, steps)?;
    println!("{}", end_of_region(steps));
    Ok(())
}

/// What callgrind counts. The name is in callgrind's arguments.
#[inline(never)]
pub fn region(store: &mut Store, steps: usize) -> pobj::Result<()> {
    (0..steps).try_for_each(|number| {
        black_box(store.step(number)?);
        Ok(())
    })
}

/// Where callgrind writes what it has counted; a function that it counts in cannot be told to do
/// both.
#[inline(never)]
pub(crate) fn end_of_region(steps: usize) -> usize {
    black_box(steps)
}

/// Counts all operations: runs `program` with these arguments, which must [`run`] each of them in
/// turn.
///
/// # Errors
/// If there is no valgrind, or its results are not what they should be.
pub fn count(program: &Path, arguments: &[&str], operations: usize) -> io::Result<Vec<Cost>> {
    let place = tempfile::tempdir()?;
    let out = place.path().join("out");
    let child = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--collect-atstart=no",
            "--cache-sim=yes",
        ])
        .args(["--I1=32768,8,64", "--D1=32768,8,64", "--LL=2097152,16,64"])
        .arg("--toggle-collect=*instructions*::region*")
        .arg("--dump-before=*end_of_region*")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args(arguments)
        .env("PMEM_IS_PMEM_FORCE", "1")
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| io::Error::other(format!("valgrind: {error}")))?;
    if !child.status.success() {
        let text = String::from_utf8_lossy(&child.stderr).into_owned();
        return Err(io::Error::other(text));
    }
    let steps = String::from_utf8_lossy(&child.stdout).into_owned();
    let steps: Vec<f64> = steps.lines().filter_map(|line| line.parse().ok()).collect();
    if steps.len() != operations {
        return Err(io::Error::other("an operation has not been run"));
    }
    let cost = |(at, steps): (usize, f64)| {
        let path = format!("{}.{}", out.display(), at + 1);
        let text = fs::read_to_string(&path)?;
        parse(&text, steps).ok_or_else(|| io::Error::other(format!("no totals in {path}")))
    };
    steps.into_iter().enumerate().map(cost).collect()
}

/// The totals in a file of callgrind's.
fn parse(text: &str, steps: f64) -> Option<Cost> {
    let line = |name| text.lines().find_map(|line| line.strip_prefix(name));
    let events: Vec<&str> = line("events:")?.split_whitespace().collect();
    let totals: Vec<f64> = line("totals:")
        .or_else(|| line("summary:"))?
        .split_whitespace()
        .filter_map(|total| total.parse().ok())
        .collect();
    let each = |name: &str| {
        let at = events.iter().position(|&event| event == name)?;
        // Trailing zeros are left out.
        Some(totals.get(at).copied().unwrap_or(0.0) / steps)
    };
    Some(Cost {
        instructions: each("Ir")?,
        first_level_misses: each("D1mr")? + each("D1mw")?,
        last_level_misses: each("DLmr")? + each("DLmw")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read() {
        let text =
            "events: Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw\nfn=x\n1 2\ntotals: 4000 2 3 0 20 30\n";
        let cost = parse(text, 10.0).unwrap();
        assert_eq!(cost.instructions, 400.0);
        assert_eq!(
            (cost.first_level_misses, cost.last_level_misses),
            (5.0, 0.0)
        );
        assert_eq!(parse("events: Ir\n", 1.0), None);
    }
}
