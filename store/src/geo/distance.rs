//! Distances on a globe, by the haversine formula.

use super::Point;

/// The globe's radius in metres: the quadratic mean of WGS 84's.
pub(crate) const RADIUS: f64 = 6372797.560856;

/// Degrees to radians.
pub(crate) fn radians(degrees: f64) -> f64 {
    degrees * (std::f64::consts::PI / 180.0)
}

/// Radians to degrees.
pub(super) fn degrees(radians: f64) -> f64 {
    radians / (std::f64::consts::PI / 180.0)
}

/// The distance in metres of two latitudes, along a meridian.
pub(crate) fn along_meridian(a: f64, b: f64) -> f64 {
    RADIUS * (radians(b) - radians(a)).abs()
}

/// The distance of two places in metres. O(1).
pub fn distance(a: Point, b: Point) -> f64 {
    let v = ((radians(b.longitude) - radians(a.longitude)) / 2.0).sin();
    if v == 0.0 {
        return along_meridian(a.latitude, b.latitude);
    }
    let (from, to) = (radians(a.latitude), radians(b.latitude));
    let u = ((to - from) / 2.0).sin();
    let haversine = u * u + from.cos() * to.cos() * v * v;
    2.0 * RADIUS * haversine.sqrt().asin()
}
