//! How options and commands give an expire time: EX, PX, EXAT and PXAT.

use crate::redis::Arg;

/// How a time is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeUnit {
    /// EX: seconds from now.
    Seconds,
    /// PX: milliseconds from now.
    Millis,
    /// EXAT: Unix seconds.
    UnixSeconds,
    /// PXAT: Unix milliseconds.
    UnixMillis,
}

impl TimeUnit {
    /// That of the option's argument, if it is one of a time.
    pub(super) fn of(option: Arg<'_>) -> Option<TimeUnit> {
        const OPTIONS: [(&[u8], TimeUnit); 4] = [
            (b"EX", TimeUnit::Seconds),
            (b"PX", TimeUnit::Millis),
            (b"EXAT", TimeUnit::UnixSeconds),
            (b"PXAT", TimeUnit::UnixMillis),
        ];
        let found = OPTIONS.into_iter().find(|(word, _)| option.is(word));
        found.map(|(_, unit)| unit)
    }

    /// Whether the time is not relative to now.
    pub(super) fn is_absolute(self) -> bool {
        matches!(self, TimeUnit::UnixSeconds | TimeUnit::UnixMillis)
    }

    /// A number of this unit in milliseconds; `None` if there is no such number.
    pub(super) fn to_ms(self, number: i64) -> Option<i64> {
        match self {
            TimeUnit::Seconds | TimeUnit::UnixSeconds => number.checked_mul(1000),
            TimeUnit::Millis | TimeUnit::UnixMillis => Some(number),
        }
    }
}
