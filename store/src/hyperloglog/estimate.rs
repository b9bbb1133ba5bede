//! From registers to a number of elements: Otmar Ertl, "New cardinality estimation algorithms for
//! HyperLogLog sketches", arXiv:1702.01284.

use super::REGISTERS;

/// Bits of a hash that a register's run comes from; the longest run is one more.
const RUN_BITS: usize = 50;
/// 0.5 / ln 2.
const ALPHA: f64 = 0.721_347_520_444_481_7;

/// The number of elements, from how many registers have each value. O(1).
///
/// The operations and their order are those of Redis, so that the result is the same to the last
/// digit.
pub(crate) fn estimate(histogram: &[u64; 64]) -> u64 {
    let m = REGISTERS as f64;
    let mut z = m * tau((m - histogram[RUN_BITS + 1] as f64) / m);
    for run in (1..=RUN_BITS).rev() {
        z += histogram[run] as f64;
        z *= 0.5;
    }
    z += m * sigma(histogram[0] as f64 / m);
    let estimate = (ALPHA * m * m / z).round();
    // What is too much for a signed integer is the least one, as C's conversion has it.
    const TOO_MUCH: u64 = 1 << 63;
    if estimate < TOO_MUCH as f64 {
        estimate as u64
    } else {
        TOO_MUCH
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}
