//! Lengths, other numbers, and strings.

use std::io::{self, Write};

/// Appends a number as a file has it.
pub fn push_number(to: &mut Vec<u8>, number: u64) {
    match number {
        0..64 => to.push(number as u8),
        64..16_384 => to.extend((number as u16 | 0x4000).to_be_bytes()),
        _ => match u32::try_from(number) {
            Ok(number) => {
                to.push(0x80);
                to.extend(number.to_be_bytes());
            }
            Err(_) => {
                to.push(0x81);
                to.extend(number.to_be_bytes());
            }
        },
    }
}

/// Reads a number as [`push_number`] writes it, from the beginning of `bytes`; the number and what
/// is behind it.
pub fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    Some(match first {
        0..0x40 => (u64::from(first), rest),
        0x40..0x80 => {
            let (&second, rest) = rest.split_first()?;
            (u64::from(first & 0x3f) << 8 | u64::from(second), rest)
        }
        0x80 => {
            let (number, rest) = rest.split_first_chunk()?;
            (u64::from(u32::from_be_bytes(*number)), rest)
        }
        0x81 => {
            let (number, rest) = rest.split_first_chunk()?;
            (u64::from_be_bytes(*number), rest)
        }
        _ => return None,
    })
}

/// Writes a number.
pub(super) fn write_number(out: &mut dyn Write, number: u64) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(9);
    push_number(&mut bytes, number);
    out.write_all(&bytes)
}

/// Writes a string as its bytes.
pub(super) fn write_string(out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    write_number(out, bytes.len() as u64)?;
    out.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for n in [
            0,
            63,
            64,
            16_383,
            16_384,
            u32::MAX.into(),
            1 << 32,
            u64::MAX,
        ] {
            let mut bytes = Vec::new();
            push_number(&mut bytes, n);
            bytes.push(1);
            assert_eq!(number(&bytes), Some((n, [1].as_slice())));
        }
        assert_eq!(number(&[0x80, 1]), None);
    }
}
