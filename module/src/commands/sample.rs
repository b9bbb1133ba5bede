//! How many random elements HRANDFIELD, SRANDMEMBER and ZRANDMEMBER are asked for, and replying
//! with them.

use super::integer;
use crate::error::CmdError;
use crate::redis::{Arg, Ctx};
use std::ops::ControlFlow;
use store::structures::sample::Chosen;

/// After so many elements it is looked whether anybody still gets them.
const LOOK_AFTER: u32 = 10_000;

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

/// Shows the elements to `reply`, the array's head having been replied, until the client is being
/// closed: of repeated ones there may be more than its output may have.
pub(super) fn reply<T: Copy>(ctx: &Ctx, chosen: Chosen<T>, mut reply: impl FnMut(T)) {
    let mut left = LOOK_AFTER;
    // Nobody gets what is left out.
    let _ = chosen.each(|element| {
        reply(element);
        left -= 1;
        if left > 0 {
            return ControlFlow::Continue(());
        }
        left = LOOK_AFTER;
        if ctx.is_closing() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
}
