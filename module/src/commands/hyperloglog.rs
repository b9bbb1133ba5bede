//! The HyperLogLog commands. A HyperLogLog is a string of a certain form, Redis's own.

use super::row::{ALL, ONE, Row, WRITE, WRITE_FAST};
use super::string::read;
use crate::commands::announce::announce_and_replicate;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::keyspace::expiring::takes_changes;
use crate::limits;
use crate::redis::{Arg, Args, Class, Ctx};
use store::expiry::Expiry;
use store::hyperloglog::{self as hll, Corrupted, Registers, Sample};
use store::structures::hyperloglog;
use store::structures::string::{self, Value};
use store::value::ValueType;

/// One row a command: name, handler, arity, flags, keys.
pub(super) const ROWS: &[Row] = &[
    Row::command("pfadd", pfadd, -2, WRITE_FAST, ONE),
    Row::command("pfcount", pfcount, -2, "readonly may-replicate", ALL),
    Row::command("pfmerge", pfmerge, -2, WRITE, ALL),
];

const TY: ValueType = ValueType::String;

const INVALID: CmdError =
    CmdError::text_only("WRONGTYPE Key is not a valid HyperLogLog string value.");

impl From<Corrupted> for CmdError {
    fn from(_: Corrupted) -> CmdError {
        CmdError::text_only("INVALIDOBJ Corrupted HLL object detected")
    }
}

/// Hands the key's HyperLogLog to `f`; `None` if there is none.
fn look<R>(
    key: &PmKey<'_>,
    f: impl FnOnce(&[u8]) -> Result<R, CmdError>,
) -> Result<Option<R>, CmdError> {
    let looked = read(key, |value| match value {
        Value::Bytes(text) if hll::is_one(text) => f(text),
        _ => Err(INVALID),
    })?;
    looked.transpose()
}

/// What PFADD does to a key.
enum Change {
    /// Nothing.
    None,
    /// These registers of a dense HyperLogLog rise, in ascending order.
    Registers(Vec<Sample>),
    /// A new text takes the place of the old one.
    Text(Vec<u8>),
}

/// Rising registers up to this number are written where they lie.
const IN_PLACE_MAX: usize = 128;

/// `PM.PFADD key [element [element ...]]`
pub(super) fn pfadd(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let mut key = PmKey::open_write(ctx, args[1], TY)?;
    let elements = args.from(2);
    let change = match look(&key, |text| added(text, elements))? {
        Some(change) => change,
        None => {
            let mut text = hll::empty();
            hll::invalidate(&mut text);
            raise_all(&mut text, elements)?;
            Change::Text(text)
        }
    };
    let changed = match change {
        Change::None => false,
        Change::Registers(samples) => {
            key.edit_inline(None, |tx, root, inline| {
                hyperloglog::raise(tx, *root, inline, &samples)
            })?;
            true
        }
        Change::Text(text) => {
            rewrite(&mut key, &text)?;
            true
        }
    };
    if changed {
        announce_and_replicate(
            ctx,
            &key,
            (Class::STRING, c"pfadd"),
            (c"PM.PFADD", args.from(1)),
        );
    }
    ctx.reply_integer(changed.into());
    Ok(())
}

fn added(text: &[u8], elements: &[Arg<'_>]) -> Result<Change, CmdError> {
    if hll::is_dense(text) {
        let samples = elements.iter().map(|element| hll::sample(element.bytes()));
        let mut rising: Vec<Sample> = samples.filter(|&sample| hll::rises(text, sample)).collect();
        if rising.is_empty() {
            return Ok(Change::None);
        }
        if rising.len() <= IN_PLACE_MAX {
            rising.sort_unstable();
            return Ok(Change::Registers(rising));
        }
    }
    let mut changed = text.to_vec();
    Ok(if raise_all(&mut changed, elements)? {
        Change::Text(changed)
    } else {
        Change::None
    })
}

/// Raises the registers that elements fall to; whether one has risen.
fn raise_all(text: &mut Vec<u8>, elements: &[Arg<'_>]) -> Result<bool, CmdError> {
    let mut risen = false;
    for element in elements {
        risen |= hll::raise(text, hll::sample(element.bytes()), limits::hll_sparse_max())?;
    }
    Ok(risen)
}

/// Makes the key hold a text, much of which it may hold already. An expire time stays.
fn rewrite(key: &mut PmKey<'_>, text: &[u8]) -> Result<(), CmdError> {
    let fresh = string::inline_len(text.len() as u64);
    key.upsert(fresh, Expiry::Keep, |tx, root, inline| {
        string::rewrite(tx, root, inline, text)
    })
}

/// `PM.PFCOUNT key [key ...]`
pub(super) fn pfcount(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let count = match args.from(1) {
        [name] => count_one(ctx, *name)?,
        names => hll::count_merged(&merged(ctx, names)?.registers),
    };
    ctx.reply_integer(count as i64);
    Ok(())
}

/// The number of elements of one key. It is kept in the string, so that this read may be a write:
/// it is replicated as one then.
fn count_one(ctx: &Ctx, name: Arg<'_>) -> Result<u64, CmdError> {
    let mut key = PmKey::open_read(ctx, name, TY)?;
    let found = look(&key, |text| match hll::cached_count(text) {
        Some(count) => Ok((count, true)),
        None => Ok((hll::count(text)?, false)),
    })?;
    let (count, cached) = found.unwrap_or((0, true));
    if !cached && (takes_changes() || ctx.must_obey()) {
        key.edit_inline(None, |tx, root, inline| {
            hyperloglog::keep_count(tx, *root, inline, count)
        })?;
        key.signal();
        ctx.replicate(c"PM.PFCOUNT", &[name]);
    }
    Ok(count)
}

/// Several HyperLogLogs in one.
struct Merged {
    registers: Box<Registers>,
    /// Whether one of them is dense.
    dense: bool,
}

fn merged(ctx: &Ctx, names: &[Arg<'_>]) -> Result<Merged, CmdError> {
    let mut merged = Merged {
        registers: Box::new([0; hll::REGISTERS]),
        dense: false,
    };
    for &name in names {
        let key = PmKey::open_read(ctx, name, TY)?;
        look(&key, |text| {
            merged.dense |= hll::is_dense(text);
            Ok(hll::merge(&mut merged.registers, text)?)
        })?;
    }
    Ok(merged)
}

/// `PM.PFMERGE destination [source ...]`
pub(super) fn pfmerge(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let Merged { registers, dense } = merged(ctx, args.from(1))?;
    let mut key = PmKey::open_write(ctx, args[1], TY)?;
    let mut text = look(&key, |text| Ok(text.to_vec()))?.unwrap_or_else(hll::empty);
    if dense {
        hll::make_dense(&mut text)?;
    }
    for (index, &run) in registers.iter().enumerate() {
        if run > 0 {
            hll::raise(&mut text, Sample { index, run }, limits::hll_sparse_max())?;
        }
    }
    hll::invalidate(&mut text);
    rewrite(&mut key, &text)?;
    key.signal();
    // Redis tells of a merge as of many additions.
    ctx.notify(Class::STRING, c"pfadd", args[1]);
    ctx.replicate(c"PM.PFMERGE", args.from(1));
    ctx.reply_ok();
    Ok(())
}
