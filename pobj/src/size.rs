//! Sizes as people write them: `8388608`, `64m`, `8g`.

/// Parses a size in bytes: a number, optionally followed by `k`, `m`, `g` or `t` (powers of 1024,
/// either case, with an optional `b` or `ib` after it). Before a unit the number may have decimals;
/// what they make of a byte is left out.
///
/// Returns `None` for anything else, for zero and for what does not fit 64 bits.
pub fn parse_size(text: &str) -> Option<u64> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let (number, unit) = text.split_at(text.len() - text.trim_start_matches(is_number).len());
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    let (whole, part) = match number.split_once('.') {
        Some((whole, decimals)) => (whole, Some(decimals)),
        None => (number, None),
    };
    let part = match part {
        None => 0,
        Some(decimals) if shift > 0 && (1..=DECIMALS_MAX).contains(&decimals.len()) => {
            let scale = 10u128.pow(decimals.len() as u32);
            u64::try_from((u128::from(decimals.parse::<u64>().ok()?) << shift) / scale).ok()?
        }
        Some(_) => return None,
    };
    let bytes = whole.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    bytes.checked_add(part).filter(|&bytes| bytes > 0)
}

/// Decimals of a size.
const DECIMALS_MAX: usize = 12;

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes_with_and_without_units() {
        assert_eq!(parse_size("8388608"), Some(8 << 20));
        assert_eq!(parse_size("64m"), Some(64 << 20));
        assert_eq!(parse_size("8G"), Some(8 << 30));
        assert_eq!(parse_size("1kib"), Some(1024));
        assert_eq!(parse_size("2T"), Some(2 << 40));
        assert_eq!(parse_size("1.5g"), Some(3 << 29));
        assert_eq!(parse_size("0.25kb"), Some(256));
        assert_eq!(parse_size("1.0001k"), Some(1024));
        assert_eq!(parse_size("16777215.99t"), Some(u64::MAX - 10_995_116_277));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "m",
            "0",
            "-1",
            "1.5",
            "1.g",
            ".5g",
            "1.2.3g",
            "0.0g",
            "1.5b",
            "8 g",
            "8x",
            "99999999999t",
            "0x10",
        ] {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
    }
}
