//! The types of values, as numbers on media and names on the wire.

use std::ffi::CStr;

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

/// What a type is called, and how its values come to be elsewhere.
struct Row {
    ty: ValueType,
    name: &'static CStr,
    module_name: &'static CStr,
    plural: &'static str,
    adds: &'static str,
    rdb: u8,
}

/// All types, in the order of their numbers.
#[rustfmt::skip]
const ROWS: [Row; 5] = {
    use ValueType::*;
    [
        Row { ty: String, name: c"string", module_name: c"pm-string", plural: "strings", adds: "SET", rdb: 0 },
        Row { ty: List, name: c"list", module_name: c"pm-list--", plural: "lists", adds: "RPUSH", rdb: 1 },
        Row { ty: Hash, name: c"hash", module_name: c"pm-hash--", plural: "hashes", adds: "HSET", rdb: 4 },
        Row { ty: Set, name: c"set", module_name: c"pm-set---", plural: "sets", adds: "SADD", rdb: 2 },
        Row { ty: ZSet, name: c"zset", module_name: c"pm-zset--", plural: "sorted sets", adds: "ZADD", rdb: 5 },
    ]
};

const _: () = {
    let mut at = 0;
    while at < ROWS.len() {
        assert!(ROWS[at].ty.index() == at);
        at += 1;
    }
};

impl ValueType {
    /// All types, in the order of their numbers.
    pub const ALL: [ValueType; ROWS.len()] = {
        let mut all = [ValueType::String; ROWS.len()];
        let mut at = 0;
        while at < ROWS.len() {
            all[at] = ROWS[at].ty;
            at += 1;
        }
        all
    };

    /// Where it is in [`ValueType::ALL`].
    #[inline]
    pub const fn index(self) -> usize {
        self as usize - 1
    }

    /// What TYPE calls it.
    pub const fn name(self) -> &'static CStr {
        ROWS[self.index()].name
    }

    /// What the server calls the module's type: nine characters, in RDB files for good.
    pub const fn module_name(self) -> &'static CStr {
        ROWS[self.index()].module_name
    }

    /// What several values of it are called in sentences.
    pub const fn plural(self) -> &'static str {
        ROWS[self.index()].plural
    }

    /// The command that makes a value of its elements.
    pub const fn adds(self) -> &'static str {
        ROWS[self.index()].adds
    }

    /// The number of its native form in RDB files, the one that every server reads.
    pub(crate) const fn rdb(self) -> u8 {
        ROWS[self.index()].rdb
    }

    /// The type of this number on media.
    #[inline]
    pub fn from_byte(byte: u8) -> Option<ValueType> {
        ValueType::ALL.into_iter().find(|&ty| ty as u8 == byte)
    }
}
