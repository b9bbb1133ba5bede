//! An RDB file, copied entry by entry: values of modules can be left out or replaced, all others
//! are copied as they are.
//!
//! A file is a head of 9 bytes, entries, and a checksum. Each entry begins with a byte that tells
//! what it is; a key's entry is optional times and frequencies, the type, the name, the value. A
//! value does not say how long it is, so its parts are walked over: numbers and strings, in an
//! order that the type determines. Each part of a module value says what it is.
//!
//! All forms that Redis up to 8.6 and Valkey up to 9.1 write are known; a file with any other is
//! not copied.

use super::{CRC, Dialect, push_number};
use crc::{Digest, Table};
use std::io::{self, BufRead, Write};

/// What a copy changes.
pub trait Edit {
    /// Whether it wants to see the values of the module type with this identifier.
    fn wants(&self, id: u64) -> bool;

    /// What becomes of a key with such a value.
    ///
    /// # Errors
    /// Why the copy has to be given up.
    fn value(&mut self, key: &ModuleKey<'_>) -> io::Result<Fate>;

    /// Whether it takes native keys out. What it gets of a key is in memory as a whole.
    fn takes_natives(&self) -> bool {
        false
    }

    /// Takes a native key, which is left out of the copy.
    ///
    /// # Errors
    /// Why the copy has to be given up.
    fn native(&mut self, _key: &NativeKey<'_>) -> io::Result<()> {
        Ok(())
    }

    /// A library of functions comes, which is copied as it is.
    fn library(&mut self) {}

    /// How many keys a database has, and how many of them expire, as the server is told before they
    /// come.
    fn sizes(&mut self, db: u64, keys: u64, expiring: u64) -> (u64, u64);
}

/// A key whose value is a module's, in the bytes of the file.
#[derive(Clone, Copy, Debug)]
pub struct ModuleKey<'f> {
    /// Its database.
    pub db: u64,
    /// What stands before its type: when it expires, how it was used.
    pub before: &'f [u8],
    /// Its name, as the file has strings.
    pub name: &'f [u8],
    /// The identifier of the value's type.
    pub id: u64,
    /// The value, behind the identifier.
    pub value: &'f [u8],
}

/// A key of a native type, in the bytes of the file.
#[derive(Clone, Copy, Debug)]
pub struct NativeKey<'f> {
    /// Its database.
    pub db: u64,
    /// What stands before its type: when it expires, how it was used.
    pub before: &'f [u8],
    /// The number of its type.
    pub ty: u8,
    /// Its name, as the file has strings.
    pub name: &'f [u8],
    /// The value.
    pub value: &'f [u8],
}

/// What becomes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays as it is.
    Stays,
    /// It is left out.
    Goes,
    /// It gets this value, of the type with this identifier.
    Changes(u64, Vec<u8>),
}

/// The identifier of a module's type: its name of nine characters, and the version of its values.
pub fn module_id(name: &[u8], version: u64) -> u64 {
    const CHARACTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = |character: &u8| CHARACTERS.iter().position(|known| known == character);
    let name = name.iter().fold(0, |id, character| {
        id << 6 | place(character).unwrap_or(0) as u64
    });
    name << VERSION_BITS | version
}

/// Bits of a type's identifier that hold the version of its values.
pub const VERSION_BITS: u32 = 10;

/// Copies a file of which all entries are known.
///
/// # Errors
/// Those of input and output; `InvalidData` if an entry is not known, or if something follows the
/// end.
pub fn copy(input: impl BufRead, output: impl Write, edit: &mut impl Edit) -> io::Result<()> {
    let mut copy = Copy::begin(input, output)?;
    copy.entries(edit)?;
    copy.end().map(drop)
}

fn unknown(what: &str, byte: u8) -> io::Error {
    let text = format!("the file has a {what} that is not known: {byte}");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Entries before a key's type, and those that are about no key.
mod op {
    /// In Redis (since 8.6) what modules have attached to a key, before its type; in Valkey (since
    /// 9.0) an import of slots that is under way.
    pub(super) const META_OR_IMPORT: u8 = 243;
    pub(crate) const SLOT_INFO: u8 = 244;
    pub(super) const FUNCTION: u8 = 245;
    pub(super) const MODULE: u8 = 247;
    pub(super) const IDLE: u8 = 248;
    pub(crate) const FREQUENCY: u8 = 249;
    pub(super) const NOTE: u8 = 250;
    pub(super) const SIZES: u8 = 251;
    pub(crate) const EXPIRES_MS: u8 = 252;
    pub(crate) const EXPIRES: u8 = 253;
    pub(super) const DATABASE: u8 = 254;
    pub(super) const END: u8 = 255;
}

/// The type of a key whose value is a module's.
const MODULE_VALUE: u8 = 7;

/// A copy under way, to which entries can be added.
pub struct Copy<R, W> {
    input: R,
    output: W,
    sum: Digest<'static, u64, Table<16>>,
    /// Bytes that were written.
    written: u64,
    /// What the readers of the file know.
    dialect: Dialect,
    /// Bytes that were read, and are not written yet.
    held: Vec<u8>,
    /// What is read is held.
    holds: bool,
    db: u64,
}

impl<R, W: Write> Write for Copy<R, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write_all(bytes)?;
        self.sum.update(bytes);
        self.written += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// A number, or how a string is written that is not as many bytes.
enum Length {
    Plain(u64),
    Special(u8),
}

impl<R: BufRead, W: Write> Copy<R, W> {
    /// Begins to copy a file.
    ///
    /// # Errors
    /// Those of input and output; `InvalidData` if it is no RDB file, or one without a checksum.
    pub fn begin(input: R, output: W) -> io::Result<Copy<R, W>> {
        let mut copy = Copy {
            input,
            output,
            sum: CRC.digest(),
            written: 0,
            dialect: Dialect::Plain,
            held: Vec::new(),
            holds: false,
            db: 0,
        };
        copy.head()?;
        Ok(copy)
    }

    /// Copies all entries.
    ///
    /// # Errors
    /// Those of input, output and `edit`; `InvalidData` if an entry is not known.
    pub fn entries(&mut self, edit: &mut impl Edit) -> io::Result<()> {
        while self.entry(edit)? {}
        Ok(())
    }

    /// What the readers of this file know of fields that expire.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// How many bytes were written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    fn head(&mut self) -> io::Result<()> {
        self.holds = true;
        self.skip(9)?;
        let dialect = self.held.first_chunk().and_then(Dialect::of_magic);
        self.dialect = dialect.ok_or_else(|| unknown("head", self.held[0]))?;
        // Before version 5 there was no checksum.
        if self.held.as_slice() <= b"REDIS0004" {
            return Err(unknown("head", self.held[0]));
        }
        self.release()
    }

    /// Copies an entry; false if it was the last.
    fn entry(&mut self, edit: &mut impl Edit) -> io::Result<bool> {
        self.holds = true;
        let op = loop {
            match self.byte()? {
                op::EXPIRES_MS => self.skip(8)?,
                op::EXPIRES => self.skip(4)?,
                op::IDLE => self.number().map(drop)?,
                op::FREQUENCY => self.skip(1)?,
                op::META_OR_IMPORT if self.dialect == Dialect::Redis => {
                    self.times(|copy| {
                        copy.skip(4)?;
                        copy.module_value()
                    })?;
                }
                op => break op,
            }
        };
        match op {
            op::END => {
                self.held.clear();
                return Ok(false);
            }
            op::DATABASE => self.db = self.number()?,
            op::SIZES => {
                let (keys, expiring) = (self.number()?, self.number()?);
                let (keys, expiring) = edit.sizes(self.db, keys, expiring);
                self.held.truncate(1);
                push_number(&mut self.held, keys);
                push_number(&mut self.held, expiring);
            }
            // A hint as well, of one slot.
            op::SLOT_INFO => {
                for _ in 0..3 {
                    self.number()?;
                }
                self.held.clear();
            }
            // Its name, and ranges of slots.
            op::META_OR_IMPORT if self.dialect == Dialect::Valkey => {
                self.string()?;
                self.times(|copy| copy.numbers(2))?;
            }
            op::NOTE => self.two_strings()?,
            op::FUNCTION => {
                self.release()?;
                self.string()?;
                edit.library();
            }
            op::MODULE => {
                self.release()?;
                self.number()?;
                self.module_value()?;
            }
            MODULE_VALUE => {
                let name = self.held.len();
                self.string()?;
                self.module_key(name, edit)?;
            }
            ty if edit.takes_natives() => {
                let name = self.held.len();
                self.string()?;
                let value = self.held.len();
                self.value(ty)?;
                edit.native(&NativeKey {
                    db: self.db,
                    before: &self.held[..name - 1],
                    ty,
                    name: &self.held[name..value],
                    value: &self.held[value..],
                })?;
                self.held.clear();
            }
            ty => {
                self.string()?;
                self.release()?;
                self.value(ty)?;
            }
        }
        self.release()?;
        Ok(true)
    }

    /// A key whose name begins in what is held at `name`, right behind its type.
    fn module_key(&mut self, name: usize, edit: &mut impl Edit) -> io::Result<()> {
        let before = self.held.len();
        let id = self.number()?;
        if !edit.wants(id) {
            self.release()?;
            return self.module_value();
        }
        let value = self.held.len();
        self.module_value()?;
        let key = ModuleKey {
            db: self.db,
            before: &self.held[..name - 1],
            name: &self.held[name..before],
            id,
            value: &self.held[value..],
        };
        match edit.value(&key)? {
            Fate::Stays => {}
            Fate::Goes => self.held.clear(),
            Fate::Changes(id, value) => {
                self.held.truncate(before);
                push_number(&mut self.held, id);
                self.held.extend(value);
            }
        }
        Ok(())
    }

    /// Goes over the parts of a module's value, each of which tells what it is.
    fn module_value(&mut self) -> io::Result<()> {
        loop {
            match self.number()? {
                0 => return Ok(()),
                1 | 2 => self.number().map(drop)?,
                3 => self.skip(4)?,
                4 => self.skip(8)?,
                5 => self.string()?,
                other => return Err(unknown("part of a module's value", other as u8)),
            }
        }
    }

    /// Goes over the value of a native type.
    fn value(&mut self, ty: u8) -> io::Result<()> {
        match ty {
            // A string; or one string that holds all elements.
            0 | 9..=13 | 16 | 17 | 20 => self.string(),
            // List, set, list of such strings.
            1 | 2 | 14 => self.times(Self::string),
            // Sorted sets, their scores as texts or as numbers.
            3 => self.times(|copy| {
                copy.string()?;
                match copy.byte()? {
                    253..=255 => Ok(()),
                    len => copy.skip(u64::from(len)),
                }
            }),
            5 => self.times(|copy| {
                copy.string()?;
                copy.skip(8)
            }),
            4 => self.times(Self::two_strings),
            18 => self.times(|copy| {
                copy.number()?;
                copy.string()
            }),
            15 | 19 | 21 | 26 => self.stream(ty),
            // Valkey: a hash with the expire time of each field.
            22 => self.times(|copy| {
                copy.two_strings()?;
                copy.skip(8)
            }),
            // Redis: such a hash, and one in one string, behind the next time.
            24 => {
                self.skip(8)?;
                self.times(|copy| {
                    copy.number()?;
                    copy.two_strings()
                })
            }
            25 => {
                self.skip(8)?;
                self.string()
            }
            other => Err(unknown("type", other)),
        }
    }

    fn stream(&mut self, ty: u8) -> io::Result<()> {
        self.times(Self::two_strings)?;
        let is_newer = ty > 15;
        // The number of entries and the last identifier; the first, the highest deleted one, all
        // entries ever.
        self.numbers(if is_newer { 8 } else { 3 })?;
        self.times(|copy| {
            copy.string()?;
            copy.numbers(if is_newer { 3 } else { 2 })?;
            copy.times(|copy| {
                copy.skip(16 + 8)?;
                copy.numbers(1)
            })?;
            copy.times(|copy| {
                copy.string()?;
                copy.skip(if ty >= 21 { 16 } else { 8 })?;
                copy.times(|copy| copy.skip(16))
            })
        })?;
        if ty < 26 {
            return Ok(());
        }
        // What producers have sent, to know it if they send it again.
        self.numbers(2)?;
        self.times(|copy| {
            copy.string()?;
            copy.times(|copy| {
                copy.string()?;
                copy.numbers(2)
            })
        })?;
        self.numbers(2)
    }

    /// A number, and so many times what `part` goes over.
    fn times(&mut self, mut part: impl FnMut(&mut Self) -> io::Result<()>) -> io::Result<()> {
        let count = self.number()?;
        (0..count).try_for_each(|_| part(self))
    }

    fn numbers(&mut self, count: u32) -> io::Result<()> {
        (0..count).try_for_each(|_| self.number().map(drop))
    }

    fn number(&mut self) -> io::Result<u64> {
        match self.length()? {
            Length::Plain(number) => Ok(number),
            Length::Special(how) => Err(unknown("number", how)),
        }
    }

    fn two_strings(&mut self) -> io::Result<()> {
        self.string()?;
        self.string()
    }

    fn string(&mut self) -> io::Result<()> {
        match self.length()? {
            Length::Plain(len) => self.skip(len),
            // An integer.
            Length::Special(size @ 0..=2) => self.skip(1 << size),
            // Compressed.
            Length::Special(3) => {
                let len = self.number()?;
                self.number()?;
                self.skip(len)
            }
            Length::Special(how) => Err(unknown("string", how)),
        }
    }

    fn length(&mut self) -> io::Result<Length> {
        let first = self.byte()?;
        Ok(Length::Plain(match first {
            0..0x40 => u64::from(first),
            0x40..0x80 => u64::from(first & 0x3f) << 8 | u64::from(self.byte()?),
            0x80 => u64::from(u32::from_be_bytes(self.array()?)),
            0x81 => u64::from_be_bytes(self.array()?),
            0xc0.. => return Ok(Length::Special(first & 0x3f)),
            _ => return Err(unknown("length", first)),
        }))
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        self.pass(&bytes)?;
        Ok(bytes)
    }

    fn skip(&mut self, mut len: u64) -> io::Result<()> {
        while len > 0 {
            let ready = self.input.fill_buf()?;
            if ready.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let some = ready.len().min(usize::try_from(len).unwrap_or(ready.len()));
            let ready = &ready[..some];
            if self.holds {
                self.held.extend_from_slice(ready);
            } else {
                self.sum.update(ready);
                self.output.write_all(ready)?;
                self.written += some as u64;
            }
            self.input.consume(some);
            len -= some as u64;
        }
        Ok(())
    }

    /// What was read is held, or written.
    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.holds {
            self.held.extend_from_slice(bytes);
            return Ok(());
        }
        self.write_all(bytes)
    }

    /// Writes what is held; what is read is written from now on.
    fn release(&mut self) -> io::Result<()> {
        self.holds = false;
        let held = std::mem::take(&mut self.held);
        self.write_all(&held)?;
        self.held = held;
        self.held.clear();
        Ok(())
    }

    /// Ends the copy, when all entries are there, with a checksum, or without one if the server
    /// makes none; what it was written to.
    ///
    /// # Errors
    /// Those of input and output; `InvalidData` if something follows the end.
    pub fn end(mut self) -> io::Result<W> {
        self.write_all(&[op::END])?;
        let mut was = [0; 8];
        self.input.read_exact(&mut was)?;
        let sum = match was {
            [0, 0, 0, 0, 0, 0, 0, 0] => 0,
            _ => self.sum.finalize(),
        };
        self.output.write_all(&sum.to_le_bytes())?;
        match self.input.fill_buf()?.first() {
            None => {
                self.output.flush()?;
                Ok(self.output)
            }
            Some(&more) => Err(unknown("byte behind its end", more)),
        }
    }
}

#[cfg(test)]
mod tests;
