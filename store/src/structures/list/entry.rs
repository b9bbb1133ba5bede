//! Entries: the elements of a list as they lie in chunks, readable from both ends.
//!
//! ```text
//! short    length (1 byte, 0 to 191)            bytes  length
//! wide     0xC0 + length / 256, length % 256    bytes  length % 256, 0xC0 + length / 256
//! object   0xFF  offset (8 bytes)  length (8 bytes)  0xFF
//! ```
//!
//! An element above [`INLINE_MAX`] bytes is an object of its own, to which the entry points. What
//! stands at the two ends of an entry must agree, which tells damage from data.

use crate::damaged::damaged;
use crate::layout::DATA;
use arrayvec::ArrayVec;
use pobj::{PPtr, Pool, Result, Tx};

/// Longest element that stands in the chunk itself.
pub(crate) const INLINE_MAX: usize = 512;
/// Longest entry.
pub(crate) const ENTRY_MAX: usize = INLINE_MAX + 4;

const WIDE: u8 = 0xC0;
const WIDE_LAST: u8 = 0xDF;
const OBJECT: u8 = 0xFF;
const OBJECT_LEN: usize = 18;

/// Where an element's bytes are.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// In the entry.
    Inline(&'a [u8]),
    /// In an object of their own: where, and how many.
    Object(PPtr<u8>, u64),
}

impl<'a> Value<'a> {
    /// The object, if it is one.
    pub fn object(self) -> Option<PPtr<u8>> {
        match self {
            Value::Object(at, _) => Some(at),
            Value::Inline(_) => None,
        }
    }

    /// The element's bytes. O(1).
    ///
    /// # Errors
    /// [`Damaged`](crate::structures#errors).
    #[inline]
    pub fn bytes(self, pool: &'a Pool) -> Result<&'a [u8]> {
        match self {
            Value::Inline(bytes) => Ok(bytes),
            Value::Object(at, len) if len <= pool.capacity(at)? => pool.bytes(at, len),
            Value::Object(..) => Err(damaged("list: an element is longer than its object")),
        }
    }

    /// True if the element is `other`.
    ///
    /// # Errors
    /// [`Damaged`](crate::structures#errors).
    #[inline]
    pub fn equals(self, pool: &'a Pool, other: &[u8]) -> Result<bool> {
        match self {
            Value::Inline(bytes) => Ok(bytes == other),
            Value::Object(_, len) if len != other.len() as u64 => Ok(false),
            Value::Object(..) => Ok(self.bytes(pool)? == other),
        }
    }
}

/// One entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// All its bytes.
    pub raw: &'a [u8],
    /// The element.
    pub value: Value<'a>,
}

impl<'a> Entry<'a> {
    /// The object that belongs to the entry, if it has one.
    pub(super) fn object(&self) -> Option<PPtr<u8>> {
        self.value.object()
    }

    /// The first entry in `bytes`.
    #[inline]
    pub(super) fn first(bytes: &'a [u8]) -> Result<Entry<'a>> {
        match Entry::short_first(bytes) {
            Some(entry) => Ok(entry),
            None => Entry::any_first(bytes),
        }
    }

    /// The last entry in `bytes`.
    #[inline]
    pub(super) fn last(bytes: &'a [u8]) -> Result<Entry<'a>> {
        match Entry::short_last(bytes) {
            Some(entry) => Ok(entry),
            None => Entry::any_last(bytes),
        }
    }

    /// The first entry, if it is a short one, as most are.
    #[inline]
    fn short_first(bytes: &'a [u8]) -> Option<Entry<'a>> {
        let (&len, rest) = bytes.split_first().filter(|&(&len, _)| len < WIDE)?;
        let (inside, rest) = rest.split_at_checked(usize::from(len))?;
        (*rest.first()? == len).then(|| Entry {
            raw: &bytes[..inside.len() + 2],
            value: Value::Inline(inside),
        })
    }

    /// The last entry, if it is a short one.
    #[inline]
    fn short_last(bytes: &'a [u8]) -> Option<Entry<'a>> {
        let (&len, rest) = bytes.split_last().filter(|&(&len, _)| len < WIDE)?;
        let (before, inside) = rest.split_at_checked(rest.len().checked_sub(usize::from(len))?)?;
        (*before.last()? == len).then(|| Entry {
            raw: &bytes[before.len() - 1..],
            value: Value::Inline(inside),
        })
    }

    #[inline(never)]
    fn any_first(bytes: &'a [u8]) -> Result<Entry<'a>> {
        let (head, len) = match *bytes {
            [len, ..] if len < WIDE => (1, len as usize),
            [high @ WIDE..=WIDE_LAST, low, ..] => (2, wide(high, low)?),
            [OBJECT, ..] => (1, OBJECT_LEN - 2),
            _ => return Err(damaged("list: an entry begins with no length")),
        };
        let raw = bytes.get(..2 * head + len).ok_or_else(overrun)?;
        Entry::new(raw, head)
    }

    #[inline(never)]
    fn any_last(bytes: &'a [u8]) -> Result<Entry<'a>> {
        let (head, len) = match *bytes {
            [.., len] if len < WIDE => (1, len as usize),
            [.., low, high @ WIDE..=WIDE_LAST] => (2, wide(high, low)?),
            [.., OBJECT] => (1, OBJECT_LEN - 2),
            _ => return Err(damaged("list: an entry ends with no length")),
        };
        let from = bytes
            .len()
            .checked_sub(2 * head + len)
            .ok_or_else(overrun)?;
        Entry::new(&bytes[from..], head)
    }

    #[inline]
    fn new(raw: &'a [u8], head: usize) -> Result<Entry<'a>> {
        let (first, last) = (raw[0], raw[raw.len() - 1]);
        let agree = first == last && (head == 1 || raw[1] == raw[raw.len() - 2]);
        if !agree {
            return Err(damaged("list: an entry's two ends disagree"));
        }
        let inside = &raw[head..raw.len() - head];
        let value = match first {
            OBJECT => {
                let word = |at: usize| {
                    let bytes = inside[at..at + 8].try_into().expect("16 bytes are inside");
                    u64::from_le_bytes(bytes)
                };
                let at = PPtr::new(word(0))
                    .ok_or_else(|| damaged("list: an element's object is null"))?;
                Value::Object(at, word(8))
            }
            _ => Value::Inline(inside),
        };
        Ok(Entry { raw, value })
    }
}

fn wide(high: u8, low: u8) -> Result<usize> {
    match usize::from(high - WIDE) << 8 | usize::from(low) {
        len if len <= INLINE_MAX => Ok(len),
        _ => Err(damaged("list: an entry is too long")),
    }
}

fn overrun() -> pobj::Error {
    damaged("list: an entry overruns its chunk")
}

/// The entries in some bytes, from both ends; the first error is the last item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entries<'a>(pub &'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Result<Entry<'a>>> {
        if self.0.is_empty() {
            return None;
        }
        if let Some(entry) = Entry::short_first(self.0) {
            self.0 = &self.0[entry.raw.len()..];
            return Some(Ok(entry));
        }
        let entry = Entry::any_first(self.0);
        self.0 = entry
            .as_ref()
            .map_or(&[], |entry| &self.0[entry.raw.len()..]);
        Some(entry)
    }
}

impl DoubleEndedIterator for Entries<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        if let Some(entry) = Entry::short_last(self.0) {
            self.0 = &self.0[..self.0.len() - entry.raw.len()];
            return Some(Ok(entry));
        }
        let entry = Entry::any_last(self.0);
        self.0 = entry
            .as_ref()
            .map_or(&[], |entry| &self.0[..self.0.len() - entry.raw.len()]);
        Some(entry)
    }
}

/// An entry on its way into a chunk or out of one. Large, so that it is filled where it lies rather
/// than passed on.
#[derive(Default)]
pub(super) struct Packed {
    bytes: ArrayVec<u8, ENTRY_MAX>,
}

impl Packed {
    /// The entry of `value`; see [`Packed::pack`].
    pub(super) fn new(tx: &mut Tx<'_>, value: &[u8]) -> Result<Packed> {
        let mut packed = Packed::default();
        packed.pack(tx, value)?;
        Ok(packed)
    }

    /// Becomes the entry of `value`, with an object allocated and filled for it if it is long.
    #[inline]
    pub(crate) fn pack(&mut self, tx: &mut Tx<'_>, value: &[u8]) -> Result<()> {
        self.bytes.clear();
        match value.len() {
            len if len < usize::from(WIDE) => {
                self.bytes.push(len as u8);
                self.put(value);
                self.bytes.push(len as u8);
            }
            len if len <= INLINE_MAX => {
                let (high, low) = (WIDE + (len >> 8) as u8, len as u8);
                self.put(&[high, low]);
                self.put(value);
                self.put(&[low, high]);
            }
            len => {
                let object = tx.alloc(len as u64, DATA)?;
                tx.fill(object, value)?;
                self.put(&[OBJECT]);
                self.put(&object.offset().to_le_bytes());
                self.put(&(len as u64).to_le_bytes());
                self.put(&[OBJECT]);
            }
        }
        Ok(())
    }

    /// Becomes a copy of an entry; its object, if it has one, changes hands.
    #[inline]
    pub(super) fn copy(&mut self, entry: &Entry<'_>) {
        self.bytes.clear();
        self.put(entry.raw);
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.bytes
            .try_extend_from_slice(bytes)
            .expect("an entry is at most ENTRY_MAX long");
    }

    /// The entry's bytes.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the element's bytes are if they are not in the entry.
    #[inline]
    pub(super) fn object(&self) -> Result<Option<Value<'_>>> {
        match self.bytes.first() {
            Some(&OBJECT) => Entry::first(&self.bytes).map(|entry| Some(entry.value)),
            _ => Ok(None),
        }
    }

    /// The element's bytes if they stand in the entry.
    #[inline]
    pub(super) fn inline(&self) -> &[u8] {
        let head = match self.bytes.first() {
            None => 0,
            Some(&first) if first < WIDE => 1,
            Some(_) => 2,
        };
        &self.bytes[head..self.bytes.len() - head]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(bytes: &[u8]) -> Vec<u8> {
        let len = bytes.len() as u8;
        [&[len], bytes, &[len]].concat()
    }

    #[test]
    fn entries_read_the_same_from_both_ends() {
        let long = vec![b'x'; 300];
        let wide = [&[0xC1, 44][..], &long, &[44, 0xC1]].concat();
        let bytes = [short(b""), short(b"one"), wide, short(&[0xFF; 3])].concat();
        let forward: Vec<_> = Entries(&bytes)
            .map(|entry| entry.unwrap().raw.to_vec())
            .collect();
        let mut back: Vec<_> = Entries(&bytes)
            .rev()
            .map(|entry| entry.unwrap().raw.to_vec())
            .collect();
        back.reverse();
        assert_eq!(forward, back);
        assert_eq!(forward.len(), 4);
        assert_eq!(forward[2].len(), 304);
    }

    #[test]
    fn damage_is_an_error_once() {
        for bytes in [
            &[3, b'a', b'b'][..],
            &[1, b'a', 2],
            &[0xE0; 40],
            &[0xFF; 17],
            &[0xC0],
            &[0xFF; 1],
        ] {
            assert!(Entries(bytes).next().unwrap().is_err(), "{bytes:?}");
            let mut entries = Entries(bytes);
            assert!(entries.next_back().unwrap().is_err(), "{bytes:?} backwards");
            assert!(entries.next_back().is_none());
        }
        assert!(
            Entry::first(&[[0xFF].as_slice(), &[0; 16], &[0xFF]].concat()).is_err(),
            "a null object"
        );
    }
}
