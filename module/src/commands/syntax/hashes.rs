//! The commands of hash fields that expire, for servers without them.

use super::{Arg, Description, Keys};
use crate::redis::ArgumentType;

/// Fields, after how many they are.
const FIELDS: Arg = Arg::block(
    "fields",
    &[Arg::integer("numfields"), Arg::string("field").multiple()],
)
.after("FIELDS");

/// Fields with values, after how many fields they are.
const PAIRS: Arg = Arg::block(
    "fields",
    &[
        Arg::integer("numfields"),
        Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple(),
    ],
)
.after("FIELDS");

/// When a time is set.
const CONDITION: Arg = Arg::one_of(
    "condition",
    &[
        Arg::word("nx", "NX"),
        Arg::word("xx", "XX"),
        Arg::word("gt", "GT"),
        Arg::word("lt", "LT"),
    ],
)
.optional();

const EX: Arg = Arg::integer("seconds").after("EX");
const PX: Arg = Arg::integer("milliseconds").after("PX");
const EXAT: Arg = Arg::new("unix-time-seconds", ArgumentType::UnixTime).after("EXAT");
const PXAT: Arg = Arg::new("unix-time-milliseconds", ArgumentType::UnixTime).after("PXAT");

const PER_FIELD: &str = "O(N), N being the number of fields given.";

/// A command that sets expire times.
const fn setter(name: &'static str, arguments: &'static [Arg]) -> Description {
    Description {
        name,
        summary: "Sets the expire times of hash fields.",
        complexity: PER_FIELD,
        categories: "write hash fast",
        tips: "",
        keys: &[Keys::At(1, "RW update")],
        arguments,
    }
}

/// A command that tells expire times.
const fn teller(name: &'static str, summary: &'static str) -> Description {
    Description {
        name,
        summary,
        complexity: PER_FIELD,
        categories: "read hash fast",
        tips: "",
        keys: &[Keys::At(1, "RO access")],
        arguments: &[Arg::KEY, FIELDS],
    }
}

pub(super) const COMMANDS: &[Description] = &[
    setter(
        "hexpire",
        &[Arg::KEY, Arg::integer("seconds"), CONDITION, FIELDS],
    ),
    setter(
        "hpexpire",
        &[Arg::KEY, Arg::integer("milliseconds"), CONDITION, FIELDS],
    ),
    setter(
        "hexpireat",
        &[
            Arg::KEY,
            Arg::new("unix-time-seconds", ArgumentType::UnixTime),
            CONDITION,
            FIELDS,
        ],
    ),
    setter(
        "hpexpireat",
        &[
            Arg::KEY,
            Arg::new("unix-time-milliseconds", ArgumentType::UnixTime),
            CONDITION,
            FIELDS,
        ],
    ),
    teller(
        "httl",
        "Returns the remaining time to live of hash fields, in seconds.",
    ),
    teller(
        "hpttl",
        "Returns the remaining time to live of hash fields, in milliseconds.",
    ),
    teller(
        "hexpiretime",
        "Returns the expire times of hash fields, in Unix seconds.",
    ),
    teller(
        "hpexpiretime",
        "Returns the expire times of hash fields, in Unix milliseconds.",
    ),
    Description {
        name: "hpersist",
        summary: "Removes the expire times of hash fields.",
        complexity: PER_FIELD,
        categories: "write hash fast",
        tips: "",
        keys: &[Keys::At(1, "RW update")],
        arguments: &[Arg::KEY, FIELDS],
    },
    Description {
        name: "hgetdel",
        summary: "Returns the values of hash fields, and deletes the fields.",
        complexity: PER_FIELD,
        categories: "write hash fast",
        tips: "",
        keys: &[Keys::At(1, "RW access delete")],
        arguments: &[Arg::KEY, FIELDS],
    },
    Description {
        name: "hgetex",
        summary: "Returns the values of hash fields, and sets their expire times.",
        complexity: PER_FIELD,
        categories: "write hash fast",
        tips: "",
        keys: &[Keys::At(1, "RW access update")],
        arguments: &[
            Arg::KEY,
            Arg::one_of(
                "expiration",
                &[EX, PX, EXAT, PXAT, Arg::word("persist", "PERSIST")],
            )
            .optional(),
            FIELDS,
        ],
    },
    Description {
        name: "hsetex",
        summary: "Sets hash fields and their expire times.",
        complexity: "O(N), N being the number of fields set.",
        categories: "write hash fast",
        tips: "",
        keys: &[Keys::At(1, "RW update")],
        arguments: &[
            Arg::KEY,
            Arg::one_of(
                "condition",
                &[Arg::word("fnx", "FNX"), Arg::word("fxx", "FXX")],
            )
            .optional(),
            Arg::one_of(
                "expiration",
                &[EX, PX, EXAT, PXAT, Arg::word("keepttl", "KEEPTTL")],
            )
            .optional(),
            PAIRS,
        ],
    },
];
