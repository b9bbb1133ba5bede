//! The words in which a table describes its type: commands, the grammar of their arguments, and
//! how their replies compare.

use crate::packaged::Packaged;

/// The commands of one type.
#[derive(Debug)]
pub struct Table {
    /// The type's name, as the tests print it.
    pub name: &'static str,
    /// The commands, in groups that tables may share.
    pub commands: &'static [&'static [Spec]],
}

impl Table {
    /// Those of its commands that the server of this test run has.
    pub fn here(&self) -> impl Iterator<Item = &'static Spec> {
        let all = self.commands.iter().copied().flatten();
        all.filter(|spec| spec.is_in(Packaged::current()))
    }
}

/// One command.
#[derive(Debug)]
pub struct Spec {
    /// The native name.
    pub name: &'static str,
    /// Whether the second side runs it under the prefix. Otherwise it is a native command that
    /// both sides run on their keys.
    pub prefixed: bool,
    /// How often it is drawn, relative to the others.
    pub weight: u32,
    /// Its arguments.
    pub grammar: &'static [Term],
    /// How the two replies are compared.
    pub compare: Compare,
    /// Whether now and then its arguments are bent out of shape.
    pub bent: bool,
    /// From which version on Redis has it in this form, and Valkey.
    pub since: [Option<(u32, u32)>; 2],
    /// The version of Redis from which on it is left out, where the server itself is at fault.
    pub until_redis: Option<(u32, u32)>,
}

/// What the oldest servers have.
const ALWAYS: [Option<(u32, u32)>; 2] = [Some((0, 0)); 2];

/// A command of the type, which has a `PM.` form; the replies must be equal.
pub const fn own(name: &'static str, weight: u32, grammar: &'static [Term]) -> Spec {
    Spec {
        name,
        prefixed: true,
        weight,
        grammar,
        compare: Compare::Exact,
        bent: true,
        since: ALWAYS,
        until_redis: None,
    }
}

/// A native command that both sides run; the replies must be equal.
pub const fn native(name: &'static str, weight: u32, grammar: &'static [Term]) -> Spec {
    Spec {
        name,
        prefixed: false,
        weight,
        grammar,
        compare: Compare::Exact,
        bent: true,
        since: ALWAYS,
        until_redis: None,
    }
}

impl Spec {
    /// The same command with its arguments always as the grammar says.
    pub const fn unbent(mut self) -> Self {
        self.bent = false;
        self
    }

    /// The same command, in a form that Redis has from this version on, and Valkey from that;
    /// `None`: not at all. Elsewhere it is left out.
    pub const fn since(mut self, redis: Option<(u32, u32)>, valkey: Option<(u32, u32)>) -> Self {
        self.since = [redis, valkey];
        self
    }

    /// The same command, left out in Redis from this version on: there, the server itself is at
    /// fault (docs/servers.md).
    pub(crate) const fn until_redis(mut self, major: u32, minor: u32) -> Self {
        self.until_redis = Some((major, minor));
        self
    }

    /// Whether the server has it.
    pub fn is_in(&self, server: &Packaged) -> bool {
        let [redis, valkey] = self.since;
        server.has(redis, valkey) && !server.has(self.until_redis, None)
    }

    /// The same command with its replies compared as `compare` says.
    pub const fn compared(mut self, compare: Compare) -> Self {
        self.compare = compare;
        self
    }
}

/// How two replies are compared. Errors are compared exactly in each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Equal in form and content.
    Exact,
    /// Arrays and sets whose order is open: SMEMBERS, HKEYS, SINTER.
    Unordered,
    /// Maps, or arrays of alternating keys and values, whose order is open: HGETALL.
    Pairs,
    /// The same forms and lengths, whatever the content: SRANDMEMBER, RANDOMKEY.
    Shape,
    /// A scan that ends with its first page: the elements in any order.
    WholeScan,
    /// Pages of a scan: a cursor and an array of bulk strings. Where a page ends is left open.
    Page,
    /// A time in units of so many milliseconds: TTL, PTTL, EXPIRETIME.
    Time(i64),
}

/// One part of a command's arguments.
#[derive(Clone, Copy, Debug)]
pub enum Term {
    /// A key of the pool.
    Key,
    /// The key of this number in the pool.
    KeyNumber(usize),
    /// What DUMP says of a key of the pool.
    Dump,
    /// Exactly these bytes, which the shrinker may simplify.
    Data(&'static str),
    /// A value, anything from nothing to megabytes.
    Value,
    /// A short value without the large and the exotic: elements, fields, members.
    Element,
    /// A decimal integer, extremes and malformed ones included.
    Integer,
    /// A floating point number, extremes and malformed ones included.
    Float,
    /// A position in a value: small, negative, or far beyond what is allowed.
    Offset,
    /// The number of a bit in a value: small, some thousands, or invalid.
    Bit,
    /// A longitude or a latitude, or a little more.
    Degrees,
    /// A relative time in seconds: far enough to last, or invalid.
    Seconds,
    /// A relative time in milliseconds: far enough to last, or invalid.
    Millis,
    /// A Unix time in seconds: long past, far away, or invalid.
    UnixSeconds,
    /// A Unix time in milliseconds: long past, far away, or invalid.
    UnixMillis,
    /// A database of the same side.
    Db,
    /// A literal, in any case of letters.
    Word(&'static str),
    /// These, in this order.
    All(&'static [Term]),
    /// One of these, equally likely.
    One(&'static [Term]),
    /// Some of these, in any order: a command's options.
    Options(&'static [Term]),
    /// The term, from the first number of times to the second.
    Times(usize, usize, &'static Term),
    /// The same, after the number of times.
    Counted(usize, usize, &'static Term),
}
