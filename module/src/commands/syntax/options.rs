//! The words of the options that each command takes.

use crate::redis::{Argument, ArgumentType};

/// Commands by their native names, and the words of their options. A command that is not here has
/// none.
const OPTIONS: &[(&str, &str)] = &[
    ("bitcount", "BYTE BIT"),
    ("bitfield", "GET OVERFLOW WRAP SAT FAIL SET INCRBY"),
    ("bitfield_ro", "GET"),
    ("bitop", "AND OR XOR NOT DIFF DIFF1 ANDOR ONE"),
    ("bitpos", "BYTE BIT"),
    ("blmove", "LEFT RIGHT"),
    ("blmpop", "LEFT RIGHT COUNT"),
    ("bzmpop", "MIN MAX COUNT"),
    ("copy", "DB REPLACE"),
    ("delex", "IFEQ IFNE IFDEQ IFDNE"),
    ("expire", "NX XX GT LT"),
    ("expireat", "NX XX GT LT"),
    ("flushall", "ASYNC SYNC"),
    ("flushdb", "ASYNC SYNC"),
    ("geoadd", "NX XX CH"),
    ("geodist", "M KM FT MI"),
    (
        "georadius",
        "M KM FT MI WITHCOORD WITHDIST WITHHASH COUNT ANY ASC DESC STORE STOREDIST",
    ),
    (
        "georadius_ro",
        "M KM FT MI WITHCOORD WITHDIST WITHHASH COUNT ANY ASC DESC",
    ),
    (
        "georadiusbymember",
        "M KM FT MI WITHCOORD WITHDIST WITHHASH COUNT ANY ASC DESC STORE STOREDIST",
    ),
    (
        "georadiusbymember_ro",
        "M KM FT MI WITHCOORD WITHDIST WITHHASH COUNT ANY ASC DESC",
    ),
    (
        "geosearch",
        "FROMMEMBER FROMLONLAT BYRADIUS BYBOX BYPOLYGON M KM FT MI ASC DESC COUNT ANY WITHCOORD WITHDIST WITHHASH",
    ),
    (
        "geosearchstore",
        "FROMMEMBER FROMLONLAT BYRADIUS BYBOX BYPOLYGON M KM FT MI ASC DESC COUNT ANY STOREDIST",
    ),
    ("getex", "EX PX EXAT PXAT PERSIST"),
    ("hexpire", "NX XX GT LT FIELDS"),
    ("hexpireat", "NX XX GT LT FIELDS"),
    ("hexpiretime", "FIELDS"),
    ("hgetdel", "FIELDS"),
    ("hgetex", "EX PX EXAT PXAT PERSIST FIELDS"),
    ("hpersist", "FIELDS"),
    ("hpexpire", "NX XX GT LT FIELDS"),
    ("hpexpireat", "NX XX GT LT FIELDS"),
    ("hpexpiretime", "FIELDS"),
    ("hpttl", "FIELDS"),
    ("hrandfield", "WITHVALUES"),
    ("hscan", "MATCH COUNT NOVALUES"),
    ("hsetex", "NX XX FNX FXX EX PX EXAT PXAT KEEPTTL FIELDS"),
    ("httl", "FIELDS"),
    ("lcs", "LEN IDX MINMATCHLEN WITHMATCHLEN"),
    ("linsert", "BEFORE AFTER"),
    ("lmove", "LEFT RIGHT"),
    ("lmpop", "LEFT RIGHT COUNT"),
    ("lpos", "RANK COUNT MAXLEN"),
    ("migrate", "COPY REPLACE NATIVE AUTH AUTH2 KEYS"),
    ("msetex", "NX XX EX PX EXAT PXAT KEEPTTL"),
    ("pexpire", "NX XX GT LT"),
    ("pexpireat", "NX XX GT LT"),
    ("restore", "REPLACE ABSTTL IDLETIME FREQ"),
    ("scan", "MATCH COUNT TYPE"),
    (
        "set",
        "NX XX IFEQ IFNE IFDEQ IFDNE GET EX PX EXAT PXAT KEEPTTL",
    ),
    ("sintercard", "LIMIT"),
    ("sort", "BY LIMIT GET ASC DESC ALPHA STORE"),
    ("sort_ro", "BY LIMIT GET ASC DESC ALPHA"),
    ("sscan", "MATCH COUNT"),
    ("zadd", "NX XX GT LT CH INCR"),
    ("zdiff", "WITHSCORES"),
    ("zinter", "WEIGHTS AGGREGATE SUM MIN MAX WITHSCORES"),
    ("zintercard", "LIMIT"),
    ("zinterstore", "WEIGHTS AGGREGATE SUM MIN MAX"),
    ("zmpop", "MIN MAX COUNT"),
    ("zrandmember", "WITHSCORES"),
    ("zrange", "BYSCORE BYLEX REV LIMIT WITHSCORES"),
    ("zrangebylex", "LIMIT"),
    ("zrangebyscore", "WITHSCORES LIMIT"),
    ("zrangestore", "BYSCORE BYLEX REV LIMIT"),
    ("zrank", "WITHSCORE"),
    ("zrevrange", "WITHSCORES"),
    ("zrevrangebylex", "LIMIT"),
    ("zrevrangebyscore", "WITHSCORES LIMIT"),
    ("zrevrank", "WITHSCORE"),
    ("zscan", "MATCH COUNT NOSCORES"),
    ("zunion", "WEIGHTS AGGREGATE SUM MIN MAX WITHSCORES"),
    ("zunionstore", "WEIGHTS AGGREGATE SUM MIN MAX"),
];

/// Takes out of a description what the command does not take: arguments with words that are not
/// among its options, and what is left with no parts.
pub(crate) fn take_only_known(command: &str, arguments: &mut Vec<Argument>) {
    let options = OPTIONS.iter().find(|(name, _)| *name == command);
    prune(options.map_or("", |(_, words)| words), arguments);
}

fn prune(words: &str, arguments: &mut Vec<Argument>) {
    arguments.retain_mut(|argument| {
        let had_parts = !argument.arguments.is_empty();
        prune(words, &mut argument.arguments);
        let known = match &argument.token {
            // MIGRATE takes an empty key in this way.
            Some(token) if !token.is_empty() => {
                let is = |word: &str| token.to_bytes().eq_ignore_ascii_case(word.as_bytes());
                words.split(' ').any(is)
            }
            _ => true,
        };
        let is_hollow = argument.arguments.is_empty()
            && (had_parts || matches!(argument.ty, ArgumentType::OneOf | ArgumentType::Block));
        known && !is_hollow
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::syntax::Arg;

    #[test]
    fn options_of_the_future_are_left_out() {
        const CONDITION: Arg = Arg::one_of(
            "condition",
            &[Arg::word("nx", "NX"), Arg::string("like").after("IFLIKE")],
        );
        const KNOWN: Arg = Arg::one_of("condition", &[Arg::word("nx", "NX")]);
        const OTHER: Arg = Arg::one_of("speed", &[Arg::word("fast", "FAST")]).optional();
        let mut arguments = [Arg::KEY, CONDITION, OTHER]
            .map(|arg| arg.argument())
            .to_vec();
        take_only_known("set", &mut arguments);
        assert_eq!(arguments, [Arg::KEY, KNOWN].map(|arg| arg.argument()));
    }

    #[test]
    fn commands_are_listed_once_and_in_order() {
        assert!(OPTIONS.is_sorted_by(|a, b| a.0 < b.0));
    }
}
