//! The areas of searches, and which cells cover them.

use super::Point;
use super::cell::{Bounds, Cell, STEPS_MAX};
use super::distance::{RADIUS, along_meridian, degrees, distance, radians};

/// Half the side of the Web Mercator map in metres.
const MAP_HALF: f64 = 20037726.37;

/// The form of a search. Lengths are in metres.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// All places up to this distance.
    Circle(f64),
    /// All places up to half the width to the east or west, and half the height to the north or
    /// south.
    Box {
        /// East to west.
        width: f64,
        /// North to south.
        height: f64,
    },
    /// All places within the lines from each of these to the next, and from the last to the first.
    Polygon(Vec<Point>),
}

impl Shape {
    /// The middle that the form itself has: the direction of the sum of a polygon's corners, as
    /// vectors from the centre of the globe. O(n).
    pub fn own_center(&self) -> Option<Point> {
        let Shape::Polygon(corners) = self else {
            return None;
        };
        let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
        for corner in corners {
            let (longitude, latitude) = (radians(corner.longitude), radians(corner.latitude));
            x += latitude.cos() * longitude.cos();
            y += latitude.cos() * longitude.sin();
            z += latitude.sin();
        }
        Some(Point {
            longitude: degrees(f64::atan2(y, x)),
            latitude: degrees(f64::atan2(z, (x * x + y * y).sqrt())),
        })
    }
}

/// Whether a place is within the corners: a line from it to the east crosses the edges an odd
/// number of times. O(n).
fn is_within(point: Point, corners: &[Point]) -> bool {
    let previous = corners.iter().cycle().skip(corners.len().saturating_sub(1));
    let crossed = |&(a, b): &(&Point, &Point)| {
        let (a, b) = (*a, *b);
        let slope = (b.longitude - a.longitude) * (point.latitude - a.latitude);
        (a.latitude > point.latitude) != (b.latitude > point.latitude)
            && point.longitude < slope / (b.latitude - a.latitude) + a.longitude
    };
    corners.iter().zip(previous).filter(crossed).count() % 2 == 1
}

/// A form around a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Area {
    /// The middle.
    pub center: Point,
    /// The form.
    pub shape: Shape,
}

impl Area {
    /// The distance of a place from the middle in metres, if it lies within the form. O(1).
    pub fn distance(&self, point: Point) -> Option<f64> {
        let center = self.center;
        match self.shape {
            Shape::Polygon(ref corners) => {
                is_within(point, corners).then(|| distance(center, point))
            }
            Shape::Circle(radius) => {
                let distance = distance(center, point);
                // Not `<=`: what is no number is not too far.
                let outside = distance > radius;
                (!outside).then_some(distance)
            }
            Shape::Box { width, height } => {
                if along_meridian(point.latitude, center.latitude) > height / 2.0 {
                    return None;
                }
                let below = Point {
                    longitude: center.longitude,
                    latitude: point.latitude,
                };
                if distance(point, below) > width / 2.0 {
                    return None;
                }
                Some(distance(center, point))
            }
        }
    }

    /// The cells that cover the form, in the order in which Redis searches them: up to nine, the
    /// middle one first. O(1).
    pub fn cells(&self) -> impl Iterator<Item = Cell> {
        let bounds = self.bounds();
        let mut cell = Cell::at(self.center, self.steps());
        if cell.steps > 1 && !is_covered(cell, bounds) {
            cell = Cell::at(self.center, cell.steps - 1);
        }
        let inner = cell.bounds();
        // In a grid of two columns and rows no neighbour is left out.
        let narrow = cell.steps >= 2;
        let (south, north) = (
            !(narrow && inner.min.latitude < bounds.min.latitude),
            !(narrow && inner.max.latitude > bounds.max.latitude),
        );
        let (west, east) = (
            !(narrow && inner.min.longitude < bounds.min.longitude),
            !(narrow && inner.max.longitude > bounds.max.longitude),
        );
        const AROUND: [(i32, i32); 9] = [
            (0, 0),
            (0, 1),
            (0, -1),
            (1, 0),
            (-1, 0),
            (1, 1),
            (-1, 1),
            (1, -1),
            (-1, -1),
        ];
        // Neighbours to both sides may be the same cell.
        let mut last = None;
        AROUND.into_iter().filter_map(move |(x, y)| {
            let needed =
                (y >= 0 || south) && (y <= 0 || north) && (x >= 0 || west) && (x <= 0 || east);
            let found = cell.neighbour(x, y);
            if !needed || last == Some(found) {
                return None;
            }
            if (x, y) != (0, 0) {
                last = Some(found);
            }
            Some(found)
        })
    }

    /// A box of degrees around the form; it is wrong near the poles and across the date line, as
    /// Redis's.
    fn bounds(&self) -> Bounds {
        let Point {
            longitude,
            latitude,
        } = self.center;
        // Half of the extent to the east and to the north.
        let (width, height) = match self.shape {
            Shape::Circle(radius) => (radius, radius),
            Shape::Box { width, height } => (width / 2.0, height / 2.0),
            Shape::Polygon(ref corners) => return Bounds::of(corners),
        };
        let north = degrees(height / RADIUS);
        let widest = if latitude < 0.0 {
            latitude - north
        } else {
            latitude + north
        };
        let east = degrees(width / RADIUS / radians(widest).cos());
        let corner = |longitude, latitude| Point {
            longitude,
            latitude,
        };
        Bounds {
            min: corner(longitude - east, latitude - north),
            max: corner(longitude + east, latitude + north),
        }
    }

    /// The steps of a grid whose cells are about as large as the form.
    fn steps(&self) -> u32 {
        let mut range = match self.shape {
            Shape::Circle(radius) => radius,
            Shape::Box { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
            Shape::Polygon(ref corners) => {
                let Bounds { min, max } = Bounds::of(corners);
                let corner = |longitude, latitude| {
                    distance(
                        self.center,
                        Point {
                            longitude,
                            latitude,
                        },
                    )
                };
                corner(min.longitude, max.latitude)
                    .max(corner(max.longitude, max.latitude))
                    .max(corner(min.longitude, min.latitude))
                    .max(corner(max.longitude, min.latitude))
            }
        };
        if range == 0.0 {
            return STEPS_MAX;
        }
        let mut steps = -1;
        while range < MAP_HALF {
            range *= 2.0;
            steps += 1;
        }
        // Meridians come together towards the poles.
        steps -= match self.center.latitude.abs() {
            latitude if latitude > 80.0 => 2,
            latitude if latitude > 66.0 => 1,
            _ => 0,
        };
        steps.clamp(1, STEPS_MAX as i32) as u32
    }
}

/// Whether the cell and its eight neighbours reach to the bounds on all sides.
fn is_covered(cell: Cell, bounds: Bounds) -> bool {
    let reach = |x, y| cell.neighbour(x, y).bounds();
    !(reach(0, 1).max.latitude < bounds.max.latitude
        || reach(0, -1).min.latitude > bounds.min.latitude
        || reach(1, 0).max.longitude < bounds.max.longitude
        || reach(-1, 0).min.longitude > bounds.min.longitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(longitude: f64, latitude: f64) -> Point {
        Point {
            longitude,
            latitude,
        }
    }

    #[test]
    fn cells_cover_what_is_in_the_form() {
        let mut rng = fastrand::Rng::with_seed(1);
        for round in 0..3000 {
            // Away from the poles and the date line.
            let center = point(rng.f64() * 300.0 - 150.0, rng.f64() * 120.0 - 60.0);
            let size = 10f64.powf(rng.f64() * 5.0);
            let shape = match round % 2 {
                0 => Shape::Circle(size),
                _ => Shape::Box {
                    width: size,
                    height: rng.f64() * size,
                },
            };
            let area = Area { center, shape };
            let spread = size / 60_000.0;
            let near = point(
                center.longitude + (rng.f64() - 0.5) * spread,
                center.latitude + (rng.f64() - 0.5) * spread,
            );
            let cells: Vec<Cell> = area.cells().collect();
            assert!(!cells.is_empty() && cells.len() <= 9);
            if area.distance(near).is_some() {
                let score = near.score();
                let within = |cell: &&Cell| (cell.first_score()..cell.end_score()).contains(&score);
                let found = cells.iter().filter(within).count();
                assert_eq!(found, 1, "{near:?} in {area:?}: {cells:?}");
            }
        }
    }

    #[test]
    fn a_box_is_as_wide_as_it_says() {
        let area = Area {
            center: point(15.0, 37.0),
            shape: Shape::Box {
                width: 400_000.0,
                height: 100_000.0,
            },
        };
        assert!(area.distance(point(17.0, 37.0)).is_some());
        assert!(area.distance(point(18.0, 37.0)).is_none());
        assert!(area.distance(point(15.0, 37.4)).is_some());
        assert!(area.distance(point(15.0, 37.5)).is_none());
    }

    fn polygon(corners: &[(f64, f64)]) -> Area {
        let corners = corners.iter().map(|&(x, y)| point(x, y)).collect();
        let shape = Shape::Polygon(corners);
        let center = shape.own_center().expect("a polygon has a middle");
        Area { center, shape }
    }

    /// The places are those of a session with Valkey 9.1, and so are the distances.
    #[test]
    fn a_polygon_holds_what_its_edges_surround() {
        let area = polygon(&[(12.0, 37.0), (16.0, 37.0), (16.0, 39.0), (12.0, 39.0)]);
        for (longitude, latitude, distance) in [
            (13.361389, 38.115556, Some(56987.4933)),
            (15.087269, 37.502669, Some(111411.0839)),
            (12.758489, 38.788135, Some(138085.5878)),
            (17.241510, 38.788135, None),
            (14.5, 38.0, Some(43858.9353)),
        ] {
            let place = Point::of_score(point(longitude, latitude).score());
            let found = area.distance(place);
            assert_eq!(
                found.is_some(),
                distance.is_some(),
                "{longitude} {latitude}"
            );
            if let (Some(found), Some(distance)) = (found, distance) {
                assert!((found - distance).abs() < 0.0001, "{found} {distance}");
            }
        }
        let line = polygon(&[(12.0, 37.0), (12.0, 37.0), (12.0, 37.0)]);
        assert_eq!(line.distance(point(12.0, 37.0)), None);
    }

    #[test]
    fn cells_cover_polygons_too() {
        let mut rng = fastrand::Rng::with_seed(2);
        let mut inside = 0;
        for _ in 0..2000 {
            let (x, y) = (rng.f64() * 300.0 - 150.0, rng.f64() * 100.0 - 50.0);
            let size = 10f64.powf(rng.f64() * 4.0 - 3.0);
            let mut near = || (x + (rng.f64() - 0.5) * size, y + (rng.f64() - 0.5) * size);
            let area = polygon(&[near(), near(), near(), near(), near()]);
            let (longitude, latitude) = near();
            let place = point(longitude, latitude);
            if area.distance(place).is_some() {
                inside += 1;
                let score = place.score();
                let within = |cell: &Cell| (cell.first_score()..cell.end_score()).contains(&score);
                assert_eq!(area.cells().filter(within).count(), 1, "{place:?} {area:?}");
            }
        }
        assert!(inside > 100, "{inside}");
    }
}
