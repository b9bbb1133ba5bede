//! HyperLogLogs. GET and the comparison of states see every byte of them.

use super::generic::{DELETE_AND_EXPIRE, FOREIGN, RENAME_AND_COPY};
use crate::differential::grammar::Term::*;
use crate::differential::grammar::{Spec, Table, Term, own};

/// All commands of HyperLogLogs, and some of strings that look into them or spoil them.
pub static HYPERLOGLOG: Table = Table {
    name: "hyperloglog",
    commands: &[OWN, STRINGS, DELETE_AND_EXPIRE, RENAME_AND_COPY, FOREIGN],
};

/// Elements: one or none, some, or enough for the dense form.
const ELEMENTS: Term = One(&[
    Times(0, 3, &Value),
    Times(1, 20, &Element),
    Times(10, 300, &Element),
    Times(100, 600, &Integer),
    Times(1000, 4000, &Element),
]);

const OWN: &[Spec] = &[
    own("PFADD", 40, &[Key, ELEMENTS]),
    own("PFADD", 20, &[Key, Times(0, 3, &Element)]),
    own("PFCOUNT", 15, &[Key]),
    own("PFCOUNT", 10, &[Times(1, 4, &Key)]),
    own("PFMERGE", 15, &[Key, Times(0, 3, &Key)]),
];

/// What looks like a HyperLogLog at the first glance, or nearly.
const SPOILED: Term = One(&[
    Data("HYLL\u{1}\0\0\0\0\0\0\0\0\0\0\0"),
    Data("HYLL\0\0\0\0\0\0\0\0\0\0\0\0\u{7f}"),
    Data("HYLL\u{2}\0\0\0\0\0\0\0\0\0\0\0"),
    Data("HYLL"),
    Integer,
]);

const STRINGS: &[Spec] = &[
    own("GET", 15, &[Key]),
    own("STRLEN", 5, &[Key]),
    own("SET", 3, &[Key, SPOILED]),
    own("SETRANGE", 1, &[Key, Word("4"), Data("\u{2}")]),
    own("APPEND", 1, &[Key, Data("\0")]),
];
