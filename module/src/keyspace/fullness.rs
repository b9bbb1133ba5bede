//! How full the pool is, told in the log: at some levels, at the first refusal, and when it has
//! fallen below again; and when it grows, or cannot.

use super::{ENGINE, Engine};
use crate::SETTINGS;
use crate::redis::Level;
use crate::report;
use pobj::GrowthEvent;
use std::sync::atomic::{AtomicU64, Ordering};

/// So many percent below a level it counts as left again.
const HYSTERESIS: u64 = 3;

/// Commands that found no room.
static REFUSALS: AtomicU64 = AtomicU64::new(0);

/// How many commands have found no room since the start.
pub(super) fn refusals() -> u64 {
    REFUSALS.load(Ordering::Relaxed)
}

/// What was told.
#[derive(Debug, Default)]
pub(crate) struct Fullness {
    /// How many levels the pool has reached.
    reached: usize,
    /// A command was refused since the pool was last below all levels.
    refused: bool,
    /// The last attempt to grow failed.
    cannot_grow: bool,
}

impl Fullness {
    /// The line to be logged, if one of `levels`, which ascend, was reached or left. `percent` of
    /// the pool are in use.
    fn follow(&mut self, percent: u64, levels: &[u64]) -> Option<(Level, String)> {
        let above = levels.iter().filter(|&&level| percent >= level).count();
        let near = levels.iter().filter(|&&level| percent + HYSTERESIS > level);
        let below = near.count();
        if above > self.reached {
            self.reached = above;
            let level = levels[above - 1];
            return Some((
                Level::Warning,
                format!("the pool is {percent} percent full (warning level {level})"),
            ));
        }
        if below < self.reached {
            self.reached = below;
            self.refused &= below > 0;
            return Some((
                Level::Notice,
                format!("the pool is less full again: {percent} percent"),
            ));
        }
        None
    }

    /// The line to be logged, if this is the first command that is refused. `percent` of the pool
    /// are in use.
    fn refuse(&mut self, percent: u64) -> Option<String> {
        let again = std::mem::replace(&mut self.refused, true);
        // Values of which one alone does not fit are refused by a pool that is not full, too.
        self.reached = self.reached.max(usize::from(!again));
        (!again).then(|| {
            format!(
                "a command found no room in the pool, which is {percent} percent full, and was refused; \
                 further refusals are not logged until it is less full"
            )
        })
    }
}

impl Engine {
    /// Whether the pool has room to grow into, as far as is known.
    pub(super) fn may_grow(&self) -> bool {
        let usage = self.store.pool.usage();
        usage.size < usage.size_max && !self.fullness.cannot_grow
    }

    /// Percent of the pool that are in use; of what it can grow to, as long as it can.
    fn percent_used(&self) -> u64 {
        let usage = self.store.pool.usage();
        let more = if self.may_grow() {
            usage.size_max - usage.size
        } else {
            0
        };
        let available = usage.unused() + more;
        usage.used * 100 / (usage.used + available).max(1)
    }
}

impl Fullness {
    /// The line to be logged of what has become of the pool's size, if it is to be; `is_fixed` says
    /// that it stays what it is while the server runs.
    fn tell_growth(&mut self, event: &GrowthEvent, is_fixed: bool) -> Option<(Level, String)> {
        match event {
            GrowthEvent::Grown { from, to } => {
                self.cannot_grow = false;
                let line = format!("the pool has grown from {from} bytes to {to}");
                Some((Level::Notice, line))
            }
            GrowthEvent::Refused(error) => {
                let again = std::mem::replace(&mut self.cannot_grow, true);
                let next = if is_fixed {
                    "it tries again at the next start"
                } else {
                    "it tries again when something needs room"
                };
                let line = format!("the pool cannot grow, and is as before: {error}; {next}");
                (!again).then_some((Level::Warning, line))
            }
        }
    }
}

/// Tells what has become of the pool's size.
pub(super) fn tell_growth() {
    let lines = ENGINE.with(|engine| {
        let events = engine.store.pool.take_growth_events();
        let usage = engine.store.pool.usage();
        let (fullness, is_fixed) = (&mut engine.fullness, usage.size_max == usage.size);
        let lines = events.iter();
        let lines = lines.filter_map(|event| fullness.tell_growth(event, is_fixed));
        lines.collect::<Vec<_>>()
    });
    for (level, line) in lines.unwrap_or_default() {
        report::tell(level, &line);
    }
}

/// Once a tick of the server's clock.
pub(super) fn look() {
    tell_growth();
    let levels = SETTINGS.with(|settings| settings.alarms.clone());
    let levels = levels.unwrap_or_default();
    let line = ENGINE.with(|engine| {
        let percent = engine.percent_used();
        engine.fullness.follow(percent, &levels)
    });
    if let Ok(Some((level, line))) = line {
        report::tell(level, &line);
    }
}

/// A command was refused for want of room. What the pool has become is told first: a tick may not
/// have been since it filled.
pub(super) fn refused() {
    look();
    REFUSALS.fetch_add(1, Ordering::Relaxed);
    let line = ENGINE.with(|engine| {
        let percent = engine.percent_used();
        engine.fullness.refuse(percent)
    });
    if let Ok(Some(line)) = line {
        report::warn(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: [u64; 3] = [80, 90, 95];

    #[test]
    fn a_level_is_told_once_until_it_is_well_left() {
        let mut fullness = Fullness::default();
        let mut told = |percent| fullness.follow(percent, &LEVELS).map(|(level, _)| level);
        let up = Some(Level::Warning);
        let down = Some(Level::Notice);
        let course = [
            (79, None),
            (80, up),
            (85, None),
            (78, None),
            (81, None),
            (96, up),
            (93, None),
            (95, None),
            (92, down),
            (90, None),
            (88, None),
            (87, down),
            (20, down),
            (91, up),
        ];
        for (percent, expected) in course {
            assert_eq!(told(percent), expected, "{percent}");
        }
    }

    #[test]
    fn a_failed_growth_is_told_once_until_the_pool_grows() {
        let mut fullness = Fullness::default();
        let mut told = |event| fullness.tell_growth(&event, false).map(|(level, _)| level);
        let refused = || GrowthEvent::Refused(pobj::Error::Full(1));
        let grown = || GrowthEvent::Grown { from: 1, to: 2 };
        assert_eq!(told(refused()), Some(Level::Warning));
        assert_eq!(told(refused()), None);
        assert_eq!(told(grown()), Some(Level::Notice));
        assert_eq!(told(refused()), Some(Level::Warning));
    }

    #[test]
    fn a_refusal_is_told_once_until_the_pool_is_less_full() {
        let mut fullness = Fullness::default();
        assert!(fullness.refuse(97).is_some());
        assert!(fullness.refuse(97).is_none());
        assert!(fullness.follow(50, &LEVELS).is_some());
        assert!(fullness.refuse(98).is_some());
    }
}
