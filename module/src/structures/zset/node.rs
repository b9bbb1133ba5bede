//! The nodes of a large sorted set's tree, and its members.
//!
//! ```text
//! member, an entry of the table: 12 bytes and the name
//!  0  4  len       of the name, bytes
//!  4  8  score     f64
//! 12     name
//!
//! leaf, 512 bytes: up to 30 slots, in no order
//!  0 30  order     slot numbers: those of the elements, ascending by (score, name), then the free ones
//! 30  2  reserved  zero
//! 32     30 times: score f64, member pointer
//!
//! inner node, 2024 bytes: up to 63 children, ascending
//!   0  8  n         children
//!   8     63 times  score of the first element below the child
//! 512     63 times  pointer to that element's member
//! 1016    63 times  number of elements below the child
//! 1520    63 times  pointer to the child
//! ```
//!
//! How many elements a leaf has is said by its parent (by the value's root, if there is no parent). So
//! one more element costs a leaf its slot and a few bytes of order, and each node above one word.
//!
//! The first element below a node's first child is not kept up to date there: the separator that
//! counts is in the nearest ancestor where the path goes through another child than the first.

use bytemuck::{Pod, Zeroable};
use pobj::{Error, Kind, PPtr, Pool, Result, Tx};
use static_assertions::const_assert_eq;
use std::cmp::Ordering;
use std::mem::{offset_of, size_of};

/// Most elements of a leaf.
pub const LEAF_MAX: usize = 30;
/// Below so many elements a leaf is joined with a neighbour, or takes some from it.
pub const LEAF_MIN: usize = 10;
/// Most children of an inner node.
pub const INNER_MAX: usize = 63;
/// Below so many children an inner node is joined with a neighbour, or takes some from it.
pub const INNER_MIN: usize = 20;

/// A contradiction on media.
pub fn damaged(what: &str) -> Error {
    Error::Damaged(format!("a sorted set: {what}"))
}

/// The fixed part of a member.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Member {
    len: u32,
    /// Low and high half of the score's bits; so the whole needs no padding.
    score: [u32; 2],
}
const_assert_eq!(size_of::<Member>(), 12);

/// A pointer to a member.
pub type MemberPtr = PPtr<Member>;

/// Where a member's name begins.
pub const NAME_AT: u64 = size_of::<Member>() as u64;

impl Member {
    /// The score.
    #[inline]
    pub fn score(&self) -> f64 {
        f64::from_bits(u64::from(self.score[0]) | u64::from(self.score[1]) << 32)
    }

    /// Makes a member in the running transaction.
    pub fn create(tx: &mut Tx<'_>, name: &[u8], score: f64) -> Result<MemberPtr> {
        let len = u32::try_from(name.len()).map_err(|_| Error::TooLarge(name.len() as u64))?;
        let ptr = tx.alloc(NAME_AT + u64::from(len), Kind::Data)?;
        let bits = score.to_bits();
        let head = Member {
            len,
            score: [bits as u32, (bits >> 32) as u32],
        };
        tx.fill_value(ptr.cast(), &head)?;
        tx.fill(ptr.at(NAME_AT), name)?;
        Ok(ptr.cast())
    }

    /// Changes the score. Logged.
    pub fn set_score(tx: &mut Tx<'_>, ptr: MemberPtr, score: f64) -> Result<()> {
        tx.write(
            ptr.at(offset_of!(Member, score) as u64),
            &score.to_le_bytes(),
        )
    }
}

/// The name and score of a member.
#[inline]
pub fn member(pool: &Pool, ptr: MemberPtr) -> Result<(&[u8], f64)> {
    let head = pool.get(ptr)?;
    let name = pool.bytes(ptr.at(NAME_AT), u64::from(head.len))?;
    Ok((name, head.score()))
}

/// The name of a member given by its offset.
#[inline]
pub fn name_at(pool: &Pool, at: u64) -> Result<&[u8]> {
    Ok(member(pool, pointer(at)?)?.0)
}

/// The pointer to a non-zero offset.
#[inline]
pub fn pointer<T>(at: u64) -> Result<PPtr<T>> {
    PPtr::new(at).ok_or_else(|| damaged("a null pointer"))
}

/// An element as leaves and separators hold it.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Element {
    /// The score, a copy of the member's.
    pub score: f64,
    /// Offset of the member.
    pub member: u64,
}

/// A place between elements, for searches.
#[derive(Clone, Copy, Debug)]
pub enum Bound<'a> {
    /// Before the elements of this score.
    BeforeScore(f64),
    /// After the elements of this score.
    AfterScore(f64),
    /// Before this name (all scores being equal).
    BeforeName(&'a [u8]),
    /// After this name (all scores being equal).
    AfterName(&'a [u8]),
    /// Just before this element.
    Before(f64, &'a [u8]),
    /// Just after this element.
    After(f64, &'a [u8]),
}

impl Bound<'_> {
    /// Whether an element lies before the place. `name` is asked for only where it decides.
    #[inline]
    pub fn is_after<'p>(
        &self,
        score: f64,
        name: impl FnOnce() -> Result<&'p [u8]>,
    ) -> Result<bool> {
        Ok(match *self {
            Bound::BeforeScore(bound) => score < bound,
            Bound::AfterScore(bound) => score <= bound,
            Bound::BeforeName(bound) => name()? < bound,
            Bound::AfterName(bound) => name()? <= bound,
            Bound::Before(at, bound) => score < at || score == at && name()? < bound,
            Bound::After(at, bound) => score < at || score == at && name()? <= bound,
        })
    }
}

/// The order of elements: by score, then by the names' bytes. Minus zero equals zero.
#[inline]
pub fn compare(a: (f64, &[u8]), b: (f64, &[u8])) -> Ordering {
    a.0.partial_cmp(&b.0)
        .unwrap_or(Ordering::Equal)
        .then_with(|| a.1.cmp(b.1))
}

/// A leaf. See the byte map above.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Leaf {
    order: [u8; LEAF_MAX],
    reserved: [u8; 2],
    slots: [Element; LEAF_MAX],
}
const_assert_eq!(size_of::<Leaf>(), 512);

impl Leaf {
    /// A leaf of these elements, at most `LEAF_MAX`.
    pub fn new(elements: &[Element]) -> Leaf {
        let mut leaf = Leaf::zeroed();
        leaf.order = std::array::from_fn(|i| i as u8);
        leaf.slots[..elements.len()].copy_from_slice(elements);
        leaf
    }

    /// The `i`-th element.
    #[inline]
    pub fn element(&self, i: usize) -> Result<Element> {
        let slot = usize::from(*self.order.get(i).ok_or_else(|| damaged("an index"))?);
        self.slots
            .get(slot)
            .copied()
            .ok_or_else(|| damaged("a leaf's order"))
    }

    /// The numbers of the slots: of those in use, ascending, and of the free ones.
    pub fn order(&self) -> &[u8] {
        &self.order
    }

    /// How many of the `n` elements lie before the bound.
    pub fn search(&self, pool: &Pool, n: usize, bound: &Bound<'_>) -> Result<usize> {
        let (mut low, mut high) = (0, n);
        while low < high {
            let middle = (low + high) / 2;
            let element = self.element(middle)?;
            if bound.is_after(element.score, || name_at(pool, element.member))? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Puts an element at index `i` of `n`, which is below `LEAF_MAX`.
    pub fn insert(&mut self, i: usize, n: usize, element: Element) -> Result<()> {
        let slot = *self.order.get(n).ok_or_else(|| damaged("a full leaf"))?;
        *self
            .slots
            .get_mut(usize::from(slot))
            .ok_or_else(|| damaged("a leaf's order"))? = element;
        self.order[i..=n].rotate_right(1);
        Ok(())
    }

    /// Takes the element at index `i` of `n` out.
    pub fn remove(&mut self, i: usize, n: usize) -> Result<Element> {
        let element = self.element(i)?;
        self.order[i..n].rotate_left(1);
        Ok(element)
    }
}

/// An inner node. See the byte map above.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Inner {
    n: u64,
    scores: [f64; INNER_MAX],
    firsts: [u64; INNER_MAX],
    counts: [u64; INNER_MAX],
    children: [u64; INNER_MAX],
}
const_assert_eq!(size_of::<Inner>(), 2024);

/// What an inner node says of a child.
#[derive(Clone, Copy, Debug)]
pub struct Child {
    /// The first element below.
    pub first: Element,
    /// Number of elements below.
    pub count: u64,
    /// Offset of the node.
    pub node: u64,
}

impl Inner {
    /// A node of these children, at most `INNER_MAX`.
    pub fn new(children: &[Child]) -> Inner {
        let mut inner = Inner::zeroed();
        for (i, &child) in children.iter().enumerate() {
            inner.put(i, child);
        }
        inner.n = children.len() as u64;
        inner
    }

    /// Where the count of child `i` lies, from the node's first byte.
    pub fn count_at(i: usize) -> u64 {
        offset_of!(Inner, counts) as u64 + 8 * i as u64
    }

    /// Number of children.
    #[inline]
    pub fn len(&self) -> Result<usize> {
        match self.n {
            1..=63 => Ok(self.n as usize),
            _ => Err(damaged("an inner node's length")),
        }
    }

    /// What the node says of child `i`.
    #[inline]
    pub fn child(&self, i: usize) -> Child {
        let first = Element {
            score: self.scores[i],
            member: self.firsts[i],
        };
        Child {
            first,
            count: self.counts[i],
            node: self.children[i],
        }
    }

    /// The numbers of elements below the children.
    #[inline]
    pub fn counts(&self) -> Result<&[u64]> {
        Ok(&self.counts[..self.len()?])
    }

    fn put(&mut self, i: usize, child: Child) {
        self.scores[i] = child.first.score;
        self.firsts[i] = child.first.member;
        self.counts[i] = child.count;
        self.children[i] = child.node;
    }

    /// The child that a search for the bound goes to: the last one that begins before it.
    #[inline]
    pub fn search(&self, pool: &Pool, bound: &Bound<'_>) -> Result<usize> {
        let (mut low, mut high) = (1, self.len()?);
        while low < high {
            let middle = (low + high) / 2;
            if bound.is_after(self.scores[middle], || name_at(pool, self.firsts[middle]))? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low - 1)
    }

    /// Says of child `i` how many elements are below it.
    pub fn set_count(&mut self, i: usize, count: u64) {
        self.counts[i] = count;
    }

    /// Says of child `i` which element is its first.
    pub fn set_first(&mut self, i: usize, first: Element) {
        self.scores[i] = first.score;
        self.firsts[i] = first.member;
    }

    /// Puts a child at index `i`. There must be room.
    pub fn insert(&mut self, i: usize, child: Child) -> Result<()> {
        let n = self.n as usize;
        if n >= INNER_MAX || i > n {
            return Err(damaged("a full inner node"));
        }
        self.scores.copy_within(i..n, i + 1);
        self.firsts.copy_within(i..n, i + 1);
        self.counts.copy_within(i..n, i + 1);
        self.children.copy_within(i..n, i + 1);
        self.put(i, child);
        self.n += 1;
        Ok(())
    }

    /// Takes child `i` out; the node may be left without any.
    pub fn remove(&mut self, i: usize) -> Result<Child> {
        let n = self.len()?;
        if i >= n {
            return Err(damaged("a child's index"));
        }
        let child = self.child(i);
        self.scores.copy_within(i + 1..n, i);
        self.firsts.copy_within(i + 1..n, i);
        self.counts.copy_within(i + 1..n, i);
        self.children.copy_within(i + 1..n, i);
        self.n -= 1;
        Ok(child)
    }

    /// True if [`Inner::remove`] has taken the last child out.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }
}
