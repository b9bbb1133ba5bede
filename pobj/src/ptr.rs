//! Typed persistent pointers: 8 bytes on media, valid in one pool, at any mapping address.

use bytemuck::{Pod, PodInOption, ZeroableInOption};
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU64;

/// What may lie in a pool: plain old data of fixed layout.
///
/// `bytemuck::Pod` proves at compile time that the type has no padding, no pointer and no invalid
/// bit pattern, so that any bytes found on media are a value of it. Sizes and offsets are asserted
/// beside each type with `static_assertions`. Fields are little-endian fixed-width integers; a
/// big-endian or 32-bit target does not compile (see `layout`).
pub trait Persistent: Pod {}
impl<T: Pod> Persistent for T {}

/// A pointer to a `T` in the pool: the offset from the pool's first byte.
///
/// It is never null; where a null is wanted, `Option<PPtr<T>>` has the same 8 bytes with zero as
/// `None`. A pointer proves nothing about what it points to: [`crate::Pool::get`] checks bounds and
/// alignment at each use.
#[repr(transparent)]
pub struct PPtr<T: ?Sized> {
    offset: NonZeroU64,
    target: PhantomData<fn() -> *const T>,
}

static_assertions::assert_eq_size!(PPtr<u64>, u64);
static_assertions::assert_eq_size!(Option<PPtr<u64>>, u64);

impl<T: ?Sized> Clone for PPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: ?Sized> Copy for PPtr<T> {}
impl<T: ?Sized> PartialEq for PPtr<T> {
    fn eq(&self, other: &Self) -> bool {
        self.offset == other.offset
    }
}
impl<T: ?Sized> Eq for PPtr<T> {}
impl<T: ?Sized> fmt::Debug for PPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PPtr({:#x})", self.offset)
    }
}

// SAFETY: `PPtr` is a transparent wrapper of `NonZeroU64`, whose `Option` uses exactly the all-zero
// bit pattern for `None` (a documented guarantee of `NonZero`), and which has no padding.
unsafe impl<T: ?Sized + 'static> ZeroableInOption for PPtr<T> {}
// SAFETY: as above: every 8-byte pattern is either `None` (zero) or a valid non-zero offset.
unsafe impl<T: ?Sized + 'static> PodInOption for PPtr<T> {}

impl<T: ?Sized> PPtr<T> {
    /// The pointer to `offset`, or `None` for offset zero.
    pub fn new(offset: u64) -> Option<Self> {
        NonZeroU64::new(offset).map(|offset| PPtr {
            offset,
            target: PhantomData,
        })
    }

    /// Bytes from the pool's first byte.
    pub fn offset(self) -> u64 {
        self.offset.get()
    }

    /// The same address, seen as another type.
    pub fn cast<U>(self) -> PPtr<U> {
        PPtr {
            offset: self.offset,
            target: PhantomData,
        }
    }

    /// The address `bytes` further on, seen as a `U`; wraps around at 2^64, where no pool reaches.
    pub fn at<U>(self, bytes: u64) -> PPtr<U> {
        let offset =
            NonZeroU64::new(self.offset.get().wrapping_add(bytes)).unwrap_or(NonZeroU64::MAX);
        PPtr {
            offset,
            target: PhantomData,
        }
    }
}

/// Memory that the running transaction has allocated: nobody can reach it before a step is over
/// that points to it. So what is [filled](crate::Tx::fill) into it need not be logged.
///
/// Only [`Tx::alloc`](crate::Tx::alloc) and [`Tx::relocate`](crate::Tx::relocate) give one. What is
/// kept of it beyond that step is its [pointer](Fresh::ptr): who kept more could write, without a
/// log entry, what others reach by then, and a power cut could leave half of it. The compiler does
/// not verify that; where assertions are on, filling it in another transaction panics.
///
/// Space in older memory can be filled as well, through its pointer, by
/// [`Tx::fill_spare`](crate::Tx::fill_spare) and [`Tx::fill_unused`](crate::Tx::fill_unused): there
/// it is for the caller to know that nobody uses it.
pub struct Fresh<T: ?Sized = u8> {
    ptr: PPtr<T>,
    /// Which transaction has allocated it.
    made_by: TxNumber,
}

/// Which transaction it is. Known where assertions are on; it takes no space elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TxNumber(#[cfg(debug_assertions)] u64);

impl TxNumber {
    /// The transaction is over.
    #[inline]
    pub(crate) fn end(&mut self) {
        #[cfg(debug_assertions)]
        {
            self.0 += 1;
        }
    }
}

impl<T: ?Sized> Clone for Fresh<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: ?Sized> Copy for Fresh<T> {}
impl<T: ?Sized> fmt::Debug for Fresh<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fresh({:#x})", self.ptr.offset)
    }
}

impl Fresh {
    pub(crate) fn new(offset: u64, made_by: TxNumber) -> Option<Fresh> {
        let ptr = PPtr::new(offset)?;
        Some(Fresh { ptr, made_by })
    }
}

impl<T: ?Sized> Fresh<T> {
    /// The pointer to it, which stays when it is fresh no more.
    pub fn ptr(self) -> PPtr<T> {
        self.ptr
    }

    /// The transaction that has allocated it.
    pub(crate) fn made_by(self) -> TxNumber {
        self.made_by
    }

    /// Bytes from the pool's first byte.
    pub fn offset(self) -> u64 {
        self.ptr.offset()
    }

    /// The same address, seen as another type.
    pub fn cast<U>(self) -> Fresh<U> {
        Fresh {
            ptr: self.ptr.cast(),
            made_by: self.made_by,
        }
    }

    /// The address `bytes` further on in the same memory, seen as a `U`.
    pub fn at<U>(self, bytes: u64) -> Fresh<U> {
        Fresh {
            ptr: self.ptr.at(bytes),
            made_by: self.made_by,
        }
    }
}

/// The pointer to one field of a persistent struct: `field!(record, Record, expire_at)`.
///
/// The result is a `PPtr` of the field's own type.
#[macro_export]
macro_rules! field {
    ($ptr:expr, $type:ty, $field:ident) => {
        $crate::project($ptr, ::core::mem::offset_of!($type, $field), |s: &$type| {
            &s.$field
        })
    };
}

/// Implementation of [`field!`]: `_type` only carries the field's type.
#[doc(hidden)]
pub fn project<T: Persistent, U>(ptr: PPtr<T>, offset: usize, _type: impl Fn(&T) -> &U) -> PPtr<U> {
    ptr.at(offset as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;

    #[derive(Clone, Copy, Pod, Zeroable)]
    #[repr(C)]
    struct Pair {
        first: u64,
        second: u32,
        third: u32,
    }

    #[test]
    fn null_is_none() {
        assert!(PPtr::<u64>::new(0).is_none());
        let none: Option<PPtr<u64>> = Zeroable::zeroed();
        assert!(none.is_none());
        assert_eq!(
            bytemuck::bytes_of(&PPtr::<u64>::new(0x1234)),
            0x1234u64.to_le_bytes()
        );
    }

    #[test]
    fn fields_keep_their_type_and_offset() {
        let pair = PPtr::<Pair>::new(4096).unwrap();
        let third: PPtr<u32> = field!(pair, Pair, third);
        assert_eq!(third.offset(), 4096 + 12);
    }
}
