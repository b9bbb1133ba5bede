//! The commands that any key understands: native ones on the module's keys, and their prefixed
//! forms.

use super::generic::{DELETE_AND_EXPIRE, FOREIGN, RENAME_AND_COPY};
use crate::differential::grammar::Compare::{Shape, Time, Unordered, WholeScan};
use crate::differential::grammar::Term::*;
use crate::differential::grammar::{Spec, Table, Term, native, own};

/// Native commands.
pub static KEYS: Table = Table {
    name: "keys",
    commands: &[
        VALUES,
        DELETE_AND_EXPIRE,
        RENAME_AND_COPY,
        ALL_KEYS,
        FOREIGN,
    ],
};

/// The same with the prefix. No stream is among these keys: to the prefixed commands it is absent.
pub static PREFIXED_KEYS: Table = Table {
    name: "prefixed_keys",
    commands: &[VALUES, PREFIXED, RESTORED],
};

/// Values of all types, and what finds a key of the wrong one. None of these takes the place of
/// another type: the tables of the types have that.
const VALUES: &[Spec] = &[
    own(
        "SET",
        12,
        &[
            Key,
            Value,
            Word("NX"),
            Options(&[One(&[
                All(&[Word("EX"), Seconds]),
                All(&[Word("PXAT"), UnixMillis]),
            ])]),
        ],
    )
    .unbent(),
    own("SETNX", 6, &[Key, Value]),
    own("APPEND", 3, &[Key, Element]),
    own("INCR", 3, &[Key]),
    own("RPUSH", 8, &[Key, Times(1, 5, &Element)]),
    own("LPOP", 3, &[Key]),
    own("HSET", 8, &[Key, Times(1, 5, &All(&[Element, Element]))]),
    own("SADD", 8, &[Key, Times(1, 5, &One(&[Element, Integer]))]),
    own("ZADD", 8, &[Key, Times(1, 5, &All(&[Integer, Element]))]),
];

/// Of whole databases, of all of them, and of what Redis keeps beside a key's value.
const ALL_KEYS: &[Spec] = &[
    native("SWAPDB", 3, &[Db, Db]),
    native("FLUSHALL", 1, &[Options(&[MODE])]),
    native("KEYS", 3, &[PATTERN]).compared(Unordered),
    native(
        "SCAN",
        3,
        &[
            Word("0"),
            All(&[Word("COUNT"), Word("1000")]),
            Options(&[All(&[Word("MATCH"), PATTERN])]),
        ],
    )
    .compared(WholeScan),
    native("RANDOMKEY", 2, &[]).compared(Shape),
    native("DBSIZE", 2, &[]),
    native("DUMP", 1, &[Key]).compared(Shape),
    native(
        "OBJECT",
        3,
        &[
            One(&[Word("REFCOUNT"), Word("IDLETIME"), Word("FREQ")]),
            Key,
        ],
    )
    .compared(Shape),
    native("MEMORY", 1, &[Word("USAGE"), Key])
        .compared(Shape)
        .until_redis(8, 4),
    RESTORE,
];

const RESTORED: &[Spec] = &[RESTORE];

const RESTORE: Spec = native(
    "RESTORE",
    8,
    &[
        Key,
        One(&[
            All(&[Millis, Dump, Options(BESIDE)]),
            All(&[Word("0"), Dump, Options(BESIDE)]),
            All(&[UnixMillis, Dump, Word("ABSTTL"), Options(BESIDE)]),
        ]),
    ],
);

/// What RESTORE takes beside the payload.
const BESIDE: &[Term] = &[
    Word("REPLACE"),
    Word("REPLACE"),
    All(&[Word("IDLETIME"), Offset]),
    All(&[Word("FREQ"), Offset]),
];

const MODE: Term = One(&[Word("SYNC"), Word("ASYNC")]);

const PATTERN: Term = One(&[
    Word("*"),
    Word("?"),
    Word("[ab]"),
    Word("[^a]*"),
    Word("key-*"),
    Word("\\a"),
]);

const CONDITION: Term = Options(&[One(&[Word("NX"), Word("XX")])]);
const CONDITIONS: Term = Options(&[One(&[Word("NX"), Word("XX"), Word("GT"), Word("LT")])]);

/// The same command under the prefix.
const fn prefixed(mut spec: Spec) -> Spec {
    spec.prefixed = true;
    spec
}

const PREFIXED: &[Spec] = &[
    own("DEL", 6, &[Times(1, 3, &Key)]),
    own("UNLINK", 3, &[Times(1, 3, &Key)]),
    own("EXISTS", 4, &[Times(1, 3, &Key)]),
    own("TOUCH", 3, &[Times(1, 3, &Key)]),
    own("TYPE", 4, &[Key]),
    own("EXPIRE", 5, &[Key, Seconds, CONDITION]),
    own("PEXPIRE", 5, &[Key, Millis, CONDITION]),
    own("EXPIREAT", 5, &[Key, UnixSeconds, CONDITIONS]),
    own("PEXPIREAT", 8, &[Key, UnixMillis, CONDITIONS]),
    own("PERSIST", 5, &[Key]),
    own("TTL", 4, &[Key]).compared(Time(1000)),
    own("PTTL", 4, &[Key]).compared(Time(1)),
    own("EXPIRETIME", 4, &[Key]).compared(Time(1000)),
    own("PEXPIRETIME", 4, &[Key]).compared(Time(1)),
    own("RENAME", 6, &[Key, Key]),
    own("RENAMENX", 4, &[Key, Key]),
    own(
        "COPY",
        8,
        &[
            Key,
            Key,
            Options(&[All(&[Word("DB"), Db]), Word("REPLACE")]),
        ],
    ),
    own("MOVE", 3, &[Key, Db]),
    own("DUMP", 2, &[Key]).compared(Shape),
    prefixed(RESTORE),
    own("KEYS", 5, &[PATTERN]).compared(Unordered),
    own(
        "SCAN",
        6,
        &[
            Word("0"),
            All(&[Word("COUNT"), Word("1000")]),
            Options(&[
                All(&[Word("MATCH"), PATTERN]),
                All(&[
                    Word("TYPE"),
                    One(&[
                        Word("string"),
                        Word("list"),
                        Word("hash"),
                        Word("set"),
                        Word("zset"),
                        Word("stream"),
                    ]),
                ]),
            ]),
        ],
    )
    .compared(WholeScan),
    own("RANDOMKEY", 3, &[]).compared(Shape),
    own("DBSIZE", 3, &[]),
    own(
        "OBJECT",
        5,
        &[
            One(&[
                Word("ENCODING"),
                Word("REFCOUNT"),
                Word("IDLETIME"),
                Word("FREQ"),
            ]),
            Key,
        ],
    )
    .compared(Shape)
    .unbent(),
    own("FLUSHDB", 1, &[Options(&[MODE])]),
    own("FLUSHALL", 1, &[Options(&[MODE])]),
];
