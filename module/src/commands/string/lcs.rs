//! LCS: the longest common subsequence of two strings.

use super::{integer, read};
use crate::commands::plain;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::limits;
use crate::redis::{Arg, Args, Collection, Ctx};
use store::value::ValueType;

/// What to reply with.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    len: bool,
    idx: bool,
    with_match_len: bool,
    min_match_len: u32,
}

/// `PM.LCS key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]`
pub(super) fn lcs(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    const WRONG_TYPE: CmdError =
        CmdError::WrongTypeFor("ERR The specified keys must contain string values");
    let mut texts = [copy(ctx, args[1]), copy(ctx, args[2])];
    if texts.contains(&Err(CmdError::WrongType)) && plain::reads_natives(ctx, &args.from(1)[..2]) {
        for (text, name) in texts.iter_mut().zip(args.from(1)) {
            if let Some(native) = plain::native_string(ctx, *name)? {
                *text = Ok(native);
            }
        }
    }
    if texts.contains(&Err(CmdError::WrongType)) {
        return Err(WRONG_TYPE);
    }
    let [a, b] = texts;
    let (a, b) = (a?, b?);
    let options = Options::parse(args.from(3))?;
    let table = Table::build(&a, &b)?;
    if options.idx {
        reply_matches(ctx, &table, options);
    } else if options.len {
        ctx.reply_integer(table.length().into());
    } else {
        ctx.reply_bulk(&table.sequence());
    }
    Ok(())
}

/// The key's text, empty if there is none.
fn copy(ctx: &Ctx, name: Arg<'_>) -> Result<Vec<u8>, CmdError> {
    let key = PmKey::open_read(ctx, name, ValueType::String)?;
    let text = read(&key, |value| value.text(&mut itoa::Buffer::new()).to_vec())?;
    Ok(text.unwrap_or_default())
}

impl Options {
    fn parse(args: &[Arg<'_>]) -> Result<Options, CmdError> {
        let mut options = Options::default();
        let mut args = args.iter().copied();
        while let Some(option) = args.next() {
            if option.is(b"IDX") {
                options.idx = true;
            } else if option.is(b"LEN") {
                options.len = true;
            } else if option.is(b"WITHMATCHLEN") {
                options.with_match_len = true;
            } else if option.is(b"MINMATCHLEN") {
                let len = integer(args.next().ok_or(CmdError::Syntax)?)?;
                // No match is as long as u32::MAX.
                options.min_match_len = len.clamp(0, u32::MAX.into()) as u32;
            } else {
                return Err(CmdError::Syntax);
            }
        }
        if options.len && options.idx {
            return Err(CmdError::text_only(
                "ERR If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(options)
    }
}

/// The lengths of the longest common subsequences of all pairs of prefixes.
struct Table<'a> {
    a: &'a [u8],
    b: &'a [u8],
    lengths: Vec<u32>,
}

/// A run of bytes that both strings have, by the offsets of its first and last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Match {
    a: (u32, u32),
    b: (u32, u32),
}

impl Match {
    fn len(self) -> u32 {
        self.a.1 - self.a.0 + 1
    }
}

impl<'a> Table<'a> {
    /// O(length of a × length of b) in time and memory.
    fn build(a: &'a [u8], b: &'a [u8]) -> Result<Table<'a>, CmdError> {
        const TOO_LONG: CmdError = CmdError::text_only("ERR String too long for LCS");
        const TOO_LARGE: CmdError = CmdError::text_only(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        );
        const NO_MEMORY: CmdError = CmdError::text_only(
            "ERR Insufficient memory, failed allocating transient memory for LCS",
        );
        if a.len().max(b.len()) as u64 >= u64::from(u32::MAX) - 1 {
            return Err(TOO_LONG);
        }
        let cells = (a.len() as u64 + 1) * (b.len() as u64 + 1);
        match cells.checked_mul(size_of::<u32>() as u64) {
            None => return Err(NO_MEMORY),
            Some(bytes) if bytes > limits::string_max() => return Err(TOO_LARGE),
            Some(_) => {}
        }
        let mut lengths = Vec::new();
        lengths
            .try_reserve_exact(cells as usize)
            .map_err(|_| NO_MEMORY)?;
        lengths.resize(cells as usize, 0);
        let mut table = Table { a, b, lengths };
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                let length = if a[i - 1] == b[j - 1] {
                    table.at(i - 1, j - 1) + 1
                } else {
                    table.at(i - 1, j).max(table.at(i, j - 1))
                };
                let cell = table.cell(i, j);
                table.lengths[cell] = length;
            }
        }
        Ok(table)
    }

    fn cell(&self, i: usize, j: usize) -> usize {
        i * (self.b.len() + 1) + j
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.lengths[self.cell(i, j)]
    }

    fn length(&self) -> u32 {
        self.at(self.a.len(), self.b.len())
    }

    /// Walks from the strings' ends to the start of one of them; `visit` gets the lengths of the
    /// prefixes, and whether their last bytes belong to the subsequence.
    fn walk(&self, mut visit: impl FnMut(usize, usize, bool)) {
        let (mut i, mut j) = (self.a.len(), self.b.len());
        while i > 0 && j > 0 {
            let common = self.a[i - 1] == self.b[j - 1];
            visit(i, j, common);
            if common {
                (i, j) = (i - 1, j - 1);
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
    }

    /// The subsequence itself.
    fn sequence(&self) -> Vec<u8> {
        let mut sequence = Vec::with_capacity(self.length() as usize);
        self.walk(|i, _, common| {
            if common {
                sequence.push(self.a[i - 1]);
            }
        });
        sequence.reverse();
        sequence
    }

    /// The runs that make up the subsequence, the last one first.
    fn matches(&self) -> Vec<Match> {
        let mut matches = Vec::new();
        let mut run: Option<Match> = None;
        self.walk(|i, j, common| {
            let (i, j) = (i as u32, j as u32);
            match &mut run {
                Some(run) if common && run.a.0 == i && run.b.0 == j => {
                    run.a.0 -= 1;
                    run.b.0 -= 1;
                }
                _ => {
                    matches.extend(run.take());
                    if common {
                        run = Some(Match {
                            a: (i - 1, i - 1),
                            b: (j - 1, j - 1),
                        });
                    }
                }
            }
        });
        matches.extend(run);
        matches
    }
}

fn reply_matches(ctx: &Ctx, table: &Table<'_>, options: Options) {
    let mut matches = table.matches();
    matches.retain(|found| found.len() >= options.min_match_len);
    ctx.reply_collection(Collection::Map, 2);
    ctx.reply_bulk(b"matches");
    ctx.reply_array(matches.len());
    for found in matches {
        ctx.reply_array(if options.with_match_len { 3 } else { 2 });
        for (start, end) in [found.a, found.b] {
            ctx.reply_array(2);
            ctx.reply_integer(start.into());
            ctx.reply_integer(end.into());
        }
        if options.with_match_len {
            ctx.reply_integer(found.len().into());
        }
    }
    ctx.reply_bulk(b"len");
    ctx.reply_integer(table.length().into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_pair_of_strings() {
        let table = Table::build(b"ohmytext", b"mynewtext").expect("small");
        assert_eq!((table.length(), table.sequence()), (6, b"mytext".to_vec()));
        let expected = [
            Match {
                a: (4, 7),
                b: (5, 8),
            },
            Match {
                a: (2, 3),
                b: (0, 1),
            },
        ];
        assert_eq!(table.matches(), expected);
    }

    #[test]
    fn strings_without_anything_in_common() {
        for (a, b) in [("", ""), ("", "x"), ("abc", "xyz")] {
            let table = Table::build(a.as_bytes(), b.as_bytes()).expect("small");
            assert_eq!(
                (table.length(), table.sequence(), table.matches()),
                (0, vec![], vec![])
            );
        }
    }
}
