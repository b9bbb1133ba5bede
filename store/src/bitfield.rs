//! Integers of up to 64 bits anywhere in a string of bits: the fields of BITFIELD.

/// The bytes that a field can touch: 64 bits that begin anywhere in the first byte.
pub type Window = [u8; 9];

const WINDOW_BITS: u32 = 72;

/// A field's type, such as `u8` or `i16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    signed: bool,
    bits: u32,
}

/// What happens to a number that does not fit its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// WRAP: only its low bits are kept.
    Wrap,
    /// SAT: the nearest number that fits takes its place.
    Saturate,
    /// FAIL: nothing is changed.
    Fail,
}

impl Field {
    /// Reads a type: `i1` to `i64`, `u1` to `u63`. As a C string, which a zero byte ends.
    pub fn parse(text: &[u8]) -> Option<Field> {
        let text = text.split(|&byte| byte == 0).next()?;
        let (sign, digits) = text.split_first()?;
        let (signed, most) = match sign {
            b'i' => (true, 64),
            b'u' => (false, 63),
            _ => return None,
        };
        let bits = crate::number::parse_i64(digits).filter(|bits| (1..=most).contains(bits))?;
        Some(Field {
            signed,
            bits: bits as u32,
        })
    }

    /// The field's width.
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// How many bytes a field touches that begins at bit `shift`, below 8, of the first of them.
    pub fn bytes(self, shift: u32) -> usize {
        (shift + self.bits).div_ceil(8) as usize
    }

    fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    /// The number in the field that begins at bit `shift`, below 8, of the window.
    pub fn get(self, window: &Window, shift: u32) -> i64 {
        let right = WINDOW_BITS - shift - self.bits;
        let raw = (wide(window) >> right) as u64 & self.mask();
        if self.signed {
            // The sign bit moves to the top, and spreads on the way back.
            let unused = 64 - self.bits;
            (raw << unused) as i64 >> unused
        } else {
            raw as i64
        }
    }

    /// Puts the low bits of a number into the field that begins at bit `shift` of the window.
    pub fn put(self, window: &mut Window, shift: u32, number: i64) {
        let right = WINDOW_BITS - shift - self.bits;
        let mask = u128::from(self.mask()) << right;
        let bits = u128::from(number as u64 & self.mask()) << right;
        let changed = wide(window) & !mask | bits;
        window.copy_from_slice(&changed.to_be_bytes()[7..]);
    }

    /// What the field holds after an increment of `number`; `None` if it does not fit and that
    /// fails.
    ///
    /// `number` itself may not fit, with an increment of zero: an unsigned field takes it as
    /// unsigned.
    pub fn sum(self, number: i64, increment: i64, overflow: Overflow) -> Option<i64> {
        let sum = number.wrapping_add(increment);
        let limit = if self.signed {
            self.signed_limit(number, increment)
        } else {
            self.unsigned_limit(number as u64, increment)
        };
        match (limit, overflow) {
            (None, _) => Some(sum),
            (Some(_), Overflow::Fail) => None,
            (Some(limit), Overflow::Saturate) => Some(limit),
            (Some(_), Overflow::Wrap) => {
                let mut window = [0; 9];
                self.put(&mut window, 0, sum);
                Some(self.get(&window, 0))
            }
        }
    }

    /// The end of the range over which the sum goes, if it does.
    fn unsigned_limit(self, number: u64, increment: i64) -> Option<i64> {
        let max = self.mask();
        if number > max || increment > 0 && increment > (max - number) as i64 {
            return Some(max as i64);
        }
        (increment < 0 && increment.unsigned_abs() > number).then_some(0)
    }

    /// As Redis has it: a number so far below the range that its distance from the top does not fit
    /// 64 bits counts as one above.
    fn signed_limit(self, number: i64, increment: i64) -> Option<i64> {
        let max = (self.mask() >> 1) as i64;
        let min = -max - 1;
        let narrow = self.bits < 64;
        let (up, down) = (max.wrapping_sub(number), min.wrapping_sub(number));
        let rises = narrow || number >= 0 && increment > 0;
        if number > max || rises && increment > up {
            return Some(max);
        }
        let falls = narrow || number < 0 && increment < 0;
        (number < min || falls && increment < down).then_some(min)
    }
}

fn wide(window: &Window) -> u128 {
    window
        .iter()
        .fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str) -> Field {
        Field::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn types_are_a_letter_and_a_width() {
        for text in ["i1", "i64", "u1", "u63", "u8\0junk"] {
            field(text);
        }
        for text in ["", "i", "i0", "i65", "u64", "I8", "8", "i08", "i-1", "u8 "] {
            assert_eq!(Field::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_field_holds_its_number_and_leaves_its_neighbours_alone() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..5000 {
            let signed = rng.bool();
            let bits = rng.u32(1..=if signed { 64 } else { 63 });
            let (field, shift) = (Field { signed, bits }, rng.u32(..8));
            let mut window = [(); 9].map(|()| rng.u8(..));
            let before = wide(&window);
            let number = field.get(&[(); 9].map(|()| rng.u8(..)), 0);
            field.put(&mut window, shift, number);
            assert_eq!(field.get(&window, shift), number, "{field:?} at {shift}");
            let mask = u128::from(field.mask()) << (72 - shift - bits);
            assert_eq!((wide(&window) ^ before) & !mask, 0, "{field:?} at {shift}");
        }
    }

    #[test]
    fn sums_wrap_saturate_or_fail() {
        use Overflow::{Fail, Saturate, Wrap};
        for (ty, number, increment, wrapped, saturated) in [
            ("u8", 250, 10, 4, 255),
            ("u8", 5, -6, 255, 0),
            ("u8", -1, 0, 255, 255),
            ("u63", i64::MAX, 1, 0, i64::MAX),
            ("i8", 127, 1, -128, 127),
            ("i8", -128, -1, 127, -128),
            ("i8", 300, 0, 44, 127),
            ("i64", i64::MAX, 1, i64::MIN, i64::MAX),
            ("i64", i64::MIN, -1, i64::MAX, i64::MIN),
            ("i8", i64::MIN, 0, 0, 127),
            ("i1", 0, 1, -1, 0),
        ] {
            let field = field(ty);
            let sum = |overflow| field.sum(number, increment, overflow);
            assert_eq!(sum(Wrap), Some(wrapped), "{ty} {number} {increment}");
            assert_eq!(sum(Saturate), Some(saturated), "{ty} {number} {increment}");
            assert_eq!(sum(Fail), None, "{ty} {number} {increment}");
        }
        assert_eq!(field("i8").sum(100, 27, Fail), Some(127));
        assert_eq!(field("i64").sum(-1, i64::MIN + 1, Fail), Some(i64::MIN));
    }
}
