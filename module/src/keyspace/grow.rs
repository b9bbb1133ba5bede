//! The pool made larger because somebody asks for it.

use super::rest::writes_are_paused;
use super::{fullness, with_engine};
use crate::error::CmdError;
use crate::report;

/// Makes the pool larger by so many bytes (with units, as the arguments of the module), or by a
/// step of its own choice: its new size.
///
/// # Errors
/// `OutOfRange` for what is no size; why it cannot, as while writes are paused. It is as before
/// then.
pub fn grow(bytes: Option<&[u8]>) -> Result<u64, CmdError> {
    let size = |text| std::str::from_utf8(text).ok().and_then(pobj::parse_size);
    let bytes = bytes
        .map(|text| size(text).ok_or(CmdError::OutOfRange))
        .transpose()?;
    if writes_are_paused() {
        return Err(CmdError::text_only(
            "ERR the pool does not grow while writes are paused",
        ));
    }
    let grown = with_engine(|engine| Ok(engine.store.pool.grow(bytes)))?;
    fullness::tell_growth();
    grown.map_err(|error| match error {
        pobj::Error::State(why) => CmdError::Other(format!("ERR {why}").into()),
        pobj::Error::NoSpace { size, .. } => {
            report::failure("the pool cannot grow", &error);
            CmdError::Other(
                format!(
                    "ERR the file system has no room for {size} bytes more: the pool is as before"
                )
                .into(),
            )
        }
        other => other.into(),
    })
}
