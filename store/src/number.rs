//! Numbers as Redis reads and writes them, to the last digit.
//!
//! Redis computes INCRBYFLOAT and HINCRBYFLOAT in C's `long double`, which on x86-64 is the 80-bit
//! format of the x87; [`LongDouble`] is that format everywhere.

use rustc_apfloat::ieee::{Double, X87DoubleExtended};
use rustc_apfloat::{Float, FloatConvert, Round, Status};

/// The longest text that Redis reads as a `long double`, plus one.
const LONG_DOUBLE_TEXT_MAX: usize = 5 * 1024;
/// Digits after the point that Redis shows of a `long double`.
const FRACTION_DIGITS: usize = 17;
const FRACTION_ONE: u64 = 10u64.pow(FRACTION_DIGITS as u32);

/// Reads a 64-bit integer in the one form that prints back the same: no plus sign, no leading zero,
/// no space. O(length), at most 20 bytes.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    // 19 digits stay below 10^19, which u64 holds.
    let mut magnitude = 0u64;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        magnitude = magnitude * 10 + u64::from(digit - b'0');
    }
    if negative {
        0i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    }
}

/// A floating-point number of the x87: 64 bits of precision, exponents to ±16383.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LongDouble(X87DoubleExtended);

impl From<i64> for LongDouble {
    /// Exact.
    fn from(n: i64) -> LongDouble {
        LongDouble(X87DoubleExtended::from_i128(n.into()).value)
    }
}

impl From<f64> for LongDouble {
    /// Exact.
    fn from(n: f64) -> LongDouble {
        let mut loses = false;
        let double = Double::from_bits(n.to_bits().into());
        LongDouble(double.convert(&mut loses).value)
    }
}

impl LongDouble {
    /// The ten bytes of the x87's format, as a number.
    pub fn to_bits(self) -> u128 {
        self.0.to_bits()
    }

    /// Reads what C's `strtold` reads, all of it: decimal or hexadecimal, or `inf`. `None` for
    /// anything else, for a NaN, and for what is too large or too near zero.
    pub fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() >= LONG_DOUBLE_TEXT_MAX {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let magnitude = match text.to_ascii_lowercase().as_str() {
            "inf" | "infinity" => X87DoubleExtended::INFINITY,
            text => match text.strip_prefix("0x") {
                Some(hex) => {
                    let has_exponent = well_formed(hex, 'p', |c| c.is_ascii_hexdigit())?;
                    read(&format!("0x{hex}{}", if has_exponent { "" } else { "p0" }))?
                }
                None => {
                    well_formed(text, 'e', |c| c.is_ascii_digit())?;
                    read(text)?
                }
            },
        };
        Some(LongDouble(if negative { -magnitude } else { magnitude }))
    }

    /// A thousand times the number, rounded up: seconds in milliseconds. Beyond 64 bits it is
    /// `i64::MIN`, as C on x86-64 has it.
    pub fn ceil_thousandfold(self) -> i64 {
        let product = (self.0 * LongDouble::from(1000).0).value;
        let whole = product.round_to_integral(Round::TowardPositive).value;
        let mut exact = false;
        let n = whole.to_i128_r(64, Round::TowardZero, &mut exact);
        if exact || whole.is_zero() {
            n.value as i64
        } else {
            i64::MIN
        }
    }

    /// Whether it is below zero, or minus zero.
    pub fn is_negative(self) -> bool {
        self.0.is_negative()
    }

    /// The sum, rounded to nearest; `None` if it is infinite or no number.
    pub fn checked_add(self, other: LongDouble) -> Option<LongDouble> {
        let sum = (self.0 + other.0).value;
        sum.is_finite().then_some(LongDouble(sum))
    }

    /// The number without an exponent, rounded to 17 digits after the point, zeros at the end cut.
    pub fn to_text(self) -> String {
        let bits = self.0.to_bits();
        let sign = if bits >> 79 & 1 == 1 { "-" } else { "" };
        if !self.0.is_finite() {
            return format!("{sign}inf");
        }
        let exponent = (bits >> 64 & 0x7fff) as i32;
        // The number is significand × 2^shift.
        let (significand, shift) = (bits as u64, exponent.max(1) - 16383 - 63);
        let (whole, fraction) = match u32::try_from(shift) {
            Ok(shift) => (shifted_digits(significand, shift), 0),
            Err(_) => {
                let (whole, fraction) = round(significand, shift.unsigned_abs());
                (whole.to_string(), fraction)
            }
        };
        if fraction != 0 {
            let digits = format!("{fraction:0FRACTION_DIGITS$}");
            return format!("{sign}{whole}.{}", digits.trim_end_matches('0'));
        }
        if whole == "0" {
            whole
        } else {
            format!("{sign}{whole}")
        }
    }
}

/// Whether `text` has an exponent after `mark`; `None` unless it is digits, perhaps with one point
/// among them, perhaps followed by the mark and a decimal exponent.
fn well_formed(text: &str, mark: char, is_digit: impl Fn(char) -> bool) -> Option<bool> {
    let (digits, exponent) = match text.split_once(mark) {
        Some((digits, exponent)) => (digits, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = whole.chars().chain(fraction.chars()).all(is_digit);
    let exponent_is_sound = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && exponent.bytes().all(|c| c.is_ascii_digit())
    });
    let sound = all_digits && whole.len() + fraction.len() > 0 && exponent_is_sound;
    sound.then_some(exponent.is_some())
}

/// A well-formed number; `None` if it overflows, or is not zero and becomes zero.
fn read(text: &str) -> Option<X87DoubleExtended> {
    let read = X87DoubleExtended::from_str_r(text, Round::NearestTiesToEven).ok()?;
    let lost = read.value.is_zero() && read.status.contains(Status::UNDERFLOW);
    (read.value.is_finite() && !lost).then_some(read.value)
}

/// `significand / 2^shift`, for a positive shift, as its whole part and its fraction in units of
/// the last digit shown, rounded to nearest, ties to even.
fn round(significand: u64, shift: u32) -> (u64, u64) {
    let whole = significand.checked_shr(shift).unwrap_or(0);
    let rest = significand - whole.checked_shl(shift).unwrap_or(0);
    // Below 2^64 × 2^57.
    let scaled = u128::from(rest) * u128::from(FRACTION_ONE);
    if shift >= 128 {
        return (whole, 0);
    }
    let (units, remainder) = (scaled >> shift, scaled & ((1 << shift) - 1));
    let half = 1u128 << (shift - 1);
    let up = remainder > half || remainder == half && units & 1 == 1;
    match units as u64 + u64::from(up) {
        FRACTION_ONE => (whole + 1, 0),
        units => (whole, units),
    }
}

/// The decimal digits of `significand × 2^shift`.
fn shifted_digits(significand: u64, shift: u32) -> String {
    const BASE: u128 = 10u128.pow(18);
    const STEP: u32 = 60;
    // The number in base 10^18, its lowest limb first.
    let mut limbs = vec![significand];
    let mut left = shift;
    loop {
        let step = left.min(STEP);
        let mut carry = 0u128;
        for limb in &mut limbs {
            carry += u128::from(*limb) << step;
            *limb = (carry % BASE) as u64;
            carry /= BASE;
        }
        while carry > 0 {
            limbs.push((carry % BASE) as u64);
            carry /= BASE;
        }
        left -= step;
        if left == 0 {
            break;
        }
    }
    let mut text = limbs.pop().unwrap_or(0).to_string();
    for limb in limbs.iter().rev() {
        text.push_str(&format!("{limb:018}"));
    }
    text
}

/// A double as C's `%.17g` writes it: 17 significant digits, zeros at the end cut, with an exponent
/// below 1e-4 and from 1e17 on.
pub fn double_to_text(n: f64) -> String {
    if !n.is_finite() {
        let text = if n.is_nan() { "nan" } else { "inf" };
        return format!("{}{text}", if n.is_sign_negative() { "-" } else { "" });
    }
    let scientific = format!("{n:.16e}");
    let (digits, exponent) = scientific
        .split_once('e')
        .expect("the form has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a number");
    if (-4..17).contains(&exponent) {
        let text = format!("{n:.*}", (16 - exponent) as usize);
        return cut_zeros(&text).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", cut_zeros(digits), exponent.abs())
}

/// A decimal without the zeros at its end, and without the point if only zeros followed.
fn cut_zeros(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_in_their_canonical_form_only() {
        for n in [
            0,
            1,
            -1,
            9,
            10,
            -10,
            9999,
            i64::MAX,
            i64::MIN,
            i64::MAX - 1,
            i64::MIN + 1,
        ] {
            assert_eq!(parse_i64(n.to_string().as_bytes()), Some(n));
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            "-01",
            " 1",
            "1 ",
            "1\0",
            "0x1",
            "1.0",
            "9223372036854775808",
            "-9223372036854775809",
            "9999999999999999999",
            "99999999999999999999",
            "18446744073709551616",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
    }

    #[track_caller]
    fn sum(a: &str, b: &str) -> String {
        let parse = |text: &str| LongDouble::parse(text.as_bytes()).expect("a number");
        parse(a).checked_add(parse(b)).expect("finite").to_text()
    }

    /// The results are those of Redis 7.0.15 on x86-64.
    #[test]
    fn sums_are_those_of_redis() {
        for (a, b, expected) in [
            ("0.1", "0.2", "0.3"),
            ("3.0e3", "200", "3200"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("0", "1e-17", "0.00000000000000001"),
            ("0", "1e-18", "0"),
            ("0", "-1e-18", "0"),
            ("0", "5e-18", "0"),
            ("0", "5.1e-18", "0.00000000000000001"),
            ("1", "-1.00000000000000011", "-0.00000000000000011"),
            ("17179869184", "1.5", "17179869185.5"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("18446744073709551616", "1", "18446744073709551616"),
            ("0", "1e30", "1000000000000000000024696061952"),
            ("0", "0x1p-3", "0.125"),
            ("0", "0X.8", "0.5"),
            ("-1", "1", "0"),
            ("0.99999999999999999", "0.00000000000000001", "1"),
        ] {
            assert_eq!(sum(a, b), expected, "{a} + {b}");
        }
    }

    #[test]
    fn huge_numbers_are_written_out() {
        let largest = sum("1e4932", "0");
        assert_eq!(largest.len(), 4933);
        assert!(largest.starts_with("1000000000000000000"), "{largest}");
        let back = LongDouble::parse(largest.as_bytes());
        assert_eq!(back, LongDouble::parse(b"1e4932"));
        let largest = LongDouble::parse(b"1.1e4932").unwrap();
        assert_eq!(largest.checked_add(largest), None);
        let infinite = LongDouble::parse(b"-inf").unwrap();
        assert_eq!(infinite.to_text(), "-inf");
        assert_eq!(infinite.checked_add(1.into()), None);
    }

    #[test]
    fn what_strtold_would_leave_is_no_number() {
        let long = "1".repeat(LONG_DOUBLE_TEXT_MAX - 1);
        let too_long = format!("{long}0");
        for text in [
            "",
            "+",
            "-",
            ".",
            "e1",
            "1e",
            "1e+",
            "1.2.3",
            " 1",
            "1 ",
            "1\0",
            "--1",
            "+-1",
            "nan",
            "-nan",
            "nan(1)",
            "infinit",
            "0x",
            "0x.",
            "0xg",
            "0x1p",
            "1e5000",
            "-1e5000",
            "1e-5000",
            "1e99999999999",
            "1e-99999999999",
            "0x1p20000",
            "0x1p-20000",
            "abc",
            "1f",
            "\u{e9}",
            "1_0",
            &too_long,
        ] {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text:?}");
        }
        for text in [
            "0",
            "-0",
            "+1",
            "1.",
            ".1",
            "1E5",
            "1e-4940",
            "1e+5",
            "0e99999999999",
            "inf",
            "+INF",
            "-Infinity",
            "0x1",
            "0XaP+1",
            "0x.8p1",
            "3.6e-4951",
        ] {
            assert!(LongDouble::parse(text.as_bytes()).is_some(), "{text:?}");
        }
    }

    #[test]
    fn integers_are_exact() {
        for n in [0, 1, -1, i64::MAX, i64::MIN, 1 << 53 | 1] {
            assert_eq!(LongDouble::from(n).to_text(), n.to_string());
        }
    }

    #[test]
    fn doubles_have_seventeen_digits() {
        for (n, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.10000000000000001"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.5e300, "1.5000000000000001e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (1.0 / 3.0, "0.33333333333333331"),
            (1e23, "9.9999999999999992e+22"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(double_to_text(n), text);
        }
    }
}
