//! Sorted sets as maps: members are places, which their scores stand for.

mod add;
mod read;
mod search;

use super::row::{ONE, READ, Row, TWO, WRITE};
use super::zset::{add_many, add_one, store};
use crate::behaviour::Behaviour;
use crate::double;
use crate::error::CmdError;
use crate::keyspace::plain_stream::Stream;
use crate::redis::{Arg, Ctx};
use store::geo::Point;
use store::value::ValueType;

/// Options of the older searches that only read.
const RADIUS_RO: &str = "M KM FT MI WITHCOORD WITHDIST WITHHASH COUNT ANY ASC DESC";
/// Of those that may store what they find.
const RADIUS: &str = "M KM FT MI WITHCOORD WITHDIST WITHHASH COUNT ANY ASC DESC STORE STOREDIST";
/// Of GEOSEARCH.
const SEARCH: &str = "FROMMEMBER FROMLONLAT BYRADIUS BYBOX BYPOLYGON M KM FT MI \
    ASC DESC COUNT ANY WITHCOORD WITHDIST WITHHASH";
/// Of GEOSEARCHSTORE.
const SEARCH_STORE: &str = "FROMMEMBER FROMLONLAT BYRADIUS BYBOX BYPOLYGON M KM FT MI \
    ASC DESC COUNT ANY STOREDIST";

/// One row a command: name, handler, arity, flags, keys.
pub(super) const ROWS: &[Row] = &[
    Row::command("geoadd", add::geoadd, -5, WRITE, ONE).options("NX XX CH"),
    Row::command("geodist", read::geodist, -4, READ, ONE).options("M KM FT MI"),
    Row::command("geohash", read::geohash, -2, READ, ONE),
    Row::command("geopos", read::geopos, -2, READ, ONE),
    Row::command("geosearch", search::geosearch, -7, READ, ONE).options(SEARCH),
    Row::command("geosearchstore", search::geosearchstore, -8, WRITE, TWO)
        .options(SEARCH_STORE)
        .stream(Stream::ValueIf(0, search::is_by_polygon)),
    Row::command("georadius", search::georadius, -6, WRITE, ONE)
        .options(RADIUS)
        .telling_keys(),
    Row::command("georadius_ro", search::georadius_ro, -6, READ, ONE).options(RADIUS_RO),
    Row::command(
        "georadiusbymember",
        search::georadiusbymember,
        -5,
        WRITE,
        ONE,
    )
    .options(RADIUS)
    .telling_keys(),
    Row::command(
        "georadiusbymember_ro",
        search::georadiusbymember_ro,
        -5,
        READ,
        ONE,
    )
    .options(RADIUS_RO),
];

const TY: ValueType = ValueType::ZSet;

/// Reads a place.
fn point(ctx: &Ctx, longitude: Arg<'_>, latitude: Arg<'_>) -> Result<Point, CmdError> {
    let degrees = |arg: Arg<'_>| double::parse(ctx, arg.bytes()).ok_or(CmdError::NotAFloat);
    let point = Point {
        longitude: degrees(longitude)?,
        latitude: degrees(latitude)?,
    };
    if point.is_valid() {
        return Ok(point);
    }
    let Point {
        longitude,
        latitude,
    } = point;
    let text = format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}");
    Err(CmdError::Other(text.into()))
}

/// The metres of a unit of length.
fn unit(arg: Arg<'_>) -> Result<f64, CmdError> {
    const UNITS: [(&[u8], f64); 4] = [
        (b"m", 1.0),
        (b"km", 1000.0),
        (b"ft", 0.3048),
        (b"mi", 1609.34),
    ];
    let unit = UNITS.iter().find(|(word, _)| arg.is(word));
    unit.map(|(_, metres)| *metres).ok_or(CmdError::text_only(
        "ERR unsupported unit provided. please use M, KM, FT, MI",
    ))
}

/// Replies with a distance, to four digits after the point.
fn reply_distance(ctx: &Ctx, distance: f64) {
    ctx.reply_bulk(distance_text(distance).as_bytes());
}

fn distance_text(distance: f64) -> String {
    const ONE: u64 = 10_000;
    let scaled = (distance * ONE as f64).round_ties_even();
    // What is no number or too large is the least integer, as C's conversion has it.
    const END: f64 = (1u64 << 63) as f64;
    let scaled = if (-END..END).contains(&scaled) {
        scaled as i64
    } else {
        i64::MIN
    };
    let sign = if scaled < 0 { "-" } else { "" };
    let scaled = scaled.unsigned_abs();
    format!("{sign}{}.{:04}", scaled / ONE, scaled % ONE)
}

fn reply_point(ctx: &Ctx, point: Point) {
    ctx.reply_array(2);
    let short = Behaviour::DegreesAreShort.here();
    for degrees in [point.longitude, point.latitude] {
        if short {
            ctx.reply_double(degrees)
        } else {
            ctx.reply_human_double(degrees)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::distance_text;

    #[test]
    fn distances_have_four_digits_after_the_point() {
        for (distance, text) in [
            (0.0, "0.0000"),
            (0.775, "0.7750"),
            (166274.15156960033, "166274.1516"),
            (0.00005, "0.0000"),
            (12.0, "12.0000"),
            (f64::NAN, "-922337203685477.5808"),
        ] {
            assert_eq!(distance_text(distance), text);
        }
    }
}
