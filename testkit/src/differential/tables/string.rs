//! The String type.

use super::generic::{DELETE_AND_EXPIRE, FOREIGN, RENAME_AND_COPY};
use super::newer;
use crate::differential::grammar::Term::*;
use crate::differential::grammar::{Spec, Table, Term, own};

/// All commands of the String type.
pub static STRING: Table = Table {
    name: "string",
    commands: &[
        OWN,
        newer::STRINGS,
        DELETE_AND_EXPIRE,
        RENAME_AND_COPY,
        FOREIGN,
    ],
};

const EXPIRY: Term = One(&[
    All(&[Word("EX"), Seconds]),
    All(&[Word("PX"), Millis]),
    All(&[Word("EXAT"), UnixSeconds]),
    All(&[Word("PXAT"), UnixMillis]),
]);

const OWN: &[Spec] = &[
    own(
        "SET",
        30,
        &[
            Key,
            Value,
            Options(&[
                One(&[Word("NX"), Word("XX")]),
                Word("GET"),
                One(&[EXPIRY, EXPIRY, Word("KEEPTTL")]),
            ]),
        ],
    ),
    own("SETNX", 5, &[Key, Value]),
    own("SETEX", 5, &[Key, Seconds, Value]),
    own("PSETEX", 5, &[Key, Millis, Value]),
    own("GET", 12, &[Key]),
    own("GETSET", 5, &[Key, Value]),
    own("GETDEL", 5, &[Key]),
    own(
        "GETEX",
        10,
        &[Key, Options(&[EXPIRY, One(&[EXPIRY, Word("PERSIST")])])],
    ),
    own("MGET", 6, &[Times(1, 5, &Key)]),
    own("MSET", 6, &[Times(1, 4, &All(&[Key, Value]))]),
    own("MSETNX", 5, &[Times(1, 3, &All(&[Key, Value]))]),
    own("APPEND", 10, &[Key, Value]),
    own("STRLEN", 5, &[Key]),
    own("SETRANGE", 10, &[Key, Offset, Value]),
    own("GETRANGE", 8, &[Key, Offset, Offset]),
    own("SUBSTR", 3, &[Key, Offset, Offset]),
    own("INCR", 10, &[Key]),
    own("DECR", 6, &[Key]),
    own("INCRBY", 10, &[Key, Integer]),
    own("DECRBY", 6, &[Key, Integer]),
    own("INCRBYFLOAT", 12, &[Key, Float]),
    own(
        "LCS",
        8,
        &[
            Key,
            Key,
            Options(&[
                Word("LEN"),
                Word("IDX"),
                All(&[Word("MINMATCHLEN"), Integer]),
                Word("WITHMATCHLEN"),
            ]),
        ],
    ),
];
