//! Contradictions on media: what they are called.

use pobj::Error;

/// What is read from a pool contradicts itself, as `what` says. Out of line, as most functions that
/// read have a use for it.
#[cold]
#[inline(never)]
pub(crate) fn damaged(what: &str) -> Error {
    Error::Damaged(what.to_owned())
}
