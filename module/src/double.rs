//! Doubles as the server reads them: with C's `strtod`, in three ways, or with a stricter reader.
//! What nearly all numbers are, plain digits, is read without it.

use crate::behaviour::Behaviour;
use crate::redis::{Ctx, strtod};

/// Reads a score or a weight: the whole text is a number, without space before it, no NaN, and
/// neither too large nor too near zero for a double. `None` otherwise.
#[inline]
pub fn parse(ctx: &Ctx, text: &[u8]) -> Option<f64> {
    score(text, Behaviour::ScoresAreDecimal.here()).or_else(|| obeyed(ctx, || score(text, false)))
}

/// Reads an end of a range of scores: the text as a C string, which a zero byte ends. Nothing at
/// all is zero. `None` if a part is left over, or for a NaN.
pub fn parse_end(ctx: &Ctx, text: &[u8]) -> Option<f64> {
    end(text, Behaviour::EndsAreDecimal.here()).or_else(|| obeyed(ctx, || end(text, false)))
}

/// Reads what SORT compares: as an end of a range or as a score, as the server does it; else as
/// [`parse_end`], but `None` also for what C's `strtod` calls out of range, numbers that lose
/// digits for being near zero among it.
pub fn parse_weight(ctx: &Ctx, text: &[u8]) -> Option<f64> {
    let read = if Behaviour::WeightsAreScores.here() {
        score(c_text(text), Behaviour::ScoresAreDecimal.here())
    } else if Behaviour::EndsAreDecimal.here() {
        end(text, true)
    } else {
        return weight(text);
    };
    read.or_else(|| obeyed(ctx, || weight(text)))
}

/// What an older server reads where this one reads nothing, if the command comes from a master: an
/// older one takes hexadecimal numbers and hands them on as they are, and what it has acknowledged
/// must not get lost here.
#[cold]
fn obeyed(ctx: &Ctx, older: impl FnOnce() -> Option<f64>) -> Option<f64> {
    ctx.must_obey().then(older).flatten()
}

#[inline]
fn score(text: &[u8], decimal: bool) -> Option<f64> {
    match text {
        [] => return None,
        [first, ..] if is_space(*first) => return None,
        _ => {}
    }
    let read = read(text);
    let sound = read.len == text.len() && !read.value.is_nan() && !read.out_of_range;
    (sound && !(decimal && read.hexadecimal)).then_some(read.value)
}

fn end(text: &[u8], strict: bool) -> Option<f64> {
    let text = c_text(text);
    let read = read(text);
    let refused = strict && (read.hexadecimal || text.first().is_some_and(|&byte| is_space(byte)));
    (read.len == text.len() && !read.value.is_nan() && !refused).then_some(read.value)
}

fn weight(text: &[u8]) -> Option<f64> {
    let text = c_text(text);
    let read = read(text);
    let in_range = !read.out_of_range && !read.value.is_subnormal();
    (read.len == text.len() && !read.value.is_nan() && in_range).then_some(read.value)
}

/// The text as a C string.
fn c_text(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or(&[])
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// A number at the begin of a text.
struct Read {
    value: f64,
    /// Bytes read; 0 if there is no number.
    len: usize,
    /// The number is too large, or not zero and became zero.
    out_of_range: bool,
    /// The digits are hexadecimal.
    hexadecimal: bool,
}

/// Reads a number: plain digits here, everything else by the C library.
#[inline]
fn read(text: &[u8]) -> Read {
    match plain(text) {
        Some(value) => Read {
            value,
            len: text.len(),
            out_of_range: false,
            hexadecimal: false,
        },
        None => read_by_c(text),
    }
}

/// The value of a text that is nothing but a few digits, with a sign and a point at most: neither
/// too large nor too near zero for a double, and rounded as the C library rounds it.
#[inline]
fn plain(text: &[u8]) -> Option<f64> {
    const FEW: usize = 32;
    let is_plain = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'-');
    if text.len() > FEW || !text.iter().all(is_plain) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cold]
fn read_by_c(text: &[u8]) -> Read {
    let read = strtod(text);
    let is_extreme = read.value == 0.0 || read.value.is_infinite();
    let digits = text[..read.len].iter().skip_while(|byte| is_space(**byte));
    let mut digits = digits
        .skip_while(|byte| matches!(byte, b'-' | b'+'))
        .skip(1);
    Read {
        value: read.value,
        len: read.len,
        out_of_range: read.is_out_of_range && is_extreme,
        hexadecimal: matches!(digits.next(), Some(b'x' | b'X')),
    }
}

#[cfg(test)]
mod tests {
    use super::{end, score, weight};

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
            ("99999999999999999999999999999999", 1e32),
            ("-0.0000000000000000000000000001", -1e-28),
            ("0.30000000000000004", 0.1 + 0.2),
        ] {
            let read = score(text.as_bytes(), false).unwrap_or_else(|| panic!("{text}"));
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
            assert_eq!(score(text.as_bytes(), false), None, "{text:?}");
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
            assert_eq!(end(text.as_bytes(), false), Some(value), "{text:?}");
        }
        for text in [" ", "1 ", "nan", "(1", "x", "1e", "0x", "-"] {
            assert_eq!(end(text.as_bytes(), false), None, "{text:?}");
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
            assert_eq!(weight(text.as_bytes()), Some(value), "{text:?}");
        }
        for text in ["1 ", "nan", "x", "1e999", "-1e999", "1e-999", "1e-310"] {
            assert_eq!(weight(text.as_bytes()), None, "{text:?}");
        }
    }
}
