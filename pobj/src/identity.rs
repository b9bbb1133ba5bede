//! What the layer above says of its pools: what identifies them, which kinds of objects they hold,
//! and the advice that messages give.

use std::ffi::CStr;

/// The largest number of kinds of objects that pools can have.
pub(crate) const KINDS_MAX: u8 = 16;

/// What an allocation holds, for the layer above; objects of one kind can be enumerated with
/// [`Pool::next_object`](crate::Pool::next_object).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Kind(u8);

impl Kind {
    /// The kind of this number, which is on media for good, below [`Layout::kinds`].
    pub const fn new(number: u8) -> Kind {
        assert!(number < KINDS_MAX, "a kind's number is below KINDS_MAX");
        Kind(number)
    }

    /// Its number.
    #[inline]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The kind of a number that was found on media; `None` if there can be none.
    pub(crate) fn from_byte(byte: u8) -> Option<Kind> {
        (byte < KINDS_MAX).then_some(Kind(byte))
    }
}

/// The pools of one program.
#[derive(Debug)]
pub struct Layout {
    /// The layout's name, which libpmemobj keeps in a pool's header.
    pub name: &'static CStr,
    /// First eight bytes of the root object.
    pub magic: u64,
    /// How many kinds of objects there are: those of the numbers below this.
    pub kinds: u8,
    /// The extended attribute that marks a pool's file (see [`mark`](crate::mark)).
    pub mark: &'static CStr,
    /// What messages advise.
    pub advice: Advice,
}

/// What the messages of errors advise, in the words of the program's own settings: how they end.
#[derive(Debug)]
pub struct Advice {
    /// To who has a pool of a newer format.
    pub newer_format: &'static str,
    /// To who wants [`Durability::Pmem`](crate::Durability::Pmem) of a file that is not on
    /// persistent memory.
    pub not_persistent: &'static str,
    /// To who wants a journal for a poolset or a device.
    pub not_one_file: &'static str,
    /// To who wants a pool to grow that keeps its size while it is open.
    pub fixed_size: &'static str,
    /// Why a pool in files of fixed sizes, or on a device, keeps its size for good, and what to do.
    pub fixed_parts: &'static str,
}

impl Layout {
    /// The layout's name, to be shown.
    pub(crate) fn shown_name(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }
}
