//! Commands that take a key elsewhere, or bring one here: MOVE, DUMP, RESTORE.

use super::keys::{Done, database, on_first};
use crate::error::CmdError;
use crate::keyspace::{plain_stream, substitutes};
use crate::redis::{Arg, Args, Ctx, Kind, Mode, OwnedString, Propagate};
use store::value::ValueType;

/// `PM.MOVE key db`
pub(super) fn move_to(ctx: &Ctx, args: Args<'_>) -> Done {
    let dbs: Vec<i32> = database(args[2]).into_iter().collect();
    if !ctx.may_use_databases(args, Some(b"MOVE"), &dbs, Some(args[2])) {
        return Err(CmdError::NoDatabase);
    }
    on_first(ctx, args, Propagate::Replicas, || {
        ctx.reply_integer(0);
        Ok(())
    })
}

/// `PM.DUMP key`
///
/// Under its plain name, and with `rdb native`, a PM key is told as a native one (where plain names
/// are the server's, see `keyspace::substitutes`).
pub(super) fn dump(ctx: &Ctx, args: Args<'_>) -> Done {
    if ctx.is_plain() {
        return match ctx.open(args[1], Mode::Unseen).kind() {
            Kind::Pm(..) if plain_stream::dumps_natively() => export(ctx, args),
            _ => Err(CmdError::Native),
        };
    }
    on_first(ctx, args, Propagate::Nowhere, || {
        ctx.reply_null();
        Ok(())
    })
}

/// `PM.EXPORT key`: the payload of a native key of the same value, which RESTORE takes on a server
/// without the module; of a native key, what DUMP says. Null if there is no such key. O(n), and as
/// much memory.
pub(crate) fn export(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    if ctx.open(args[1], Mode::Unseen).kind() == Kind::Other {
        substitutes::ask_native(ctx, c"DUMP", &args.from(1)[..1]);
        return Ok(());
    }
    match plain_stream::payload(ctx, args[1], Mode::Read)? {
        Some(payload) => ctx.reply_bulk(&payload),
        None => ctx.reply_null(),
    }
    Ok(())
}

/// What [`export`] tells of a key.
///
/// # Errors
/// `Damaged`.
pub(super) fn native_payload(ctx: &Ctx, name: Arg<'_>) -> Result<Option<Vec<u8>>, CmdError> {
    match ctx.open(name, Mode::Unseen).kind() {
        Kind::Other => Ok(substitutes::native_payload(ctx, name)),
        _ => Ok(plain_stream::payload(ctx, name, Mode::Read)?),
    }
}

/// `PM.RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]`
///
/// What is not DUMP's answer for a PM key is a payload that cannot be read.
pub(super) fn restore(ctx: &Ctx, args: Args<'_>) -> Done {
    let payload = args[3].bytes();
    let unreadable = OwnedString::new(&payload[..payload.len().min(1)]);
    let mut words = args.from(1).to_vec();
    if !is_of_ours(payload) {
        words[2] = unreadable.arg();
    }
    ctx.forward(c"RESTORE", &words, Propagate::Replicas);
    Ok(())
}

/// Whether a payload is one of a module's value, of a type of ours.
fn is_of_ours(payload: &[u8]) -> bool {
    // The type "module", a length of 64 bits, and the module type's name and version.
    let [7, 0x81, id @ ..] = payload else {
        return false;
    };
    let Some(id) = id.first_chunk() else {
        return false;
    };
    let name = type_name(u64::from_be_bytes(*id));
    let mut ours = ValueType::ALL.into_iter();
    ours.any(|ty| ty.module_name().to_bytes() == name)
}

/// The name in a module type's number: nine letters of six bits, before ten bits of a version.
fn type_name(id: u64) -> [u8; 9] {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    std::array::from_fn(|i| LETTERS[(id >> (58 - 6 * i)) as usize & 63])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_of_our_types_are_told_from_others() {
        let id = |name: &[u8]| {
            const LETTERS: &[u8] =
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let letters = name.iter().map(|letter| {
                let place = LETTERS.iter().position(|other| other == letter);
                place.expect("a letter") as u64
            });
            letters.fold(0, |id, letter| id << 6 | letter) << 10 | 1
        };
        for ty in ValueType::ALL {
            let id = id(ty.module_name().to_bytes());
            let payload = [&[7, 0x81][..], &id.to_be_bytes(), b"value"].concat();
            assert!(is_of_ours(&payload), "{ty:?}");
            assert!(!is_of_ours(&payload[1..]) && !is_of_ours(&payload[..9]));
        }
        let other = id(b"other-mod");
        assert!(!is_of_ours(
            &[&[7, 0x81][..], &other.to_be_bytes()].concat()
        ));
        assert!(!is_of_ours(b"\0\x05hello") && !is_of_ours(b""));
    }
}
