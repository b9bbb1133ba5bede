//! Lists: chunks that begin, fill, split, join and go, at both ends and in the middle.

use std::collections::VecDeque;

use fastrand::Rng;
use pobj::{Pool, Tx};
use store::inline::Inline;
use store::structures::Root;
use store::structures::list::{self, Element, Side};
use store::value::ValueType;

use super::{Structure, Value, content};

/// Lists.
pub struct Lists;

type Model = VecDeque<Vec<u8>>;

/// An element: often one of a few, mostly such that a chunk holds not many, sometimes an object.
fn element(rng: &mut Rng) -> Vec<u8> {
    let len = match rng.u32(..60) {
        0..3 => rng.usize(513..4000),
        3 => 140_000,
        4..20 => return vec![b'a' + rng.u8(..3)],
        20..40 => rng.usize(180..512),
        _ => rng.usize(..40),
    };
    content(rng, len)
}

fn side(rng: &mut Rng) -> Side {
    if rng.bool() { Side::Left } else { Side::Right }
}

fn put(model: &mut Model, side: Side, element: Vec<u8>) {
    match side {
        Side::Left => model.push_front(element),
        Side::Right => model.push_back(element),
    }
}

fn take(model: &mut Model, side: Side) -> Option<Vec<u8>> {
    match side {
        Side::Left => model.pop_front(),
        Side::Right => model.pop_back(),
    }
}

fn push(
    tx: &mut Tx<'_>,
    value: &mut Value<Model>,
    side: Side,
    elements: Vec<Vec<u8>>,
) -> pobj::Result<()> {
    let bytes = elements.iter().map(Vec::as_slice);
    list::push(tx, &mut value.root, side, bytes)?;
    elements
        .into_iter()
        .for_each(|element| put(&mut value.model, side, element));
    Ok(())
}

impl Structure for Lists {
    const TYPE: ValueType = ValueType::List;
    type Model = Model;

    /// Elements of 400 bytes, 8 a chunk: from none to a second level of nodes.
    fn build(tx: &mut Tx<'_>, rng: &mut Rng, value: &mut Value<Model>) -> pobj::Result<()> {
        let chunks = *rng.choice(&[0, 0, 1, 2, 3, 5, 64, 65]).expect("not empty");
        let elements = (0..8 * chunks).map(|_| content(rng, 400)).collect();
        push(tx, value, Side::Right, elements)
    }

    fn change(tx: &mut Tx<'_>, rng: &mut Rng, value: &mut Value<Model>) -> pobj::Result<Root> {
        let len = value.model.len();
        match rng.u32(..20) {
            0..5 => {
                let count = if rng.bool() { 1 } else { rng.usize(2..25) };
                let (side, elements) = (side(rng), (0..count).map(|_| element(rng)).collect());
                push(tx, value, side, elements)?;
            }
            5..8 => {
                let (index, element) = (rng.usize(..=len), element(rng));
                list::insert(tx, &mut value.root, index as u64, &element)?;
                value.model.insert(index, element);
            }
            8..11 if len > 0 => {
                let (index, element) = (rng.usize(..len), element(rng));
                list::set(tx, &mut value.root, index as u64, &element)?;
                value.model[index] = element;
            }
            11..14 => {
                let side = side(rng);
                list::pop(tx, &mut value.root, side, &mut Element::default())?;
                take(&mut value.model, side);
            }
            14 => {
                let (from, to) = (side(rng), side(rng));
                list::rotate(tx, &mut value.root, from, to, &mut Element::default())?;
                if let Some(element) = take(&mut value.model, from) {
                    put(&mut value.model, to, element);
                }
            }
            15..17 => {
                let most = *rng.choice(&[3, 12, 70, 2000]).expect("not empty");
                let (side, n) = (side(rng), rng.usize(..most));
                let given_up = list::drop_end(tx, &mut value.root, side, n as u64)?;
                (0..n).for_each(|_| drop(take(&mut value.model, side)));
                return Ok(given_up);
            }
            _ => {
                let (side, limit) = (side(rng), *rng.choice(&[1, 3, usize::MAX]).expect("some"));
                let wanted = vec![b'a' + rng.u8(..3)];
                list::remove(tx, &mut value.root, side, &wanted, limit as u64)?;
                remove(&mut value.model, side, &wanted, limit);
            }
        }
        Ok(Root::EMPTY)
    }

    /// As LMOVE does.
    fn exchange(
        tx: &mut Tx<'_>,
        rng: &mut Rng,
        values: &mut [Value<Model>; 2],
    ) -> pobj::Result<()> {
        let (from, to) = (side(rng), side(rng));
        let [source, target] = values;
        let element = &mut Element::default();
        list::transfer(tx, &mut source.root, from, &mut target.root, to, element)?;
        if let Some(element) = take(&mut source.model, from) {
            put(&mut target.model, to, element);
        }
        Ok(())
    }

    fn read(pool: &Pool, root: Root, _: Inline) -> pobj::Result<Model> {
        let mut model = Model::new();
        list::each(pool, root, Side::Left, 0, |element| {
            model.push_back(element.bytes(pool)?.to_vec());
            Ok(true)
        })?;
        if list::len(pool, root)? == model.len() as u64 {
            Ok(model)
        } else {
            Err(pobj::Error::Damaged("the list's length".into()))
        }
    }
}

fn remove(model: &mut Model, side: Side, wanted: &[u8], limit: usize) {
    let mut matching: Vec<usize> = (0..model.len()).filter(|&i| model[i] == wanted).collect();
    if side == Side::Left {
        matching.truncate(limit);
    } else {
        matching.drain(..matching.len().saturating_sub(limit));
    }
    matching.iter().rev().for_each(|&i| drop(model.remove(i)));
}
