//! What is left out of the comparison because the two sides cannot agree on it: commands at which
//! the server itself is at fault, and steps that part the sides as the documentation says.

use super::{Step, Word};
use crate::client::Client;
use crate::packaged::Packaged;
use crate::resp::Value;
use std::io;

/// How many digits the digest of a string has.
const DIGEST_LEN: usize = 16;

/// Whether a step would bring the native client out of step with the server, so that it must not
/// be sent: docs/servers.md.
///
/// Redis answers `SET key value IFDEQ digest GET`, and IFDNE, twice if the digest does not have 16
/// digits and there is a string: with the old value, as GET asks, and then with the error about the
/// digest. Seen in 8.6.2; the options came with 8.4.
pub(super) fn is_answered_twice(step: &Step) -> bool {
    let is = |word: &Word, text: &str| {
        bytes(word).is_some_and(|bytes| bytes.eq_ignore_ascii_case(text.as_bytes()))
    };
    let by_no_digest = |pair: &[Word]| {
        let [option, digest] = [&pair[0], &pair[1]];
        let is_digest = bytes(digest).is_some_and(|bytes| bytes.len() == DIGEST_LEN);
        (is(option, "IFDEQ") || is(option, "IFDNE")) && !is_digest
    };
    step.spec.name == "SET"
        && step.words.iter().any(|word| is(word, "GET"))
        && step.words.windows(2).any(by_no_digest)
        && Packaged::current().has(Some((8, 4)), None)
}

/// What a word is, if it is the same on both sides.
fn bytes(word: &Word) -> Option<&[u8]> {
    match word {
        Word::Key(name) => Some(name),
        Word::Data(bytes) | Word::Fixed(bytes) => Some(bytes),
        Word::Db(_) | Word::Dump(_) => None,
    }
}

/// Whether a step has left different values, though the replies are the same. Redis keeps what
/// PFADD has changed before it finds a HyperLogLog corrupted: docs/keys.md.
pub(super) fn keeps_changes(step: &Step, native: &Value) -> bool {
    step.spec.name == "PFADD"
        && matches!(native, Value::Error(text) if text.starts_with("INVALIDOBJ"))
}

/// Whether a deletion has found a key of a native type, which counts as absent for `PM.DELEX` and
/// does not for DELEX, if neither has a condition. `pm` is the second side's client.
///
/// # Errors
/// Those of the connection.
pub(super) fn spares_native_key(
    step: &Step,
    [native_reply, pm_reply]: &[Value; 2],
    pm: &mut Client,
) -> io::Result<bool> {
    let deletes = step.spec.name == "DELEX";
    let one_and_none = (native_reply.integer(), pm_reply.integer()) == (Some(1), Some(0));
    let [word] = &step.words[..] else {
        return Ok(false);
    };
    let Some(key) = bytes(word).filter(|_| deletes && one_and_none) else {
        return Ok(false);
    };
    let kind = pm.try_call(&[b"TYPE", key])?;
    Ok(kind == Value::Simple("stream".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::grammar::{Spec, own};

    static SET: Spec = own("SET", 1, &[]);

    /// `SET k` with these words.
    fn set(words: &[&str]) -> Step {
        let fixed = words.iter().map(|word| Word::Fixed(word.as_bytes().into()));
        Step {
            spec: &SET,
            words: std::iter::once(Word::Key(b"k")).chain(fixed).collect(),
            relative_time: false,
            check_expiry: false,
            check_watch: false,
            check_state: false,
        }
    }

    #[test]
    fn only_what_is_answered_twice_is_left_out() {
        let here = Packaged::current().has(Some((8, 4)), None);
        for words in [
            &["w", "IFDNE", "short", "GET"][..],
            &["w", "get", "ifdeq", "short"],
            &["w", "IFDEQ", "KEEPTTL", "GET"],
        ] {
            assert_eq!(is_answered_twice(&set(words)), here, "{words:?}");
        }
        for words in [
            &["w", "IFDNE", "short"][..],
            &["w", "IFDNE", "not-hexadecimal!", "GET"],
            &["w", "IFNE", "short", "GET"],
            &["w", "IFDNE"],
            &[],
        ] {
            assert!(!is_answered_twice(&set(words)), "{words:?}");
        }
    }
}
