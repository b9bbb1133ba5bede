//! GEOSEARCH, GEOSEARCHSTORE, and the older GEORADIUS family.

use super::{TY, point, reply_distance, reply_point, store, unit};
use crate::behaviour::Behaviour;
use crate::commands::integer;
use crate::double;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::partial_sort::partial_sort;
use crate::redis::{Arg, Args, Ctx, KeyUse};
use std::cmp::Ordering;
use std::ffi::CStr;
use store::geo::{Area, Point, Shape};
use store::number::parse_i64;
use store::structures::geo::{self, Member};
use store::structures::zset;

/// `PM.GEORADIUS key longitude latitude radius M|KM|FT|MI [WITHCOORD] [WITHDIST] [WITHHASH]
/// [COUNT count [ANY]] [ASC|DESC] [STORE key|STOREDIST key]`
pub(super) fn georadius(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    if ctx.asks_for_keys() {
        tell_keys(ctx, args, 6);
        return Ok(());
    }
    search(ctx, args, Form::Radius, c"PM.GEORADIUS")
}

/// Tells the source, and the destination among the options, which begin at `at`.
fn tell_keys(ctx: &Ctx, args: Args<'_>, at: usize) {
    ctx.tell_key(1, KeyUse::Read);
    let stores = |&at: &usize| {
        let says = |word| args.get(at).is_some_and(|arg| arg.is(word));
        says(b"store".as_slice()) || says(b"storedist")
    };
    if let Some(option) = (at..args.len().saturating_sub(1)).rev().find(stores) {
        ctx.tell_key(option + 1, KeyUse::Overwrite);
    }
}

/// `PM.GEORADIUS_RO`: [`georadius`] without STORE and STOREDIST.
pub(super) fn georadius_ro(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    search(ctx, args, Form::RadiusReadOnly, c"")
}

/// `PM.GEORADIUSBYMEMBER key member radius M|KM|FT|MI ...`: as [`georadius`].
pub(super) fn georadiusbymember(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    if ctx.asks_for_keys() {
        tell_keys(ctx, args, 5);
        return Ok(());
    }
    search(ctx, args, Form::Member, c"PM.GEORADIUSBYMEMBER")
}

/// `PM.GEORADIUSBYMEMBER_RO`: [`georadiusbymember`] without STORE and STOREDIST.
pub(super) fn georadiusbymember_ro(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    search(ctx, args, Form::MemberReadOnly, c"")
}

/// `PM.GEOSEARCH key FROMMEMBER member|FROMLONLAT longitude latitude BYRADIUS radius M|KM|FT|MI|
/// BYBOX width height M|KM|FT|MI [ASC|DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]`,
/// or `PM.GEOSEARCH key BYPOLYGON vertices longitude latitude ... [ASC|DESC] ...`
pub(super) fn geosearch(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    search(ctx, args, Form::Search, c"")
}

/// Whether a GEOSEARCHSTORE, without its name, is about a polygon, which only newer servers know.
pub(super) fn is_by_polygon(args: &[Arg<'_>]) -> bool {
    args.iter().skip(1).any(|word| word.is(b"BYPOLYGON"))
}

/// `PM.GEOSEARCHSTORE destination source ... [STOREDIST]`: as [`geosearch`].
pub(super) fn geosearchstore(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    search(ctx, args, Form::SearchStore, c"PM.GEOSEARCHSTORE")
}

/// Which of the commands it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Radius,
    RadiusReadOnly,
    Member,
    MemberReadOnly,
    Search,
    SearchStore,
}

impl Form {
    /// Where the source's name stands.
    fn source(self) -> usize {
        if self == Form::SearchStore { 2 } else { 1 }
    }

    /// Middle and form are options.
    fn is_search(self) -> bool {
        matches!(self, Form::Search | Form::SearchStore)
    }
}

/// In which order the result is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// As it is found.
    None,
    Nearest,
    Farthest,
}

/// What a command asks for.
struct Query<'a> {
    /// The middle; unknown if it is a member of a key that is absent.
    center: Option<Point>,
    shape: Option<Shape>,
    /// The metres of the unit of lengths.
    unit: f64,
    order: Order,
    /// 0: all.
    count: usize,
    /// Any members up to the count, not the nearest ones.
    any: bool,
    with_distance: bool,
    with_score: bool,
    with_point: bool,
    target: Option<Arg<'a>>,
    /// Distances are stored, not scores.
    store_distances: bool,
}

/// The place of a member; `None` if the key is absent.
fn place(source: &PmKey<'_>, member: Arg<'_>) -> Result<Option<Point>, CmdError> {
    if !source.exists() {
        return Ok(None);
    }
    let score = source.read(|pool, root| zset::score(pool, root, member.bytes()))?;
    let no_member = || {
        if Behaviour::MissingMemberIsNamed.here() {
            // As a C string, which is what the server prints.
            let name = member.bytes().split(|&byte| byte == 0).next();
            let name = String::from_utf8_lossy(name.unwrap_or_default());
            CmdError::Other(format!("ERR member {name} does not exist").into())
        } else {
            CmdError::text_only("ERR could not decode requested zset member")
        }
    };
    score.map(Point::of_score).map(Some).ok_or_else(no_member)
}

/// A length in metres and the metres of its unit.
fn lengths<const N: usize>(
    ctx: &Ctx,
    args: [(Arg<'_>, &'static str); N],
    negative: &'static str,
    word: Arg<'_>,
) -> Result<([f64; N], f64), CmdError> {
    let mut lengths = [0.0; N];
    for (length, (arg, not_a_number)) in lengths.iter_mut().zip(args) {
        *length = double::parse(ctx, arg.bytes()).ok_or(CmdError::text_only(not_a_number))?;
    }
    if lengths.iter().any(|length| *length < 0.0) {
        return Err(CmdError::text_only(negative));
    }
    let unit = unit(word)?;
    Ok((lengths.map(|length| length * unit), unit))
}

fn circle(ctx: &Ctx, radius: Arg<'_>, word: Arg<'_>) -> Result<(Shape, f64), CmdError> {
    let radius = [(radius, "ERR need numeric radius")];
    let ([radius], unit) = lengths(ctx, radius, "ERR radius cannot be negative", word)?;
    Ok((Shape::Circle(radius), unit))
}

fn rectangle(
    ctx: &Ctx,
    width: Arg<'_>,
    height: Arg<'_>,
    word: Arg<'_>,
) -> Result<(Shape, f64), CmdError> {
    let sides = [
        (width, "ERR need numeric width"),
        (height, "ERR need numeric height"),
    ];
    let ([width, height], unit) =
        lengths(ctx, sides, "ERR height or width cannot be negative", word)?;
    Ok((Shape::Box { width, height }, unit))
}

/// A polygon, and how many arguments it takes: how many corners there are, and a longitude and a
/// latitude for each.
fn polygon(ctx: &Ctx, args: &[Arg<'_>]) -> Result<(Shape, usize), CmdError> {
    const CORNERS_MIN: usize = 3;
    let number = parse_i64(args[0].bytes()).and_then(|n| i32::try_from(n).ok());
    let number = number.ok_or(CmdError::text_only("ERR invalid number of vertices"))?;
    let pairs = usize::try_from(number)
        .ok()
        .filter(|&number| number >= CORNERS_MIN)
        .and_then(|number| args[1..].get(..2 * number))
        .ok_or(CmdError::text_only(
            "ERR GEOSEARCH BYPOLYGON must have at least 3 vertices",
        ))?;
    let corners = pairs
        .chunks_exact(2)
        .map(|pair| point(ctx, pair[0], pair[1]));
    let corners = corners.collect::<Result<_, _>>()?;
    Ok((Shape::Polygon(corners), 1 + pairs.len()))
}

impl<'a> Query<'a> {
    fn parse(
        ctx: &Ctx,
        args: Args<'a>,
        form: Form,
        source: &PmKey<'_>,
    ) -> Result<Query<'a>, CmdError> {
        let mut query = Query {
            center: None,
            shape: None,
            unit: 1.0,
            order: Order::None,
            count: 0,
            any: false,
            with_distance: false,
            with_score: false,
            with_point: false,
            target: (form == Form::SearchStore).then(|| args[1]),
            store_distances: false,
        };
        let options = match form {
            Form::Radius | Form::RadiusReadOnly => {
                query.center = Some(point(ctx, args[2], args[3])?);
                query.set_shape(circle(ctx, args[4], args[5])?);
                args.from(6)
            }
            Form::Member | Form::MemberReadOnly => {
                // As in Redis, of an absent key's arguments only the options are looked at.
                if let Some(center) = place(source, args[2])? {
                    query.center = Some(center);
                    query.set_shape(circle(ctx, args[3], args[4])?);
                }
                args.from(5)
            }
            Form::Search => args.from(2),
            Form::SearchStore => args.from(3),
        };
        query.parse_options(ctx, args[0], options, form, source)?;
        Ok(query)
    }

    fn set_shape(&mut self, (shape, unit): (Shape, f64)) {
        self.shape = Some(shape);
        self.unit = unit;
    }

    fn parse_options(
        &mut self,
        ctx: &Ctx,
        command: Arg<'_>,
        mut options: &[Arg<'a>],
        form: Form,
        source: &PmKey<'_>,
    ) -> Result<(), CmdError> {
        // The two ways to name a middle, and a form, exclude each other.
        let (mut member, mut place_given, mut round, mut square) = (false, false, false, false);
        // A polygon has a middle of its own.
        let mut cornered = false;
        let searches = form.is_search();
        let may_store = matches!(form, Form::Radius | Form::Member);
        while let [word, rest @ ..] = options {
            let used = match rest {
                _ if word.is(b"WITHDIST") => {
                    self.with_distance = true;
                    0
                }
                _ if word.is(b"WITHHASH") => {
                    self.with_score = true;
                    0
                }
                _ if word.is(b"WITHCOORD") => {
                    self.with_point = true;
                    0
                }
                _ if word.is(b"ANY") => {
                    self.any = true;
                    0
                }
                _ if word.is(b"ASC") => {
                    self.order = Order::Nearest;
                    0
                }
                _ if word.is(b"DESC") => {
                    self.order = Order::Farthest;
                    0
                }
                [count, ..] if word.is(b"COUNT") => {
                    let count = integer(*count)?;
                    if count <= 0 {
                        return Err(CmdError::text_only("ERR COUNT must be > 0"));
                    }
                    self.count = count as usize;
                    1
                }
                [target, ..] if may_store && word.is(b"STORE") => {
                    (self.target, self.store_distances) = (Some(*target), false);
                    1
                }
                [target, ..] if may_store && word.is(b"STOREDIST") => {
                    (self.target, self.store_distances) = (Some(*target), true);
                    1
                }
                _ if form == Form::SearchStore && word.is(b"STOREDIST") => {
                    self.store_distances = true;
                    0
                }
                [name, ..] if searches && !place_given && !cornered && word.is(b"FROMMEMBER") => {
                    self.center = place(source, *name)?;
                    member = true;
                    1
                }
                [longitude, latitude, ..]
                    if searches && !member && !cornered && word.is(b"FROMLONLAT") =>
                {
                    self.center = Some(point(ctx, *longitude, *latitude)?);
                    place_given = true;
                    2
                }
                [radius, unit, ..] if searches && !square && !cornered && word.is(b"BYRADIUS") => {
                    self.set_shape(circle(ctx, *radius, *unit)?);
                    round = true;
                    2
                }
                [width, height, unit, ..]
                    if searches && !round && !cornered && word.is(b"BYBOX") =>
                {
                    self.set_shape(rectangle(ctx, *width, *height, *unit)?);
                    square = true;
                    3
                }
                [_, _, ..]
                    if searches
                        && !(member || place_given || round || square)
                        && word.is(b"BYPOLYGON") =>
                {
                    let (shape, used) = polygon(ctx, rest)?;
                    self.center = shape.own_center();
                    self.set_shape((shape, 1.0));
                    cornered = true;
                    used
                }
                _ => return Err(CmdError::Syntax),
            };
            options = &rest[used..];
        }
        let given = (
            member || place_given || cornered,
            round || square || cornered,
        );
        self.check(command, form, given)
    }

    fn check(
        &self,
        command: Arg<'_>,
        form: Form,
        (has_center, has_shape): (bool, bool),
    ) -> Result<(), CmdError> {
        let fails = |text: String| Err(CmdError::Other(text.into()));
        if self.target.is_some() && (self.with_distance || self.with_score || self.with_point) {
            let what = match form {
                Form::SearchStore => "GEOSEARCHSTORE",
                _ => "STORE option in GEORADIUS",
            };
            return fails(format!(
                "ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            ));
        }
        let command = || String::from_utf8_lossy(command.bytes());
        if form.is_search() && !has_center {
            return fails(format!(
                "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {}",
                command()
            ));
        }
        if form.is_search() && !has_shape {
            let forms = if Behaviour::SearchKnowsPolygons.here() {
                "BYRADIUS, BYBOX and BYPOLYGON"
            } else {
                "BYRADIUS and BYBOX"
            };
            return fails(format!(
                "ERR exactly one of {forms} can be specified for {}",
                command()
            ));
        }
        if self.any && self.count == 0 {
            return fails("ERR the ANY argument requires COUNT argument".into());
        }
        Ok(())
    }

    /// Where to search, and how many members are enough, if that is not 0. Nowhere, if the middle
    /// is not there.
    fn area(&self) -> (Option<Area>, usize) {
        let area = self.center.zip(self.shape.clone());
        let area = area.map(|(center, shape)| Area { center, shape });
        (area, if self.any { self.count } else { 0 })
    }

    /// The members found, in order, and no more than asked for.
    fn arrange<'p>(&self, mut found: Vec<Member<'p>>) -> Vec<Member<'p>> {
        let wanted = match self.count {
            0 => found.len(),
            count => count.min(found.len()),
        };
        // The nearest ones, if not all are wanted.
        let order = match self.order {
            Order::None if self.count > 0 && !self.any => Order::Nearest,
            order => order,
        };
        if order != Order::None {
            let compare = |a: &Member<'_>, b: &Member<'_>| {
                let ascending = a.distance.total_cmp(&b.distance);
                match order {
                    Order::Farthest => ascending.reverse(),
                    _ => ascending,
                }
            };
            sort(&mut found, wanted, compare);
        }
        found.truncate(wanted);
        found
    }
}

/// Puts the first `wanted` in order. Equal ones keep theirs only if all are wanted, as in Redis.
fn sort<T>(items: &mut [T], wanted: usize, compare: impl Fn(&T, &T) -> Ordering) {
    if wanted == items.len() {
        items.sort_by(compare);
    } else {
        partial_sort(items, wanted, compare);
    }
}

fn search(ctx: &Ctx, args: Args<'_>, form: Form, command: &CStr) -> Result<(), CmdError> {
    let source = PmKey::open_read(ctx, args[form.source()], TY)?;
    let query = Query::parse(ctx, args, form, &source)?;
    let (area, enough) = query.area();
    let Some(target) = query.target else {
        return source.read(|pool, root| {
            let found = query.arrange(geo::find(pool, root, area.as_ref(), enough)?);
            reply(ctx, &query, &found);
            Ok(())
        });
    };
    let mut elements = source.read(|pool, root| {
        let found = query.arrange(geo::find(pool, root, area.as_ref(), enough)?);
        let element = |found: &Member<'_>| (found.name.to_vec(), query.stored_score(found));
        Ok(found.iter().map(element).collect::<Vec<_>>())
    })?;
    drop(source);
    zset::sort(&mut elements);
    let event = match form {
        Form::SearchStore => c"geosearchstore",
        _ => c"georadiusstore",
    };
    store(ctx, target, event, &elements, (command, args.from(1)))
}

impl Query<'_> {
    fn stored_score(&self, found: &Member<'_>) -> f64 {
        if !self.store_distances {
            found.score
        } else if found.distance.is_nan() {
            // Rounding may make the distance of the antipode no number, which no score can be.
            f64::INFINITY
        } else {
            found.distance / self.unit
        }
    }
}

fn reply(ctx: &Ctx, query: &Query<'_>, found: &[Member<'_>]) {
    let extras = [query.with_distance, query.with_score, query.with_point];
    let extras = extras.into_iter().filter(|wanted| *wanted).count();
    ctx.reply_array(found.len());
    for found in found {
        if extras > 0 {
            ctx.reply_array(1 + extras);
        }
        ctx.reply_bulk(found.name);
        if query.with_distance {
            reply_distance(ctx, found.distance / query.unit);
        }
        if query.with_score {
            ctx.reply_integer(found.score as i64);
        }
        if query.with_point {
            reply_point(ctx, found.point);
        }
    }
}
