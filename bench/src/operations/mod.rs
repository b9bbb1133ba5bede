//! The engine's operations, each on values of one form, to be run one by one without a server.
//!
//! A [`Store`] is a pool with as many values as an operation needs; a *step* of it is one operation
//! as a command handler has it: the record's root is read, the structure is changed or read, the
//! root is written, the batch committed. Who measures decides what is counted: time
//! (`benches/engine.rs`), fences and flushed lines ([`crate::fences`]), instructions
//! ([`crate::instructions`]).
//!
//! | file | operations of |
//! |---|---|
//! | `strings.rs` `lists.rs` `hashes.rs` `sets.rs` `zsets.rs` | one type each |
//! | `pool.rs` | the pool, its values, a step |

mod hashes;
mod lists;
mod pool;
mod sets;
mod strings;
mod zsets;

pub use pool::Store;

use pobj::{Pool, Result, Tx};
use store::inline::Inline;
use store::structures::Root;
use store::value::ValueType;

/// Changes a value; the number is the element's.
pub type Change = fn(&mut Tx<'_>, &mut Root, Inline, usize) -> Result<()>;
/// Reads a value; the result depends on all that was read.
pub type Read = fn(&Pool, Root, Inline, usize) -> Result<u64>;

/// What the values of an operation look like.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// What the tables call it.
    pub name: &'static str,
    /// The type.
    pub ty: ValueType,
    /// Elements of a value; `None` for one value with as many as there are steps.
    pub elements: Option<usize>,
    /// Bytes that the value takes in the record.
    pub inline: u64,
    /// Gives a value the element of that number.
    pub add: Change,
    /// Steps that one store is good for.
    pub steps: usize,
}

/// What many steps do to the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// They are empty, and get their elements.
    Grows,
    /// They are full, and stay as large as they are.
    Keeps,
    /// They are full, and lose their elements.
    Drains,
}

/// One step, with the number of its element.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// Makes a key with a full value.
    Make,
    /// Changes a value.
    Change(Change),
    /// Reads a value.
    Read(Read),
    /// Deletes a key.
    Delete,
}

/// An operation on values of one form.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The command's name, and which case of it.
    pub name: &'static str,
    /// The values.
    pub form: &'static Form,
    /// What steps do to them.
    pub effect: Effect,
    /// The step.
    pub run: Run,
    /// The most fences that most steps may take.
    pub fences_max: u64,
}

impl Operation {
    /// Its name and its values' form, as the tables have them.
    pub fn label(&self) -> String {
        format!("{} | {}", self.name, self.form.name)
    }
}

/// All operations.
pub fn all() -> Vec<Operation> {
    [
        strings::operations(),
        lists::operations(),
        hashes::operations(),
        sets::operations(),
        zsets::operations(),
    ]
    .concat()
}

/// An operation that writes. Small changes take one fence; two, if much is fresh or a page is
/// needed.
const fn write(
    name: &'static str,
    form: &'static Form,
    effect: Effect,
    change: Change,
) -> Operation {
    Operation {
        name,
        form,
        effect,
        run: Run::Change(change),
        fences_max: 2,
    }
}

/// An operation that reads.
const fn read(name: &'static str, form: &'static Form, read: Read) -> Operation {
    Operation {
        name,
        form,
        effect: Effect::Keeps,
        run: Run::Read(read),
        fences_max: 0,
    }
}

/// DEL of full values.
const fn delete(form: &'static Form) -> Operation {
    Operation {
        name: "DEL",
        form,
        effect: Effect::Drains,
        run: Run::Delete,
        fences_max: 2,
    }
}

/// Sixteen bytes that tell the number: an element, a field, a member.
fn text(n: usize) -> [u8; 16] {
    let mut text = *b"element:00000000";
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(n).as_bytes();
    text[16 - digits.len()..].copy_from_slice(digits);
    text
}
