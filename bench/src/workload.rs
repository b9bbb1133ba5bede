//! The commands that are measured, and the data each of them needs.
//!
//! The words of a command are those of `redis-benchmark`, which puts a random number of twelve
//! digits where `__rand_int__` stands. `{data}` becomes 128 bytes. `{run}` becomes the number of
//! the run: keys that a command fills or empties belong to one run only.

use crate::target::Target;
use std::io;

/// Bytes of a value.
pub(crate) const DATA_LEN: usize = 128;
/// Elements in one command while data is loaded.
const BATCH: u64 = 500;
/// Batches sent before their replies are read.
const PIPELINE: usize = 16;

/// Whether a command changes data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It does not.
    Read,
    /// It does.
    Write,
}

/// How many different numbers `__rand_int__` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// As many as there are keys.
    Keys,
    /// As many as the run has requests.
    Requests,
}

/// What there must be before a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// Nothing.
    None,
    /// `key:N` for each number, with 128 bytes.
    Strings,
    /// `counter:N` for each number.
    Counters,
    /// A list with as many elements as the run has requests.
    ListToEmpty(&'static str),
    /// A list of so many elements, all of a few bytes, the 50th of them `pivot`.
    List(&'static str, Count),
    /// A set with as many members as the run has requests.
    SetToEmpty(&'static str),
    /// A set of the numbers from this part of the keys on.
    Set(&'static str, Count, Part),
    /// Two sets that share a hundredth of their members.
    TwoSets,
    /// A hash with as many fields as the run has requests.
    HashToEmpty(&'static str),
    /// A hash of so many fields, with 128 bytes each.
    Hash(&'static str, Count),
    /// A hash of so many fields, each a number.
    Counts(&'static str, Count),
    /// A sorted set with as many members as the run has requests.
    ZsetToEmpty(&'static str),
    /// A sorted set of so many members.
    Zset(&'static str, Count),
}

/// How many elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// As many as there are keys: a million, unless the command line says otherwise.
    Keys,
    /// A number.
    Of(u64),
}

/// Where a set's numbers begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part(u64);

/// A command to measure.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// What the figures call it.
    pub name: &'static str,
    /// Whether it changes data.
    pub kind: Kind,
    /// The native command.
    pub words: &'static str,
    /// Numbers for `__rand_int__`.
    pub range: Range,
    /// What it needs.
    pub data: Data,
}

impl Workload {
    /// True if one request takes milliseconds: there is no point in sending many at a time.
    pub fn is_heavy(&self) -> bool {
        self.data == Data::TwoSets
    }
}

const fn row(
    name: &'static str,
    kind: Kind,
    words: &'static str,
    range: Range,
    data: Data,
) -> Workload {
    Workload {
        name,
        kind,
        words,
        range,
        data,
    }
}

/// The commands of the main figures.
pub fn main() -> Vec<Workload> {
    use Kind::*;
    use Range::*;
    vec![
        row(
            "SET",
            Write,
            "SET key:__rand_int__ {data}",
            Keys,
            Data::Strings,
        ),
        row("GET", Read, "GET key:__rand_int__", Keys, Data::Strings),
        row(
            "INCR",
            Write,
            "INCR counter:__rand_int__",
            Keys,
            Data::Counters,
        ),
        row("MSET 10", Write, MSET_10, Keys, Data::Strings),
        row("LPUSH", Write, "LPUSH left:{run} {data}", Keys, Data::None),
        row("RPUSH", Write, "RPUSH right:{run} {data}", Keys, Data::None),
        row(
            "LPOP",
            Write,
            "LPOP lpop:{run}",
            Keys,
            Data::ListToEmpty("lpop:{run}"),
        ),
        row(
            "RPOP",
            Write,
            "RPOP rpop:{run}",
            Keys,
            Data::ListToEmpty("rpop:{run}"),
        ),
        row(
            "LRANGE 100",
            Read,
            "LRANGE million 0 99",
            Keys,
            Data::List("million", Count::Keys),
        ),
        row(
            "SADD",
            Write,
            "SADD set:{run} member:__rand_int__",
            Keys,
            Data::None,
        ),
        row(
            "SPOP",
            Write,
            "SPOP spop:{run}",
            Keys,
            Data::SetToEmpty("spop:{run}"),
        ),
        row(
            "SISMEMBER",
            Read,
            "SISMEMBER members member:__rand_int__",
            Keys,
            MEMBERS,
        ),
        row(
            "HSET",
            Write,
            "HSET hash:{run} field:__rand_int__ {data}",
            Keys,
            Data::None,
        ),
        row("HGET", Read, "HGET fields field:__rand_int__", Keys, FIELDS),
        row(
            "HINCRBY",
            Write,
            "HINCRBY counts field:__rand_int__ 1",
            Keys,
            COUNTS,
        ),
        row(
            "ZADD",
            Write,
            "ZADD zset:{run} __rand_int__ member:__rand_int__",
            Keys,
            Data::None,
        ),
        row(
            "ZINCRBY",
            Write,
            "ZINCRBY scores 1 member:__rand_int__",
            Keys,
            SCORES,
        ),
        row(
            "ZPOPMIN",
            Write,
            "ZPOPMIN zpop:{run}",
            Keys,
            Data::ZsetToEmpty("zpop:{run}"),
        ),
        row("ZRANGE 100", Read, "ZRANGE scores 0 99", Keys, SCORES),
        row(
            "ZSCORE",
            Read,
            "ZSCORE scores member:__rand_int__",
            Keys,
            SCORES,
        ),
    ]
}

/// Further commands, for the structures' sake.
pub fn further() -> Vec<Workload> {
    use Kind::*;
    use Range::*;
    let insert = Data::List("insert:{run}", Count::Of(1000));
    vec![
        row(
            "SET new",
            Write,
            "SET new:{run}:__rand_int__ {data}",
            Keys,
            Data::None,
        ),
        row(
            "LINDEX middle",
            Read,
            "LINDEX million {half}",
            Keys,
            Data::List("million", Count::Keys),
        ),
        row(
            "LINSERT",
            Write,
            "LINSERT insert:{run} AFTER pivot {data}",
            Keys,
            insert,
        ),
        row(
            "LMOVE",
            Write,
            "LMOVE ring ring LEFT RIGHT",
            Keys,
            Data::List("ring", Count::Of(1000)),
        ),
        row(
            "HSET overwrite",
            Write,
            "HSET fields field:__rand_int__ {data}",
            Keys,
            FIELDS,
        ),
        row(
            "HDEL",
            Write,
            "HDEL hdel:{run} field:__rand_int__",
            Requests,
            Data::HashToEmpty("hdel:{run}"),
        ),
        row(
            "HGETALL 100",
            Read,
            "HGETALL small",
            Keys,
            Data::Counts("small", Count::Of(100)),
        ),
        row(
            "SINTER 100 k",
            Read,
            "SINTER first second",
            Keys,
            Data::TwoSets,
        ),
        row(
            "ZADD update",
            Write,
            "ZADD scores __rand_int__ member:__rand_int__",
            Keys,
            SCORES,
        ),
        row(
            "ZRANK",
            Read,
            "ZRANK scores member:__rand_int__",
            Keys,
            SCORES,
        ),
        row(
            "ZRANGEBYSCORE 100",
            Read,
            "ZRANGEBYSCORE scores __rand_int__ +inf LIMIT 0 100",
            Keys,
            SCORES,
        ),
        row(
            "ZREM",
            Write,
            "ZREM zrem:{run} member:__rand_int__",
            Requests,
            Data::ZsetToEmpty("zrem:{run}"),
        ),
    ]
}

const MSET_10: &str = "MSET key:__rand_int__ {data} key:__rand_int__ {data} key:__rand_int__ {data} \
    key:__rand_int__ {data} key:__rand_int__ {data} key:__rand_int__ {data} key:__rand_int__ {data} \
    key:__rand_int__ {data} key:__rand_int__ {data} key:__rand_int__ {data}";
const MEMBERS: Data = Data::Set("members", Count::Keys, Part(0));
const FIELDS: Data = Data::Hash("fields", Count::Keys);
const COUNTS: Data = Data::Counts("counts", Count::Keys);
const SCORES: Data = Data::Zset("scores", Count::Keys);

/// One run of a workload against one server.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Its number, for keys of its own.
    pub number: u64,
    /// Requests.
    pub requests: u64,
    /// Keys of the command line.
    pub keys: u64,
}

impl Workload {
    /// The command's words for one run, without a prefix.
    pub fn words(&self, run: Run) -> Vec<String> {
        let data = "x".repeat(DATA_LEN);
        let half = (run.keys / 2).to_string();
        let word = |word: &str| {
            let word = word.replace("{data}", &data).replace("{half}", &half);
            word.replace("{run}", &run.number.to_string())
        };
        self.words.split(' ').map(word).collect()
    }

    /// Numbers for `__rand_int__`.
    pub fn range(&self, run: Run) -> u64 {
        match self.range {
            Range::Keys => run.keys,
            Range::Requests => run.requests,
        }
    }

    /// Brings what the run needs into the server; what is there already stays.
    ///
    /// # Errors
    /// Those of the connection, and errors in replies.
    pub fn prepare(&self, server: &mut Target, run: Run) -> io::Result<()> {
        let of = |count| match count {
            Count::Keys => run.keys,
            Count::Of(count) => count,
        };
        let data = "x".repeat(DATA_LEN);
        let all = run.requests;
        let Run { keys, number, .. } = run;
        let name = |key: &str| key.replace("{run}", &number.to_string());
        let mut load = |probe: [&str; 2],
                        head: &[&str],
                        from: u64,
                        count: u64,
                        element: &dyn Fn(u64) -> Vec<String>| {
            load(server, probe, head, from..from + count, element)
        };
        match self.data {
            Data::None => Ok(()),
            Data::Strings => load(["EXISTS", &key(keys - 1)], &["MSET"], 0, keys, &|n| {
                vec![key(n), data.clone()]
            }),
            Data::Counters => {
                let last = format!("counter:{:012}", keys - 1);
                load(["EXISTS", &last], &["MSET"], 0, keys, &|n| {
                    vec![format!("counter:{n:012}"), "1000000".into()]
                })
            }
            Data::ListToEmpty(list) => {
                let list = &name(list);
                load(["LLEN", list], &["RPUSH", list], 0, all, &|_| {
                    vec![data.clone()]
                })
            }
            Data::List(list, count) => {
                let list = &name(list);
                load(["LLEN", list], &["RPUSH", list], 0, of(count), &|n| {
                    vec![if n == 50 {
                        "pivot".into()
                    } else {
                        format!("item:{n:012}")
                    }]
                })
            }
            Data::SetToEmpty(set) => {
                let set = &name(set);
                load(["SCARD", set], &["SADD", set], 0, all, &|n| vec![member(n)])
            }
            Data::Set(set, count, Part(from)) => {
                load(["SCARD", set], &["SADD", set], from, of(count), &|n| {
                    vec![member(n)]
                })
            }
            Data::TwoSets => {
                let (first, second) = (["SCARD", "first"], ["SCARD", "second"]);
                let size = keys.min(100_000);
                load(first, &["SADD", "first"], 0, size, &|n| vec![member(n)])?;
                load(second, &["SADD", "second"], size - size / 100, size, &|n| {
                    vec![member(n)]
                })
            }
            Data::HashToEmpty(hash) => {
                let hash = &name(hash);
                load(["HLEN", hash], &["HSET", hash], 0, all, &|n| {
                    vec![field(n), data.clone()]
                })
            }
            Data::Hash(hash, count) => load(["HLEN", hash], &["HSET", hash], 0, of(count), &|n| {
                vec![field(n), data.clone()]
            }),
            Data::Counts(hash, count) => {
                let hash = &name(hash);
                load(["HLEN", hash], &["HSET", hash], 0, of(count), &|n| {
                    vec![field(n), format!("{}", 1_000_000 + n)]
                })
            }
            Data::ZsetToEmpty(zset) => {
                let zset = &name(zset);
                load(["ZCARD", zset], &["ZADD", zset], 0, all, &|n| {
                    vec![score(n, all), member(n)]
                })
            }
            Data::Zset(zset, count) => {
                let count = of(count);
                load(["ZCARD", zset], &["ZADD", zset], 0, count, &|n| {
                    vec![score(n, count), member(n)]
                })
            }
        }
    }
}

fn key(n: u64) -> String {
    format!("key:{n:012}")
}

fn member(n: u64) -> String {
    format!("member:{n:012}")
}

fn field(n: u64) -> String {
    format!("field:{n:012}")
}

/// Scores in no order.
fn score(n: u64, count: u64) -> String {
    (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % count.max(1)).to_string()
}

/// Sends `head` and the elements of `numbers`, some hundred elements a command, unless `probe` says
/// that something is there.
fn load(
    server: &mut Target,
    probe: [&str; 2],
    head: &[&str],
    numbers: std::ops::Range<u64>,
    element: &dyn Fn(u64) -> Vec<String>,
) -> io::Result<()> {
    if server.integer(&probe)? > 0 {
        return Ok(());
    }
    let mut commands: Vec<Vec<String>> = Vec::new();
    let mut from = numbers.start;
    while from < numbers.end {
        let to = (from + BATCH).min(numbers.end);
        let mut words: Vec<String> = head.iter().map(|&word| word.to_owned()).collect();
        words.extend((from..to).flat_map(element));
        commands.push(words);
        from = to;
        if commands.len() == PIPELINE || from == numbers.end {
            server.pipeline(&commands)?;
            commands.clear();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_made_for_a_run() {
        let run = Run {
            number: 7,
            requests: 10,
            keys: 1000,
        };
        let hset = main().into_iter().find(|w| w.name == "HSET").unwrap();
        let words = hset.words(run);
        assert_eq!(words[..3], ["HSET", "hash:7", "field:__rand_int__"]);
        assert_eq!(words[3].len(), DATA_LEN);
        let lindex = further()
            .into_iter()
            .find(|w| w.words.starts_with("LINDEX"))
            .unwrap();
        assert_eq!(lindex.words(run), ["LINDEX", "million", "500"]);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = main()
            .into_iter()
            .chain(further())
            .map(|w| w.name)
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
