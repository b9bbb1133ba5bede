//! The module's own commands, which no server has.
//!
//! What an ACL says of them is what it says of the native command that does most nearly the same:
//! of DUMP (`pm.export`), MEMORY USAGE (`pm.usage`), INFO (`pm.info`, `pm.stats`), RESTORE
//! (`pm.adopt|keys`), and else of what operators have (CONFIG, DEBUG).

use super::{Arg, Description, Keys};

pub(super) const COMMANDS: &[Description] = &[
    Description {
        name: "pm.adopt|all",
        summary: "Starts turning all native keys into PM keys, in the background.",
        complexity: "O(N) for the keys of all databases, in the background.",
        categories: "admin slow dangerous",
        tips: "",
        keys: &[],
        arguments: &[],
    },
    Description {
        name: "pm.adopt|keys",
        summary: "Turns native keys into PM keys, and returns how many there were.",
        complexity: "O(N), N being the number of elements.",
        categories: "keyspace write slow dangerous",
        tips: "",
        keys: &[],
        arguments: &[Arg::KEY.multiple()],
    },
    Description {
        name: "pm.adopt|match",
        summary: "Starts turning native keys that match a pattern into PM keys, in the background.",
        complexity: "O(N) for the keys of the database, in the background.",
        categories: "admin slow dangerous",
        tips: "",
        keys: &[],
        arguments: &[Arg::string("pattern")],
    },
    Description {
        name: "pm.adopt|status",
        summary: "Returns the progress of the work in the background.",
        complexity: "O(1)",
        categories: "admin slow dangerous",
        tips: "",
        keys: &[],
        arguments: &[],
    },
    Description {
        name: "pm.adopt|stop",
        summary: "Stops the work in the background.",
        complexity: "O(1)",
        categories: "admin slow dangerous",
        tips: "",
        keys: &[],
        arguments: &[],
    },
    Description {
        name: "pm.check",
        summary: "Reads a value to its last element, or all values of the pool while other clients are served, and returns what is damaged.",
        complexity: "O(N), N being the number of elements.",
        categories: "admin slow dangerous",
        tips: "",
        keys: &[Keys::At(1, "RO")],
        arguments: &[Arg::KEY.optional()],
    },
    Description {
        name: "pm.defrag",
        summary: "Returns how scattered the pool's free space is, or compacts it at once.",
        complexity: "O(1) for STATUS; NOW takes as long as it is given.",
        categories: "admin slow dangerous",
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
        name: "pm.export",
        summary: "Returns the payload of a native key with the same value, for RESTORE.",
        complexity: "O(N), N being the number of elements.",
        categories: "keyspace read slow",
        tips: "",
        keys: &[Keys::At(1, "RO access")],
        arguments: &[Arg::KEY],
    },
    Description {
        name: "pm.help",
        summary: "Lists the module's own commands.",
        complexity: "O(1)",
        categories: "slow",
        tips: "",
        keys: &[],
        arguments: &[],
    },
    Description {
        name: "pm.info",
        summary: "Describes the pool, its keys, and the work on them, in the format of INFO.",
        complexity: "O(1)",
        categories: "slow dangerous",
        tips: "nondeterministic_output",
        keys: &[],
        arguments: &[Arg::string("section").multiple_optional()],
    },
    Description {
        name: "pm.pool",
        summary: "Grows the pool, or makes its file complete; in an AOF, names the pool that the AOF belongs to.",
        complexity: "O(1), and what the file system takes for GROW; CHECKPOINT O(pages changed since the last one).",
        categories: "admin slow dangerous",
        tips: "",
        keys: &[],
        arguments: &[Arg::one_of(
            "what",
            &[
                Arg::block(
                    "grow",
                    &[Arg::word("grow", "GROW"), Arg::string("bytes").optional()],
                ),
                Arg::word("checkpoint", "CHECKPOINT"),
                Arg::integer("number").after("SEEN"),
            ],
        )],
    },
    Description {
        name: "pm.ready",
        summary: "Returns whether all keys of the pool are in the server's keyspace.",
        complexity: "O(1)",
        categories: "fast",
        tips: "nondeterministic_output",
        keys: &[],
        arguments: &[],
    },
    Description {
        name: "pm.refused",
        summary: "Returns why a native command that writes is refused, before which the module puts it.",
        complexity: "O(N) for the users of the server.",
        categories: "slow",
        tips: "",
        keys: &[],
        arguments: &[
            Arg::string("command"),
            Arg::string("arg").multiple_optional(),
        ],
    },
    Description {
        name: "pm.stats",
        summary: "Returns the numbers of PM.INFO as a map.",
        complexity: "O(1)",
        categories: "slow dangerous",
        tips: "nondeterministic_output",
        keys: &[],
        arguments: &[],
    },
    Description {
        name: "pm.usage",
        summary: "Returns how many bytes a key takes: of the pool, or of memory if it is a native key.",
        complexity: "O(1) for strings, else O(N), N being the number of elements.",
        categories: "read slow",
        tips: "",
        keys: &[Keys::At(1, "RO")],
        arguments: &[Arg::KEY, Arg::integer("count").after("SAMPLES").optional()],
    },
];
