//! Places on Earth, as sorted sets store them: a score is the number of a cell in a grid, 52 bits.
//!
//! `cell` has the grid, `distance` the distances, `shape` the areas of searches and the cells that
//! cover them. The arithmetic and its order are those of Redis, so that scores and distances are
//! the same to the last digit: geohash libraries compute different ones.

mod cell;
mod distance;
mod shape;

pub use cell::{Cell, STEPS_MAX};
pub use distance::distance;
pub use shape::{Area, Shape};

/// A place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Degrees east.
    pub longitude: f64,
    /// Degrees north.
    pub latitude: f64,
}

/// The greatest longitude, either way.
const LONGITUDE_MAX: f64 = 180.0;
/// The greatest latitude, either way, that the Web Mercator projection shows.
const LATITUDE_MAX: f64 = 85.05112878;

impl Point {
    /// Whether it can be a member of a sorted set.
    pub fn is_valid(self) -> bool {
        self.longitude.abs() <= LONGITUDE_MAX && self.latitude.abs() <= LATITUDE_MAX
    }

    /// The score of a member that is here: the finest cell's number. O(1).
    pub fn score(self) -> f64 {
        Cell::at(self, STEPS_MAX).first_score()
    }

    /// Where a member of this score is: the middle of its cell. Scores that no place has are taken
    /// as C takes them. O(1).
    pub fn of_score(score: f64) -> Point {
        Cell {
            bits: to_u64_as_c_does(score),
            steps: STEPS_MAX,
        }
        .middle()
    }

    /// The name that the place has on geohash.org, whose grid reaches to the poles. O(1).
    pub fn geohash(self) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let bits = cell::standard_bits(self);
        // 52 bits are ten letters; the eleventh is always the same.
        let mut name = [ALPHABET[0]; 11];
        for (i, letter) in name.iter_mut().take(10).enumerate() {
            *letter = ALPHABET[(bits >> (47 - 5 * i) & 31) as usize];
        }
        name
    }
}

/// A double as an unsigned integer, with what x86-64 does where C leaves it open.
fn to_u64_as_c_does(n: f64) -> u64 {
    const HALF: f64 = (1u64 << 63) as f64;
    let signed = |n: f64| match n {
        n if (-HALF..HALF).contains(&n) => n as i64,
        _ => i64::MIN,
    };
    if n < HALF {
        signed(n) as u64
    } else {
        signed(n - HALF) as u64 ^ 1 << 63
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PALERMO: Point = Point {
        longitude: 13.361389,
        latitude: 38.115556,
    };
    const CATANIA: Point = Point {
        longitude: 15.087269,
        latitude: 37.502669,
    };

    /// The numbers of Redis's own documentation.
    #[test]
    fn sicily_is_where_redis_has_it() {
        assert_eq!(PALERMO.score(), 3479099956230698.0);
        assert_eq!(CATANIA.score(), 3479447370796909.0);
        let [palermo, catania] = [PALERMO, CATANIA].map(|point| Point::of_score(point.score()));
        assert_eq!(palermo.longitude, 13.361_389_338_970_184);
        assert_eq!(palermo.latitude, 38.115_556_395_496_3);
        assert_eq!(&palermo.geohash(), b"sqc8b49rny0");
        assert_eq!(&catania.geohash(), b"sqdtr74hyu0");
        let distance = distance(palermo, catania);
        assert!((distance - 166274.1516).abs() < 0.0001, "{distance}");
    }

    #[test]
    fn the_edges_of_the_map_are_on_it() {
        for (longitude, latitude, valid) in [
            (180.0, 85.05112878, true),
            (-180.0, -85.05112878, true),
            (180.1, 0.0, false),
            (0.0, 85.06, false),
            (f64::INFINITY, 0.0, false),
            (f64::NAN, 0.0, false),
        ] {
            let point = Point {
                longitude,
                latitude,
            };
            assert_eq!(point.is_valid(), valid, "{point:?}");
        }
    }

    #[test]
    fn scores_that_are_no_places_are_taken_as_in_c() {
        for (score, bits) in [
            (1.9, 1),
            (-1.0, u64::MAX),
            (9.3e18, 9_300_000_000_000_000_000),
            (1e300, 0),
            (f64::INFINITY, 0),
            (f64::NEG_INFINITY, 1 << 63),
        ] {
            assert_eq!(to_u64_as_c_does(score), bits, "{score}");
        }
    }
}
