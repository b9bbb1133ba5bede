//! Strings as bitmaps: the commands of single bits, of ranges of bits, and of integers among them.

mod bit;
mod field;
mod operation;
mod range;

use super::row::{ONE, READ, READ_FAST, Row, WRITE};
use super::string;
use crate::error::CmdError;
use crate::keyspace::plain_stream::Stream;
use crate::limits;
use crate::redis::{Arg, Ctx};
use store::number::parse_i64;
use store::value::ValueType;

/// One row a command: name, handler, arity, flags, keys.
pub(super) const ROWS: &[Row] = &[
    Row::command("setbit", bit::setbit, 4, WRITE, ONE),
    Row::command("getbit", bit::getbit, 3, READ_FAST, ONE),
    Row::command("bitcount", range::bitcount, -2, READ, ONE).options("BYTE BIT"),
    Row::command("bitpos", range::bitpos, -3, READ, ONE).options("BYTE BIT"),
    Row::command("bitop", operation::bitop, -4, WRITE, (2, -1, 1))
        .options("AND OR XOR NOT DIFF DIFF1 ANDOR ONE")
        .stream(Stream::ValueIf(1, operation::is_newer)),
    Row::command("bitfield", field::bitfield, -2, WRITE, ONE)
        .options("GET OVERFLOW WRAP SAT FAIL SET INCRBY")
        .telling_keys(),
    Row::command("bitfield_ro", field::bitfield_ro, -2, READ_FAST, ONE).options("GET"),
];

const TY: ValueType = ValueType::String;

/// The number of a bit, counted in units of `unit` bits after a `#`, if that is allowed.
///
/// # Errors
/// If it is no number, or beyond the longest string that the server allows; a command that comes
/// from a server which has allowed it may go there.
fn bit_number(ctx: &Ctx, arg: Arg<'_>, unit: Option<u32>) -> Result<u64, CmdError> {
    const INVALID: CmdError =
        CmdError::text_only("ERR bit offset is not an integer or out of range");
    let (digits, unit) = match (arg.bytes(), unit) {
        ([b'#', digits @ ..], Some(unit)) => (digits, i64::from(unit)),
        (digits, _) => (digits, 1),
    };
    let number = parse_i64(digits).ok_or(INVALID)?.wrapping_mul(unit);
    let number = u64::try_from(number).map_err(|_| INVALID)?;
    if number / 8 < limits::string_max() || ctx.must_obey() {
        Ok(number)
    } else {
        Err(INVALID)
    }
}
