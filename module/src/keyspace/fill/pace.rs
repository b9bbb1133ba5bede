//! How long keys are shown in the background, at each event-loop cycle.
//!
//! While nobody waits for the server, keys are shown until somebody does. While somebody does, and
//! until the replies of this cycle are sent, filling still gets a small share of the time, or it
//! would never end under constant load; much of it is then done by the commands themselves, each of
//! which shows the keys it names.

use std::time::{Duration, Instant};

/// How long at a stretch while nobody waits: the server's timers do.
const AT_A_STRETCH: Duration = Duration::from_millis(1);
/// The shortest and the longest slice while somebody waits.
const SLICE: std::ops::RangeInclusive<Duration> =
    Duration::from_micros(100)..=Duration::from_micros(200);
/// The filling's part of what all else has taken, while somebody waits.
const SHARE: u32 = 8;
/// How long after a command there may be another one, where nobody can tell whether one waits.
const LULL: Duration = Duration::from_millis(50);

/// How long keys may be shown now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slice {
    /// Not at all.
    Nothing,
    /// So long.
    Whole(Duration),
    /// So long, if nobody begins to wait.
    WhileNobodyWaits(Duration),
}

/// What is known of the time that clients took, and the filling.
#[derive(Debug)]
pub(super) struct Pace {
    last_command: Option<Instant>,
    /// A command has run whose reply may not have been sent.
    replies_wait: bool,
    /// When it was asked last, or keys were shown last.
    last: Instant,
    /// How long they are to be shown whoever waits.
    owed: Duration,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Pace {
        Pace {
            last_command: None,
            replies_wait: false,
            last: now,
            owed: Duration::ZERO,
        }
    }

    /// A command will run.
    pub(super) fn command_runs(&mut self, now: Instant) {
        self.last_command = Some(now);
        self.replies_wait = true;
    }

    /// The replies of this cycle are sent.
    pub(super) fn cycle_ends(&mut self) {
        self.replies_wait = false;
    }

    /// How long keys may be shown now; whether a request waits, if that can be told.
    pub(super) fn slice(&mut self, request_waits: Option<bool>, now: Instant) -> Slice {
        let others_took = now.saturating_duration_since(self.last);
        self.last = now;
        self.owed = (self.owed + others_took / SHARE).min(*SLICE.end());
        let lull = |last: Instant| now.saturating_duration_since(last) >= LULL;
        let somebody_waits = match request_waits {
            Some(waits) => waits || self.replies_wait,
            None => !self.last_command.is_none_or(lull),
        };
        if !somebody_waits {
            Slice::WhileNobodyWaits(AT_A_STRETCH)
        } else if self.owed >= *SLICE.start() {
            Slice::Whole(self.owed)
        } else {
            Slice::Nothing
        }
    }

    /// Keys were shown since `begun`.
    pub(super) fn has_shown(&mut self, begun: Instant, now: Instant) {
        self.owed = self
            .owed
            .saturating_sub(now.saturating_duration_since(begun));
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(count: u64) -> Duration {
        Duration::from_micros(count)
    }

    #[test]
    fn who_waits_gets_most_of_the_server_and_never_waits_for_long() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let (mut commands, mut shown) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..1000 {
            pace.command_runs(now);
            now += us(40);
            commands += us(40);
            match pace.slice(Some(true), now) {
                Slice::Nothing => {}
                Slice::Whole(slice) => {
                    assert!(SLICE.contains(&slice), "{slice:?}");
                    let begun = now;
                    now += slice;
                    shown += slice;
                    pace.has_shown(begun, now);
                }
                other => panic!("{other:?}"),
            }
            pace.cycle_ends();
        }
        let share = shown.as_secs_f64() / (shown + commands).as_secs_f64();
        assert!((0.1..0.12).contains(&share), "{share}");
    }

    #[test]
    fn a_reply_that_was_not_sent_waits_too() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert_eq!(
            pace.slice(Some(false), now),
            Slice::WhileNobodyWaits(AT_A_STRETCH)
        );
        pace.command_runs(now);
        assert_eq!(pace.slice(Some(false), now + us(10)), Slice::Nothing);
        pace.cycle_ends();
        assert_eq!(
            pace.slice(Some(false), now + us(20)),
            Slice::WhileNobodyWaits(AT_A_STRETCH)
        );
    }

    #[test]
    fn where_nobody_can_tell_a_lull_is_as_good() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        let idle = Slice::WhileNobodyWaits(AT_A_STRETCH);
        assert_eq!(pace.slice(None, now), idle);
        pace.command_runs(now);
        pace.cycle_ends();
        assert_eq!(pace.slice(None, now + us(10)), Slice::Nothing);
        assert_eq!(pace.slice(None, now + us(2000)), Slice::Whole(*SLICE.end()));
        assert_eq!(pace.slice(None, now + LULL), idle);
    }

    #[test]
    fn no_pause_makes_a_long_slice() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        let later = now + Duration::from_secs(5);
        assert_eq!(pace.slice(Some(true), later), Slice::Whole(*SLICE.end()));
    }
}
