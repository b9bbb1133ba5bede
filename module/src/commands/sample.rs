//! How many random elements HRANDFIELD, SRANDMEMBER and ZRANDMEMBER are asked for.

use crate::error::CmdError;
use crate::redis::Arg;
use store::number::parse_i64;

/// What Redis says of the least integer, where a count must have an opposite.
pub(super) const LEAST_COUNT: CmdError = CmdError::text_only(
    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
);

/// Parses a count of random elements; a negative one allows repetition.
pub(super) fn count(arg: Arg<'_>) -> Result<i64, CmdError> {
    match parse_i64(arg.bytes()) {
        Some(i64::MIN) => Err(LEAST_COUNT),
        Some(count) => Ok(count),
        None => Err(CmdError::NotAnInteger),
    }
}
