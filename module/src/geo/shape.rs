//! What one searches in, and which cells cover it.

use super::Point;
use super::cell::{Bounds, Cell, STEPS_MAX};
use super::distance::{RADIUS, along_meridian, degrees, distance, radians};

/// Half the side of the Web Mercator map in metres.
const MAP_HALF: f64 = 20037726.37;

/// The form of a search. Lengths are in metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// All places up to this distance.
    Circle(f64),
    /// All places up to half the width to the east or west, and half the height to the north or south.
    Box {
        /// East to west.
        width: f64,
        /// North to south.
        height: f64,
    },
}

/// A form around a place.
#[derive(Clone, Copy, Debug, PartialEq)]
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

    /// The cells that cover the form, in the order in which Redis searches them: up to nine, the middle
    /// one first. O(1).
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

    /// Half of the form's extent to the east and to the north.
    fn extent(&self) -> (f64, f64) {
        match self.shape {
            Shape::Circle(radius) => (radius, radius),
            Shape::Box { width, height } => (width / 2.0, height / 2.0),
        }
    }

    /// A box of degrees around the form; it is wrong near the poles and across the date line, as Redis's.
    fn bounds(&self) -> Bounds {
        let Point {
            longitude,
            latitude,
        } = self.center;
        let (width, height) = self.extent();
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
}
