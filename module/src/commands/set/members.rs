//! Commands of single members, and of all: SADD, SREM, SMOVE, SISMEMBER, SMISMEMBER, SCARD,
//! SMEMBERS, SSCAN.

use super::TY;
use crate::commands::announce::{announce, announce_and_replicate};
use crate::commands::scan::{self, Scan, Scanned};
use crate::error::CmdError;
use crate::keyspace::{PmKey, edit2_announcing};
use crate::limits;
use crate::redis::{Arg, Args, Class, Collection, Ctx};
use store::structures::set::{self, Member};

/// `PM.SADD key member [member ...]`
pub(super) fn sadd(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let mut key = PmKey::open_write(ctx, args[1], TY)?;
    let members = args.from(2).iter().copied().map(Arg::bytes);
    let added = key.edit(|tx, root| set::add(tx, root, limits::set(), members))?;
    if added > 0 {
        announce_and_replicate(ctx, &key, (Class::SET, c"sadd"), (c"PM.SADD", args.from(1)));
    }
    ctx.reply_integer(added as i64);
    Ok(())
}

/// `PM.SREM key member [member ...]`
pub(super) fn srem(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let mut key = PmKey::open_write(ctx, args[1], TY)?;
    let mut removed = 0;
    if key.exists() {
        let members = args.from(2).iter().copied().map(Arg::bytes);
        removed = key.edit(|tx, root| set::remove(tx, root, members))?;
    }
    if removed > 0 {
        announce_and_replicate(ctx, &key, (Class::SET, c"srem"), (c"PM.SREM", args.from(1)));
    }
    ctx.reply_integer(removed as i64);
    Ok(())
}

/// `PM.SMOVE source destination member`
pub(super) fn smove(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let member = args[3].bytes();
    let mut from = PmKey::open_write(ctx, args[1], TY)?;
    if !from.exists() {
        ctx.reply_integer(0);
        return Ok(());
    }
    let mut to = PmKey::open_write(ctx, args[2], TY)?;
    if args[1].bytes() == args[2].bytes() {
        let there = from.read(|pool, root| set::contains(pool, root, member))?;
        ctx.reply_integer(there.into());
        return Ok(());
    }
    let (removed, added) = edit2_announcing(
        &mut from,
        &mut to,
        |tx, from, to| set::transfer(tx, from, to, limits::set(), member),
        |&(removed, _), from| {
            if removed {
                announce(ctx, from, Class::SET, c"srem");
            }
        },
    )?;
    if added {
        announce(ctx, &to, Class::SET, c"sadd");
    }
    if removed {
        ctx.replicate(c"PM.SMOVE", args.from(1));
    }
    ctx.reply_integer(removed.into());
    Ok(())
}

/// `PM.SISMEMBER key member`
pub(super) fn sismember(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    let there = key.read(|pool, root| set::contains(pool, root, args[2].bytes()))?;
    ctx.reply_integer(there.into());
    Ok(())
}

/// `PM.SMISMEMBER key member [member ...]`
pub(super) fn smismember(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    let members = args.from(2);
    key.read(|pool, root| {
        let there = |member: &Arg<'_>| set::contains(pool, root, member.bytes());
        let there = members
            .iter()
            .map(there)
            .collect::<store::Result<Vec<_>>>()?;
        ctx.reply_array(there.len());
        for there in there {
            ctx.reply_integer(there.into());
        }
        Ok(())
    })
}

/// `PM.SCARD key`
pub(super) fn scard(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    ctx.reply_integer(key.read(|_, root| Ok(set::len(root)))? as i64);
    Ok(())
}

/// `PM.SMEMBERS key`
pub(super) fn smembers(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    key.read(|pool, root| {
        let members = set::all(pool, root)?;
        ctx.reply_collection(Collection::Set, members.len());
        let mut digits = itoa::Buffer::new();
        for member in members {
            ctx.reply_bulk(member.bytes(&mut digits));
        }
        Ok(())
    })
}

/// `PM.SSCAN key cursor [MATCH pattern] [COUNT count]`
pub(super) fn sscan(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let Some(scan) = Scan::begin(ctx, args, TY, Scanned::Set)? else {
        return Ok(());
    };
    scan.key.read(|pool, root| {
        let mut digits = itoa::Buffer::new();
        let (next, found) = scan.run(
            |cursor, visit| set::scan(pool, root, cursor, visit),
            |member: &Member<'_>| scan.options.admits(member.bytes(&mut digits)),
        )?;
        scan::reply_head(ctx, next, found.len());
        for member in found {
            ctx.reply_bulk(member.bytes(&mut digits));
        }
        Ok(())
    })
}
