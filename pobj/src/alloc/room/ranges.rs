//! Parts of a pool: ranges of any granules, and regions, which all have the same size.

use std::collections::BTreeMap;

/// Granules of a region: they are aligned in the pool.
pub(in crate::alloc) const REGION: u64 = 512;

/// The parts of some granules that lie in one region each: region, start, granules.
pub(in crate::alloc) fn parts(start: u64, granules: u64) -> impl Iterator<Item = (u64, u64, u64)> {
    let end = start + granules;
    (start / REGION..end.div_ceil(REGION)).map(move |region| {
        let from = start.max(region * REGION);
        (region, from, end.min((region + 1) * REGION) - from)
    })
}

/// The first granule of a region, and the first behind it.
pub(super) fn bounds(region: u64) -> (u64, u64) {
    (region * REGION, (region + 1) * REGION)
}

/// Parts of a pool, in granules: the start and the end of each. No two touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// These parts, which may overlap.
    pub(super) fn of(parts: impl Iterator<Item = (u64, u64)>) -> Ranges {
        let mut all: Vec<(u64, u64)> = parts.filter(|(start, end)| start < end).collect();
        all.sort_unstable();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for (start, end) in all {
            match ranges.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => ranges.push((start, end)),
            }
        }
        Ranges(ranges.into_iter().collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by start.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(&start, &end)| (start, end))
    }

    /// Some granules, told apart by whether they lie in one of the ranges: start, number, whether.
    pub(super) fn pieces(
        &self,
        start: u64,
        granules: u64,
    ) -> impl Iterator<Item = (u64, u64, bool)> {
        let (mut at, end) = (start, start + granules);
        std::iter::from_fn(move || {
            let from = at;
            let around = self.0.range(..=from).next_back();
            let (stop, is_inside) = match around.filter(|&(_, &stop)| from < stop) {
                Some((_, &stop)) => (stop, true),
                None => {
                    let next = self.0.range(from..).next();
                    (next.map_or(end, |(&next, _)| next), false)
                }
            };
            at = stop.min(end);
            (from < end).then_some((from, at - from, is_inside))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn granules_are_told_apart_by_range() {
        let ranges = Ranges::of([(10, 20), (30, 40), (35, 50), (50, 60), (70, 70)].into_iter());
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(10, 20), (30, 60)]);
        let pieces = |start, granules| ranges.pieces(start, granules).collect::<Vec<_>>();
        assert_eq!(pieces(0, 5), [(0, 5, false)]);
        assert_eq!(pieces(12, 8), [(12, 8, true)]);
        assert_eq!(pieces(12, 0), []);
        assert_eq!(
            pieces(5, 60),
            [
                (5, 5, false),
                (10, 10, true),
                (20, 10, false),
                (30, 30, true),
                (60, 5, false)
            ]
        );
        assert_eq!(
            Ranges::default().pieces(3, 4).collect::<Vec<_>>(),
            [(3, 4, false)]
        );
    }

    #[test]
    fn granules_are_told_apart_by_region() {
        let all = |start, granules| parts(start, granules).collect::<Vec<_>>();
        assert_eq!(all(3, 5), [(0, 3, 5)]);
        assert_eq!(all(510, 2), [(0, 510, 2)]);
        assert_eq!(all(510, 3), [(0, 510, 2), (1, 512, 1)]);
        assert_eq!(
            all(500, 1000),
            [(0, 500, 12), (1, 512, 512), (2, 1024, 476)]
        );
    }
}
