//! The types of values, as numbers on media and names on the wire.

/// The type of a key's value. The number is on media for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ValueType {
    /// A string.
    String = 1,
    /// A list.
    List = 2,
    /// A hash.
    Hash = 3,
    /// A set.
    Set = 4,
    /// A sorted set.
    ZSet = 5,
}

impl ValueType {
    /// All types, in the order of their numbers.
    pub const ALL: [ValueType; 5] = [
        ValueType::String,
        ValueType::List,
        ValueType::Hash,
        ValueType::Set,
        ValueType::ZSet,
    ];

    /// Where it is in [`ValueType::ALL`].
    #[inline]
    pub fn index(self) -> usize {
        self as usize - 1
    }

    /// The type of this number on media.
    #[inline]
    pub fn from_byte(byte: u8) -> Option<ValueType> {
        ValueType::ALL.into_iter().find(|&ty| ty as u8 == byte)
    }
}
