//! What newer servers have, each from its version on. Older ones lack the native command to compare
//! with; `tests/newer_commands.rs` shows that the replies there are the same.

use crate::differential::grammar::Compare::Page;
use crate::differential::grammar::Term::*;
use crate::differential::grammar::{Spec, Term, own};

/// A value that another one often equals.
const VALUE: Term = One(&[
    Word("a"),
    Word("b"),
    Word("5"),
    Word("-1"),
    Word(""),
    Element,
]);

/// Digests, of some of these values among them.
const DIGEST: Term = One(&[
    Word("e6c632b61e964e1f"),
    Word("E6C632B61E964E1F"),
    Word("0000000000000000"),
    Word("xyz"),
    Word("not-hexadecimal!"),
]);

const CONDITION: Term = One(&[
    All(&[Word("IFEQ"), VALUE]),
    All(&[Word("IFNE"), VALUE]),
    All(&[Word("IFDEQ"), DIGEST]),
    All(&[Word("IFDNE"), DIGEST]),
]);

const EXPIRATION: Term = One(&[
    All(&[Word("EX"), Seconds]),
    All(&[Word("PX"), Millis]),
    All(&[Word("EXAT"), UnixSeconds]),
    All(&[Word("PXAT"), UnixMillis]),
    Word("KEEPTTL"),
]);

/// A time that is not over: of a key that is given twice, MSETEX would see the first value expire.
const FUTURE: Term = One(&[
    All(&[Word("EX"), Seconds]),
    All(&[Word("PX"), Millis]),
    Word("KEEPTTL"),
]);

/// Strings: conditions on their values, and several with a time.
pub(crate) const STRINGS: &[Spec] = &[
    own(
        "SET",
        10,
        &[
            Key,
            VALUE,
            Options(&[
                CONDITION,
                CONDITION,
                Word("GET"),
                EXPIRATION,
                One(&[Word("NX"), Word("XX")]),
            ]),
        ],
    )
    .since(Some((8, 4)), None),
    own(
        "SET",
        10,
        &[
            Key,
            VALUE,
            Options(&[
                All(&[Word("IFEQ"), VALUE]),
                All(&[Word("IFEQ"), VALUE]),
                Word("GET"),
                EXPIRATION,
                One(&[Word("NX"), Word("XX")]),
            ]),
        ],
    )
    .since(None, Some((8, 1))),
    own("SET", 10, &[Key, VALUE]).since(Some((8, 4)), Some((8, 1))),
    own("DELEX", 8, &[Key, Options(&[CONDITION])]).since(Some((8, 4)), None),
    own("DIGEST", 4, &[Key]).since(Some((8, 4)), None),
    own("DELIFEQ", 8, &[Key, VALUE]).since(None, Some((9, 0))),
    own(
        "MSETEX",
        8,
        &[
            One(&[
                All(&[Word("1"), Key, VALUE]),
                All(&[Word("2"), Key, VALUE, Key, VALUE]),
                All(&[Integer, Key, VALUE]),
            ]),
            Options(&[One(&[Word("NX"), Word("XX")]), FUTURE]),
        ],
    )
    .since(Some((8, 4)), Some((9, 1))),
];

/// Bitmaps: more operations on several.
pub(crate) const BITMAPS: &[Spec] = &[
    own(
        "BITOP",
        12,
        &[
            One(&[Word("DIFF"), Word("DIFF1"), Word("ANDOR"), Word("ONE")]),
            Key,
            Times(1, 4, &Key),
        ],
    )
    .since(Some((8, 2)), None),
    own("BITCOUNT", 8, &[Key, Offset]).since(None, Some((8, 0))),
];

/// Hashes: names alone.
pub(crate) const HASHES: &[Spec] = &[own(
    "HSCAN",
    4,
    &[
        Key,
        Word("0"),
        Options(&[Word("NOVALUES"), All(&[Word("COUNT"), Offset])]),
    ],
)
.compared(Page)
.since(Some((7, 4)), Some((8, 0)))];

/// Sorted sets: ranks with scores.
pub(crate) const SORTED_SETS: &[Spec] = &[
    own("ZRANK", 4, &[Key, VALUE, Word("WITHSCORE")]).since(Some((7, 2)), Some((7, 2))),
    own("ZREVRANK", 4, &[Key, VALUE, Word("WITHSCORE")]).since(Some((7, 2)), Some((7, 2))),
];

/// Small sorted sets: members alone, in their order.
pub(crate) const SMALL_SORTED_SETS: &[Spec] =
    &[own("ZSCAN", 4, &[Key, Word("0"), Word("NOSCORES")]).since(None, Some((8, 1)))];

/// Corners of a polygon.
const CORNER: Term = All(&[
    One(&[Word("12"), Word("13.4"), Word("14"), Word("15.5"), Degrees]),
    One(&[Word("37"), Word("37.6"), Word("38"), Word("39"), Degrees]),
]);

const POLYGON: Term = One(&[
    All(&[Word("3"), Times(3, 3, &CORNER)]),
    All(&[Word("4"), Times(4, 4, &CORNER)]),
    All(&[Word("6"), Times(6, 6, &CORNER)]),
    All(&[Integer, Times(2, 5, &CORNER)]),
]);

/// Maps: what is within a polygon.
pub(crate) const MAPS: &[Spec] = &[
    own(
        "GEOSEARCH",
        10,
        &[
            Key,
            Word("BYPOLYGON"),
            POLYGON,
            Options(&[
                One(&[Word("ASC"), Word("DESC")]),
                All(&[Word("COUNT"), Offset]),
                Word("WITHDIST"),
                Word("WITHCOORD"),
                Word("WITHHASH"),
            ]),
        ],
    )
    .since(None, Some((9, 0))),
    own(
        "GEOSEARCHSTORE",
        5,
        &[
            Key,
            Key,
            Word("BYPOLYGON"),
            POLYGON,
            Options(&[Word("STOREDIST")]),
        ],
    )
    .since(None, Some((9, 0))),
];
