//! Random arguments: mostly sensible, often at a boundary, sometimes absurd.

use fastrand::Rng;

/// Integers at which parsers and arithmetic go wrong.
const INTEGERS: [&str; 22] = [
    "0",
    "1",
    "-1",
    "9",
    "10",
    "-10",
    "255",
    "256",
    "10000",
    "2147483647",
    "2147483648",
    "-2147483649",
    "4294967296",
    "9223372036854775806",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775807",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "100000000000000000000",
];

/// What looks like an integer, and is none for Redis (or is only a float).
const NO_INTEGERS: [&str; 16] = [
    "", " ", "+5", "-0", "007", " 5", "5 ", "5\n", "5.0", "1e3", "0x10", "--1", "-", "five", "5\0",
    "-00",
];

/// Floats at which parsing, arithmetic and printing go wrong.
const FLOATS: [&str; 40] = [
    "0",
    "-0",
    "0.1",
    "0.2",
    "0.3",
    "1.5",
    "-1.5",
    "3.0",
    "3.14159265358979",
    "1e5",
    "5.0e3",
    "1E-5",
    "1e17",
    "1e18",
    "123456789012345678",
    "0.00000000000000001",
    "1e-20",
    "1e300",
    "1e308",
    "1e4000",
    "1e5000",
    "-1e4932",
    "9007199254740993",
    "9223372036854775807",
    "inf",
    "-inf",
    "+inf",
    "Infinity",
    "nan",
    "-nan",
    ".5",
    "5.",
    "0x10",
    "0x1p-3",
    " 1.5",
    "1.5 ",
    "1.5x",
    "",
    "1,5",
    "1.50\0",
];

/// Lengths around which implementations change their ways: Redis's encodings, powers of two, and
/// sizes of slots and pages.
const LENGTHS: [usize; 26] = [
    0, 1, 2, 7, 8, 9, 15, 16, 20, 21, 31, 32, 33, 43, 44, 45, 63, 64, 65, 127, 128, 129, 255, 256,
    1000, 1500,
];

/// Lengths of the rare large values. None is between 3,000 and 100,000: LCS takes time and memory
/// for the product of two lengths, and Redis refuses the product of two of the largest.
const LARGE_LENGTHS: [usize; 8] = [
    100_000, 102_400, 131_072, 200_001, 262_144, 500_000, 1_048_576, 3_000_000,
];

/// An integer in decimal, or something that is almost one.
pub fn integer(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..100) {
        0..55 => rng.i32(-20..100).to_string().into_bytes(),
        55..65 => rng.i64(..).to_string().into_bytes(),
        65..90 => pick(rng, &INTEGERS),
        _ => pick(rng, &NO_INTEGERS),
    }
}

/// A floating point number, or something that is almost one.
pub fn float(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..100) {
        0..30 => rng.i32(-20..100).to_string().into_bytes(),
        30..60 => (f64::from(rng.i32(-100_000..100_000)) / 1000.0)
            .to_string()
            .into_bytes(),
        60..70 => {
            let digits: String = (0..rng.usize(1..25)).map(|_| rng.digit(10)).collect();
            let at = rng.usize(..digits.len() + 1);
            format!("{}.{}", &digits[..at], &digits[at..]).into_bytes()
        }
        _ => pick(rng, &FLOATS),
    }
}

/// A position: small and of either sign, or an extreme. Never one that is allowed and would make
/// a value of hundreds of megabytes.
pub fn offset(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..100) {
        0..75 => rng.i32(-12..30).to_string().into_bytes(),
        75..85 => rng.i32(30..3000).to_string().into_bytes(),
        85..87 => rng.i32(30_000..140_000).to_string().into_bytes(),
        87..93 => pick(
            rng,
            &[
                "536870912",
                "1073741824",
                "4294967296",
                "9223372036854775807",
                "-9223372036854775808",
            ],
        ),
        _ => pick(rng, &NO_INTEGERS),
    }
}

/// The number of a bit. Never one that is allowed and would make a value of megabytes.
pub fn bit(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..100) {
        0..60 => rng.i32(-2..100).to_string().into_bytes(),
        60..85 => rng.i32(100..12_000).to_string().into_bytes(),
        85..88 => rng.i32(12_000..600_000).to_string().into_bytes(),
        88..94 => pick(
            rng,
            &[
                "4294967296",
                "4294967297",
                "9223372036854775807",
                "-9223372036854775808",
            ],
        ),
        _ => pick(rng, &NO_INTEGERS),
    }
}

/// Degrees of longitude, which are too many for a latitude now and then.
pub fn degrees(rng: &mut Rng) -> Vec<u8> {
    let most = *rng.choice(&[1.0, 40.0, 85.0, 182.0]).expect("a scale");
    let degrees = (rng.f64() * 2.0 - 1.0) * most;
    if rng.bool() {
        format!("{degrees:.3}").into_bytes()
    } else {
        degrees.to_string().into_bytes()
    }
}

/// A value: numbers, short texts of few letters (which have much in common), binary data, the
/// boundary lengths, rarely a large one.
pub fn value(rng: &mut Rng) -> Vec<u8> {
    match rng.u16(..1000) {
        0..300 => integer(rng),
        300..420 => float(rng),
        420..700 => element(rng),
        700..800 => {
            let len = rng.usize(..100);
            (0..len).map(|_| rng.u8(..)).collect()
        }
        800..992 => {
            let len = *rng.choice(&LENGTHS).expect("lengths");
            patterned(rng, len)
        }
        _ => {
            let len = *rng.choice(&LARGE_LENGTHS).expect("lengths");
            patterned(rng, len)
        }
    }
}

/// A short text over a small alphabet.
pub fn element(rng: &mut Rng) -> Vec<u8> {
    let len = rng.usize(..12);
    (0..len)
        .map(|_| *rng.choice(b"abc").expect("letters"))
        .collect()
}

/// So many bytes that do not repeat in step with any page or line.
fn patterned(rng: &mut Rng, len: usize) -> Vec<u8> {
    let start = rng.usize(..251);
    (start..start + len).map(|i| (i % 251) as u8).collect()
}

/// A relative time that does not run out during a test, or an invalid one. `unit_ms` is 1000 for
/// seconds, 1 for milliseconds.
pub(crate) fn relative_time(rng: &mut Rng, unit_ms: i64) -> Vec<u8> {
    match rng.u8(..100) {
        0..75 => (rng.i64(1_000_000..5_000_000_000) / unit_ms)
            .to_string()
            .into_bytes(),
        75..80 => (9_223_370_000_000_000_000 / unit_ms)
            .to_string()
            .into_bytes(),
        80..90 => pick(rng, &["0", "-1", "-100", "-9223372036854775808"]),
        90..96 => pick(
            rng,
            &[
                "9223372036854775807",
                "9223372036854775",
                "9223372036854776",
            ],
        ),
        _ => pick(rng, &NO_INTEGERS[..2]),
    }
}

/// A Unix time that is over, one that is far from now, or an invalid one.
pub(crate) fn unix_time(rng: &mut Rng, unit_ms: i64) -> Vec<u8> {
    match rng.u8(..100) {
        0..70 => {
            let year_2100_ms = 4_102_444_800_000;
            ((year_2100_ms + rng.i64(0..1_000_000)) / unit_ms)
                .to_string()
                .into_bytes()
        }
        70..80 => (rng.i64(1_000_000..1_500_000_000_000) / unit_ms)
            .to_string()
            .into_bytes(),
        80..90 => pick(rng, &["0", "-1", "-9223372036854775808"]),
        90..95 => pick(
            rng,
            &[
                "9223372036854775807",
                "9223372036854775",
                "9223372036854776",
            ],
        ),
        _ => pick(rng, &NO_INTEGERS),
    }
}

/// What does not belong where it is put. No small positive integers are among them: as a time to
/// live they would run out during the test.
pub fn junk(rng: &mut Rng) -> Vec<u8> {
    pick(
        rng,
        &[
            "",
            "NX",
            "XX",
            "GET",
            "EX",
            "abc",
            "-1",
            "0",
            "1.5",
            "nan",
            "99999999999999999999",
            "\0",
        ],
    )
}

fn pick(rng: &mut Rng, texts: &[&str]) -> Vec<u8> {
    rng.choice(texts)
        .expect("something to choose from")
        .as_bytes()
        .to_vec()
}
