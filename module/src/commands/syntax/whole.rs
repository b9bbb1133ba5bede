//! Commands that some servers have and others do not.

use super::{Arg, Description, Keys};
use crate::redis::ArgumentType;

/// The options of SET that say when the key expires.
const EXPIRATION: Arg = Arg::one_of(
    "expiration",
    &[
        Arg::integer("seconds").after("EX"),
        Arg::integer("milliseconds").after("PX"),
        Arg::new("unix-time-seconds", ArgumentType::UnixTime).after("EXAT"),
        Arg::new("unix-time-milliseconds", ArgumentType::UnixTime).after("PXAT"),
        Arg::word("keepttl", "KEEPTTL"),
    ],
);

pub(super) const COMMANDS: &[Description] = &[
    Description {
        name: "delex",
        summary: "Deletes a key if its string equals, or differs from, a given one.",
        complexity: "O(1) without a condition, else O(N), N being the length of the string.",
        categories: "write string fast",
        tips: "",
        keys: &[Keys::At(1, "RW delete")],
        arguments: &[
            Arg::KEY,
            Arg::one_of(
                "condition",
                &[
                    Arg::string("ifeq-value").after("IFEQ"),
                    Arg::string("ifne-value").after("IFNE"),
                    Arg::string("ifdeq-digest").after("IFDEQ"),
                    Arg::string("ifdne-digest").after("IFDNE"),
                ],
            )
            .optional(),
        ],
    },
    Description {
        name: "delifeq",
        summary: "Deletes a key if its string equals a given one.",
        complexity: "O(N), N being the length of the string.",
        categories: "write string fast",
        tips: "",
        keys: &[Keys::At(1, "RM delete")],
        arguments: &[Arg::KEY, Arg::string("value")],
    },
    Description {
        name: "digest",
        summary: "Returns a hash of a string, for comparisons.",
        complexity: "O(N), N being the length of the string.",
        categories: "read string fast",
        tips: "",
        keys: &[Keys::At(1, "RO access")],
        arguments: &[Arg::KEY],
    },
    Description {
        name: "msetex",
        summary: "Sets several strings at once, with a shared expire time.",
        complexity: "O(N), N being the number of keys.",
        categories: "write string slow",
        tips: "request_policy:multi_shard response_policy:all_succeeded",
        // Servers that lack the command count keys of this kind as if they stood side by side,
        // unless they ask.
        keys: &[Keys::Numbered(1, 2, "OW update incomplete")],
        arguments: &[
            Arg::integer("numkeys"),
            Arg::block("data", &[Arg::KEY, Arg::string("value")]).multiple(),
            Arg::one_of("condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")]).optional(),
            EXPIRATION.optional(),
        ],
    },
];
