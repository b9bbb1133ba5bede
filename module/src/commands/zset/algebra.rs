//! ZUNION, ZINTER, ZDIFF, ZINTERCARD, and the forms that store.
//!
//! The inputs are PM sorted sets and PM sets, whose members count with a score of 1. A native
//! sorted set or set is of another type, unless [`plain::reads_natives`].

use super::range::store;
use super::{Shape, TY, integer};
use crate::commands::plain;
use crate::double;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Arg, Args, Ctx, Mode};
use std::collections::HashMap;
use store::content::Item;
use store::number::parse_i64;
use store::structures::{set, zset};
use store::value::ValueType;

/// Which elements the result has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    /// Those of any input.
    Union,
    /// Those of every input.
    Inter,
    /// Those of the first input only.
    Diff,
}

/// Where the result goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Reply,
    Store,
    Count,
}

/// How the scores of one element become one.
#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
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

/// An input.
struct Source<'a> {
    elements: Input<'a>,
    len: u64,
    weight: f64,
}

/// Where the elements of an input are.
enum Input<'a> {
    /// A PM sorted set.
    Sorted(PmKey<'a>),
    /// A PM set.
    Set(PmKey<'a>),
    /// Those of a native key.
    Native(HashMap<Vec<u8>, f64>),
}

impl<'a> Source<'a> {
    /// Opens all inputs. Native ones are of another type, unless a command that only reads is to
    /// read them as they are.
    fn open_all(ctx: &'a Ctx, names: &[Arg<'a>], form: Form) -> Result<Vec<Source<'a>>, CmdError> {
        let open = |&name| match Source::open(ctx, name) {
            Err(CmdError::WrongType) if form != Form::Store && plain::reads_natives(ctx, names) => {
                Source::native(ctx, name)
            }
            other => other,
        };
        names.iter().map(open).collect()
    }

    fn native(ctx: &'a Ctx, name: Arg<'a>) -> Result<Source<'a>, CmdError> {
        let ty = ctx.open(name, Mode::Quiet).native_type();
        if !matches!(ty, Some(TY | ValueType::Set)) {
            return Err(CmdError::WrongType);
        }
        let (content, _) = ctx.native_value(name)?.ok_or(CmdError::WrongType)?;
        let elements = content.elements.into_iter().map(|item| match item {
            Item::Scored(element, score) => Ok((element, score)),
            Item::Bytes(member) if content.ty == ValueType::Set => Ok((member, 1.0)),
            _ => Err(CmdError::WrongType),
        });
        let elements: HashMap<_, _> = elements.collect::<Result<_, _>>()?;
        Ok(Source {
            len: elements.len() as u64,
            elements: Input::Native(elements),
            weight: 1.0,
        })
    }

    fn open(ctx: &'a Ctx, name: Arg<'a>) -> Result<Source<'a>, CmdError> {
        let key = PmKey::open_read_one_of(ctx, name, &[TY, ValueType::Set])?;
        let is_set = key.value_type() == Some(ValueType::Set);
        let len = key.read(|_, root| {
            Ok(if is_set {
                set::len(root)
            } else {
                zset::len(root)
            })
        })?;
        let input = if is_set { Input::Set } else { Input::Sorted };
        Ok(Source {
            elements: input(key),
            len,
            weight: 1.0,
        })
    }

    /// Visits all elements until `visit` says false, PM sorted sets from the highest score down.
    fn each(&self, mut visit: impl FnMut(&[u8], f64) -> bool) -> Result<(), CmdError> {
        match &self.elements {
            Input::Set(key) => key.read(|pool, root| {
                let mut digits = itoa::Buffer::new();
                for member in set::members(pool, root)? {
                    if !visit(member?.bytes(&mut digits), 1.0) {
                        break;
                    }
                }
                Ok(())
            }),
            Input::Sorted(key) => key.read(|pool, root| {
                let mut walk = zset::walk(pool, root, self.len.saturating_sub(1), true)?;
                while let Some((name, score)) = walk.step()? {
                    if !visit(name, score) {
                        break;
                    }
                }
                Ok(())
            }),
            Input::Native(elements) => {
                let mut elements = elements.iter();
                elements.all(|(name, &score)| visit(name, score));
                Ok(())
            }
        }
    }

    /// The scores that the elements `names` have here. O(1) each.
    fn scores<'n>(
        &self,
        mut names: impl Iterator<Item = &'n [u8]>,
        mut visit: impl FnMut(Option<f64>),
    ) -> Result<(), CmdError> {
        match &self.elements {
            Input::Set(key) => key.read(|pool, root| {
                names.try_for_each(|name| {
                    visit(set::contains(pool, root, name)?.then_some(1.0));
                    Ok(())
                })
            }),
            Input::Sorted(key) => key.read(|pool, root| {
                names.try_for_each(|name| {
                    visit(zset::score(pool, root, name)?);
                    Ok(())
                })
            }),
            Input::Native(elements) => {
                names.for_each(|name| visit(elements.get(name).copied()));
                Ok(())
            }
        }
    }
}

/// A parsed command.
struct Query<'a> {
    operation: Operation,
    sources: Vec<Source<'a>>,
    aggregate: Aggregate,
    with_scores: bool,
    /// Most elements to count; 0 for all.
    limit: u64,
}

type Elements = Vec<(Vec<u8>, f64)>;

impl<'a> Query<'a> {
    /// Parses `numkeys key [key ...]` and the options of the form.
    fn parse(
        ctx: &'a Ctx,
        args: &[Arg<'a>],
        operation: Operation,
        form: Form,
    ) -> Result<Query<'a>, CmdError> {
        let (numkeys, args) = args.split_first().ok_or(CmdError::Syntax)?;
        let numkeys = integer(*numkeys)?;
        if numkeys < 1 {
            let command = ctx.command_name();
            let text = format!("ERR at least 1 input key is needed for '{command}' command");
            return Err(CmdError::Other(text.into()));
        }
        let numkeys = usize::try_from(numkeys).unwrap_or(usize::MAX);
        let (keys, mut rest) = args.split_at_checked(numkeys).ok_or(CmdError::Syntax)?;
        let sources = Source::open_all(ctx, keys, form)?;
        let mut query = Query {
            operation,
            sources,
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: 0,
        };
        while let Some((option, more)) = rest.split_first() {
            let weighs = operation != Operation::Diff && form != Form::Count;
            rest = match () {
                _ if weighs && more.len() >= numkeys && option.is(b"WEIGHTS") => {
                    let (weights, more) = more.split_at(numkeys);
                    for (source, weight) in query.sources.iter_mut().zip(weights) {
                        source.weight = double::parse(ctx, weight.bytes())
                            .ok_or(CmdError::text_only("ERR weight value is not a float"))?;
                    }
                    more
                }
                _ if weighs && !more.is_empty() && option.is(b"AGGREGATE") => {
                    query.aggregate = match more[0] {
                        how if how.is(b"SUM") => Aggregate::Sum,
                        how if how.is(b"MIN") => Aggregate::Min,
                        how if how.is(b"MAX") => Aggregate::Max,
                        _ => return Err(CmdError::Syntax),
                    };
                    &more[1..]
                }
                _ if form == Form::Reply && option.is(b"WITHSCORES") => {
                    query.with_scores = true;
                    more
                }
                _ if form == Form::Count && !more.is_empty() && option.is(b"LIMIT") => {
                    let limit = parse_i64(more[0].bytes()).and_then(|n| u64::try_from(n).ok());
                    query.limit =
                        limit.ok_or(CmdError::text_only("ERR LIMIT can't be negative"))?;
                    &more[1..]
                }
                _ => return Err(CmdError::Syntax),
            };
        }
        if operation != Operation::Diff {
            query.sources.sort_by_key(|source| source.len);
        }
        Ok(query)
    }

    /// The result, in order.
    fn run(&self) -> Result<Elements, CmdError> {
        let mut elements = match self.operation {
            Operation::Union => self.union()?,
            Operation::Inter => self.inter()?,
            Operation::Diff => self.diff()?,
        };
        zset::sort(&mut elements);
        Ok(elements)
    }

    fn union(&self) -> Result<Elements, CmdError> {
        let most = self.sources.last().map_or(0, |largest| largest.len);
        let mut scores: HashMap<Vec<u8>, f64> = HashMap::with_capacity(most as usize);
        for source in &self.sources {
            source.each(|name, score| {
                let score = number_or_zero(source.weight * score);
                match scores.get_mut(name) {
                    Some(sum) => *sum = self.aggregate.apply(*sum, score),
                    None => {
                        scores.insert(name.to_vec(), score);
                    }
                }
                true
            })?;
        }
        Ok(scores.into_iter().collect())
    }

    fn inter(&self) -> Result<Elements, CmdError> {
        let Some((smallest, others)) = self.sources.split_first() else {
            return Ok(Vec::new());
        };
        let mut elements: Elements = Vec::with_capacity(smallest.len as usize);
        smallest.each(|name, score| {
            elements.push((name.to_vec(), number_or_zero(smallest.weight * score)));
            true
        })?;
        for source in others {
            let mut found = Vec::with_capacity(elements.len());
            let names = elements.iter().map(|(name, _)| name.as_slice());
            source.scores(names, |score| found.push(score))?;
            let mut found = found.into_iter();
            elements.retain_mut(|(_, sum)| match found.next().flatten() {
                Some(score) => {
                    *sum = self.aggregate.apply(*sum, score * source.weight);
                    true
                }
                None => false,
            });
        }
        Ok(elements)
    }

    fn diff(&self) -> Result<Elements, CmdError> {
        let Some((first, others)) = self.sources.split_first() else {
            return Ok(Vec::new());
        };
        let mut elements: Elements = Vec::with_capacity(first.len as usize);
        first.each(|name, score| {
            elements.push((name.to_vec(), score));
            true
        })?;
        // Looking the rest up in each input, or each input's elements up in the rest: the less
        // work.
        let look_up = first.len.saturating_mul(self.sources.len() as u64) / 2;
        if look_up <= self.sources.iter().map(|source| source.len).sum() {
            for source in others {
                let mut found = Vec::with_capacity(elements.len());
                let names = elements.iter().map(|(name, _)| name.as_slice());
                source.scores(names, |score| found.push(score.is_some()))?;
                let mut found = found.into_iter();
                elements.retain(|_| found.next() == Some(false));
            }
            return Ok(elements);
        }
        let mut left: HashMap<&[u8], f64> = elements
            .iter()
            .map(|(name, score)| (name.as_slice(), *score))
            .collect();
        for source in others {
            source.each(|name, _| {
                left.remove(name);
                !left.is_empty()
            })?;
        }
        Ok(left
            .into_iter()
            .map(|(name, score)| (name.to_vec(), score))
            .collect())
    }

    /// How many elements all inputs have in common, as far as the limit.
    fn count(&self) -> Result<u64, CmdError> {
        let Some((smallest, others)) = self.sources.split_first() else {
            return Ok(0);
        };
        // In portions, so that a low limit is reached early.
        const PORTION: usize = 1024;
        let mut count = 0;
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut all: Vec<Vec<u8>> = Vec::with_capacity(smallest.len as usize);
        smallest.each(|name, _| {
            all.push(name.to_vec());
            true
        })?;
        for portion in all.chunks_mut(PORTION) {
            names.clear();
            names.extend(portion.iter_mut().map(std::mem::take));
            for source in others {
                let mut found = Vec::with_capacity(names.len());
                source.scores(names.iter().map(Vec::as_slice), |score| {
                    found.push(score.is_some());
                })?;
                let mut found = found.into_iter();
                names.retain(|_| found.next() == Some(true));
            }
            count += names.len() as u64;
            if self.limit > 0 && count >= self.limit {
                return Ok(self.limit);
            }
        }
        Ok(count)
    }
}

/// `PM.ZUNION numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]`
pub(super) fn zunion(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply(ctx, args, Operation::Union)
}

/// `PM.ZINTER numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]`
pub(super) fn zinter(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply(ctx, args, Operation::Inter)
}

/// `PM.ZDIFF numkeys key [key ...] [WITHSCORES]`
pub(super) fn zdiff(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    reply(ctx, args, Operation::Diff)
}

fn reply(ctx: &Ctx, args: Args<'_>, operation: Operation) -> Result<(), CmdError> {
    let query = Query::parse(ctx, args.from(1), operation, Form::Reply)?;
    let elements = query.run()?;
    let shape = Shape::with_scores(ctx, query.with_scores);
    shape.begin(ctx, elements.len());
    elements
        .iter()
        .for_each(|(name, score)| shape.element(ctx, name, *score));
    Ok(())
}

/// `PM.ZINTERCARD numkeys key [key ...] [LIMIT limit]`
pub(super) fn zintercard(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let query = Query::parse(ctx, args.from(1), Operation::Inter, Form::Count)?;
    ctx.reply_integer(query.count()? as i64);
    Ok(())
}

/// `PM.ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX]`
pub(super) fn zunionstore(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let elements = Query::parse(ctx, args.from(2), Operation::Union, Form::Store)?.run()?;
    store(ctx, args[1], c"zunionstore", &elements, || {
        ctx.replicate(c"PM.ZUNIONSTORE", args.from(1));
    })
}

/// `PM.ZINTERSTORE destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX]`
pub(super) fn zinterstore(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let elements = Query::parse(ctx, args.from(2), Operation::Inter, Form::Store)?.run()?;
    store(ctx, args[1], c"zinterstore", &elements, || {
        ctx.replicate(c"PM.ZINTERSTORE", args.from(1));
    })
}

/// `PM.ZDIFFSTORE destination numkeys key [key ...]`
pub(super) fn zdiffstore(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let elements = Query::parse(ctx, args.from(2), Operation::Diff, Form::Store)?.run()?;
    store(ctx, args[1], c"zdiffstore", &elements, || {
        ctx.replicate(c"PM.ZDIFFSTORE", args.from(1));
    })
}
