//! The grid: the map halved so many times in each direction. A cell's number interleaves the bits
//! of its longitude and its latitude, so that near cells often have near numbers, and a cell of a
//! coarser grid is a range of cells of the finest.

use super::{LATITUDE_MAX, LONGITUDE_MAX, Point};

/// How often the finest grid halves each direction.
pub const STEPS_MAX: u32 = 26;

/// The bits of a number that are a longitude's; the others are a latitude's.
const LONGITUDE_BITS: u64 = 0xaaaa_aaaa_aaaa_aaaa;

/// A cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Its number, of twice as many bits as there are steps.
    pub bits: u64,
    /// How often its grid halves each direction, 1 to 26.
    pub steps: u32,
}

/// What a cell covers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The south-western corner.
    pub min: Point,
    /// The north-eastern corner.
    pub max: Point,
}

impl Bounds {
    /// The least bounds that have all of some places in them. O(n).
    pub fn of(points: &[Point]) -> Bounds {
        let mut bounds = Bounds {
            min: Point {
                longitude: LONGITUDE_MAX,
                latitude: LATITUDE_MAX,
            },
            max: Point {
                longitude: -LONGITUDE_MAX,
                latitude: -LATITUDE_MAX,
            },
        };
        for point in points {
            bounds.min.longitude = bounds.min.longitude.min(point.longitude);
            bounds.min.latitude = bounds.min.latitude.min(point.latitude);
            bounds.max.longitude = bounds.max.longitude.max(point.longitude);
            bounds.max.latitude = bounds.max.latitude.max(point.latitude);
        }
        bounds
    }
}

impl Cell {
    /// The cell of a grid in which a place lies. O(1).
    pub fn at(point: Point, steps: u32) -> Cell {
        Cell {
            bits: bits_at(point, LATITUDE_MAX, steps),
            steps,
        }
    }

    /// The number of the first cell of the finest grid that lies in this one, as a score.
    pub(crate) fn first_score(self) -> f64 {
        (self.bits << (2 * (STEPS_MAX - self.steps))) as f64
    }

    /// The score that follows those of the cell.
    pub(crate) fn end_score(self) -> f64 {
        let bits = self.bits + 1;
        Cell { bits, ..self }.first_score()
    }

    /// What the cell covers. O(1).
    pub fn bounds(self) -> Bounds {
        let column = compact(self.bits >> 1);
        let row = compact(self.bits);
        let cells = (1u64 << self.steps) as f64;
        let longitude = |column: u32| {
            let share = f64::from(column) / cells;
            -LONGITUDE_MAX + share * (LONGITUDE_MAX - -LONGITUDE_MAX)
        };
        let latitude = |row: u32| {
            let share = f64::from(row) / cells;
            -LATITUDE_MAX + share * (LATITUDE_MAX - -LATITUDE_MAX)
        };
        let corner = |column, row| Point {
            longitude: longitude(column),
            latitude: latitude(row),
        };
        Bounds {
            min: corner(column, row),
            max: corner(column.wrapping_add(1), row.wrapping_add(1)),
        }
    }

    /// The middle of the cell. O(1).
    pub fn middle(self) -> Point {
        let Bounds { min, max } = self.bounds();
        let longitude = (min.longitude + max.longitude) / 2.0;
        let latitude = (min.latitude + max.latitude) / 2.0;
        Point {
            longitude: longitude.clamp(-LONGITUDE_MAX, LONGITUDE_MAX),
            latitude: latitude.clamp(-LATITUDE_MAX, LATITUDE_MAX),
        }
    }

    /// The cell so many columns to the east and rows to the north, each -1, 0 or 1; beyond an edge
    /// of the map it is the one at the opposite edge. O(1).
    pub(crate) fn neighbour(self, east: i32, north: i32) -> Cell {
        let all = u64::MAX >> (64 - 2 * self.steps);
        let (x, y) = (self.bits & LONGITUDE_BITS, self.bits & !LONGITUDE_BITS);
        Cell {
            bits: stepped(x, !LONGITUDE_BITS & all, LONGITUDE_BITS & all, east)
                | stepped(y, LONGITUDE_BITS & all, !LONGITUDE_BITS & all, north),
            ..self
        }
    }
}

/// Counts a spread-out number up or down: `gaps` are the bits between its own ones, `mask` its own.
fn stepped(number: u64, gaps: u64, mask: u64, by: i32) -> u64 {
    // With the gaps full a carry runs through them, with the gaps empty a borrow does.
    match by {
        0 => number,
        1.. => number.wrapping_add(gaps + 1) & mask,
        _ => (number | gaps).wrapping_sub(gaps + 1) & mask,
    }
}

fn bits_at(point: Point, latitude_max: f64, steps: u32) -> u64 {
    let cells = (1u64 << steps) as f64;
    let column = (point.longitude - -LONGITUDE_MAX) / (LONGITUDE_MAX - -LONGITUDE_MAX) * cells;
    let row = (point.latitude - -latitude_max) / (latitude_max - -latitude_max) * cells;
    spread(row as u32) | spread(column as u32) << 1
}

/// The number of a place's finest cell on a map that reaches to the poles.
pub(crate) fn standard_bits(point: Point) -> u64 {
    bits_at(point, 90.0, STEPS_MAX)
}

/// Puts a zero above each bit.
fn spread(n: u32) -> u64 {
    let mut n = u64::from(n);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        n = (n | n << shift) & mask;
    }
    n
}

/// Takes every other bit, from the lowest on.
fn compact(n: u64) -> u32 {
    let mut n = n & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        n = (n | n >> shift) & mask;
    }
    n as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_interleave_and_come_apart() {
        for (row, column) in [
            (0, 0),
            (1, 0),
            (0, 1),
            (0xdead_beef, 0x1234_5678),
            (u32::MAX, 7),
        ] {
            let bits = spread(row) | spread(column) << 1;
            assert_eq!((compact(bits), compact(bits >> 1)), (row, column));
        }
        assert_eq!(spread(0b101) | spread(0b011) << 1, 0b011011);
    }

    #[test]
    fn neighbours_are_one_row_or_column_away_and_the_map_is_round() {
        let side = 1u32 << 3;
        for column in 0..side {
            for row in 0..side {
                let cell = Cell {
                    bits: spread(row) | spread(column) << 1,
                    steps: 3,
                };
                for (east, north) in [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, -1)] {
                    let bits = cell.neighbour(east, north).bits;
                    let moved = (compact(bits >> 1), compact(bits));
                    let expected = (
                        column.wrapping_add_signed(east) % side,
                        row.wrapping_add_signed(north) % side,
                    );
                    assert_eq!(moved, expected, "{cell:?} {east} {north}");
                }
            }
        }
    }

    #[test]
    fn a_place_lies_in_its_cell() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..2000 {
            let point = Point {
                longitude: rng.f64() * 360.0 - 180.0,
                latitude: rng.f64() * 170.0 - 85.0,
            };
            let cell = Cell::at(point, rng.u32(1..=STEPS_MAX));
            let Bounds { min, max } = cell.bounds();
            assert!(min.longitude <= point.longitude && point.longitude <= max.longitude);
            assert!(min.latitude <= point.latitude && point.latitude <= max.latitude);
            let score = point.score();
            assert!(cell.first_score() <= score && score < cell.end_score());
        }
    }
}
