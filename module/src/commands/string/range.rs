//! Parts of a string: APPEND, SETRANGE, GETRANGE and its older name SUBSTR.

use super::{check_length, integer, read};
use crate::commands::announce::announce_and_replicate;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Args, Class, Ctx};
use store::expiry::Expiry;
use store::structures::Root;
use store::structures::string::{self, Value};
use store::value::ValueType;

/// `PM.APPEND key value`
pub(super) fn append(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let mut key = PmKey::open_write(ctx, args[1], ValueType::String)?;
    let suffix = args[2].bytes();
    let len = read(&key, |value| value.text_len())?;
    if let Some(len) = len {
        check_length(ctx, len, suffix.len() as u64)?;
    }
    let value = Value::of(suffix);
    key.upsert(value.inline_len(), Expiry::Keep, |tx, root, inline| {
        if *root == Root::EMPTY {
            string::set(tx, root, inline, value)
        } else {
            string::append(tx, root, inline, suffix)
        }
    })?;
    let len = len.unwrap_or(0) + suffix.len() as u64;
    announce_and_replicate(
        ctx,
        &key,
        (Class::STRING, c"append"),
        (c"PM.APPEND", args.from(1)),
    );
    ctx.reply_integer(len as i64);
    Ok(())
}

/// `PM.SETRANGE key offset value`
pub(super) fn setrange(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let offset = u64::try_from(integer(args[2])?)
        .map_err(|_| CmdError::text_only("ERR offset is out of range"))?;
    let mut key = PmKey::open_write(ctx, args[1], ValueType::String)?;
    let bytes = args[3].bytes();
    if bytes.is_empty() {
        let len = read(&key, |value| value.text_len())?;
        ctx.reply_integer(len.unwrap_or(0) as i64);
        return Ok(());
    }
    check_length(ctx, offset, bytes.len() as u64)?;
    let len = write_range(&mut key, offset, bytes)?;
    announce_and_replicate(
        ctx,
        &key,
        (Class::STRING, c"setrange"),
        (c"PM.SETRANGE", args.from(1)),
    );
    ctx.reply_integer(len as i64);
    Ok(())
}

/// Puts bytes, at least one, at an offset of the key's string, after zeros if it ends before, and
/// gives the new length. There need not be a string.
pub(crate) fn write_range(key: &mut PmKey<'_>, offset: u64, bytes: &[u8]) -> Result<u64, CmdError> {
    let fresh = string::inline_len(offset + bytes.len() as u64);
    key.upsert(fresh, Expiry::Keep, |tx, root, inline| {
        string::set_range(tx, root, inline, offset, bytes)
    })
}

/// `PM.GETRANGE key start end`
pub(super) fn getrange(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let (start, end) = (integer(args[2])?, integer(args[3])?);
    let key = PmKey::open_read(ctx, args[1], ValueType::String)?;
    let replied = read(&key, |value| {
        let mut digits = itoa::Buffer::new();
        let text = value.text(&mut digits);
        ctx.reply_bulk(&text[range(start, end, text.len())]);
    })?;
    if replied.is_none() {
        ctx.reply_bulk(b"");
    }
    Ok(())
}

/// The bytes from `start` to `end`, both included, where negative ones count from the end.
fn range(start: i64, end: i64, len: usize) -> std::ops::Range<usize> {
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let len = len as i64;
    let from_start = |index: i64| {
        if index < 0 {
            (len + index).max(0)
        } else {
            index
        }
    };
    let (start, end) = (from_start(start), from_start(end).min(len - 1));
    if start > end {
        0..0
    } else {
        start as usize..end as usize + 1
    }
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_include_their_end_and_count_from_either_side() {
        for (start, end, expected) in [
            (0, 0, "a"),
            (0, -1, "abcde"),
            (1, 2, "bc"),
            (-2, -1, "de"),
            (-2, 1, ""),
            (3, 99, "de"),
            (5, 9, ""),
            (-99, 0, "a"),
            (-99, -98, "a"),
            (-98, -99, ""),
            (0, -99, "a"),
            (i64::MIN, i64::MAX, "abcde"),
            (i64::MAX, i64::MIN, ""),
        ] {
            assert_eq!(&"abcde"[range(start, end, 5)], expected, "{start} {end}");
        }
        assert_eq!(range(0, -1, 0), 0..0);
        assert_eq!(range(-1, 5, 0), 0..0);
    }
}
