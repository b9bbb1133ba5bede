//! Native values of an RDB file, as the servers since Redis 7.0 write them.
//!
//! Small values are one string that holds all elements: a *listpack*, or of integers alone an
//! *intset*. Nothing that is read is trusted: a value that contradicts itself is rejected.

use super::value::VALKEY_NEVER;
use crate::content::{Bytes, Content, Item};
use crate::expiry::FIELD_NEVER;

use crate::value::ValueType;
use std::borrow::Cow;

/// The forms that are read, by their numbers in files.
mod ty {
    pub(super) const STRING: u8 = 0;
    pub(super) const LIST: u8 = 1;
    pub(super) const SET: u8 = 2;
    pub(crate) const ZSET_TEXT: u8 = 3;
    pub(super) const HASH: u8 = 4;
    pub(super) const ZSET: u8 = 5;
    pub(crate) const INTSET: u8 = 11;
    pub(crate) const HASH_LISTPACK: u8 = 16;
    pub(crate) const ZSET_LISTPACK: u8 = 17;
    pub(crate) const QUICKLIST: u8 = 18;
    pub(crate) const SET_LISTPACK: u8 = 20;
    pub(crate) const VALKEY_HASH: u8 = 22;
    pub(crate) const REDIS_HASH: u8 = 24;
    pub(crate) const REDIS_HASH_LISTPACK: u8 = 25;
}

/// The elements of a value; `None` if it is of a type that has no counterpart here (a stream), of a
/// form that servers before Redis 7.0 wrote, or malformed. O(n).
pub fn content(ty: u8, value: &[u8]) -> Option<Content<Bytes<'_>>> {
    let mut file = Cursor(value);
    let (ty, elements) = match ty {
        ty::STRING => (ValueType::String, vec![Item::Bytes(file.string()?)]),
        ty::LIST => (ValueType::List, file.strings()?),
        ty::SET => (ValueType::Set, file.strings()?),
        ty::ZSET_TEXT => (ValueType::ZSet, file.scored(Cursor::text_score)?),
        ty::ZSET => {
            let scored = file.scored(|file| file.array().map(f64::from_le_bytes));
            (ValueType::ZSet, scored?)
        }
        ty::HASH => {
            let fields = file.fields(|file| Some((file.string()?, file.string()?, FIELD_NEVER)));
            (ValueType::Hash, fields?)
        }
        ty::VALKEY_HASH => {
            let fields = file.fields(|file| {
                let (name, value) = (file.string()?, file.string()?);
                let expire_at = match i64::from_le_bytes(file.array()?) {
                    VALKEY_NEVER => FIELD_NEVER,
                    at => at,
                };
                Some((name, value, expire_at))
            });
            (ValueType::Hash, fields?)
        }
        ty::REDIS_HASH => {
            let earliest = file.array().map(i64::from_le_bytes)?;
            let fields = file.fields(|file| {
                let later = file.number()?;
                let expire_at = match later {
                    0 => FIELD_NEVER,
                    _ => earliest.checked_add_unsigned(later - 1)?,
                };
                Some((file.string()?, file.string()?, expire_at))
            });
            (ValueType::Hash, fields?)
        }
        ty::INTSET => (ValueType::Set, in_items(intset(&file.string()?)?)),
        ty::SET_LISTPACK => (ValueType::Set, in_items(listpack(file.string()?)?)),
        ty::HASH_LISTPACK => {
            let pairs = in_groups::<2>(listpack(file.string()?)?)?.into_iter();
            let fields = pairs.map(|[name, value]| Item::Field(name, value, FIELD_NEVER));
            (ValueType::Hash, fields.collect())
        }
        ty::REDIS_HASH_LISTPACK => {
            file.skip(8)?;
            let triples = in_groups::<3>(listpack(file.string()?)?)?.into_iter();
            let field = |[name, value, time]: [Bytes<'static>; 3]| {
                let time: i64 = std::str::from_utf8(&time).ok()?.parse().ok()?;
                let expire_at = if time == 0 { FIELD_NEVER } else { time };
                Some(Item::Field(name, value, expire_at))
            };
            (ValueType::Hash, triples.map(field).collect::<Option<_>>()?)
        }
        ty::ZSET_LISTPACK => {
            let pairs = in_groups::<2>(listpack(file.string()?)?)?.into_iter();
            let element = |[name, score]: [Bytes<'static>; 2]| {
                let score: f64 = std::str::from_utf8(&score).ok()?.parse().ok()?;
                Some(Item::Scored(name, score))
            };
            (ValueType::ZSet, pairs.map(element).collect::<Option<_>>()?)
        }
        ty::QUICKLIST => {
            let nodes = file.times(|file| Some((file.number()?, file.string()?)))?;
            let mut elements = Vec::new();
            for (kind, node) in nodes {
                match kind {
                    1 => elements.push(node),
                    2 => elements.extend(listpack(node)?),
                    _ => return None,
                }
            }
            (ValueType::List, in_items(elements))
        }
        _ => return None,
    };
    file.0.is_empty().then_some(Content { ty, elements })
}

fn in_items(strings: Vec<Bytes<'_>>) -> Vec<Item<Bytes<'_>>> {
    strings.into_iter().map(Item::Bytes).collect()
}

/// A string as a file has it.
pub fn string(bytes: &[u8]) -> Option<Bytes<'_>> {
    let mut file = Cursor(bytes);
    file.string().filter(|_| file.0.is_empty())
}

/// When a key expires, in Unix milliseconds, by what stands before its type; the outer `None` if
/// that is malformed.
pub fn expire_at(before: &[u8]) -> Option<Option<i64>> {
    let (mut file, mut expire_at) = (Cursor(before), None);
    while let Some([op]) = file.array() {
        match op {
            // What modules have attached to the key: a file of Valkey's has no such thing here.
            243 => {
                for _ in 0..file.number()? {
                    file.skip(4)?;
                    file.skip_module_value()?;
                }
            }
            248 => drop(file.number()?),
            249 => drop(file.array::<1>()?),
            252 => expire_at = Some(i64::from_le_bytes(file.array()?)),
            253 => expire_at = Some(i64::from(i32::from_le_bytes(file.array()?)) * 1000),
            _ => return None,
        }
    }
    Some(expire_at)
}

fn in_groups<const N: usize>(elements: Vec<Bytes<'static>>) -> Option<Vec<[Bytes<'static>; N]>> {
    let mut groups = Vec::with_capacity(elements.len() / N);
    let mut elements = elements.into_iter().peekable();
    while elements.peek().is_some() {
        let group: Vec<_> = elements.by_ref().take(N).collect();
        groups.push(group.try_into().ok()?);
    }
    Some(groups)
}

/// What is left of a file, or of a part of it.
#[derive(Clone, Copy)]
struct Cursor<'f>(&'f [u8]);

impl<'f> Cursor<'f> {
    fn skip(&mut self, len: u64) -> Option<&'f [u8]> {
        let (skipped, rest) = self.0.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(skipped)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    /// Goes over the parts of a module's value, each of which tells what it is.
    fn skip_module_value(&mut self) -> Option<()> {
        loop {
            match self.number()? {
                0 => return Some(()),
                1 | 2 => drop(self.number()?),
                3 => drop(self.skip(4)?),
                4 => drop(self.skip(8)?),
                5 => drop(self.string()?),
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<u64> {
        let (number, rest) = super::number(self.0)?;
        self.0 = rest;
        Some(number)
    }

    fn string(&mut self) -> Option<Bytes<'f>> {
        let integer = match self.0.first()? {
            0xc0 => self.array().map(|[_, n]| i64::from(n as i8))?,
            0xc1 => {
                let [_, n @ ..] = self.array::<3>()?;
                i64::from(i16::from_le_bytes(n))
            }
            0xc2 => {
                let [_, n @ ..] = self.array::<5>()?;
                i64::from(i32::from_le_bytes(n))
            }
            0xc3 => {
                self.skip(1)?;
                let (packed, len) = (self.number()?, self.number()?);
                return decompress(self.skip(packed)?, len).map(Cow::Owned);
            }
            _ => {
                let len = self.number()?;
                return self.skip(len).map(Cow::Borrowed);
            }
        };
        Some(integer.to_string().into_bytes().into())
    }

    /// The text of a double behind its length, or a length that stands for one.
    fn text_score(&mut self) -> Option<f64> {
        match self.array()? {
            [253] => Some(f64::NAN),
            [254] => Some(f64::INFINITY),
            [255] => Some(f64::NEG_INFINITY),
            [len] => std::str::from_utf8(self.skip(len.into())?)
                .ok()?
                .parse()
                .ok(),
        }
    }

    /// A number, and so many elements.
    fn times<T>(&mut self, mut element: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        // Each takes a byte at least: no more room is made for a count that cannot be.
        let mut elements = Vec::with_capacity(count.min(self.0.len() as u64) as usize);
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Some(elements)
    }

    /// A number, and so many elements with their scores.
    fn scored(&mut self, score: impl Fn(&mut Self) -> Option<f64>) -> Option<Vec<Item<Bytes<'f>>>> {
        self.times(|file| Some(Item::Scored(file.string()?, score(file)?)))
    }

    /// A number, and so many fields.
    fn fields(
        &mut self,
        field: impl Fn(&mut Self) -> Option<(Bytes<'f>, Bytes<'f>, i64)>,
    ) -> Option<Vec<Item<Bytes<'f>>>> {
        self.times(|file| field(file).map(|(name, value, at)| Item::Field(name, value, at)))
    }

    /// A number, and so many strings.
    fn strings(&mut self) -> Option<Vec<Item<Bytes<'f>>>> {
        self.times(|file| file.string().map(Item::Bytes))
    }
}

/// What LZF has compressed: runs of bytes, and references to what is there already.
fn decompress(packed: &[u8], len: u64) -> Option<Vec<u8>> {
    // A reference of three bytes stands for 264 at most.
    let most = (packed.len() as u64).saturating_mul(264);
    let len = usize::try_from(len)
        .ok()
        .filter(|&len| len as u64 <= most)?;
    let (mut from, mut bytes) = (Cursor(packed), Vec::with_capacity(len));
    while let Some([control]) = from.array() {
        if control < 32 {
            bytes.extend(from.skip(u64::from(control) + 1)?);
            continue;
        }
        let mut count = usize::from(control >> 5);
        if count == 7 {
            count += from.array().map(|[more]| usize::from(more))?;
        }
        let [low] = from.array()?;
        let back = (usize::from(control & 0x1f) << 8 | usize::from(low)) + 1;
        let start = bytes.len().checked_sub(back)?;
        // It may reach into what it makes.
        for at in start..start + count + 2 {
            bytes.push(bytes[at]);
        }
        if bytes.len() > len {
            return None;
        }
    }
    (bytes.len() == len).then_some(bytes)
}

/// Integers of one width, ascending.
fn intset(bytes: &[u8]) -> Option<Vec<Bytes<'static>>> {
    let mut set = Cursor(bytes);
    let width = u32::from_le_bytes(set.array()?);
    let count = u32::from_le_bytes(set.array()?);
    let mut members = Vec::with_capacity((count as usize).min(bytes.len()));
    for _ in 0..count {
        let member = match width {
            2 => i64::from(i16::from_le_bytes(set.array()?)),
            4 => i64::from(i32::from_le_bytes(set.array()?)),
            8 => i64::from_le_bytes(set.array()?),
            _ => return None,
        };
        members.push(member.to_string().into_bytes().into());
    }
    set.0.is_empty().then_some(members)
}

/// The elements of a listpack: a length, a count, the elements, an end.
fn listpack(bytes: Bytes<'_>) -> Option<Vec<Bytes<'static>>> {
    let mut pack = Cursor(&bytes);
    let len = u32::from_le_bytes(pack.array()?);
    if len as usize != bytes.len() {
        return None;
    }
    let count = u16::from_le_bytes(pack.array()?);
    let mut elements = Vec::new();
    loop {
        let before = pack.0.len();
        let [head] = pack.array()?;
        let text = |bytes: &[u8]| Some(bytes.to_vec());
        let integer = |n: i64| Some(n.to_string().into_bytes());
        let element = match head {
            0xff => break,
            0..0x80 => integer(head.into()),
            0x80..0xc0 => text(pack.skip(u64::from(head & 0x3f))?),
            0xc0..0xe0 => {
                let [low] = pack.array()?;
                // 13 bits with a sign.
                let bits = u16::from(head & 0x1f) << 8 | u16::from(low);
                integer((((bits << 3) as i16) >> 3).into())
            }
            0xe0..0xf0 => {
                let [low] = pack.array()?;
                text(pack.skip(u64::from(head & 0xf) << 8 | u64::from(low))?)
            }
            0xf0 => {
                let len = u32::from_le_bytes(pack.array()?);
                text(pack.skip(len.into())?)
            }
            0xf1 => integer(i16::from_le_bytes(pack.array()?).into()),
            0xf2 => {
                let [a, b, c] = pack.array()?;
                integer((i32::from_le_bytes([0, a, b, c]) >> 8).into())
            }
            0xf3 => integer(i32::from_le_bytes(pack.array()?).into()),
            0xf4 => integer(i64::from_le_bytes(pack.array()?)),
            _ => None,
        }?;
        elements.push(Cow::Owned(element));
        // Its length once more, from behind.
        let back = match before - pack.0.len() {
            ..=127 => 1,
            128..16_383 => 2,
            16_383..2_097_151 => 3,
            2_097_151..268_435_455 => 4,
            _ => 5,
        };
        pack.skip(back)?;
    }
    // The count is all ones if there are more.
    let is_whole = count == u16::MAX || usize::from(count) == elements.len();
    (is_whole && pack.0.is_empty()).then_some(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(words: &[&str]) -> Vec<Bytes<'static>> {
        let word = |word: &&str| Cow::Owned(word.as_bytes().to_vec());
        words.iter().map(word).collect()
    }

    #[test]
    fn listpacks_are_read_in_all_encodings() {
        let mut pack = vec![0; 6];
        let long = [b'x'; 300];
        let parts: [&[u8]; 9] = [
            &[5],
            &[0x82, b'a', b'b'],
            // -3 in 13 bits.
            &[0xdf, 0xfd],
            &[&[0xe1, 0x2c], &long[..]].concat(),
            &[0xf1, 0, 0x80],
            &[0xf2, 0xff, 0xff, 0x7f],
            &[0xf3, 0, 0, 0, 0x80],
            &[0xf4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            &[0xf0, 1, 0, 0, 0, b'z'],
        ];
        for part in parts {
            pack.extend(part);
            pack.extend(vec![0; if part.len() > 127 { 2 } else { 1 }]);
        }
        pack.push(0xff);
        let len = pack.len() as u32;
        pack[..4].copy_from_slice(&len.to_le_bytes());
        pack[4..6].copy_from_slice(&9u16.to_le_bytes());
        let long = String::from_utf8(long.to_vec()).unwrap();
        let words = [
            "5",
            "ab",
            "-3",
            &long,
            "-32768",
            "8388607",
            "-2147483648",
            "9223372036854775807",
            "z",
        ];
        assert_eq!(listpack(Cow::Borrowed(&pack)), Some(owned(&words)));
        for end in 0..pack.len() {
            assert_eq!(listpack(Cow::Borrowed(&pack[..end])), None, "{end}");
        }
    }

    #[test]
    fn strings_are_read_in_all_encodings() {
        for (bytes, text) in [
            (&[2, b'h', b'i'][..], "hi"),
            (&[0xc0, 0xff], "-1"),
            (&[0xc1, 0, 0x80], "-32768"),
            (&[0xc2, 1, 0, 0, 0], "1"),
            // A byte, and seven more of it.
            (&[0xc3, 4, 8, 0, b'a', 0xa0, 0], "aaaaaaaa"),
        ] {
            assert_eq!(string(bytes).as_deref(), Some(text.as_bytes()), "{text}");
            assert_eq!(string(&bytes[..bytes.len() - 1]), None, "{text}");
        }
        // A length that nothing can have, and a reference before the beginning.
        assert_eq!(string(&[0xc3, 2, 0x80, 0x7f, 0, 0, 0, 0, b'a']), None);
        assert_eq!(string(&[0xc3, 2, 4, 0x40, 0]), None);
    }

    #[test]
    fn values_of_other_types_are_none() {
        assert_eq!(content(15, &[0]), None);
        assert_eq!(content(ty::HASH, &[1, 1, b'f']), None);
        assert_eq!(
            content(ty::LIST, &[0x81, 255, 255, 255, 255, 255, 255, 255, 255]),
            None
        );
        let members = content(ty::INTSET, &[12, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0xfe, 0xff]);
        let expected = Content {
            ty: ValueType::Set,
            elements: in_items(owned(&["1", "-2"])),
        };
        assert_eq!(members, Some(expected));
        let times = [
            24, 1, 0, 0, 0, 0, 0, 0, 2, 0, 1, b'f', 1, b'v', 6, 1, b'g', 1, b'w',
        ];
        let times_of = |value| -> Vec<i64> {
            let Some(Content { elements, .. }) = value else {
                panic!("a hash");
            };
            let fields = elements.iter().map(|item| match item {
                Item::Field(_, _, expire_at) => *expire_at,
                _ => panic!("a field"),
            });
            fields.collect()
        };
        let fields = times_of(content(ty::REDIS_HASH, &times));
        assert_eq!(fields, [FIELD_NEVER, 0x118 + 5]);
        let valkey = [&[1, 1, b'f', 1, b'v'][..], &[0xff; 8]].concat();
        assert_eq!(times_of(content(ty::VALKEY_HASH, &valkey)), [FIELD_NEVER]);
    }

    #[test]
    fn expire_times_are_found_before_a_key() {
        let ms = [&[252][..], &7i64.to_le_bytes()].concat();
        assert_eq!(expire_at(&ms), Some(Some(7)));
        assert_eq!(expire_at(&[249, 9]), Some(None));
        assert_eq!(expire_at(&[253, 2, 0, 0, 0, 248, 5]), Some(Some(2000)));
        assert_eq!(expire_at(&[252, 1]), None);
        let metadata = [243, 2, 1, 2, 3, 4, 2, 7, 5, 1, b'v', 0, 1, 2, 3, 4, 0];
        let both = [&ms, &metadata[..]].concat();
        assert_eq!(expire_at(&both), Some(Some(7)));
        assert_eq!(expire_at(&both[..both.len() - 1]), None);
    }
}
