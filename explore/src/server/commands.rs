//! What is sent: random commands of all types and of whole keyspaces, alone, in MULTI, in scripts.

use fastrand::Rng;
use testkit::differential::grammar::Table;
use testkit::differential::tables::{
    BITMAP, GEO, HASH, HYPERLOGLOG, KEYS, LIST, PREFIXED_KEYS, SET, SORT, STRING, ZSET, ZSET_LEX,
    ZSET_SMALL,
};
use testkit::differential::{self, Dialect, Side, Step, generate};

/// A command's words.
pub(super) type Command = Vec<Vec<u8>>;

/// The database that commands work on; the differential tests' tables know one more, the next one.
pub(super) const DB: u8 = differential::PM_DB;

/// Bytes of a command at most: the pools are small.
const COMMAND_BYTES_MAX: usize = 300_000;

/// Commands of native types (they are not in the pool), and those that may wait for ever.
const LEFT_OUT: [&str; 10] = [
    "XADD",
    "XLEN",
    "BLPOP",
    "BRPOP",
    "BLMOVE",
    "BRPOPLPUSH",
    "BLMPOP",
    "BZPOPMIN",
    "BZPOPMAX",
    "BZMPOP",
];

/// Where most commands come from. Those of keys are what this level is about.
static TABLES: [&Table; 16] = [
    &KEYS,
    &KEYS,
    &KEYS,
    &PREFIXED_KEYS,
    &STRING,
    &LIST,
    &LIST,
    &HASH,
    &SET,
    &ZSET,
    &ZSET_SMALL,
    &ZSET_LEX,
    &BITMAP,
    &GEO,
    &HYPERLOGLOG,
    &SORT,
];

/// Runs the commands in its arguments: the number of each one's words comes before them.
const SCRIPT: &str = "local at = 1
while at <= #ARGV do
    local count = tonumber(ARGV[at])
    redis.pcall(unpack(ARGV, at + 1, at + count))
    at = at + count + 1
end
return 'done'";

/// What is acknowledged as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A command; others before it that change nothing in the pool are none of its.
    One,
    /// Commands between MULTI and EXEC.
    Transaction,
    /// Commands of a script.
    Script,
}

/// How a step reaches the server: Redis 7.0 sends replies at different places of its event loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// On a connection that does nothing else.
    Plain,
    /// While the connection has output waiting, in the cycle in which the socket takes it.
    Stalled,
    /// Held back by CLIENT PAUSE.
    Paused,
    /// In a pipeline behind a BLPOP of a native list that has to wait.
    Unblocked,
}

/// An endless source of what to send.
pub(super) struct Source {
    rng: Rng,
    steps: Vec<Step>,
    adopted: usize,
}

impl Source {
    /// The source of this seed.
    pub(super) fn new(seed: u64) -> Source {
        Source {
            rng: Rng::with_seed(seed),
            steps: Vec::new(),
            adopted: 0,
        }
    }

    /// The commands that the next step has, and in which shape.
    ///
    /// `dump` gives what DUMP says of a key.
    pub(super) fn next(&mut self, mut dump: impl FnMut(&[u8]) -> Vec<u8>) -> (Shape, Vec<Command>) {
        let shape = match self.rng.u8(..10) {
            0..6 => Shape::One,
            6..8 => Shape::Transaction,
            _ => Shape::Script,
        };
        if self.rng.u8(..12) == 0 {
            return (shape, self.adoption());
        }
        let count = match shape {
            Shape::One => 1,
            _ => self.rng.usize(2..6),
        };
        let commands = (0..count).map(|_| self.command(&mut dump)).collect();
        (shape, commands)
    }

    /// How the next step reaches the server.
    pub(super) fn way(&mut self) -> Way {
        match self.rng.u8(..16) {
            0..2 => Way::Stalled,
            2 => Way::Paused,
            3 => Way::Unblocked,
            _ => Way::Plain,
        }
    }

    /// One command.
    pub(super) fn command(&mut self, dump: &mut impl FnMut(&[u8]) -> Vec<u8>) -> Command {
        match self.rng.u8(..32) {
            0..6 => return self.bulk(),
            6..8 => return self.whole(),
            8 => return self.large(),
            _ => {}
        }
        loop {
            let Some(step) = self.steps.pop() else {
                let table = self.rng.choice(&TABLES).expect("not empty");
                self.steps = generate::sequence(table, self.rng.u64(..)).steps;
                self.rng.shuffle(&mut self.steps);
                self.steps.truncate(4);
                continue;
            };
            let words: Result<Command, ()> =
                step.command(Side::Pm, &Dialect::PM, |key| Ok(dump(key)));
            let words = words.expect("a dump is always given");
            let is_short = words.iter().map(Vec::len).sum::<usize>() <= COMMAND_BYTES_MAX;
            if is_short && !LEFT_OUT.contains(&step.spec.name) {
                return words;
            }
        }
    }

    /// A value with as many elements as bring it to another encoding or another level.
    fn bulk(&mut self) -> Command {
        let rng = &mut self.rng;
        let key = rng.choice(&differential::KEYS).expect("not empty").to_vec();
        let count = *rng.choice(&[8, 60, 130, 600]).expect("not empty");
        let (name, pairs) = *rng
            .choice(&[
                ("PM.RPUSH", false),
                ("PM.LPUSH", false),
                ("PM.SADD", false),
                ("PM.HSET", true),
                ("PM.ZADD", true),
            ])
            .expect("not empty");
        let len = rng.usize(1..40);
        let mut words = vec![name.as_bytes().to_vec(), key];
        for n in 0..count {
            if pairs {
                words.push(rng.u16(..).to_string().into_bytes());
            }
            words.push(format!("{n:0len$}").into_bytes());
        }
        words
    }

    /// A native key, of a name that nothing else has, and its adoption, which is all that the pool
    /// sees of it.
    fn adoption(&mut self) -> Vec<Command> {
        self.adopted += 1;
        let (rng, name) = (&mut self.rng, format!("adopted:{}", self.adopted));
        let (command, pairs, most) = *rng
            .choice(&[
                ("SET", false, 1),
                ("RPUSH", false, 400),
                ("SADD", false, 400),
                ("HSET", true, 600),
                ("ZADD", true, 200),
            ])
            .expect("not empty");
        let len = rng.usize(1..40);
        let mut words = vec![command.to_owned(), name.clone()];
        for n in 0..rng.usize(1..=most) {
            if pairs {
                words.push(rng.u16(..).to_string());
            }
            words.push(format!("{n:0len$}"));
        }
        let mut commands = vec![words];
        if rng.bool() {
            commands.push(
                ["PEXPIREAT", &name, "4000000000000"]
                    .map(str::to_owned)
                    .to_vec(),
            );
        }
        commands.push(["PM.ADOPT", "KEYS", &name].map(str::to_owned).to_vec());
        let bytes = |words: Vec<String>| words.into_iter().map(String::into_bytes).collect();
        commands.into_iter().map(bytes).collect()
    }

    /// A string that needs an object of libpmemobj's own.
    fn large(&mut self) -> Command {
        let key = self.rng.choice(&differential::KEYS).expect("not empty");
        let at = self.rng.usize(120_000..200_000).to_string();
        let words = [b"PM.SETRANGE", &key[..], at.as_bytes(), b"end"];
        words.map(<[u8]>::to_vec).to_vec()
    }

    /// Something that happens to whole databases, or to a key whatever it holds.
    fn whole(&mut self) -> Command {
        let (rng, dbs) = (&mut self.rng, [DB, DB + 1].map(|db| db.to_string()));
        let mut key = || {
            let key = rng.choice(&differential::KEYS).expect("not empty");
            key.to_vec()
        };
        let [a, b] = [key(), key()];
        let word = |text: &str| text.as_bytes().to_vec();
        match rng.u8(..16) {
            0..3 => vec![word("SWAPDB"), word(&dbs[0]), word(&dbs[1])],
            3 => vec![word("FLUSHDB"), word("ASYNC")],
            4 => vec![word("FLUSHALL")],
            5..7 => vec![word("UNLINK"), a, b],
            7..9 => vec![word("DEL"), a, b],
            9..11 => vec![word("MOVE"), a, word(&dbs[1])],
            11..13 => vec![word("RENAME"), a, b],
            13 => vec![word("EXPIRE"), a, word("100000")],
            _ => vec![word("COPY"), a, b, word("REPLACE")],
        }
    }
}

/// What is sent for these commands: the reply to the last of it acknowledges all of them.
pub(crate) fn in_shape(shape: Shape, commands: &[Command]) -> Vec<Command> {
    let word = |text: &str| text.as_bytes().to_vec();
    match shape {
        Shape::One => commands.to_vec(),
        Shape::Transaction => {
            let mut sent = vec![vec![word("MULTI")]];
            sent.extend_from_slice(commands);
            sent.push(vec![word("EXEC")]);
            sent
        }
        Shape::Script => {
            let mut script = vec![word("EVAL"), word(SCRIPT), word("0")];
            for words in commands {
                script.push(word(&words.len().to_string()));
                script.extend_from_slice(words);
            }
            vec![script]
        }
    }
}
