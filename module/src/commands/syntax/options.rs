//! Leaving out of a description what a command does not take.

use crate::redis::{Argument, ArgumentType};

/// Takes out of a description what the command does not take: arguments with words that are not
/// among its options, which are given with blanks between, and what is left with no parts.
pub(crate) fn take_only_known(options: &str, arguments: &mut Vec<Argument>) {
    arguments.retain_mut(|argument| {
        let had_parts = !argument.arguments.is_empty();
        take_only_known(options, &mut argument.arguments);
        let known = match &argument.token {
            // MIGRATE takes an empty key in this way.
            Some(token) if !token.is_empty() => {
                let is = |word: &str| token.to_bytes().eq_ignore_ascii_case(word.as_bytes());
                options.split(' ').any(is)
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
        take_only_known("NX XX", &mut arguments);
        assert_eq!(arguments, [Arg::KEY, KNOWN].map(|arg| arg.argument()));
    }
}
