//! Byte strings as strings of bits. Bit 0 is the highest bit of the first byte, as everywhere in
//! Redis.

use std::ops::Range;

/// The byte in which a bit lies, and the mask that selects it there.
pub fn place(bit: u64) -> (u64, u8) {
    (bit / 8, 0x80 >> (bit % 8))
}

/// The bits of a byte from `first` on, and those up to and including `last`.
fn masks(first: u64, last: u64) -> (u8, u8) {
    (0xff >> (first % 8), 0xff << (7 - last % 8))
}

/// The first and the last byte of a range of bits that is not empty, and what counts of them.
fn edges(range: &Range<u64>) -> ((usize, u8), (usize, u8)) {
    let last = range.end - 1;
    let (head, tail) = masks(range.start, last);
    (
        ((range.start / 8) as usize, head),
        ((last / 8) as usize, tail),
    )
}

/// How many of the bits in `range`, which lies within the bytes, are set. O(n).
pub fn count(bytes: &[u8], range: Range<u64>) -> u64 {
    if range.is_empty() {
        return 0;
    }
    let ((first, head), (last, tail)) = edges(&range);
    if first == last {
        return (bytes[first] & head & tail).count_ones().into();
    }
    let ends = (bytes[first] & head).count_ones() + (bytes[last] & tail).count_ones();
    let (words, rest) = bytes[first + 1..last].as_chunks::<8>();
    let words: u64 = words
        .iter()
        .map(|word| u64::from(u64::from_le_bytes(*word).count_ones()))
        .sum();
    let rest: u32 = rest.iter().map(|byte| byte.count_ones()).sum();
    words + u64::from(rest + ends)
}

/// The first of the bits in `range`, which lies within the bytes, that is `wanted`. O(n).
pub fn find(bytes: &[u8], wanted: bool, range: Range<u64>) -> Option<u64> {
    if range.is_empty() {
        return None;
    }
    let turn = if wanted { 0 } else { 0xff };
    let look = |at: usize, mask: u8| match (bytes[at] ^ turn) & mask {
        0 => None,
        found => Some(at as u64 * 8 + u64::from(found.leading_zeros())),
    };
    let ((first, head), (last, tail)) = edges(&range);
    if first == last {
        return look(first, head & tail);
    }
    let middle = &bytes[first + 1..last];
    let (words, _) = middle.as_chunks::<8>();
    let dull = [turn; 8];
    let skipped = words.iter().take_while(|word| **word == dull).count() * 8;
    look(first, head)
        .or_else(|| (first + 1 + skipped..last).find_map(|at| look(at, 0xff)))
        .or_else(|| look(last, tail))
}

/// What BITOP computes of several strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Bits set in all strings.
    And,
    /// Bits set in any string.
    Or,
    /// Bits set in an odd number of strings.
    Xor,
    /// Bits set in the first string and in no other.
    Diff,
    /// Bits set in some string, but not in the first.
    Diff1,
    /// Bits set in the first string and in some other.
    AndOr,
    /// Bits set in exactly one string.
    One,
}

/// Strings being combined, one after the other; a shorter one counts as followed by zeros.
pub struct Combination {
    operation: Operation,
    /// The result so far; where the first string is something else than the others, that of the
    /// others.
    sum: Vec<u8>,
    /// The first string where it is something else, and for `One` the bits that were set more than
    /// once.
    aside: Vec<u8>,
    strings: usize,
}

impl Combination {
    /// A combination of no strings yet.
    pub fn new(operation: Operation) -> Combination {
        Combination {
            operation,
            sum: Vec::new(),
            aside: Vec::new(),
            strings: 0,
        }
    }

    /// Adds a string. O(n).
    pub fn add(&mut self, text: &[u8]) {
        use Operation::{And, AndOr, Diff, Diff1, One, Or, Xor};
        self.strings += 1;
        match (self.strings, self.operation) {
            (1, Diff | Diff1 | AndOr) => self.aside.extend_from_slice(text),
            (1, _) => self.sum.extend_from_slice(text),
            (_, And) => {
                each(&mut self.sum, text, |a, b| a & b);
                let common = text.len().min(self.sum.len());
                self.sum[common..].fill(0);
            }
            (_, Or | Diff | Diff1 | AndOr) => each(&mut self.sum, text, |a, b| a | b),
            (_, Xor) => each(&mut self.sum, text, |a, b| a ^ b),
            (_, One) => {
                let again: Vec<u8> = self.sum.iter().zip(text).map(|(a, b)| a & b).collect();
                each(&mut self.aside, &again, |a, b| a | b);
                each(&mut self.sum, text, |a, b| a | b);
            }
        }
    }

    /// The result, as long as the longest string. O(n).
    pub fn result(self) -> Vec<u8> {
        let Combination {
            operation,
            mut sum,
            aside,
            ..
        } = self;
        if sum.len() < aside.len() {
            sum.resize(aside.len(), 0);
        }
        let first = aside.into_iter().chain(std::iter::repeat(0));
        for (byte, first) in sum.iter_mut().zip(first) {
            match operation {
                Operation::Diff => *byte = first & !*byte,
                Operation::Diff1 | Operation::One => *byte &= !first,
                Operation::AndOr => *byte &= first,
                Operation::And | Operation::Or | Operation::Xor => break,
            }
        }
        sum
    }
}

/// Combines bytes with those of another string, byte by byte.
fn each(sum: &mut Vec<u8>, other: &[u8], f: impl Fn(u8, u8) -> u8) {
    if sum.len() < other.len() {
        sum.resize(other.len(), 0);
    }
    for (a, b) in sum.iter_mut().zip(other) {
        *a = f(*a, *b);
    }
}

/// Turns every bit over. O(n).
pub fn invert(bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bit(bytes: &[u8], at: u64) -> bool {
        let (byte, mask) = place(at);
        bytes[byte as usize] & mask != 0
    }

    #[test]
    fn counting_and_finding_agree_with_looking_at_each_bit() {
        let mut rng = fastrand::Rng::with_seed(1);
        for round in 0..2000 {
            // Long runs of equal bits, so that whole words are skipped.
            let mut bytes = vec![if round % 2 == 0 { 0 } else { 0xff }; rng.usize(1..60)];
            for _ in 0..rng.usize(..4) {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            }
            let len = bytes.len() as u64 * 8;
            let range = rng.u64(..len)..rng.u64(..=len);
            let set = |at: &u64| bit(&bytes, *at);
            let expected = range.clone().filter(set).count() as u64;
            assert_eq!(
                count(&bytes, range.clone()),
                expected,
                "{bytes:?} {range:?}"
            );
            for wanted in [false, true] {
                let expected = range.clone().find(|at| bit(&bytes, *at) == wanted);
                let found = find(&bytes, wanted, range.clone());
                assert_eq!(found, expected, "{wanted} in {bytes:?} {range:?}");
            }
        }
    }

    fn combined(operation: Operation, strings: &[&[u8]]) -> Vec<u8> {
        let mut combination = Combination::new(operation);
        strings.iter().for_each(|text| combination.add(text));
        combination.result()
    }

    #[test]
    fn shorter_strings_are_followed_by_zeros() {
        assert_eq!(combined(Operation::And, &[&[0xf0, 3], &[0x3c]]), [0x30, 0]);
        assert_eq!(combined(Operation::And, &[&[0xf0], &[0x3c, 3]]), [0x30, 0]);
        assert_eq!(combined(Operation::Or, &[&[0xf0], &[0x3c, 3]]), [0xfc, 3]);
        assert_eq!(combined(Operation::Xor, &[&[0xf0, 3], &[0x3c]]), [0xcc, 3]);
        let mut bytes = [0xf0, 3];
        invert(&mut bytes);
        assert_eq!(bytes, [0x0f, 0xfc]);
    }

    #[test]
    fn operations_agree_with_looking_at_each_bit() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..500 {
            let strings: Vec<Vec<u8>> = (0..rng.usize(1..5))
                .map(|_| (0..rng.usize(..6)).map(|_| rng.u8(..)).collect())
                .collect();
            let longest = strings.iter().map(Vec::len).max().unwrap_or(0);
            let texts: Vec<&[u8]> = strings.iter().map(Vec::as_slice).collect();
            for operation in [
                Operation::And,
                Operation::Or,
                Operation::Xor,
                Operation::Diff,
                Operation::Diff1,
                Operation::AndOr,
                Operation::One,
            ] {
                let result = combined(operation, &texts);
                assert_eq!(result.len(), longest);
                for at in 0..longest as u64 * 8 {
                    let set = |text: &[u8]| text.len() as u64 * 8 > at && bit(text, at);
                    let first = set(texts[0]);
                    let others = texts[1..].iter().filter(|text| set(text)).count();
                    let all = others + usize::from(first);
                    let expected = match operation {
                        Operation::And => all == texts.len(),
                        Operation::Or => all > 0,
                        Operation::Xor => all % 2 == 1,
                        Operation::Diff => first && others == 0,
                        Operation::Diff1 => !first && others > 0,
                        Operation::AndOr => first && others > 0,
                        Operation::One => all == 1,
                    };
                    assert_eq!(bit(&result, at), expected, "{operation:?} {strings:?} {at}");
                }
            }
        }
    }
}
