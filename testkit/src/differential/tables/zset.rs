//! The Sorted Set type, but for the commands that block: a sequence of one client would wait for
//! itself.
//!
//! There are three tables, as Redis defines ranges of names only where all scores are equal: what a
//! skiplist answers otherwise depends on its random levels. A listpack's answer is definite.

use super::generic::{DELETE_AND_EXPIRE, FOREIGN, RENAME_AND_COPY};
use super::newer;
use crate::differential::grammar::Term::*;
use crate::differential::grammar::{Compare::Shape, Spec, Table, Term, own};

/// All commands but those about ranges of names, on small and large sorted sets.
pub static ZSET: Table = Table {
    name: "zset",
    commands: &[
        GROW,
        OWN,
        newer::SORTED_SETS,
        ALGEBRA,
        DELETE_AND_EXPIRE,
        RENAME_AND_COPY,
        FOREIGN,
    ],
};

/// Ranges of names, on small and large sorted sets whose scores are all zero.
pub static ZSET_LEX: Table = Table {
    name: "zset_lex",
    commands: &[GROW_EQUAL, LEX],
};

/// All commands on small sorted sets of any scores, ranges of names and ZSCAN among them.
pub static ZSET_SMALL: Table = Table {
    name: "zset_small",
    commands: &[
        OWN,
        newer::SORTED_SETS,
        newer::SMALL_SORTED_SETS,
        LEX,
        SCAN,
        ALGEBRA,
        RENAME_AND_COPY,
        FOREIGN,
    ],
};

/// A score: often one that others have too, sometimes anything that may be a number.
const SCORE: Term = One(&[
    One(&[Word("0"), Word("1"), Word("2"), Word("2.5"), Word("-3")]),
    One(&[
        Word("inf"),
        Word("-inf"),
        Word("-0"),
        Word("1e18"),
        Word("0.1"),
    ]),
    Offset,
    Integer,
    Float,
]);

/// A score that is one.
const PLAIN: Term = One(&[
    One(&[Word("0"), Word("1"), Word("2"), Word("2.5"), Word("-3")]),
    One(&[
        Word("inf"),
        Word("-inf"),
        Word("-0"),
        Word("1e18"),
        Word("0.1"),
    ]),
    One(&[
        Word("100"),
        Word("1e-7"),
        Word("33"),
        Word("7"),
        Word("-1.25"),
    ]),
]);

/// A member: few different ones, many, or anything.
const MEMBER: Term = One(&[
    One(&[Word("a"), Word("b"), Word("c"), Word("ab"), Word("m")]),
    Element,
    Element,
    Element,
]);

/// An end of a range of scores.
const END: Term = One(&[
    One(&[Word("-inf"), Word("+inf"), Word("(-inf"), Word("(inf")]),
    One(&[Word("0"), Word("(0"), Word("(1"), Word("2"), Word("(2.5")]),
    One(&[Word("1"), Word("(-3"), Word("100"), Word("(1e18"), Word("")]),
    One(&[
        Word("("),
        Word(" 1"),
        Word("( 2"),
        Word("0x2"),
        Word("(nan"),
    ]),
    Float,
]);

/// An end of a range of names.
const NAME_END: Term = One(&[
    One(&[Word("-"), Word("+"), Word("-"), Word("+"), Word("[b")]),
    One(&[Word("[a"), Word("(a"), Word("(ab"), Word("[c"), Word("(cb")]),
    One(&[
        Word("["),
        Word("("),
        Word("[bca"),
        Word("(ccc"),
        Word("[abcabc"),
    ]),
    One(&[Word("b"), Word("+a"), Word("-\0"), Word(""), Word("(z")]),
    One(&[
        Word("[caa"),
        Word("(bb"),
        Word("[aaa"),
        Word("(acb"),
        Word("[cc"),
    ]),
]);

const LIMIT: Term = All(&[Word("LIMIT"), Offset, Offset]);

const CONDITIONS: Term = Options(&[
    One(&[Word("NX"), Word("XX"), Word("XX")]),
    One(&[Word("GT"), Word("LT")]),
    Word("CH"),
]);

/// Enough members for a tree of two and three levels.
const GROW: &[Spec] = &[own(
    "ZADD",
    3,
    &[Key, Times(100, 1500, &All(&[PLAIN, Element]))],
)];

/// Not bent, so that all scores stay zero.
const GROW_EQUAL: &[Spec] = &[
    own(
        "ZADD",
        6,
        &[Key, Times(100, 1500, &All(&[Word("0"), Element]))],
    )
    .unbent(),
    own("ZADD", 30, &[Key, Times(1, 8, &All(&[Word("0"), MEMBER]))]).unbent(),
    own("ZADD", 1, &[Key]).unbent(),
    own("ZREM", 10, &[Key, Times(1, 3, &MEMBER)]),
];

const OWN: &[Spec] = &[
    own(
        "ZADD",
        40,
        &[Key, CONDITIONS, Times(1, 3, &All(&[PLAIN, MEMBER]))],
    ),
    own("ZADD", 15, &[Key, CONDITIONS, SCORE, MEMBER]),
    own("ZADD", 8, &[Key, CONDITIONS, Word("INCR"), SCORE, MEMBER]),
    own("ZINCRBY", 15, &[Key, SCORE, MEMBER]),
    own("ZREM", 10, &[Key, Times(1, 4, &MEMBER)]),
    own("ZCARD", 3, &[Key]),
    own("ZSCORE", 6, &[Key, MEMBER]),
    own("ZMSCORE", 4, &[Key, Times(1, 4, &MEMBER)]),
    own("ZRANK", 6, &[Key, MEMBER]),
    own("ZREVRANK", 6, &[Key, MEMBER]),
    own("ZCOUNT", 8, &[Key, END, END]),
    own(
        "ZRANGE",
        8,
        &[
            Key,
            Offset,
            Offset,
            Options(&[Word("REV"), Word("WITHSCORES")]),
        ],
    ),
    own(
        "ZRANGE",
        10,
        &[
            Key,
            END,
            END,
            Word("BYSCORE"),
            Options(&[Word("REV"), Word("WITHSCORES"), LIMIT]),
        ],
    ),
    own(
        "ZREVRANGE",
        5,
        &[Key, Offset, Offset, Options(&[Word("WITHSCORES")])],
    ),
    own(
        "ZRANGEBYSCORE",
        6,
        &[Key, END, END, Options(&[Word("WITHSCORES"), LIMIT])],
    ),
    own(
        "ZREVRANGEBYSCORE",
        6,
        &[Key, END, END, Options(&[Word("WITHSCORES"), LIMIT])],
    ),
    own(
        "ZRANGESTORE",
        4,
        &[Key, Key, Offset, Offset, Options(&[Word("REV")])],
    ),
    own(
        "ZRANGESTORE",
        4,
        &[
            Key,
            Key,
            END,
            END,
            Word("BYSCORE"),
            Options(&[Word("REV"), LIMIT]),
        ],
    ),
    own("ZREMRANGEBYRANK", 4, &[Key, Offset, Offset]),
    own("ZREMRANGEBYSCORE", 4, &[Key, END, END]),
    own("ZPOPMIN", 5, &[Key, Options(&[Offset])]),
    own("ZPOPMAX", 5, &[Key, Options(&[Offset])]),
    own(
        "ZMPOP",
        5,
        &[
            INPUTS,
            One(&[Word("MIN"), Word("MAX")]),
            Options(&[All(&[Word("COUNT"), Offset])]),
        ],
    ),
    own("ZRANDMEMBER", 3, &[Key]).compared(Shape),
    own(
        "ZRANDMEMBER",
        3,
        &[Key, Offset, Options(&[Word("WITHSCORES")])],
    )
    .compared(Shape),
];

const LEX: &[Spec] = &[
    own("ZLEXCOUNT", 8, &[Key, NAME_END, NAME_END]),
    own(
        "ZRANGEBYLEX",
        8,
        &[Key, NAME_END, NAME_END, Options(&[LIMIT])],
    ),
    own(
        "ZREVRANGEBYLEX",
        8,
        &[Key, NAME_END, NAME_END, Options(&[LIMIT])],
    ),
    own(
        "ZRANGE",
        8,
        &[
            Key,
            NAME_END,
            NAME_END,
            Word("BYLEX"),
            Options(&[Word("REV"), LIMIT]),
        ],
    ),
    own(
        "ZRANGESTORE",
        4,
        &[
            Key,
            Key,
            NAME_END,
            NAME_END,
            Word("BYLEX"),
            Options(&[Word("REV"), LIMIT]),
        ],
    ),
    own("ZREMRANGEBYLEX", 4, &[Key, NAME_END, NAME_END]),
];

const SCAN: &[Spec] = &[own(
    "ZSCAN",
    8,
    &[
        Key,
        One(&[Word("0"), Word("0"), Word("0"), Integer]),
        Options(&[
            All(&[Word("COUNT"), Offset]),
            All(&[
                Word("MATCH"),
                One(&[Word("*"), Word("a*"), Word("*b"), Word("[ab]?c*"), MEMBER]),
            ]),
        ]),
    ],
)];

/// Keys of sets, which are inputs too. They are never overwritten: a module cannot change the type
/// of a key without an event that says it is new.
const SET_KEY: Term = One(&[Word("s1"), Word("s2")]);

const INPUTS: Term = One(&[
    All(&[Word("2"), Key, SET_KEY]),
    All(&[Word("1"), Key]),
    All(&[Word("2"), Key, Key]),
    All(&[Word("3"), Key, Key, Key]),
    All(&[Integer, Key]),
]);

/// How scores are combined; it need not fit the number of inputs.
const COMBINE: Term = Options(&[
    All(&[
        Word("WEIGHTS"),
        One(&[Times(2, 2, &PLAIN), Times(1, 3, &SCORE)]),
    ]),
    All(&[
        Word("AGGREGATE"),
        One(&[Word("SUM"), Word("MIN"), Word("MAX"), MEMBER]),
    ]),
]);

const ALGEBRA: &[Spec] = &[
    own("SADD", 6, &[SET_KEY, Times(1, 5, &One(&[MEMBER, Offset]))]).unbent(),
    own("SADD", 1, &[Key]).unbent(),
    own(
        "ZUNION",
        6,
        &[INPUTS, COMBINE, Options(&[Word("WITHSCORES")])],
    ),
    own(
        "ZINTER",
        6,
        &[INPUTS, COMBINE, Options(&[Word("WITHSCORES")])],
    ),
    own("ZDIFF", 6, &[INPUTS, Options(&[Word("WITHSCORES")])]),
    own("ZUNIONSTORE", 5, &[Key, INPUTS, COMBINE]),
    own("ZINTERSTORE", 5, &[Key, INPUTS, COMBINE]),
    own("ZDIFFSTORE", 5, &[Key, INPUTS]),
    own(
        "ZINTERCARD",
        5,
        &[INPUTS, Options(&[All(&[Word("LIMIT"), Offset])])],
    ),
];
