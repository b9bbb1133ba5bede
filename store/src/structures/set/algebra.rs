//! Unions, intersections and differences of sets, in the pool and elsewhere.

use super::{Member, contains_member, len, members};
use crate::structures::{Root, room_at_first};
use pobj::{Pool, Result};
use std::cmp::Reverse;
use std::collections::{HashSet, hash_set};

/// Which members the result has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Those of any source.
    Union,
    /// Those of every source.
    Inter,
    /// Those of the first source only.
    Diff,
}

/// What members come from.
#[derive(Clone, Copy)]
pub enum Source<'s> {
    /// A set in the pool.
    Stored(Root),
    /// Members that are in no pool.
    Given(&'s HashSet<Vec<u8>>),
}

/// The members of a result, each once.
pub type Outcome<'s> = Box<dyn Iterator<Item = Result<Member<'s>>> + 's>;

/// Hands the members of the result to `f`. O(members of all sources) for a union; else O(members of
/// the smallest, or of the first, source), times their number.
///
/// # Errors
/// What reading the sets fails with, and `f`. Nothing is in the result of no sources.
pub fn evaluate<'s, R>(
    pool: &'s Pool,
    mut sources: Vec<Source<'s>>,
    operation: Operation,
    f: impl FnOnce(Outcome<'_>) -> Result<R>,
) -> Result<R> {
    match operation {
        Operation::Union => f(Box::new(union(pool, &sources)?)),
        Operation::Inter => {
            sources.sort_by_key(|source| source.len());
            f(first_if(pool, &sources, true)?)
        }
        Operation::Diff => {
            // The largest are the likeliest to rule a member out.
            if let Some((_, others)) = sources.split_first_mut() {
                others.sort_by_key(|source| Reverse(source.len()));
            }
            f(first_if(pool, &sources, false)?)
        }
    }
}

impl<'s> Source<'s> {
    fn len(self) -> u64 {
        match self {
            Source::Stored(root) => len(root),
            Source::Given(members) => members.len() as u64,
        }
    }

    fn contains(self, pool: &Pool, member: Member<'_>) -> Result<bool> {
        match self {
            Source::Stored(root) => contains_member(pool, root, member),
            Source::Given(members) => Ok(members.contains(member.bytes(&mut itoa::Buffer::new()))),
        }
    }

    fn members(self, pool: &'s Pool) -> Result<Members<'s>> {
        Ok(match self {
            Source::Stored(root) => Members::Stored(members(pool, root)?),
            Source::Given(members) => Members::Given(members.iter()),
        })
    }
}

enum Members<'s> {
    Stored(super::Members<'s>),
    Given(hash_set::Iter<'s, Vec<u8>>),
}

impl<'s> Iterator for Members<'s> {
    type Item = Result<Member<'s>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Members::Stored(members) => members.next(),
            Members::Given(members) => members.next().map(|member| Ok(Member::Bytes(member))),
        }
    }
}

/// The members of the first source that all other sources have, or that none has.
fn first_if<'s>(pool: &'s Pool, sources: &'s [Source<'s>], in_all: bool) -> Result<Outcome<'s>> {
    let Some((first, others)) = sources.split_first() else {
        return Ok(Box::new(std::iter::empty()));
    };
    Ok(Box::new(first.members(pool)?.filter_map(move |member| {
        let admit = |member: Member<'s>| {
            for source in others {
                if source.contains(pool, member)? != in_all {
                    return Ok(None);
                }
            }
            Ok(Some(member))
        };
        member.and_then(admit).transpose()
    })))
}

/// The members of all sources.
fn union<'s>(
    pool: &'s Pool,
    sources: &'s [Source<'s>],
) -> Result<impl Iterator<Item = Result<Member<'s>>>> {
    let most = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let room = if sources.len() > 1 {
        room_at_first(most)
    } else {
        0
    };
    let mut seen = HashSet::with_capacity(room);
    let walks = sources.iter().map(|source| source.members(pool));
    let walks = walks.collect::<Result<Vec<_>>>()?;
    let alone = sources.len() == 1;
    Ok(walks
        .into_iter()
        .flatten()
        .filter(move |member| match member {
            Ok(member) => alone || seen.insert(member.normal()),
            Err(_) => true,
        }))
}
