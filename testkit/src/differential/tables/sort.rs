//! SORT and SORT_RO, on keys of fixed types: lists, which are also destinations, sets or sorted
//! sets, a string and a hash of weights. Elements often name keys, so that patterns find something.
//!
//! * Sets and sorted sets are sorted without patterns that miss keys: Redis visits them in the
//!   order of its hash table, which the events of misses would tell.
//! * No weight is out of the range of doubles: Redis takes an `errno` that one has left behind for
//!   a failure of later weights, until something else resets it.

use super::generic::FOREIGN;
use crate::differential::grammar::Term::*;
use crate::differential::grammar::{Compare::Unordered, Spec, Table, Term, native, own};

/// SORT and SORT_RO, and what makes the keys that they look at.
pub static SORT: Table = Table {
    name: "sort",
    commands: &[KEYS, SORTS, FOREIGN],
};

const LISTS: Term = One(&[KeyNumber(0), KeyNumber(1)]);
const SETS: Term = KeyNumber(2);
/// Of the name `key-with-a-longer-name`.
const STRINGS: Term = KeyNumber(3);
const HASH: Term = KeyNumber(5);

/// An element: what names a key, a number, a text that may be neither.
const ELEMENT: Term = One(&[
    One(&[Data("key"), Data("key"), Data("key"), HASH, HASH]),
    NUMBER,
    NUMBER,
    Element,
    Integer,
]);

/// A member: without zero bytes, at which the collating order ends.
const MEMBER: Term = One(&[NUMBER, Element, Data("key")]);

const NUMBER: Term = One(&[
    One(&[Word("1"), Word("2"), Word("10"), Word("-7"), Word("3.5")]),
    One(&[
        Word("0"),
        Word("-0"),
        Word("inf"),
        Word("1e3"),
        Word("0x1f"),
    ]),
    Offset,
]);

const WEIGHT: Term = One(&[
    NUMBER,
    NUMBER,
    Integer,
    One(&[
        Data(" 1.5"),
        Data("1.5 "),
        Data("nan"),
        Data("1.5x"),
        Data(".5"),
    ]),
]);

const KEYS: &[Spec] = &[
    own("RPUSH", 20, &[LISTS, Times(1, 12, &NUMBER)]),
    own("RPUSH", 20, &[LISTS, Times(1, 12, &ELEMENT)]),
    own("SADD", 12, &[SETS, Times(1, 12, &NUMBER)]).unbent(),
    own("SADD", 6, &[SETS, Times(1, 12, &MEMBER)]).unbent(),
    own("ZADD", 8, &[SETS, Times(1, 9, &All(&[Word("1"), NUMBER]))]).unbent(),
    own("ZADD", 4, &[SETS, Word("2"), MEMBER]).unbent(),
    own("SET", 12, &[STRINGS, WEIGHT]),
    own("HSET", 12, &[HASH, One(&[Data("f"), Data("g")]), WEIGHT]),
    native("DEL", 8, &[One(&[KeyNumber(2), KeyNumber(2), Key])]),
];

const LIMIT: Term = All(&[Word("LIMIT"), Offset, Offset]);
const ORDER: Term = One(&[Word("ASC"), Word("DESC")]);
const STORE: Term = All(&[Word("STORE"), LISTS]);
const GET: Term = All(&[
    Word("GET"),
    One(&[
        Data("#"),
        Data("*"),
        Data("*->f"),
        Data("*->g"),
        Data("*->"),
        Data("*-with-a-longer-name"),
        Data("*-with-a-longer-name"),
        Data("none"),
        Data("#x"),
        Value,
    ]),
]);
const BY: Term = All(&[
    Word("BY"),
    One(&[
        Data("*"),
        Data("*->f"),
        Data("*-with-a-longer-name"),
        Data("*->g"),
        Data("nosort"),
        Data("x*x->f"),
        Value,
    ]),
]);
const NOSORT: Term = All(&[Word("BY"), Data("nosort")]);

const SORTS: &[Spec] = &[
    own(
        "SORT",
        30,
        &[LISTS, Options(&[LIMIT, ORDER, Word("ALPHA"), STORE])],
    ),
    own(
        "SORT",
        30,
        &[LISTS, Options(&[BY, ORDER, Word("ALPHA"), GET, GET, STORE])],
    ),
    // With LIMIT, the order of equal weights is that of the partial sort.
    own(
        "SORT",
        40,
        &[
            LISTS,
            Options(&[BY, LIMIT, ORDER, Word("ALPHA"), GET, STORE]),
        ],
    ),
    own(
        "SORT",
        10,
        &[LISTS, Options(&[NOSORT, LIMIT, ORDER, STORE])],
    ),
    own(
        "SORT",
        25,
        &[SETS, Options(&[LIMIT, ORDER, Word("ALPHA"), STORE])],
    ),
    own("SORT", 5, &[SETS, NOSORT]).compared(Unordered),
    own("SORT", 5, &[SETS, NOSORT, STORE, Options(&[ORDER, LIMIT])]).unbent(),
    own("SORT", 5, &[Key, Options(&[Word("ALPHA"), ORDER])]),
    own(
        "SORT_RO",
        15,
        &[LISTS, Options(&[BY, LIMIT, ORDER, GET, Word("ALPHA")])],
    ),
    own("SORT_RO", 10, &[SETS, Options(&[LIMIT, ORDER, STORE])]),
];
