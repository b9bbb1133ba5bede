//! Load arguments of PMedis, and values of earlier versions, accepted so that existing
//! configurations go on working.

use std::fmt;

/// What an argument of PMedis means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Former {
    /// Another name of a setting.
    IsNow(&'static str),
    /// Something of its engine that has no counterpart.
    IsGone,
}

/// Names of PMedis.
const NAMES: &[(&str, Former)] = &[
    ("pmem_path", Former::IsNow("path")),
    ("pmem_file_size", Former::IsNow("size")),
    ("max_write_threads", Former::IsGone),
    ("max_access_threads", Former::IsGone),
    ("populate_pmem_space", Former::IsGone),
    ("pmem_block_size", Former::IsGone),
    ("pmem_segment_blocks", Former::IsGone),
    ("hash_bucket_num", Former::IsGone),
    ("hash_bucket_size", Former::IsGone),
    ("num_buckets_per_slot", Former::IsGone),
];

/// What the argument of this name means, if PMedis has it.
pub(super) fn find(name: &[u8]) -> Option<Former> {
    let is = |(former, _): &&(&str, Former)| name.eq_ignore_ascii_case(former.as_bytes());
    NAMES.iter().find(is).map(|&(_, means)| means)
}

/// A value that earlier versions had, and what it means now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FormerValue {
    name: &'static str,
    former: &'static str,
    /// The value that means it now.
    pub word: &'static str,
    why: &'static str,
}

impl fmt::Display for FormerValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FormerValue {
            name,
            former,
            word,
            why,
        } = self;
        write!(f, "'{name} {former}' is taken as '{name} {word}', {why}")
    }
}

/// Values of earlier versions.
const VALUES: &[FormerValue] = &[FormerValue {
    name: "durability",
    former: "msync",
    word: "disk",
    why: "which survives the same, and has replaced it",
}];

/// What this value of a setting means, if only earlier versions had it.
pub(super) fn value(setting: &str, text: &[u8]) -> Option<FormerValue> {
    let is = |value: &&FormerValue| {
        value.name == setting && text.eq_ignore_ascii_case(value.former.as_bytes())
    };
    VALUES.iter().find(is).copied()
}

/// A number as PMedis writes it, `8 << 30`, as a plain one; anything else as it is.
pub(super) fn number(text: &[u8]) -> Vec<u8> {
    let shifted = || {
        let text = std::str::from_utf8(text).ok()?;
        let (number, shift) = text.split_once("<<")?;
        let number: u64 = number.trim().parse().ok()?;
        let factor = 1u64.checked_shl(shift.trim().parse().ok()?)?;
        Some(number.checked_mul(factor)?.to_string().into_bytes())
    };
    shifted().unwrap_or_else(|| text.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_are_worked_out() {
        for (text, number_) in [
            ("8 << 30", "8589934592"),
            ("2<<20", "2097152"),
            ("8g", "8g"),
            ("1 << 64", "1 << 64"),
            ("3 << 63", "3 << 63"),
            ("a << 2", "a << 2"),
        ] {
            assert_eq!(number(text.as_bytes()), number_.as_bytes());
        }
    }
}
