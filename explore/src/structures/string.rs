//! Strings: numbers, bytes in the record and in objects, overwritten, patched, and grown.

use fastrand::Rng;
use pobj::{Pool, Tx};
use store::inline::Inline;
use store::structures::Root;
use store::structures::string::{self, Value as Text};
use store::value::ValueType;

use super::{Structure, Value, content};

/// Strings.
pub struct Strings;

/// A text: a number, or bytes of a length that makes a difference.
fn text(rng: &mut Rng) -> Vec<u8> {
    let len = match rng.u32(..24) {
        0..6 => return rng.i64(..).to_string().into_bytes(),
        6 => 0,
        7..13 => rng.usize(1..60),
        13..16 => 512,
        16..18 => 513,
        18..21 => rng.usize(500..1200),
        21..23 => rng.usize(4000..6000),
        _ => *rng.choice(&[34_000, 140_000]).expect("not empty"),
    };
    content(rng, len)
}

impl Structure for Strings {
    const TYPE: ValueType = ValueType::String;
    type Model = Vec<u8>;

    fn inline(rng: &mut Rng) -> u64 {
        *rng.choice(&[0, 16, 100, 512]).expect("not empty")
    }

    fn build(tx: &mut Tx<'_>, rng: &mut Rng, value: &mut Value<Vec<u8>>) -> pobj::Result<()> {
        value.model = text(rng);
        string::set(tx, &mut value.root, value.inline, Text::of(&value.model))
    }

    fn change(tx: &mut Tx<'_>, rng: &mut Rng, value: &mut Value<Vec<u8>>) -> pobj::Result<Root> {
        let Value {
            root,
            inline,
            model,
        } = value;
        match rng.u32(..10) {
            0..4 => {
                *model = text(rng);
                string::set(tx, root, *inline, Text::of(model))?;
            }
            4..7 => {
                let len = *rng.choice(&[1, 7, 60, 300, 2000]).expect("not empty");
                let suffix = content(rng, len);
                string::append(tx, root, *inline, &suffix)?;
                model.extend(suffix);
            }
            7..9 => {
                let from = rng.usize(..=model.len() + 20);
                let len = *rng.choice(&[1, 8, 100, 600, 9000]).expect("not empty");
                let patch = content(rng, len);
                string::set_range(tx, root, *inline, from as u64, &patch)?;
                model.resize(model.len().max(from + len), 0);
                model[from..from + len].copy_from_slice(&patch);
            }
            _ => {
                let old = std::str::from_utf8(model)
                    .ok()
                    .and_then(|it| it.parse().ok());
                let number = old.unwrap_or(0_i64).wrapping_add(1);
                *model = number.to_string().into_bytes();
                string::set(tx, root, *inline, Text::Int(number))?;
            }
        }
        Ok(Root::EMPTY)
    }

    /// As MSET does: both at once.
    fn exchange(
        tx: &mut Tx<'_>,
        rng: &mut Rng,
        values: &mut [Value<Vec<u8>>; 2],
    ) -> pobj::Result<()> {
        for value in values {
            value.model = text(rng);
            string::set(tx, &mut value.root, value.inline, Text::of(&value.model))?;
        }
        Ok(())
    }

    fn read(pool: &Pool, root: Root, inline: Inline) -> pobj::Result<Vec<u8>> {
        let value = string::read(pool, root, inline)?;
        let digits = &mut itoa::Buffer::new();
        Ok(value.map_or(Vec::new(), |value| value.text(digits).to_vec()))
    }
}
