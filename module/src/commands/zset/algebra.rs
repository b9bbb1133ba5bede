//! ZUNION, ZINTER, ZDIFF, ZINTERCARD, and the forms that store.
//!
//! The inputs are PM sorted sets and PM sets, whose members count with a score of 1. A native
//! sorted set or set is of another type, unless [`plain::reads_natives`].

use super::range::store;
use super::{Shape, TY, integer};
use crate::commands::{at_least, plain};
use crate::double;
use crate::error::CmdError;
use crate::keyspace::{PmKey, read_all};
use crate::redis::{Arg, Args, Ctx, Mode};
use std::collections::HashMap;
use store::content::Item;
use store::structures::Root;
use store::structures::set::Operation;
use store::structures::zset::{self, Aggregate, Elements, Source};
use store::value::ValueType;

/// Where the result goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Reply,
    Store,
    Count,
}

/// The opened inputs.
struct Inputs<'a> {
    /// Those that are PM keys.
    keys: Vec<PmKey<'a>>,
    /// All, in their order.
    all: Vec<Input>,
}

/// Where the elements of an input are.
enum Input {
    /// A PM sorted set: its place among the keys.
    Sorted(usize),
    /// A PM set: its place among the keys.
    Set(usize),
    /// Those of a native key.
    Native(HashMap<Vec<u8>, f64>),
}

impl<'a> Inputs<'a> {
    /// Opens all inputs. Native ones are of another type, unless a command that only reads is to
    /// read them as they are.
    fn open(ctx: &'a Ctx, names: &[Arg<'a>], form: Form) -> Result<Inputs<'a>, CmdError> {
        let mut keys = Vec::with_capacity(names.len());
        let mut all = Vec::with_capacity(names.len());
        for &name in names {
            let at = keys.len();
            all.push(
                match PmKey::open_read_one_of(ctx, name, &[TY, ValueType::Set]) {
                    Ok(key) => {
                        let is_set = key.value_type() == Some(ValueType::Set);
                        keys.push(key);
                        if is_set {
                            Input::Set(at)
                        } else {
                            Input::Sorted(at)
                        }
                    }
                    Err(CmdError::WrongType)
                        if form != Form::Store && plain::reads_natives(ctx, names) =>
                    {
                        Input::Native(native(ctx, name)?)
                    }
                    Err(error) => return Err(error),
                },
            );
        }
        Ok(Inputs { keys, all })
    }
}

/// The elements of a native sorted set or set.
fn native(ctx: &Ctx, name: Arg<'_>) -> Result<HashMap<Vec<u8>, f64>, CmdError> {
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
    elements.collect()
}

/// A parsed command.
struct Query<'a> {
    operation: Operation,
    inputs: Inputs<'a>,
    /// One an input.
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    /// Most elements to count; 0 for all.
    limit: u64,
}

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
        let (names, mut rest) = args.split_at_checked(numkeys).ok_or(CmdError::Syntax)?;
        let mut query = Query {
            operation,
            inputs: Inputs::open(ctx, names, form)?,
            weights: vec![1.0; names.len()],
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: 0,
        };
        while let Some((option, more)) = rest.split_first() {
            let weighs = operation != Operation::Diff && form != Form::Count;
            rest = match () {
                _ if weighs && more.len() >= numkeys && option.is(b"WEIGHTS") => {
                    let (weights, more) = more.split_at(numkeys);
                    for (place, weight) in query.weights.iter_mut().zip(weights) {
                        *place = double::parse(ctx, weight.bytes())
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
                    query.limit = at_least(more[0], 0, "ERR LIMIT can't be negative")?;
                    &more[1..]
                }
                _ => return Err(CmdError::Syntax),
            };
        }
        Ok(query)
    }

    /// The inputs, of which `roots` are those that are keys.
    fn sources(&self, roots: &[Root]) -> Vec<Source<'_>> {
        let source = |(input, &weight)| {
            let elements = match input {
                &Input::Sorted(at) => Elements::Sorted(roots[at]),
                &Input::Set(at) => Elements::Set(roots[at]),
                Input::Native(elements) => Elements::Given(elements),
            };
            Source { elements, weight }
        };
        let inputs = self.inputs.all.iter().zip(&self.weights);
        inputs.map(source).collect()
    }

    /// The result, in order.
    fn elements(&self) -> Result<Vec<(Vec<u8>, f64)>, CmdError> {
        read_all(&self.inputs.keys, |pool, roots| {
            let sources = self.sources(roots);
            let elements = zset::evaluate(pool, sources, self.operation, self.aggregate)?;
            let owned = elements
                .into_iter()
                .map(|(name, score)| (name.into_owned(), score));
            Ok(owned.collect())
        })
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
    read_all(&query.inputs.keys, |pool, roots| {
        let sources = query.sources(roots);
        let elements = zset::evaluate(pool, sources, operation, query.aggregate)?;
        let shape = Shape::with_scores(ctx, query.with_scores);
        shape.begin(ctx, elements.len());
        elements
            .iter()
            .for_each(|(name, score)| shape.element(ctx, name, *score));
        Ok(())
    })
}

/// `PM.ZINTERCARD numkeys key [key ...] [LIMIT limit]`
pub(super) fn zintercard(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let query = Query::parse(ctx, args.from(1), Operation::Inter, Form::Count)?;
    let limit = match query.limit {
        0 => u64::MAX,
        limit => limit,
    };
    let count = read_all(&query.inputs.keys, |pool, roots| {
        zset::count_common(pool, query.sources(roots), limit)
    })?;
    ctx.reply_integer(count as i64);
    Ok(())
}

/// `PM.ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX]`
pub(super) fn zunionstore(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let elements = Query::parse(ctx, args.from(2), Operation::Union, Form::Store)?.elements()?;
    let command = (c"PM.ZUNIONSTORE", args.from(1));
    store(ctx, args[1], c"zunionstore", &elements, command)
}

/// `PM.ZINTERSTORE destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX]`
pub(super) fn zinterstore(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let elements = Query::parse(ctx, args.from(2), Operation::Inter, Form::Store)?.elements()?;
    let command = (c"PM.ZINTERSTORE", args.from(1));
    store(ctx, args[1], c"zinterstore", &elements, command)
}

/// `PM.ZDIFFSTORE destination numkeys key [key ...]`
pub(super) fn zdiffstore(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let elements = Query::parse(ctx, args.from(2), Operation::Diff, Form::Store)?.elements()?;
    let command = (c"PM.ZDIFFSTORE", args.from(1));
    store(ctx, args[1], c"zdiffstore", &elements, command)
}
