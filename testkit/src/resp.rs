//! RESP2 and RESP3 replies, kept in the exact form in which they came over the wire.
//!
//! A null bulk string, a null array and a RESP3 null are three different values here, and so are
//! a simple string and a bulk string: a command that replies with the wrong one of them breaks
//! clients, so the tests must be able to see it. Libraries of clients make one value of them.

use std::fmt;
use std::io::{self, BufRead, Error, ErrorKind};

/// One reply. Equality is equality of the form on the wire, not only of the content.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// `+OK`
    Simple(String),
    /// `-ERR ...`, the text without the minus. Bytes beyond ASCII are kept one `char` each.
    Error(String),
    /// `:42`
    Integer(i64),
    /// `$3 abc`
    Bulk(Vec<u8>),
    /// `$-1`, the RESP2 null of a value.
    NullBulk,
    /// `*-1`, the RESP2 null of an array.
    NullArray,
    /// `_`, the only null of RESP3.
    Null,
    /// `*2 ...`
    Array(Vec<Value>),
    /// `%2 ...`, RESP3.
    Map(Vec<(Value, Value)>),
    /// `~2 ...`, RESP3.
    Set(Vec<Value>),
    /// `>2 ...`, RESP3, sent outside the order of replies.
    Push(Vec<Value>),
    /// `,1.5`, RESP3, with the digits as they were printed.
    Double(String),
    /// `#t`, RESP3.
    Boolean(bool),
    /// `(123...`, RESP3.
    BigNumber(String),
    /// `=7 txt:abc`, RESP3: the format's three letters, then the text.
    Verbatim(String, Vec<u8>),
}

impl Value {
    /// Whether the reply is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// Whether the reply is any of the three nulls.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::NullBulk | Self::NullArray | Self::Null)
    }

    /// The bytes of a simple, bulk or verbatim string.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(text) => Some(text.as_bytes()),
            Self::Bulk(bytes) | Self::Verbatim(_, bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number of an integer reply.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The elements of an array, set or push.
    pub fn elements(&self) -> Option<&[Value]> {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => Some(items),
            _ => None,
        }
    }

    /// Reads one reply from `input`.
    ///
    /// # Errors
    /// Those of `input`, [`ErrorKind::UnexpectedEof`] if the stream ends within a reply, and
    /// [`ErrorKind::InvalidData`] for bytes that are no RESP.
    pub fn read(input: &mut impl BufRead) -> io::Result<Self> {
        let line = read_line(input)?;
        let (kind, rest) = line
            .split_first()
            .ok_or_else(|| malformed("an empty line"))?;
        let text = || rest.iter().map(|&byte| byte as char).collect::<String>();
        Ok(match kind {
            b'+' => Self::Simple(text()),
            b'-' => Self::Error(text()),
            b':' => Self::Integer(number(rest)?),
            b',' => Self::Double(text()),
            b'(' => Self::BigNumber(text()),
            b'_' => Self::Null,
            b'#' => match rest {
                b"t" => Self::Boolean(true),
                b"f" => Self::Boolean(false),
                _ => return Err(malformed("a boolean that is neither t nor f")),
            },
            b'$' => match length(rest)? {
                Some(len) => Self::Bulk(read_bulk(input, len)?),
                None => Self::NullBulk,
            },
            b'=' => {
                let len = length(rest)?.ok_or_else(|| malformed("a null verbatim string"))?;
                let mut bytes = read_bulk(input, len)?;
                if bytes.get(3) != Some(&b':') {
                    return Err(malformed("a verbatim string without a format"));
                }
                let body = bytes.split_off(4);
                bytes.pop();
                Self::Verbatim(String::from_utf8_lossy(&bytes).into_owned(), body)
            }
            b'*' => match length(rest)? {
                Some(len) => Self::Array(read_items(input, len)?),
                None => Self::NullArray,
            },
            b'~' => Self::Set(read_counted(input, rest)?),
            b'>' => Self::Push(read_counted(input, rest)?),
            b'%' => {
                let len = length(rest)?.ok_or_else(|| malformed("a null map"))?;
                let pairs = (0..len).map(|_| Ok((Self::read(input)?, Self::read(input)?)));
                Self::Map(pairs.collect::<io::Result<_>>()?)
            }
            _ => return Err(malformed(&format!("a reply of the unknown type {line:?}"))),
        })
    }
}

/// Appends one command to `out`, as an array of bulk strings.
pub fn write_command<A: AsRef<[u8]>>(out: &mut Vec<u8>, words: &[A]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        let word = word.as_ref();
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("the server sent {what}"))
}

/// One line without its CR LF.
fn read_line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(Error::new(
            ErrorKind::UnexpectedEof,
            "the server closed the connection",
        ));
    }
    match line.strip_suffix(b"\r\n") {
        Some(content) => Ok(content.to_vec()),
        None => Err(Error::new(
            ErrorKind::UnexpectedEof,
            "a reply ends in the middle of a line",
        )),
    }
}

fn number<N: std::str::FromStr>(digits: &[u8]) -> io::Result<N> {
    let text = std::str::from_utf8(digits).map_err(|_| malformed("a number that is not ASCII"))?;
    text.parse()
        .map_err(|_| malformed(&format!("the number {text:?}")))
}

/// A length, or `None` for the -1 of a RESP2 null.
fn length(digits: &[u8]) -> io::Result<Option<usize>> {
    if digits == b"-1" {
        Ok(None)
    } else {
        number(digits).map(Some)
    }
}

fn read_bulk(input: &mut impl BufRead, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    input.read_exact(&mut bytes)?;
    let mut end = [0; 2];
    input.read_exact(&mut end)?;
    if &end == b"\r\n" {
        Ok(bytes)
    } else {
        Err(malformed("a bulk string without its end"))
    }
}

fn read_items(input: &mut impl BufRead, len: usize) -> io::Result<Vec<Value>> {
    (0..len).map(|_| Value::read(input)).collect()
}

fn read_counted(input: &mut impl BufRead, digits: &[u8]) -> io::Result<Vec<Value>> {
    let len = length(digits)?.ok_or_else(|| malformed("a null set or push"))?;
    read_items(input, len)
}

/// Bytes longer than this are printed by their first few, their length and their sum.
const PRINTED_MAX: usize = 80;

/// Prints bytes the way a person reads them in a test's output: quoted, escaped, and shortened
/// when long.
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Debug for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = self;
        if bytes.len() <= PRINTED_MAX {
            return write!(f, "\"{}\"", bytes.escape_ascii());
        }
        let sum = bytes
            .iter()
            .fold(0u32, |sum, &b| sum.wrapping_mul(31).wrapping_add(b.into()));
        write!(
            f,
            "\"{}\"...({} bytes, sum {sum:08x})",
            bytes[..16].escape_ascii(),
            bytes.len()
        )
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(text) => write!(f, "+{text}"),
            Self::Error(text) => write!(f, "-{text}"),
            Self::Integer(number) => write!(f, ":{number}"),
            Self::Bulk(bytes) => write!(f, "${:?}", Quoted(bytes)),
            Self::NullBulk => f.write_str("$-1"),
            Self::NullArray => f.write_str("*-1"),
            Self::Null => f.write_str("_"),
            Self::Array(items) => f
                .write_str("*")
                .and_then(|()| f.debug_list().entries(items).finish()),
            Self::Set(items) => f
                .write_str("~")
                .and_then(|()| f.debug_list().entries(items).finish()),
            Self::Push(items) => f
                .write_str(">")
                .and_then(|()| f.debug_list().entries(items).finish()),
            Self::Map(pairs) => {
                f.write_str("%")?;
                f.debug_map()
                    .entries(pairs.iter().map(|(key, value)| (key, value)))
                    .finish()
            }
            Self::Double(text) => write!(f, ",{text}"),
            Self::Boolean(value) => write!(f, "#{}", if *value { 't' } else { 'f' }),
            Self::BigNumber(text) => write!(f, "({text}"),
            Self::Verbatim(format, bytes) => write!(f, "={format}:{:?}", Quoted(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> io::Result<Value> {
        let mut input = bytes;
        let value = Value::read(&mut input)?;
        assert_eq!(input, b"", "bytes are left over");
        Ok(value)
    }

    #[test]
    fn the_three_nulls_differ() {
        assert_eq!(parse(b"$-1\r\n").unwrap(), Value::NullBulk);
        assert_eq!(parse(b"*-1\r\n").unwrap(), Value::NullArray);
        assert_eq!(parse(b"_\r\n").unwrap(), Value::Null);
    }

    #[test]
    fn nested_forms_are_kept() {
        let bytes = b"*3\r\n%1\r\n+a\r\n,1.50\r\n~2\r\n#t\r\n(12\r\n=7\r\ntxt:a\r\n\r\n";
        let expected = Value::Array(vec![
            Value::Map(vec![(
                Value::Simple("a".into()),
                Value::Double("1.50".into()),
            )]),
            Value::Set(vec![Value::Boolean(true), Value::BigNumber("12".into())]),
            Value::Verbatim("txt".into(), b"a\r\n".to_vec()),
        ]);
        assert_eq!(parse(bytes).unwrap(), expected);
        assert_eq!(
            format!("{expected:?}"),
            r#"*[%{+a: ,1.50}, ~[#t, (12], =txt:"a\r\n"]"#
        );
    }

    #[test]
    fn a_reply_cut_short_is_an_error_at_every_length() {
        let whole = b"*2\r\n$3\r\nabc\r\n:7\r\n";
        assert!(parse(whole).is_ok());
        for len in 0..whole.len() {
            let error = parse(&whole[..len]).expect_err("a prefix is no reply");
            assert_eq!(
                error.kind(),
                ErrorKind::UnexpectedEof,
                "{len} bytes: {error}"
            );
        }
    }

    #[test]
    fn what_is_no_resp_is_refused() {
        for bytes in [
            &b"!x\r\n"[..],
            b"\r\n",
            b":x\r\n",
            b"$1\r\nabc",
            b"#x\r\n",
            b"=1\r\na\r\n",
        ] {
            let error = parse(bytes).expect_err("not RESP");
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{bytes:?}: {error}");
        }
    }

    #[test]
    fn commands_are_arrays_of_bulk_strings() {
        let mut out = Vec::new();
        write_command(&mut out, &["GET", ""]);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n");
    }
}
