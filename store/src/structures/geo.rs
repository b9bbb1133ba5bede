//! Places as members of sorted sets: a member's score is where it is (`geo`).

use super::Root;
use super::zset::{self, Bound};
use crate::geo::{Area, Point};
use pobj::{Pool, Result};

/// A member in an area.
#[derive(Clone, Copy, Debug)]
pub struct Member<'p> {
    /// Its name.
    pub name: &'p [u8],
    /// Its score.
    pub score: f64,
    /// Where it is.
    pub point: Point,
    /// From the middle of the area, in metres.
    pub distance: f64,
}

/// The members in an area, cell by cell; up to `enough` of them, if that is not 0. None are
/// nowhere. O(log n) for each of up to nine cells, and O(1) for each member in these.
///
/// # Errors
/// [`Damaged`](crate::structures#errors).
pub fn find<'p>(
    pool: &'p Pool,
    root: Root,
    area: Option<&Area>,
    enough: usize,
) -> Result<Vec<Member<'p>>> {
    let mut found = Vec::new();
    let Some(area) = area else {
        return Ok(found);
    };
    let len = zset::len(root);
    for cell in area.cells() {
        let end = cell.end_score();
        let rank = zset::rank_of(pool, root, &Bound::BeforeScore(cell.first_score()))?;
        if rank >= len {
            continue;
        }
        let mut walk = zset::walk(pool, root, rank, false)?;
        while let Some((name, score)) = walk.step()?
            && score < end
        {
            let point = Point::of_score(score);
            if let Some(distance) = area.distance(point) {
                found.push(Member {
                    name,
                    score,
                    point,
                    distance,
                });
                if found.len() == enough {
                    return Ok(found);
                }
            }
        }
    }
    Ok(found)
}
