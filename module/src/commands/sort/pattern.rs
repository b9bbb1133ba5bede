//! The patterns of BY and GET: from an element to the value of a key that it names.
//!
//! A key is looked for as any command looks for it, so misses count and raise their event. It may
//! be a PM string or hash or a native one: in Redis's keyspace a name is one key, whichever kind it
//! is.

use crate::commands::hash::expired_fields::CommandTime;
use crate::error::CmdError;
use crate::keyspace::{self, PmKey};
use crate::redis::{Ctx, Mode, OwnedString, Reply};
use store::structures::{hash, string};
use store::value::ValueType;

/// A pattern, taken apart.
pub(super) enum Pattern<'a> {
    /// `#`: the element itself.
    Element,
    /// Without an asterisk: no key.
    Nothing,
    /// `before*after`, or `before*after->field`.
    Names {
        /// What precedes the element in the key's name.
        before: &'a [u8],
        /// What follows it.
        after: &'a [u8],
        /// The field of a hash, if one is meant.
        field: Option<&'a [u8]>,
    },
}

impl<'a> Pattern<'a> {
    /// Takes a pattern apart. As in Redis, asterisk and arrow are not looked for beyond a zero
    /// byte.
    pub(super) fn parse(text: &'a [u8]) -> Pattern<'a> {
        let end = text.iter().position(|&byte| byte == 0);
        let c_text = &text[..end.unwrap_or(text.len())];
        if c_text == b"#" {
            return Pattern::Element;
        }
        let Some(star) = c_text.iter().position(|&byte| byte == b'*') else {
            return Pattern::Nothing;
        };
        // An arrow with nothing behind it is a part of the name.
        let arrow = c_text[star + 1..].windows(2).position(|two| two == b"->");
        let arrow = arrow
            .map(|at| star + 1 + at)
            .filter(|at| at + 2 < c_text.len());
        Pattern::Names {
            before: &text[..star],
            after: &text[star + 1..arrow.unwrap_or(text.len())],
            field: arrow.map(|at| &text[at + 2..]),
        }
    }

    /// The value that the pattern means for an element; `None` if there is no such key or field, or
    /// if the key is of another type.
    pub(super) fn look_up(&self, ctx: &Ctx, element: &[u8]) -> Result<Option<Vec<u8>>, CmdError> {
        match *self {
            Pattern::Element => Ok(Some(element.to_vec())),
            Pattern::Nothing => Ok(None),
            Pattern::Names {
                before,
                after,
                field,
            } => {
                let name = [before, element, after].concat();
                keyspace::fill::show_unnamed(OwnedString::new(&name).arg());
                match field {
                    None => look_up_string(ctx, &name),
                    Some(field) => look_up_field(ctx, &name, field),
                }
            }
        }
    }
}

fn look_up_string(ctx: &Ctx, name: &[u8]) -> Result<Option<Vec<u8>>, CmdError> {
    let string = OwnedString::new(name);
    match PmKey::open_read(ctx, string.arg(), ValueType::String) {
        Ok(key) => {
            let value = key.read_inline(|pool, root, inline| {
                let value = string::read(pool, root, inline)?;
                Ok(value.map(|value| value.text(&mut itoa::Buffer::new()).to_vec()))
            })?;
            Ok(value.flatten())
        }
        Err(CmdError::WrongType) => Ok(native(ctx, &string, ValueType::String, || {
            ctx.call(c"GET", &[name])
        })),
        Err(error) => Err(error),
    }
}

fn look_up_field(ctx: &Ctx, name: &[u8], field: &[u8]) -> Result<Option<Vec<u8>>, CmdError> {
    let string = OwnedString::new(name);
    match PmKey::open_read(ctx, string.arg(), ValueType::Hash) {
        Ok(key) => key.read(|pool, root| {
            let (spot, value) = hash::find(pool, root, field)?;
            let now = CommandTime::of(ctx, pool, root);
            let value = value.filter(|_| !now.hides(spot.expire_at));
            Ok(value.map(<[u8]>::to_vec))
        }),
        Err(CmdError::WrongType) => Ok(native(ctx, &string, ValueType::Hash, || {
            ctx.call(c"HGET", &[name, field])
        })),
        Err(error) => Err(error),
    }
}

/// What a command reads of a native key of the type that the pattern means. Of another one it would
/// be seen: from 7.2 on, client tracking remembers each key that is named.
fn native(
    ctx: &Ctx,
    name: &OwnedString,
    ty: ValueType,
    read: impl FnOnce() -> Option<Reply>,
) -> Option<Vec<u8>> {
    if ctx.open(name.arg(), Mode::Unseen).native_type() != Some(ty) {
        return None;
    }
    match read() {
        Some(Reply::Text(text)) => Some(text),
        _ => None,
    }
}
