//! The differential tests: Redis itself is the specification of every `PM.` command.
//!
//! A [`Table`](grammar::Table) describes the commands of one type: names, weights and a grammar of
//! the arguments. [`generate`] makes sequences of commands from it and a seed, good and bad
//! arguments mixed. [`pair`] runs each command twice in one server, natively in database 0 and
//! with the prefix in database 8, and compares after each of them what a client can see:
//!
//! * the reply, in its exact form, in RESP2 or RESP3;
//! * the keyspace events, in their order, of all classes, key misses and new keys included;
//! * the time at which each key expires, to the millisecond where the command named it;
//! * whether a client that watched the keys has lost its transaction;
//! * now and then the whole state: which keys there are, their types and contents.
//!
//! A sequence that tells the two apart is shrunk ([`shrink`]) to the few commands that matter and
//! printed with its seed, which replays it.
//!
//! # What is not compared literally
//!
//! Key names need no mapping, as both sides use the same names in different databases. Exactly
//! these differences are accepted, each because it is what "the same" means for a command under
//! another name:
//!
//! * An error that names the command names `'pm.set'` instead of `'set'`, `PM.GEOSEARCH` instead of
//!   `GEOSEARCH`: Redis itself prints the name of the command that was called.
//! * TYPE names the module's type; a table's readers say which native type that is.
//! * A database number given as an argument (MOVE, COPY) is that of the side's own databases.
//! * A time to live that is relative to now is computed at two moments. The two may differ by no
//!   more than the wall-clock time between the first command's start and the second one's end.
//!   Replies that count time from now may differ by that and by one unit of rounding.
//! * Where a PM value replaces one of another type, the event `new` precedes the command's own: the
//!   module API can give a key another type only by deleting it first.
//! * Replies whose order (SMEMBERS) or content (SRANDMEMBER) Redis leaves open are compared as
//!   sets, as maps or by shape, if the table says so.
//! * Without a condition, DELEX deletes a key of any type, while a native key counts as absent for
//!   `PM.DELEX`; the sequence ends there. `exceptions.rs` has this and the like, and what is never
//!   sent because the server itself answers it wrongly.
//!
//! Active expiry is switched off in the server, so that keys expire on access, at the same command
//! on both sides.

pub mod campaign;
pub mod compare;
mod exceptions;
pub mod generate;
pub mod grammar;
pub mod pair;
pub mod shrink;
pub mod state;
pub mod tables;
pub mod values;

use crate::resp::Quoted;
use grammar::Spec;
use std::fmt;

/// The first database of the `PM.` side; the native side uses the databases from 0 on.
pub const PM_DB: u8 = 8;

/// How many databases each side uses: its own, and another one for MOVE and COPY.
pub const DBS: u8 = 2;

/// The keys that commands work on: few, so that they meet, and with names that only a binary-safe
/// implementation gets right.
pub const KEYS: [&[u8]; 6] = [
    b"a",
    b"b",
    b"c",
    b"key-with-a-longer-name",
    b"",
    b"\0\xff\r\n key",
];

/// How the two sides differ in the names of commands.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// What precedes the names of the type's own commands on the second side.
    pub prefix: &'static str,
    /// Commands that are another command on the second side: deliberate errors, to see that the
    /// tests find them.
    pub mutants: &'static [(&'static str, &'static str)],
    /// The second side's keys are in the pool, though their types have the native names.
    pub unprefixed: bool,
}

impl Dialect {
    /// The module's commands against the native ones.
    pub const PM: Self = Self {
        prefix: "PM.",
        mutants: &[],
        unprefixed: false,
    };
    /// Native names that are about PM keys on the second side: `unprefixed` in its databases.
    pub const UNPREFIXED: Self = Self {
        prefix: "",
        mutants: &[],
        unprefixed: true,
    };
    /// Native commands on both sides: the tests of the tests.
    pub const NATIVE: Self = Self {
        prefix: "",
        mutants: &[],
        unprefixed: false,
    };

    /// What `name` is called on the second side.
    pub fn translate(&self, name: &str) -> String {
        let mutant = self.mutants.iter().find(|(native, _)| *native == name);
        format!(
            "{}{}",
            self.prefix,
            mutant.map_or(name, |(_, mutant)| mutant)
        )
    }
}

/// One of the two sides of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Native commands, in the databases from 0 on.
    Native,
    /// The same under the dialect's prefix, in the databases from [`PM_DB`] on.
    Pm,
}

impl Side {
    /// The number of this side's `n`-th database.
    pub fn db(self, n: u8) -> u8 {
        match self {
            Self::Native => n,
            Self::Pm => n + PM_DB,
        }
    }
}

/// One argument.
#[derive(Clone, PartialEq, Eq)]
pub enum Word {
    /// One of [`KEYS`].
    Key(&'static [u8]),
    /// A side's `n`-th database.
    Db(u8),
    /// What DUMP says of one of [`KEYS`] on the side itself.
    Dump(&'static [u8]),
    /// Data, which the shrinker may simplify.
    Data(Vec<u8>),
    /// An option's name or a time: the shrinker drops it or leaves it alone, as a shorter time
    /// could make the test depend on the clock.
    Fixed(Vec<u8>),
}

/// One command of a sequence, and what is looked at after it.
#[derive(Clone)]
pub struct Step {
    /// The table's entry.
    pub spec: &'static Spec,
    /// The arguments after the name.
    pub words: Vec<Word>,
    /// Whether an argument is a time relative to now.
    pub relative_time: bool,
    /// Compare the keys' expiry times after it.
    pub check_expiry: bool,
    /// Watch the keys before it, and compare what has become of the transaction.
    pub check_watch: bool,
    /// Compare the whole state after it.
    pub check_state: bool,
}

impl Step {
    /// The command as `side` sends it; `dump` gives the side's payloads.
    ///
    /// # Errors
    /// Those of `dump`.
    pub fn command<E>(
        &self,
        side: Side,
        dialect: &Dialect,
        mut dump: impl FnMut(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Vec<Vec<u8>>, E> {
        let name = match side {
            Side::Pm if self.spec.prefixed => dialect.translate(self.spec.name),
            _ => self.spec.name.to_owned(),
        };
        let words = self.words.iter().map(|word| match word {
            Word::Key(name) => Ok(name.to_vec()),
            Word::Dump(name) => dump(name),
            Word::Db(n) => Ok(side.db(*n).to_string().into_bytes()),
            Word::Data(bytes) | Word::Fixed(bytes) => Ok(bytes.clone()),
        });
        std::iter::once(Ok(name.into_bytes()))
            .chain(words)
            .collect()
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spec.name)?;
        for word in &self.words {
            match word {
                Word::Key(name) => write!(f, " {:?}", Quoted(name))?,
                Word::Dump(name) => write!(f, " dump-of-{:?}", Quoted(name))?,
                Word::Data(bytes) => write!(f, " {:?}", Quoted(bytes))?,
                Word::Fixed(bytes) => write!(f, " {}", bytes.escape_ascii())?,
                Word::Db(n) => write!(f, " db+{n}")?,
            }
        }
        Ok(())
    }
}

/// A sequence of commands on an empty server.
#[derive(Clone)]
pub struct Sequence {
    /// What it was made from.
    pub seed: u64,
    /// Whether the two clients speak RESP3.
    pub resp3: bool,
    /// The commands.
    pub steps: Vec<Step>,
}
