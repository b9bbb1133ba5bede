//! Doubles as the server reads them: with C's `strtod`, in three ways, or with a stricter reader.

use crate::behaviour::Behaviour;
use rustc_apfloat::ieee::Double;
use rustc_apfloat::{Float, Round};

/// Reads a score or a weight: the whole text is a number, without space before it, no NaN, and
/// neither too large nor too near zero for a double. `None` otherwise.
#[inline]
pub fn parse(text: &[u8]) -> Option<f64> {
    match text {
        [] => return None,
        [first, ..] if is_space(*first) => return None,
        _ => {}
    }
    let read = strtod(text);
    let sound = read.len == text.len() && !read.value.is_nan() && !read.out_of_range;
    let allowed = !read.hexadecimal || !Behaviour::ScoresAreDecimal.here();
    (sound && allowed).then_some(read.value)
}

/// Reads an end of a range of scores: the text as a C string, which a zero byte ends. Nothing at
/// all is zero. `None` if a part is left over, or for a NaN.
pub fn parse_end(text: &[u8]) -> Option<f64> {
    let text = c_text(text);
    let read = strtod(text);
    let strict = Behaviour::EndsAreDecimal.here();
    let refused = strict && (read.hexadecimal || text.first().is_some_and(|&byte| is_space(byte)));
    (read.len == text.len() && !read.value.is_nan() && !refused).then_some(read.value)
}

/// Reads what SORT compares: as an end of a range or as a score, as the server does it; else as
/// [`parse_end`], but `None` also for what C's `strtod` calls out of range, numbers that lose
/// digits for being near zero among it.
pub fn parse_weight(text: &[u8]) -> Option<f64> {
    if Behaviour::WeightsAreScores.here() {
        return parse(c_text(text));
    }
    if Behaviour::EndsAreDecimal.here() {
        return parse_end(text);
    }
    let text = c_text(text);
    let read = strtod(text);
    let in_range = !read.out_of_range && !read.value.is_subnormal();
    (read.len == text.len() && !read.value.is_nan() && in_range).then_some(read.value)
}

/// The text as a C string.
fn c_text(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or(&[])
}

/// What `strtod` gives.
struct Read {
    value: f64,
    /// Bytes read; 0 if there is no number.
    len: usize,
    /// The number is too large, or not zero and became zero.
    out_of_range: bool,
    /// The digits are hexadecimal.
    hexadecimal: bool,
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// How many bytes from `at` on are `wanted`.
fn run(text: &[u8], at: usize, wanted: impl Fn(&u8) -> bool) -> usize {
    text.get(at..)
        .unwrap_or(&[])
        .iter()
        .take_while(|byte| wanted(byte))
        .count()
}

fn begins(text: &[u8], at: usize, word: &[u8]) -> bool {
    text.get(at..at + word.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(word))
}

fn strtod(text: &[u8]) -> Read {
    let start = run(text, 0, |&byte| is_space(byte));
    let negative = text.get(start) == Some(&b'-');
    let at = start + usize::from(matches!(text.get(start), Some(b'-' | b'+')));
    let mut hexadecimal = false;
    let (magnitude, len, out_of_range) = if begins(text, at, b"inf") {
        let len = if begins(text, at, b"infinity") { 8 } else { 3 };
        (f64::INFINITY, at + len, false)
    } else if begins(text, at, b"nan") {
        let inside = run(text, at + 4, |byte| {
            byte.is_ascii_alphanumeric() || *byte == b'_'
        });
        let brackets = text.get(at + 3) == Some(&b'(') && text.get(at + 4 + inside) == Some(&b')');
        (
            f64::NAN,
            if brackets { at + 5 + inside } else { at + 3 },
            false,
        )
    } else {
        hexadecimal = begins(text, at, b"0x") && {
            let point = usize::from(text.get(at + 2) == Some(&b'.'));
            text.get(at + 2 + point).is_some_and(u8::is_ascii_hexdigit)
        };
        let start = if hexadecimal { at + 2 } else { at };
        match number(text, start, hexadecimal) {
            Some((value, end, out_of_range)) => (value, end, out_of_range),
            None => {
                return Read {
                    value: 0.0,
                    len: 0,
                    out_of_range: false,
                    hexadecimal: false,
                };
            }
        }
    };
    Read {
        value: if negative { -magnitude } else { magnitude },
        len,
        out_of_range,
        hexadecimal,
    }
}

/// Reads digits, a fraction, and an exponent; gives the value, where it ends, and whether it is out
/// of range.
fn number(text: &[u8], at: usize, hex: bool) -> Option<(f64, usize, bool)> {
    let is_digit = |byte: &u8| {
        if hex {
            byte.is_ascii_hexdigit()
        } else {
            byte.is_ascii_digit()
        }
    };
    let whole = run(text, at, is_digit);
    let mut end = at + whole;
    let mut digits = whole;
    if text.get(end) == Some(&b'.') {
        let fraction = run(text, end + 1, is_digit);
        digits += fraction;
        end += 1 + fraction;
    }
    if digits == 0 {
        return None;
    }
    let mantissa = &text[at..end];
    let is_zero = mantissa.iter().all(|byte| matches!(byte, b'0' | b'.'));
    let mark = if hex { b'p' } else { b'e' };
    if text
        .get(end)
        .is_some_and(|byte| byte.eq_ignore_ascii_case(&mark))
    {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'-' | b'+')));
        let exponent = run(text, end + 1 + sign, u8::is_ascii_digit);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    let value = if is_zero {
        0.0
    } else if hex {
        read_hex(mantissa, &text[at + mantissa.len()..end])?
    } else {
        std::str::from_utf8(&text[at..end]).ok()?.parse().ok()?
    };
    Some((value, end, value.is_infinite() || value == 0.0 && !is_zero))
}

/// The value of hexadecimal digits, not all zero, and of a binary exponent (`p-3`, or nothing).
fn read_hex(mantissa: &[u8], exponent: &[u8]) -> Option<f64> {
    let mantissa = std::str::from_utf8(mantissa).ok()?;
    let exponent = std::str::from_utf8(exponent).ok()?.get(1..).unwrap_or("0");
    // Exponents beyond these are beyond all doubles, for any mantissa that fits into memory.
    const EXPONENT_MAX: i64 = 1 << 40;
    let exponent = match exponent.parse::<i64>() {
        Ok(exponent) => exponent.clamp(-EXPONENT_MAX, EXPONENT_MAX),
        Err(_) if exponent.starts_with('-') => -EXPONENT_MAX,
        Err(_) => EXPONENT_MAX,
    };
    let digits = mantissa.trim_start_matches('0');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    // About the number's own exponent; the exact reader takes over where it matters.
    let leading = match whole.len() {
        0 => -(4 * (fraction.len() - fraction.trim_start_matches('0').len()) as i64),
        len => 4 * len as i64,
    };
    match exponent + leading {
        1100.. => Some(f64::INFINITY),
        ..-1200 => Some(0.0),
        _ => {
            let text = format!("0x{mantissa}p{exponent}");
            let read = Double::from_str_r(&text, Round::NearestTiesToEven).ok()?;
            Some(f64::from_bits(read.value.to_bits() as u64))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{parse, parse_end, parse_weight};

    #[test]
    fn scores_are_whole_and_finite_numbers_or_infinities() {
        for (text, value) in [
            ("0", 0.0),
            ("-0", -0.0),
            ("+5", 5.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1E-5", 1e-5),
            ("inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("0x10", 16.0),
            ("0X1.8p1", 3.0),
            ("0x1p-1074", 5e-324),
            ("0x.8", 0.5),
            ("1e308", 1e308),
            ("5e-324", 5e-324),
            ("0e99999999999", 0.0),
            ("9007199254740993", 9007199254740992.0),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.000000000000081p0", 1.0 + f64::EPSILON),
        ] {
            let read = parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(read.to_bits(), value.to_bits(), "{text}");
        }
        for text in [
            "",
            " 1",
            "1 ",
            "nan",
            "-nan",
            "NaN(1)",
            "1e309",
            "1e-400",
            "0x1p1024",
            "0x1p-1080",
            "0x1p99999999999999999999",
            "0x",
            "0x.",
            "1e",
            "1e+",
            "e5",
            ".",
            "-",
            "+",
            "inf.",
            "infinit",
            "1,5",
            "1.5x",
            "1\0",
            "--1",
            "five",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn ends_of_ranges_are_c_strings() {
        for (text, value) in [
            ("", 0.0),
            (" 1", 1.0),
            ("\t-2.5", -2.5),
            ("1\0junk", 1.0),
            ("1e999", f64::INFINITY),
            ("-1e999", f64::NEG_INFINITY),
            ("1e-999", 0.0),
            ("+inf", f64::INFINITY),
            ("0x1p9999", f64::INFINITY),
        ] {
            assert_eq!(parse_end(text.as_bytes()), Some(value), "{text:?}");
        }
        for text in [" ", "1 ", "nan", "(1", "x", "1e", "0x", "-"] {
            assert_eq!(parse_end(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn weights_are_c_strings_in_range() {
        for (text, value) in [
            ("", 0.0),
            (" 1", 1.0),
            ("1\0junk", 1.0),
            ("inf", f64::INFINITY),
        ] {
            assert_eq!(parse_weight(text.as_bytes()), Some(value), "{text:?}");
        }
        for text in ["1 ", "nan", "x", "1e999", "-1e999", "1e-999", "1e-310"] {
            assert_eq!(parse_weight(text.as_bytes()), None, "{text:?}");
        }
    }
}
