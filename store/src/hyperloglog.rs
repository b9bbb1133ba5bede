//! The HyperLogLog, in the form in which Redis keeps it in a string: 16,384 registers, each the
//! longest run of zeros seen among the hashes that fall to it, and the number of elements estimated
//! from them.
//!
//! ```text
//! 0   4  "HYLL"
//! 4   1  0 dense, 1 sparse
//! 5   3  zero
//! 8   8  the number of elements, little-endian; the top bit says that it is out of date
//! 16     the registers
//! ```
//!
//! *Dense*: 6 bits a register, from the low bits of the first byte on. *Sparse*: runs of equal
//! registers, one after the other, which together cover all:
//!
//! ```text
//! 00nnnnnn           n + 1 registers are 0
//! 01nnnnnn nnnnnnnn  n + 1 registers are 0
//! 1vvvvvnn           n + 1 registers are v + 1
//! ```
//!
//! A sparse one becomes dense when a register exceeds 32, or when it would outgrow a length that
//! the server's configuration sets. Which runs there are follows from the order in which the
//! registers were set, and is exactly as Redis makes them. Clients read, write and move these bytes
//! as a string, so no library's HyperLogLog can take this one's place.

mod estimate;
mod hash;
mod sparse;

pub(crate) use estimate::estimate;
pub use hash::{Sample, sample};
use std::ops::Range;

/// How many registers there are.
pub const REGISTERS: usize = 1 << 14;
/// Where the registers begin.
pub const HEADER_LEN: usize = 16;
/// The length of a dense one.
pub const DENSE_LEN: usize = HEADER_LEN + REGISTERS * 6 / 8;

const MAGIC: &[u8] = b"HYLL";
const ENCODING_AT: usize = 4;
const COUNT_AT: usize = 8;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;

/// Where the byte lies whose top bit says that the count is out of date, and that bit.
const STALE: (usize, u8) = (COUNT_AT + 7, 0x80);

/// All registers, a byte each: the greatest of several HyperLogLogs.
pub type Registers = [u8; REGISTERS];

/// A string that is not what its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupted;

/// A HyperLogLog of which no element is known.
pub fn empty() -> Vec<u8> {
    let mut text = vec![0; HEADER_LEN];
    text[..MAGIC.len()].copy_from_slice(MAGIC);
    text[ENCODING_AT] = SPARSE;
    text.extend(sparse::NOTHING);
    text
}

/// Whether the string looks like a HyperLogLog. A sparse one is not looked through.
pub fn is_one(text: &[u8]) -> bool {
    text.len() >= HEADER_LEN
        && text.starts_with(MAGIC)
        && match text[ENCODING_AT] {
            DENSE => text.len() == DENSE_LEN,
            encoding => encoding == SPARSE,
        }
}

/// Whether it is a dense one.
pub fn is_dense(text: &[u8]) -> bool {
    text[ENCODING_AT] == DENSE
}

/// The number of elements, if it is up to date.
pub fn cached_count(text: &[u8]) -> Option<u64> {
    let bytes = text[COUNT_AT..HEADER_LEN].try_into().ok()?;
    let (byte, stale) = STALE;
    (text[byte] & stale == 0).then(|| u64::from_le_bytes(bytes))
}

/// Where the number of elements is kept, and the bytes to put there.
pub(crate) fn count_to_cache(count: u64) -> (usize, [u8; 8]) {
    (COUNT_AT, count.to_le_bytes())
}

/// Marks the number of elements as out of date.
pub fn invalidate(text: &mut [u8]) {
    mark_stale(text);
}

/// The same; where the mark is, and whether it is new.
pub(crate) fn mark_stale(text: &mut [u8]) -> (usize, bool) {
    let (byte, stale) = STALE;
    let is_new = text[byte] & stale == 0;
    text[byte] |= stale;
    (byte, is_new)
}

/// Raises a register to a sample's run, if that is longer; whether it was, and the count is out of
/// date then. A sparse one may grow up to `sparse_max` bytes, then it becomes dense. O(1) in a
/// dense one, else O(length).
///
/// # Errors
/// [`Corrupted`] if no run of a sparse one covers the register. The text is as it was then.
pub fn raise(text: &mut Vec<u8>, sample: Sample, sparse_max: u64) -> Result<bool, Corrupted> {
    let raised = if is_dense(text) {
        raise_dense(text, sample)
    } else {
        match sparse::raise(text, sample, sparse_max)? {
            sparse::Raised::No => false,
            sparse::Raised::Yes => true,
            sparse::Raised::TooLong => {
                make_dense(text)?;
                raise_dense(text, sample)
            }
        }
    };
    if raised {
        invalidate(text);
    }
    Ok(raised)
}

/// Gives a HyperLogLog the dense form. O(registers).
///
/// # Errors
/// [`Corrupted`] if the runs of a sparse one do not cover all registers, and no more. The text is
/// as it was then.
pub fn make_dense(text: &mut Vec<u8>) -> Result<(), Corrupted> {
    if is_dense(text) {
        return Ok(());
    }
    let mut dense = vec![0; DENSE_LEN];
    dense[..HEADER_LEN].copy_from_slice(&text[..HEADER_LEN]);
    dense[ENCODING_AT] = DENSE;
    sparse::each(&text[HEADER_LEN..], |index, run| {
        raise_dense(&mut dense, Sample { index, run });
    })?;
    *text = dense;
    Ok(())
}

/// Raises `registers` to those of a HyperLogLog. O(registers).
///
/// # Errors
/// As of [`make_dense`]; some registers may have risen.
pub fn merge(registers: &mut Registers, text: &[u8]) -> Result<(), Corrupted> {
    let body = &text[HEADER_LEN..];
    let mut raise = |index: usize, run: u8| registers[index] = registers[index].max(run);
    if is_dense(text) {
        (0..REGISTERS).for_each(|index| raise(index, dense_register(body, index)));
        return Ok(());
    }
    sparse::each(body, raise)
}

/// The estimated number of elements. O(registers).
///
/// # Errors
/// As of [`make_dense`].
pub fn count(text: &[u8]) -> Result<u64, Corrupted> {
    let body = &text[HEADER_LEN..];
    let mut histogram = [0; 64];
    if is_dense(text) {
        for index in 0..REGISTERS {
            histogram[usize::from(dense_register(body, index))] += 1;
        }
    } else {
        sparse::histogram(body, &mut histogram)?;
    }
    Ok(estimate(&histogram))
}

/// The estimated number of elements of merged registers. O(registers).
pub fn count_merged(registers: &Registers) -> u64 {
    let mut histogram = [0; 64];
    for run in registers {
        histogram[usize::from(*run & 63)] += 1;
    }
    estimate(&histogram)
}

/// The bytes in which a register of a dense HyperLogLog lies: two, and one of the last register.
pub(crate) fn dense_bytes(index: usize) -> Range<usize> {
    let (byte, _) = dense_place(index);
    let at = HEADER_LEN + byte;
    at..DENSE_LEN.min(at + 2)
}

/// The first of the two bytes in which a dense register lies, and the bit at which it begins there.
fn dense_place(index: usize) -> (usize, u32) {
    (index * 6 / 8, (index * 6 % 8) as u32)
}

/// Whether a sample would raise its register of a dense HyperLogLog.
pub fn rises(text: &[u8], sample: Sample) -> bool {
    sample.run > dense_register(&text[HEADER_LEN..], sample.index)
}

/// A register of the dense form. `body` is what follows the header.
fn dense_register(body: &[u8], index: usize) -> u8 {
    let (byte, shift) = dense_place(index);
    let next = body.get(byte + 1).copied().unwrap_or(0);
    (u16::from_le_bytes([body[byte], next]) >> shift) as u8 & 63
}

/// Raises a register of a dense HyperLogLog; whether it was lower. The count is left as it is.
pub(crate) fn raise_dense(text: &mut [u8], sample: Sample) -> bool {
    if !rises(text, sample) {
        return false;
    }
    let (Sample { index, run }, body) = (sample, &mut text[HEADER_LEN..]);
    let (byte, shift) = dense_place(index);
    let next = body.get(byte + 1).copied().unwrap_or(0);
    let pair = with_register([body[byte], next], shift, run);
    body[byte] = pair[0];
    if let Some(next) = body.get_mut(byte + 1) {
        *next = pair[1];
    }
    true
}

/// Two bytes of the dense form with the register that begins at bit `shift` set to `run`.
fn with_register(pair: [u8; 2], shift: u32, run: u8) -> [u8; 2] {
    let kept = u16::from_le_bytes(pair) & !(63 << shift);
    (kept | u16::from(run) << shift).to_le_bytes()
}

#[cfg(test)]
mod tests;
