//! Integers of any width anywhere in a string, read and changed in one step: what BITFIELD does.

use super::Root;
use super::string::{self, Value};
use crate::bitfield::{Field, Overflow, Window};
use crate::inline::Inline;
use pobj::{Result, Tx};

/// One operation on one field.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// What is done.
    pub action: Action,
    /// The field's type.
    pub field: Field,
    /// The field's first bit.
    pub at: u64,
}

/// What is done to a field.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// It is read.
    Get,
    /// It is set.
    Set(i64, Overflow),
    /// A number is added to it.
    Add(i64, Overflow),
}

impl Operation {
    /// Whether it may change the string.
    pub fn writes(&self) -> bool {
        !matches!(self.action, Action::Get)
    }

    /// The last byte that it touches.
    pub fn last_byte(&self) -> u64 {
        (self.at + u64::from(self.field.bits()) - 1) / 8
    }

    /// The field of a text, which zeros follow.
    pub fn read(&self, text: &[u8]) -> i64 {
        let (byte, shift) = self.place();
        self.field.get(&window(text, byte), shift)
    }

    /// The byte in which the field begins, and the bit at which it begins there.
    fn place(&self) -> (u64, u32) {
        (self.at / 8, (self.at % 8) as u32)
    }
}

/// What operations have done so far.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What each has read, or found before it; none for what did not fit.
    pub replies: Vec<Option<i64>>,
    /// Whether an operation has changed the string: what tells of it counts only these.
    pub changed: bool,
    /// Whether the string has grown, or come to be, be it for an operation that then did not fit.
    pub grown: bool,
}

/// The bytes of a text from `at` on, followed by zeros.
fn window(text: &[u8], at: u64) -> Window {
    let mut window = Window::default();
    let text = usize::try_from(at).map_or(&[][..], |at| text.get(at..).unwrap_or(&[]));
    let len = text.len().min(window.len());
    window[..len].copy_from_slice(&text[..len]);
    window
}

/// Fields that are changed, but not written yet: the byte at which each begins, its bytes, their
/// number.
type Pending = Vec<(u64, Window, usize)>;

/// How many fields may be pending: each is looked through for each operation.
const PENDING_MAX: usize = 64;

/// Runs operations of which some write, the last byte at `last`, one after the other.
/// O(operations), and what growing the string to `last` takes.
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors). What `outcome` has is of no use then.
pub fn run(
    tx: &mut Tx<'_>,
    root: &mut Root,
    inline: Inline,
    operations: impl Iterator<Item = Operation>,
    last: u64,
    outcome: &mut Outcome,
) -> Result<()> {
    let grown = string::reach(tx, root, inline, last)?;
    outcome.grown |= grown;
    let mut pending = Pending::new();
    for operation in operations {
        let Operation { action, field, .. } = operation;
        let (byte, shift) = operation.place();
        let mut window = current(tx, *root, inline, byte, &pending)?;
        let old = field.get(&window, shift);
        let (new, reply) = match action {
            Action::Get => (None, Some(old)),
            Action::Set(number, overflow) => {
                let new = field.sum(number, 0, overflow);
                (new, new.map(|_| old))
            }
            Action::Add(increment, overflow) => {
                let new = field.sum(old, increment, overflow);
                (new, new)
            }
        };
        outcome.replies.push(reply);
        let Some(new) = new else { continue };
        outcome.changed |= grown || new != old;
        if new != old {
            field.put(&mut window, shift, new);
            pending.push((byte, window, field.bytes(shift)));
        }
        if pending.len() == PENDING_MAX {
            string::set_ranges(tx, root, inline, ranges(&pending), true)?;
            pending.clear();
        }
    }
    string::set_ranges(tx, root, inline, ranges(&pending), false)
}

/// The bytes from `at` on, with what is pending.
fn current(tx: &Tx<'_>, root: Root, inline: Inline, at: u64, pending: &Pending) -> Result<Window> {
    let mut window = match string::read(tx, root, inline)? {
        Some(Value::Bytes(text)) => window(text, at),
        _ => Window::default(),
    };
    for (start, bytes, len) in pending {
        for (byte, position) in bytes[..*len].iter().zip(*start..) {
            let index = position
                .checked_sub(at)
                .and_then(|i| usize::try_from(i).ok());
            if let Some(target) = index.and_then(|index| window.get_mut(index)) {
                *target = *byte;
            }
        }
    }
    Ok(window)
}

/// What is pending, in its order.
fn ranges(pending: &Pending) -> impl Iterator<Item = (u64, &[u8])> {
    pending
        .iter()
        .map(|(at, window, len)| (*at, &window[..*len]))
}
