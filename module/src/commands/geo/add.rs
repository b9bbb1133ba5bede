//! GEOADD.

use super::{add_many, add_one, point};
use crate::behaviour::Behaviour;
use crate::error::CmdError;
use crate::redis::{Arg, Args, Ctx, OwnedString, may_replicate};
use store::structures::zset::Rule;

/// `PM.GEOADD key [NX|XX] [CH] longitude latitude member [longitude latitude member ...]`
///
/// It is a ZADD of the places' scores, and replicated as one.
pub(super) fn geoadd(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let (mut rule, mut count_changed, mut at) = (Rule::default(), false, 2);
    while let Some(arg) = args.get(at) {
        match () {
            _ if arg.is(b"NX") => rule.only_new = true,
            _ if arg.is(b"XX") => rule.only_old = true,
            _ if arg.is(b"CH") => count_changed = true,
            _ => break,
        }
        at += 1;
    }
    let elements = args.from(at);
    let odd = elements.is_empty() || !elements.len().is_multiple_of(3);
    if odd || rule.only_new && rule.only_old {
        return Err(CmdError::Syntax);
    }
    let options = &args.from(1)[..at - 1];
    if let [longitude, latitude, name] = elements {
        let score = point(ctx, *longitude, *latitude)?.score();
        let element = (name.bytes(), score);
        return add_one(ctx, args[1], element, rule, count_changed, || {
            replicate(ctx, options, elements, &[score]);
        });
    }
    let scores: Vec<f64> = elements
        .chunks_exact(3)
        .map(|place| Ok(point(ctx, place[0], place[1])?.score()))
        .collect::<Result<_, CmdError>>()?;
    if Behaviour::LargeAdditionsAreKnown.here() {
        rule.expected = scores.len() as u64;
    }
    let names = elements.chunks_exact(3).map(|place| place[2].bytes());
    let scored = names.zip(scores.iter().copied());
    add_many(ctx, args[1], scored, rule, count_changed, || {
        replicate(ctx, options, elements, &scores);
    })
}

fn replicate(ctx: &Ctx, options: &[Arg<'_>], elements: &[Arg<'_>], scores: &[f64]) {
    if !may_replicate(ctx) {
        return;
    }
    let scores: Vec<OwnedString> = scores
        .iter()
        .map(|score| OwnedString::new(itoa::Buffer::new().format(*score as u64).as_bytes()))
        .collect();
    let mut words = options.to_vec();
    for (place, score) in elements.chunks_exact(3).zip(&scores) {
        words.extend([score.arg(), place[2]]);
    }
    ctx.replicate(c"PM.ZADD", &words);
}
