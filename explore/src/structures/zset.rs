//! Sorted sets: packed ones, and trees whose nodes split, join, borrow and get another root.

use std::collections::BTreeMap;

use fastrand::Rng;
use pobj::{Pool, Tx};
use store::inline::Inline;
use store::structures::Root;
use store::structures::limits::AllLimits;
use store::structures::zset::{self, Rule};
use store::value::ValueType;

use super::{Structure, Value, digest_of_elements, sizes};

/// Sorted sets.
pub struct ZSets;

/// Scores by name, as bits.
type Model = BTreeMap<Vec<u8>, u64>;

fn score(rng: &mut Rng) -> f64 {
    match rng.u32(..40) {
        0 => f64::INFINITY,
        1 => f64::NEG_INFINITY,
        _ => f64::from(rng.u32(..500)),
    }
}

fn add(
    tx: &mut Tx<'_>,
    value: &mut Value<Model>,
    elements: Vec<(Vec<u8>, f64)>,
) -> pobj::Result<()> {
    // Of every other batch it is known how many elements come.
    let known = elements.len() % 2 == 1;
    let rule = Rule {
        expected: if known { elements.len() as u64 } else { 0 },
        ..Rule::default()
    };
    match &elements[..] {
        [(name, score)] => drop(zset::add(
            tx,
            &mut value.root,
            AllLimits::DEFAULT.zset,
            name,
            *score,
            rule,
        )?),
        _ => {
            let elements = elements.iter().map(|(name, score)| (&name[..], *score));
            zset::add_all(
                tx,
                &mut value.root,
                AllLimits::DEFAULT.zset,
                elements,
                rule,
                |_| {},
            )?;
        }
    }
    let elements = elements.into_iter();
    value
        .model
        .extend(elements.map(|(name, score)| (name, score.to_bits())));
    Ok(())
}

impl Structure for ZSets {
    const TYPE: ValueType = ValueType::ZSet;
    type Model = Model;

    /// Up to 30 elements are a leaf, and from about 1,700 on there are two levels of inner nodes.
    fn build(tx: &mut Tx<'_>, rng: &mut Rng, value: &mut Value<Model>) -> pobj::Result<()> {
        let size = match rng.u32(..8) {
            0 => 0,
            1..4 => rng.usize(120..=128),
            4 => rng.usize(129..200),
            5..7 => rng.usize(300..900),
            _ => rng.usize(1500..3300),
        };
        let mut elements: Vec<_> = (0..size).map(|n| (sizes::name(n), score(rng))).collect();
        zset::sort(&mut elements);
        let borrowed: Vec<_> = elements
            .iter()
            .map(|(name, score)| (&name[..], *score))
            .collect();
        value.root = zset::build(tx, AllLimits::DEFAULT.zset, &borrowed)?;
        let elements = elements.into_iter();
        value.model = elements
            .map(|(name, score)| (name, score.to_bits()))
            .collect();
        Ok(())
    }

    fn change(tx: &mut Tx<'_>, rng: &mut Rng, value: &mut Value<Model>) -> pobj::Result<Root> {
        let (len, packable) = (value.model.len(), rng.u8(..4) > 0);
        match rng.u32(..12) {
            0..3 => {
                let element = (sizes::any_name(rng, len, packable), score(rng));
                add(tx, value, vec![element])?;
            }
            3..6 => {
                let count = rng.usize(2..60);
                let element = |_| (sizes::any_name(rng, len, packable), score(rng));
                let elements = (0..count).map(element).collect();
                add(tx, value, elements)?;
            }
            6..8 if len > 0 => {
                let name = value.model.keys().nth(rng.usize(..len)).cloned();
                add(tx, value, vec![(name.expect("it is there"), score(rng))])?;
            }
            8..10 if len > 0 => {
                let most = *rng.choice(&[1, 40, 130, 1000]).expect("not empty");
                let count = rng.usize(1..=len.min(most));
                let from = match rng.u8(..3) {
                    0 => 0,
                    1 => len - count,
                    _ => rng.usize(..=len - count),
                };
                let mut names = Vec::new();
                let mut walk = zset::walk(tx, value.root, from as u64, false)?;
                for _ in 0..count {
                    names.extend(walk.step()?.map(|(name, _)| name.to_vec()));
                }
                let ranks = from as u64..(from + count) as u64;
                zset::remove_range(tx, &mut value.root, ranks)?;
                value.model.retain(|name, _| !names.contains(name));
            }
            _ => {
                let names = sizes::some_names(rng, value.model.keys());
                zset::remove(tx, &mut value.root, names.iter().map(Vec::as_slice))?;
                value.model.retain(|name, _| !names.contains(name));
            }
        }
        // Without elements it may have garbage, which is all that is given up then.
        Ok(if zset::is_over(value.root) {
            std::mem::replace(&mut value.root, Root::EMPTY)
        } else {
            Root::EMPTY
        })
    }

    /// One element each.
    fn exchange(
        tx: &mut Tx<'_>,
        rng: &mut Rng,
        values: &mut [Value<Model>; 2],
    ) -> pobj::Result<()> {
        for value in values {
            let element = (sizes::any_name(rng, value.model.len(), true), score(rng));
            add(tx, value, vec![element])?;
        }
        Ok(())
    }

    fn read(pool: &Pool, root: Root, _: Inline) -> pobj::Result<Model> {
        let mut model = Model::new();
        if root == Root::EMPTY {
            return Ok(model);
        }
        let mut walk = zset::walk(pool, root, 0, false)?;
        while let Some((name, score)) = walk.step()? {
            model.insert(name.to_vec(), score.to_bits());
        }
        Ok(model)
    }

    fn digest(model: &Model) -> u64 {
        digest_of_elements(model.iter().map(|(name, score)| Ok((&name[..], *score))))
            .expect("a model can be read")
    }

    fn read_digest(pool: &Pool, root: Root, _: Inline) -> pobj::Result<u64> {
        if root == Root::EMPTY {
            return Ok(0);
        }
        let mut walk = zset::walk(pool, root, 0, false)?;
        digest_of_elements(
            std::iter::from_fn(|| walk.step().transpose())
                .map(|element| element.map(|(name, score)| (name, score.to_bits()))),
        )
    }
}
