//! Small collections: all elements in one object, one behind the other.
//!
//! ```text
//! root     value = the object, rest = number of items | used bytes << 16
//! item     0  1  length
//!          1     bytes
//! ```
//!
//! A change is composed in DRAM and then written as the difference to what is there ([`store`]):
//! bytes behind the old end are fresh, up to [`LOGGED_MAX`] changed bytes are logged, and for more
//! the object moves. One fence each; two if the object moves and has more than 1 KiB.
//!
//! An item is found by a walk from the first one on. Whoever adds one mostly finds none, and learns
//! that sooner from a search for its bytes, where there are many ([`lacks`]).

use super::Root;
use crate::damaged::damaged;
use crate::layout::DATA;
use arrayvec::ArrayVec;
#[cfg(target_arch = "x86_64")]
use memchr::arch::{all::packedpair::Pair, x86_64::avx2::packedpair::Finder};
use pobj::{Error, PPtr, Pool, Result, Tx};

/// Most elements of a packed collection: what its root can count.
pub(crate) const COUNT_MAX: u64 = u16::MAX as u64;
/// Longest item in bytes: what its length can tell.
pub(crate) const ITEM_MAX: usize = u8::MAX as usize;
/// Most bytes of a packed collection. The limits of its type are reached before.
pub(super) const BYTES_MAX: usize = 18 << 20;
/// From how many bytes on a search for an item takes clearly less than the walk that it may save.
const SEARCHED_MIN: usize = 512;
/// Most bytes that a change in place logs.
const LOGGED_MAX: usize = 512;

/// The root of a packed collection of `count` elements in the first `len` bytes of `object`.
pub(super) fn root(encoding: u8, count: u64, object: PPtr<u8>, len: usize) -> Root {
    Root::new(encoding, count | (len as u64) << 16, object.offset())
}

/// Number of elements.
#[inline]
pub(super) fn count(root: Root) -> u64 {
    root.rest() & 0xFFFF
}

/// Where the elements are, and how many bytes they take.
pub(super) fn place(root: Root) -> Result<(PPtr<u8>, usize)> {
    let (at, len) = (PPtr::new(root.value), (root.rest() >> 16) as usize);
    match at {
        Some(at) if len <= BYTES_MAX => Ok((at, len)),
        _ => Err(damaged("a packed collection: its root contradicts itself")),
    }
}

/// The elements' bytes.
#[inline]
pub(super) fn bytes(pool: &Pool, root: Root) -> Result<&[u8]> {
    let (at, len) = place(root)?;
    pool.bytes(at, len as u64)
}

/// The items in `bytes`.
pub(super) fn items(bytes: &[u8]) -> Items<'_> {
    Items { rest: bytes }
}

/// See [`items`].
#[derive(Clone)]
pub(super) struct Items<'p> {
    rest: &'p [u8],
}

impl<'p> Iterator for Items<'p> {
    type Item = Result<&'p [u8]>;

    #[inline]
    fn next(&mut self) -> Option<Result<&'p [u8]>> {
        match first(self.rest) {
            Some((item, rest)) => {
                self.rest = rest;
                Some(Ok(item))
            }
            None if self.rest.is_empty() => None,
            None => {
                self.rest = &[];
                Some(Err(overrun()))
            }
        }
    }
}

/// The first item in `bytes`, and what is behind it; `None` if there is none, or it is not whole
/// ([`overrun`]).
#[inline]
pub(super) fn first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(len))
}

/// An item is not whole.
pub(crate) fn overrun() -> Error {
    damaged("a packed collection: an item overruns it")
}

/// Whether a name of a packed collection is the wanted one. Names that differ mostly do so in their
/// lengths, or in their last bytes, as those that someone has numbered.
#[inline]
pub(crate) fn is_same(name: &[u8], wanted: &[u8]) -> bool {
    name.len() == wanted.len() && name.last() == wanted.last() && name == wanted
}

/// Whether a search shows that no item in `bytes` is the wanted one. If it does not, the item may
/// be there or not: its bytes may be a part of something else. O(bytes).
#[inline]
pub(super) fn lacks(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.len() >= SEARCHED_MIN && is_nowhere(bytes, wanted)
}

/// Whether an item's length and bytes stand nowhere behind each other. Where the processor lacks
/// what makes a search worth while, nothing is looked for.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
fn is_nowhere(bytes: &[u8], wanted: &[u8]) -> bool {
    let Ok(len @ 1..) = u8::try_from(wanted.len()) else {
        return false;
    };
    join([&[len], wanted], |item| {
        // Where both of its last two bytes are, all are compared: items that someone has numbered
        // have the others in common.
        let last = Pair::with_indices(item, len - 1, len);
        let finder = last.and_then(|last| Finder::with_pair(item, last));
        finder.is_some_and(|finder| {
            finder.min_haystack_len() <= bytes.len() && finder.find(bytes, item).is_none()
        })
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn is_nowhere(_: &[u8], _: &[u8]) -> bool {
    false
}

/// Appends an item of at most [`ITEM_MAX`] bytes.
pub(super) fn push(out: &mut Vec<u8>, item: &[u8]) {
    debug_assert!(item.len() <= ITEM_MAX);
    out.push(item.len() as u8);
    out.extend_from_slice(item);
}

/// Longest that [`join`] joins.
pub(crate) const JOIN_MAX: usize = 256;

/// Calls `f` with these bytes, one behind the other, as one run of at most [`JOIN_MAX`] bytes: what
/// is written at once costs less than what is written in pieces.
#[inline]
pub(super) fn join<const N: usize, R>(parts: [&[u8]; N], f: impl FnOnce(&[u8]) -> R) -> R {
    let mut joined = ArrayVec::<u8, JOIN_MAX>::new();
    for part in parts {
        let added = joined.try_extend_from_slice(part);
        added.expect("the caller joins no more");
    }
    f(&joined)
}

/// Appends an element to a packed collection if its object has the room for it: `items` are its
/// items as [`push`] would write them, at most [`JOIN_MAX`] bytes.
pub(super) fn append<const N: usize>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    items: [&[u8]; N],
) -> Result<bool> {
    let (object, len) = place(*root)?;
    let end = len + items.iter().map(|item| item.len()).sum::<usize>();
    if end > BYTES_MAX || end as u64 > tx.capacity(object)? {
        return Ok(false);
    }
    join(items, |bytes| tx.fill_spare(object.at(len as u64), bytes))?;
    *root = self::root(root.encoding(), count(*root) + 1, object, end);
    Ok(true)
}

/// Makes the object hold `new`: in place, or in another object. `old` is the object, if there is
/// one, and the bytes it uses.
pub(super) fn store(
    tx: &mut Tx<'_>,
    old: Option<(PPtr<u8>, usize)>,
    new: &[u8],
) -> Result<PPtr<u8>> {
    let mut size = new.len();
    if let Some((at, old_len)) = old {
        if store_in_place(tx, at, old_len, new)? {
            return Ok(at);
        }
        if new.len() > old_len {
            size += new.len() / 2;
        }
    }
    let fresh = tx.alloc(size as u64, DATA)?;
    tx.fill(fresh, new)?;
    if let Some((at, _)) = old {
        tx.free(at)?;
    }
    Ok(fresh.ptr())
}

/// A copy of a packed collection, in its encoding. O(bytes).
pub(super) fn copy(tx: &mut Tx<'_>, source: Root) -> Result<Root> {
    let bytes = bytes(tx, source)?.to_vec();
    let object = store(tx, None, &bytes)?;
    Ok(root(source.encoding(), count(source), object, bytes.len()))
}

/// Writes the difference, if the object has the room and the difference is small.
fn store_in_place(tx: &mut Tx<'_>, at: PPtr<u8>, old_len: usize, new: &[u8]) -> Result<bool> {
    let room = tx.capacity(at)? as usize;
    if new.len() > room || 4 * new.len() < room && room > 256 {
        return Ok(false);
    }
    let old = tx.bytes(at, old_len as u64)?;
    let common = old_len.min(new.len());
    let from = common_prefix(old, new);
    if from < common {
        let to = 1 + (from..common).rfind(|&i| old[i] != new[i]).unwrap_or(from);
        if to - from > LOGGED_MAX {
            return Ok(false);
        }
        tx.write(at.at(from as u64), &new[from..to])?;
    }
    if new.len() > old_len {
        tx.fill_spare(at.at(old_len as u64), &new[old_len..])?;
    }
    Ok(true)
}

/// How many bytes are the same at the start of both.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const STEP: usize = 64;
    let steps = a.chunks_exact(STEP).zip(b.chunks_exact(STEP));
    let whole = STEP * steps.take_while(|(a, b)| a == b).count();
    let rest = a[whole..].iter().zip(&b[whole..]);
    whole + rest.take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_where_bytes_differ() {
        let bytes: Vec<u8> = (0..200).collect();
        for len in [0, 1, 63, 64, 65, 128, 199, 200] {
            assert_eq!(common_prefix(&bytes, &bytes[..len]), len);
            let mut other = bytes.clone();
            other[len.min(199)] ^= 1;
            assert_eq!(common_prefix(&bytes, &other), len.min(199));
        }
    }

    #[test]
    fn what_a_search_does_not_find_is_not_there() {
        let numbered = |number: u32| format!("item:{number:05}").into_bytes();
        let mut bytes = Vec::new();
        for number in (0..200).step_by(2) {
            push(&mut bytes, &numbered(number));
        }
        for short in [0, 1, SEARCHED_MIN - 1] {
            assert!(!lacks(&bytes[..short], b"x"), "{short} bytes are walked");
        }
        for number in (0..200).step_by(2) {
            assert!(!lacks(&bytes, &numbered(number)), "{number}");
        }
        let searches = std::is_x86_feature_detected!("avx2");
        for number in (1..200).step_by(2) {
            assert_eq!(lacks(&bytes, &numbered(number)), searches, "{number}");
        }
        // Names that differ in no more than their lengths, the longest, and those that cannot be.
        for (name, is_nowhere) in [
            (b"tem:00002".as_slice(), true),
            (b"item:0000", true),
            (b"2", true),
            (b"", false),
            (&[7; ITEM_MAX], true),
            (&[7; ITEM_MAX + 1], false),
        ] {
            assert_eq!(lacks(&bytes, name), is_nowhere && searches, "{name:?}");
        }
        // A part of another item is for the walk to tell apart.
        push(&mut bytes, b"\x01x");
        assert!(!lacks(&bytes, b"x"));
        push(&mut bytes, &[9; ITEM_MAX]);
        assert!(!lacks(&bytes, &[9; ITEM_MAX]));
    }

    #[test]
    fn items_come_back_and_overruns_are_errors() {
        let mut bytes = Vec::new();
        for item in [b"".as_slice(), b"a", &[7; 64]] {
            push(&mut bytes, item);
        }
        let back: Vec<_> = items(&bytes).map(|item| item.unwrap()).collect();
        assert_eq!(back, [b"".as_slice(), b"a", &[7; 64]]);
        let cut: Vec<_> = items(&bytes[..bytes.len() - 1]).collect();
        assert!(cut.len() == 3 && cut[2].is_err());
    }
}
