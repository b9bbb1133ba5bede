//! Native commands that any key understands, and keys of a type that has no `PM.` form.

use crate::differential::grammar::Compare::Time;
use crate::differential::grammar::Term::*;
use crate::differential::grammar::{Spec, native};

/// Deletion and expiry. GT and LT stand only with absolute times: whether one "in an hour" is
/// later than another one depends on the millisecond.
pub(crate) const DELETE_AND_EXPIRE: &[Spec] = &[
    native("DEL", 6, &[Times(1, 3, &Key)]),
    native("UNLINK", 3, &[Times(1, 3, &Key)]),
    native("EXISTS", 3, &[Times(1, 3, &Key)]),
    native("TOUCH", 1, &[Times(1, 3, &Key)]),
    native(
        "EXPIRE",
        4,
        &[Key, Seconds, Options(&[One(&[Word("NX"), Word("XX")])])],
    ),
    native(
        "PEXPIRE",
        3,
        &[Key, Millis, Options(&[One(&[Word("NX"), Word("XX")])])],
    ),
    native("EXPIREAT", 4, &[Key, UnixSeconds, Options(CONDITIONS)]),
    native("PEXPIREAT", 6, &[Key, UnixMillis, Options(CONDITIONS)]),
    native("PERSIST", 4, &[Key]),
    native("TTL", 2, &[Key]).compared(Time(1000)),
    native("PTTL", 2, &[Key]).compared(Time(1)),
    native("EXPIRETIME", 1, &[Key]).compared(Time(1000)),
    native("PEXPIRETIME", 1, &[Key]).compared(Time(1)),
    native(
        "FLUSHDB",
        1,
        &[Options(&[One(&[Word("SYNC"), Word("ASYNC")])])],
    ),
];

const CONDITIONS: &[crate::differential::grammar::Term] =
    &[One(&[Word("NX"), Word("XX"), Word("GT"), Word("LT")])];

/// Keys that change their name or their database.
pub(crate) const RENAME_AND_COPY: &[Spec] = &[
    native("RENAME", 4, &[Key, Key]),
    native("RENAMENX", 2, &[Key, Key]),
    native(
        "COPY",
        5,
        &[
            Key,
            Key,
            Options(&[All(&[Word("DB"), Db]), Word("REPLACE")]),
        ],
    ),
    native("MOVE", 3, &[Key, Db]),
];

/// Keys of a native type on both sides: a stream, which no `PM.` command knows. Commands of the
/// type under test meet them with WRONGTYPE, or overwrite them.
pub(crate) const FOREIGN: &[Spec] = &[
    native(
        "XADD",
        6,
        &[Key, One(&[Word("1-1"), Word("2-1")]), Element, Element],
    ),
    native("XLEN", 2, &[Key]),
];
