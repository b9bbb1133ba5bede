//! Sorted sets of members of 16 bytes; their scores are in no order.

use super::{Effect, Form, Operation, delete, read, text, write};
use pobj::{Error, Pool, Result, Tx};
use store::structures::Root;
use store::structures::limits::AllLimits;
use store::structures::zset::{self, Rule};
use store::value::ValueType;

static SMALL: Form = Form {
    name: "sorted set of 16",
    ty: ValueType::ZSet,
    elements: Some(16),
    inline: 0,
    add: |tx, root, _, i| add(tx, root, i, score(i), false),
    steps: usize::MAX,
};
static LARGE: Form = Form {
    name: "one sorted set",
    elements: None,
    ..SMALL
};

pub(super) fn operations() -> Vec<Operation> {
    let each = |form, range| {
        [
            write("ZADD new", form, Effect::Grows, |tx, root, _, i| {
                add(tx, root, i, score(i), false)
            }),
            write("ZADD update", form, Effect::Keeps, |tx, root, _, i| {
                add(tx, root, i, score(i + 1) + 0.5, false)
            }),
            write("ZINCRBY", form, Effect::Keeps, |tx, root, _, i| {
                add(tx, root, i, 1000.0, true)
            }),
            read("ZSCORE", form, |pool, root, _, i| {
                let score = zset::score(pool, root, &text(i))?;
                score.map(f64::to_bits).ok_or_else(missing)
            }),
            read("ZRANK", form, |pool, root, _, i| {
                zset::rank(pool, root, &text(i))?.ok_or_else(missing)
            }),
            read("ZRANGE of 16", form, range),
            write("ZREM", form, Effect::Drains, |tx, root, _, i| {
                zset::remove(tx, root, std::iter::once(&text(i)[..])).map(|_| ())
            }),
            write("ZPOPMIN", form, Effect::Drains, |tx, root, _, _| {
                zset::pop(tx, root, false).map(drop)
            }),
        ]
    };
    let mut all = each(&SMALL, |pool, root, _, _| range(pool, root, 0)).to_vec();
    all.push(delete(&SMALL));
    all.extend(each(&LARGE, |pool, root, _, i| range(pool, root, i)));
    all
}

fn score(i: usize) -> f64 {
    (i * 7_919 % 10_007) as f64
}

fn add(tx: &mut Tx<'_>, root: &mut Root, i: usize, score: f64, increment: bool) -> Result<()> {
    let rule = Rule {
        increment,
        ..Rule::default()
    };
    zset::add(tx, root, AllLimits::DEFAULT.zset, &text(i), score, rule).map(|_| ())
}

fn range(pool: &Pool, root: Root, start: usize) -> Result<u64> {
    let (mut walk, mut sum) = (zset::walk(pool, root, start as u64, false)?, 0);
    for _ in 0..16 {
        sum += walk.step()?.map_or(0, |(name, _)| u64::from(name[15]));
    }
    Ok(sum)
}

fn missing() -> Error {
    Error::Damaged("no such member".into())
}
