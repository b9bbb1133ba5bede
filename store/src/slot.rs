//! Hash slots of a cluster: which one a key is in.

use crc::{CRC_16_XMODEM, Crc};

/// How many there are.
pub const SLOTS: u16 = 16384;

/// Consecutive hash slots, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRange {
    /// The first slot.
    pub first: u16,
    /// The last slot; not before the first.
    pub last: u16,
}

/// The slot of a key: the hash of what its first pair of braces holds, or of the whole name if
/// there is none, or nothing in it. O(n).
pub fn of(key: &[u8]) -> u16 {
    crc16(tag(key).unwrap_or(key)) % SLOTS
}

fn tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|&byte| byte == b'{')?;
    let rest = &key[open + 1..];
    let close = rest.iter().position(|&byte| byte == b'}')?;
    (close > 0).then(|| &rest[..close])
}

/// The slot of all keys that a pattern stands for, if it says so before its first character that
/// stands for others. O(n).
pub fn of_pattern(pattern: &[u8]) -> Option<u16> {
    let open_ended = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
    let literal = pattern.iter().take_while(|byte| !open_ended(byte)).count();
    match tag(&pattern[..literal]) {
        Some(tag) => Some(crc16(tag) % SLOTS),
        None => (literal == pattern.len()).then(|| of(pattern)),
    }
}

fn crc16(bytes: &[u8]) -> u16 {
    static CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);
    CRC.checksum(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(of(b"foo"), 12182);
        assert_eq!(of(b"{foo}.bar"), of(b"foo"));
        assert_eq!(of(b"a{foo}b{c}"), of(b"foo"));
        assert_eq!(of(b""), 0);
        for whole in [b"{}foo".as_slice(), b"{foo", b"foo}"] {
            assert_eq!(of(whole), crc16(whole) % SLOTS, "{whole:?}");
        }
    }

    #[test]
    fn a_pattern_with_a_tag_stands_for_one_slot() {
        assert_eq!(of_pattern(b"{foo}*"), Some(of(b"foo")));
        assert_eq!(of_pattern(b"x{foo}y*->z"), Some(of(b"foo")));
        assert_eq!(of_pattern(b"foo"), Some(of(b"foo")));
        for open in [b"*{foo}".as_slice(), b"{f*}", b"{}*", b"w_*", b"\\{foo}"] {
            assert_eq!(of_pattern(open), None, "{open:?}");
        }
    }
}
