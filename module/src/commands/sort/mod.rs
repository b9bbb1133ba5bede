//! SORT and SORT_RO on PM lists, sets and sorted sets.
//!
//! What is sorted is a PM key: to a native list, set or sorted set the answer is WRONGTYPE, as
//! native SORT's is to a PM key. Patterns, as names of keys, reach PM keys and native ones alike
//! ([`pattern`]). STORE makes a PM list, in place of whatever the destination held, in one step.
//!
//! Where elements compare as equal under ALPHA, they keep the order in which the source has them.
//! So does Redis, but not if it has BY and a LIMIT that leaves something out: then it sorts only as
//! far as it must, and the order of equals is that of its algorithm ([`partial_sort`]). A set has
//! no order that its copy on a replica would have, too: replicas get the outcome then.

mod pattern;

use super::integer;
use super::row::{ONE, READ, Row, WRITE};
use crate::behaviour::Behaviour;
use crate::commands::announce::{announce, clear};
use crate::double;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::partial_sort::partial_sort;
use crate::redis::{Arg, Args, Class, Ctx, KeyUse, OwnedString, collate, may_replicate};
use pattern::Pattern;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::ffi::CString;
use store::slot;
use store::structures::list::{self, Side};
use store::structures::{Root, set, zset};
use store::value::ValueType;

/// Most values that one replicated RPUSH appends.
const REPLICATED_MAX: usize = 1024;

/// One row a command: name, handler, arity, flags, keys.
pub(super) const ROWS: &[Row] = &[
    Row::command("sort", sort, -2, WRITE, ONE)
        .options("BY LIMIT GET ASC DESC ALPHA STORE")
        .telling_keys(),
    Row::command("sort_ro", sort_ro, -2, READ, ONE)
        .options("BY LIMIT GET ASC DESC ALPHA")
        .telling_keys(),
];

/// `PM.SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC|DESC] [ALPHA] [STORE
/// destination]`
pub(super) fn sort(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    if ctx.asks_for_keys() {
        ctx.tell_key(1, KeyUse::Read);
        if let Some(at) = destination(args) {
            ctx.tell_key(at, KeyUse::Overwrite);
        }
        return Ok(());
    }
    run(ctx, args, true)
}

/// `PM.SORT_RO key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC|DESC] [ALPHA]`
pub(super) fn sort_ro(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    if ctx.asks_for_keys() {
        ctx.tell_key(1, KeyUse::Read);
        return Ok(());
    }
    run(ctx, args, false)
}

/// Where the name of the last STORE's destination stands, in whatever is given as arguments.
fn destination(args: Args<'_>) -> Option<usize> {
    let (mut at, mut found) = (2, None);
    while let Some(arg) = args.get(at) {
        at += match arg {
            _ if arg.is(b"limit") => 3,
            _ if arg.is(b"get") || arg.is(b"by") => 2,
            _ if arg.is(b"store") && at + 1 < args.len() => {
                found = Some(at + 1);
                1
            }
            _ => 1,
        };
    }
    found
}

/// What a command asks for.
#[derive(Default)]
struct Query<'a> {
    descending: bool,
    alpha: bool,
    /// The elements stay in the order in which the source has them.
    unsorted: bool,
    by: Option<Arg<'a>>,
    get: Vec<Arg<'a>>,
    store: Option<Arg<'a>>,
    offset: i64,
    count: Option<i64>,
}

impl<'a> Query<'a> {
    fn parse(ctx: &Ctx, args: Args<'a>, may_store: bool) -> Result<Query<'a>, CmdError> {
        let mut query = Query::default();
        let mut reach = Reach::new(ctx, args);
        let mut rest = args.from(2);
        while let [option, values @ ..] = rest {
            rest = values;
            match values {
                _ if option.is(b"asc") => query.descending = false,
                _ if option.is(b"desc") => query.descending = true,
                _ if option.is(b"alpha") => query.alpha = true,
                [offset, count, others @ ..] if option.is(b"limit") => {
                    query.offset = integer(*offset)?;
                    let count = integer(*count)?;
                    query.count = Some(count).filter(|&count| count >= 0);
                    rest = others;
                }
                [name, others @ ..] if option.is(b"store") && may_store => {
                    query.store = Some(*name);
                    rest = others;
                }
                [pattern, others @ ..] if option.is(b"by") => {
                    match Pattern::parse(pattern.bytes()) {
                        Pattern::Names { .. } => reach.check("BY", pattern.bytes())?,
                        _ => query.unsorted = true,
                    }
                    query.by = Some(*pattern);
                    rest = others;
                }
                [pattern, others @ ..] if option.is(b"get") => {
                    reach.check("GET", pattern.bytes())?;
                    query.get.push(*pattern);
                    rest = others;
                }
                _ => return Err(CmdError::Syntax),
            }
        }
        Ok(query)
    }

    /// The positions of the result in a source of `len` elements.
    fn range(&self, len: usize) -> std::ops::Range<usize> {
        let start = usize::try_from(self.offset.max(0)).unwrap_or(usize::MAX);
        let count = self.count.map_or(usize::MAX, |count| count as usize);
        if start < len {
            start..start.saturating_add(count).min(len)
        } else {
            0..0
        }
    }
}

/// Whether patterns may be followed to keys that the command does not name.
struct Reach<'a> {
    ctx: &'a Ctx,
    command: Arg<'a>,
    source: Arg<'a>,
    /// The user may read all keys; asked when it matters.
    all_keys: Option<bool>,
}

impl<'a> Reach<'a> {
    fn new(ctx: &'a Ctx, args: Args<'a>) -> Reach<'a> {
        Reach {
            ctx,
            command: args[0],
            source: args[1],
            all_keys: None,
        }
    }

    fn check(&mut self, option: &str, pattern: &[u8]) -> Result<(), CmdError> {
        let denied = |why: &str| {
            let text = format!("ERR {option} option of SORT denied {why}");
            Err(CmdError::Other(text.into()))
        };
        if self.ctx.flags().cluster() {
            let follows = Behaviour::SortFollowsOneSlot.here();
            let is_element = pattern == b"#" && Behaviour::SortKnowsElement.here();
            let in_slot = slot::of_pattern(pattern) == Some(slot::of(self.source.bytes()));
            if !follows {
                return denied("in Cluster mode.");
            }
            if !is_element && !in_slot {
                return denied(
                    "in Cluster mode when keys formed by the pattern may be in different slots.",
                );
            }
        }
        let all_keys = self
            .all_keys
            .get_or_insert_with(|| self.ctx.may_run_on_all_keys(self.command));
        if *all_keys {
            Ok(())
        } else {
            denied("due to insufficient ACL permissions.")
        }
    }
}

/// An element with what it is sorted by.
struct Item {
    element: Vec<u8>,
    weight: Weight,
}

/// What elements are compared by; the same variant for all of a sort.
enum Weight {
    Number(f64),
    /// Byte by byte.
    Text(Option<Vec<u8>>),
    /// As the server's locale has it.
    Collated(Option<CString>),
}

impl Item {
    fn compare(&self, other: &Item) -> Ordering {
        match (&self.weight, &other.weight) {
            (Weight::Number(a), Weight::Number(b)) => a
                .partial_cmp(b)
                .unwrap_or(Ordering::Equal)
                .then_with(|| self.element.cmp(&other.element)),
            (Weight::Text(a), Weight::Text(b)) => a.cmp(b),
            (Weight::Collated(Some(a)), Weight::Collated(Some(b))) => collate(a, b),
            (Weight::Collated(a), Weight::Collated(b)) => a.is_some().cmp(&b.is_some()),
            _ => Ordering::Equal,
        }
    }
}

fn run(ctx: &Ctx, args: Args<'_>, may_store: bool) -> Result<(), CmdError> {
    let mut query = Query::parse(ctx, args, may_store)?;
    const SORTED: [ValueType; 3] = [ValueType::List, ValueType::Set, ValueType::ZSet];
    let source = PmKey::open_read_one_of(ctx, args[1], &SORTED)?;
    let is_set = source.value_type() == Some(ValueType::Set);
    if query.unsorted && is_set && (query.store.is_some() || ctx.flags().script()) {
        // A set has no order, and the result must not depend on chance.
        (query.unsorted, query.alpha, query.by) = (false, true, None);
    }
    let (elements, has_equals) = if query.unsorted {
        (in_order(&source, &query)?, false)
    } else {
        let elements = read(&source, false, |_| 0..usize::MAX)?;
        let range = query.range(elements.len());
        let (mut sorted, has_equals) = sorted(ctx, &query, elements)?;
        sorted.truncate(range.end);
        sorted.drain(..range.start);
        (sorted, has_equals)
    };
    drop(source);
    let outcome = outcome(ctx, &query, elements)?;
    match query.store {
        Some(name) => store(ctx, args, name, &outcome, is_set && has_equals),
        None => {
            ctx.reply_array(outcome.len());
            for value in outcome {
                match value {
                    Some(value) => ctx.reply_bulk(&value),
                    None => ctx.reply_null(),
                }
            }
            Ok(())
        }
    }
}

/// The result's elements, not sorted: a list or a sorted set has its order, which DESC turns
/// around.
fn in_order(source: &PmKey<'_>, query: &Query<'_>) -> Result<Vec<Vec<u8>>, CmdError> {
    read(source, query.descending, |len| query.range(len))
}

/// The elements of a source at the positions that `range` gives for its length, or all up to its
/// end.
fn read(
    source: &PmKey<'_>,
    reverse: bool,
    range: impl FnOnce(usize) -> std::ops::Range<usize>,
) -> Result<Vec<Vec<u8>>, CmdError> {
    let ty = source.value_type();
    source.read(|pool, root| {
        let mut elements = Vec::new();
        match ty {
            Some(ValueType::List) => {
                let range = range(list::len(pool, root)? as usize);
                let side = if reverse { Side::Right } else { Side::Left };
                let mut left = range.len();
                if left > 0 {
                    list::each(pool, root, side, range.start as u64, |value| {
                        elements.push(value.bytes(pool)?.to_vec());
                        left -= 1;
                        Ok(left > 0)
                    })?;
                }
            }
            Some(ValueType::Set) => {
                let range = range(set::len(root) as usize);
                let mut digits = itoa::Buffer::new();
                let members = set::members(pool, root)?;
                for member in members.skip(range.start).take(range.len()) {
                    elements.push(member?.bytes(&mut digits).to_vec());
                }
            }
            Some(ValueType::ZSet) => {
                let len = zset::len(root);
                let range = range(len as usize);
                let first = range.start as u64;
                let rank = if reverse {
                    len.wrapping_sub(first + 1)
                } else {
                    first
                };
                let mut walk = zset::walk(pool, root, rank, reverse)?;
                while elements.len() < range.len()
                    && let Some((name, _)) = walk.step()?
                {
                    elements.push(name.to_vec());
                }
            }
            _ => {}
        }
        Ok(elements)
    })
}

/// The elements in their order, or as many of them as are asked for; and whether some texts to be
/// stored by are equal, so that the source's order decides.
fn sorted(
    ctx: &Ctx,
    query: &Query<'_>,
    elements: Vec<Vec<u8>>,
) -> Result<(Vec<Vec<u8>>, bool), CmdError> {
    let by = query.by.map(|by| Pattern::parse(by.bytes()));
    let mut items = Vec::with_capacity(elements.len());
    let mut is_number = true;
    for element in elements {
        let text = match &by {
            Some(by) => by.look_up(ctx, &element)?,
            None => Some(element.clone()),
        };
        let weight = match (query.alpha, query.store) {
            (true, Some(_)) => Weight::Text(text),
            (true, None) => Weight::Collated(text.map(c_string)),
            (false, _) => {
                let number = text.map_or(Some(0.0), |text| double::parse_weight(ctx, &text));
                is_number &= number.is_some();
                Weight::Number(number.unwrap_or(0.0))
            }
        };
        items.push(Item { element, weight });
    }
    if !is_number {
        return Err(CmdError::text_only(
            "ERR One or more scores can't be converted into double",
        ));
    }
    let has_equals = has_equals(&items);
    let compare = |a: &Item, b: &Item| {
        let order = a.compare(b);
        if query.descending {
            order.reverse()
        } else {
            order
        }
    };
    let range = query.range(items.len());
    if query.by.is_some() && range != (0..items.len()) {
        partial_sort(&mut items, range.end, compare);
    } else {
        items.sort_by(compare);
    }
    let elements = items.into_iter().map(|item| item.element).collect();
    Ok((elements, has_equals))
}

/// Whether texts are equal that items are stored by.
fn has_equals(items: &[Item]) -> bool {
    let mut seen = HashSet::new();
    items.iter().any(|item| match &item.weight {
        Weight::Text(text) => !seen.insert(text),
        Weight::Number(_) | Weight::Collated(_) => false,
    })
}

/// The text as a C string, which a zero byte ends.
fn c_string(mut text: Vec<u8>) -> CString {
    if let Some(end) = text.iter().position(|&byte| byte == 0) {
        text.truncate(end);
    }
    CString::new(text).expect("the text ends at its first zero byte")
}

/// What the result shows: the elements, or what GET asks for each.
fn outcome(
    ctx: &Ctx,
    query: &Query<'_>,
    elements: Vec<Vec<u8>>,
) -> Result<Vec<Option<Vec<u8>>>, CmdError> {
    if query.get.is_empty() {
        return Ok(elements.into_iter().map(Some).collect());
    }
    let patterns: Vec<Pattern<'_>> = query
        .get
        .iter()
        .map(|pattern| Pattern::parse(pattern.bytes()))
        .collect();
    let mut values = Vec::with_capacity(elements.len() * patterns.len());
    for element in &elements {
        for pattern in &patterns {
            values.push(pattern.look_up(ctx, element)?);
        }
    }
    Ok(values)
}

/// Makes the destination a list of the values, where what is not there is empty, and tells of it.
/// Replicas get the command, or, if its outcome may be another one there, the list.
fn store(
    ctx: &Ctx,
    args: Args<'_>,
    name: Arg<'_>,
    values: &[Option<Vec<u8>>],
    has_outcomes: bool,
) -> Result<(), CmdError> {
    let mut destination = PmKey::open_any(ctx, name, ValueType::List);
    if !values.is_empty() {
        let values = values.iter().map(|value| value.as_deref().unwrap_or(b""));
        destination.put(|tx| {
            let mut root = Root::EMPTY;
            list::push(tx, &mut root, Side::Right, values.clone())?;
            Ok(root)
        })?;
        announce(ctx, &destination, Class::LIST, c"sortstore");
        if has_outcomes {
            replicate_list(ctx, name, &values.collect::<Vec<_>>());
        } else {
            ctx.replicate(c"PM.SORT", args.from(1));
        }
    } else {
        clear(ctx, &mut destination, (c"PM.SORT", args.from(1)));
    }
    ctx.reply_integer(values.len() as i64);
    Ok(())
}

/// Has replicas put a list of these values in the place of what the key holds.
fn replicate_list(ctx: &Ctx, name: Arg<'_>, values: &[&[u8]]) {
    if !may_replicate(ctx) {
        return;
    }
    ctx.replicate(c"DEL", &[name]);
    for values in values.chunks(REPLICATED_MAX) {
        let strings: Vec<_> = values.iter().map(|value| OwnedString::new(value)).collect();
        let mut args = vec![name];
        args.extend(strings.iter().map(OwnedString::arg));
        ctx.replicate(c"PM.RPUSH", &args);
    }
}
