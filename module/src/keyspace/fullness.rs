//! How full the pool is, told in the log: at some levels, at the first refusal, and when it has fallen below again.

use super::{ENGINE, Engine};
use crate::SETTINGS;
use crate::redis::{Level, log};
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
}

impl Fullness {
    /// The line to be logged, if one of `levels`, which ascend, was reached or left. `percent` of the pool are in use.
    fn follow(&mut self, percent: u64, levels: &[u64]) -> Option<(Level, String)> {
        let above = levels.iter().filter(|&&level| percent >= level).count();
        let near = levels.iter().filter(|&&level| percent + HYSTERESIS > level);
        let below = near.count();
        if above > self.reached {
            self.reached = above;
            let level = levels[above - 1];
            return Some((
                Level::Warning,
                format!("the pool is {percent} percent full (told at {level})"),
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

    /// The line to be logged, if this is the first command that is refused. `percent` of the pool are in use.
    fn refuse(&mut self, percent: u64) -> Option<String> {
        let again = std::mem::replace(&mut self.refused, true);
        // Values of which one alone does not fit are refused by a pool that is not full, too.
        self.reached = self.reached.max(usize::from(!again));
        (!again).then(|| {
            format!(
                "a command found no room in the pool, which is {percent} percent full, and was refused; \
                 further ones are not told of until it is less full"
            )
        })
    }
}

impl Engine {
    /// Percent of the pool that are in use.
    fn percent_used(&self) -> u64 {
        let usage = self.store.pool.usage();
        let available = usage.free + usage.scattered;
        usage.used * 100 / (usage.used + available).max(1)
    }
}

/// Once a tick of the server's clock.
pub(super) fn look() {
    let levels = SETTINGS.with(|settings| settings.alarms.clone());
    let levels = levels.unwrap_or_default();
    let line = ENGINE.with(|engine| {
        let percent = engine.percent_used();
        engine.fullness.follow(percent, &levels)
    });
    if let Ok(Some((level, line))) = line {
        log(level, &line);
    }
}

/// A command was refused for want of room.
pub(super) fn refused() {
    REFUSALS.fetch_add(1, Ordering::Relaxed);
    let line = ENGINE.with(|engine| {
        let percent = engine.percent_used();
        engine.fullness.refuse(percent)
    });
    if let Ok(Some(line)) = line {
        log(Level::Warning, &line);
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
    fn a_refusal_is_told_once_until_the_pool_is_less_full() {
        let mut fullness = Fullness::default();
        assert!(fullness.refuse(97).is_some());
        assert!(fullness.refuse(97).is_none());
        assert!(fullness.follow(50, &LEVELS).is_some());
        assert!(fullness.refuse(98).is_some());
    }
}
