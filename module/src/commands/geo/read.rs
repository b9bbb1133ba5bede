//! GEODIST, GEOHASH and GEOPOS.

use super::{TY, reply_distance, reply_point, unit};
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::redis::{Args, Ctx};
use store::geo::{Point, distance};
use store::structures::zset;

/// `PM.GEODIST key member1 member2 [M|KM|FT|MI]`
pub(super) fn geodist(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let metres = match args.from(4) {
        [] => 1.0,
        [word] => unit(*word)?,
        _ => return Err(CmdError::Syntax),
    };
    let key = PmKey::open_read(ctx, args[1], TY)?;
    let scores = key.read(|pool, root| {
        let score = |i: usize| zset::score(pool, root, args[i].bytes());
        Ok(score(2)?.zip(score(3)?))
    })?;
    match scores {
        Some((a, b)) => {
            let distance = distance(Point::of_score(a), Point::of_score(b));
            reply_distance(ctx, distance / metres);
        }
        None => ctx.reply_null(),
    }
    Ok(())
}

/// `PM.GEOHASH key [member ...]`
pub(super) fn geohash(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    each_place(ctx, args, |place| match place {
        Some(point) => ctx.reply_bulk(&point.geohash()),
        None => ctx.reply_null(),
    })
}

/// `PM.GEOPOS key [member ...]`
pub(super) fn geopos(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    each_place(ctx, args, |place| match place {
        Some(point) => reply_point(ctx, point),
        None => ctx.reply_null_array(),
    })
}

/// Replies with an array to which `reply` adds an element for each member.
fn each_place(ctx: &Ctx, args: Args<'_>, reply: impl Fn(Option<Point>)) -> Result<(), CmdError> {
    let key = PmKey::open_read(ctx, args[1], TY)?;
    let members = args.from(2);
    key.read(|pool, root| {
        let places: Vec<Option<Point>> = members
            .iter()
            .map(|member| Ok(zset::score(pool, root, member.bytes())?.map(Point::of_score)))
            .collect::<store::Result<_>>()?;
        ctx.reply_array(places.len());
        places.into_iter().for_each(&reply);
        Ok(())
    })
}
