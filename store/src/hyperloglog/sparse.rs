//! The sparse form: runs of equal registers.

use super::{Corrupted, HEADER_LEN, REGISTERS, Sample};

/// One run over all registers, which are zero.
pub(super) const NOTHING: [u8; 2] = zeros(REGISTERS);

/// The longest run of zeros that takes one byte.
const ZEROS_SHORT_MAX: usize = 64;
/// The highest value of a register, and the longest run of it.
const VALUE_MAX: u8 = 32;
const VALUES_MAX: usize = 4;
/// How many runs from the one before the change on are looked at for equal neighbours.
const JOINED_MAX: usize = 5;

/// So many registers of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// At least 1.
    count: usize,
    /// 0 to 32.
    value: u8,
    /// Bytes.
    len: usize,
}

impl Run {
    /// Reads the run at `at`, below the length. What is missing at the end counts as zero.
    fn read(body: &[u8], at: usize) -> Run {
        let byte = body[at];
        let low = usize::from(byte & 0x3f);
        match byte >> 6 {
            0 => Run {
                count: low + 1,
                value: 0,
                len: 1,
            },
            1 => Run {
                count: (low << 8 | usize::from(body.get(at + 1).copied().unwrap_or(0))) + 1,
                value: 0,
                len: 2,
            },
            _ => Run {
                count: usize::from(byte & 3) + 1,
                value: (byte >> 2 & 0x1f) + 1,
                len: 1,
            },
        }
    }
}

const fn zeros(count: usize) -> [u8; 2] {
    let n = count - 1;
    [(n >> 8) as u8 | 0x40, n as u8]
}

fn values(value: u8, count: usize) -> u8 {
    0x80 | (value - 1) << 2 | (count - 1) as u8
}

/// A few runs, as bytes.
#[derive(Default)]
struct Runs {
    bytes: [u8; 5],
    len: usize,
}

impl Runs {
    fn push(&mut self, count: usize, value: u8) {
        let mut add = |byte: u8| {
            self.bytes[self.len] = byte;
            self.len += 1;
        };
        match (count, value) {
            (0, _) => {}
            (_, 1..) => add(values(value, count)),
            (..=ZEROS_SHORT_MAX, 0) => add((count - 1) as u8),
            _ => zeros(count).into_iter().for_each(add),
        }
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Visits the registers that are not zero.
///
/// # Errors
/// `Corrupted` if the runs do not cover all registers, and no more.
pub(super) fn each(body: &[u8], mut visit: impl FnMut(usize, u8)) -> Result<(), Corrupted> {
    let (mut at, mut index) = (0, 0);
    while at < body.len() {
        let run = Run::read(body, at);
        if run.value > 0 {
            if index + run.count > REGISTERS {
                return Err(Corrupted);
            }
            (index..index + run.count).for_each(|index| visit(index, run.value));
        }
        index += run.count;
        at += run.len;
    }
    if index == REGISTERS {
        Ok(())
    } else {
        Err(Corrupted)
    }
}

/// Adds up how many registers have each value.
///
/// # Errors
/// As for [`each`].
pub(super) fn histogram(body: &[u8], histogram: &mut [u64; 64]) -> Result<(), Corrupted> {
    let (mut at, mut index) = (0, 0);
    while at < body.len() {
        let run = Run::read(body, at);
        histogram[usize::from(run.value)] += run.count as u64;
        index += run.count;
        at += run.len;
    }
    if index == REGISTERS {
        Ok(())
    } else {
        Err(Corrupted)
    }
}

/// What [`raise`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Raised {
    /// Nothing: the register is as high already.
    No,
    /// The register is set.
    Yes,
    /// Nothing: the value or the length is beyond what this form allows.
    TooLong,
}

/// Raises a register. `text` may grow up to `text_max` bytes. O(length).
///
/// # Errors
/// `Corrupted` if no run covers the register.
pub(super) fn raise(
    text: &mut Vec<u8>,
    sample: Sample,
    text_max: u64,
) -> Result<Raised, Corrupted> {
    let Sample { index, run: value } = sample;
    if value > VALUE_MAX {
        return Ok(Raised::TooLong);
    }
    let body = &text[HEADER_LEN..];
    let (mut at, mut first, mut previous) = (0, 0, None);
    let run = loop {
        if at >= body.len() {
            return Err(Corrupted);
        }
        let run = Run::read(body, at);
        if index < first + run.count {
            break run;
        }
        previous = Some(at);
        at += run.len;
        first += run.count;
    };
    if run.value >= value {
        return Ok(Raised::No);
    }

    // The run is split around the register.
    let mut split = Runs::default();
    split.push(index - first, run.value);
    split.push(1, value);
    split.push(first + run.count - 1 - index, run.value);
    let grown = text.len() + split.len - run.len;
    if split.len > run.len && grown as u64 > text_max {
        return Ok(Raised::TooLong);
    }
    let from = HEADER_LEN + at;
    let to = (from + run.len).min(text.len());
    text.splice(from..to, split.as_slice().iter().copied());
    text.truncate(grown);
    join(text, HEADER_LEN + previous.unwrap_or(0));
    Ok(Raised::Yes)
}

/// Joins runs of equal values around a change, from `at` on.
fn join(text: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOINED_MAX {
        if at >= text.len() {
            return;
        }
        let run = Run::read(text, at);
        if run.value > 0 && at + 1 < text.len() {
            let next = Run::read(text, at + 1);
            let count = run.count + next.count;
            if next.value == run.value && count <= VALUES_MAX {
                text.remove(at);
                text[at] = values(run.value, count);
                continue;
            }
        }
        at += run.len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &[u8]) -> Vec<u8> {
        [&[0; HEADER_LEN], body].concat()
    }

    fn raised(body: &[u8], index: usize, value: u8) -> Vec<u8> {
        let mut text = text(body);
        let raised = raise(&mut text, Sample { index, run: value }, 3000);
        assert_eq!(raised, Ok(Raised::Yes));
        text.split_off(HEADER_LEN)
    }

    #[test]
    fn runs_are_split_and_joined() {
        let [x, y] = zeros(REGISTERS - 1);
        assert_eq!(raised(&NOTHING, 0, 5), [values(5, 1), x, y], "at the start");
        let [a, b] = zeros(100);
        let [x, y] = zeros(REGISTERS - 101);
        assert_eq!(raised(&NOTHING, 100, 32), [a, b, values(32, 1), x, y]);
        let two = [values(5, 1), 63, 7];
        assert_eq!(
            raised(&two, 1, 5),
            [values(5, 2), 62, 7],
            "joined with its left"
        );
        assert_eq!(
            raised(&[values(5, 4), 7], 1, 6),
            [values(5, 1), values(6, 1), values(5, 2), 7]
        );
        assert_eq!(raised(&[values(5, 2), 0, 7], 2, 5), [values(5, 3), 7]);
        assert_eq!(
            raised(&[values(5, 4), 0], 4, 5),
            [values(5, 4), values(5, 1)]
        );
    }

    #[test]
    fn what_cannot_be_is_not_touched() {
        let mut full = text(&NOTHING);
        let high = Sample { index: 3, run: 33 };
        assert_eq!(raise(&mut full, high, 3000), Ok(Raised::TooLong));
        let low = Sample { index: 3, run: 1 };
        assert_eq!(raise(&mut full, low, 19), Ok(Raised::TooLong));
        assert_eq!(full, text(&NOTHING));
        assert_eq!(
            raise(&mut text(&[3]), Sample { index: 4, run: 1 }, 3000),
            Err(Corrupted)
        );
        assert_eq!(each(&[3], |_, _| ()), Err(Corrupted));
        assert_eq!(histogram(&[3], &mut [0; 64]), Err(Corrupted));
    }
}
