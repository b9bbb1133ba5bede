//! Fences and flushed lines of each operation, counted where libpmem is called, libpmemobj's own
//! included.
//!
//! Only a program that exports `powercut`'s functions (`-rdynamic`, see `build.rs`) counts
//! anything; such a program flushes nothing, so times are not measured in it.

use crate::operations::{Operation, Store};
use pobj::Result;
use powercut::interpose::{Counts, counters};

/// Steps of an operation that are counted.
const STEPS: usize = 1_000;

/// What one operation takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Traffic {
    /// Fences of the median step: one in many also makes a slab page, or enlarges a table.
    pub fences: u64,
    /// Fences a step, on average.
    pub fences_mean: f64,
    /// Lines flushed a step, on average.
    pub lines: f64,
}

/// Counts an operation's fences and flushed lines.
///
/// # Errors
/// Those of the operation.
pub fn count(operation: &Operation) -> Result<Traffic> {
    let mut store = Store::new(operation, STEPS)?;
    let steps = store.steps();
    let counts = || counters().counts();
    let before = counts();
    let mut fences = Vec::with_capacity(steps);
    let mut last = before;
    for number in 0..steps {
        store.step(number)?;
        let now = counts();
        fences.push(now.fences - last.fences);
        last = now;
    }
    fences.sort_unstable();
    let per = |of: fn(&Counts) -> u64| (of(&last) - of(&before)) as f64 / steps as f64;
    Ok(Traffic {
        fences: fences[steps / 2],
        fences_mean: per(|counts| counts.fences),
        lines: per(|counts| counts.lines),
    })
}

/// The fences of each operation as a page of the documentation: they are the same on every machine.
///
/// # Errors
/// Those of the operations.
pub fn page(operations: &[Operation]) -> Result<String> {
    let mut page = "\
# Fences per operation

Of a typical step: one in many also makes a slab page, or enlarges a table, which takes some more. This
page is generated (`ci/bench engine fences`), and a test compares it. What the values are,
and what else an operation costs, is in [instructions.md](instructions.md).

| operation | of | fences | at most |
|---|---|---|---|
"
    .to_owned();
    for operation in operations {
        let Traffic { fences, .. } = count(operation)?;
        let most = operation.fences_max;
        page += &format!("| {} | {fences} | {most} |\n", operation.label());
    }
    Ok(page)
}
