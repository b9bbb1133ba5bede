//! Strings as bitmaps.

use super::generic::{DELETE_AND_EXPIRE, FOREIGN, RENAME_AND_COPY};
use super::newer;
use crate::differential::grammar::Term::*;
use crate::differential::grammar::{Spec, Table, Term, own};

/// All commands of bitmaps, and those of strings that give them their contents.
pub static BITMAP: Table = Table {
    name: "bitmap",
    commands: &[
        OWN,
        newer::BITMAPS,
        CONTENT,
        DELETE_AND_EXPIRE,
        RENAME_AND_COPY,
        FOREIGN,
    ],
};

const UNIT: Term = One(&[Word("BYTE"), Word("BIT"), Word("BIT"), Element]);

const RANGE: Term = One(&[
    All(&[]),
    All(&[Offset, Offset]),
    All(&[Offset, Offset, UNIT]),
    All(&[Offset, Offset, UNIT]),
]);

const TYPE: Term = One(&[
    One(&[Word("u8"), Word("i8"), Word("u1"), Word("i5"), Word("i64")]),
    One(&[
        Word("u63"),
        Word("u17"),
        Word("i33"),
        Word("i1"),
        Word("u16"),
    ]),
    One(&[Word("u8"), Word("i7"), Word("u3"), Word("i16"), Word("u32")]),
    One(&[Word("u8"), Word("i12"), Word("u64"), Word("i0"), Word("x")]),
]);

/// Where a field begins: a bit, or a number of fields.
const FIELD_AT: Term = One(&[
    Bit,
    Bit,
    One(&[Word("#0"), Word("#1"), Word("#2"), Word("#7")]),
    One(&[
        Word("#-1"),
        Word("#"),
        Word("#300"),
        Word("#4611686018427387904"),
    ]),
]);

const OVERFLOW: Term = Options(&[All(&[
    Word("OVERFLOW"),
    One(&[
        Word("WRAP"),
        Word("SAT"),
        Word("SAT"),
        Word("FAIL"),
        Word("NONE"),
    ]),
])]);

const GET_FIELD: Term = All(&[Word("GET"), TYPE, FIELD_AT]);

const CHANGE_FIELD: Term = All(&[
    OVERFLOW,
    One(&[Word("SET"), Word("INCRBY")]),
    TYPE,
    FIELD_AT,
    Integer,
]);

const OWN: &[Spec] = &[
    own(
        "SETBIT",
        30,
        &[Key, Bit, One(&[Word("0"), Word("1"), Word("1"), Offset])],
    ),
    own("GETBIT", 10, &[Key, Bit]),
    // Not bent: a start alone is answered everywhere, and not by every server's own command.
    own(
        "BITCOUNT",
        15,
        &[
            Key,
            One(&[
                RANGE,
                RANGE,
                RANGE,
                RANGE,
                Word("x"),
                All(&[Offset, Offset, Word("BIT"), Word("BIT")]),
            ]),
        ],
    )
    .unbent(),
    own(
        "BITPOS",
        15,
        &[
            Key,
            One(&[Word("0"), Word("1"), Word("1"), Offset]),
            One(&[RANGE, Offset]),
        ],
    ),
    own(
        "BITOP",
        15,
        &[
            One(&[Word("AND"), Word("OR"), Word("XOR")]),
            Key,
            Times(1, 4, &Key),
        ],
    ),
    own("BITOP", 5, &[Word("NOT"), Key, Key]),
    own("BITFIELD", 8, &[Key, Times(0, 3, &GET_FIELD)]),
    own("BITFIELD", 15, &[Key, Times(1, 2, &CHANGE_FIELD)]),
    own(
        "BITFIELD",
        10,
        &[Key, Times(1, 6, &One(&[GET_FIELD, CHANGE_FIELD]))],
    ),
    own("BITFIELD", 1, &[Key, Times(60, 140, &CHANGE_FIELD)]),
    own("BITFIELD_RO", 8, &[Key, Times(0, 3, &GET_FIELD)]),
    own(
        "BITFIELD_RO",
        1,
        &[Key, Times(1, 3, &One(&[GET_FIELD, CHANGE_FIELD]))],
    ),
];

/// Values of all lengths, and numbers, which may be kept as such.
const CONTENT: &[Spec] = &[
    own("SET", 12, &[Key, Value]),
    own("SET", 8, &[Key, Integer]),
    own("APPEND", 5, &[Key, Value]),
    own("INCR", 3, &[Key]),
    own("GET", 8, &[Key]),
    own("STRLEN", 3, &[Key]),
];
