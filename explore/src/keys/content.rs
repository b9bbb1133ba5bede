//! What a key must hold, of any type.

use fastrand::Rng;
use pobj::{Pool, Result, Tx};
use store::inline::Inline;
use store::structures::Root;
use store::value::ValueType;

use crate::structures::{Hashes, Lists, Sets, Strings, Structure, Value, ZSets};

/// A value's model, whatever its type.
pub(super) trait Content {
    /// The type.
    fn ty(&self) -> ValueType;
    /// Another model of the same content.
    fn again(&self) -> Box<dyn Content>;
    /// The content in short.
    fn line(&self) -> String;
    /// Makes a new value.
    fn build(&mut self, tx: &mut Tx<'_>, rng: &mut Rng, inline: Inline) -> Result<Root>;
    /// Changes a value; gives what is given up of it.
    fn change(
        &mut self,
        tx: &mut Tx<'_>,
        rng: &mut Rng,
        root: &mut Root,
        inline: Inline,
    ) -> Result<Root>;
    /// Bytes of the record's area for a new value.
    fn inline(&self, rng: &mut Rng) -> u64;
}

struct Held<S: Structure>(S::Model);

impl<S: Structure> Held<S> {
    fn with<R>(
        &mut self,
        root: &mut Root,
        inline: Inline,
        f: impl FnOnce(&mut Value<S::Model>) -> Result<R>,
    ) -> Result<R> {
        let mut value = Value {
            root: *root,
            inline,
            model: std::mem::take(&mut self.0),
        };
        let result = f(&mut value);
        (*root, self.0) = (value.root, value.model);
        result
    }
}

impl<S: Structure + 'static> Content for Held<S> {
    fn ty(&self) -> ValueType {
        S::TYPE
    }

    fn again(&self) -> Box<dyn Content> {
        Box::new(Held::<S>(self.0.clone()))
    }

    fn line(&self) -> String {
        line::<S>(S::digest(&self.0))
    }

    fn build(&mut self, tx: &mut Tx<'_>, rng: &mut Rng, inline: Inline) -> Result<Root> {
        let mut root = Root::EMPTY;
        self.with(&mut root, inline, |value| S::build(tx, rng, value))?;
        Ok(root)
    }

    fn change(
        &mut self,
        tx: &mut Tx<'_>,
        rng: &mut Rng,
        root: &mut Root,
        inline: Inline,
    ) -> Result<Root> {
        self.with(root, inline, |value| S::change(tx, rng, value))
    }

    fn inline(&self, rng: &mut Rng) -> u64 {
        S::inline(rng)
    }
}

/// An empty value of this type.
pub(super) fn empty(ty: ValueType) -> Box<dyn Content> {
    match ty {
        ValueType::String => Box::new(Held::<Strings>(Default::default())),
        ValueType::List => Box::new(Held::<Lists>(Default::default())),
        ValueType::Hash => Box::new(Held::<Hashes>(Default::default())),
        ValueType::Set => Box::new(Held::<Sets>(Default::default())),
        ValueType::ZSet => Box::new(Held::<ZSets>(Default::default())),
    }
}

/// A string of these bytes.
pub(super) fn string(bytes: Vec<u8>) -> Box<dyn Content> {
    Box::new(Held::<Strings>(bytes))
}

fn line<S: Structure>(digest: u64) -> String {
    format!("{:?} {digest:016x}", S::TYPE)
}

/// The content of the value behind a root in short.
pub(super) fn read_line(pool: &Pool, ty: ValueType, root: Root, inline: Inline) -> Result<String> {
    fn of<S: Structure>(pool: &Pool, root: Root, inline: Inline) -> Result<String> {
        Ok(line::<S>(S::read_digest(pool, root, inline)?))
    }
    match ty {
        ValueType::String => of::<Strings>(pool, root, inline),
        ValueType::List => of::<Lists>(pool, root, inline),
        ValueType::Hash => of::<Hashes>(pool, root, inline),
        ValueType::Set => of::<Sets>(pool, root, inline),
        ValueType::ZSet => of::<ZSets>(pool, root, inline),
    }
}

/// The value behind a root.
pub(super) fn read(
    pool: &Pool,
    ty: ValueType,
    root: Root,
    inline: Inline,
) -> Result<Box<dyn Content>> {
    fn of<S: Structure + 'static>(
        pool: &Pool,
        root: Root,
        inline: Inline,
    ) -> Result<Box<dyn Content>> {
        Ok(Box::new(Held::<S>(S::read(pool, root, inline)?)))
    }
    match ty {
        ValueType::String => of::<Strings>(pool, root, inline),
        ValueType::List => of::<Lists>(pool, root, inline),
        ValueType::Hash => of::<Hashes>(pool, root, inline),
        ValueType::Set => of::<Sets>(pool, root, inline),
        ValueType::ZSet => of::<ZSets>(pool, root, inline),
    }
}
