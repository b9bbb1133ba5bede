//! What PM commands take beyond the description that an older server, or one of the other family,
//! has.

use super::Arg;
use crate::redis::{Argument, ArgumentType, argument_flag};

/// What to do to a command's description.
enum Change {
    /// Adds an argument at the end, or to the choices of the argument of this name, unless its
    /// word, or the first one in it, is there.
    Add(Option<&'static str>, Arg),
    /// Adds an argument before the one that begins with this word, or at the end, unless its word
    /// is there.
    AddBefore(&'static str, Arg),
    /// The argument of this name may be left out.
    MayLack(&'static str),
}

/// Commands and what to do to each, in this order.
const CHANGES: &[(&str, &[Change])] = &[
    (
        "set",
        &[
            Change::Add(Some("condition"), Arg::string("ifeq-value").after("IFEQ")),
            Change::Add(Some("condition"), Arg::string("ifne-value").after("IFNE")),
            Change::Add(
                Some("condition"),
                Arg::string("ifdeq-digest").after("IFDEQ"),
            ),
            Change::Add(
                Some("condition"),
                Arg::string("ifdne-digest").after("IFDNE"),
            ),
        ],
    ),
    (
        "bitop",
        &[
            Change::Add(Some("operation"), Arg::word("diff", "DIFF")),
            Change::Add(Some("operation"), Arg::word("diff1", "DIFF1")),
            Change::Add(Some("operation"), Arg::word("andor", "ANDOR")),
            Change::Add(Some("operation"), Arg::word("one", "ONE")),
        ],
    ),
    (
        "hscan",
        &[Change::Add(
            None,
            Arg::word("novalues", "NOVALUES").optional(),
        )],
    ),
    (
        "zscan",
        &[Change::Add(
            None,
            Arg::word("noscores", "NOSCORES").optional(),
        )],
    ),
    (
        "migrate",
        &[Change::AddBefore(
            "KEYS",
            Arg::word("native", "NATIVE").optional(),
        )],
    ),
    ("zrank", &[WITHSCORE]),
    ("zrevrank", &[WITHSCORE]),
    (
        "geosearch",
        &[Change::Add(Some("by"), POLYGON), Change::MayLack("from")],
    ),
    (
        "geosearchstore",
        &[Change::Add(Some("by"), POLYGON), Change::MayLack("from")],
    ),
];

const WITHSCORE: Change = Change::Add(None, Arg::word("withscore", "WITHSCORE").optional());

const POLYGON: Arg = Arg::block(
    "polygon",
    &[
        Arg::integer("num-vertices").after("BYPOLYGON"),
        Arg::block(
            "vertices",
            &[
                Arg::new("longitude", ArgumentType::Double),
                Arg::new("latitude", ArgumentType::Double),
            ],
        )
        .multiple(),
    ],
);

/// Adds to the description of a command what it takes and the server's native one does not.
pub(crate) fn complete(command: &str, arguments: &mut Vec<Argument>) {
    let changes = CHANGES.iter().find(|(name, _)| *name == command);
    for change in changes.map_or(&[][..], |(_, changes)| changes) {
        match change {
            Change::Add(within, arg) => add(arguments, *within, arg.argument()),
            Change::AddBefore(word, arg) => add_before(arguments, word, arg.argument()),
            Change::MayLack(name) => {
                let optional = argument_flag("optional").unwrap_or(0);
                if let Some(found) = named(arguments, name) {
                    found.flags |= optional;
                }
            }
        }
    }
}

fn add(arguments: &mut Vec<Argument>, within: Option<&str>, argument: Argument) {
    if is_there(arguments, &argument) {
        return;
    }
    match within {
        None => arguments.push(argument),
        Some(name) => match named(arguments, name) {
            // What is described as one string already covers every word.
            Some(choices) if choices.ty == ArgumentType::OneOf => choices.arguments.push(argument),
            _ => {}
        },
    }
}

fn add_before(arguments: &mut Vec<Argument>, word: &str, argument: Argument) {
    if is_there(arguments, &argument) {
        return;
    }
    let begins = |found: &Argument| {
        let token = found.token.as_deref();
        token.is_some_and(|token| token.to_bytes() == word.as_bytes())
    };
    let at = arguments.iter().position(begins).unwrap_or(arguments.len());
    arguments.insert(at, argument);
}

/// Whether the word of an argument, or the first one in it, is in a description; true for an
/// argument without any.
fn is_there(arguments: &[Argument], argument: &Argument) -> bool {
    let (mut tokens, mut there) = (Vec::new(), Vec::new());
    collect_tokens(std::slice::from_ref(argument), &mut tokens);
    collect_tokens(arguments, &mut there);
    tokens.first().is_none_or(|token| there.contains(token))
}

fn is_named(argument: &Argument, name: &str) -> bool {
    argument.name.to_bytes() == name.as_bytes()
}

/// The argument of this name on this level.
fn named<'a>(arguments: &'a mut [Argument], name: &str) -> Option<&'a mut Argument> {
    arguments.iter_mut().find(|found| is_named(found, name))
}

/// All words in a description, from the first on.
fn collect_tokens<'a>(arguments: &'a [Argument], tokens: &mut Vec<&'a [u8]>) {
    for argument in arguments {
        tokens.extend(argument.token.as_deref().map(|token| token.to_bytes()));
        collect_tokens(&argument.arguments, tokens);
    }
}

/// The commands whose description is completed.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    CHANGES.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(arguments: &[Argument]) -> Vec<String> {
        let mut tokens = Vec::new();
        collect_tokens(arguments, &mut tokens);
        let text = |token: &[u8]| String::from_utf8_lossy(token).into_owned();
        tokens.into_iter().map(text).collect()
    }

    #[test]
    fn what_is_there_is_not_added_again() {
        const CONDITION: Arg = Arg::one_of(
            "condition",
            &[
                Arg::word("nx", "NX"),
                Arg::string("comparison-value").after("IFEQ"),
            ],
        );
        let mut arguments = vec![Arg::KEY.argument(), CONDITION.argument()];
        for _ in 0..2 {
            complete("set", &mut arguments);
            assert_eq!(tokens(&arguments), ["NX", "IFEQ", "IFNE", "IFDEQ", "IFDNE"]);
        }
    }

    #[test]
    fn what_has_its_place_comes_there() {
        const COPY: Arg = Arg::word("copy", "COPY").optional();
        const KEYS: Arg = Arg::KEY.after("KEYS").multiple_optional();
        let mut arguments = vec![Arg::KEY.argument(), COPY.argument(), KEYS.argument()];
        for _ in 0..2 {
            complete("migrate", &mut arguments);
            assert_eq!(tokens(&arguments), ["COPY", "NATIVE", "KEYS"]);
        }
    }

    #[test]
    fn a_string_for_all_words_stays_one() {
        let mut arguments = vec![Arg::string("operation").argument()];
        complete("bitop", &mut arguments);
        assert_eq!(arguments, [Arg::string("operation").argument()]);
    }

    #[test]
    fn members_may_be_missing_where_a_polygon_is_given() {
        const FROM: Arg = Arg::one_of("from", &[Arg::string("member").after("FROMMEMBER")]);
        const BY: Arg = Arg::one_of("by", &[Arg::word("circle", "BYRADIUS")]);
        let mut arguments = vec![FROM.argument(), BY.argument()];
        complete("geosearch", &mut arguments);
        assert_eq!(arguments[0], FROM.optional().argument());
        assert_eq!(tokens(&arguments), ["FROMMEMBER", "BYRADIUS", "BYPOLYGON"]);
    }
}
