//! Unions, intersections and differences of sorted sets and sets, in the pool and elsewhere. A
//! set's members have a score of 1.
//!
//! Elements are read one by one, as the result needs them, and borrowed from the pool; only the
//! integers of sets are written out.

use super::{len, score, sort, walk};
use crate::structures::set::{self, Member, Operation};
use crate::structures::{Root, room_at_first};
use pobj::{Pool, Result};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{HashMap, hash_map};

/// How the scores of one element become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// Their sum.
    Sum,
    /// The lowest.
    Min,
    /// The highest.
    Max,
}

impl Aggregate {
    fn apply(self, a: f64, b: f64) -> f64 {
        match self {
            Aggregate::Sum => number_or_zero(a + b),
            Aggregate::Min if b < a => b,
            Aggregate::Max if b > a => b,
            _ => a,
        }
    }
}

/// What infinities of both signs make is zero, by Redis's convention.
fn number_or_zero(n: f64) -> f64 {
    if n.is_nan() { 0.0 } else { n }
}

/// Where elements come from.
#[derive(Clone, Copy)]
pub enum Elements<'s> {
    /// A sorted set in the pool.
    Sorted(Root),
    /// A set in the pool.
    Set(Root),
    /// Elements that are in no pool.
    Given(&'s HashMap<Vec<u8>, f64>),
}

/// Elements, and what their scores are multiplied by.
#[derive(Clone, Copy)]
pub struct Source<'s> {
    /// The elements.
    pub elements: Elements<'s>,
    /// The factor. Differences ignore it.
    pub weight: f64,
}

/// A name, in the form in which its source has it, and a score.
type Element<'s> = (Member<'s>, f64);

/// The elements of the result, in order. O(elements of all sources) for a union; else O(elements of
/// the smallest, or at most of all, sources), times the number of sources; and the order of the
/// result.
///
/// # Errors
/// What reading the sources fails with. Nothing is in the result of no sources.
pub fn evaluate<'s>(
    pool: &'s Pool,
    mut sources: Vec<Source<'s>>,
    operation: Operation,
    aggregate: Aggregate,
) -> Result<Vec<(Cow<'s, [u8]>, f64)>> {
    let mut elements = match operation {
        Operation::Union => {
            sources.sort_by_key(Source::len);
            union(pool, &sources, aggregate)?
        }
        Operation::Inter => {
            sources.sort_by_key(Source::len);
            owned(inter(pool, &sources, aggregate)?)?
        }
        Operation::Diff => diff(pool, &sources)?,
    };
    sort(&mut elements);
    Ok(elements)
}

/// How many elements all sources have in common, as far as `limit`. O(elements of the smallest that
/// are looked at until then, times the number of sources).
///
/// # Errors
/// As [`evaluate`].
pub fn count_common<'s>(pool: &'s Pool, mut sources: Vec<Source<'s>>, limit: u64) -> Result<u64> {
    sources.sort_by_key(Source::len);
    count(inter(pool, &sources, Aggregate::Sum)?, limit)
}

fn count<'s>(elements: impl Iterator<Item = Result<Element<'s>>>, limit: u64) -> Result<u64> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut elements = elements.take(limit);
    elements.try_fold(0, |count, element| element.map(|_| count + 1))
}

impl<'s> Source<'s> {
    fn len(&self) -> u64 {
        match self.elements {
            Elements::Sorted(root) => len(root),
            Elements::Set(root) => set::len(root),
            Elements::Given(elements) => elements.len() as u64,
        }
    }

    /// The score that an element has here. O(1).
    fn score(&self, pool: &Pool, name: Member<'_>) -> Result<Option<f64>> {
        let mut digits = itoa::Buffer::new();
        match self.elements {
            Elements::Sorted(root) => score(pool, root, name.bytes(&mut digits)),
            Elements::Set(root) => Ok(set::contains_member(pool, root, name)?.then_some(1.0)),
            Elements::Given(elements) => Ok(elements.get(name.bytes(&mut digits)).copied()),
        }
    }

    /// All elements, a sorted set's from the highest score down.
    fn walk(&self, pool: &'s Pool) -> Result<Walk<'s>> {
        Ok(match self.elements {
            Elements::Sorted(root) => {
                Walk::Sorted(walk(pool, root, len(root).saturating_sub(1), true)?)
            }
            Elements::Set(root) => Walk::Set(set::members(pool, root)?),
            Elements::Given(elements) => Walk::Given(elements.iter()),
        })
    }
}

/// See [`Source::walk`].
enum Walk<'s> {
    Sorted(super::Walk<'s>),
    Set(set::Members<'s>),
    Given(hash_map::Iter<'s, Vec<u8>, f64>),
}

impl<'s> Iterator for Walk<'s> {
    type Item = Result<Element<'s>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Walk::Sorted(walk) => match walk.step() {
                Ok(element) => element.map(|(name, score)| Ok((Member::Bytes(name), score))),
                Err(error) => Some(Err(error)),
            },
            Walk::Set(members) => members.next().map(|member| Ok((member?, 1.0))),
            Walk::Given(elements) => {
                let (name, &score) = elements.next()?;
                Some(Ok((Member::Bytes(name), score)))
            }
        }
    }
}

/// A name that stands for itself.
fn name(member: Member<'_>) -> Cow<'_, [u8]> {
    match member {
        Member::Bytes(bytes) => Cow::Borrowed(bytes),
        Member::Integer(_) => Cow::Owned(member.bytes(&mut itoa::Buffer::new()).to_vec()),
    }
}

fn owned<'s>(
    elements: impl Iterator<Item = Result<Element<'s>>>,
) -> Result<Vec<(Cow<'s, [u8]>, f64)>> {
    elements
        .map(|element| element.map(|(member, score)| (name(member), score)))
        .collect()
}

fn union<'s>(
    pool: &'s Pool,
    sources: &[Source<'s>],
    aggregate: Aggregate,
) -> Result<Vec<(Cow<'s, [u8]>, f64)>> {
    let most = sources.last().map_or(0, Source::len);
    let mut scores = HashMap::<Cow<'s, [u8]>, f64>::with_capacity(room_at_first(most));
    for source in sources {
        for element in source.walk(pool)? {
            let (member, score) = element?;
            let score = number_or_zero(source.weight * score);
            match scores.entry(name(member)) {
                hash_map::Entry::Occupied(mut sum) => {
                    let sum = sum.get_mut();
                    *sum = aggregate.apply(*sum, score);
                }
                hash_map::Entry::Vacant(place) => {
                    place.insert(score);
                }
            }
        }
    }
    Ok(scores.into_iter().collect())
}

/// The elements of the first source that all others have, as they are asked for.
fn inter<'s, 'q>(
    pool: &'s Pool,
    sources: &'q [Source<'s>],
    aggregate: Aggregate,
) -> Result<impl Iterator<Item = Result<Element<'s>>> + use<'s, 'q>> {
    let walk = sources.first().map(|first| first.walk(pool)).transpose()?;
    Ok(in_all(pool, walk.into_iter().flatten(), sources, aggregate))
}

/// [`inter`] of the elements that `walk` finds in the first source.
fn in_all<'s>(
    pool: &'s Pool,
    walk: impl Iterator<Item = Result<Element<'s>>>,
    sources: &[Source<'s>],
    aggregate: Aggregate,
) -> impl Iterator<Item = Result<Element<'s>>> {
    let (first, others) = match sources {
        [first, others @ ..] => (first.weight, others),
        [] => (1.0, sources),
    };
    let admit = move |(member, score): Element<'s>| {
        let mut sum = number_or_zero(first * score);
        for other in others {
            match other.score(pool, member)? {
                Some(score) => sum = aggregate.apply(sum, score * other.weight),
                None => return Ok(None),
            }
        }
        Ok(Some((member, sum)))
    };
    walk.filter_map(move |element| element.and_then(admit).transpose())
}

fn diff<'s>(pool: &'s Pool, sources: &[Source<'s>]) -> Result<Vec<(Cow<'s, [u8]>, f64)>> {
    let Some((first, others)) = sources.split_first() else {
        return Ok(Vec::new());
    };
    // Looking the elements of the first up in the others, or those of the others in the first: the
    // less work.
    let all = (sources.iter()).fold(0, |all: u64, source| all.saturating_add(source.len()));
    if first.len().saturating_mul(sources.len() as u64) / 2 <= all {
        // The largest are the likeliest to rule an element out.
        let mut others = others.to_vec();
        others.sort_by_key(|source| Reverse(source.len()));
        let admit = |(member, score): Element<'s>| {
            for other in &others {
                if other.score(pool, member)?.is_some() {
                    return Ok(None);
                }
            }
            Ok(Some((member, score)))
        };
        let walk = first.walk(pool)?;
        return owned(walk.filter_map(|element| element.and_then(admit).transpose()));
    }
    let mut left: HashMap<_, _> = owned(first.walk(pool)?)?.into_iter().collect();
    for other in others {
        for element in other.walk(pool)? {
            if left.is_empty() {
                return Ok(Vec::new());
            }
            let (member, _) = element?;
            left.remove(member.bytes(&mut itoa::Buffer::new()));
        }
    }
    Ok(left.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::pool_at;
    use crate::structures::limits::AllLimits;
    use crate::structures::zset;
    use pobj::Durability;
    use std::collections::BTreeMap;

    const LIMITS: AllLimits = AllLimits::DEFAULT;

    fn pool(place: &tempfile::TempDir) -> Pool {
        let options = pool_at(place.path().join("pool")).durability(Durability::Process);
        Pool::open(&options.size(64 << 20)).unwrap()
    }

    fn place() -> tempfile::TempDir {
        let mut builder = tempfile::Builder::new();
        builder.prefix("algebra-").tempdir_in("/dev/shm").unwrap()
    }

    fn stored(pool: &mut Pool, elements: &HashMap<Vec<u8>, f64>) -> Root {
        let elements = elements
            .iter()
            .map(|(name, &score)| (name.as_slice(), score));
        let mut elements: Vec<(&[u8], f64)> = elements.collect();
        sort(&mut elements);
        let mut tx = pool.begin();
        let root = zset::build(&mut tx, LIMITS.zset, &elements).unwrap();
        tx.commit().unwrap();
        root
    }

    fn stored_set(pool: &mut Pool, members: &HashMap<Vec<u8>, f64>) -> Root {
        let mut tx = pool.begin();
        let members = members.keys().map(Vec::as_slice);
        let root = set::build(&mut tx, LIMITS.set, members).unwrap();
        tx.commit().unwrap();
        root
    }

    fn some_elements(rng: &mut fastrand::Rng) -> HashMap<Vec<u8>, f64> {
        const SCORES: [f64; 7] = [0.0, -0.0, 1.0, -2.5, 7.0, f64::INFINITY, f64::NEG_INFINITY];
        let count = [0, 3, 40, 400][rng.usize(..4)];
        let prefix = ["", "element-"][rng.usize(..2)];
        let element = |_| {
            let name = format!("{prefix}{}", rng.usize(..2 * count));
            (name.into_bytes(), SCORES[rng.usize(..SCORES.len())])
        };
        (0..count).map(element).collect()
    }

    /// What Redis documents, source by source: of unions and intersections beginning with the
    /// smallest.
    fn expected(
        sources: &[(HashMap<Vec<u8>, f64>, f64)],
        operation: Operation,
        aggregate: Aggregate,
    ) -> BTreeMap<Vec<u8>, f64> {
        let mut sources: Vec<_> = sources.iter().collect();
        if operation != Operation::Diff {
            sources.sort_by_key(|(elements, _)| elements.len());
        }
        let names = sources.iter().flat_map(|(elements, _)| elements.keys());
        let mut result = BTreeMap::new();
        for name in names {
            let found: Vec<Option<f64>> = sources
                .iter()
                .map(|(elements, weight)| elements.get(name).map(|score| score * weight))
                .collect();
            let is_in = match operation {
                Operation::Union => true,
                Operation::Inter => found.iter().all(Option::is_some),
                Operation::Diff => found[0].is_some() && !found[1..].iter().any(Option::is_some),
            };
            if !is_in {
                continue;
            }
            let score = if operation == Operation::Diff {
                sources[0].0[name]
            } else {
                let scores = found.into_iter().flatten().map(number_or_zero);
                scores.reduce(|a, b| aggregate.apply(a, b)).unwrap()
            };
            result.insert(name.clone(), score);
        }
        result
    }

    #[test]
    fn results_are_those_of_a_model() {
        let place = place();
        let mut pool = pool(&place);
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..300 {
            let mut model = Vec::new();
            let mut kinds = Vec::new();
            for _ in 0..rng.usize(1..5) {
                let mut elements = some_elements(&mut rng);
                let kind = rng.usize(..3);
                if kind == 1 {
                    elements.values_mut().for_each(|score| *score = 1.0);
                }
                kinds.push(kind);
                model.push((elements, [1.0, -1.0, 2.0][rng.usize(..3)]));
            }
            if rng.bool() {
                // The same source again.
                let at = rng.usize(..model.len());
                model.push(model[at].clone());
                kinds.push(kinds[at]);
            }
            let roots: Vec<Root> = (model.iter().zip(&kinds))
                .map(|((elements, _), kind)| match kind {
                    0 => stored(&mut pool, elements),
                    1 => stored_set(&mut pool, elements),
                    _ => Root::EMPTY,
                })
                .collect();
            let sources: Vec<Source<'_>> = (0..model.len())
                .map(|i| Source {
                    elements: match kinds[i] {
                        0 => Elements::Sorted(roots[i]),
                        1 => Elements::Set(roots[i]),
                        _ => Elements::Given(&model[i].0),
                    },
                    weight: model[i].1,
                })
                .collect();
            let operations = [Operation::Union, Operation::Inter, Operation::Diff];
            let operation = operations[rng.usize(..3)];
            let aggregate = [Aggregate::Sum, Aggregate::Min, Aggregate::Max][rng.usize(..3)];
            let result = evaluate(&pool, sources.clone(), operation, aggregate).unwrap();
            assert!(zset::is_sound(
                result.iter().map(|(name, score)| (name.as_ref(), *score))
            ));
            let wanted = expected(&model, operation, aggregate);
            let found: BTreeMap<Vec<u8>, f64> = result
                .into_iter()
                .map(|(name, score)| (name.into_owned(), score))
                .collect();
            assert_eq!(found, wanted, "{operation:?} {aggregate:?} of {kinds:?}");
            if operation == Operation::Inter {
                let all = wanted.len() as u64;
                for limit in [1, all, u64::MAX] {
                    let count = count_common(&pool, sources.clone(), limit).unwrap();
                    assert_eq!(count, limit.min(all));
                }
            }
        }
    }

    #[test]
    fn a_count_reads_no_element_beyond_its_limit() {
        let place = place();
        let mut pool = pool(&place);
        let named = |n: u32| (n.to_string().into_bytes(), f64::from(n));
        let larger = stored(&mut pool, &(0..3000).map(named).collect());
        let sorted = stored(&mut pool, &(0..2000).map(named).collect());
        let of_set = stored_set(&mut pool, &(0..2000).map(named).collect());
        for smallest in [Elements::Sorted(sorted), Elements::Set(of_set)] {
            let sources = [smallest, Elements::Sorted(larger)].map(|elements| Source {
                elements,
                weight: 1.0,
            });
            for (limit, most) in [(0, 0), (1, 1), (7, 7), (2000, 2000), (u64::MAX, 2000)] {
                let mut read = 0;
                let walk = sources[0].walk(&pool).unwrap().inspect(|_| read += 1);
                let common = in_all(&pool, walk, &sources, Aggregate::Sum);
                assert_eq!(count(common, limit).unwrap(), most);
                assert_eq!(read, most, "read for {limit} elements");
            }
        }
    }
}
