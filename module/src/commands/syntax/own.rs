//! The module's own commands, which no server has.

use super::{Arg, Description, Keys};

pub const COMMANDS: &[Description] = &[
    Description {
        name: "pm.check",
        summary: "Reads a value, or all values of the pool, to the last element, and tells what is damaged.",
        complexity: "O(N), N being the number of elements.",
        categories: "",
        tips: "",
        keys: &[Keys::At(1, "RO")],
        arguments: &[Arg::KEY.optional()],
    },
    Description {
        name: "pm.defrag",
        summary: "Shows how scattered the pool's free room is, or gathers it at once.",
        complexity: "O(1) for STATUS; NOW takes as long as it is given.",
        categories: "",
        tips: "",
        keys: &[],
        arguments: &[Arg::one_of(
            "what",
            &[
                Arg::word("status", "STATUS"),
                Arg::block(
                    "now",
                    &[
                        Arg::word("now", "NOW"),
                        Arg::integer("milliseconds").optional(),
                    ],
                ),
            ],
        )
        .optional()],
    },
    Description {
        name: "pm.help",
        summary: "Shows the module's own commands.",
        complexity: "O(1)",
        categories: "",
        tips: "",
        keys: &[],
        arguments: &[],
    },
    Description {
        name: "pm.info",
        summary: "Shows the pool, its keys, and the work on them, in the form of INFO.",
        complexity: "O(1)",
        categories: "",
        tips: "nondeterministic_output",
        keys: &[],
        arguments: &[Arg::string("section").multiple_optional()],
    },
    Description {
        name: "pm.pool",
        summary: "Tells, in an AOF, of the pool that it belongs to.",
        complexity: "O(1)",
        categories: "",
        tips: "",
        keys: &[],
        arguments: &[Arg::integer("number").after("SEEN")],
    },
    Description {
        name: "pm.ready",
        summary: "Tells whether all keys of the pool are in the server's keyspace.",
        complexity: "O(1)",
        categories: "",
        tips: "nondeterministic_output",
        keys: &[],
        arguments: &[],
    },
    Description {
        name: "pm.stats",
        summary: "Shows the numbers of PM.INFO as a map.",
        complexity: "O(1)",
        categories: "",
        tips: "nondeterministic_output",
        keys: &[],
        arguments: &[],
    },
    Description {
        name: "pm.usage",
        summary: "Shows how many bytes of the pool a key takes.",
        complexity: "O(1) for strings, else O(N), N being the number of elements.",
        categories: "",
        tips: "",
        keys: &[Keys::At(1, "RO")],
        arguments: &[Arg::KEY],
    },
];
