//! Glob patterns as KEYS and the SCAN family match them.
//!
//! No library has this dialect: what an unclosed class, a trailing backslash or a reversed range
//! matches is defined by the server, and clients see it.

/// Whether `text` matches `pattern`: `*` any bytes, `?` one byte, `[a-z]` or `[^a-z]` one of a
/// class, `\` the next character itself. As in Redis, only the pattern `*` itself matches the empty
/// text.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    pattern == b"*" || matches_from(pattern, text, &mut false)
}

/// `hopeless` becomes true when a star has found no match for what follows it, anywhere in the rest
/// of the text: then an earlier star need not try any further.
fn matches_from(mut pattern: &[u8], mut text: &[u8], hopeless: &mut bool) -> bool {
    while let ([first, after @ ..], [byte, rest @ ..]) = (pattern, text) {
        pattern = match first {
            b'*' => return matches_star(after, text, hopeless),
            b'?' => after,
            b'[' => match class(after, *byte) {
                Some(after) => after,
                None => return false,
            },
            _ => {
                let (literal, after) = match (first, after) {
                    (b'\\', [escaped, after @ ..]) => (escaped, after),
                    _ => (first, after),
                };
                if literal != byte {
                    return false;
                }
                after
            }
        };
        text = rest;
        if text.is_empty() {
            let stars = pattern.iter().take_while(|&&c| c == b'*').count();
            pattern = &pattern[stars..];
            break;
        }
    }
    pattern.is_empty() && text.is_empty()
}

fn matches_star(after: &[u8], text: &[u8], hopeless: &mut bool) -> bool {
    let stars = after.iter().take_while(|&&c| c == b'*').count();
    let after = &after[stars..];
    if after.is_empty() {
        return true;
    }
    for start in 0..text.len() {
        if matches_from(after, &text[start..], hopeless) {
            return true;
        }
        if *hopeless {
            return false;
        }
    }
    *hopeless = true;
    false
}

/// The pattern behind a class, whose opening bracket is already read, if `byte` is in it. A class
/// that is not closed ends with the pattern. Ranges compare bytes as signed, as C does.
fn class(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (negated, mut pattern) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    let mut found = false;
    let after = loop {
        pattern = match pattern {
            [b'\\', escaped, rest @ ..] => {
                found |= *escaped == byte;
                rest
            }
            [b']', rest @ ..] => break rest,
            [] => break pattern,
            [from, b'-', to, rest @ ..] => {
                let (from, to, byte) = (*from as i8, *to as i8, byte as i8);
                found |= (from.min(to)..=from.max(to)).contains(&byte);
                rest
            }
            [one, rest @ ..] => {
                found |= *one == byte;
                rest
            }
        };
    };
    (found != negated).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "anything"),
            ("a*c", "abbbc"),
            ("a*", "a"),
            ("h?llo", "hello"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("h[a-c]llo", "hbllo"),
            ("h[c-a]llo", "hbllo"),
            ("a\\*b", "a*b"),
            ("[\\]]", "]"),
            ("[abc", "b"),
            ("a**b*", "axxb"),
            ("\\", "\\"),
            ("*a*b*c*", "1a2b3c4"),
        ] {
            assert!(
                matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern} {text}"
            );
        }
        for (pattern, text) in [
            ("**", ""),
            ("", "a"),
            ("a", ""),
            ("a*c", "abbb"),
            ("h?llo", "hllo"),
            ("h[^e]llo", "hello"),
            ("a\\*b", "axb"),
            ("[]", "a"),
            ("[^abc", "b"),
        ] {
            assert!(
                !matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        let pattern = b"a*".repeat(50);
        assert!(!matches(
            &[pattern.as_slice(), b"b"].concat(),
            &[b'a'; 10_000]
        ));
    }
}
