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

/// What is done with a type that is known only when the explorer runs.
struct Row {
    ty: ValueType,
    empty: fn() -> Box<dyn Content>,
    line: fn(&Pool, Root, Inline) -> Result<String>,
    read: fn(&Pool, Root, Inline) -> Result<Box<dyn Content>>,
}

impl Row {
    const fn of<S: Structure + 'static>() -> Row {
        Row {
            ty: S::TYPE,
            empty: || Box::new(Held::<S>(Default::default())),
            line: |pool, root, inline| Ok(line::<S>(S::read_digest(pool, root, inline)?)),
            read: |pool, root, inline| Ok(Box::new(Held::<S>(S::read(pool, root, inline)?))),
        }
    }
}

/// All types, in the order of their numbers.
const ROWS: [Row; ValueType::ALL.len()] = [
    Row::of::<Strings>(),
    Row::of::<Lists>(),
    Row::of::<Hashes>(),
    Row::of::<Sets>(),
    Row::of::<ZSets>(),
];

const _: () = {
    let mut at = 0;
    while at < ROWS.len() {
        assert!(ROWS[at].ty.index() == at);
        at += 1;
    }
};

/// An empty value of this type.
pub(super) fn empty(ty: ValueType) -> Box<dyn Content> {
    (ROWS[ty.index()].empty)()
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
    (ROWS[ty.index()].line)(pool, root, inline)
}

/// The value behind a root.
pub(super) fn read(
    pool: &Pool,
    ty: ValueType,
    root: Root,
    inline: Inline,
) -> Result<Box<dyn Content>> {
    (ROWS[ty.index()].read)(pool, root, inline)
}
