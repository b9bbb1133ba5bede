//! Hashes: packed ones that change in place, move and become tables; tables that grow and shrink;
//! fields that get, change and lose expire times.

use std::collections::BTreeMap;
use store::expiry::{Expiry, FIELD_NEVER};

use fastrand::Rng;
use pobj::{Pool, Tx};
use store::inline::Inline;
use store::structures::limits::AllLimits;
use store::structures::{Root, hash};
use store::value::ValueType;

use super::{Structure, Value, content, digest_of_elements, sizes};

/// Hashes.
pub struct Hashes;

/// Fields, their values, and when they expire.
type Model = BTreeMap<Vec<u8>, (Vec<u8>, i64)>;

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
    hash::set(tx, &mut value.root, AllLimits::DEFAULT.hash, borrowed)?;
    let pairs = pairs
        .into_iter()
        .map(|(field, value)| (field, (value, FIELD_NEVER)));
    value.model.extend(pairs);
    Ok(())
}

/// As HSETEX does: fields with values, and an expire time for all of them.
fn set_expiring(
    tx: &mut Tx<'_>,
    value: &mut Value<Model>,
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
    time: i64,
) -> pobj::Result<()> {
    let borrowed = pairs.iter().map(|(field, value)| (&field[..], &value[..]));
    hash::set_expiring(
        tx,
        &mut value.root,
        AllLimits::DEFAULT.hash,
        borrowed,
        Expiry::At(time),
    )?;
    let pairs = pairs
        .into_iter()
        .map(|(field, value)| (field, (value, time)));
    value.model.extend(pairs);
    Ok(())
}

/// As HEXPIRE and HPERSIST do. A table in which no field expires any more becomes one like others.
fn expire(
    tx: &mut Tx<'_>,
    value: &mut Value<Model>,
    fields: &[Vec<u8>],
    time: i64,
) -> pobj::Result<()> {
    let times: BTreeMap<&[u8], i64> = fields.iter().map(|field| (&field[..], time)).collect();
    let times: Vec<(&[u8], i64)> = times.into_iter().collect();
    hash::expire(tx, &mut value.root, &times)?;
    for (field, time) in times {
        if let Some(entry) = value.model.get_mut(field) {
            entry.1 = time;
        }
    }
    if value.model.values().all(|&(_, time)| time == FIELD_NEVER) {
        value.root = hash::without_expiry(value.root);
    }
    Ok(())
}

impl Structure for Hashes {
    const TYPE: ValueType = ValueType::Hash;
    type Model = Model;

    fn build(tx: &mut Tx<'_>, rng: &mut Rng, value: &mut Value<Model>) -> pobj::Result<()> {
        let pairs = (0..sizes::of_table(rng, AllLimits::DEFAULT.hash))
            .map(|n| (sizes::name(n), content_of(rng, true)));
        let pairs = pairs.collect();
        set(tx, value, pairs)
    }

    fn change(tx: &mut Tx<'_>, rng: &mut Rng, value: &mut Value<Model>) -> pobj::Result<Root> {
        let packable = rng.u8(..4) > 0;
        match rng.u32(..14) {
            10..12 => {
                let fields = sizes::some_names(rng, value.model.keys());
                let time = if rng.u8(..3) == 0 {
                    FIELD_NEVER
                } else {
                    rng.i64(..)
                };
                expire(tx, value, &fields, time)?;
            }
            12 => {
                let count = if rng.bool() { 1 } else { rng.usize(2..60) };
                let pairs = (0..count).map(|_| {
                    let field = sizes::any_name(rng, value.model.len(), packable);
                    (field, content_of(rng, packable))
                });
                let pairs = pairs.collect();
                set_expiring(tx, value, pairs, rng.i64(..FIELD_NEVER))?;
            }
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
                hash::put(
                    tx,
                    &mut value.root,
                    AllLimits::DEFAULT.hash,
                    spot,
                    &field,
                    &number,
                )?;
                let time = value
                    .model
                    .get(&field)
                    .map_or(FIELD_NEVER, |&(_, time)| time);
                value.model.insert(field, (number, time));
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
        let fields = hash::fields(pool, root)?;
        fields
            .map(|field| field.map(|f| (f.name.to_vec(), (f.value.to_vec(), f.expire_at))))
            .collect()
    }

    fn digest(model: &Model) -> u64 {
        digest_of_elements(
            model
                .iter()
                .map(|(field, (value, time))| Ok((&field[..], &value[..], *time))),
        )
        .expect("a model can be read")
    }

    fn read_digest(pool: &Pool, root: Root, _: Inline) -> pobj::Result<u64> {
        let fields = hash::fields(pool, root)?;
        digest_of_elements(fields.map(|field| field.map(|f| (f.name, f.value, f.expire_at))))
    }
}
