//! The List type, but for the commands that block: a sequence of one client would wait for itself.

use super::generic::{DELETE_AND_EXPIRE, FOREIGN, RENAME_AND_COPY};
use crate::differential::grammar::Term::*;
use crate::differential::grammar::{Spec, Table, Term, own};

/// All commands of the List type that do not block.
pub static LIST: Table = Table {
    name: "list",
    commands: &[OWN, DELETE_AND_EXPIRE, RENAME_AND_COPY, FOREIGN],
};

/// An element: mostly one that is there more than once, sometimes anything.
const ELEMENT: Term = One(&[Element, Element, Element, Value]);

const SIDE: Term = One(&[Word("LEFT"), Word("RIGHT")]);

/// Few elements, or enough for some chunks, or for a tree of them.
const ELEMENTS: Term = One(&[
    Times(1, 3, &ELEMENT),
    Times(1, 3, &ELEMENT),
    Times(1, 3, &ELEMENT),
    Times(1, 30, &ELEMENT),
    Times(1, 30, &ELEMENT),
    Times(300, 4000, &Element),
]);

const OWN: &[Spec] = &[
    own("RPUSH", 25, &[Key, ELEMENTS]),
    own("LPUSH", 25, &[Key, ELEMENTS]),
    own("RPUSHX", 6, &[Key, ELEMENTS]),
    own("LPUSHX", 6, &[Key, ELEMENTS]),
    own("LPOP", 12, &[Key, Options(&[Offset])]),
    own("RPOP", 12, &[Key, Options(&[Offset])]),
    own("LLEN", 5, &[Key]),
    own("LINDEX", 10, &[Key, Offset]),
    own("LRANGE", 12, &[Key, Offset, Offset]),
    own("LSET", 15, &[Key, Offset, ELEMENT]),
    own(
        "LINSERT",
        15,
        &[Key, One(&[Word("BEFORE"), Word("AFTER")]), Element, ELEMENT],
    ),
    own("LREM", 12, &[Key, Offset, Element]),
    own("LTRIM", 8, &[Key, Offset, Offset]),
    own(
        "LPOS",
        12,
        &[
            Key,
            Element,
            Options(&[
                All(&[Word("RANK"), One(&[Offset, Integer])]),
                All(&[Word("COUNT"), Offset]),
                All(&[Word("MAXLEN"), Offset]),
            ]),
        ],
    ),
    own("LMOVE", 15, &[Key, Key, SIDE, SIDE]),
    own("RPOPLPUSH", 8, &[Key, Key]),
    own(
        "LMPOP",
        10,
        &[
            One(&[
                All(&[Word("1"), Key]),
                All(&[Word("2"), Key, Key]),
                All(&[Word("3"), Key, Key, Key]),
                All(&[Integer, Key]),
            ]),
            SIDE,
            Options(&[All(&[Word("COUNT"), Offset])]),
        ],
    ),
];
