//! The Hash type.

use super::generic::{DELETE_AND_EXPIRE, FOREIGN, RENAME_AND_COPY};
use super::newer;
use crate::differential::grammar::Compare::{Page, Pairs, Shape, Unordered};
use crate::differential::grammar::Term::*;
use crate::differential::grammar::{Spec, Table, Term, own};

/// All commands of the Hash type.
pub static HASH: Table = Table {
    name: "hash",
    commands: &[
        OWN,
        newer::HASHES,
        DELETE_AND_EXPIRE,
        RENAME_AND_COPY,
        FOREIGN,
    ],
};

/// A field: mostly one that is there already, sometimes anything.
const FIELD: Term = One(&[Element, Element, Element, Integer, Value]);

/// A value: short, long, or a number.
const VALUE: Term = One(&[Element, Value, Integer, Float]);

/// Few fields, or enough for a table.
const PAIRS: Term = One(&[
    Times(1, 3, &All(&[FIELD, VALUE])),
    Times(1, 3, &All(&[FIELD, VALUE])),
    Times(1, 3, &All(&[FIELD, VALUE])),
    Times(1, 3, &All(&[FIELD, VALUE])),
    Times(1, 40, &All(&[FIELD, VALUE])),
    Times(100, 1500, &All(&[Element, Element])),
]);

const OWN: &[Spec] = &[
    own("HSET", 30, &[Key, PAIRS, Options(&[FIELD])]),
    own("HMSET", 8, &[Key, PAIRS]),
    own("HSETNX", 10, &[Key, FIELD, VALUE]),
    own(
        "HDEL",
        15,
        &[
            Key,
            One(&[FIELD, Times(1, 30, &FIELD), Times(100, 1500, &Element)]),
        ],
    ),
    own("HINCRBY", 15, &[Key, FIELD, Integer]),
    own("HINCRBYFLOAT", 15, &[Key, FIELD, Float]),
    own("HGET", 10, &[Key, FIELD]),
    own("HMGET", 5, &[Key, Times(1, 10, &FIELD)]),
    own("HGETALL", 5, &[Key]).compared(Pairs),
    own("HKEYS", 4, &[Key]).compared(Unordered),
    own("HVALS", 4, &[Key]).compared(Unordered),
    own("HLEN", 4, &[Key]),
    own("HSTRLEN", 5, &[Key, FIELD]),
    own("HEXISTS", 5, &[Key, FIELD]),
    own(
        "HRANDFIELD",
        8,
        &[
            Key,
            Options(&[All(&[Offset, Options(&[Word("WITHVALUES")])])]),
        ],
    )
    .compared(Shape),
    own(
        "HSCAN",
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

pub(super) const PATTERN: Term = One(&[
    Word("*"),
    Word("a*"),
    Word("*b"),
    Word("?a?"),
    Word("[ab]*c"),
    Element,
]);
