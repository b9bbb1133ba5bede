//! SPOP, SRANDMEMBER.

use super::TY;
use crate::commands::announce::announce;
use crate::commands::sample;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::limits::{Deletion, deleting_command};
use crate::redis::{Arg, Args, Class, Collection, Ctx, OwnedString, may_replicate};
use store::number::parse_i64;
use store::structures::sample::{Choice, choose};
use store::structures::set::{self, Member};

/// Most members that one replicated SREM takes out.
const REPLICATED_MAX: usize = 1024;

/// `PM.SPOP key [count]`
pub(super) fn spop(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    match args.from(2) {
        [] => spop_one(ctx, args[1]),
        [count] => {
            let count = parse_i64(count.bytes()).and_then(|count| u64::try_from(count).ok());
            spop_some(ctx, args[1], count.ok_or(CmdError::NotPositive)?)
        }
        _ => Err(CmdError::Syntax),
    }
}

fn spop_one(ctx: &Ctx, name: Arg<'_>) -> Result<(), CmdError> {
    let mut key = PmKey::open_write(ctx, name, TY)?;
    if !key.exists() {
        ctx.reply_null();
        return Ok(());
    }
    let member = key.edit(set::pop)?;
    announce(ctx, &key, Class::SET, c"spop");
    replicate_removal(ctx, name, std::slice::from_ref(&member));
    ctx.reply_bulk(&member);
    Ok(())
}

fn spop_some(ctx: &Ctx, name: Arg<'_>, count: u64) -> Result<(), CmdError> {
    let mut key = PmKey::open_write(ctx, name, TY)?;
    if !key.exists() || count == 0 {
        ctx.reply_collection(Collection::Set, 0);
        return Ok(());
    }
    let len = key.read(|_, root| Ok(set::len(root)))?;
    if count >= len {
        // The whole set is read, and that counts.
        drop(PmKey::open_read(ctx, name, TY)?);
    }
    let members = key.read(|pool, root| {
        let chosen = if count >= len {
            set::all(pool, root)?
        } else {
            set::some(pool, root, count)?
        };
        Ok(chosen.into_iter().map(to_vec).collect::<Vec<_>>())
    })?;
    key.remove(count >= len, |tx, root| {
        set::remove(tx, root, members.iter().map(Vec::as_slice))
    })?;
    announce(ctx, &key, Class::SET, c"spop");
    if count >= len {
        ctx.replicate(deleting_command(Deletion::Emptied), &[name]);
    } else {
        replicate_removal(ctx, name, &members);
    }
    ctx.reply_collection(Collection::Set, members.len());
    members.iter().for_each(|member| ctx.reply_bulk(member));
    Ok(())
}

fn to_vec(member: Member<'_>) -> Vec<u8> {
    member.bytes(&mut itoa::Buffer::new()).to_vec()
}

/// Replicas cannot draw the same members: they get their removal.
fn replicate_removal(ctx: &Ctx, name: Arg<'_>, members: &[Vec<u8>]) {
    if !may_replicate(ctx) {
        return;
    }
    for members in members.chunks(REPLICATED_MAX) {
        let strings: Vec<_> = members
            .iter()
            .map(|member| OwnedString::new(member))
            .collect();
        let mut args = vec![name];
        args.extend(strings.iter().map(OwnedString::arg));
        ctx.replicate(c"PM.SREM", &args);
    }
}

/// `PM.SRANDMEMBER key [count]`
pub(super) fn srandmember(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let count = match args.from(2) {
        [] => None,
        [count] => Some(sample::count(*count)?),
        _ => return Err(CmdError::Syntax),
    };
    let key = PmKey::open_read(ctx, args[1], TY)?;
    let mut digits = itoa::Buffer::new();
    let Some(count) = count else {
        if !key.exists() {
            ctx.reply_null();
            return Ok(());
        }
        return key.read(|pool, root| {
            ctx.reply_bulk(set::random(pool, root)?.bytes(&mut digits));
            Ok(())
        });
    };
    key.read(|pool, root| {
        let chosen = choose(
            Choice::of(count, set::len(root)),
            set::len(root),
            || set::members(pool, root),
            || set::random(pool, root),
        )?;
        ctx.reply_array(chosen.len());
        sample::reply(ctx, chosen, |member| {
            ctx.reply_bulk(member.bytes(&mut digits))
        });
        Ok(())
    })
}
