//! The one place that writes to the server's log.
//!
//! What is reported, and when, is decided by the code that finds it out; how it gets into the log,
//! and at which level, is here. Errors travel as values as long as there is a caller to return them
//! to: see `keyspace::failure`.

use crate::redis::{Level, log};
use std::fmt::Display;

/// Tells what an administrator must see.
pub(crate) fn warn(line: &str) {
    log(Level::Warning, line);
}

/// Tells what an administrator wants to see in production.
pub(crate) fn notice(line: &str) {
    log(Level::Notice, line);
}

/// Tells what is rarely useful.
pub(crate) fn verbose(line: &str) {
    log(Level::Verbose, line);
}

/// Tells of something that could not be done, or not as it was to be, and why.
pub(crate) fn failure(what: impl Display, why: impl Display) {
    warn(&format!("{what}: {why}"));
}

/// Tells a line of this level.
pub(crate) fn tell(level: Level, line: &str) {
    log(level, line);
}
