//! Fields of hashes that expire, on servers that have them natively.
//!
//! Times lie far ahead or in the past. What commands make of fields whose time comes meanwhile is
//! compared by `tests/field_expiry_replies.rs`, step by step. Arguments are not bent at random: a
//! server may not bear that (one ends over a number of fields that is near its largest); mistakes
//! are among the terms.

use super::generic::{DELETE_AND_EXPIRE, FOREIGN, RENAME_AND_COPY};
use crate::differential::grammar::Compare::{Page, Pairs, Shape, Time, Unordered};
use crate::differential::grammar::Term::*;
use crate::differential::grammar::{Spec, Table, Term, own};

/// The commands about expire times of fields, and those on hashes that are concerned by them.
pub static FIELD_EXPIRY: Table = Table {
    name: "field expiry",
    commands: &[OWN, HASHES, DELETE_AND_EXPIRE, RENAME_AND_COPY, FOREIGN],
};

/// A field: mostly one of a few, so that they meet.
const FIELD: Term = One(&[Data("a"), Data("b"), Data("c"), Data("d"), Element, Element]);

const FIELDS: Term = One(&[
    All(&[Word("FIELDS"), Counted(1, 4, &FIELD)]),
    All(&[Word("FIELDS"), Counted(1, 4, &FIELD)]),
    All(&[Word("FIELDS"), Counted(1, 4, &FIELD)]),
    All(&[Word("FIELDS"), Counted(1, 4, &FIELD)]),
    All(&[Word("FIELDS"), Counted(20, 200, &FIELD)]),
    All(&[
        Word("FIELDS"),
        One(&[Data("0"), Data("-1"), Data("x"), Data("3")]),
        FIELD,
    ]),
    All(&[Word("FELDS"), Counted(1, 2, &FIELD)]),
]);

const PAIR: Term = All(&[FIELD, Element]);

const PAIRS: Term = One(&[
    All(&[Word("FIELDS"), Counted(1, 4, &PAIR)]),
    All(&[Word("FIELDS"), Counted(1, 4, &PAIR)]),
    All(&[Word("FIELDS"), Counted(1, 4, &PAIR)]),
    All(&[Word("FIELDS"), Counted(20, 200, &PAIR)]),
    All(&[
        Word("FIELDS"),
        One(&[Data("0"), Data("-1"), Data("x"), Data("3")]),
        PAIR,
    ]),
    All(&[Word("FELDS"), Counted(1, 2, &PAIR)]),
]);

const CONDITION: Term = Options(&[Word("NX"), Word("XX"), Word("GT"), Word("LT")]);

const TIME: Term = One(&[
    All(&[Word("EX"), Seconds]),
    All(&[Word("PX"), Millis]),
    All(&[Word("EXAT"), UnixSeconds]),
    All(&[Word("PXAT"), UnixMillis]),
]);

const OWN: &[Spec] = &[
    own("HEXPIRE", 12, &[Key, Seconds, CONDITION, FIELDS]).unbent(),
    own("HPEXPIRE", 12, &[Key, Millis, CONDITION, FIELDS]).unbent(),
    own("HEXPIREAT", 12, &[Key, UnixSeconds, CONDITION, FIELDS]).unbent(),
    own("HPEXPIREAT", 12, &[Key, UnixMillis, CONDITION, FIELDS]).unbent(),
    own("HTTL", 8, &[Key, FIELDS]).compared(Time(1000)).unbent(),
    own("HPTTL", 8, &[Key, FIELDS]).compared(Time(1)).unbent(),
    own("HEXPIRETIME", 8, &[Key, FIELDS])
        .compared(Time(1000))
        .unbent(),
    own("HPEXPIRETIME", 8, &[Key, FIELDS])
        .compared(Time(1))
        .unbent(),
    own("HPERSIST", 8, &[Key, FIELDS]).unbent(),
    own("HGETDEL", 8, &[Key, FIELDS]).unbent(),
    own(
        "HGETEX",
        12,
        &[
            Key,
            Options(&[One(&[TIME, TIME, Word("PERSIST"), Word("KEEPTTL")])]),
            FIELDS,
        ],
    )
    .unbent(),
    own(
        "HSETEX",
        20,
        &[
            Key,
            Options(&[
                One(&[
                    Word("FNX"),
                    Word("FXX"),
                    Word("FXX"),
                    Word("NX"),
                    Word("XX"),
                ]),
                One(&[TIME, TIME, TIME, Word("KEEPTTL"), Word("PERSIST")]),
            ]),
            PAIRS,
        ],
    )
    .unbent(),
];

const HASHES: &[Spec] = &[
    own("HSET", 25, &[Key, Times(1, 4, &PAIR), Options(&[FIELD])]),
    own("HMSET", 4, &[Key, One(&[PAIR, Times(100, 300, &PAIR)])]),
    own("HSETNX", 6, &[Key, FIELD, Element]),
    own("HDEL", 6, &[Key, Times(1, 3, &FIELD)]),
    own("HINCRBY", 6, &[Key, FIELD, Integer]),
    own("HINCRBYFLOAT", 6, &[Key, FIELD, Float]),
    own("HGET", 4, &[Key, FIELD]),
    own("HMGET", 4, &[Key, Times(1, 4, &FIELD)]),
    own("HSTRLEN", 2, &[Key, FIELD]),
    own("HEXISTS", 2, &[Key, FIELD]),
    own("HLEN", 3, &[Key]),
    own("HGETALL", 6, &[Key]).compared(Pairs),
    own("HKEYS", 3, &[Key]).compared(Unordered),
    own("HVALS", 3, &[Key]).compared(Unordered),
    own("HRANDFIELD", 4, &[Key, Options(&[Offset])]).compared(Shape),
    own("HSCAN", 3, &[Key, Word("0")]).compared(Page).unbent(),
];
