//! Hashes: packed ones that change in place, move and become tables; tables that grow and shrink.

use std::collections::BTreeMap;

use fastrand::Rng;
use pmedis::keyspace::record::Inline;
use pmedis::structures::{Root, hash};
use pmedis::value::ValueType;
use pobj::{Pool, Tx};

use super::{Structure, Value, content, digest_of_elements, sizes};

/// Hashes.
pub struct Hashes;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Something to store under a field: mostly so short that a packed hash takes it.
fn content_of(rng: &mut Rng, packable: bool) -> Vec<u8> {
    let len = match rng.u32(..40) {
        0 if !packable => 5000,
        1 if !packable => rng.usize(65..700),
        _ => rng.usize(..20),
    };
    content(rng, len)
}

fn set(
    tx: &mut Tx<'_>,
    value: &mut Value<Model>,
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
) -> pobj::Result<()> {
    let borrowed = pairs.iter().map(|(field, value)| (&field[..], &value[..]));
    hash::set(tx, &mut value.root, borrowed)?;
    value.model.extend(pairs);
    Ok(())
}

impl Structure for Hashes {
    const TYPE: ValueType = ValueType::Hash;
    type Model = Model;

    fn build(tx: &mut Tx<'_>, rng: &mut Rng, value: &mut Value<Model>) -> pobj::Result<()> {
        let pairs = (0..sizes::of_table(rng)).map(|n| (sizes::name(n), content_of(rng, true)));
        let pairs = pairs.collect();
        set(tx, value, pairs)
    }

    fn change(tx: &mut Tx<'_>, rng: &mut Rng, value: &mut Value<Model>) -> pobj::Result<Root> {
        let packable = rng.u8(..4) > 0;
        match rng.u32(..10) {
            0..2 => {
                let field = sizes::any_name(rng, value.model.len(), packable);
                let content = content_of(rng, packable);
                set(tx, value, vec![(field, content)])?;
            }
            2..5 => {
                let count = rng.usize(2..60);
                let pairs = (0..count).map(|_| {
                    let field = sizes::any_name(rng, value.model.len(), packable);
                    (field, content_of(rng, packable))
                });
                let pairs = pairs.collect();
                set(tx, value, pairs)?;
            }
            5 => {
                // As HINCRBY does: a number over one of the same length.
                let field = sizes::name(rng.usize(..value.model.len().max(1)));
                let number = rng.u32(1000..10_000).to_string().into_bytes();
                let (spot, _) = hash::find(tx, value.root, &field)?;
                hash::put(tx, &mut value.root, spot, &field, &number)?;
                value.model.insert(field, number);
            }
            _ => {
                let fields = sizes::some_names(rng, value.model.keys());
                hash::remove(tx, &mut value.root, fields.iter().map(Vec::as_slice))?;
                value.model.retain(|field, _| !fields.contains(field));
            }
        }
        Ok(Root::EMPTY)
    }

    /// One field each.
    fn exchange(
        tx: &mut Tx<'_>,
        rng: &mut Rng,
        values: &mut [Value<Model>; 2],
    ) -> pobj::Result<()> {
        for value in values {
            let pair = (sizes::name(rng.usize(..200)), content_of(rng, true));
            set(tx, value, vec![pair])?;
        }
        Ok(())
    }

    fn read(pool: &Pool, root: Root, _: Inline) -> pobj::Result<Model> {
        let pairs = hash::pairs(pool, root)?;
        pairs
            .map(|pair| pair.map(|(field, value)| (field.to_vec(), value.to_vec())))
            .collect()
    }

    fn digest(model: &Model) -> u64 {
        digest_of_elements(
            model
                .iter()
                .map(|(field, value)| Ok((&field[..], &value[..]))),
        )
        .expect("a model can be read")
    }

    fn read_digest(pool: &Pool, root: Root, _: Inline) -> pobj::Result<u64> {
        digest_of_elements(hash::pairs(pool, root)?)
    }
}
