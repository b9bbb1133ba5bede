//! Sets: of integers, packed, and tables; members that move, and are popped at random.

use std::collections::BTreeSet;

use fastrand::Rng;
use pobj::{Pool, Tx};
use store::inline::Inline;
use store::structures::limits::AllLimits;
use store::structures::{Root, set};
use store::value::ValueType;

use super::{Structure, Value, digest, digest_of_elements, sizes};

/// Sets.
pub struct Sets;

type Model = BTreeSet<Vec<u8>>;

fn add(tx: &mut Tx<'_>, value: &mut Value<Model>, members: Vec<Vec<u8>>) -> pobj::Result<()> {
    set::add(
        tx,
        &mut value.root,
        AllLimits::DEFAULT.set,
        members.iter().map(Vec::as_slice),
    )?;
    value.model.extend(members);
    Ok(())
}

fn remove(tx: &mut Tx<'_>, value: &mut Value<Model>, members: &[Vec<u8>]) -> pobj::Result<()> {
    set::remove(tx, &mut value.root, members.iter().map(Vec::as_slice))?;
    value.model.retain(|member| !members.contains(member));
    Ok(())
}

/// A set is of integers for as long as all members are.
fn is_of_integers(model: &Model) -> bool {
    model
        .first()
        .is_none_or(|member| member.first().is_some_and(u8::is_ascii_digit))
}

fn members(rng: &mut Rng, value: &Value<Model>, count: usize) -> Vec<Vec<u8>> {
    let integers = is_of_integers(&value.model) && rng.u8(..8) > 0;
    let packable = rng.u8(..4) > 0;
    let one = |_| {
        if integers {
            rng.u32(..1000).to_string().into_bytes()
        } else {
            sizes::any_name(rng, value.model.len(), packable)
        }
    };
    (0..count).map(one).collect()
}

impl Structure for Sets {
    const TYPE: ValueType = ValueType::Set;
    type Model = Model;

    fn build(tx: &mut Tx<'_>, rng: &mut Rng, value: &mut Value<Model>) -> pobj::Result<()> {
        let names: Vec<Vec<u8>> = match rng.u8(..4) {
            0 => {
                let count = *rng.choice(&[3, 120, 500, 512]).expect("not empty");
                (0..count)
                    .map(|n: usize| n.to_string().into_bytes())
                    .collect()
            }
            _ => (0..sizes::of_table(rng, AllLimits::DEFAULT.set.members))
                .map(sizes::name)
                .collect(),
        };
        if names.is_empty() {
            Ok(())
        } else {
            add(tx, value, names)
        }
    }

    fn change(tx: &mut Tx<'_>, rng: &mut Rng, value: &mut Value<Model>) -> pobj::Result<Root> {
        match rng.u32(..10) {
            0..2 => {
                let one = members(rng, value, 1);
                add(tx, value, one)?;
            }
            2..5 => {
                let count = rng.usize(2..60);
                let several = members(rng, value, count);
                add(tx, value, several)?;
            }
            5..7 => {
                // As SPOP does, with a count or without; random picks are not the seed's.
                let count = *rng.choice(&[1, 1, 5, 40]).expect("not empty");
                let chosen = (0..count).map(|_| rng.usize(..value.model.len().max(1)));
                let chosen = chosen.filter_map(|nth| value.model.iter().nth(nth).cloned());
                let chosen: Vec<_> = chosen.collect();
                remove(tx, value, &chosen)?;
            }
            _ => {
                let some = sizes::some_names(rng, value.model.iter());
                remove(tx, value, &some)?;
            }
        }
        Ok(Root::EMPTY)
    }

    /// As SMOVE does.
    fn exchange(
        tx: &mut Tx<'_>,
        rng: &mut Rng,
        values: &mut [Value<Model>; 2],
    ) -> pobj::Result<()> {
        let [source, target] = values;
        let nth = rng.usize(..source.model.len().max(1));
        let Some(member) = source.model.iter().nth(nth).cloned() else {
            return Ok(());
        };
        remove(tx, source, std::slice::from_ref(&member))?;
        add(tx, target, vec![member])
    }

    fn read(pool: &Pool, root: Root, _: Inline) -> pobj::Result<Model> {
        let bytes = |member: set::Member<'_>| member.bytes(&mut itoa::Buffer::new()).to_vec();
        set::members(pool, root)?
            .map(|member| member.map(bytes))
            .collect()
    }

    fn digest(model: &Model) -> u64 {
        digest_of_elements(model.iter().map(|member| Ok(digest(&member[..]))))
            .expect("a model can be read")
    }

    fn read_digest(pool: &Pool, root: Root, _: Inline) -> pobj::Result<u64> {
        let mut digits = itoa::Buffer::new();
        let members = set::members(pool, root)?;
        digest_of_elements(members.map(|member| Ok(digest(member?.bytes(&mut digits)))))
    }
}
