//! Whether Redis would keep a list in one listpack, as it does with short lists from 7.2 on.
//!
//! A listpack is a header of 6 bytes, the entries, and a last byte; an entry is its encoding, its
//! data, and its length once more, for the way back (listpack.c of Redis). Here a list looks the
//! same however large it is, so this is only a name, found by adding up what the entries would
//! take.

use super::{Side, each, len};
use crate::number::parse_i64;
use crate::structures::Root;
use crate::structures::encoding::ListpackMax;
use pobj::{Pool, Result};

/// Bytes of a listpack without entries.
const EMPTY: u64 = 7;
/// Most bytes of a listpack whose elements are counted: quicklist.c's `SIZE_SAFETY_LIMIT`.
const COUNTED_MAX: u64 = 8192;

/// Whether the list would be one listpack, had its last element been the last one to be added. It
/// would stay one when it shrinks, and become one again only when it has shrunk to half of the
/// limit; this looks at what there is. O(limit).
pub(super) fn would_be_one(pool: &Pool, root: Root, max: ListpackMax) -> Result<bool> {
    let count = len(pool, root)?;
    let most_bytes = match max {
        ListpackMax::Elements(most) if count > most => return Ok(false),
        ListpackMax::Elements(_) => COUNTED_MAX,
        ListpackMax::Bytes(most) => most,
    };
    // Redis looks at the listpack before an element is added, and at the element's own length.
    let (mut seen, mut before, mut judged) = (0, EMPTY, EMPTY);
    each(pool, root, Side::Left, 0, |value| {
        let element = value.bytes(pool)?;
        seen += 1;
        judged = before + element.len() as u64;
        before += entry_len(element);
        Ok(before <= most_bytes)
    })?;
    Ok(seen == count && judged <= most_bytes)
}

/// Bytes of an element's entry.
fn entry_len(element: &[u8]) -> u64 {
    let encoded = match parse_i64(element) {
        Some(0..=127) => 1,
        Some(-4096..=4095) => 2,
        Some(-0x8000..=0x7fff) => 3,
        Some(-0x80_0000..=0x7f_ffff) => 4,
        Some(-0x8000_0000..=0x7fff_ffff) => 5,
        Some(_) => 9,
        None => {
            let len = element.len() as u64;
            let head = match len {
                0..64 => 1,
                64..4096 => 2,
                _ => 5,
            };
            head + len
        }
    };
    let back = match encoded {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    };
    encoded + back
}

#[cfg(test)]
mod tests {
    use super::entry_len;

    #[test]
    fn entries_are_as_long_as_in_a_listpack() {
        for (element, len) in [
            ("0", 2),
            ("127", 2),
            ("128", 3),
            ("-1", 3),
            ("4096", 4),
            ("-32769", 5),
            ("8388608", 6),
            ("2147483648", 10),
            ("007", 5),
            ("", 2),
        ] {
            assert_eq!(entry_len(element.as_bytes()), len, "{element}");
        }
        for (len, bytes) in [(63, 65), (64, 67), (125, 128), (126, 130), (4096, 4103)] {
            assert_eq!(entry_len(&vec![b'x'; len]), bytes, "{len} bytes");
        }
    }
}
