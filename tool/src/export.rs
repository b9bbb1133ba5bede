//! `pmedis export`: keys as commands that make them, in the form that `redis-cli --pipe` takes.

use crate::keys::{Key, Keys};
use crate::output::{Output, count, of, tell};
use crate::{Failure, Outcome};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use store::content::Sound;
use store::expiry::FIELD_NEVER;
use store::number::double_to_text;
use store::structures::{self, Element, hash};

/// Words of a command behind its key, at most.
const WORDS: usize = 128;
/// Bytes of these words after which a command is written.
const BYTES: usize = 64 << 10;

/// Writes all keys of the pool. O(pool).
pub(crate) fn export(path: &Path, native: bool, output: Option<&Path>) -> Result<Outcome, Failure> {
    let keys = Keys::open(path)?;
    let out = Output::to(output, path)?;
    let mut commands = Commands {
        out: BufWriter::new(out),
        prefix: if native { "" } else { "PM." },
        db: 0,
        field_times: 0,
        failed: None,
    };
    let mut damaged = 0u64;
    keys.each("exporting", |key| {
        let told = match key {
            Ok(key) => {
                // Counts are looked at there only.
                let checked = keys.check(&key);
                let sound = checked.is_err().then(|| Sound::of(key.ty));
                let written = commands.key(&keys, &key, sound);
                if let Some(error) = commands.failed.take() {
                    return Err(of(output)(error));
                }
                checked
                    .and(written)
                    .map_err(|error| (key.name.escape_ascii().to_string(), error))
            }
            Err(error) => Err(("a key without a readable name".to_owned(), error)),
        };
        if let Err((name, error)) = told {
            damaged += 1;
            tell(format_args!("{name} is not whole: {error}"));
        }
        Ok(())
    })?;
    let out = commands
        .out
        .into_inner()
        .map_err(|error| of(output)(error.into_error()))?;
    out.finish().map_err(of(output))?;
    if native && commands.field_times > 0 {
        tell(format_args!(
            "{} with an expire time: HPEXPIREAT sets it, which Redis before 7.4 and Valkey before 9.0 do not know",
            count(commands.field_times, "hash field")
        ));
    }
    keys.tell_faults();
    Ok(keys.outcome(damaged))
}

/// Where commands go.
struct Commands {
    out: BufWriter<Output>,
    /// What is before the names of commands of Redis's types.
    prefix: &'static str,
    /// The database that is selected.
    db: i32,
    /// Fields of hashes with expire times, so far.
    field_times: u64,
    /// Why nothing more can be written.
    failed: Option<io::Error>,
}

impl Commands {
    fn write(&mut self, words: &[&[u8]]) {
        let mut write = || -> io::Result<()> {
            write!(self.out, "*{}\r\n", words.len())?;
            for word in words {
                write!(self.out, "${}\r\n", word.len())?;
                self.out.write_all(word)?;
                self.out.write_all(b"\r\n")?;
            }
            Ok(())
        };
        if let Err(error) = write() {
            self.failed.get_or_insert(error);
        }
    }

    /// Writes a key: its value, its expire time, those of its fields. Of a damaged value, `sound`
    /// says where it ends.
    ///
    /// # Errors
    /// `Damaged` if the value is; what is before that element is written.
    fn key(&mut self, keys: &Keys, key: &Key<'_>, sound: Option<Sound>) -> pobj::Result<()> {
        let mut digits = itoa::Buffer::new();
        if key.db != self.db {
            self.write(&[b"SELECT", digits.format(key.db).as_bytes()]);
            self.db = key.db;
        }
        let (elements, outcome) = self.value(keys, key, sound);
        if elements == 0 {
            // There is no such key.
            return outcome;
        }
        if let Some(at) = key.expire_at {
            let name = format!("{}PEXPIREAT", self.prefix);
            self.write(&[name.as_bytes(), key.name, digits.format(at).as_bytes()]);
        }
        if structures::may_expire(key.ty, key.root) {
            outcome.and(self.field_times(keys, key, elements))
        } else {
            outcome
        }
    }

    /// Writes a value; how many elements of it there are, and what is damaged behind them.
    fn value(
        &mut self,
        keys: &Keys,
        key: &Key<'_>,
        mut sound: Option<Sound>,
    ) -> (usize, pobj::Result<()>) {
        let mut piece = Piece {
            command: format!("{}{}", self.prefix, key.ty.adds()),
            commands: self,
            key: key.name,
            words: Vec::new(),
            bytes: 0,
        };
        let (structure, mut elements) = (structures::of(key.ty), 0);
        let outcome = structure.each(&keys.pool, key.root, key.inline, &mut |element| {
            if let Some(sound) = &mut sound {
                sound.admit(&element)?;
            }
            elements += 1;
            match element {
                Element::Bytes(bytes) => piece.add([bytes]),
                Element::Scored(name, score) => piece.add([double_to_text(score).as_bytes(), name]),
                Element::Field(field) => piece.add([field.name, field.value]),
            }
            Ok(piece.commands.failed.is_none())
        });
        piece.send();
        (elements, outcome)
    }

    /// Writes when the first fields of a hash expire, those that do.
    fn field_times(&mut self, keys: &Keys, key: &Key<'_>, fields: usize) -> pobj::Result<()> {
        let name = format!("{}HPEXPIREAT", self.prefix);
        for field in hash::fields(&keys.pool, key.root)?.take(fields) {
            let field = field?;
            if field.expire_at != FIELD_NEVER {
                self.field_times += 1;
                let mut digits = itoa::Buffer::new();
                let at = digits.format(field.expire_at).as_bytes();
                self.write(&[name.as_bytes(), key.name, at, b"FIELDS", b"1", field.name]);
            }
        }
        Ok(())
    }
}

/// A command under construction.
struct Piece<'c, 'k> {
    commands: &'c mut Commands,
    command: String,
    key: &'k [u8],
    words: Vec<Vec<u8>>,
    bytes: usize,
}

impl Piece<'_, '_> {
    /// Adds words that belong together.
    fn add<const N: usize>(&mut self, words: [&[u8]; N]) {
        self.bytes += words.iter().map(|word| word.len()).sum::<usize>();
        self.words.extend(words.map(<[u8]>::to_vec));
        if self.words.len() >= WORDS || self.bytes >= BYTES {
            self.send();
        }
    }

    /// Writes what there is.
    fn send(&mut self) {
        if self.words.is_empty() {
            return;
        }
        let head = [self.command.as_bytes(), self.key];
        let words: Vec<&[u8]> = head
            .into_iter()
            .chain(self.words.iter().map(Vec::as_slice))
            .collect();
        self.commands.write(&words);
        self.words.clear();
        self.bytes = 0;
    }
}
