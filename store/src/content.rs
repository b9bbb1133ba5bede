//! A value as its elements, outside of any pool: on its way from one pool to another, from a file
//! or from a server into one.

use crate::Store;
use crate::damaged::damaged;
use crate::inline::Inline;
use crate::record::RecordPtr;
use crate::structures::hash::Field;
use crate::structures::limits::AllLimits;
use crate::structures::{self, Element, Root};
use crate::value::ValueType;
use pobj::{Error, Pool, Result, Tx};
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Deref;
use xxhash_rust::xxh3::xxh3_128;

/// Bytes of a file, or of their own.
pub type Bytes<'c> = Cow<'c, [u8]>;

/// An element, of bytes of its own or borrowed ones.
#[derive(Clone, Debug, PartialEq)]
pub enum Item<B> {
    /// A string's bytes, an element of a list, a member of a set.
    Bytes(B),
    /// An element of a sorted set, and its score.
    Scored(B, f64),
    /// A field of a hash: its name, its value, and its expire time in Unix milliseconds, or
    /// [`FIELD_NEVER`](crate::expiry::FIELD_NEVER).
    Field(B, B, i64),
}

impl<B: Deref<Target = [u8]>> Item<B> {
    /// What a structure takes it for.
    pub fn element(&self) -> Element<'_> {
        match self {
            Item::Bytes(bytes) => Element::Bytes(bytes),
            Item::Scored(name, score) => Element::Scored(name, *score),
            Item::Field(name, value, expire_at) => Element::Field(Field {
                name,
                value,
                expire_at: *expire_at,
            }),
        }
    }
}

impl<'e> From<Element<'e>> for Item<Vec<u8>> {
    fn from(element: Element<'e>) -> Self {
        match element {
            Element::Bytes(bytes) => Item::Bytes(bytes.to_vec()),
            Element::Scored(name, score) => Item::Scored(name.to_vec(), score),
            Element::Field(field) => {
                Item::Field(field.name.to_vec(), field.value.to_vec(), field.expire_at)
            }
        }
    }
}

/// A value's elements, in the shape of its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Content<B> {
    /// The type of value.
    pub ty: ValueType,
    /// In the order of the type: a string has one, and an empty value of any other none.
    pub elements: Vec<Item<B>>,
}

impl Content<Vec<u8>> {
    /// The elements of a value, and what is damaged behind them. None if not even the first one can
    /// be read, or of a string not all. O(n), in memory, too.
    pub fn read(
        pool: &Pool,
        ty: ValueType,
        root: Root,
        inline: Inline,
    ) -> (Option<Self>, Option<Error>) {
        let mut elements = Vec::new();
        let walked = structures::of(ty).each(pool, root, inline, &mut |element| {
            elements.push(element.into());
            Ok(true)
        });
        let content = Content { ty, elements };
        ((!content.is_empty()).then_some(content), walked.err())
    }
}

impl<B: Deref<Target = [u8]>> Content<B> {
    /// Whether there is no element, so that there is no such key.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Bytes of the record's area that the value takes.
    pub fn inline_len(&self) -> u64 {
        match self.elements.first() {
            Some(first) => structures::of(self.ty).inline_for(&first.element()),
            None => 0,
        }
    }

    /// Makes the value; its elements all differ where they have to, and no score is not a number.
    /// O(n), sorted sets O(n log n).
    ///
    /// # Errors
    /// `Full`; nothing is made once the transaction is dropped then.
    pub fn build(&self, tx: &mut Tx<'_>, limits: AllLimits, inline: Inline) -> Result<Root> {
        let elements: Vec<Element<'_>> = self.elements.iter().map(Item::element).collect();
        structures::of(self.ty).build(tx, limits, inline, &elements)
    }

    /// Why no value can be made of the elements, if none can.
    fn fault(&self) -> Option<&'static str> {
        let mut names = HashSet::new();
        if structures::of(self.ty).shape().differ() {
            names.reserve(self.elements.len());
            if !(self.elements.iter()).all(|item| names.insert(item.element().name())) {
                return Some("an element twice");
            }
        }
        let is_nan = |item: &Item<B>| matches!(item, Item::Scored(_, score) if score.is_nan());
        match () {
            _ if self.is_empty() => Some("a value without elements"),
            _ if self.elements.iter().any(is_nan) => Some("a score that is not a number"),
            _ => None,
        }
    }

    /// Leaves of each member, field or element that is there several times the first one, and none
    /// whose score is not a number: what a value can be made of, if anything is left.
    pub fn drop_unsound(&mut self) {
        let mut sound = Sound::of(self.ty);
        self.elements
            .retain(|item| sound.admit(&item.element()).is_ok());
    }
}

/// The elements of a value that is being read, and may be damaged: each is there once, if it may be
/// there once only, and every score is a number.
pub struct Sound {
    differ: bool,
    names: HashSet<u128>,
}

impl Sound {
    /// No element yet, of a value of this type.
    pub fn of(ty: ValueType) -> Sound {
        Sound {
            differ: structures::of(ty).shape().differ(),
            names: HashSet::new(),
        }
    }

    /// Takes the next element. O(1), and 16 bytes of memory.
    ///
    /// # Errors
    /// `Damaged` if no value has this element behind those before it.
    pub fn admit(&mut self, element: &Element<'_>) -> Result<()> {
        if matches!(element, Element::Scored(_, score) if score.is_nan()) {
            return Err(damaged("a score is not a number"));
        }
        if self.differ && !self.names.insert(xxh3_128(element.name())) {
            return Err(damaged("a value has an element twice"));
        }
        Ok(())
    }
}

impl Store {
    /// Makes a live key of these elements, for a name that the database does not have. Durable on
    /// return, or with the group. O(n), sorted sets O(n log n).
    ///
    /// # Errors
    /// `Full`; `State` if there is no element, one twice that may be there once, or a score that is
    /// no number. Nothing is made then.
    pub fn make_from<B: Deref<Target = [u8]>>(
        &mut self,
        key: &[u8],
        db: i32,
        expire_at: i64,
        limits: AllLimits,
        content: &Content<B>,
    ) -> Result<RecordPtr> {
        if let Some(fault) = content.fault() {
            return Err(Error::State(fault.to_owned()));
        }
        let (ty, inline) = (content.ty, content.inline_len());
        self.make(ty, key, db, inline, expire_at, |tx, inline| {
            content.build(tx, limits, inline)
        })
    }
}
