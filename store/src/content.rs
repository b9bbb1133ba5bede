//! A value as its elements, outside of any pool: on its way from one pool to another, from a file
//! or from a server into one.

use crate::Store;
use crate::inline::Inline;
use crate::record::RecordPtr;
use crate::structures::hash::{self, Field};
use crate::structures::list::{self, Side};
use crate::structures::{Root, set, string, zset};
use crate::value::ValueType;
use pobj::{Error, Pool, Result, Tx};
use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::Hash;

/// Bytes of a pool, of a file, or of their own.
pub type Bytes<'c> = Cow<'c, [u8]>;

/// A value's elements.
#[derive(Clone, Debug, PartialEq)]
pub enum Content<'c> {
    /// A string's bytes.
    String(Bytes<'c>),
    /// A list's elements, from left to right.
    List(Vec<Bytes<'c>>),
    /// A set's members.
    Set(Vec<Bytes<'c>>),
    /// A hash's fields: name, value, and expire time in Unix milliseconds, or [`hash::NEVER`].
    Hash(Vec<(Bytes<'c>, Bytes<'c>, i64)>),
    /// A sorted set's elements and their scores.
    ZSet(Vec<(Bytes<'c>, f64)>),
}

impl<'c> Content<'c> {
    /// The elements of a value, and what is damaged behind them. None if not even the first one can
    /// be read, or of a string not all. O(n), in memory, too, where the elements themselves stay in
    /// the pool but for integers.
    pub fn read(
        pool: &'c Pool,
        ty: ValueType,
        root: Root,
        inline: Inline,
    ) -> (Option<Content<'c>>, Option<Error>) {
        let mut damage = None;
        let mut note = |outcome: Result<()>| damage = outcome.err();
        let content = match ty {
            ValueType::String => match string::read(pool, root, inline) {
                Ok(value) => {
                    let mut digits = itoa::Buffer::new();
                    let bytes = value.map_or(Vec::new(), |value| value.text(&mut digits).to_vec());
                    Content::String(bytes.into())
                }
                Err(error) => return (None, Some(error)),
            },
            ValueType::List => {
                let mut elements = Vec::new();
                note(list::each(pool, root, Side::Left, 0, |value| {
                    elements.push(value.bytes(pool)?.into());
                    Ok(true)
                }));
                Content::List(elements)
            }
            ValueType::Set => {
                let mut members = Vec::new();
                note(set::members(pool, root).and_then(|mut walk| {
                    walk.try_for_each(|member| {
                        let mut digits = itoa::Buffer::new();
                        members.push(member?.bytes(&mut digits).to_vec().into());
                        Ok(())
                    })
                }));
                Content::Set(members)
            }
            ValueType::Hash => {
                let mut fields = Vec::new();
                note(hash::fields(pool, root).and_then(|mut walk| {
                    walk.try_for_each(|field| {
                        let field = field?;
                        fields.push((field.name.into(), field.value.into(), field.expire_at));
                        Ok(())
                    })
                }));
                Content::Hash(fields)
            }
            ValueType::ZSet => {
                let mut elements = Vec::new();
                note(zset::walk(pool, root, 0, false).and_then(|mut walk| {
                    while let Some((name, score)) = walk.step()? {
                        elements.push((name.into(), score));
                    }
                    Ok(())
                }));
                Content::ZSet(elements)
            }
        };
        match content.is_empty() {
            true => (None, damage),
            false => (Some(content), damage),
        }
    }

    /// The type of value.
    pub fn value_type(&self) -> ValueType {
        match self {
            Content::String(_) => ValueType::String,
            Content::List(_) => ValueType::List,
            Content::Set(_) => ValueType::Set,
            Content::Hash(_) => ValueType::Hash,
            Content::ZSet(_) => ValueType::ZSet,
        }
    }

    /// Whether there is no element, so that there is no such key. A string may be empty.
    pub fn is_empty(&self) -> bool {
        match self {
            Content::String(_) => false,
            Content::List(elements) | Content::Set(elements) => elements.is_empty(),
            Content::Hash(fields) => fields.is_empty(),
            Content::ZSet(elements) => elements.is_empty(),
        }
    }

    /// The same, of bytes of its own.
    pub fn into_owned(self) -> Content<'static> {
        let own = |bytes: Bytes<'_>| Cow::Owned(bytes.into_owned());
        match self {
            Content::String(bytes) => Content::String(own(bytes)),
            Content::List(elements) => Content::List(elements.into_iter().map(own).collect()),
            Content::Set(members) => Content::Set(members.into_iter().map(own).collect()),
            Content::Hash(fields) => Content::Hash(
                fields
                    .into_iter()
                    .map(|(name, value, expire_at)| (own(name), own(value), expire_at))
                    .collect(),
            ),
            Content::ZSet(elements) => Content::ZSet(
                elements
                    .into_iter()
                    .map(|(name, score)| (own(name), score))
                    .collect(),
            ),
        }
    }

    /// Bytes of the record's area that the value takes.
    pub fn inline_len(&self) -> u64 {
        match self {
            Content::String(bytes) => string::Value::of(bytes).inline_len(),
            _ => 0,
        }
    }

    /// Makes the value; its elements all differ where they have to, and no score is not a number.
    /// O(n), sorted sets O(n log n).
    ///
    /// # Errors
    /// `Full`; nothing is made once the transaction is dropped then.
    pub fn build(&self, tx: &mut Tx<'_>, inline: Inline) -> Result<Root> {
        match self {
            Content::String(bytes) => {
                let mut root = Root::EMPTY;
                string::set(tx, &mut root, inline, string::Value::of(bytes))?;
                Ok(root)
            }
            Content::List(elements) => {
                let mut root = Root::EMPTY;
                list::push(tx, &mut root, Side::Right, elements.iter().map(|e| &**e))?;
                Ok(root)
            }
            Content::Set(members) => set::build(tx, members.iter().map(|member| &**member)),
            Content::Hash(fields) => {
                let fields = fields.iter().map(|(name, value, expire_at)| Field {
                    name,
                    value,
                    expire_at: *expire_at,
                });
                hash::build(tx, fields)
            }
            Content::ZSet(elements) => {
                let scored = elements.iter().map(|(name, score)| (&**name, *score));
                let mut sorted: Vec<(&[u8], f64)> = scored.collect();
                zset::sort(&mut sorted);
                zset::build(tx, &sorted)
            }
        }
    }

    /// Why no value can be made of the elements, if none can.
    fn fault(&self) -> Option<&'static str> {
        match self {
            _ if self.is_empty() => Some("a value without elements"),
            Content::Set(members) if !all_differ(members.iter()) => Some("a member twice"),
            Content::Hash(fields) if !all_differ(fields.iter().map(|(name, ..)| name)) => {
                Some("a field twice")
            }
            Content::ZSet(elements) if !all_differ(elements.iter().map(|(name, _)| name)) => {
                Some("an element twice")
            }
            Content::ZSet(elements) if elements.iter().any(|(_, score)| score.is_nan()) => {
                Some("a score that is not a number")
            }
            _ => None,
        }
    }

    /// Leaves of each member, field or element that is there several times the first one. Whether
    /// there was such.
    pub fn drop_repeated(&mut self) -> bool {
        let mut seen = HashSet::new();
        let before = self.len();
        match self {
            Content::String(_) | Content::List(_) => {}
            Content::Set(members) => members.retain(|member| seen.insert(member.clone())),
            Content::Hash(fields) => fields.retain(|(name, ..)| seen.insert(name.clone())),
            Content::ZSet(elements) => elements.retain(|(name, _)| seen.insert(name.clone())),
        }
        self.len() < before
    }

    fn len(&self) -> usize {
        match self {
            Content::String(_) => 1,
            Content::List(elements) | Content::Set(elements) => elements.len(),
            Content::Hash(fields) => fields.len(),
            Content::ZSet(elements) => elements.len(),
        }
    }
}

impl Store {
    /// Makes a live key of these elements, for a name that the database does not have. Durable on
    /// return, or with the group. O(n), sorted sets O(n log n).
    ///
    /// # Errors
    /// `Full`; `State` if there is no element, one twice that may be there once, or a score that is
    /// no number. Nothing is made then.
    pub fn make_from(
        &mut self,
        key: &[u8],
        db: i32,
        expire_at: i64,
        content: &Content<'_>,
    ) -> Result<RecordPtr> {
        if let Some(fault) = content.fault() {
            return Err(Error::State(fault.to_owned()));
        }
        let (ty, inline) = (content.value_type(), content.inline_len());
        self.make(ty, key, db, inline, expire_at, |tx, inline| {
            content.build(tx, inline)
        })
    }
}

fn all_differ<T: Eq + Hash>(elements: impl ExactSizeIterator<Item = T>) -> bool {
    let mut seen = HashSet::with_capacity(elements.len());
    elements.into_iter().all(|element| seen.insert(element))
}
