//! Commands as `pmedis export` writes them, back to keys: those of one key stand together.

use crate::Failure;
use crate::import::NewKeys;
use std::collections::HashMap;
use std::io::{self, BufRead};
use store::content::{Content, Item};
use store::expiry::FIELD_NEVER;
use store::structures::{self, Shape};
use store::value::ValueType;

/// Words of a command at most.
const WORDS: usize = 1 << 20;
/// Bytes of a word at most, as servers have it.
const BYTES: usize = 512 << 20;

/// The key whose commands are being read.
struct Key {
    name: Vec<u8>,
    db: i32,
    expire_at: Option<i64>,
    content: Content<Vec<u8>>,
    /// Where the fields of a hash are, once their expire times come.
    fields: HashMap<Vec<u8>, usize>,
}

/// Reads all commands.
///
/// # Errors
/// If there is one that `export` does not write; what [`NewKeys::add`] fails with.
pub(crate) fn read(mut input: impl BufRead, pool: &mut NewKeys) -> Result<(), Failure> {
    let (mut db, mut key): (i32, Option<Key>) = (0, None);
    let mut number = 0u64;
    while let Some(words) = command(&mut input)? {
        number += 1;
        let odd = || format!("command {number} is none that export writes");
        let [name, words @ ..] = words.as_slice() else {
            return Err(odd().into());
        };
        let name = name.to_ascii_uppercase();
        let name = name.strip_prefix(b"PM.").unwrap_or(&name);
        if name == b"SELECT" {
            let [to] = words else {
                return Err(odd().into());
            };
            db = text::<u16>(to).ok_or_else(odd)?.into();
            continue;
        }
        let [of, words @ ..] = words else {
            return Err(odd().into());
        };
        let is_next = !key
            .as_ref()
            .is_some_and(|key| key.name == *of && key.db == db);
        if is_next && let Some(done) = key.take() {
            pool.add(&done.name, done.db, done.expire_at, &done.content)?;
        }
        let done = match &mut key {
            Some(key) => go_on(key, name, words),
            None => begin(name, words).map(|content| {
                key = Some(Key {
                    name: of.clone(),
                    db,
                    expire_at: None,
                    content,
                    fields: HashMap::new(),
                });
            }),
        };
        done.ok_or_else(odd)?;
    }
    match key {
        Some(done) => Ok(pool.add(&done.name, done.db, done.expire_at, &done.content)?),
        None => Ok(()),
    }
}

/// The first command of a key.
fn begin(name: &[u8], words: &[Vec<u8>]) -> Option<Content<Vec<u8>>> {
    let ty = ValueType::ALL
        .into_iter()
        .find(|ty| ty.adds().as_bytes() == name)?;
    let mut content = Content {
        ty,
        elements: Vec::new(),
    };
    add(&mut content, name, words)?;
    Some(content)
}

fn go_on(key: &mut Key, name: &[u8], words: &[Vec<u8>]) -> Option<()> {
    match (name, words) {
        (b"PEXPIREAT", [at]) => key.expire_at = Some(text(at)?),
        (b"HPEXPIREAT", [at, fields, one, field]) if fields == b"FIELDS" && one == b"1" => {
            let all = &mut key.content.elements;
            if key.fields.len() != all.len() {
                let names = all.iter().map(|item| item.element().name().to_vec());
                key.fields = names.zip(0..).collect();
            }
            let Item::Field(_, _, time) = all.get_mut(*key.fields.get(field)?)? else {
                return None;
            };
            *time = text(at)?;
        }
        _ => add(&mut key.content, name, words)?,
    }
    Some(())
}

/// Adds elements to a value of the command's type.
fn add(content: &mut Content<Vec<u8>>, name: &[u8], words: &[Vec<u8>]) -> Option<()> {
    let shape = structures::of(content.ty).shape();
    let is_whole = shape == Shape::One && (words.len() > 1 || !content.is_empty());
    if words.is_empty() || is_whole || content.ty.adds().as_bytes() != name {
        return None;
    }
    let pairs = || words.chunks(2).map(|pair| <&[_; 2]>::try_from(pair).ok());
    let all = &mut content.elements;
    match shape {
        Shape::One | Shape::Sequence | Shape::Members => {
            all.extend(words.iter().cloned().map(Item::Bytes));
        }
        Shape::Fields => {
            for pair in pairs() {
                let [name, value] = pair?;
                all.push(Item::Field(name.clone(), value.clone(), FIELD_NEVER));
            }
        }
        Shape::Scored => {
            for pair in pairs() {
                let [score, name] = pair?;
                all.push(Item::Scored(name.clone(), text(score)?));
            }
        }
    }
    Some(())
}

fn text<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// The next command; `None` at the end.
fn command(input: &mut impl BufRead) -> io::Result<Option<Vec<Vec<u8>>>> {
    if input.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let count = length(input, b'*', WORDS)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let len = length(input, b'$', BYTES)?;
        let mut word = vec![0; len + 2];
        input.read_exact(&mut word)?;
        if word.split_off(len) != b"\r\n" {
            return Err(malformed());
        }
        words.push(word);
    }
    Ok(Some(words))
}

/// A line that has a mark and a number up to `most`.
fn length(input: &mut impl BufRead, mark: u8, most: usize) -> io::Result<usize> {
    let mut line = Vec::new();
    io::Read::take(&mut *input, 32).read_until(b'\n', &mut line)?;
    let digits = line
        .strip_prefix(&[mark])
        .and_then(|line| line.strip_suffix(b"\r\n"));
    let number = digits.and_then(text::<usize>);
    number
        .filter(|&number| number <= most)
        .ok_or_else(malformed)
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the commands are malformed")
}
