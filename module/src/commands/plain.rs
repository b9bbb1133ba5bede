//! Native names that mean PM keys: the setting `unprefixed`.
//!
//! The server's own entries of the commands stay as they are, and the module stands in for what
//! they do (`redis/stand_in.rs`). Here is decided which commands that concerns: all, or those whose
//! keys are in some databases, or of some names; never those of an AOF that is loaded, which tells
//! of native keys only. Of what is left, a handler hands back to the server what it finds to be
//! about native keys.

use super::Native;
use crate::config::Scope;
use crate::error::CmdError;
use crate::keyspace::adopt::adopt;
use crate::redis::{
    Arg, Args, Ctx, KeysAt, Kind, MainCell, Mode, Rules, Side, StandIn, Way, keys_looked_at,
    keys_of_native, look_closer, spares_replicas,
};
use crate::report;
use store::content::Item;
use store::value::ValueType;

/// What the setting says, once it is in force.
static SCOPE: MainCell<Scope> = MainCell::empty();

static RULES: Rules = Rules { side, other_type };

/// Has native names mean PM keys from now on, within a scope. Only as the last step of loading that
/// may fail.
///
/// # Errors
/// The server is not one in which that can be done.
pub fn stand_in(ctx: &Ctx, natives: &[Native], scope: Scope) -> Result<(), String> {
    let all_keys = scope.is_all();
    SCOPE
        .replace(Some(scope))
        .map_err(|_| "loaded on another thread")?;
    // Until the first command shows that nothing is being loaded.
    look_closer(true);
    let commands = natives.iter().filter_map(|native| native.stand_in.clone());
    let commands: Vec<StandIn> = commands.collect();
    let count = ctx.stand_in(&commands, &RULES, all_keys).map_err(|why| {
        format!("this server does not let 'unprefixed' be done: {why}; see docs/unprefixed.md")
    })?;
    report::notice(&format!(
        "{count} plain command names now mean PM keys, as 'unprefixed' says"
    ));
    Ok(())
}

/// Whose a command is.
fn side(ctx: &Ctx, args: Args<'_>, about: &StandIn) -> Side {
    let flags = ctx.flags();
    if flags.loading() && !flags.async_loading() {
        return Side::Native;
    }
    let asked = SCOPE.with(|scope| {
        if scope.is_all() {
            look_closer(false);
            return Side::Ours;
        }
        match about.keys {
            KeysAt::Any => Side::Ours,
            _ if !scope.has_database(ctx.db()) => Side::Native,
            _ if scope.patterns.is_empty() => Side::Ours,
            KeysAt::First => side_of_all(scope, args.get(1).into_iter()),
            KeysAt::Elsewhere => {
                let keys = keys_of_native(&about.native, args.from(0));
                side_of_all(scope, keys.into_iter())
            }
        }
    });
    asked.unwrap_or(Side::Native)
}

/// The side that all keys are on. Without keys it is ours, whose error is the server's.
fn side_of_all<'a>(scope: &Scope, keys: impl Iterator<Item = Arg<'a>>) -> Side {
    let (mut ours, mut natives) = (false, false);
    for key in keys {
        if scope.has_name(key.bytes()) {
            ours = true
        } else {
            natives = true
        }
    }
    match (ours, natives) {
        (true, true) => Side::Both,
        (false, true) => Side::Native,
        _ => Side::Ours,
    }
}

/// A handler has met a value of another type: is that a native value of a type that we have? The
/// server reads it. What is to be changed, or read together with values of ours, becomes a PM key;
/// but not if the command fails all the same.
fn other_type(ctx: &Ctx, args: Args<'_>, about: &StandIn) -> Way {
    let keys = keys_of_native(&about.native, args.from(0));
    match Held::by(ctx, &keys) {
        Held::Others => Way::Fail,
        Held::Natives if !about.writes => Way::Native,
        Held::Natives | Held::Both if meets_wrong_type(ctx, args, about) => Way::Fail,
        Held::Natives | Held::Both if spares_replicas() => Way::Refuse(NOT_NOW),
        Held::Natives | Held::Both => match adopt_all(ctx, &keys) {
            Ok(true) => Way::Again,
            Ok(false) => Way::Fail,
            Err(error) => Way::Refuse(error),
        },
    }
}

/// Whether one of the keys whose values matter holds a value, native or ours, that the command does
/// not work on.
fn meets_wrong_type(ctx: &Ctx, args: Args<'_>, about: &StandIn) -> bool {
    let takes = |ty: ValueType| about.takes.contains(&ty) || about.takes_too == Some(ty);
    let looked_at = keys_looked_at(&about.native, args.from(0));
    let mut looked_at = looked_at.into_iter().filter_map(|name| {
        let key = ctx.open(name, Mode::Quiet);
        match (key.kind(), key.native_type()) {
            (Kind::Absent, _) => None,
            (Kind::Pm(ty, _), _) | (Kind::Other, Some(ty)) => Some(takes(ty)),
            (Kind::Other, None) => Some(false),
        }
    });
    if about.first_key_only {
        looked_at.next() == Some(false)
    } else {
        looked_at.any(|fits| !fits)
    }
}

/// Native keys would have to become PM keys, which cannot be told to anybody now.
const NOT_NOW: CmdError = CmdError::text_only(
    "TRYAGAIN Native keys cannot be taken into persistent memory while writes are paused",
);

/// Makes all keys that are native PM keys. False if none was. Not while writes are paused.
fn adopt_all(ctx: &Ctx, keys: &[Arg<'_>]) -> Result<bool, CmdError> {
    let mut any = false;
    for &key in keys {
        any |= adopt(ctx, key)?;
    }
    Ok(any)
}

/// What a command's keys hold, absent ones apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// Native values of types that we have, or of these and of types that we do not have.
    Natives,
    /// Native values of types that we have, and values of ours.
    Both,
    /// No native value of a type that we have.
    Others,
}

impl Held {
    /// Neither an access nor a miss.
    fn by(ctx: &Ctx, keys: &[Arg<'_>]) -> Held {
        let (mut natives, mut ours) = (false, false);
        for &name in keys {
            let key = ctx.open(name, Mode::Quiet);
            natives |= key.native_type().is_some();
            ours |= matches!(key.kind(), Kind::Pm(..));
        }
        match (natives, ours) {
            (false, _) => Held::Others,
            (true, false) => Held::Natives,
            (true, true) => Held::Both,
        }
    }
}

/// What has become of the native keys beside those of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// There are none.
    None,
    /// They are PM keys now, and are to be looked at again.
    Adopted,
    /// They stay what they are, as writes are paused, and are to be read as they are.
    Natives,
}

/// What a command which passes over keys of other types does about native ones, if it was called by
/// its native name. If there are no keys of ours beside them, it is handed back to the server.
///
/// # Errors
/// [`CmdError::Native`], or that of a key that cannot be taken over.
pub(super) fn passes_over_none(ctx: &Ctx, keys: &[Arg<'_>]) -> Result<Beside, CmdError> {
    if !ctx.is_plain() {
        return Ok(Beside::None);
    }
    match Held::by(ctx, keys) {
        Held::Others => Ok(Beside::None),
        Held::Natives => Err(CmdError::Native),
        Held::Both if spares_replicas() => Ok(Beside::Natives),
        Held::Both if adopt_all(ctx, keys)? => Ok(Beside::Adopted),
        Held::Both => Ok(Beside::None),
    }
}

/// Whether a command that only reads its keys, and has met one of another type, is to read native
/// ones as they are: it was called by its native name, there are keys of ours beside them, and none
/// can be taken over, as writes are paused.
pub(super) fn reads_natives(ctx: &Ctx, keys: &[Arg<'_>]) -> bool {
    spares_replicas() && ctx.is_plain() && Held::by(ctx, keys) == Held::Both
}

/// The text of a native string; `None` if the key holds anything else.
///
/// # Errors
/// The server does not give the value.
pub(super) fn native_string(ctx: &Ctx, name: Arg<'_>) -> Result<Option<Vec<u8>>, CmdError> {
    if ctx.open(name, Mode::Quiet).native_type() != Some(ValueType::String) {
        return Ok(None);
    }
    let string = ctx.native_value(name)?;
    let elements = string.into_iter().flat_map(|(content, _)| content.elements);
    let mut texts = elements.filter_map(|item| match item {
        Item::Bytes(text) => Some(text),
        _ => None,
    });
    Ok(texts.next())
}
