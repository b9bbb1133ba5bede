//! The commands of `redis-benchmark`'s default run under their plain names, with the setting
//! `unprefixed`, beside the same under prefixed ones.
//!
//! Two servers have the module, each with a pool of its own; one has the setting. Each round is a
//! default run on both, command by command, and the server that comes first changes from one
//! command to the next. What is expected is next to no difference, less than what a machine that
//! others use varies by. So the instructions are counted as well: by callgrind, from where the
//! server begins to read a command to where it has run it. What comes before and after knows no
//! names. What an instruction takes of time is measured beside that, of commands that come in
//! pipelines, so that next to all of the time is theirs.

use crate::redis_benchmark::{self, Load};
use crate::summary::Spread;
use crate::target::{Config, Target};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use testkit::server::Setup;

/// The default run: names as it prints them, and the words. Three bytes are a value, and names of
/// keys are taken as they stand, as `-r` is not given.
pub const DEFAULT_RUN: [(&str, &str); 18] = [
    ("SET", "SET key:__rand_int__ xxx"),
    ("GET", "GET key:__rand_int__"),
    ("INCR", "INCR counter:__rand_int__"),
    ("LPUSH", "LPUSH mylist xxx"),
    ("RPUSH", "RPUSH mylist xxx"),
    ("LPOP", "LPOP mylist"),
    ("RPOP", "RPOP mylist"),
    ("SADD", "SADD myset element:__rand_int__"),
    ("HSET", "HSET myhash element:__rand_int__ xxx"),
    ("SPOP", "SPOP myset"),
    ("ZADD", "ZADD myzset 0 element:__rand_int__"),
    ("ZPOPMIN", "ZPOPMIN myzset"),
    ("LPUSH for LRANGE", "LPUSH mylist xxx"),
    ("LRANGE_100", "LRANGE mylist 0 99"),
    ("LRANGE_300", "LRANGE mylist 0 299"),
    ("LRANGE_500", "LRANGE mylist 0 499"),
    ("LRANGE_600", "LRANGE mylist 0 599"),
    ("MSET (10 keys)", MSET),
];
const MSET: &str = "MSET key:__rand_int__ xxx key:__rand_int__ xxx key:__rand_int__ xxx \
    key:__rand_int__ xxx key:__rand_int__ xxx key:__rand_int__ xxx key:__rand_int__ xxx \
    key:__rand_int__ xxx key:__rand_int__ xxx key:__rand_int__ xxx";

/// So many commands at the beginning of [`DEFAULT_RUN`] read or write one element.
const ONE_ELEMENT: usize = 12;

/// Connections of the default run.
const CLIENTS: u64 = 50;

/// Requests in a pipeline, where it is measured what an instruction takes.
const PIPELINE: u64 = 64;

/// Which names a server's commands are called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// `PM.SET`
    Prefixed,
    /// `SET`
    Plain,
}

impl Names {
    const BOTH: [Names; 2] = [Names::Prefixed, Names::Plain];

    fn words(self, words: &str) -> Vec<String> {
        let words = match self {
            Names::Prefixed => format!("PM.{words}"),
            Names::Plain => words.to_owned(),
        };
        words.split(' ').map(str::to_owned).collect()
    }

    fn setup(self, pool: &str) -> Setup {
        match self {
            Names::Prefixed => Setup::pmedis(pool),
            Names::Plain => Setup::pmedis_with(pool, &["unprefixed", "yes"]),
        }
    }
}

/// What one command took, by its prefixed name and by its plain one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pair {
    /// As `PM.SET`.
    pub prefixed: f64,
    /// As `SET`.
    pub plain: f64,
}

impl Pair {
    fn of(&mut self, names: Names) -> &mut f64 {
        match names {
            Names::Prefixed => &mut self.prefixed,
            Names::Plain => &mut self.plain,
        }
    }
}

/// Commands a second.
#[derive(Clone, Debug)]
pub struct Rate {
    /// The command.
    pub name: &'static str,
    /// Medians.
    pub median: Pair,
    /// Plain over prefixed, round by round.
    pub ratio: Spread,
    /// The same of what a command takes of the main thread's processor time, prefixed over plain.
    pub processor_ratio: Spread,
}

/// The default run's rates.
#[derive(Clone, Debug)]
pub struct Rates {
    /// One for each command.
    pub commands: Vec<Rate>,
    /// The time that a run takes with prefixed names, over that with plain ones, round by round.
    pub whole: Spread,
}

/// One command in one round.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    /// Seconds a request.
    seconds: Pair,
    /// Seconds of the main thread's processor time a request.
    processor: Pair,
}

/// Runs so many rounds of so many requests each; `progress` hears a line for each round.
///
/// # Errors
/// Those of the servers, connections, and of `redis-benchmark`; an error in a reply.
pub fn rates(
    rounds: usize,
    requests: u64,
    pool: &str,
    mut progress: impl FnMut(&str),
) -> io::Result<Rates> {
    let start = |names: Names| Target::launch(Config::Pm, &names.setup(pool));
    let mut targets = [start(Names::Prefixed)?, start(Names::Plain)?];
    let mut all: Vec<Vec<Sample>> = Vec::new();
    for round in 0..rounds {
        for target in &mut targets {
            target.call(&["FLUSHALL"])?;
        }
        let mut samples = Vec::new();
        for (at, (_, words)) in DEFAULT_RUN.into_iter().enumerate() {
            let mut sample = Sample::default();
            let mut order = [0, 1];
            if (round + at) % 2 == 1 {
                order.reverse();
            }
            for place in order {
                let words = Names::BOTH[place].words(words);
                let (seconds, processor) = run_once(&mut targets[place], requests, &words)?;
                *sample.seconds.of(Names::BOTH[place]) = seconds;
                *sample.processor.of(Names::BOTH[place]) = processor;
            }
            samples.push(sample);
        }
        let ratio = whole(&samples);
        progress(&format!("round {}/{rounds}: {ratio:.3}", round + 1));
        all.push(samples);
    }
    let each = DEFAULT_RUN.into_iter().enumerate();
    Ok(Rates {
        commands: each.map(|(at, (name, _))| rate(name, &all, at)).collect(),
        whole: Spread::of(all.iter().map(|samples| whole(samples))),
    })
}

/// Prefixed over plain, of the time that all commands take.
fn whole(samples: &[Sample]) -> f64 {
    let sum = |of: fn(&Pair) -> f64| -> f64 { samples.iter().map(|s| of(&s.seconds)).sum() };
    sum(|pair| pair.prefixed) / sum(|pair| pair.plain)
}

fn rate(name: &'static str, rounds: &[Vec<Sample>], at: usize) -> Rate {
    let of = |what: fn(&Sample) -> f64| -> Vec<f64> {
        rounds.iter().map(|samples| what(&samples[at])).collect()
    };
    let (prefixed, plain) = (of(|s| s.seconds.prefixed), of(|s| s.seconds.plain));
    let per_second = |seconds: &[f64]| Spread::of(seconds.iter().map(|s| s.recip())).median;
    Rate {
        name,
        median: Pair {
            prefixed: per_second(&prefixed),
            plain: per_second(&plain),
        },
        ratio: Spread::of_ratios(&prefixed, &plain),
        processor_ratio: Spread::of_ratios(
            &of(|s| s.processor.prefixed),
            &of(|s| s.processor.plain),
        ),
    }
}

/// Seconds a request, and seconds of the main thread's processor time.
fn run_once(target: &mut Target, requests: u64, words: &[String]) -> io::Result<(f64, f64)> {
    let before = target.counters()?;
    let sample = benchmark(target.port(), CLIENTS, 1, requests, words)?;
    let after = target.counters()?;
    if after.errors > before.errors {
        return Err(io::Error::other(format!("errors in replies to {words:?}")));
    }
    let processor = (after.cpu - before.cpu) / requests as f64;
    Ok((sample.rps.recip(), processor))
}

fn benchmark(
    port: u16,
    clients: u64,
    pipeline: u64,
    requests: u64,
    words: &[String],
) -> io::Result<redis_benchmark::Sample> {
    let load = Load {
        clients,
        pipeline,
        requests,
        range: 0,
    };
    redis_benchmark::run(port, load, words)
}

/// Instructions of each command of the default run, as means of so many requests, by the server's
/// main thread: from where it begins to read a command to where it has run it. Each start of a
/// server has seeds of its own for the tables in which names are looked up, so there are several,
/// of which these are the medians.
///
/// # Errors
/// Those of the servers and of `redis-benchmark`; without valgrind, and with a server in which the
/// function that reads commands has another name.
pub fn instructions(
    starts: usize,
    requests: u64,
    pool: &str,
    mut progress: impl FnMut(&str),
) -> io::Result<Vec<(&'static str, Pair)>> {
    let mut counted: [[Vec<f64>; 2]; DEFAULT_RUN.len()] = Default::default();
    for start in 1..=starts {
        for (place, names) in Names::BOTH.into_iter().enumerate() {
            let counts = instructions_of_one_start(names, &DEFAULT_RUN, 1, requests, pool)?;
            for (all, count) in counted.iter_mut().zip(counts) {
                all[place].push(count);
            }
            progress(&format!("start {start}/{starts}, {names:?}"));
        }
    }
    let median = |values: &[f64]| Spread::of(values.iter().copied()).median;
    let pair = |[prefixed, plain]: &[Vec<f64>; 2]| Pair {
        prefixed: median(prefixed),
        plain: median(plain),
    };
    let names = DEFAULT_RUN.iter().map(|(name, _)| *name);
    Ok(names.zip(counted.iter().map(pair)).collect())
}

/// Nanoseconds of the main thread's time that an instruction takes on this machine: of commands
/// that read and write one element, under plain names; a mean of so many requests of each, of which
/// instructions are counted by some.
///
/// # Errors
/// As for [`instructions`].
pub fn nanoseconds_an_instruction(requests: u64, counted: u64, pool: &str) -> io::Result<f64> {
    let commands = &DEFAULT_RUN[..ONE_ELEMENT];
    // `redis-benchmark` may give up after its last pipeline if that is not full.
    let [requests, counted] = [requests, counted].map(|count| count.next_multiple_of(PIPELINE));
    let counts = instructions_of_one_start(Names::Plain, commands, PIPELINE, counted, pool)?;
    let mut target = Target::launch(Config::Pm, &Names::Plain.setup(pool))?;
    let before = target.counters()?;
    for (_, words) in commands {
        let words = Names::Plain.words(words);
        benchmark(target.port(), CLIENTS, PIPELINE, requests, &words)?;
    }
    let seconds = target.counters()?.user - before.user;
    Ok(seconds * 1e9 / (counts.iter().sum::<f64>() * requests as f64))
}

fn instructions_of_one_start(
    names: Names,
    commands: &[(&str, &str)],
    pipeline: u64,
    requests: u64,
    pool: &str,
) -> io::Result<Vec<f64>> {
    let setup = names.setup(pool);
    let out = setup.dir().join("callgrind");
    let file = format!("--callgrind-out-file={}", out.display());
    let setup = setup.wrapped_in(&[
        "valgrind",
        "--tool=callgrind",
        "--collect-atstart=no",
        "--toggle-collect=readQueryFromClient",
        &file,
    ]);
    let mut target = Target::launch(Config::Pm, &setup)?;
    let pid = target.server().pid();
    let mut counts = Vec::new();
    for (at, (_, words)) in commands.iter().enumerate() {
        let words = names.words(words);
        // Once before, so that what is done at the first time is not counted.
        benchmark(target.port(), 1, pipeline, requests, &words)?;
        tell_callgrind(pid, "zero")?;
        benchmark(target.port(), 1, pipeline, requests, &words)?;
        tell_callgrind(pid, "dump")?;
        counts.push(total(&dump(&out, at + 1))? / requests as f64);
    }
    Ok(counts)
}

/// Where callgrind writes its dump of this number.
fn dump(out: &Path, number: usize) -> PathBuf {
    PathBuf::from(format!("{}.{number}", out.display()))
}

fn tell_callgrind(pid: u32, what: &str) -> io::Result<()> {
    let mut vgdb = Command::new("vgdb");
    let pid = format!("--pid={pid}");
    vgdb.args([pid.as_str(), what]);
    let output = vgdb.stdin(Stdio::null()).output()?;
    if output.status.success() {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("vgdb {what}: {said}")))
    }
}

/// The instructions in a file of callgrind's.
fn total(path: &Path) -> io::Result<f64> {
    let text = std::fs::read_to_string(path)?;
    let line = |name| text.lines().find_map(|line| line.strip_prefix(name));
    let total = line("summary:").or_else(|| line("totals:"));
    let total = total.and_then(|total| total.trim().parse().ok());
    total
        .filter(|&total: &f64| total > 0.0)
        .ok_or_else(|| io::Error::other(format!("nothing was counted in {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_prefixed_or_not() {
        let [first, ..] = DEFAULT_RUN;
        let words = |names: Names| names.words(first.1).join(" ");
        assert_eq!(words(Names::Prefixed), "PM.SET key:__rand_int__ xxx");
        assert_eq!(words(Names::Plain), first.1);
        assert_eq!(Names::Plain.words(MSET).len(), 21);
    }

    #[test]
    fn a_run_as_a_whole_is_the_sum_of_its_commands() {
        let sample = |prefixed, plain| Sample {
            seconds: Pair { prefixed, plain },
            processor: Pair {
                prefixed: 1.0,
                plain: 2.0,
            },
        };
        let rounds = [
            vec![sample(1.0, 2.0), sample(3.0, 2.0)],
            vec![sample(1.0, 1.0), sample(2.0, 1.0)],
        ];
        assert_eq!(whole(&rounds[0]), 1.0);
        assert_eq!(whole(&rounds[1]), 1.5);
        let first = rate("first", &rounds, 0);
        assert_eq!((first.ratio.min, first.ratio.max), (0.5, 1.0));
        assert_eq!(first.processor_ratio.median, 0.5);
        assert_eq!((first.median.prefixed, first.median.plain), (1.0, 0.75));
    }
}
