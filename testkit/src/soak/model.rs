//! What a client expects of its keys.

use crate::client::Client;
use crate::resp::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Keys of each client. The type of a key's value is told by its number.
pub const KEYS: u16 = 300;

/// The five types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// String.
    Text,
    /// List.
    List,
    /// Hash.
    Hash,
    /// Set.
    Set,
    /// Sorted set.
    Ranked,
}

impl Type {
    /// The type of the values that this key holds.
    pub fn of(key: u16) -> Type {
        [Type::Text, Type::List, Type::Hash, Type::Set, Type::Ranked][usize::from(key % 5)]
    }
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// A string's bytes.
    Text(Vec<u8>),
    /// A list's elements.
    List(VecDeque<Vec<u8>>),
    /// A hash's fields and values.
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    /// A set's members.
    Set(BTreeSet<Vec<u8>>),
    /// A sorted set's members and scores.
    Ranked(BTreeMap<Vec<u8>, i64>),
}

impl Held {
    /// The empty value of a key.
    pub fn empty(key: u16) -> Held {
        match Type::of(key) {
            Type::Text => Held::Text(Vec::new()),
            Type::List => Held::List(VecDeque::new()),
            Type::Hash => Held::Hash(BTreeMap::new()),
            Type::Set => Held::Set(BTreeSet::new()),
            Type::Ranked => Held::Ranked(BTreeMap::new()),
        }
    }

    /// True if a key with this value is not there. (No client sets an empty string.)
    pub fn is_empty(&self) -> bool {
        match self {
            Held::Text(text) => text.is_empty(),
            Held::List(list) => list.is_empty(),
            Held::Hash(hash) => hash.is_empty(),
            Held::Set(set) => set.is_empty(),
            Held::Ranked(ranked) => ranked.is_empty(),
        }
    }

    /// How long it is, for messages.
    pub fn summary(&self) -> String {
        match self {
            Held::Text(text) => format!("a string of {} bytes", text.len()),
            Held::List(list) => format!("a list of {}", list.len()),
            Held::Hash(hash) => format!("a hash of {}", hash.len()),
            Held::Set(set) => format!("a set of {}", set.len()),
            Held::Ranked(ranked) => format!("a sorted set of {}", ranked.len()),
        }
    }

    /// What the server holds under `name`, which is this client's key number `key`.
    ///
    /// # Panics
    /// If the connection breaks, or the reply has another form than the key's type has.
    pub fn read(client: &mut Client, name: &[u8], key: u16) -> Held {
        let words: &[&[u8]] = match Type::of(key) {
            Type::Text => &[b"PM.GET", name],
            Type::List => &[b"PM.LRANGE", name, b"0", b"-1"],
            Type::Hash => &[b"PM.HGETALL", name],
            Type::Set => &[b"PM.SMEMBERS", name],
            Type::Ranked => &[b"PM.ZRANGE", name, b"0", b"-1", b"WITHSCORES"],
        };
        let reply = client.call(words);
        if let Type::Text = Type::of(key) {
            return Held::Text(match reply {
                Value::Bulk(bytes) => bytes,
                Value::NullBulk => Vec::new(),
                other => panic!("PM.GET of a string: {other:?}"),
            });
        }
        let Value::Array(parts) = reply else {
            panic!("{}: {reply:?}", words[0].escape_ascii());
        };
        let mut parts = parts.into_iter().map(|part| match part {
            Value::Bulk(bytes) => bytes,
            other => panic!("an element: {other:?}"),
        });
        match Type::of(key) {
            Type::Text => unreachable!("answered above"),
            Type::List => Held::List(parts.collect()),
            Type::Set => Held::Set(parts.collect()),
            Type::Hash => {
                let mut hash = BTreeMap::new();
                while let (Some(field), Some(value)) = (parts.next(), parts.next()) {
                    hash.insert(field, value);
                }
                Held::Hash(hash)
            }
            Type::Ranked => {
                let mut ranked = BTreeMap::new();
                while let (Some(member), Some(score)) = (parts.next(), parts.next()) {
                    let score = String::from_utf8_lossy(&score).parse().expect("a score");
                    ranked.insert(member, score);
                }
                Held::Ranked(ranked)
            }
        }
    }
}

/// All keys that are there.
pub type State = BTreeMap<u16, Held>;
