//! Sliding: objects are moved to the other side of a free run, so that it comes to lie at the next
//! one, and both are one. (Collectors of garbage call it sliding compaction.)
//!
//! Regions cannot be emptied where free runs are hardly longer than the objects between them: what
//! is moved away from one leaves as short a run as it fills. Sliding always gains, as it makes no
//! new gap, and needs no more room than one run that is as long as the longest object on the way.

use super::Room;
use super::held::Packing;
use super::ranges::REGION;
use super::regions::{MEBIBYTE, MOVE_MAX};
use crate::alloc::run::GRANULE;
use std::cmp::Reverse;

/// So many of the longest free runs are tried.
const LONGEST_RUNS: usize = 4;
/// What a slide may move for what it gains, unless it is to be thorough.
const COST_MAX: u64 = 32;
/// Of more stretches it is not worth while: in large pools there are regions to be emptied.
pub(in crate::alloc) const STRETCHES_MAX: usize = 1 << 14;

/// What some granules are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::alloc) enum Content {
    /// Free, or kept back.
    Free,
    /// A page, or a large object, that can move.
    Movable,
    /// One that cannot.
    Fixed,
}

/// Granules that are one thing.
#[derive(Clone, Copy, Debug)]
pub(in crate::alloc) struct Stretch {
    pub start: u64,
    pub granules: u64,
    pub content: Content,
}

impl Stretch {
    fn end(&self) -> u64 {
        self.start + self.granules
    }
}

/// A free run that slides to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slide {
    /// The place of the run, and of the other one, among the stretches.
    from: usize,
    to: usize,
    /// Granules of objects on the way, and of the shorter run.
    cost: u64,
    gain: u64,
}

impl Slide {
    /// Whether it gains enough for what it moves.
    fn pays(&self) -> bool {
        self.cost <= COST_MAX * self.gain
    }
}

impl Room {
    /// Whether anything is gained by sliding. Regions that could not be emptied are tried again if
    /// it begins `anew`. O(free runs).
    pub(in crate::alloc) fn may_slide(&mut self, anew: bool) -> bool {
        if anew {
            self.stuck_regions.clear();
        }
        self.gainable() > 0
    }

    /// Begins to empty what lies beside a free run, on the way to another one, as much of it as the
    /// run holds; how many bytes are gained about when it has come there, or 0 if nothing is.
    /// `stretches` is what there is in the pool. What moves too much for what it gains is done only
    /// if it is `thorough`. O(stretches log stretches).
    pub(in crate::alloc) fn hold_next(&mut self, stretches: Vec<Stretch>, thorough: bool) -> u64 {
        let gain = self.gainable();
        if gain == 0 || stretches.len() > STRETCHES_MAX {
            return 0;
        }
        let stretches = in_order(stretches);
        let is_stuck = |stretch: &Stretch| {
            let mut regions = stretch.start / REGION..=(stretch.end() - 1) / REGION;
            regions.any(|region| self.stuck_regions.contains(&region))
        };
        let found = cheapest(&stretches, is_stuck);
        let Some(slide) = found.filter(|slide| thorough || slide.pays()) else {
            return 0;
        };
        let (range, packing) = window(&stretches, slide);
        self.hold_window(range, packing);
        gain.min(MEBIBYTE) * GRANULE
    }
}

/// The stretches by place; what is free side by side is one.
fn in_order(mut stretches: Vec<Stretch>) -> Vec<Stretch> {
    stretches.sort_unstable_by_key(|stretch| stretch.start);
    stretches.dedup_by(|next, last| {
        let joins = next.content == Content::Free
            && last.content == Content::Free
            && last.end() == next.start;
        if joins {
            last.granules += next.granules;
        }
        joins
    });
    stretches
}

/// The places of the stretches from one on, upwards or downwards, up to the first that is not
/// beside the one before.
fn beside(stretches: &[Stretch], from: usize, up: bool) -> impl Iterator<Item = usize> {
    let mut last = from;
    std::iter::from_fn(move || {
        let next = if up { last + 1 } else { last.checked_sub(1)? };
        let (low, high) = (
            stretches.get(last.min(next))?,
            stretches.get(last.max(next))?,
        );
        last = next;
        (low.end() == high.start).then_some(next)
    })
}

/// The slide that moves least for what it gains, of one of the longest free runs to the next one on
/// either side.
fn cheapest(stretches: &[Stretch], is_stuck: impl Fn(&Stretch) -> bool) -> Option<Slide> {
    let free = (0..stretches.len()).filter(|&at| stretches[at].content == Content::Free);
    let mut longest: Vec<usize> = free.collect();
    longest.sort_by_key(|&at| Reverse(stretches[at].granules));
    longest.truncate(LONGEST_RUNS);
    let ways = longest
        .into_iter()
        .flat_map(|from| [(from, true), (from, false)]);
    let slides = ways.filter_map(|(from, up)| {
        let most = stretches[from].granules.min(MOVE_MAX);
        let mut cost = 0;
        for at in beside(stretches, from, up) {
            let stretch = &stretches[at];
            match stretch.content {
                Content::Free => {
                    let gain = stretch.granules.min(stretches[from].granules);
                    return Some(Slide {
                        from,
                        to: at,
                        cost,
                        gain,
                    });
                }
                Content::Movable if stretch.granules <= most && !is_stuck(stretch) => {
                    cost += stretch.granules;
                }
                _ => return None,
            }
        }
        None
    });
    slides.min_by_key(|slide| (slide.cost << 32) / slide.gain.max(1))
}

/// What is emptied first for a slide: the range, and where its objects go.
fn window(stretches: &[Stretch], slide: Slide) -> ((u64, u64), Packing) {
    let run = &stretches[slide.from];
    let up = slide.to > slide.from;
    let (mut room, mut last) = (run.granules, *run);
    for at in beside(stretches, slide.from, up) {
        let stretch = &stretches[at];
        if stretch.content == Content::Movable {
            match room.checked_sub(stretch.granules) {
                Some(left) => room = left,
                None => break,
            }
        }
        last = *stretch;
        if at == slide.to {
            break;
        }
    }
    if up {
        ((run.end(), last.end()), Packing::Upwards(run.start))
    } else {
        ((last.start, run.start), Packing::Downwards(run.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stretches one behind the other: `.` free, `o` movable, `X` fixed, each so many granules.
    fn stretches(all: &[(char, u64)]) -> Vec<Stretch> {
        let mut at = 0;
        let stretch = |&(what, granules): &(char, u64)| {
            let content = match what {
                '.' => Content::Free,
                'o' => Content::Movable,
                _ => Content::Fixed,
            };
            let start = at;
            at += granules;
            Stretch {
                start,
                granules,
                content,
            }
        };
        all.iter().map(stretch).collect()
    }

    fn chosen(all: &[(char, u64)]) -> Option<((u64, u64), Packing)> {
        let stretches = in_order(stretches(all));
        let slide = cheapest(&stretches, |_| false)?;
        Some(window(&stretches, slide))
    }

    #[test]
    fn a_run_slides_to_where_it_moves_least() {
        let all = [('.', 3), ('o', 9), ('.', 10), ('o', 4), ('.', 3), ('o', 1)];
        let found = chosen(&all).expect("there is one");
        assert!(
            matches!(found, ((22, 29), Packing::Upwards(12))),
            "{found:?}"
        );
        let all = [
            ('o', 1),
            ('.', 3),
            ('o', 2),
            ('.', 5),
            ('.', 5),
            ('o', 9),
            ('.', 3),
        ];
        let found = chosen(&all).expect("there is one");
        assert!(
            matches!(found, ((1, 6), Packing::Downwards(16))),
            "{found:?}"
        );
    }

    #[test]
    fn a_window_holds_no_more_than_the_run() {
        let all = [('.', 10), ('o', 4), ('o', 5), ('o', 2), ('.', 7)];
        let found = chosen(&all).expect("there is one");
        assert!(
            matches!(found, ((10, 19), Packing::Upwards(0))),
            "{found:?}"
        );
    }

    #[test]
    fn nothing_slides_past_what_cannot_move() {
        for between in [('X', 1), ('o', 11)] {
            let found = chosen(&[('.', 10), between, ('.', 7)]);
            assert!(found.is_none(), "{found:?}");
        }
        // Nor past what nobody knows.
        let mut all = stretches(&[('.', 10), ('o', 3), ('.', 7)]);
        all[2].start += 1;
        assert_eq!(cheapest(&all, |_| false), None);
        let all = stretches(&[('.', 10), ('o', 3), ('.', 7)]);
        assert_eq!(cheapest(&all, |stretch| stretch.start == 10), None);
    }
}
