//! Kinds of values that settings have: how each is read, and shown.

use pobj::{Durability, parse_size};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use store::number::parse_i64;

/// The place of a setting's value, as text.
///
/// What `show` gives, `read` takes, and then the value is the same. The empty text stands for a
/// value that is not given.
pub(super) trait Value {
    /// Takes a new value.
    ///
    /// # Errors
    /// What was expected, in words that follow "expected"; the old value stays.
    fn read(&mut self, text: &[u8]) -> Result<(), String>;

    /// Takes the value of an argument: of a setting that may be given several times, in addition to
    /// those before it.
    ///
    /// # Errors
    /// As [`Value::read`].
    fn add(&mut self, text: &[u8]) -> Result<(), String> {
        self.read(text)
    }

    /// The value as text.
    fn show(&self) -> Vec<u8>;

    /// What it may be, in the words of a manual.
    fn range(&self) -> String;
}

/// A file. A relative path begins in the server's directory; it is kept, and shown, as an absolute
/// one.
pub(super) struct File<'a>(pub &'a mut PathBuf);

impl Value for File<'_> {
    fn read(&mut self, text: &[u8]) -> Result<(), String> {
        *self.0 = match text {
            [] => PathBuf::new(),
            // The server's configuration cannot hold it either.
            _ if text.contains(&0) => return Err("a path without zero bytes".into()),
            _ => std::path::absolute(OsStr::from_bytes(text))
                .map_err(|error| format!("a path that can be made absolute ({error})"))?,
        };
        Ok(())
    }

    fn show(&self) -> Vec<u8> {
        self.0.as_os_str().as_bytes().to_vec()
    }

    fn range(&self) -> String {
        "a file".into()
    }
}

/// Bytes: `1.5g`, `64mb`, `8388608`.
pub(super) struct Bytes<'a>(pub &'a mut Option<u64>);

impl Value for Bytes<'_> {
    fn read(&mut self, text: &[u8]) -> Result<(), String> {
        if text.is_empty() {
            *self.0 = None;
            return Ok(());
        }
        let size = std::str::from_utf8(text).ok().and_then(parse_size);
        let expected = "bytes, or a number with k, m, g or t, as in 64m";
        *self.0 = Some(size.ok_or(expected)?);
        Ok(())
    }

    fn show(&self) -> Vec<u8> {
        self.0
            .map_or(Vec::new(), |size| size.to_string().into_bytes())
    }

    fn range(&self) -> String {
        "a size: `1.5g`, `64mb`".into()
    }
}

/// A number, or none.
pub(super) struct Number<'a> {
    /// Its place.
    pub place: &'a mut Option<u64>,
    /// What is counted.
    pub of: &'static str,
}

impl Value for Number<'_> {
    fn read(&mut self, text: &[u8]) -> Result<(), String> {
        if text.is_empty() {
            *self.place = None;
            return Ok(());
        }
        let number = parse_i64(text).and_then(|number| u64::try_from(number).ok());
        *self.place = Some(number.ok_or_else(|| format!("a number of {}", self.of))?);
        Ok(())
    }

    fn show(&self) -> Vec<u8> {
        self.place
            .map_or(Vec::new(), |number| number.to_string().into_bytes())
    }

    fn range(&self) -> String {
        format!("a number of {}", self.of)
    }
}

/// Percentages in ascending order: `80 90 95`, or with commas between them.
pub(super) struct Percents<'a>(pub &'a mut Vec<u64>);

impl Value for Percents<'_> {
    fn read(&mut self, text: &[u8]) -> Result<(), String> {
        let words = text.split(|byte| matches!(byte, b' ' | b','));
        let numbers = words.filter(|word| !word.is_empty()).map(parse_i64);
        let numbers: Option<Vec<u64>> = numbers
            .map(|number| {
                u64::try_from(number?)
                    .ok()
                    .filter(|n| (1..=100).contains(n))
            })
            .collect();
        *self.0 = numbers
            .filter(|numbers| numbers.is_sorted_by(|a, b| a < b))
            .ok_or("percentages from 1 to 100 in ascending order, as in '80 90 95'")?;
        Ok(())
    }

    fn show(&self) -> Vec<u8> {
        let numbers: Vec<String> = self.0.iter().map(u64::to_string).collect();
        numbers.join(" ").into_bytes()
    }

    fn range(&self) -> String {
        "percentages from 1 to 100 in ascending order".into()
    }
}

/// Values that have names.
pub(super) trait Word: Copy + PartialEq + 'static {
    /// All of them.
    const ALL: &'static [(&'static str, Self)];
}

/// One of some words, in any case.
pub(super) struct OneOf<'a, W>(pub &'a mut W);

impl<W: Word> OneOf<'_, W> {
    /// The words, as in "refuse or drop".
    fn words(quote: &str) -> String {
        let words: Vec<String> = W::ALL
            .iter()
            .map(|(word, _)| format!("{quote}{word}{quote}"))
            .collect();
        match words.split_last() {
            Some((last, rest @ [_, ..])) => format!("{} or {last}", rest.join(", ")),
            _ => words.concat(),
        }
    }
}

impl<W: Word> Value for OneOf<'_, W> {
    fn read(&mut self, text: &[u8]) -> Result<(), String> {
        let found = W::ALL
            .iter()
            .find(|(word, _)| text.eq_ignore_ascii_case(word.as_bytes()));
        *self.0 = found.ok_or_else(|| Self::words(""))?.1;
        Ok(())
    }

    fn show(&self) -> Vec<u8> {
        let word = W::ALL.iter().find(|(_, value)| value == self.0);
        word.map_or("", |(word, _)| word).into()
    }

    fn range(&self) -> String {
        Self::words("`")
    }
}

impl Word for Durability {
    const ALL: &'static [(&'static str, Self)] = &[
        ("auto", Durability::Auto),
        ("pmem", Durability::Pmem),
        ("disk", Durability::Disk),
        ("process", Durability::Process),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durabilities_have_their_own_names() {
        for (word, durability) in Durability::ALL {
            assert_eq!(durability.name(), *word);
            assert_eq!(Durability::from_name(word), Some(*durability));
        }
    }

    #[test]
    fn percentages_ascend() {
        let mut levels = vec![1];
        for (text, expected) in [
            ("80 90 95", Some(vec![80, 90, 95])),
            ("50,60", Some(vec![50, 60])),
            (" 7 ", Some(vec![7])),
            ("", Some(vec![])),
            ("90 80", None),
            ("80 80", None),
            ("0", None),
            ("101", None),
            ("80%", None),
        ] {
            let before = levels.clone();
            let read = Percents(&mut levels).read(text.as_bytes());
            assert_eq!(read.is_ok(), expected.is_some(), "{text}");
            assert_eq!(levels, expected.unwrap_or(before), "{text}");
        }
    }

    #[test]
    fn a_relative_path_becomes_absolute() {
        let mut path = PathBuf::new();
        File(&mut path).read(b"a/pool").unwrap();
        assert_eq!(path, std::env::current_dir().unwrap().join("a/pool"));
        File(&mut path).read(b"/\xff size").unwrap();
        assert_eq!(File(&mut path).show(), b"/\xff size");
        assert!(File(&mut path).read(b"/a\0b").is_err());
    }
}
