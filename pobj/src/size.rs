//! Sizes as people write them: `8388608`, `64m`, `8g`.

/// Parses a size in bytes: a whole number, optionally followed by `k`, `m`, `g` or `t` (powers of
/// 1024, either case, with an optional `b` or `ib` after it).
///
/// Returns `None` for anything else, for zero and for what does not fit 64 bits.
pub fn parse_size(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    let bytes = number.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    (bytes > 0).then_some(bytes)
}

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
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "m",
            "0",
            "-1",
            "1.5g",
            "8 g",
            "8x",
            "99999999999t",
            "0x10",
        ] {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
    }
}
