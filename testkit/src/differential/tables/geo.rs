//! Sorted sets as maps. Replies are compared with their order, also where distances are equal.

use super::generic::{DELETE_AND_EXPIRE, FOREIGN, RENAME_AND_COPY};
use super::newer;
use crate::differential::grammar::Term::*;
use crate::differential::grammar::{Spec, Table, Term, own};

/// All commands of maps, and those of sorted sets that show or spoil the scores.
pub static GEO: Table = Table {
    name: "geo",
    commands: &[
        OWN,
        newer::MAPS,
        SCORES,
        DELETE_AND_EXPIRE,
        RENAME_AND_COPY,
        FOREIGN,
    ],
};

/// A place: in Sicily, anywhere, at the edges of the map, or beyond.
const PLACE: Term = One(&[
    SICILY,
    SICILY,
    SICILY,
    All(&[Degrees, Degrees]),
    All(&[Degrees, Degrees]),
    All(&[
        One(&[Word("180"), Word("-180"), Word("179.99"), Word("0")]),
        One(&[
            Word("85.05112878"),
            Word("-85.05112878"),
            Word("0"),
            Word("80.5"),
            Word("-67"),
        ]),
    ]),
    All(&[Float, Float]),
]);

const SICILY: Term = All(&[
    One(&[
        Word("13.361389"),
        Word("15.087269"),
        Word("13.5"),
        Word("14.2"),
        Word("15"),
    ]),
    One(&[
        Word("38.115556"),
        Word("37.502669"),
        Word("37.9"),
        Word("38"),
        Word("37.2"),
    ]),
]);

const MEMBER: Term = One(&[
    One(&[Word("a"), Word("b"), Word("c"), Word("ab"), Word("m")]),
    Element,
]);

const UNIT: Term = One(&[Word("m"), Word("km"), Word("km"), Word("ft"), Word("mi")]);

const LENGTH: Term = One(&[
    One(&[Word("0"), Word("50"), Word("100"), Word("200"), Word("500")]),
    One(&[Word("100"), Word("1000"), Word("9000"), Word("30000")]),
    One(&[Word("1"), Word("200.5"), Word("20000000"), Word("150")]),
    Float,
]);

const SHOWN: Term = Options(&[Word("WITHDIST"), Word("WITHCOORD"), Word("WITHHASH")]);

/// Which of the members found, and in which order.
const CHOICE: Term = Options(&[
    One(&[Word("ASC"), Word("DESC")]),
    All(&[
        Word("COUNT"),
        One(&[Word("1"), Word("3"), Word("10"), Offset]),
        Options(&[Word("ANY")]),
    ]),
]);

const CENTER: Term = One(&[
    All(&[Word("FROMLONLAT"), PLACE]),
    All(&[Word("FROMLONLAT"), PLACE]),
    All(&[Word("FROMMEMBER"), MEMBER]),
]);

const SHAPE: Term = One(&[
    All(&[Word("BYRADIUS"), LENGTH, UNIT]),
    All(&[Word("BYBOX"), LENGTH, LENGTH, UNIT]),
]);

const STORE: Term = Options(&[All(&[One(&[Word("STORE"), Word("STOREDIST")]), Key])]);

const OWN: &[Spec] = &[
    own(
        "GEOADD",
        30,
        &[
            Key,
            Options(&[One(&[Word("NX"), Word("XX")]), Word("CH")]),
            Times(1, 4, &All(&[PLACE, MEMBER])),
        ],
    ),
    own("GEOADD", 15, &[Key, Times(5, 40, &All(&[SICILY, Element]))]),
    own(
        "GEOADD",
        5,
        &[Key, Times(100, 300, &All(&[SICILY, Element]))],
    ),
    own(
        "GEOADD",
        5,
        &[Key, Times(100, 300, &All(&[Degrees, Degrees, Element]))],
    ),
    own("GEODIST", 8, &[Key, MEMBER, MEMBER, Options(&[UNIT])]),
    own("GEOHASH", 6, &[Key, Times(0, 4, &MEMBER)]),
    own("GEOPOS", 6, &[Key, Times(0, 4, &MEMBER)]),
    own("GEOSEARCH", 25, &[Key, CENTER, SHAPE, CHOICE, SHOWN]),
    own(
        "GEOSEARCH",
        4,
        &[Key, Times(1, 3, &One(&[CENTER, SHAPE])), SHOWN],
    ),
    own(
        "GEOSEARCHSTORE",
        10,
        &[
            Key,
            Key,
            CENTER,
            SHAPE,
            CHOICE,
            Options(&[Word("STOREDIST")]),
        ],
    ),
    own("GEOSEARCHSTORE", 1, &[Key, Key, CENTER, SHAPE, SHOWN]),
    own("GEORADIUS", 10, &[Key, PLACE, LENGTH, UNIT, CHOICE, SHOWN]),
    own("GEORADIUS", 6, &[Key, PLACE, LENGTH, UNIT, CHOICE, STORE]),
    own(
        "GEORADIUS_RO",
        6,
        &[Key, PLACE, LENGTH, UNIT, CHOICE, SHOWN],
    ),
    own(
        "GEORADIUSBYMEMBER",
        8,
        &[Key, MEMBER, LENGTH, UNIT, CHOICE, SHOWN],
    ),
    own(
        "GEORADIUSBYMEMBER",
        6,
        &[Key, MEMBER, LENGTH, UNIT, CHOICE, STORE],
    ),
    own(
        "GEORADIUSBYMEMBER_RO",
        4,
        &[Key, MEMBER, LENGTH, UNIT, CHOICE, SHOWN],
    ),
];

/// The scores, and some that no place has.
const SCORES: &[Spec] = &[
    own(
        "ZRANGE",
        6,
        &[Key, Word("0"), Word("-1"), Options(&[Word("WITHSCORES")])],
    ),
    own(
        "ZADD",
        3,
        &[
            Key,
            One(&[
                Word("-1"),
                Word("1e300"),
                Word("inf"),
                Word("0"),
                Word("3479099956230698.5"),
            ]),
            MEMBER,
        ],
    ),
    own("ZREM", 3, &[Key, Times(1, 3, &MEMBER)]),
];
