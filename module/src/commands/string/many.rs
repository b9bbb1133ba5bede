//! MGET, MSET, MSETNX and MSETEX: several strings at once.

use super::options::{Command, Condition, Options, Ttl, expire_time};
use super::reply_value;
use crate::behaviour::Behaviour;
use crate::commands::plain::{self, Beside};
use crate::error::CmdError;
use crate::keyspace::{PmKey, put_all, read_each};
use crate::redis::{Arg, Args, Class, Ctx, KeyUse, OwnedString, may_replicate};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use store::expiry::{Expiry, KEY_NEVER};
use store::inline::Inline;
use store::number::parse_i64;

use store::structures::Root;
use store::structures::string::{self, Value};
use store::value::ValueType;

/// `PM.MGET key [key ...]`
pub(super) fn mget(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    // A key of another type is as good as none.
    let open = |&name| {
        let key = PmKey::open_read(ctx, name, ValueType::String).ok()?;
        key.prefetch();
        Some(key)
    };
    let mut keys: Vec<Option<PmKey<'_>>> = args.from(1).iter().map(open).collect();
    let mut natives: Vec<Option<Vec<u8>>> = Vec::new();
    if keys.iter().any(Option::is_none) {
        match plain::passes_over_none(ctx, args.from(1))? {
            Beside::None => {}
            Beside::Adopted => keys = args.from(1).iter().map(open).collect(),
            Beside::Natives => {
                let read = |&name| plain::native_string(ctx, name);
                natives = args.from(1).iter().map(read).collect::<Result<_, _>>()?;
            }
        }
    }
    read_each(&keys, |pool, values| {
        let read = |value: &Option<(Root, Inline)>| match *value {
            Some((root, inline)) => string::read(pool, root, inline),
            None => Ok(None),
        };
        let values = values.iter().map(read).collect::<store::Result<Vec<_>>>()?;
        ctx.reply_array(values.len());
        for (at, value) in values.into_iter().enumerate() {
            match (value, natives.get(at)) {
                (Some(value), _) => reply_value(ctx, value),
                (None, Some(Some(text))) => ctx.reply_bulk(text),
                (None, _) => ctx.reply_null(),
            }
        }
        Ok(())
    })
}

/// `PM.MSET key value [key value ...]`
pub(super) fn mset(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let assignments = Assignments::open(ctx, args.from(1))?;
    assignments.make(ctx, Expiry::Never)?;
    ctx.replicate(c"PM.MSET", args.from(1));
    ctx.reply_ok();
    Ok(())
}

/// `PM.MSETNX key value [key value ...]`
pub(super) fn msetnx(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let assignments = Assignments::open(ctx, args.from(1))?;
    let proceeds = assignments.may_proceed(Some(Condition::Absent));
    if proceeds {
        assignments.make(ctx, Expiry::Never)?;
        ctx.replicate(c"PM.MSETNX", args.from(1));
    }
    ctx.reply_integer(proceeds.into());
    Ok(())
}

/// `PM.MSETEX numkeys key value [key value ...] [NX | XX] [EX s | PX ms | EXAT s | PXAT ms |
/// KEEPTTL]`
pub(super) fn msetex(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    if ctx.asks_for_keys() {
        tell_keys(ctx, args);
        return Ok(());
    }
    let valkeys = Behaviour::MsetexIsValkeys.here();
    let number = pairs(args).ok_or(CmdError::text_only(if valkeys {
        "ERR invalid numkeys value or out of range"
    } else {
        "ERR invalid numkeys value"
    }))?;
    let split = args.from(2).split_at_checked(2 * number);
    let (pairs, options) = split.ok_or(if valkeys {
        CmdError::Syntax
    } else {
        CmdError::text_only("ERR wrong number of key-value pairs")
    })?;
    let options = Options::parse(Command::Msetex, options)?;
    let expire = match options.ttl {
        Some(Ttl::Keep) => Expiry::Keep,
        Some(Ttl::Time(unit, arg)) => Expiry::At(expire_time(ctx, unit, arg)?),
        Some(Ttl::Persist) | None => Expiry::Never,
    };
    let assignments = Assignments::open(ctx, pairs)?;
    let proceeds = assignments.may_proceed(options.condition);
    if proceeds {
        assignments.make(ctx, expire)?;
        replicate(ctx, args[1], pairs, expire);
    }
    ctx.reply_integer(proceeds.into());
    Ok(())
}

/// How many pairs MSETEX says it has; `None` if that is no number of pairs.
fn pairs(args: Args<'_>) -> Option<usize> {
    let number = parse_i64(args[1].bytes())?;
    let number = i32::try_from(number).ok().filter(|&number| number > 0)?;
    usize::try_from(number).ok()
}

/// Tells where the keys of MSETEX are, if its number is sound.
fn tell_keys(ctx: &Ctx, args: Args<'_>) {
    let fits = |&number: &usize| 2 * number + 2 <= args.len();
    let number = args.get(1).and_then(|_| pairs(args)).filter(fits);
    for pair in 0..number.unwrap_or(0) {
        ctx.tell_key(2 + 2 * pair, KeyUse::Overwrite);
    }
}

/// What was decided here is not asked again there, and every expire time is absolute.
fn replicate(ctx: &Ctx, number: Arg<'_>, pairs: &[Arg<'_>], expire: Expiry) {
    if !may_replicate(ctx) {
        return;
    }
    let words: Vec<OwnedString> = match expire {
        Expiry::Never => return ctx.replicate(c"PM.MSET", pairs),
        Expiry::Keep => vec![OwnedString::new(b"KEEPTTL")],
        Expiry::At(at) => vec![
            OwnedString::new(b"PXAT"),
            OwnedString::new(at.to_string().as_bytes()),
        ],
    };
    let options = words.iter().map(OwnedString::arg);
    let args = std::iter::once(number).chain(pairs.iter().copied());
    let args: Vec<Arg<'_>> = args.chain(options).collect();
    ctx.replicate(c"PM.MSETEX", &args);
}

/// So many keys and fewer are compared with each other, rather than hashed.
const FEW: usize = 16;

/// The pairs of MSET, each key once: of a key given several times, the last value counts.
struct Assignments<'a> {
    pairs: &'a [Arg<'a>],
    keys: Vec<PmKey<'a>>,
    /// What each key gets.
    values: Vec<Value<'a>>,
    /// Where in `pairs` each key is given first.
    starts: Vec<usize>,
}

impl<'a> Assignments<'a> {
    fn open(ctx: &'a Ctx, pairs: &'a [Arg<'a>]) -> Result<Assignments<'a>, CmdError> {
        if !pairs.len().is_multiple_of(2) {
            return Err(CmdError::WrongArity);
        }
        let count = pairs.len() / 2;
        let mut keys: Vec<PmKey<'a>> = Vec::with_capacity(count);
        let mut values = Vec::with_capacity(count);
        let mut starts = Vec::with_capacity(count);
        let mut indexes = HashMap::new();
        for (i, pair) in pairs.chunks_exact(2).enumerate() {
            let (name, value) = (pair[0], Value::of(pair[1].bytes()));
            let known = if count <= FEW {
                keys.iter()
                    .position(|key| key.name().bytes() == name.bytes())
            } else {
                match indexes.entry(name.bytes()) {
                    Entry::Occupied(entry) => Some(*entry.get()),
                    Entry::Vacant(entry) => {
                        entry.insert(keys.len());
                        None
                    }
                }
            };
            match known {
                Some(index) => values[index] = value,
                None => {
                    let key = PmKey::open_any(ctx, name, ValueType::String);
                    key.prefetch();
                    keys.push(key);
                    values.push(value);
                    starts.push(2 * i);
                }
            }
        }
        Ok(Assignments {
            pairs,
            keys,
            values,
            starts,
        })
    }

    /// Whether all keys are as the condition wants them.
    fn may_proceed(&self, condition: Option<Condition>) -> bool {
        match condition {
            Some(Condition::Absent) => !self.keys.iter().any(PmKey::occupied),
            Some(Condition::Present) => self.keys.iter().all(PmKey::occupied),
            None => true,
        }
    }

    /// Makes all assignments in one atomic step and tells of them, pair by pair.
    fn make(self, ctx: &Ctx, expire: Expiry) -> Result<(), CmdError> {
        let Assignments {
            pairs,
            mut keys,
            values,
            starts,
        } = self;
        let (expire_at, expires) = match expire {
            Expiry::Keep => (None, false),
            Expiry::Never => (Some(KEY_NEVER), false),
            Expiry::At(at) => (Some(at), true),
        };
        // Of the two events, Redis sends the one of the time first.
        let time_first = !Behaviour::MsetexIsValkeys.here();
        put_all(
            &mut keys,
            expire_at,
            |i| values[i].inline_len(),
            |i, tx, root, inline| string::set(tx, root, inline, values[i]),
            |i| {
                let end = starts.get(i + 1).copied().unwrap_or(pairs.len());
                for (n, pair) in pairs[starts[i]..end].chunks_exact(2).enumerate() {
                    // Behind the first are keys that were given before.
                    if n > 0 {
                        ctx.notify_replaced(pair[0], false);
                    }
                    ctx.signal_modified(pair[0]);
                    if expires && time_first {
                        ctx.notify(Class::GENERIC, c"expire", pair[0]);
                    }
                    ctx.notify(Class::STRING, c"set", pair[0]);
                    if expires && !time_first {
                        ctx.notify(Class::GENERIC, c"expire", pair[0]);
                    }
                }
            },
        )
    }
}
