//! The Set type. SPOP takes all members or none: which ones it takes otherwise is left to chance.

use super::generic::{DELETE_AND_EXPIRE, FOREIGN, RENAME_AND_COPY};
use super::hash::PATTERN;
use crate::differential::grammar::Compare::{Page, Shape, Unordered};
use crate::differential::grammar::Term::*;
use crate::differential::grammar::{Spec, Table, Term, own};

/// All commands of the Set type.
pub static SET: Table = Table {
    name: "set",
    commands: &[OWN, DELETE_AND_EXPIRE, RENAME_AND_COPY, FOREIGN],
};

/// A member: mostly one that is there already, sometimes anything.
const MEMBER: Term = One(&[Element, Element, Integer, Integer, Value]);

/// Few members, or enough for a table; of words, of integers, or of both.
const MEMBERS: Term = One(&[
    MEMBER,
    Integer,
    Integer,
    Element,
    Times(1, 3, &Integer),
    Times(1, 3, &MEMBER),
    Times(1, 40, &MEMBER),
    Times(1, 40, &Offset),
    Times(100, 1500, &Integer),
    Times(100, 1500, &Element),
]);

const KEYS: Term = Times(1, 4, &Key);

const OWN: &[Spec] = &[
    own("SADD", 30, &[Key, MEMBERS]),
    own("SREM", 20, &[Key, MEMBERS]),
    own("SMOVE", 12, &[Key, Key, MEMBER]),
    own("SISMEMBER", 8, &[Key, MEMBER]),
    own("SMISMEMBER", 5, &[Key, Times(1, 10, &MEMBER)]),
    own("SCARD", 5, &[Key]),
    own("SMEMBERS", 5, &[Key]).compared(Unordered),
    own(
        "SPOP",
        4,
        &[
            Key,
            One(&[Word("1000000"), Word("0"), Word("-1"), Word("x")]),
        ],
    )
    .compared(Unordered)
    .unbent(),
    own("SPOP", 1, &[Key, Word("1"), Word("1")]).unbent(),
    own("SRANDMEMBER", 8, &[Key, Options(&[Offset])]).compared(Shape),
    own("SINTER", 8, &[KEYS]).compared(Unordered),
    own("SUNION", 8, &[KEYS]).compared(Unordered),
    own("SDIFF", 8, &[KEYS]).compared(Unordered),
    own("SINTERSTORE", 8, &[Key, KEYS]),
    own("SUNIONSTORE", 8, &[Key, KEYS]),
    own("SDIFFSTORE", 8, &[Key, KEYS]),
    own(
        "SINTERCARD",
        8,
        &[
            One(&[
                All(&[Word("1"), Key]),
                All(&[Word("2"), Key, Key]),
                All(&[Word("3"), Key, Key, Key]),
                All(&[Integer, Key]),
            ]),
            Options(&[All(&[Word("LIMIT"), Offset])]),
        ],
    ),
    own(
        "SSCAN",
        6,
        &[
            Key,
            One(&[Word("0"), Word("0"), Integer]),
            Options(&[
                All(&[Word("COUNT"), Offset]),
                All(&[Word("MATCH"), PATTERN]),
            ]),
        ],
    )
    .compared(Page),
];
