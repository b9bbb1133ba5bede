//! The changes of a soak: random ones, as commands, and what they do to the model.

use super::model::{Held, KEYS, State, Type};
use fastrand::Rng;
use std::iter;

/// The longest string or element, in bytes.
const LONGEST: f64 = 1_048_576.0;
/// The shortest.
const SHORTEST: f64 = 8.0;

/// One change of one client.
#[derive(Clone, Debug)]
pub enum Change {
    /// PM.SET.
    Set(u16, Vec<u8>),
    /// PM.APPEND.
    Append(u16, Vec<u8>),
    /// PM.RPUSH.
    Push(u16, Vec<Vec<u8>>),
    /// PM.HSET.
    Put(u16, Vec<(Vec<u8>, Vec<u8>)>),
    /// PM.SADD.
    Add(u16, Vec<Vec<u8>>),
    /// PM.ZADD.
    Rank(u16, Vec<(Vec<u8>, i64)>),
    /// PM.LTRIM to what is between two indexes.
    Trim(u16, usize, usize),
    /// PM.LPOP of so many.
    Pop(u16, usize),
    /// PM.HDEL.
    DropFields(u16, Vec<Vec<u8>>),
    /// PM.SREM.
    Remove(u16, Vec<Vec<u8>>),
    /// PM.ZREM.
    Unrank(u16, Vec<Vec<u8>>),
    /// PM.ZREMRANGEBYRANK from one rank to another.
    Cut(u16, usize, usize),
    /// DEL, the native command.
    Delete(Vec<u16>),
    /// UNLINK, the native command.
    Unlink(Vec<u16>),
    /// Several of them between MULTI and EXEC.
    Group(Vec<Change>),
}

impl Change {
    /// Any change, or one that only takes away.
    pub fn random(rng: &mut Rng, state: &State, takes_away: bool) -> Change {
        if rng.u8(..100) < 8 {
            let parts = (0..rng.usize(2..6)).map(|_| Self::single(rng, state, takes_away));
            return Change::Group(parts.collect());
        }
        Self::single(rng, state, takes_away)
    }

    fn single(rng: &mut Rng, state: &State, takes_away: bool) -> Change {
        if takes_away || rng.u8(..100) < 10 {
            return Self::taking(rng, state);
        }
        let key = rng.u16(..KEYS);
        match Type::of(key) {
            Type::Text if rng.u8(..4) == 0 => Change::Append(key, bytes(rng, 1.0)),
            Type::Text => Change::Set(key, bytes(rng, 1.0)),
            Type::List => Change::Push(key, many(rng, |rng| bytes(rng, 0.7))),
            Type::Hash => Change::Put(key, many(rng, |rng| (member(rng), bytes(rng, 0.7)))),
            Type::Set => Change::Add(key, many(rng, member)),
            Type::Ranked => Change::Rank(key, many(rng, |rng| (member(rng), rng.i64(-99..99)))),
        }
    }

    /// A change that needs no room.
    fn taking(rng: &mut Rng, state: &State) -> Change {
        if rng.u8(..3) == 0 {
            let most = if rng.u8(..8) == 0 { 60 } else { 3 };
            let keys = (0..rng.usize(1..=most)).map(|_| rng.u16(..KEYS)).collect();
            return if rng.bool() {
                Change::Delete(keys)
            } else {
                Change::Unlink(keys)
            };
        }
        let key = rng.u16(..KEYS);
        let some = |rng: &mut Rng, names: Vec<&Vec<u8>>| -> Vec<Vec<u8>> {
            let share = rng.u8(1..=100);
            let mut chosen: Vec<Vec<u8>> = names
                .into_iter()
                .filter(|_| rng.u8(..100) < share)
                .cloned()
                .collect();
            chosen.push(b"not there".to_vec());
            chosen
        };
        match state.get(&key) {
            None | Some(Held::Text(_)) => Change::Delete(vec![key]),
            Some(Held::List(list)) => {
                let at = rng.usize(..=list.len());
                match rng.u8(..3) {
                    0 => Change::Pop(key, at.max(1)),
                    1 => Change::Trim(key, at, list.len()),
                    _ => Change::Trim(key, at / 2, at),
                }
            }
            Some(Held::Hash(hash)) => Change::DropFields(key, some(rng, hash.keys().collect())),
            Some(Held::Set(set)) => Change::Remove(key, some(rng, set.iter().collect())),
            Some(Held::Ranked(ranked)) if rng.bool() => {
                Change::Unrank(key, some(rng, ranked.keys().collect()))
            }
            Some(Held::Ranked(ranked)) => {
                let from = rng.usize(..ranked.len());
                Change::Cut(key, from, rng.usize(from..ranked.len()))
            }
        }
    }

    /// True if it only takes away, so that it must not be refused.
    pub(crate) fn takes_away(&self) -> bool {
        use Change::*;
        match self {
            Set(..) | Append(..) | Push(..) | Put(..) | Add(..) | Rank(..) => false,
            Group(parts) => parts.iter().all(Change::takes_away),
            _ => true,
        }
    }

    /// The commands that make it. The last one's reply tells how it went.
    pub fn commands(&self, client: usize) -> Vec<Vec<Vec<u8>>> {
        use Change::*;
        let name = |key: &u16| name(client, *key);
        let one = |command: &str, key: &u16, rest: Vec<Vec<u8>>| {
            let head = [command.as_bytes().to_vec(), name(key)];
            vec![head.into_iter().chain(rest).collect::<Vec<_>>()]
        };
        let number = |n: &usize| n.to_string().into_bytes();
        let keys = |command: &str, keys: &Vec<u16>| {
            let head = iter::once(command.as_bytes().to_vec());
            vec![head.chain(keys.iter().map(name)).collect::<Vec<_>>()]
        };
        match self {
            Set(key, value) => one("PM.SET", key, vec![value.clone()]),
            Append(key, value) => one("PM.APPEND", key, vec![value.clone()]),
            Push(key, elements) => one("PM.RPUSH", key, elements.clone()),
            Put(key, pairs) => {
                let words = pairs.iter().flat_map(|(f, v)| [f.clone(), v.clone()]);
                one("PM.HSET", key, words.collect())
            }
            Add(key, members) => one("PM.SADD", key, members.clone()),
            Rank(key, pairs) => {
                let words = pairs
                    .iter()
                    .flat_map(|(m, s)| [s.to_string().into_bytes(), m.clone()]);
                one("PM.ZADD", key, words.collect())
            }
            Trim(key, from, to) => one("PM.LTRIM", key, vec![number(from), number(to)]),
            Pop(key, count) => one("PM.LPOP", key, vec![number(count)]),
            DropFields(key, fields) => one("PM.HDEL", key, fields.clone()),
            Remove(key, members) => one("PM.SREM", key, members.clone()),
            Unrank(key, members) => one("PM.ZREM", key, members.clone()),
            Cut(key, from, to) => one("PM.ZREMRANGEBYRANK", key, vec![number(from), number(to)]),
            Delete(those) => keys("DEL", those),
            Unlink(those) => keys("UNLINK", those),
            Group(parts) => {
                let mut all = vec![vec![b"MULTI".to_vec()]];
                all.extend(parts.iter().flat_map(|part| part.commands(client)));
                all.push(vec![b"EXEC".to_vec()]);
                all
            }
        }
    }

    /// Whether it is a native command, which goes on in a group that has failed.
    pub fn is_native(&self) -> bool {
        matches!(self, Change::Delete(_) | Change::Unlink(_))
    }

    /// What it does natively, a key at a time.
    pub(crate) fn native_steps(&self) -> Vec<Change> {
        match self {
            Change::Delete(keys) | Change::Unlink(keys) => {
                keys.iter().map(|&key| Change::Delete(vec![key])).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether its connection is cut if it finds no room half-way.
    pub(crate) fn may_be_cut(&self) -> bool {
        matches!(self, Change::Group(parts) if parts.iter().any(|part| !part.takes_away()))
    }

    /// The commands, without what is long, for messages.
    pub fn summary(&self) -> String {
        let commands = self.commands(0).into_iter().map(|words| {
            let head = words
                .iter()
                .take(2)
                .map(|word| word.escape_ascii().to_string());
            let head: Vec<_> = head.collect();
            match words.len() {
                0..=2 => head.join(" "),
                len => format!("{} and {} more", head.join(" "), len - 2),
            }
        });
        commands.collect::<Vec<_>>().join("; ")
    }

    /// Does it to the model.
    pub fn apply(&self, state: &mut State) {
        use Change::*;
        match self {
            Group(parts) => return parts.iter().for_each(|part| part.apply(state)),
            Delete(keys) | Unlink(keys) => {
                for key in keys {
                    state.remove(key);
                }
                return;
            }
            _ => {}
        }
        let key = self.key().expect("the others are changes of one key");
        let held = state.entry(key).or_insert_with(|| Held::empty(key));
        match (self, &mut *held) {
            (Set(_, value), Held::Text(text)) => text.clone_from(value),
            (Append(_, value), Held::Text(text)) => text.extend_from_slice(value),
            (Push(_, elements), Held::List(list)) => list.extend(elements.iter().cloned()),
            (Trim(_, from, to), Held::List(list)) => {
                list.truncate(to + 1);
                list.drain(..(*from).min(list.len()));
            }
            (Pop(_, count), Held::List(list)) => {
                list.drain(..(*count).min(list.len()));
            }
            (Put(_, pairs), Held::Hash(hash)) => hash.extend(pairs.iter().cloned()),
            (DropFields(_, fields), Held::Hash(hash)) => {
                hash.retain(|field, _| !fields.contains(field));
            }
            (Add(_, members), Held::Set(set)) => set.extend(members.iter().cloned()),
            (Remove(_, members), Held::Set(set)) => set.retain(|one| !members.contains(one)),
            (Rank(_, pairs), Held::Ranked(ranked)) => ranked.extend(pairs.iter().cloned()),
            (Unrank(_, members), Held::Ranked(ranked)) => {
                ranked.retain(|member, _| !members.contains(member));
            }
            (Cut(_, from, to), Held::Ranked(ranked)) => {
                let mut order: Vec<_> = ranked.iter().map(|(m, s)| (*s, m.clone())).collect();
                order.sort();
                for (_, member) in order.into_iter().take(to + 1).skip(*from) {
                    ranked.remove(&member);
                }
            }
            (change, held) => unreachable!("{change:?} of {}", held.summary()),
        }
        if held.is_empty() {
            state.remove(&key);
        }
    }

    fn key(&self) -> Option<u16> {
        use Change::*;
        match self {
            Set(key, _) | Append(key, _) | Push(key, _) | Put(key, _) | Add(key, _) => Some(*key),
            Rank(key, _) | Trim(key, ..) | Pop(key, _) | DropFields(key, _) => Some(*key),
            Remove(key, _) | Unrank(key, _) | Cut(key, ..) => Some(*key),
            Delete(_) | Unlink(_) | Group(_) => None,
        }
    }
}

/// The name of a client's key.
pub fn name(client: usize, key: u16) -> Vec<u8> {
    format!("soak:{client}:{key}").into_bytes()
}

/// Random bytes; sizes of all magnitudes are equally likely, up to a power of [`LONGEST`].
fn bytes(rng: &mut Rng, power: f64) -> Vec<u8> {
    let magnitude = (LONGEST.powf(power) / SHORTEST).ln() * rng.f64();
    let len = (SHORTEST * magnitude.exp()) as usize;
    let mut value = vec![0; len];
    rng.fill(&mut value);
    value
}

/// One of some names of a hash's field or a set's member, sometimes a long one.
fn member(rng: &mut Rng) -> Vec<u8> {
    let mut name = format!("member:{}", rng.u16(..2000)).into_bytes();
    if rng.u8(..20) == 0 {
        let len = rng.usize(..20_000);
        name.resize(name.len() + len, b'.');
    }
    name
}

/// One or two, sometimes hundreds.
fn many<T>(rng: &mut Rng, one: impl Fn(&mut Rng) -> T) -> Vec<T> {
    let count = match rng.u8(..20) {
        0 => rng.usize(1..300),
        _ => rng.usize(1..4),
    };
    (0..count).map(|_| one(rng)).collect()
}
