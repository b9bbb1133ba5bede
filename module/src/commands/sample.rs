//! How many random elements HRANDFIELD, SRANDMEMBER and ZRANDMEMBER are asked for.

use super::integer;
use crate::error::CmdError;
use crate::redis::Arg;

/// What Redis says of the least integer, where a count must have an opposite.
pub(super) const LEAST_COUNT: CmdError = CmdError::text_only(
    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
);

/// Parses a count of random elements; a negative one allows repetition.
pub(super) fn count(arg: Arg<'_>) -> Result<i64, CmdError> {
    match integer(arg)? {
        i64::MIN => Err(LEAST_COUNT),
        count => Ok(count),
    }
}
