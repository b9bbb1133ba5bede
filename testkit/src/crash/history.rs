//! What one client does, operation by operation, and what it leaves behind.

use fastrand::Rng;
use std::collections::BTreeMap;

/// How many keys for values a client has.
const VALUE_KEYS: u8 = 30;

/// How many keys for counters a client has.
const COUNTER_KEYS: u8 = 5;

/// Expiry times are after this one, in Unix milliseconds: the year 2100.
const FAR_AWAY_MS: i64 = 4_102_444_800_000;

/// One atomic step of a client.
#[derive(Clone, Debug)]
pub enum Operation {
    /// PM.SET, with an expiry time perhaps.
    Set(Key, Vec<u8>, Option<i64>),
    /// PM.MSET of one value to several keys.
    SetAll(Vec<Key>, Vec<u8>),
    /// PM.APPEND.
    Append(Key, Vec<u8>),
    /// PM.SETRANGE.
    SetRange(Key, usize, Vec<u8>),
    /// PM.INCRBY on a counter.
    Increase(Key, i64),
    /// PM.GETDEL.
    GetDelete(Key),
    /// DEL, native.
    Delete(Vec<Key>),
    /// PEXPIREAT, native; a time that is over deletes the key.
    ExpireAt(Key, i64),
    /// PERSIST, native.
    Persist(Key),
    /// RENAME, native. On a key that is absent it is an error, and nothing else.
    Rename(Key, Key),
    /// Several of them between MULTI and EXEC.
    Group(Vec<Operation>),
}

/// A client's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Holds any bytes.
    Value(u8),
    /// Holds an integer.
    Counter(u8),
}

impl Key {
    /// All keys of a client.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..VALUE_KEYS)
            .map(Self::Value)
            .chain((0..COUNTER_KEYS).map(Self::Counter))
    }

    /// The name of this key of `client`'s.
    pub fn name(self, client: u64) -> Vec<u8> {
        match self {
            Self::Value(n) => format!("client{client}:value{n}").into_bytes(),
            Self::Counter(n) => format!("client{client}:counter{n}").into_bytes(),
        }
    }
}

impl Operation {
    /// The `n`-th operation of the history that `seed` stands for.
    pub fn nth(seed: u64, n: u64) -> Self {
        // Neighbouring seeds give unrelated numbers only after some mixing.
        let mut rng = Rng::with_seed(seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        if rng.u8(..100) < 10 {
            let len = rng.usize(2..6);
            return Self::Group((0..len).map(|_| Self::single(&mut rng, n)).collect());
        }
        Self::single(&mut rng, n)
    }

    fn single(rng: &mut Rng, n: u64) -> Self {
        let key = Key::Value(rng.u8(..VALUE_KEYS));
        let other = Key::Value(rng.u8(..VALUE_KEYS));
        match rng.u8(..100) {
            0..35 => {
                let expiry = rng.bool().then(|| far_away(rng));
                Self::Set(key, value(rng, n), expiry)
            }
            35..45 => {
                let keys = (0..rng.usize(2..5)).map(|_| Key::Value(rng.u8(..VALUE_KEYS)));
                let keys = keys.collect();
                Self::SetAll(keys, value(rng, n))
            }
            45..55 => Self::Append(key, value(rng, n)),
            55..62 => Self::SetRange(key, rng.usize(..3000), value(rng, n)),
            62..80 => Self::Increase(Key::Counter(rng.u8(..COUNTER_KEYS)), rng.i64(-5..1000)),
            80..83 => Self::GetDelete(key),
            83..87 => Self::Delete(vec![key, other]),
            87..92 => Self::ExpireAt(key, if rng.u8(..5) == 0 { 1 } else { far_away(rng) }),
            92..95 => Self::Persist(key),
            _ => Self::Rename(key, other),
        }
    }

    /// The commands that do it, for `client`, with `prefix` before the names of the type's own.
    pub fn commands(&self, client: u64, prefix: &str) -> Vec<Vec<Vec<u8>>> {
        let own = |name: &str| format!("{prefix}{name}").into_bytes();
        let number = |number: i64| number.to_string().into_bytes();
        let name = |key: &Key| key.name(client);
        vec![match self {
            Self::Set(key, value, None) => vec![own("SET"), name(key), value.clone()],
            Self::Set(key, value, Some(at)) => {
                vec![
                    own("SET"),
                    name(key),
                    value.clone(),
                    b"PXAT".to_vec(),
                    number(*at),
                ]
            }
            Self::SetAll(keys, value) => {
                let pairs = keys.iter().flat_map(|key| [name(key), value.clone()]);
                std::iter::once(own("MSET")).chain(pairs).collect()
            }
            Self::Append(key, value) => vec![own("APPEND"), name(key), value.clone()],
            Self::SetRange(key, offset, value) => {
                vec![
                    own("SETRANGE"),
                    name(key),
                    offset.to_string().into_bytes(),
                    value.clone(),
                ]
            }
            Self::Increase(key, by) => vec![own("INCRBY"), name(key), number(*by)],
            Self::GetDelete(key) => vec![own("GETDEL"), name(key)],
            Self::Delete(keys) => std::iter::once(b"DEL".to_vec())
                .chain(keys.iter().map(name))
                .collect(),
            Self::ExpireAt(key, at) => vec![b"PEXPIREAT".to_vec(), name(key), number(*at)],
            Self::Persist(key) => vec![b"PERSIST".to_vec(), name(key)],
            Self::Rename(from, to) => vec![b"RENAME".to_vec(), name(from), name(to)],
            Self::Group(operations) => {
                let parts = operations
                    .iter()
                    .flat_map(|part| part.commands(client, prefix));
                let multi = std::iter::once(vec![b"MULTI".to_vec()]);
                return multi.chain(parts).chain([vec![b"EXEC".to_vec()]]).collect();
            }
        }]
    }
}

fn far_away(rng: &mut Rng) -> i64 {
    FAR_AWAY_MS + rng.i64(0..1_000_000_000)
}

/// A value that tells which operation made it, of any size up to 200 KB.
fn value(rng: &mut Rng, n: u64) -> Vec<u8> {
    let len = match rng.u8(..100) {
        0..60 => rng.usize(..200),
        60..85 => rng.usize(200..4_000),
        85..97 => rng.usize(4_000..40_000),
        _ => rng.usize(40_000..200_000),
    };
    let mut bytes = format!("operation {n}:").into_bytes();
    let head = bytes.len();
    let start = rng.usize(..251);
    bytes.extend((start..start + len.saturating_sub(head)).map(|i| (i % 251) as u8));
    bytes
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The value.
    pub value: Vec<u8>,
    /// When it expires, in Unix milliseconds.
    pub expires_ms: Option<i64>,
}

/// What a client's keys hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The keys that exist.
    pub keys: BTreeMap<Key, Held>,
}

impl State {
    /// Does what the server does for `operation`.
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Set(key, value, expires_ms) => {
                self.keys.insert(
                    *key,
                    Held {
                        value: value.clone(),
                        expires_ms: *expires_ms,
                    },
                );
            }
            Operation::SetAll(keys, value) => {
                for key in keys {
                    self.keys.insert(
                        *key,
                        Held {
                            value: value.clone(),
                            expires_ms: None,
                        },
                    );
                }
            }
            Operation::Append(key, tail) => self.value(*key).extend_from_slice(tail),
            Operation::SetRange(key, offset, bytes) => {
                let value = self.value(*key);
                let end = offset + bytes.len();
                value.resize(value.len().max(end), 0);
                value[*offset..end].copy_from_slice(bytes);
            }
            Operation::Increase(key, by) => {
                let value = self.value(*key);
                let text = std::str::from_utf8(value).expect("a counter holds digits");
                let old: i64 = if text.is_empty() {
                    0
                } else {
                    text.parse().expect("a counter")
                };
                *value = (old + by).to_string().into_bytes();
            }
            Operation::GetDelete(key) => {
                self.keys.remove(key);
            }
            Operation::Delete(keys) => self.keys.retain(|key, _| !keys.contains(key)),
            Operation::ExpireAt(key, at) if *at < FAR_AWAY_MS => {
                self.keys.remove(key);
            }
            Operation::ExpireAt(key, at) => {
                if let Some(held) = self.keys.get_mut(key) {
                    held.expires_ms = Some(*at);
                }
            }
            Operation::Persist(key) => {
                if let Some(held) = self.keys.get_mut(key) {
                    held.expires_ms = None;
                }
            }
            Operation::Rename(from, to) => {
                if let Some(held) = self.keys.remove(from) {
                    self.keys.insert(*to, held);
                }
            }
            Operation::Group(operations) => operations.iter().for_each(|part| self.apply(part)),
        }
    }

    /// The value of `key`, which is made if it is absent.
    fn value(&mut self, key: Key) -> &mut Vec<u8> {
        let empty = || Held {
            value: Vec::new(),
            expires_ms: None,
        };
        &mut self.keys.entry(key).or_insert_with(empty).value
    }
}
