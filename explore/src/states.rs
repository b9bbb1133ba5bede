//! The states a workload passes through, each described as text: what recovery may find.
//!
//! A description has a line for each thing that must be there. Descriptions are compared as a
//! whole, and by line when they differ, so that a message names what is missing and what is too
//! much.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use powercut::Progress;

/// A state's description: its lines, sorted by whoever makes them.
pub type Description = Vec<String>;

/// The states of a workload: before the first step, and after each.
#[derive(Clone, Debug, Default)]
pub struct States(Vec<Description>);

/// Between the lines of a description and between descriptions.
const LINE_END: char = '\n';
const STATE_END: char = '\x0c';
/// How many differing lines a message shows.
const SHOWN_MAX: usize = 6;

impl States {
    /// Adds the state after one more step.
    pub fn push(&mut self, state: Description) {
        self.0.push(state);
    }

    /// The last state so far.
    pub fn last(&self) -> Option<&Description> {
        self.0.last()
    }

    /// Where the process that runs a workload on `pool` leaves the states for the one that
    /// explores.
    pub(crate) fn path_for(pool: &Path) -> PathBuf {
        pool.with_file_name("states")
    }

    /// Writes the states to a file.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let states = self.0.iter().map(|state| state.join(&LINE_END.to_string()));
        fs::write(
            path,
            states.collect::<Vec<_>>().join(&STATE_END.to_string()),
        )
    }

    /// Reads what [`States::write`] wrote.
    pub fn read(path: &Path) -> io::Result<States> {
        let text = fs::read_to_string(path)?;
        let lines = |state: &str| match state {
            // Nothing is there: not a line without words.
            "" => Vec::new(),
            _ => state.split(LINE_END).map(str::to_owned).collect(),
        };
        Ok(States(text.split(STATE_END).map(lines).collect()))
    }

    /// Whether `found` is a state that a cut at this moment may lead to.
    ///
    /// # Errors
    /// How it differs from the states it may be.
    pub fn check(&self, found: &Description, progress: Progress) -> Result<(), String> {
        let allowed = &self.0[progress.acknowledged..=progress.begun.max(progress.acknowledged)];
        if allowed.contains(found) {
            return Ok(());
        }
        let differences = allowed.iter().map(|state| difference(state, found));
        Err(format!(
            "not the state of step {}: {}",
            progress.acknowledged,
            differences.collect::<Vec<_>>().join("\nnor of the next: ")
        ))
    }
}

/// What `found` lacks of `state`, and what it has too much.
fn difference(state: &Description, found: &Description) -> String {
    let only_in = |these: &Description, those: &Description, sign: &str| {
        let lines = these.iter().filter(|line| !those.contains(line));
        lines
            .map(|line| format!("{sign}{line}"))
            .collect::<Vec<_>>()
    };
    let mut lines = only_in(state, found, "-");
    lines.extend(only_in(found, state, "+"));
    let more = lines.len().saturating_sub(SHOWN_MAX);
    lines.truncate(SHOWN_MAX);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join(" | ")
}

/// A short form of bytes that differs if they do.
pub fn digest(bytes: &[u8]) -> String {
    format!("{}:{:016x}", bytes.len(), xxhash_rust::xxh3::xxh3_64(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states() -> States {
        let mut states = States::default();
        states.push(vec!["a 1".into()]);
        states.push(vec!["a 1".into(), "b 2".into()]);
        states.push(vec!["b 2".into()]);
        states.push(Vec::new());
        states
    }

    fn progress(acknowledged: usize, begun: usize) -> Progress {
        Progress {
            acknowledged,
            begun,
        }
    }

    #[test]
    fn states_survive_the_way_through_a_file() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        states().write(file.path()).expect("it is writable");
        let read = States::read(file.path()).expect("it was written");
        assert_eq!(read.0, states().0);
    }

    #[test]
    fn only_the_acknowledged_state_and_the_one_in_flight_are_allowed() {
        let both: Description = vec!["a 1".into(), "b 2".into()];
        assert_eq!(states().check(&both, progress(1, 1)), Ok(()));
        assert_eq!(states().check(&both, progress(0, 1)), Ok(()));
        assert!(states().check(&both, progress(0, 0)).is_err(), "too early");
        let late = states().check(&both, progress(2, 2)).expect_err("undone");
        assert!(late.contains("+a 1"), "{late}");
    }
}
